"""Camera RAW is told from pictures, whatever its name, and developed where rawpy is there."""

import io
import struct
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from imagefiles import photo, probe, read, tiff
from PIL import Image

from stylepipe import open_picture
from stylepipe.cli import main
from stylepipe.errors import ItemError
from stylepipe.media import raw

POSTERIZE = str(Path(__file__).parents[1] / "examples" / "posterize.py")
Tags = list[tuple[int, int, int, bytes]]


def numbers(tag: int, kind: str, *values: int) -> tuple[int, int, int, bytes]:
    """A TIFF entry of bytes (B), shorts (H) or longs (I)."""
    data = struct.pack(f"<{len(values)}{kind}", *values)
    return tag, {"B": 1, "H": 3, "I": 4}[kind], len(values), data


def text(tag: int, words: str) -> tuple[int, int, int, bytes]:
    return tag, 2, len(words) + 1, words.encode() + b"\0"


def ratios(tag: int, *values: float) -> tuple[int, int, int, bytes]:
    data = b"".join(struct.pack("<2i", round(v * 10000), 10000) for v in values)
    return tag, 10, len(values), data


def directory(entries: Tags, at: int) -> bytes:
    """A directory that begins ``at`` that place of a little-endian TIFF, long values behind it."""
    table, values = struct.pack("<H", len(entries)), b""
    beyond = at + 2 + 12 * len(entries) + 4
    for tag, kind, count, data in sorted(entries):
        inline = data.ljust(4, b"\0")
        if len(data) > 4:
            inline = struct.pack("<I", beyond + len(values))
            values += data + bytes(len(data) % 2)
        table += struct.pack("<HHI", tag, kind, count) + inline
    return table + bytes(4) + values


def file(first: Tags, below: Tags, data: bytes = b"", thumb: tuple[int, int] = (80, 60)) -> bytes:
    """A TIFF of a gray preview with one directory below it, whose strip is ``data``."""
    width, height = thumb
    preview = bytes(range(60)) * (width * height * 3 // 60)

    def built(sub: int, strip: int, sensor: int) -> tuple[bytes, bytes]:
        top = [
            numbers(256, "I", width),
            numbers(257, "I", height),
            numbers(258, "H", 8, 8, 8),
            numbers(259, "H", 1),
            numbers(262, "H", 2),
            numbers(273, "I", strip),
            numbers(277, "H", 3),
            numbers(278, "I", height),
            numbers(279, "I", len(preview)),
            numbers(330, "I", sub),
            *first,
        ]
        under = [*below, numbers(273, "I", sensor), numbers(279, "I", len(data))]
        return directory(top, 8), directory(under, sub)

    top, under = built(0, 0, 0)
    sub = 8 + len(top)
    strip = sub + len(under)
    top, under = built(sub, strip, strip + len(preview))
    return b"II*\0" + struct.pack("<I", 8) + top + under + preview + data


def sensor_tags(height: int, width: int) -> Tags:
    return [
        numbers(254, "I", 0),
        numbers(256, "I", width),
        numbers(257, "I", height),
        numbers(258, "H", 16),
        numbers(259, "H", 1),
        numbers(262, "H", 32803),
        numbers(277, "H", 1),
        numbers(278, "I", height),
        numbers(33421, "H", 2, 2),
        numbers(33422, "B", 0, 1, 1, 2),
        numbers(50717, "I", 65535),
    ]


def dng(orientation: int = 1, height: int = 64, width: int = 96) -> bytes:
    """A RAW photo whose upper half is red and whose lower half is blue, as the sensor lies."""
    y, x = np.mgrid[0:height, 0:width]
    red, blue = (y % 2 == 0) & (x % 2 == 0), (y % 2 == 1) & (x % 2 == 1)
    cfa = np.where(np.where(y < height // 2, red, blue), 40000, 2000).astype("<u2")
    srgb = (3.2406, -1.5372, -0.4986, -0.9689, 1.8758, 0.0415, 0.0557, -0.2040, 1.0570)
    first = [
        numbers(254, "I", 1),
        text(271, "Maker"),
        text(272, "Model"),
        numbers(274, "H", orientation),
        text(306, "2024:01:02 03:04:05"),
        numbers(50706, "B", 1, 4, 0, 0),
        text(50708, "Maker Model"),
        ratios(50721, *srgb),
        ratios(50728, 1, 1, 1),
        numbers(50778, "H", 21),
    ]
    return file(first, sensor_tags(height, width), cfa.tobytes())


def preview(*first: tuple[int, int, int, bytes]) -> Tags:
    return [numbers(254, "I", 1), *first]


RAWS = {
    "DNG": dng(),
    "Nikon": file(preview(text(271, "NIKON CORPORATION")), sensor_tags(4000, 6000)),
    "Sony": file(preview(text(271, "SONY")), sensor_tags(4000, 6000)),
    "of an unknown camera": file(preview(), sensor_tags(4000, 6000)),
    "CR2": b"II*\0\x10\0\0\0CR\x02\0" + bytes(4) + directory([numbers(256, "I", 80)], 16),
    "CR3": b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom" + bytes(90),
    "RAF": b"FUJIFILMCCD-RAW 0201" + bytes(90),
    "ORF": b"IIRO\x08\0\0\0" + bytes(90),
    "RW2": b"IIU\0\x18\0\0\0" + bytes(90),
    "MRW": b"\0MRM" + bytes(90),
    "X3F": b"FOVb" + bytes(90),
    "CRW": b"II\x1a\0\0\0HEAPCCDR" + bytes(90),
}


@pytest.fixture
def without_rawpy(monkeypatch):
    monkeypatch.setitem(sys.modules, "rawpy", None)


@pytest.mark.parametrize("name", ["a.dng", "a.tif", "a.jpg"])
@pytest.mark.parametrize("kind", RAWS)
def test_raw_is_told_by_its_content(tmp_path, without_rawpy, kind, name):
    path = tmp_path / name
    path.write_bytes(RAWS[kind])
    for reading in (probe, read):
        with pytest.raises(ItemError, match=rf"camera RAW \({kind}\).* 'stylepipe\[raw\]'"):
            reading(path)


def test_a_preview_is_never_painted(tmp_path, without_rawpy, capsys):
    """In a folder, too, where the suffix decides what is looked at."""
    pytest.importorskip("torch")
    for name in ("a.dng", "b.nef", "c.tif"):
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_bytes(dng())
    out = tmp_path / "out"
    assert main.run(["posterize", str(tmp_path / "in"), "-o", str(out), "--plugin", POSTERIZE]) == 1
    told = capsys.readouterr().err
    assert told.count("camera RAW (DNG)") == 3
    assert not [p for p in out.rglob("*") if p.suffix in (".tif", ".jpg")]


def test_raw_is_no_mask(tmp_path):
    (tmp_path / "m.png").write_bytes(dng())
    with (
        pytest.raises(ItemError, match=r"camera RAW \(DNG\) can only be a photo"),
        open_picture(tmp_path / "m.png"),
    ):
        pass


def test_the_preview_of_another_picture_is_refused(tmp_path):
    full = [
        numbers(254, "I", 0),
        numbers(256, "I", 4000),
        numbers(257, "I", 3000),
        numbers(262, "H", 2),
    ]
    (tmp_path / "a.tif").write_bytes(file(preview(), full))
    with pytest.raises(ItemError, match=r"begins with a preview \(80x60\)"):
        probe(tmp_path / "a.tif")


@pytest.mark.parametrize("form", ["tif", "bigtiff", "mono"])
def test_ordinary_tiffs_are_none(tmp_path, form):
    path = tmp_path / "a.tif"
    picture = Image.fromarray(photo()).convert("L" if form == "mono" else "RGB")
    picture.save(path, big_tiff=form == "bigtiff")
    assert probe(path).format == "tiff"
    path.write_bytes(tiff(photo(), order=">", tag_254=0, tag_271="SONY"))
    assert (read(path).pixels == photo()).all()


def test_damaged_directories_never_raise_anything_else():
    bigger = io.BytesIO()
    Image.fromarray(photo()).save(bigger, "TIFF", big_tiff=True)
    random = np.random.default_rng(2)
    for data in (dng(), bigger.getvalue()):
        for _ in range(200):
            broken = bytearray(data[:700])
            for place in random.integers(4, 700, 8):
                broken[place] = random.integers(256)
            with suppress(ItemError):
                raw.kind(io.BytesIO(broken))
    far = b"II+\0\x08\0\0\0" + b"\xff" * 8 + bytes(20)
    assert raw.kind(io.BytesIO(far)) is None
    looped = b"II*\0\x08\0\0\0" + struct.pack("<H", 1) + struct.pack("<HHII", 330, 4, 1, 8)
    assert raw.kind(io.BytesIO(looped + struct.pack("<I", 8))) is None


# -- developed -----------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_raw_is_developed_full_size_and_upright(tmp_path, orientation):
    pytest.importorskip("rawpy")
    path = tmp_path / "a.dng"
    path.write_bytes(dng(orientation))
    info, frame = probe(path), read(path)
    turned = orientation in (6, 8)
    assert (info.width, info.height) == ((64, 96) if turned else (96, 64))
    assert info.depth == 16 and info.details["raw"] == "DNG"
    upright = {1: 0, 3: 2, 6: 1, 8: 3}[orientation]  # quarter turns back to how the sensor lay
    lying = np.rot90(frame.pixels, upright).astype(int)
    upper, lower = lying[8:24, 8:-8].mean((0, 1)), lying[-24:-8, 8:-8].mean((0, 1))
    assert upper[0] > 2 * upper[2] and lower[2] > 2 * lower[0]


def test_what_the_camera_says_is_kept(tmp_path):
    pytest.importorskip("rawpy")
    (tmp_path / "a.tif").write_bytes(dng(6))
    tags = Image.Exif()
    tags.load(b"Exif\0\0" + read(tmp_path / "a.tif").meta.exif)
    assert (tags[271], tags[272], tags[306]) == ("Maker", "Model", "2024:01:02 03:04:05")
    assert tags.get(274, 1) == 1


def test_raw_becomes_a_deep_tiff_beside_its_jpeg(tmp_path, capsys):
    pytest.importorskip("torch")
    pytest.importorskip("rawpy")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.dng").write_bytes(dng(6))
    Image.fromarray(photo()).save(tmp_path / "in" / "a.jpg")
    out = tmp_path / "out"
    assert main.run(["posterize", str(tmp_path / "in"), "-o", str(out), "--plugin", POSTERIZE]) == 0
    assert probe(out / "a.jpg").width == 90
    result = probe(out / "a.tif")
    assert (result.width, result.height, result.depth) == (64, 96, 16)


def test_half_a_raw_and_too_large_a_raw_are_told(tmp_path):
    pytest.importorskip("rawpy")
    path = tmp_path / "a.dng"
    path.write_bytes(dng())
    with pytest.raises(ItemError, match="96x64 pixels, more than the 6,000 allowed"):
        read(path, max_pixels=6000)
    path.write_bytes(dng()[:-3000])
    with pytest.raises(ItemError, match=r"camera RAW \(DNG\) cannot be developed"):
        read(path)
