"""What the image writer makes of frames, read back by others: Pillow and OpenCV."""

import errno
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from imagefiles import deep, item, loaded, photo, read, write
from PIL import Image, ImageCms

from stylepipe.errors import ItemError, UsageError
from stylepipe.media import icc
from stylepipe.media.images import ImageReader, ImageWriter
from stylepipe.types import Frame, Info, Meta

ALPHA = np.tile(np.linspace(0, 255, 90).round().astype(np.uint8), (60, 1))
EXIF = Image.Exif()
EXIF[271], EXIF.get_ifd(0x8769)[0x9003] = "Maker", "2024:01:02 03:04:05"
META = Meta(
    exif=EXIF.tobytes().removeprefix(b"Exif\0\0"),
    icc=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    xmp=b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>",
    dpi=(300.0, 150.0),
)
LOSSY = (".jpg", ".webp", ".avif")


# -- the guarantee: what comes in unchanged goes out unchanged -------------------------------


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("alpha", [False, True])
def test_lossless_round_trip(tmp_path, suffix, bits, alpha):
    pixels = photo() if bits == 8 else deep()
    frame = Frame(pixels, (pixels[:, :, 1].copy() if alpha else None), meta=META)
    first = write(frame, tmp_path / f"a{suffix}")
    second = write(read(first), tmp_path / f"b{suffix}")
    for path in (first, second):
        again = read(path)
        assert (again.pixels == pixels).all()
        assert (again.alpha is None) if not alpha else (again.alpha == frame.alpha).all()
    assert first.read_bytes() == second.read_bytes(), "metadata too"


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_png_round_trip_of_any_pixels(tmp_path_factory, data):
    dtype = data.draw(st.sampled_from([np.uint8, np.uint16]))
    height, width = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    pixels = data.draw(arrays(dtype, (height, width, 3)))
    alpha = data.draw(st.none() | arrays(dtype, (height, width)))
    path = tmp_path_factory.mktemp("png") / "a.png"
    again = read(write(Frame(pixels, alpha), path))
    assert (again.pixels == pixels).all() and again.pixels.dtype == dtype
    assert alpha is None or (again.alpha == alpha).all()


def test_others_read_the_lossless_files(tmp_path):
    for suffix in (".png", ".tif"):
        rgba = np.dstack([photo(), ALPHA])
        path = write(Frame(photo(), ALPHA), tmp_path / f"a{suffix}")
        assert (np.asarray(loaded(path)) == rgba).all()
        path = write(Frame(deep()), tmp_path / f"b{suffix}")
        assert (cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[:, :, ::-1] == deep()).all()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".bmp", ".avif", ".gif"])
def test_same_frame_same_bytes(tmp_path, suffix):
    frame = Frame(photo(), ALPHA, meta=META)
    first = write(frame, tmp_path / f"a{suffix}").read_bytes()
    assert write(frame, tmp_path / f"b{suffix}").read_bytes() == first


# -- formats -------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", LOSSY)
def test_lossy_formats_are_close(tmp_path, suffix):
    picture = loaded(write(Frame(photo(200, 300)), tmp_path / f"a{suffix}"))
    error = np.asarray(picture.convert("RGB")).astype(int) - photo(200, 300)
    assert np.abs(error).mean() < 2


def test_quality_is_obeyed_and_color_keeps_its_resolution(tmp_path):
    lines = np.zeros((64, 64, 3), np.uint8)
    lines[:, ::2] = (255, 0, 0)
    for suffix in LOSSY:
        sizes = [
            write(Frame(photo(200, 300)), tmp_path / f"{quality}{suffix}", image_quality=quality)
            .stat()
            .st_size
            for quality in (20, 60, 95)
        ]
        assert sizes == sorted(sizes) and sizes[0] < 0.7 * sizes[2]
    error = [
        np.abs(
            np.asarray(
                loaded(write(Frame(lines), tmp_path / f"l{quality}.jpg", image_quality=quality))
            ).astype(int)
            - lines
        ).mean()
        for quality in (89, 90)
    ]
    assert error[1] < 0.2 * error[0]


def test_webp_of_quality_100_is_lossless(tmp_path):
    path = write(Frame(photo(), ALPHA), tmp_path / "a.webp", image_quality=100)
    assert (read(path).pixels == photo()).all() and (read(path).alpha == ALPHA).all()


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_level_makes_smaller_files_of_the_same_pixels(tmp_path, suffix):
    fast, small = (
        write(Frame(photo(200, 300)), tmp_path / f"{level}{suffix}", png_level=level)
        for level in (1, 9)
    )
    assert small.stat().st_size < fast.stat().st_size
    assert (read(small).pixels == read(fast).pixels).all()


@pytest.mark.parametrize("suffix", [".jpg", ".bmp"])
@pytest.mark.parametrize("bits", [8, 16])
def test_formats_without_alpha_show_the_picture_on_white(tmp_path, suffix, bits):
    scale = 1 if bits == 8 else 257
    dtype = np.uint8 if bits == 8 else np.uint16
    frame = Frame(photo().astype(dtype) * scale, ALPHA.astype(dtype) * scale)
    got = np.asarray(loaded(write(frame, tmp_path / f"a{suffix}"))).astype(int)
    share = ALPHA[:, :, None] / 255
    expected = photo() * share + 255 * (1 - share)
    assert np.abs(got - expected).mean() < (1.5 if suffix == ".jpg" else 0.51)


@pytest.mark.parametrize("suffix", [".webp", ".avif"])
def test_alpha_and_the_colors_under_it_stay(tmp_path, suffix):
    got = read(write(Frame(photo(), ALPHA), tmp_path / f"a{suffix}"))
    assert np.abs(got.alpha.astype(int) - ALPHA).max() <= 3
    assert np.abs(got.pixels.astype(int) - photo()).mean() < 4


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".avif", ".bmp", ".gif"])
def test_sixteen_bits_are_rounded_to_eight(tmp_path, suffix):
    values = np.array([0, 128, 129, 257 * 77 + 128, 257 * 77 + 129, 65535], np.uint16)
    frame = Frame(np.broadcast_to(values[:, None, None], (6, 6, 3)).copy())
    got = np.asarray(loaded(write(frame, tmp_path / f"a{suffix}")).convert("RGB"))
    expected = [0, 0, 1, 77, 78, 255]
    allowed = 0 if suffix in (".bmp", ".gif") else 6
    assert np.abs(got[:, 3, 0].astype(int) - expected).max() <= allowed


def test_gif_of_few_colors_is_exact_and_keeps_its_holes(tmp_path):
    colors = np.random.default_rng(0).integers(0, 256, (100, 3), dtype=np.uint8)
    pixels = colors[np.arange(60 * 90).reshape(60, 90) % 100]
    got = read(write(Frame(pixels), tmp_path / "a.gif"))
    assert (got.pixels == pixels).all() and got.alpha is None
    got = read(write(Frame(pixels, ALPHA), tmp_path / "b.gif"))
    assert (got.alpha == np.where(ALPHA < 128, 0, 255)).all()
    assert (got.pixels == pixels)[ALPHA >= 128].all()


def test_gif_shows_soft_colors_without_bands(tmp_path):
    pixels = photo(240, 360)
    got = read(write(Frame(pixels), tmp_path / "a.gif")).pixels
    soft = [cv2.GaussianBlur(p.astype(np.float32), (0, 0), 1.5) for p in (got, pixels)]
    assert np.sqrt(np.square(soft[0] - soft[1]).mean()) < 2  # 3 to 6 without dithering


@pytest.mark.parametrize(("suffix", "side"), [(".webp", 16384), (".jpg", 65501), (".gif", 65536)])
def test_too_long_for_the_format(tmp_path, suffix, side):
    with pytest.raises(ItemError, match=f"{suffix} pictures have at most {side - 1} pixels a side"):
        write(Frame(np.zeros((1, side, 3), np.uint8)), tmp_path / f"a{suffix}")


# -- metadata ------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".avif"])
@pytest.mark.parametrize("bits", [8, 16])
def test_metadata_is_written(tmp_path, suffix, bits):
    path = write(Frame(photo() if bits == 8 else deep(), meta=META), tmp_path / f"a{suffix}")
    picture = loaded(path)
    tags = picture.getexif()
    assert tags[271] == "Maker" and tags.get_ifd(0x8769)[0x9003] == "2024:01:02 03:04:05"
    assert picture.info["icc_profile"] == META.icc
    got = read(path).meta
    assert got.xmp == META.xmp and got.icc == META.icc
    if suffix not in (".webp", ".avif"):
        assert np.allclose(np.array(picture.info["dpi"], float), META.dpi, atol=0.02)
    if suffix != ".tif":  # there the tags stand among those of the file
        assert got.exif == META.exif


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".avif", ".bmp", ".gif"])
def test_strip_metadata(tmp_path, suffix):
    path = write(Frame(photo(), meta=META), tmp_path / f"a{suffix}", strip_metadata=True)
    data = path.read_bytes()
    for mark in (b"Maker", b"2024:01:02", b"xmpmeta", b"acsp"):
        assert mark not in data
    assert read(path).meta == Meta() or suffix == ".bmp"  # which always states a resolution


def test_strip_metadata_keeps_a_profile_the_colors_need(tmp_path):
    profile = icc.adobe_rgb()
    path = write(Frame(deep(), meta=Meta(icc=profile)), tmp_path / "a.png", strip_metadata=True)
    assert loaded(path).info["icc_profile"] == profile


def test_metadata_too_large_for_a_jpeg_is_left_out_and_said(tmp_path):
    large = Image.Exif()
    large.get_ifd(0x8769)[0x927C] = bytes(70_000)
    block = large.tobytes().removeprefix(b"Exif\0\0")
    meta = Meta(exif=block, xmp=b"<x>" + b" " * 70_000, dpi=(72, 72))
    lines: list[str] = []
    writer = ImageWriter(ImageWriter.Options())
    writer._log = lines.append
    sink = writer.open_sink(
        item(tmp_path / "a.jpg"), Info("image", "jpeg", 90, 60), tmp_path / "a.jpg", tmp_path
    )
    sink.write(Frame(photo(), meta=meta))
    sink.close()
    assert len(lines) == 1 and lines[0].startswith("a.jpg: ")  # one line a file, kinds summed
    assert lines[0].count("does not fit") == 2 and "EXIF" in lines[0] and "XMP" in lines[0]
    assert "dpi" in loaded(tmp_path / "a.jpg").info
    for suffix in (".png", ".webp"):
        assert read(write(Frame(photo(), meta=meta), tmp_path / f"a{suffix}")).meta.exif == block


def test_large_profile_in_a_jpeg(tmp_path):
    profile = icc.srgb() + bytes(200_000)
    path = write(Frame(photo(), meta=Meta(icc=profile)), tmp_path / "a.jpg")
    assert loaded(path).info["icc_profile"] == profile


# -- trouble -------------------------------------------------------------------------------


def open_sink(path: Path):
    writer = ImageWriter(ImageWriter.Options())
    return writer.open_sink(item(path), Info("image", "png", 90, 60), path, path.parent)


def told(path: Path) -> ItemError:
    sink = open_sink(path)
    with pytest.raises(ItemError, match="the output cannot be written") as caught:
        sink.write(Frame(photo()))
    with pytest.raises(ItemError):
        sink.close()
    sink.abort()
    return caught.value


def test_folder_that_cannot_be_written_is_told(tmp_path):
    assert "No such file or directory" in str(told(tmp_path / "none" / "a.png"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_folder_is_told(tmp_path):
    tmp_path.chmod(0o500)
    assert "Permission denied" in str(told(tmp_path / "a.png"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk_is_told(tmp_path):
    (tmp_path / "a.png").symlink_to("/dev/full")
    error = told(tmp_path / "a.png")
    assert "No space left on device" in str(error)
    assert error.__cause__.errno == errno.ENOSPC, "the engine stops the job for this one"
    assert not (tmp_path / "a.png").is_symlink()


def test_abort_leaves_nothing(tmp_path):
    sink = open_sink(tmp_path / "a.png")
    sink.write(Frame(photo()))
    sink.abort()
    assert list(tmp_path.iterdir()) == []


def test_a_picture_file_holds_exactly_one_frame(tmp_path):
    sink = open_sink(tmp_path / "a.png")
    with pytest.raises(ItemError, match="no picture came"):
        sink.close()
    sink = open_sink(tmp_path / "a.png")
    sink.write(Frame(photo()))
    with pytest.raises(ItemError, match="one frame"):
        sink.write(Frame(photo()))


def test_options_out_of_range():
    with pytest.raises(UsageError, match="image_quality must be between 1 and 100"):
        ImageWriter.Options(image_quality=101)


def test_the_writer_takes_every_suffix_the_reader_takes():
    unwritten = {".mpo", *ImageReader.instead}  # camera RAW becomes TIFF
    assert set(ImageReader.patterns) - set(ImageWriter.patterns) == unwritten
    assert set(ImageReader.instead.values()) <= set(ImageWriter.patterns)
    assert ImageWriter.patterns[0] == ".jpg"


def test_heic_round_trip(tmp_path):
    pytest.importorskip("pillow_heif")
    got = read(write(Frame(photo(64, 96), meta=META), tmp_path / "a.heic"))
    assert np.abs(got.pixels.astype(int) - photo(64, 96)).mean() < 3
    assert got.meta.icc == META.icc and b"Maker" in got.meta.exif


def test_writing_heic_without_its_package_says_which(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ItemError, match=r"pip install 'stylepipe\[heic\]'"):
        write(Frame(photo()), tmp_path / "a.heic")
