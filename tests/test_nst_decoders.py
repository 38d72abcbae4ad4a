"""Decoders: what they refuse first, then sizes, tiles, files."""

import json
from pathlib import Path

import pytest
import tinyencoder
import torch

from stylepipe.nst.decoders import (
    FORMAT,
    FORMAT_VERSION,
    Decoder,
    load_decoders,
    mirror,
    save_decoders,
)
from stylepipe.nst.encoders import stack_encoder
from stylepipe.nst.files import read_file, safetensors_bytes
from stylepipe.nst.networks import QUALITY, StyleNetwork, StyleRecord, save_styles


@pytest.mark.parametrize(
    ("widths", "message"),
    [
        ({}, "in this order"),
        ({"relu2_1": 4}, "in this order"),
        ({"relu1_1": 4, "relu3_1": 4}, "misses a block"),
        ({"relu1_1": 4, "conv2_1": 4}, "in this order"),
        ({"relu1_1": 1 << 20}, "1 to 1024 channels"),
        ({"relu1_1": 0}, "1 to 1024 channels"),
    ],
)
def test_widths_beyond_reason_are_refused(widths: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Decoder(widths)


def test_unknown_layers_are_listed() -> None:
    with pytest.raises(ValueError, match=r"has no layer 'relu9_1'.*it has relu1_1, relu2_1"):
        mirror(tinyencoder.encoder(), "relu9_1")


@pytest.mark.parametrize("layer", ["relu1_1", "relu2_1", "relu3_1"])
@pytest.mark.parametrize("size", [(64, 48), (37, 51)])
def test_the_picture_has_the_size_that_was_encoded(layer: str, size: tuple[int, int]) -> None:
    encoder = tinyencoder.encoder()
    decoder = mirror(encoder, layer)
    assert decoder.scale == encoder.stride(layer)
    features = encoder(tinyencoder.picture(*size), [layer])[layer]
    found = decoder.picture(features, *size)
    assert found.shape == (1, 3, *size)
    assert found.min() >= 0
    assert found.max() <= 1


@pytest.mark.parametrize("layer", ["relu1_1", "relu2_1", "relu3_1"])
def test_tiles_show_the_same_picture(layer: str) -> None:
    encoder = tinyencoder.encoder(torch.float64)
    torch.manual_seed(1)
    decoder = mirror(encoder, layer).double()
    features = encoder(tinyencoder.picture(75, 90, dtype=torch.float64), [layer])[layer]
    whole = decoder.picture(features, 75, 90)
    assert whole.std() > 0.01
    assert torch.allclose(decoder.picture(features, 75, 90, tile=5), whole, rtol=0, atol=1e-6)


def test_a_wider_decoder_reads_the_same_features() -> None:
    encoder = tinyencoder.encoder()
    wide = mirror(encoder, "relu3_1", widen=8)
    assert wide.widths == {"relu1_1": 48, "relu2_1": 64, "relu3_1": 10}


def test_a_file_gives_back_what_was_saved(tmp_path: Path) -> None:
    encoder, path = tinyencoder.encoder(), tmp_path / "d.safetensors"
    decoders = {layer: mirror(encoder, layer) for layer in ("relu3_1", "relu1_1")}
    save_decoders(path, decoders, encoder, data="2 photos")
    saved = load_decoders(path)
    saved.check(encoder, path)
    saved.check(tinyencoder.encoder(torch.bfloat16), path)  # the same, in another number type
    assert list(saved.decoders) == ["relu3_1", "relu1_1"]
    assert saved.metadata["data"] == "2 photos"
    features = encoder(tinyencoder.picture(32, 32), ["relu3_1"])["relu3_1"]
    wanted = decoders["relu3_1"](features)
    assert torch.allclose(saved.decoders["relu3_1"](features), wanted, atol=1e-2)
    first = path.read_bytes()
    save_decoders(path, decoders, encoder, data="2 photos")
    assert path.read_bytes() == first


def test_a_decoder_of_another_encoder_is_refused(tmp_path: Path) -> None:
    encoder, path = tinyencoder.encoder(), tmp_path / "d.safetensors"
    save_decoders(path, {"relu1_1": mirror(encoder, "relu1_1")}, encoder)
    other = stack_encoder(tinyencoder.convolutions(seed=5))
    with pytest.raises(ValueError, match=r"d\.safetensors was trained for the compact encoder"):
        load_decoders(path).check(other, path)


def test_what_lies_deeper_in_the_encoder_does_not_matter(tmp_path: Path) -> None:
    path, layers = tmp_path / "d.safetensors", tinyencoder.convolutions()
    short = stack_encoder({n: layers[n] for n in ("relu1_1", "relu2_1")})
    save_decoders(path, {"relu2_1": mirror(short, "relu2_1")}, short)
    load_decoders(path).check(tinyencoder.encoder(), path)
    other = tinyencoder.convolutions(seed=5)
    with pytest.raises(ValueError, match="with other weights"):
        load_decoders(path).check(stack_encoder(layers | {"relu2_1": other["relu2_1"]}), path)
    shorter = stack_encoder({"relu1_1": layers["relu1_1"]})
    with pytest.raises(ValueError, match="take the encoder that it belongs to"):
        load_decoders(path).check(shorter, path)


def test_a_list_that_does_not_fit_the_tensors_is_refused(tmp_path: Path) -> None:
    encoder, path = tinyencoder.encoder(), tmp_path / "d.safetensors"
    layers = ("relu1_1", "relu2_1")
    save_decoders(path, {layer: mirror(encoder, layer) for layer in layers}, encoder)
    tensors, metadata = read_file(path, "decoder", FORMAT, FORMAT_VERSION)
    listed = json.loads(metadata["widths"])
    for widths, message in (
        ([], "it lists no decoder"),
        (listed[:1], "it has tensors of relu2_1, which it does not list"),
    ):
        wrong = tmp_path / "wrong.safetensors"
        wrong.write_bytes(safetensors_bytes(tensors, metadata | {"widths": json.dumps(widths)}))
        with pytest.raises(ValueError, match=rf"wrong\.safetensors: not a file .* \({message}\)"):
            load_decoders(wrong)


def test_files_of_something_else_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "d.safetensors"
    with pytest.raises(FileNotFoundError, match="no such decoder file"):
        load_decoders(path)
    path.write_bytes(b"not a file of tensors")
    with pytest.raises(ValueError, match="not a safetensors file"):
        load_decoders(path)
    save_styles(path, StyleNetwork(QUALITY), [StyleRecord("a")])
    with pytest.raises(ValueError, match="holds no stylepipe-decoders decoders"):
        load_decoders(path)
    path.write_bytes(tinyencoder.encoder_file(tmp_path).read_bytes())
    with pytest.raises(ValueError, match="holds no stylepipe-decoders decoders"):
        load_decoders(path)


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    encoder, path = tinyencoder.encoder(), tmp_path / "d.safetensors"
    save_decoders(path, {"relu2_1": mirror(encoder, "relu2_1")}, encoder)
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="damaged"):
        load_decoders(path)


def test_values_that_are_not_finite_are_not_saved(tmp_path: Path) -> None:
    encoder = tinyencoder.encoder()
    decoder = mirror(encoder, "relu1_1")
    with torch.no_grad():
        next(decoder.parameters()).fill_(float("nan"))
    with pytest.raises(ValueError, match="not finite"):
        save_decoders(tmp_path / "d.safetensors", {"relu1_1": decoder}, encoder)
    assert not list(tmp_path.iterdir())
