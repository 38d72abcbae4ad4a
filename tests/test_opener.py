"""Photos, masks, paintings, maps and animations come in by one door, with one limit."""

from pathlib import Path

import numpy as np
import pytest
from imagefiles import probe
from PIL import EpsImagePlugin, Image
from stylepipe_plugins.masks import FilesMasker

from stylepipe import Context, ItemError, UsageError, open_picture, read_picture
from stylepipe.cli import main
from stylepipe.device import pick
from stylepipe.media.video import VideoReader
from stylepipe.region_maps import region_names

POSTERIZE = str(Path(__file__).parents[1] / "examples" / "posterize.py")
FOREIGN = ("EPS", "PDF", "PPM", "TGA", "ICO", "PCX", "SGI", "MSP")
"""Formats that Pillow writes and the engine does not read."""


def picture(width: int = 40, height: int = 30) -> Image.Image:
    return Image.linear_gradient("L").resize((width, height)).convert("RGB")


def animation(path: Path, *sizes: tuple[int, int]) -> Path:
    frames = [picture(*size).rotate(90 * i) for i, size in enumerate(sizes)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100)
    return path


def video(path: Path, **options):
    return VideoReader(VideoReader.Options(**options)).probe(path)


def opened(path: Path) -> tuple[int, int]:
    with open_picture(path) as image:
        return image.size


def run(*args: object) -> int:
    return main.run(["posterize", *map(str, args), "--plugin", POSTERIZE])


@pytest.mark.parametrize("kind", FOREIGN)
def test_formats_that_are_not_ours_are_opened_by_nobody(tmp_path, kind):
    path = tmp_path / "m.png"
    picture().convert("1" if kind == "MSP" else "RGB").save(path, kind)
    for door in (probe, video, read_picture, opened):
        with pytest.raises(ItemError, match="is no picture, whatever its name says"):
            door(path)


def test_a_mask_of_postscript_starts_nothing_and_costs_its_item(tmp_path, monkeypatch, capsys):
    pytest.importorskip("torch")
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *a, **k: pytest.fail("it runs"))
    picture().save(tmp_path / "photo.png")
    picture().save(tmp_path / "m.png", "EPS")
    assert run(tmp_path / "photo.png", "-o", tmp_path / "out", "--mask", tmp_path / "m.png") == 1
    assert "the file is no picture, whatever its name says" in capsys.readouterr().err


def test_an_animation_is_no_mask(tmp_path, capsys):
    pytest.importorskip("torch")
    picture().save(tmp_path / "photo.png")
    mask = animation(tmp_path / "m.gif", (40, 30), (40, 30))
    assert run(tmp_path / "photo.png", "-o", tmp_path / "out", "--mask", mask) == 1
    assert "it moves: only still pictures can be used" in capsys.readouterr().err


def test_max_pixels_holds_for_masks_too(tmp_path, capsys):
    pytest.importorskip("torch")
    picture().save(tmp_path / "photo.png")
    picture(80, 60).save(tmp_path / "m.png")
    job = [tmp_path / "photo.png", "-o", tmp_path / "out", "--mask", tmp_path / "m.png"]
    assert run(*job, "--max-pixels", 1200) == 1
    assert "claims 80x60 pixels, more than the 1,200 allowed" in capsys.readouterr().err
    assert run(*job, "--max-pixels", 4800) == 0


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".avif"])
def test_max_pixels_holds_for_animations_too(tmp_path, suffix):
    path = animation(tmp_path / f"a{suffix}", (40, 32), (40, 32))
    assert video(path, max_pixels=40 * 32).frames == 2
    with pytest.raises(ItemError, match="40x32 pixels, more than the 1,279 allowed"):
        video(path, max_pixels=40 * 32 - 1)


def test_a_gif_cannot_grow_beyond_the_limit(tmp_path):
    """Its later frames may be larger than the canvas that its header tells."""
    path = animation(tmp_path / "a.gif", (8, 8), (8, 8))
    data = bytearray(path.read_bytes())
    second = data.index(b",", data.index(b",") + 1)  # an image descriptor begins with a comma
    data[second + 5 : second + 9] = (4000).to_bytes(2, "little") * 2
    path.write_bytes(data)
    with pytest.raises(ItemError, match="claims 4000x4000 pixels, more than the 1,000,000"):
        video(path, max_pixels=1_000_000)


def test_the_limit_of_pillow_decides_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    path = animation(tmp_path / "a.gif", (40, 32), (40, 32))
    assert video(path).frames == 2
    picture().save(tmp_path / "m.png")
    with open_picture(tmp_path / "m.png") as opened:
        assert np.asarray(opened).shape == (30, 40, 3)
    assert Image.MAX_IMAGE_PIXELS == 100


def test_paintings_and_maps_obey_the_limit_of_the_job(tmp_path):
    pytest.importorskip("torch")
    from stylepipe.stylizers import given_picture

    picture().save(tmp_path / "p.png")
    for limit in (1199, 1200):
        context = Context(pick("cpu", "full"), 1 << 30, print, max_pixels=limit)
        if limit == 1200:
            assert given_picture(tmp_path / "p.png", context).shape == (1, 3, 30, 40)
            continue
        with pytest.raises(UsageError, match="more than the 1,199 allowed"):
            given_picture(tmp_path / "p.png", context)
        with pytest.raises(ItemError, match="more than the 1,199 allowed"):
            region_names([tmp_path / "p.png"], limit)


def test_the_readers_limit_reaches_the_mask(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    seen = []
    monkeypatch.setattr(FilesMasker, "open", lambda self, context: seen.append(context.max_pixels))
    monkeypatch.setattr(FilesMasker, "mask", lambda self, batch, frames: batch.images[:, :1])
    picture().save(tmp_path / "photo.png")
    mask = ["--mask", tmp_path / "photo.png"]
    run(tmp_path / "photo.png", "-o", tmp_path / "a", *mask)
    run(tmp_path / "photo.png", "-o", tmp_path / "b", *mask, "--max-pixels", 5000)
    assert seen == [300_000_000, 5000]
