"""Contact sheets: pictures in rows and columns, each with a caption."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_GAP, _INSET, _TEXT = 8, 4, 15
_PAPER, _INK, _BLANK, _ALARM = (28, 28, 28), (232, 232, 232), (44, 44, 44), (255, 170, 150)


@dataclass(frozen=True)
class Cell:
    """A picture of a sheet, or why there is none."""

    caption: str
    picture: np.ndarray | None = None
    """HxWx3 of uint8, RGB."""
    failure: str = ""
    """Why it could not be painted, in one sentence."""


def wrapped(cells: Sequence[Cell], columns: int) -> list[Sequence[Cell]]:
    """The cells in rows of so many."""
    return [cells[start : start + columns] for start in range(0, len(cells), columns)]


def contact_sheet(rows: Sequence[Sequence[Cell]], side: int) -> Image.Image:
    """Draw rows of cells, ``side`` pixels wide each; no picture may be wider, or higher than that.

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
            text = fitting(cell.caption, side - _INSET, font)
            draw.text((left, top + height + _INSET), text, _INK, font)
        top += height + caption + _GAP
    return sheet


def _height(cell: Cell, side: int) -> int:
    return side * 3 // 4 if cell.picture is None else cell.picture.shape[0]


def _draw_cell(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    cell: Cell,
    box: tuple[int, int, int, int],
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    left, top, width, height = box
    if cell.picture is not None:
        h, w = cell.picture.shape[:2]
        sheet.paste(Image.fromarray(cell.picture), (left + (width - w) // 2, top + height - h))
        return
    draw.rectangle((left, top, left + width - 1, top + height - 1), _BLANK)
    letters = max(8, int((width - 4 * _INSET) / font.getlength("n")))
    lines = textwrap.wrap(printed(cell.failure), letters)[: height // (_TEXT + 4)]
    draw.multiline_text((left + 2 * _INSET, top + 2 * _INSET), "\n".join(lines), _ALARM, font)


def fitting(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """The text, or as much of its beginning as ``width`` pixels hold."""
    text = printed(text)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}...") > width:
        text = text[:-1]
    return f"{text}..."


def printed(text: str) -> str:
    """Without letters that the font may lack."""
    return text.encode("latin-1", "replace").decode("latin-1")
