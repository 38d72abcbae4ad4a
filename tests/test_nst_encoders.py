"""Encoders: names, normalisation, depth, gradients, weights files."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from stylepipe.nst.encoders import IMAGENET_MEAN, IMAGENET_STD, load_encoder, save_encoder


def vgg_state(indices: list[int], width: int = 4) -> dict[str, Tensor]:
    torch.manual_seed(0)
    state = {}
    for position, index in enumerate(indices):
        inputs = 3 if position == 0 else width
        state[f"features.{index}.weight"] = torch.randn(width, inputs, 3, 3) * 0.3
        state[f"features.{index}.bias"] = torch.randn(width) * 0.1
    return state


def small_state(width: int = 4) -> dict[str, Tensor]:
    torch.manual_seed(0)
    state = {"conv0.weight": torch.randn(3, 3, 1, 1), "conv0.bias": torch.randn(3)}
    for name, inputs in (("conv11", 3), ("conv12", width), ("conv21", width)):
        state[f"{name}.weight"] = torch.randn(width, inputs, 3, 3) * 0.3
        state[f"{name}.bias"] = torch.randn(width) * 0.1
    state["conv11_aux.weight"] = torch.randn(8, width, 1, 1)
    return state


def test_vgg_by_its_definition(tmp_path: Path) -> None:
    """Against a plain reading of the paper; away from the border, where the padding differs."""
    state = vgg_state([0, 2, 5])
    path = tmp_path / "vgg.pth"
    torch.save(state, path)
    encoder = load_encoder(path)
    assert encoder.layers == ("relu1_1", "relu1_2", "relu2_1")
    picture = torch.rand(1, 3, 20, 16)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))

    def layer(x: Tensor, index: int) -> Tensor:
        weight, bias = state[f"features.{index}.weight"], state[f"features.{index}.bias"]
        return F.relu(F.conv2d(x, weight, bias, padding=1))

    first = layer((picture - mean) / std, 0)
    second = layer(first, 2)
    third = layer(F.max_pool2d(second, 2), 5)
    found = encoder(picture, ["relu1_1", "relu2_1"])
    assert set(found) == {"relu1_1", "relu2_1"}
    assert torch.allclose(found["relu1_1"][..., 1:-1, 1:-1], first[..., 1:-1, 1:-1], atol=1e-5)
    assert torch.allclose(found["relu2_1"][..., 2:-2, 2:-2], third[..., 2:-2, 2:-2], atol=1e-5)


def test_small_encoder_by_its_definition(tmp_path: Path) -> None:
    state = small_state()
    path = tmp_path / "small.safetensors"
    save_file(state, path)
    encoder = load_encoder(path)
    picture = torch.rand(2, 3, 12, 8)
    x = F.conv2d(picture, state["conv0.weight"], state["conv0.bias"])
    for name in ("conv11", "conv12", "conv21"):
        if name == "conv21":
            x = F.max_pool2d(x, 2)
        x = F.pad(x, (1, 1, 1, 1), mode="reflect")
        x = F.relu(F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"]))
    assert torch.allclose(encoder(picture, ["relu2_1"])["relu2_1"], x, atol=1e-4)


def own_stack(width: int = 4) -> dict[str, tuple[Tensor, Tensor]]:
    torch.manual_seed(0)
    stack, inputs = {}, 3
    for name in ("relu1_1", "relu1_2", "relu2_1"):
        stack[name] = (torch.randn(width, inputs, 3, 3) * 0.3, torch.randn(width) * 0.1)
        inputs = width
    return stack


def test_a_saved_encoder_opens_as_defined(tmp_path: Path) -> None:
    stack, path = own_stack(), tmp_path / "own.safetensors"
    save_encoder(path, stack, {"teacher": "VGG-19"})
    assert [p.name for p in tmp_path.iterdir()] == ["own.safetensors"]
    encoder = load_encoder(path)
    assert encoder.layers == tuple(stack)
    picture = x = torch.rand(1, 3, 11, 8)
    for name, (weight, bias) in stack.items():
        if name == "relu2_1":
            x = F.max_pool2d(x, 2, ceil_mode=True)
        x = F.relu(F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), weight, bias))
    assert torch.allclose(encoder(picture, ["relu2_1"])["relu2_1"], x, atol=1e-5)


def test_a_stack_that_does_not_fit_is_not_saved(tmp_path: Path) -> None:
    stack, path = own_stack(), tmp_path / "own.safetensors"
    swapped = {name: stack[name] for name in ("relu1_1", "relu2_1", "relu1_2")}
    with pytest.raises(ValueError, match="in this order"):
        save_encoder(path, swapped)
    with pytest.raises(ValueError, match=r"relu1_2: .* no 3x3 convolution of 4 channels"):
        save_encoder(path, {**stack, "relu1_2": stack["relu1_1"]})
    assert not list(tmp_path.iterdir())


def test_names_of_vgg16_and_vgg19(tmp_path: Path) -> None:
    sixteen = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24]
    nineteen = [0, 2, 5, 7, 10, 12, 14, 16, 19, 21]
    for indices, count, last in ((sixteen, 11, "relu5_1"), (nineteen, 10, "relu4_2")):
        path = tmp_path / "vgg.safetensors"
        save_file(vgg_state(indices), path)
        encoder = load_encoder(path)
        assert len(encoder.layers) == count
        assert encoder.layers[-1] == last


def test_goes_no_deeper_than_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "vgg.safetensors"
    save_file(vgg_state([0, 2, 5, 7]), path)
    encoder = load_encoder(path)
    calls = []
    plain = F.conv2d
    monkeypatch.setattr(F, "conv2d", lambda *a, **k: calls.append(1) or plain(*a, **k))
    encoder(torch.rand(1, 3, 16, 16), ["relu1_2"])
    assert len(calls) == 2


def test_an_unknown_layer_names_the_deepest(tmp_path: Path) -> None:
    path = tmp_path / "vgg.safetensors"
    save_file(vgg_state([0, 2, 5]), path)
    with pytest.raises(ValueError, match=r"whose weights end at 'relu2_1', has no layer 'relu4_1'"):
        load_encoder(path)(torch.rand(1, 3, 16, 16), ["relu4_1"])


def test_gradients_reach_the_picture_and_no_weight(tmp_path: Path) -> None:
    path = tmp_path / "small.safetensors"
    save_file(small_state(), path)
    encoder = load_encoder(path, dtype=torch.bfloat16)
    picture = torch.rand(1, 3, 16, 16, requires_grad=True)
    found = encoder(picture, ["relu1_1", "relu2_1"])
    assert found["relu2_1"].dtype == torch.bfloat16
    sum(f.float().square().sum() for f in found.values()).backward()
    assert picture.grad is not None
    assert picture.grad.abs().sum() > 0
    assert not any(p.requires_grad for p in encoder.parameters())


def test_in_place_relu_spoils_no_earlier_layer(tmp_path: Path) -> None:
    path = tmp_path / "small.safetensors"
    save_file(small_state(), path)
    encoder = load_encoder(path)
    picture = torch.rand(1, 3, 16, 16)
    alone = encoder(picture, ["relu1_1"])["relu1_1"]
    assert torch.equal(encoder(picture, ["relu1_1", "relu2_1"])["relu1_1"], alone)


def test_loading_names_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such weights file"):
        load_encoder(tmp_path / "none.pth")
    for name in ("bad.pth", "bad.safetensors"):
        (tmp_path / name).write_bytes(b"not weights at all, but long enough to look at")
        with pytest.raises(ValueError, match=name):
            load_encoder(tmp_path / name)
    save_file({"other": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="none of the networks known here"):
        load_encoder(tmp_path / "other.safetensors")
    save_file(vgg_state([0, 3]), tmp_path / "odd.safetensors")
    with pytest.raises(ValueError, match="none of the networks"):
        load_encoder(tmp_path / "odd.safetensors")


def test_small_encoder_resembles_vgg19(shared_data: Path) -> None:
    """The pruned encoder's aux map of relu3_1 follows real VGG-19: both loaders are right."""
    small_path = shared_data / "weights" / "small16x" / "encoder_relu3_1.safetensors"
    small = load_encoder(small_path)
    vgg = load_encoder(
        shared_data / "weights" / "vgg19_normalised_to_relu3_1_imagenetnorm.safetensors"
    )
    import cv2

    picture = cv2.imread(str(shared_data / "content" / "misc" / "chelsea.png"))[..., ::-1]
    state = load_file(small_path)
    aux = state["conv31_aux.weight"], state["conv31_aux.bias"]

    def likeness(x: Tensor) -> float:
        mapped = F.relu(F.conv2d(small(x, ["relu3_1"])["relu3_1"], *aux))
        real = vgg(rgb, ["relu3_1"])["relu3_1"]
        return float(torch.corrcoef(torch.stack([mapped.flatten(), real.flatten()]))[0, 1])

    rgb = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None] / 255.0
    assert likeness(rgb) > 0.6
    assert likeness(rgb) > likeness(rgb.flip(1)) + 0.03
