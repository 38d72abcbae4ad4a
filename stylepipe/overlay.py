"""A sheet of thumbnails that shows masks, or maps of regions, laid over their photos."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

from stylepipe.errors import ItemError, UsageError
from stylepipe.inputs import find_items, probe
from stylepipe.job import Job
from stylepipe.mask_files import opened
from stylepipe.media.encode import eight
from stylepipe.places import place_of
from stylepipe.session import Opener
from stylepipe.types import Item

MOST = 48
"""Pictures of a sheet; of more, as many are taken, evenly spread."""
_MARK = b"stylepipe masks"
"""Comment of the sheets, by which they are recognized."""
_WIDTH, _HEIGHT, _CAPTION, _COLUMNS = 320, 240, 18, 4
_PAINTED = (255, 0, 110)
"""Color of what is painted, which is rare in photos."""
_TINT = 0.6
"""How much of the color shows where the mask is white."""


def sheet_path(output: Path) -> Path:
    """Where the sheet of an output goes: beside it, so that it is never taken for a mask."""
    output = place_of(output)
    name = output.stem if output.suffix.lower() == ".png" else output.name
    return output.absolute().with_name(f"{name}-overlay.jpg")


def check_sheet(path: Path) -> None:
    """Raises UsageError where the sheet would replace a file that is not one."""
    if not path.exists():
        return
    with suppress(OSError), Image.open(path) as picture:
        if picture.info.get("comment") == _MARK:
            return
    raise UsageError(
        f"the overlay sheet would replace {path}, which is another file; move it, or choose "
        "another --output"
    )


def write_sheet(job: Job, path: Path) -> int:
    """Write the sheet of a job whose masks are written. Returns how many pictures it shows."""
    found = find_items(job.inputs, job.output, job.settings, job.limit)
    items = [item for item in found.items if item.output.exists()]
    cells = []
    limit = job.settings.max_pixels
    with Opener(log=lambda line: None, damaged=lambda what: None, max_pixels=limit) as opener:
        opener.open(job.settings.readers)
        for item in items[:: max(1, math.ceil(len(items) / MOST))]:
            with suppress(ItemError):  # the run has reported it
                cells.append((item.relative.as_posix(), _thumbnail(job, item)))
    if cells:
        _sheet(cells).save(path, quality=90, comment=_MARK)
    return len(cells)


def _sheet(cells: list[tuple[str, np.ndarray]]) -> Image.Image:
    columns = min(_COLUMNS, len(cells))
    rows = math.ceil(len(cells) / columns)
    sheet = Image.new("RGB", (columns * _WIDTH, rows * (_HEIGHT + _CAPTION)), (32, 32, 32))
    draw = ImageDraw.Draw(sheet)
    for number, (name, thumbnail) in enumerate(cells):
        left = number % columns * _WIDTH
        top = number // columns * (_HEIGHT + _CAPTION)
        height, width = thumbnail.shape[:2]
        place = left + (_WIDTH - width) // 2, top + (_HEIGHT - height) // 2
        sheet.paste(Image.fromarray(thumbnail), place)
        text = name.encode("ascii", "replace").decode()[-50:]  # what every font has
        draw.text((left + 4, top + _HEIGHT + 3), text, fill=(230, 230, 230))
    return sheet


def _thumbnail(job: Job, item: Item) -> np.ndarray:
    """The photo, or the frame in the middle of a film, under its mask: h w 3. Raises ItemError."""
    reader, info = probe(item.source, job.settings.readers, item.page)
    files = [item.output]
    if item.folder:
        files = sorted(item.output.glob("*.png"), key=lambda file: (len(file.name), file.name))
    if not files:
        raise ItemError("it has no masks")
    at = len(files) // 2
    frame = next(reader.frames(item, info, at), None)
    if frame is None:
        raise ItemError("it has fewer frames than masks")
    height, width = frame.pixels.shape[:2]
    scale = min(_WIDTH / width, _HEIGHT / height)
    size = max(1, round(scale * width)), max(1, round(scale * height))
    photo = cv2.resize(eight(frame.pixels), size, interpolation=cv2.INTER_AREA).astype(np.float32)
    with opened(files[at], job.settings.max_pixels, "mask") as picture:
        mask = np.asarray(picture)
    mask = cv2.resize(mask, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    color, tint = (mask, _TINT) if mask.ndim == 3 else (_PAINTED, _TINT / 255 * mask[..., None])
    shown: np.ndarray = np.rint(photo + (color - photo) * tint).astype(np.uint8)
    return shown
