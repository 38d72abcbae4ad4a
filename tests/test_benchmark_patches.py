"""The benchmark of patches: what its judges find, bad requests, and its tables in small."""

import sys
from pathlib import Path
from types import ModuleType

import pytest
import tinyencoder
import torch

BENCHMARKS = Path(__file__).parent / "benchmarks"


@pytest.fixture
def patches(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import patches

    monkeypatch.setattr(patches, "TRAINING", 15)
    monkeypatch.setattr(patches, "PATCH", 16)  # an eighth of the work of the benchmark's own
    return patches


def test_patches_of_one_texture_cannot_be_told_apart_those_of_two_can(patches: ModuleType) -> None:
    blots, same = (tinyencoder.picture(64, 96, seed=s) for s in (1, 2))
    stripes = blots.mean(dim=2, keepdim=True).expand_as(blots)
    assert 0.3 < patches.picture_identities(blots, same) < 0.7
    assert patches.picture_identities(blots, stripes) > 0.9


def test_a_part_of_a_painting_is_near_it_and_does_not_use_all_of_it(patches: ModuleType) -> None:
    painting = tinyencoder.picture(32, 48)
    part = patches.both_ways(painting[..., :24], painting, side=5)
    assert part["near"] < 1e-4 < 0.1 < part["used"]
    other = patches.both_ways(tinyencoder.picture(32, 48, seed=1), painting, side=5)
    assert other["near"] > 0.1 and other["used"] > part["used"]


@pytest.fixture
def call(patches: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A command line of one pair of small pictures."""
    monkeypatch.setattr(patches, "TRAINING", 2)
    weights = str(tinyencoder.encoder_file(tmp_path))
    for name, seed, contrast in (("photo.png", 1, 0.3), ("painting.png", 2, 1.0)):
        tinyencoder.save(tmp_path / name, contrast * tinyencoder.picture(64, 70, seed))
    argv = ["patches.py", "--photos", str(tmp_path / "photo.png"), "--side", "64"]
    argv += ["--paintings", str(tmp_path / "painting.png"), "--steps", "5"]
    return [*argv, "--encoder", "auto", "--encoder-weights", weights]


def run(patches: ModuleType, argv: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", argv)
    patches.main()


@pytest.mark.parametrize("weights, message", [("1", "such as 1:0.5"), ("1:-1", "0 or more")])
def test_weights_that_cannot_be_are_refused(
    weights: str,
    message: str,
    patches: ModuleType,
    call: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(patches, [*call, "--weights", "1:0", weights], monkeypatch)
    assert message in capsys.readouterr().err


def test_small_pictures_are_refused_before_they_are_painted(
    patches: ModuleType, call: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patches, "paint", lambda *_: pytest.fail("painted"))
    with pytest.raises(SystemExit, match="raise --side"):
        run(patches, [*call, "--side", "32"], monkeypatch)


def test_tables_and_sheet(
    patches: ModuleType,
    call: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    judge = ["--judge", "auto", "--judge-weights", str(tmp_path / "tiny.safetensors")]
    more = ["--weights", "1:0", "1:1", *judge, "-o", str(tmp_path / "sheet.png")]
    run(patches, [*call, *more], monkeypatch)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    heads = next(line for line in lines if "told" in line)
    table = {line[0]: line[1:] for line in lines if line and line[0] in ("1:0", "the")}
    photo = dict(zip(heads, map(float, table["the"][1:]), strict=True))
    painted = dict(zip(heads, map(float, table["1:0"]), strict=True))
    assert photo["content"] == 0 and photo["ssim"] == 1 and photo["style"] > painted["style"]
    assert painted["content"] > 0 and painted["ssim"] < 1 and painted["cpu"] > 0
    counts = next(line[1:] for line in lines[::-1] if line[:1] == ["1:1"])
    assert len(counts) == len(heads) and set(counts) <= {"0", "1"}
    sheet = torch.from_numpy(tinyencoder.read(tmp_path / "sheet.png"))
    assert sheet.shape == (64, 4 * 70, 3), "photo, painting, two results"


def test_ends_early_with_what_is_done(
    patches: ModuleType,
    call: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pictures, paint = [], patches.paint

    def stopped(*args: object) -> object:
        pictures.append(args)
        if len(pictures) == 4:  # the second pair's second picture
            raise KeyboardInterrupt
        return paint(*args)

    monkeypatch.setattr(patches, "paint", stopped)
    (photo,) = (a for a in call if a.endswith("photo.png"))
    argv = [*call, "--photos", photo, photo, "--weights", "1:0", "1:1"]
    run(patches, argv, monkeypatch)
    assert "better than 1:0, of 1\n" in capsys.readouterr().out
