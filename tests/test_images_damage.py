"""Damaged pictures: what is read all the same, and what is told of the rest."""

import io
import os
import struct
import zlib

import cv2
import numpy as np
import pytest
from imagefiles import deep, item, photo
from PIL import Image, ImageCms

from stylepipe import open_picture, read_picture
from stylepipe.errors import ItemError
from stylepipe.media import terminal
from stylepipe.media.icc import adobe_rgb
from stylepipe.media.images import ImageReader
from stylepipe.media.video import VideoReader

PHOTO = photo(240, 320)


def read(path, rule=None):
    """The frame, and what was told of damage."""
    told: list[str] = []
    reader = ImageReader(ImageReader.Options())
    reader._damaged = rule or told.append
    info = reader.probe(path)
    (frame,) = reader.frames(item(path), info)
    assert frame.pixels.shape == (info.height, info.width, 3)
    return frame, told


def encoded(suffix, array=PHOTO, **options):
    file = io.BytesIO()
    Image.fromarray(array).save(file, {".jpg": "JPEG"}.get(suffix, suffix[1:].upper()), **options)
    return file.getvalue()


def chunk(name, body, wrong=False):
    checksum = zlib.crc32(body, zlib.crc32(name)) ^ wrong
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", checksum)


def saved(tmp_path, data, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(data)
    return path


# -- cut short -----------------------------------------------------------------------------


DEEP = cv2.imencode(".png", deep(240, 320)[:, :, ::-1])[1].tobytes()
CUT = {
    "jpeg": (".jpg", encoded(".jpg", quality=90), PHOTO),
    "gray jpeg": (".jpg", encoded(".jpg", PHOTO[:, :, 1]), PHOTO[:, :, [1, 1, 1]]),
    "png": (".png", encoded(".png"), PHOTO),
    "png of 16 bits": (".png", DEEP, deep(240, 320)),
    "gif": (".gif", encoded(".gif", PHOTO[:, :, 1], interlace=0), PHOTO[:, :, [1, 1, 1]]),
}


def test_of_an_interlaced_gif_the_missing_rows_are_counted(tmp_path):
    data = encoded(".gif", PHOTO[:, :, 1], interlace=1)
    frame, told = read(saved(tmp_path, data[: len(data) * 6 // 10], ".gif"))
    missing = 100 * (np.ptp(frame.pixels, (1, 2)) == 0).mean()
    assert 25 < missing < 60
    assert f"its end is missing, with about {round(missing)} % of the picture" in told[0]


@pytest.mark.parametrize("kind", CUT)
@pytest.mark.parametrize("share", [0.5, 0.95])
def test_of_a_file_that_is_cut_short_the_rest_is_read(tmp_path, kind, share, capfd):
    suffix, data, whole = CUT[kind]
    frame, told = read(saved(tmp_path, data[: int(len(data) * share)], suffix))
    error = np.abs(frame.pixels.astype(float) - whole).mean((1, 2)) / (frame.white / 255)
    good = error < 12
    assert 0.15 < good.mean() < 1 and good[: int(240 * good.mean()) - 16].all()
    assert (
        len(told) == 1
        and "file is cut short or damaged: its end is missing, with about " in (told[0])
    )
    percent = int(told[0].partition("about ")[2].split()[0])
    assert percent == pytest.approx(100 * (1 - good.mean()), abs=8)
    assert capfd.readouterr() == ("", "")


def test_a_bitmap_is_stored_from_its_foot(tmp_path):
    data = encoded(".bmp")
    frame, told = read(saved(tmp_path, data[: len(data) // 2], ".bmp"))
    assert (frame.pixels[121:] == PHOTO[121:]).all() and not frame.pixels[:119].any()
    assert "with about 50 % of the picture" in told[0]


@pytest.mark.parametrize("kind", ["jpeg", "png", "png of 16 bits"])
def test_a_file_that_lacks_its_last_two_bytes_has_its_picture(tmp_path, kind):
    suffix, data, _ = CUT[kind]
    whole, _ = read(saved(tmp_path, data, suffix))
    frame, told = read(saved(tmp_path, data[:-2], suffix))
    assert (frame.pixels == whole.pixels).all()
    assert len(told) == 1 and "its end is missing, but nothing of the picture" in told[0]


def test_a_progressive_jpeg_becomes_less_sharp(tmp_path):
    data = encoded(".jpg", progressive=True)
    frame, told = read(saved(tmp_path, data[: len(data) * 6 // 10], ".jpg"))
    assert np.abs(frame.pixels.astype(int) - PHOTO).mean() < 12
    assert "its end is missing, so that the picture is not as sharp as it was" in told[0]


def test_cmyk_is_under_the_same_rule(tmp_path):
    file = io.BytesIO()
    Image.fromarray(PHOTO).convert("CMYK").save(file, "JPEG")
    data = file.getvalue()
    whole, told = read(saved(tmp_path, data, ".jpg"))
    assert told == []
    frame, told = read(saved(tmp_path, data[: len(data) // 2], ".jpg"))
    assert (frame.pixels[:80] == whole.pixels[:80]).all() and "its end is missing" in told[0]


@pytest.mark.parametrize("kind", ["jpeg", "png", "gif"])
def test_where_no_pixel_is_left_there_is_nothing_to_paint(tmp_path, kind):
    suffix, data, _ = CUT[kind]
    start = {
        "jpeg": data.find(b"\xff\xda") + 14,
        "png": data.find(b"IDAT") + 6,
        "gif": 6 + 7 + 768 + 10 + 2,
    }[kind]
    with pytest.raises(ItemError, match=r"cut short or damaged|nothing of the picture"):
        read(saved(tmp_path, data[:start], suffix))


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_the_first_of_several_pictures_is_read_though_the_others_are_cut_off(tmp_path, compression):
    two = Image.fromarray(PHOTO[:, ::-1])
    data = encoded(".tiff", compression=compression, save_all=True, append_images=[two, two])
    frame, told = read(saved(tmp_path, data[: len(data) // 2], ".tif"))
    assert (frame.pixels == PHOTO).all() and told == []


# -- torn ----------------------------------------------------------------------------------


def torn_jpeg(how):
    data = CUT["jpeg"][1]
    middle, random = len(data) // 2, np.random.default_rng(1)
    if how == "overwritten":
        noise = random.integers(0, 256, 100, np.uint8).tobytes()
        return data[:middle] + noise + data[middle + 100 :]
    if how == "shortened":
        return data[:middle] + data[middle + 37 :]
    return data[:middle] + bytes(random.integers(1, 255, 40, np.uint8)) + data[middle:]


@pytest.mark.parametrize("how", ["overwritten", "shortened", "lengthened"])
@pytest.mark.parametrize("format", ["JPEG", "MPO"])
def test_torn_or_shifted_jpeg_data_is_told_and_not_printed(tmp_path, how, format, capfd):
    data = torn_jpeg(how)
    if format == "MPO":
        file = io.BytesIO()
        Image.fromarray(PHOTO).save(
            file, "MPO", save_all=True, append_images=[Image.fromarray(PHOTO)], quality=90
        )
        data = file.getvalue()
        middle = data.find(b"\xff\xda") + 3000
        data = data[:middle] + bytes(range(1, 120)) + data[middle + 119 :]
    frame, told = read(saved(tmp_path, data, ".jpg"))
    assert np.abs(frame.pixels[:40].astype(int) - PHOTO[:40]).mean() < 4
    assert len(told) == 1 and "the JPEG file is cut short or damaged: its data is torn (" in told[0]
    assert "\n" not in told[0]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: d[:-2] + bytes(40) + d[-2:],
        lambda d: d + bytes(500),
        lambda d: d[:2] + b"\xff\xe1\0\x10" + bytes(14) + b"litter" + d[2:],
        lambda d: d[:-2] + b"\xff" * 9 + d[-1:],
    ],
    ids=["padded", "followed", "littered", "filled"],
)
def test_whole_jpegs_of_odd_shape_are_not_accused(tmp_path, spoil, capfd):
    frame, told = read(saved(tmp_path, spoil(CUT["jpeg"][1]), ".jpg"))
    assert told == [] and np.abs(frame.pixels.astype(int) - PHOTO).mean() < 4
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "options",
    [{}, {"progressive": True}, {"optimize": True}, {"restart_marker_rows": 1}, {"quality": 30}],
)
@pytest.mark.parametrize("flat", [False, True])
def test_whole_jpegs_of_any_coding_are_not_accused(tmp_path, options, flat):
    array = np.full_like(PHOTO, 255) if flat else PHOTO
    assert read(saved(tmp_path, encoded(".jpg", array, **options), ".jpg"))[1] == []


@pytest.mark.parametrize("kind", ["png", "png of 16 bits"])
def test_torn_png_data_is_told(tmp_path, kind):
    suffix, data, whole = CUT[kind]
    data = bytearray(data)
    middle = len(data) * 6 // 10
    data[middle : middle + 50] = bytes(50)
    frame, told = read(saved(tmp_path, bytes(data), suffix))
    assert (frame.pixels[:60] == whole[:60]).all()
    assert len(told) == 1 and "the PNG file is cut short or damaged: its " in told[0]


def test_an_interlaced_png_is_mended_too(tmp_path):
    lines = b""
    for left, top, across, down in (
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ):
        lines += b"".join(b"\0" + row.tobytes() for row in PHOTO[top::down, left::across])
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">2I5B", 320, 240, 8, 2, 0, 0, 1))
    data += chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    assert (read(saved(tmp_path, data, ".png"))[0].pixels == PHOTO).all()
    frame, told = read(saved(tmp_path, data[: len(data) * 9 // 10], ".png"))
    assert (frame.pixels[::2] == PHOTO[::2]).all() and "its end is missing, with about" in told[0]


# -- ancillary parts -----------------------------------------------------------------------


def with_chunk(data, *chunks):
    return data[:33] + b"".join(chunks) + data[33:]


@pytest.mark.parametrize("kind", ["png", "png of 16 bits"])
@pytest.mark.parametrize("name", [b"iCCP", b"tEXt", b"zTXt", b"eXIf", b"gAMA"])
def test_a_bad_checksum_beside_the_pixels_does_not_cost_the_picture(tmp_path, kind, name):
    _, data, whole = CUT[kind]
    body = b"Title\0\0" + zlib.compress(b"words")
    frame, told = read(saved(tmp_path, with_chunk(data, chunk(name, body, wrong=True)), ".png"))
    assert (frame.pixels == whole).all()
    assert told == []  # else --on-damage fail and skip would cost the picture
    assert f"{name.decode()}, which is damaged" in frame.meta.lost


@pytest.mark.parametrize("place", [33, -12])  # before the pixels and after
def test_a_bad_checksum_costs_no_painting_mask_or_animation(tmp_path, place):
    pair = [Image.fromarray(PHOTO), Image.fromarray(PHOTO[::-1])]
    text = chunk(b"tEXt", b"Title\0words", wrong=True)
    for name, data in (
        ("still", encoded(".png")),
        ("moves", encoded(".png", save_all=True, append_images=pair[1:])),
    ):
        (tmp_path / f"{name}.png").write_bytes(data[:place] + text + data[place:])
    assert (read_picture(tmp_path / "still.png") == PHOTO).all()
    with open_picture(tmp_path / "still.png") as picture:
        assert (np.asarray(picture) == PHOTO).all()
    reader = VideoReader(VideoReader.Options())
    info = reader.probe(tmp_path / "moves.png")
    assert len(list(reader.frames(item(tmp_path / "moves.png"), info))) == 2


@pytest.mark.parametrize("kind", ["png", "png of 16 bits"])
def test_a_profile_of_five_megabytes_is_read(tmp_path, kind):
    _, data, _ = CUT[kind]
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile += np.random.default_rng(0).integers(0, 256, 5 << 20, np.uint8).tobytes()
    profile[:4] = struct.pack(">I", len(profile))
    data = with_chunk(data, chunk(b"iCCP", b"large\0\0" + zlib.compress(bytes(profile), 1)))
    frame, told = read(saved(tmp_path, data, ".png"))
    assert told == [] and len(frame.meta.icc) > 5 << 20


def test_long_texts_do_not_cost_the_picture(tmp_path):
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(3 << 20)))
    frame, told = read(saved(tmp_path, with_chunk(CUT["png"][1], text), ".png"))
    assert (frame.pixels == PHOTO).all() and told == []


def test_what_a_damaged_file_says_of_itself_is_kept(tmp_path):
    exif = Image.Exif()
    exif[315] = "a painter"
    for suffix in (".jpg", ".png"):
        data = encoded(suffix, exif=exif, icc_profile=adobe_rgb())
        if suffix == ".png":
            data = with_chunk(data, chunk(b"tEXt", b"Author\0someone"))
        frame, told = read(saved(tmp_path, data[: len(data) // 2], suffix))
        assert len(told) == 1 and b"a painter" in frame.meta.exif
        assert frame.meta.original.icc == adobe_rgb()
        assert suffix == ".jpg" or [t.text for t in frame.meta.texts] == ["someone"]


# -- the terminal --------------------------------------------------------------------------


def test_what_others_print_meanwhile_is_passed_on(capfd):
    with terminal.stderr_caught(("mine",)) as lines:
        os.write(2, b"mine: one\nof others\nno end of line")
    assert lines == ["mine: one"]
    assert capfd.readouterr().err == "of others\nno end of line"
