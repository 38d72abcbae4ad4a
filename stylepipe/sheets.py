"""Sheets of captioned thumbnails, which show many results at a glance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

from stylepipe.errors import UsageError
from stylepipe.media.encode import eight

MOST = 48
"""Cells of a sheet; of more, as many are taken, evenly spread."""
_CAPTION = 18


def check_sheet(path: Path, mark: bytes, what: str) -> None:
    """Raises UsageError where a sheet would replace a file that is none with this ``mark``."""
    if not path.exists():
        return
    with suppress(OSError), Image.open(path) as picture:
        if picture.info.get("comment") == mark:
            return
    raise UsageError(
        f"the {what} would replace {path}, which is another file; move it, or choose another "
        "--output"
    )


def thumbnail(pixels: np.ndarray, box: tuple[int, int]) -> np.ndarray:
    """HxWx3 of uint8 or uint16 as large as fits into ``box`` (width, height), in uint8."""
    height, width = pixels.shape[:2]
    scale = min(box[0] / width, box[1] / height)
    size = max(1, round(scale * width)), max(1, round(scale * height))
    small: np.ndarray = cv2.resize(eight(pixels), size, interpolation=cv2.INTER_AREA)
    return small


def evenly(things: Sequence, most: int = MOST) -> Sequence:  # type: ignore[type-arg]
    """All of them, or about ``most``, evenly spread."""
    return things[:: max(1, math.ceil(len(things) / most))]


def save_sheet(
    path: Path, cells: Sequence[tuple[str, np.ndarray]], box: tuple[int, int], mark: bytes
) -> None:
    """Save cells, each a caption and a thumbnail no larger than ``box``, as a JPEG.

    ``mark`` becomes its comment, by which a later run recognizes the sheet.
    """
    width, height = box
    columns = min(max(1, 1280 // width), len(cells))
    rows = math.ceil(len(cells) / columns)
    sheet = Image.new("RGB", (columns * width, rows * (height + _CAPTION)), (32, 32, 32))
    draw = ImageDraw.Draw(sheet)
    for number, (caption, small) in enumerate(cells):
        left = number % columns * width
        top = number // columns * (height + _CAPTION)
        place = left + (width - small.shape[1]) // 2, top + (height - small.shape[0]) // 2
        sheet.paste(Image.fromarray(small), place)
        text = caption.encode("ascii", "replace").decode()[-50:]  # what every font has
        draw.text((left + 4, top + height + 3), text, fill=(230, 230, 230))
    sheet.save(path, format="JPEG", quality=90, comment=mark)
