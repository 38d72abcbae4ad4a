"""Contact sheets: pictures in rows and columns, each with a caption."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from stylepipe.errors import UsageError
from stylepipe.media.encode import eight

MOST = 48
"""Cells of a sheet that samples many items."""
_GAP, _INSET, _TEXT = 8, 4, 15
_PAPER, _INK, _BLANK, _ALARM = (28, 28, 28), (232, 232, 232), (44, 44, 44), (255, 170, 150)
_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Cell:
    """A picture of a sheet, or why there is none."""

    caption: str
    picture: np.ndarray | None = None
    """HxWx3 of uint8, RGB."""
    failure: str = ""
    """Why it could not be painted, in one sentence."""


def check_replaceable(path: Path, mark: str, what: str, flag: str = "--output") -> None:
    """Raises UsageError where ``what`` would replace a file that does not begin with our mark.
    ``flag`` names the file."""
    try:
        with path.open("rb") as file:
            ours = mark.encode() in file.read(4096)
    except FileNotFoundError:
        return
    except OSError:
        ours = False
    if not ours:
        raise UsageError(
            f"the {what} would replace {path}, which is another file; move it, or choose another "
            + flag
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


def wrapped(cells: Sequence[Cell], columns: int) -> list[Sequence[Cell]]:
    """The cells in rows of ``columns``."""
    return [cells[start : start + columns] for start in range(0, len(cells), columns)]


def contact_sheet(rows: Sequence[Sequence[Cell]], side: int) -> Image.Image:
    """Draw rows of cells, ``side`` pixels wide each; no picture may be wider.

    A row is as high as its highest picture.
    """
    font = ImageFont.load_default(_TEXT)
    caption = _TEXT + 2 * _INSET
    heights = [max(_height(cell, side) for cell in row) for row in rows]
    columns = max(len(row) for row in rows)
    size = columns * (side + _GAP) + _GAP, sum(heights) + len(rows) * (caption + _GAP) + _GAP
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    top = _GAP
    for row, height in zip(rows, heights, strict=True):
        for column, cell in enumerate(row):
            left = _GAP + column * (side + _GAP)
            _draw_cell(sheet, draw, cell, (left, top, side, height), font)
            text = _fitting(cell.caption, side - _INSET, font)
            draw.text((left, top + height + _INSET), text, _INK, font)
        top += height + caption + _GAP
    return sheet


def save_sheet(path: Path, sheet: Image.Image, mark: str) -> None:
    """Save it whole or not at all, as PNG or JPEG by its suffix. Raises OSError.

    ``mark`` becomes its comment, which :func:`check_replaceable` looks for.
    """
    file = io.BytesIO()
    if path.suffix.lower() == ".png":
        info = PngImagePlugin.PngInfo()
        info.add_text("Comment", mark)
        sheet.save(file, "PNG", pnginfo=info)
    else:
        sheet.save(file, "JPEG", quality=90, comment=mark.encode())
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(file.getvalue())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _height(cell: Cell, side: int) -> int:
    return side * 3 // 4 if cell.picture is None else cell.picture.shape[0]


def _draw_cell(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    cell: Cell,
    box: tuple[int, int, int, int],
    font: _Font,
) -> None:
    left, top, width, height = box
    if cell.picture is not None:
        h, w = cell.picture.shape[:2]
        sheet.paste(Image.fromarray(cell.picture), (left + (width - w) // 2, top + height - h))
        return
    draw.rectangle((left, top, left + width - 1, top + height - 1), _BLANK)
    letters = max(8, int((width - 4 * _INSET) / font.getlength("n")))
    lines = textwrap.wrap(_printed(cell.failure), letters)[: height // (_TEXT + 4)]
    draw.multiline_text((left + 2 * _INSET, top + 2 * _INSET), "\n".join(lines), _ALARM, font)


def _fitting(text: str, width: int, font: _Font) -> str:
    """The text, or as much of its beginning and end as ``width`` pixels hold."""
    text = shown = _printed(text)
    length = len(text)
    while length and font.getlength(shown) > width:
        length -= 1
        shown = f"{text[: length - length // 2]}...{text[len(text) - length // 2 :]}"
    return shown


def _printed(text: str) -> str:
    """Without letters that the font may lack."""
    return text.encode("latin-1", "replace").decode("latin-1")
