"""Masks and maps of regions in files: they are found, read and fitted alike."""

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from imagefiles import tiff
from PIL import Image
from stylepipe_plugins.masks import AlphaMasker, FilesMasker

from stylepipe import PICTURE_SUFFIXES, Batch, Frame, Item, ItemError, UsageError, region_maps
from stylepipe.cli import main
from stylepipe.testing import MaskerContract

H, W = 12, 36
POSTERIZE = str(Path(__file__).parents[1] / "examples" / "posterize.py")


def masker(cls=FilesMasker, **options):
    made = cls(cls.Options(**options))
    made.open(SimpleNamespace(max_pixels=1_000_000))
    return made


def ask(made, source="photo.jpg", index=0, count=1, size=(H, W), alpha=None):
    """Names and planes for frames of the item ``in/source``."""
    item = Item(0, Path("in") / source, Path("in"), Path("out") / source)
    pixels = np.zeros((*size, 3), np.uint8)
    frames = [Frame(pixels, alpha, index=index + i) for i in range(count)]
    planes = made.mask(Batch(torch.zeros(count, 3, *size), item), frames)
    return made.regions_of(item), planes


def save(array, path: Path, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


def columns(*colors, size=(H, W)) -> np.ndarray:
    """Columns of equal width, H W 3."""
    wide = np.array(colors, np.uint8)[np.arange(size[1]) * len(colors) // size[1]]
    return np.broadcast_to(wide, (size[0], size[1], 3)).copy()


BLACK, RED, WHITE = (0, 0, 0), (255, 0, 0), (255, 255, 255)


# -- what goes wrong, in the same words for both -------------------------------------------------


@pytest.mark.parametrize(("flag", "what"), [("path", "mask"), ("regions", "map of regions")])
def test_what_is_wrong_with_files_is_told_alike(tmp_path, flag, what):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / ".hidden.png").touch()
    with pytest.raises(UsageError, match=f"there is no {what} at .*none; name a picture, or a"):
        masker(**{flag: tmp_path / "none"})
    with pytest.raises(UsageError, match=rf"holds no pictures, .* a {what} \(\.jpg \.jpeg .*\.hif"):
        masker(**{flag: tmp_path / "empty"})
    save(columns(BLACK, WHITE), tmp_path / "m" / "clip" / "1.png")
    save(columns(BLACK, WHITE, size=(W, H)), tmp_path / "m" / "turned.png")
    save(columns(BLACK, WHITE, size=(H, 5 * W)), tmp_path / "m" / "wide.png")
    (tmp_path / "m" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    made = masker(**{flag: tmp_path / "m"})
    for source, words in (
        ("a/x.jpg", rf"it has no {what}; looked for .*a/x\.jpg\.\*, .*a/x\.\* and the folder"),
        ("broken.jpg", rf"the {what} .*broken\.png cannot be read: "),
        ("wide.jpg", rf"the {what} .*wide\.png is 180x12, but the picture 36x12"),
        ("turned.jpg", "it lies on its side"),
    ):
        with pytest.raises(ItemError, match=words):
            ask(made, source)
    with pytest.raises(ItemError, match=rf"frame 2 has no {what}; .*clip holds 1"):
        ask(made, "clip.mp4", index=1)


@pytest.mark.parametrize("flag", ["mask", "regions"])
def test_an_empty_folder_is_refused_before_anything_is_opened(tmp_path, flag, monkeypatch, capsys):
    monkeypatch.setattr("stylepipe.device.pick", lambda *a: pytest.fail("a device is picked"))
    save(columns(BLACK, WHITE), tmp_path / "photo.png")
    (tmp_path / "empty").mkdir()
    job = ["run", str(tmp_path / "photo.png"), "-o", str(tmp_path / "out.png"), "-s", "scream"]
    assert main.run([*job, f"--{flag}", str(tmp_path / "empty")]) == 2
    assert "holds no pictures" in capsys.readouterr().err
    assert main.run([*job, "--mask", "files"]) == 2
    assert "need a path" in capsys.readouterr().err


def test_regions_of_another_masker_are_refused(tmp_path, capsys):
    save(columns(BLACK, WHITE), tmp_path / "photo.png")
    job = ["run", str(tmp_path / "photo.png"), "-o", str(tmp_path / "o"), "-s", "scream"]
    thirds = ["--mask", "thirds", "--plugin", str(Path(__file__).with_name("thirds.py"))]
    assert main.run([*job, *thirds, "--regions", str(tmp_path / "photo.png")]) == 2
    err = capsys.readouterr().err
    assert "'regions'" in err and len(err.splitlines()) == 1


def test_too_many_regions_of_a_film_are_refused(tmp_path):
    for index in range(9):
        save(columns((index, 0, 0), (0, index + 1, 9)), tmp_path / "clip" / f"{index}.png")
    with pytest.raises(ItemError, match="clip have 18 regions together, 16 at most"):
        ask(masker(regions=tmp_path), "clip.mp4")


# -- regions ---------------------------------------------------------------------------------------


def test_regions_go_from_dark_to_bright_and_are_called_by_their_colors(tmp_path):
    names, planes = ask(masker(regions=save(columns(WHITE, BLACK, RED), tmp_path / "map.png")))
    assert names == ("#000000", "#ff0000", "#ffffff")
    expected = [[0, 1, 0], [0, 0, 1], [1, 0, 0]]
    assert planes[0, :, 5, 4::12].tolist() == expected and planes.shape == (1, 3, H, W)


def test_regions_lie_within_the_mask(tmp_path):
    drawn = save(columns(BLACK, WHITE, size=(2 * H, 2 * W)), tmp_path / "mask.png")
    regions = save(columns(RED, BLACK, RED, BLACK), tmp_path / "map.png")
    _, planes = ask(masker(path=drawn, regions=regions))
    assert planes[0, :, 5, 4::9].tolist() == [[0, 0, 0, 1], [0, 0, 1, 0]]
    alpha = np.full((H, W), 51, np.uint8)
    _, planes = ask(masker(AlphaMasker, regions=regions), alpha=alpha)
    assert planes[0, :, 5, 3].tolist() == pytest.approx([0, 0.2])


def test_a_film_has_the_regions_of_all_its_maps(tmp_path):
    """One that comes late counts from the first frame on, and a sliver of it is its own."""
    for index in range(12):
        drawn = columns(BLACK, WHITE) if index < 10 else columns(BLACK, RED, WHITE)
        if index == 9:
            drawn[:, W // 2 - 1] = RED
        save(drawn, tmp_path / "clip" / f"frame{index}.png")
    save(columns(BLACK), tmp_path / "clip" / "._frame0.png")  # such as some systems leave behind
    made = masker(regions=tmp_path)
    for first in (0, 10):
        names, planes = ask(made, "clip.mp4", index=first, count=2)
        assert names == ("#000000", "#ff0000", "#ffffff") and planes.shape[:2] == (2, 3)
        assert bool(planes[:, 1].any()) == (first == 10)
    assert ask(made, "clip.mp4", index=9)[1][0, 1].sum() == H


@pytest.mark.parametrize("flag", ["path", "regions"])
def test_a_folder_of_frames_may_have_a_dot_in_its_name(tmp_path, flag):
    for index in range(3):
        drawn = columns(BLACK, WHITE) if index == 1 else columns(WHITE, BLACK)
        save(drawn, tmp_path / "shot.v2" / f"{index}.png")
    for index, first in enumerate((1, 0, 1)):
        planes = ask(masker(**{flag: tmp_path}), "shot.v2", index=index)[1]
        assert planes[0, -1, 0, 0] == first


def test_the_edges_of_a_large_map_take_little_memory(monkeypatch):
    seen = []
    nearest = region_maps._nearest
    monkeypatch.setattr(
        region_maps, "_nearest", lambda found, known: seen.append(found) or nearest(found, known)
    )
    labels = np.full((200, 300), 0xFF0000, np.uint32)
    labels[:, 150:] = 0x0000FF
    labels[:, ::2] ^= 0x010101
    labels[:, 7] = 0x020202
    monkeypatch.setattr(region_maps, "_read", lambda file, limit: labels.copy())
    names = ("#ff0000", "#0000ff")
    planes = region_maps.region_planes(Path("m.png"), names, labels.shape, 10**6)
    assert planes[0, :, :150].all() and planes[1, :, 150:].all() and len(seen[0]) == 3


@pytest.mark.parametrize("suffix", sorted({*PICTURE_SUFFIXES} & {".png", ".jfif", ".webp", ".gif"}))
def test_both_take_pictures_of_every_suffix(tmp_path, suffix):
    kind = {".jfif": "JPEG"}.get(suffix, suffix[1:].upper())
    file = tmp_path / f"photo{suffix}"
    save(columns(BLACK, WHITE, size=(48, 96)), file, format=kind, quality=95)
    for flag, planes in (("path", 1), ("regions", 2)):
        found = ask(masker(**{flag: tmp_path}), size=(48, 96))[1]
        assert found.shape == (1, planes, 48, 96) and found[0, -1, 5, 90] == 1


def test_transparent_parts_of_a_map_are_white(tmp_path):
    drawn = np.dstack([columns(BLACK, RED), columns((255,), (0,))[..., :1]])
    assert ask(masker(regions=save(drawn, tmp_path / "m.png")))[0] == ("#000000", "#ffffff")


class TestMaps(MaskerContract):
    component = FilesMasker
    sizes = ((64, 48), (32, 24), (4, 3))

    @pytest.fixture
    def made(self, tmp_path: Path) -> FilesMasker:
        drawn = save(columns(BLACK, WHITE, size=(48, 64)), tmp_path / "map.png")
        return FilesMasker(FilesMasker.Options(regions=drawn))


# -- TIFF of rarer kinds, as of photos ----------------------------------------------------------


RARE = {
    "float64": lambda half: half.astype(np.float64) / 255,
    "uint32": lambda half: half.astype(np.uint32) << 24 | 0xFFFFFF * (half > 0).astype(np.uint32),
}


@pytest.mark.parametrize("kind", RARE)
@pytest.mark.parametrize("flag", ["path", "regions"])
def test_tiff_of_rarer_kinds_is_read_with_the_extra(tmp_path, kind, flag, monkeypatch):
    values = RARE[kind](columns(BLACK, WHITE)[..., 0])
    (tmp_path / "m.tif").write_bytes(tiff(values, photometric=1))
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(ItemError, match=r"not supported without pip install 'stylepipe\[tiff\]'"):
        ask(masker(**{flag: tmp_path / "m.tif"}))

    def imread(file: io.BytesIO, key: int) -> np.ndarray:
        return values

    monkeypatch.setitem(sys.modules, "tifffile", SimpleNamespace(imread=imread))
    planes = ask(masker(**{flag: tmp_path / "m.tif"}))[1]
    assert planes[0, -1, 5, [2, 30]].tolist() == [0, 1]
