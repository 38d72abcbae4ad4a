"""A sheet of thumbnails that shows masks, or maps of regions, laid over their photos."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np

from stylepipe import sheets
from stylepipe.errors import ItemError
from stylepipe.inputs import find_items, probe
from stylepipe.job import Job
from stylepipe.mask_files import opened
from stylepipe.places import place_of
from stylepipe.session import Opener
from stylepipe.types import Item

_MARK = "stylepipe masks"
"""Comment of the sheets, by which they are recognized."""
_BOX, _COLUMNS = (320, 240), 4
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
    sheets.check_replaceable(path, _MARK, "overlay sheet")


def write_sheet(job: Job, path: Path) -> int:
    """Write the sheet of a job whose masks are written. Returns how many pictures it shows."""
    found = find_items(job.inputs, job.output, job.settings, job.limit)
    items = [item for item in found.items if item.output.exists()]
    cells = []
    limit = job.settings.max_pixels
    with Opener(log=lambda line: None, damaged=lambda what: None, max_pixels=limit) as opener:
        opener.open(job.settings.readers)
        for item in sheets.evenly(items):
            with suppress(ItemError):  # the run has reported it
                cells.append(sheets.Cell(item.relative.as_posix(), _thumbnail(job, item)))
    if cells:
        rows = sheets.wrapped(cells, min(_COLUMNS, len(cells)))
        sheets.save_sheet(path, sheets.contact_sheet(rows, _BOX[0]), _MARK)
    return len(cells)


def _thumbnail(job: Job, item: Item) -> np.ndarray:
    """The photo, or the frame in the middle of a film, under its mask: h w 3. Raises ItemError."""
    reader, info = probe(item.source, job.settings.readers, item.page)
    files = [item.output]
    if item.folder:
        files = sorted(item.output.glob("*.png"), key=lambda file: (len(file.name), file.name))
    if not files:
        raise ItemError("it has no masks")
    at = len(files) // 2
    frame = next(iter(reader.pick(item, info, [at])), None)
    if frame is None:
        raise ItemError("it has fewer frames than masks")
    photo = sheets.thumbnail(frame.pixels, _BOX).astype(np.float32)
    size = photo.shape[1::-1]
    with opened(files[at], job.settings.max_pixels, "mask") as picture:
        mask = np.asarray(picture)
    mask = cv2.resize(mask, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    color, tint = (mask, _TINT) if mask.ndim == 3 else (_PAINTED, _TINT / 255 * mask[..., None])
    shown: np.ndarray = np.rint(photo + (color - photo) * tint).astype(np.uint8)
    return shown
