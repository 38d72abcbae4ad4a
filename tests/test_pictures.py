"""Reading of paintings and photos to train with."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from stylepipe import ItemError, read_picture


def test_pictures_are_read_as_the_engine_reads_them(tmp_path: Path) -> None:
    """Profile, alpha, depth, gray; what moves and what is none is refused in one sentence."""
    from PIL import Image

    from stylepipe.media.icc import adobe_rgb

    Image.new("RGB", (9, 9), (0, 200, 0)).save(tmp_path / "wide.png", icc_profile=adobe_rgb())
    assert read_picture(tmp_path / "wide.png")[4, 4].tolist() != [0, 200, 0]
    Image.new("RGBA", (9, 7), (200, 0, 0, 0)).save(tmp_path / "clear.png")
    assert read_picture(tmp_path / "clear.png")[3, 4].tolist() == [255, 255, 255]
    cv2.imwrite(str(tmp_path / "deep.png"), np.full((8, 9, 3), 0x8012, np.uint16))
    cv2.imwrite(str(tmp_path / "gray.png"), np.full((8, 9), 128, np.uint8))
    for name in ("deep.png", "gray.png"):
        picture = read_picture(tmp_path / name)
        assert picture.shape == (8, 9, 3) and picture.dtype == np.uint8
        assert np.abs(picture.astype(int) - 128).max() <= 1
    frames = [Image.new("L", (9, 9), 90 * i) for i in range(3)]
    frames[0].save(tmp_path / "moves.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(ItemError, match=r"moves\.gif: it moves"):
        read_picture(tmp_path / "moves.gif")
