"""TIFF files of rarer kinds, read with stylepipe[tiff], and those that are cut short."""

import io
import sys

import numpy as np
import pytest
from imagefiles import deep, item, photo, probe, read, tiff
from PIL import Image

from stylepipe.errors import ItemError
from stylepipe.media.images import ImageReader

IPTC = b"\x1c\x02\x78\0\x06a lake"
DEEP = deep()
GRAY, ALPHA = DEEP[:, :, 0], DEEP[:, :, 2] | 1
FLOAT = DEEP.astype(np.float32) / 65535
RARE = {
    "float32": (tiff(FLOAT), DEEP),
    "float32 gray": (tiff(FLOAT[:, :, 0], photometric=1), DEEP[:, :, [0, 0, 0]]),
    "float64": (tiff(FLOAT.astype(np.float64)), DEEP),
    "float16": (tiff(FLOAT.astype(np.float16)), DEEP),
    "uint32": (tiff(DEEP.astype(np.uint32) << 16), DEEP),
    "uint32 gray": (tiff(GRAY.astype(np.uint32) << 16, photometric=1), DEEP[:, :, [0, 0, 0]]),
    "gray and alpha of 16 bits": (
        tiff(np.dstack([GRAY, ALPHA]), photometric=1, tag_338=2),
        DEEP[:, :, [0, 0, 0]],
    ),
    "planes": (
        tiff(
            np.moveaxis(DEEP, 2, 0).copy().reshape(180, 90),
            tag_277=3,
            tag_284=2,
            tag_257=60,
            tag_258=(16, 16, 16),
            tag_273=(0, 10800, 21600),
            tag_279=(10800,) * 3,
            tag_278=60,
            tag_339=(1, 1, 1),
        ),
        DEEP,
    ),
}


@pytest.mark.parametrize("kind", RARE)
def test_rare_kinds_of_numbers_are_read(tmp_path, kind):
    pytest.importorskip("tifffile")
    data, expected = RARE[kind]
    (tmp_path / "a.tif").write_bytes(data)
    frame = read(tmp_path / "a.tif")
    allowed = 20 if kind == "float16" else 1
    assert np.abs(frame.pixels.astype(int) - expected).max() <= allowed
    assert (frame.alpha is not None) == ("alpha" in kind)
    assert frame.alpha is None or (frame.alpha == ALPHA).all()


def test_what_a_rare_kind_says_of_itself_is_kept_and_what_it_loses_told(tmp_path):
    pytest.importorskip("tifffile")
    data = tiff(FLOAT, tag_270="a lake", tag_33723=IPTC, tag_42113="-9999", tag_65000=7)
    (tmp_path / "a.tif").write_bytes(data)
    meta = read(tmp_path / "a.tif").meta
    assert meta.iptc == IPTC and b"a lake" in meta.exif and b"-9999" in meta.exif
    assert meta.lost == ("TIFF tags 65000", "32 bits a channel (16 are read)")


@pytest.mark.parametrize("kind", RARE)
def test_without_the_extra_they_are_not_supported_and_never_damaged(tmp_path, kind, monkeypatch):
    monkeypatch.setitem(sys.modules, "tifffile", None)
    (tmp_path / "a.tif").write_bytes(RARE[kind][0])
    words = r"not supported without pip install 'stylepipe\[tiff\]'"
    with pytest.raises(ItemError, match=words) as caught:
        probe(tmp_path / "a.tif")
    assert "damaged" not in str(caught.value) and "copy" not in str(caught.value)


@pytest.mark.parametrize("compression", ["jpeg2000", "webp", "zstd", "lzma", "png", "jpegxl"])
def test_rare_compressions_are_read(tmp_path, compression):
    tifffile = pytest.importorskip("tifffile")
    codecs = pytest.importorskip("imagecodecs")
    if not getattr(codecs, compression.upper().replace("2000", "2K")).available:
        pytest.skip(f"this imagecodecs has no {compression}")
    pixels = DEEP if compression in ("zstd", "lzma") else photo()
    more = {"compressionargs": {"level": 101}} if compression == "webp" else {}
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", compression=compression, **more)
    assert np.abs(read(tmp_path / "a.tif").pixels.astype(int) - pixels).mean() < 1


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_odd_numbers_of_bits_are_stretched(tmp_path, bits):
    tifffile = pytest.importorskip("tifffile")
    pytest.importorskip("imagecodecs")
    tifffile.imwrite(tmp_path / "a.tif", DEEP >> (16 - bits), photometric="rgb", bitspersample=bits)
    error = np.abs(read(tmp_path / "a.tif").pixels.astype(int) - DEEP)
    assert error.max() <= 2 ** (16 - bits)


def test_what_a_rare_tiff_says_of_itself_is_kept(tmp_path):
    pytest.importorskip("tifffile")
    data = tiff(FLOAT, tag_274=6, tag_315="A. Painter", tag_282=300.0, tag_283=300.0, tag_296=2)
    (tmp_path / "a.tif").write_bytes(data)
    frame = read(tmp_path / "a.tif")
    assert frame.pixels.shape == (90, 60, 3)
    assert (frame.pixels.astype(int) - np.rot90(DEEP, -1)).__abs__().max() <= 1
    assert frame.meta.dpi == (300, 300) and b"A. Painter" in frame.meta.exif


def test_floating_point_of_another_range_is_refused_with_its_range(tmp_path):
    pytest.importorskip("tifffile")
    (tmp_path / "a.tif").write_bytes(tiff(FLOAT * 255))
    with pytest.raises(ItemError, match=r"reach from 0.* to 25.*, but black must be 0 and white 1"):
        probe(tmp_path / "a.tif")
    (tmp_path / "a.tif").write_bytes(tiff(np.where(FLOAT < 0.1, np.float32("nan"), FLOAT * 1.1)))
    assert read(tmp_path / "a.tif").pixels.max() == 65535


@pytest.mark.parametrize(
    "data",
    [
        tiff((GRAY // 2).astype(np.uint16), photometric=1, tag_339=2),
        tiff(np.dstack([photo(), photo()[:, :, 0]]), photometric=9),
    ],
    ids=["negative", "lab of four channels"],
)
def test_kinds_that_nobody_reads_are_not_called_damaged(tmp_path, data):
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(ItemError, match=r"not supported.*: save it with 8 or 16 bits") as caught:
        probe(tmp_path / "a.tif")
    assert "damaged" not in str(caught.value)


def test_twelve_bit_and_lossless_jpegs_are_not_called_damaged(tmp_path):
    file = io.BytesIO()
    Image.fromarray(photo()).save(file, "JPEG")
    data = bytearray(file.getvalue())
    frame = data.find(b"\xff\xc0")
    twelve, lossless = data.copy(), data.copy()
    twelve[frame + 1 : frame + 5] = b"\xc1\0\x11\x0c"
    lossless[frame + 1] = 0xC3
    for changed, words in ((twelve, "of 12 bits a channel"), (lossless, "lossless")):
        (tmp_path / "a.jpg").write_bytes(bytes(changed))
        with pytest.raises(ItemError, match=f"{words}.* is not supported: convert it"):
            read(tmp_path / "a.jpg")


def test_the_limit_of_pixels_holds_before_a_rare_kind_is_decoded(tmp_path):
    (tmp_path / "a.tif").write_bytes(tiff(FLOAT))
    with pytest.raises(ItemError, match="90x60 pixels, more than the 5,399 allowed"):
        probe(tmp_path / "a.tif", max_pixels=5399)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate"])
def test_what_libtiff_prints_of_torn_data_is_said_of_the_file(tmp_path, compression, capfd):
    path = tmp_path / "a.tif"
    Image.fromarray(photo()).save(path, compression=compression)
    data = bytearray(path.read_bytes())
    data[40:400] = np.random.default_rng(0).integers(0, 256, 360, np.uint8).tobytes()
    path.write_bytes(bytes(data))
    with pytest.raises(ItemError, match="the TIFF file is cut short or damaged") as caught:
        read(path)
    assert "decoder error" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


# -- cut short -----------------------------------------------------------------------------


def strips(pixels, compression, **tags):
    """A TIFF with its tags in front, as those that are written while they are made."""
    import zlib

    blocks = [pixels[top : top + 10].tobytes() for top in range(0, 60, 10)]
    if compression == 8:
        blocks = [zlib.compress(block) for block in blocks]
    starts = np.cumsum([0, *map(len, blocks)])[:-1].tolist()
    head = tiff(
        pixels,
        tag_259=compression,
        tag_273=starts,
        tag_278=10,
        tag_279=[len(block) for block in blocks],
        **tags,
    )
    return head[: -pixels.nbytes] + b"".join(blocks)


@pytest.mark.parametrize("pixels", [photo(), DEEP], ids=["8 bits", "16 bits"])
@pytest.mark.parametrize("compression", [1, 8])
def test_the_rows_that_are_there_are_read(tmp_path, pixels, compression, capfd):
    told: list[str] = []
    reader = ImageReader(ImageReader.Options())
    reader._damaged = told.append
    data = strips(pixels, compression)
    path = tmp_path / "a.tif"
    path.write_bytes(data)
    (frame,) = reader.frames(item(path), reader.probe(path))
    assert (frame.pixels == pixels).all() and told == []
    path.write_bytes(data[: -len(data) // 4])
    (frame,) = reader.frames(item(path), reader.probe(path))
    rows = 40 if compression == 8 else 44
    assert (frame.pixels[:rows] == pixels[:rows]).all() and not frame.pixels[50:].any()
    assert len(told) == 1
    assert "the TIFF file is cut short or damaged: its end is missing, with about" in told[0]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("compression", [1, 8])
def test_what_a_cut_tiff_says_of_itself_is_kept(tmp_path, compression):
    data = strips(photo(), compression, tag_270="a lake", tag_33723=IPTC)
    (tmp_path / "a.tif").write_bytes(data[: -len(data) // 4])
    reader = ImageReader(ImageReader.Options())
    reader._damaged = lambda what: None
    (frame,) = reader.frames(item(tmp_path / "a.tif"), reader.probe(tmp_path / "a.tif"))
    assert frame.meta.iptc == IPTC and b"a lake" in frame.meta.exif and frame.meta.lost == ()
