"""Still pictures that are no items are read as the engine reads photos."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stylepipe import ItemError, read_picture
from stylepipe.media.icc import adobe_rgb
from stylepipe.testing import MakeFile, scene


@pytest.mark.parametrize("content", [None, b"", b"no picture", b"\x89PNG\r\n\x1a\nbroken"])
def test_what_cannot_be_read_is_told_with_its_name(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "painting.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ItemError, match=r"cannot read .*painting\.png: .+"):
        read_picture(path)


def test_a_folder_is_no_picture(tmp_path: Path) -> None:
    with pytest.raises(ItemError, match="cannot read"):
        read_picture(tmp_path)


def test_a_damaged_picture_is_refused(make_photo: MakeFile) -> None:
    path = make_photo("painting.jpg", (200, 160))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ItemError, match=r"cannot read .*painting\.jpg"):
        read_picture(path)


def test_what_moves_is_refused(tmp_path: Path) -> None:
    frames = [Image.fromarray(scene(20, 16, time=k)) for k in range(3)]
    frames[0].save(tmp_path / "film.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(ItemError, match="it moves: only still pictures"):
        read_picture(tmp_path / "film.gif")


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.bmp", "a.webp"])
def test_pixels_are_rgb_and_upright(make_photo: MakeFile, name: str) -> None:
    options = {"lossless": True} if name.endswith("webp") else {}
    pixels = read_picture(make_photo(name, (53, 37), orientation=6, **options))
    if name == "a.bmp":  # which has no orientation
        pixels = np.rot90(pixels, -1)
    assert pixels.dtype == np.uint8 and np.array_equal(pixels, scene(53, 37))


def test_sixteen_bits_become_eight(make_photo: MakeFile) -> None:
    pixels = read_picture(make_photo("deep.png", depth=16))
    assert pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - scene(96, 64)).max() <= 1


def test_gray_and_palettes_have_three_channels(make_photo: MakeFile) -> None:
    for mode in ("L", "P", "1", "CMYK"):
        name = "cmyk.tif" if mode == "CMYK" else f"{mode}.png"
        assert read_picture(make_photo(name, (20, 16), mode=mode)).shape == (16, 20, 3)


@pytest.mark.parametrize("depth", [8, 16])
def test_what_is_transparent_lies_on_white(make_photo: MakeFile, depth: int) -> None:
    pixels = read_picture(make_photo("fade.png", alpha=True, depth=depth)).astype(int)
    opaque = scene(96, 64).astype(int)
    assert (pixels[:, 0] == 255).all()
    assert np.abs(pixels[:, 60:] - opaque[:, 60:]).max() <= 1
    middle = (pixels[:, 24] - 255) / (opaque[:, 24] - 255.0 + 1e-9)
    assert np.abs(np.median(middle) - 24 * 510 / 95 / 255) < 0.03


def test_the_result_is_one_contiguous_block_to_write_in(make_photo: MakeFile) -> None:
    pixels = read_picture(make_photo("photo.jpg", orientation=5))
    assert pixels.flags.c_contiguous and pixels.flags.writeable


def test_a_profile_is_applied(tmp_path: Path) -> None:
    green = Image.new("RGB", (9, 9), (0, 200, 0))
    green.save(tmp_path / "wide.png", icc_profile=adobe_rgb())
    green.save(tmp_path / "plain.png")
    assert read_picture(tmp_path / "wide.png")[4, 4].tolist() != [0, 200, 0]
    assert read_picture(tmp_path / "plain.png")[4, 4].tolist() == [0, 200, 0]
