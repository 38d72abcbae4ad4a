"""LPIPS with its calibrated weights, where the user has them."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_studies_commands import POSTERIZE, stylepipe

from stylepipe.nst import lpips

__all__ = ["stylepipe"]
SQUEEZE = (64, 128, 256, 384, 384, 512, 512)


def calibration(path, channels):
    generator = torch.Generator().manual_seed(0)
    tensors = {
        f"lin{i}.model.1.weight": torch.rand(1, n, 1, 1, generator=generator)
        for i, n in enumerate(channels)
    }
    torch.save(tensors, path)
    return tensors


@pytest.fixture
def pictures(stylepipe, monkeypatch, tmp_path):
    """``a.png`` and ``b.png``, weights that nobody trained, no fetched ones; ``measure``."""
    from torchvision.models import squeezenet1_1

    torch.manual_seed(0)
    net = squeezenet1_1(weights=None)
    torch.save(net.state_dict(), "net.pth")
    calibration("squeeze.pth", SQUEEZE)
    monkeypatch.setenv("STYLEPIPE_CACHE", str(tmp_path / "cache"))
    random = np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        Image.fromarray(random.integers(0, 256, (48, 64, 3), dtype=np.uint8)).save(name)

    def measure(*more):
        return stylepipe("measure", "a.png", "--photo", "b.png", "--csv", "t.csv", *more)

    return measure


FLAGS = ("--perceptual-calibration", "squeeze.pth", "--perceptual-weights", "net.pth")


def figures(path):
    (line,) = csv.DictReader(Path(path).read_text().splitlines())
    return line


def test_lpips_is_that_of_another_implementation_and_says_by_what(pictures):
    """But for the edges, which the encoder sees more of."""
    peer = pytest.importorskip("torchmetrics.functional.image.lpips")
    for name in ("a.png", "b.png"):
        with Image.open(name) as picture:
            picture.resize((256, 192), Image.Resampling.NEAREST).save(name)
    code, out, err = pictures(*FLAGS)
    assert code == 0 and "lpips" in out and "left out" not in err
    assert (
        "judged by the compact encoder; lpips by SqueezeNet 1.1 (net.pth), calibrated by "
        "squeeze.pth (LPIPS, version unknown)"
    ) in err
    other = peer._LPIPS(pretrained=True, net="squeeze", pnet_rand=True, model_path="squeeze.pth")
    features = {
        key.removeprefix("features."): value
        for key, value in torch.load("net.pth", weights_only=True).items()
        if key.startswith("features.")
    }
    own = dict(zip(other.net.state_dict(), features.values(), strict=True))
    other.net.load_state_dict(own)
    a, b = (
        torch.from_numpy(np.asarray(Image.open(name)).copy()).permute(2, 0, 1)[None] / 127.5 - 1
        for name in ("a.png", "b.png")
    )
    assert float(figures("t.csv")["lpips"]) == pytest.approx(float(other(a, b)), rel=0.02)


def test_without_weights_it_is_left_out_by_name(pictures):
    code, out, err = pictures()
    assert code == 0 and "lpips" not in out
    assert "lpips is left out: it needs weights (--perceptual-calibration FILE)" in err


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (FLAGS[2:], 2, "--perceptual-weights is for --perceptual-calibration FILE"),
        (FLAGS[:2], 4, "'squeezenet1_1' are not on this machine yet: fetch them with stylepipe"),
        ((FLAGS[0], "a.png"), 2, "--perceptual-calibration: a.png: not a checkpoint"),
        ((FLAGS[0], "alex.pth"), 2, "alex.pth: is for AlexNet, which is no encoder here"),
        ((FLAGS[0], "net.pth"), 2, "net.pth: holds no calibrated weights of LPIPS"),
        ((*FLAGS[:3], "squeeze.pth"), 4, "squeeze.pth: holds none of the networks known here"),
    ],
)
def test_weights_that_do_not_serve_are_refused(pictures, flags, code, said):
    calibration("alex.pth", (64, 192, 384, 256, 256))
    found, _, err = pictures(*flags)
    assert found == code and said in err and not Path("t.csv").exists()


def test_it_is_for_pictures(stylepipe, pictures):
    code, _, err = stylepipe("measure", "a", "b", *FLAGS)
    assert code == 2 and "--perceptual-calibration is for pictures, whose photo --photo" in err


def test_a_sweep_and_a_comparison_have_it_too(stylepipe, pictures):
    stylepipe("run", "a.png", "-o", "two/a.png", *POSTERIZE, "--levels", 2)
    code, _, err = stylepipe(
        "sweep", "a.png", "-o", "s", *POSTERIZE, "--vary", "stylizer.levels=2", *FLAGS
    )
    assert code == 0, err
    assert stylepipe("compare", "two", "--photo", "a.png", "-o", "c", *FLAGS)[0] == 0
    assert float(figures("s/table.csv")["lpips"]) > 0
    assert figures("s/table.csv")["lpips"] == figures("c/table.csv")["lpips"]
    assert "lpips by SqueezeNet 1.1" in Path("s/index.html").read_text()


def test_published_weights_are_known_by_their_version(tmp_path, monkeypatch):
    tensors = calibration(tmp_path / "x.pth", SQUEEZE)
    digest = lpips.tensors_digest(tensors)
    assert lpips.read_published(tmp_path / "x.pth").version == "unknown"
    monkeypatch.setitem(lpips._VERSIONS, digest, "0.7")
    assert lpips.read_published(tmp_path / "x.pth").version == "0.7"
    own = pytest.importorskip("torchmetrics.functional.image.lpips")
    shipped = Path(own.__file__).with_name("lpips_models") / "vgg.pth"
    found = lpips.read_published(shipped)
    assert (found.network, found.version) == ("VGG-16", "0.1")
