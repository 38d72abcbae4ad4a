"""Opening encoders by name: from the package, from the cache, from a file; and what is told."""

import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from stylepipe import encoders, read_picture
from stylepipe.errors import SetupError, UsageError
from stylepipe.nst.encoders import NAMES, WeightsError, open_encoder, opening, save_encoder
from stylepipe.nst.names import FETCHED_AS
from stylepipe.weights import KNOWN

PHOTO = Path(__file__).parents[1] / "examples" / "photos" / "lake.jpg"


def convolutions(*names: str) -> dict[str, tuple[Tensor, Tensor]]:
    torch.manual_seed(0)
    sizes = [3, *[4] * len(names)]
    return {n: (torch.randn(4, sizes[i], 3, 3), torch.randn(4)) for i, n in enumerate(names)}


@pytest.fixture
def bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny encoder where the package has its own."""
    path = tmp_path / "package" / "compact.safetensors"
    path.parent.mkdir()
    save_encoder(path, convolutions("relu1_1", "relu2_1"))
    monkeypatch.setattr(opening, "BUNDLED", path)
    return path


@pytest.fixture
def vgg19(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny VGG-19 on a server, and an empty cache; returns where it lies once it was fetched."""
    monkeypatch.setenv("STYLEPIPE_CACHE", str(tmp_path / "cache"))
    served = tmp_path / "vgg19.pth"
    layers = zip((0, 2, 5), convolutions("relu1_1", "relu1_2", "relu2_1").values(), strict=True)
    state = {}
    for index, (weight, bias) in layers:
        state |= {f"features.{index}.weight": weight, f"features.{index}.bias": bias}
    torch.save(state, served)
    digest = hashlib.sha256(served.read_bytes()).hexdigest()
    entry = replace(KNOWN["vgg19"], url=served.as_uri(), sha256=digest)
    monkeypatch.setitem(KNOWN, "vgg19", entry)  # type: ignore[arg-type]
    return entry.path


def test_auto_is_the_one_in_the_package_until_vgg19_was_fetched(bundled: Path, vgg19: Path) -> None:
    told: list[str] = []
    assert open_encoder(log=told.append).title == "the compact encoder"
    assert told == ["encoder: the compact encoder to relu2_1 (in the package)"]
    open_encoder("vgg19")
    assert open_encoder(log=told.append).title == "VGG-19"
    assert told[1] == f"encoder: VGG-19 to relu2_1 ({vgg19})"
    assert open_encoder("compact", log=told.append).title == "the compact encoder"
    assert told[2] == "encoder: the compact encoder to relu2_1 (in the package)"


def test_without_the_file_in_the_package(
    tmp_path: Path, vgg19: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "BUNDLED", tmp_path / "none.safetensors")
    for name in ("auto", "compact"):
        with pytest.raises(WeightsError, match="compact encoder is missing from this installation"):
            open_encoder(name)


def test_a_named_network_is_fetched_if_that_is_allowed(vgg19: Path) -> None:
    with pytest.raises(WeightsError, match="'vgg19' are not on this machine"):
        open_encoder("vgg19", fetch=False)
    assert open_encoder("vgg19").title == "VGG-19"
    assert vgg19.is_file()
    assert open_encoder("vgg19", fetch=False).layers == ("relu1_1", "relu1_2", "relu2_1")
    vgg19.write_bytes(b"damaged")
    with pytest.raises(WeightsError, match="'vgg19' are damaged"):
        open_encoder("vgg19", fetch=False)
    assert open_encoder("vgg19").title == "VGG-19"


def test_what_cannot_be_fetched_can_be_named(vgg19: Path, tmp_path: Path) -> None:
    (tmp_path / "vgg19.pth").unlink()
    with pytest.raises(SetupError, match=r"cannot fetch .* name a file with --encoder-weights"):
        encoders.open_encoder("vgg19")


def test_users_are_told_how_to_get_another(bundled: Path, vgg19: Path) -> None:
    told: list[str] = []
    encoders.open_encoder(log=told.append)
    assert told[0].endswith("; for VGG-19: stylepipe weights fetch vgg19 (548 MB)")
    encoders.open_encoder("vgg19")
    encoders.open_encoder(log=told.append)
    assert told[1].endswith("; for the faster one in the package: --encoder compact")
    encoders.open_encoder("compact", log=told.append)
    assert told[2] == "encoder: the compact encoder to relu2_1 (in the package)"


def test_users_are_told_what_to_do(bundled: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such weights file"):
        encoders.open_encoder(weights=tmp_path / "none.pth")
    with pytest.raises(SetupError, match=r"holds a compact encoder, not ResNet-50$"):
        encoders.open_encoder("resnet50", bundled)
    bundled.unlink()
    with pytest.raises(SetupError, match=r"is missing .*; install stylepipe again, or name a file"):
        encoders.open_encoder("compact")


def test_every_name_has_weights() -> None:
    assert NAMES[0] == "auto" and set(NAMES[1:]) == {n.name for n in opening.NETWORKS}
    fetched = [FETCHED_AS.get(n, n) for n in NAMES if n not in ("auto", "compact")]
    assert len(fetched) == 6
    assert set(fetched) <= set(KNOWN)


def test_a_file_says_itself_what_it_is(vgg19: Path, tmp_path: Path, bundled: Path) -> None:
    told: list[str] = []
    path = tmp_path / "vgg19.pth"
    assert open_encoder(weights=path, log=told.append).title == "VGG-19"
    assert told == [f"encoder: VGG-19 to relu2_1 ({path})"]
    assert open_encoder("compact", bundled).title == "the compact encoder"
    with pytest.raises(WeightsError, match=r"vgg19\.pth: holds VGG-19, not ResNet-50"):
        open_encoder("resnet50", path)
    with pytest.raises(WeightsError, match=r"holds VGG-19, not a compact encoder"):
        open_encoder("compact", path)


def test_options_reach_the_encoder(vgg19: Path, tmp_path: Path) -> None:
    picture, path = torch.rand(1, 3, 12, 12), tmp_path / "vgg19.pth"
    found = {}
    for pooling in ("max", "average", "l2"):
        encoder = open_encoder("vgg19", path, pooling=pooling, dtype=torch.float64)
        assert encoder.dtype == torch.float64
        found[pooling] = encoder(picture, ["relu2_1"])["relu2_1"]
    assert not torch.allclose(found["max"], found["average"])
    assert not torch.allclose(found["l2"], found["average"])


def test_wrong_requests_are_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown encoder 'vgg-19' \(did you mean 'vgg19'\?\)"):
        open_encoder("vgg-19")
    with pytest.raises(ValueError, match="unknown pooling 'mean'; there are max, average, l2"):
        open_encoder(pooling="mean")
    with pytest.raises(FileNotFoundError, match="no such weights file"):
        open_encoder(weights=tmp_path / "none.pth")
    (tmp_path / "bad.pth").write_bytes(b"nothing of the kind")
    with pytest.raises(WeightsError, match=r"bad\.pth: not a checkpoint"):
        open_encoder(weights=tmp_path / "bad.pth")


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_file_that_cannot_be_read_is_told(
    vgg19: Path, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"mine.{suffix}"
    path.write_bytes(b"x")

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("torch.load", denied)
    monkeypatch.setattr("safetensors.torch.load_file", denied)
    with pytest.raises(
        WeightsError, match=rf"mine\.{suffix}: cannot be read \(Permission denied\)"
    ):
        open_encoder(weights=path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    import tinyencoder

    convolutions = tinyencoder.convolutions()
    convolutions["relu2_1"][0][0, 0, 0, 0] = value
    save_encoder(tmp_path / "mine.safetensors", convolutions)
    with pytest.raises(WeightsError, match=r"'relu2_1\.weight' holds values that are not finite"):
        open_encoder(weights=tmp_path / "mine.safetensors")


def test_a_tensor_of_another_shape_under_squeezenets_name(tmp_path: Path) -> None:
    tensors = {"features.0.weight": torch.tensor(1.0), "features.3.squeeze.weight": torch.ones(1)}
    torch.save(tensors, tmp_path / "odd.pth")
    with pytest.raises(WeightsError, match=r"odd\.pth: holds none of the networks known here"):
        open_encoder(weights=tmp_path / "odd.pth")


def test_opening_leaves_torchvision_alone(bundled: Path) -> None:
    """Its import takes as long as torch's."""
    code = (
        "import sys; from stylepipe.nst.encoders import load_encoder; "
        f"load_encoder({str(bundled)!r}); print('torchvision' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_encoder_in_the_package_is_small_and_complete() -> None:
    from safetensors import safe_open

    assert opening.BUNDLED.stat().st_size <= 3_000_000
    with safe_open(opening.BUNDLED, "pt") as file:
        assert file.metadata().keys() >= {"teacher", "data", "licence"}
    encoder = open_encoder("compact", fetch=False)
    assert encoder.layers[0] == "relu1_1" and encoder.layers[-1] == "relu5_1"
    photo = torch.from_numpy(read_picture(PHOTO)).permute(2, 0, 1)[None, :, ::4, ::4] / 255
    found = encoder(photo, encoder.layers)
    # Calibrated: the mean activation of each layer is about 1, over many photos.
    assert all(0.2 < float(features.mean()) < 5 for features in found.values())


def test_no_channel_of_the_encoder_in_the_package_can_explode() -> None:
    """Unless it is far from ever being active: relu4_1 has four, with which decoders were made."""
    encoder = open_encoder("compact", fetch=False)
    photo = torch.from_numpy(read_picture(PHOTO)).permute(2, 0, 1)[None, :, ::4, ::4] / 255
    noise = torch.rand(photo.shape, generator=torch.Generator().manual_seed(0))
    for module, name in zip(encoder.stages, encoder.layers, strict=True):
        convolution = next(m for m in module.modules() if isinstance(m, torch.nn.Conv2d))
        loud = torch.linalg.vector_norm(convolution.weight, dim=(1, 2, 3)) > 300
        if name != "relu4_1":
            assert not loud.any(), name
        for picture in (photo, noise):
            assert not encoder(picture, [name])[name][:, loud].any(), name
