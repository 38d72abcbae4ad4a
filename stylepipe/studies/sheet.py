"""``stylepipe sheet``: small copies of photos in many styles or settings, on one sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from stylepipe.errors import UsageError
from stylepipe.nst.files import write_atomically
from stylepipe.sheets import Cell, check_replaceable, contact_sheet, save_sheet, wrapped
from stylepipe.studies.page import Figure, Group, page
from stylepipe.studies.painting import Painting, Photo
from stylepipe.studies.variants import Variant

SUFFIXES = (".png", ".jpg", ".jpeg", ".html")
_MARK = "made by stylepipe sheet"
"""In each sheet, which is recognized by it: only one that we made is replaced."""
_WIDE = 1.5
"""Columns are so many times the rows, where one photo fills the sheet."""


def check_output(path: Path) -> None:
    """Raises UsageError for what is no name of a sheet, or would replace something else."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"a sheet is a picture or a page, so --output ends in {', '.join(SUFFIXES)}, "
            f"not {path.name!r}"
        )
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file for the sheet")
    check_replaceable(path, _MARK, "sheet")


def write_sheet(
    path: Path,
    photos: Sequence[Photo],
    variants: Sequence[Variant],
    results: Sequence[Sequence[Painting]],
) -> None:
    """Write the sheet, whose suffix says what it is. ``results`` has, for each variant, what came
    out for each photo. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() == ".html":
        write_atomically(path, _page(photos, variants, results).encode())
        return
    side = max(max(photo.frame.pixels.shape[:2]) for photo in photos)
    save_sheet(path, contact_sheet(_rows(photos, variants, results), side), _MARK)


def _rows(
    photos: Sequence[Photo], variants: Sequence[Variant], results: Sequence[Sequence[Painting]]
) -> list[Sequence[Cell]]:
    """Several photos: a column each. One: by two options as a table, by one as they fit."""
    before = [Cell(photo.name, photo.frame.pixels) for photo in photos]
    painted = [
        [Cell(variant.label, one.picture, one.failure) for one in row]
        for variant, row in zip(variants, results, strict=True)
    ]
    if len(photos) > 1:
        return [before, *painted]
    cells = [row[0] for row in painted]
    if len(variants[0].values) > 1:
        last = [list(variant.values.values())[-1] for variant in variants]
        return [before, *wrapped(cells, len(dict.fromkeys(last)))]
    cells = [*before, *cells]
    height, width = photos[0].frame.pixels.shape[:2]
    return wrapped(cells, max(1, round(math.sqrt(_WIDE * len(cells) * height / width))))


def _page(
    photos: Sequence[Photo], variants: Sequence[Variant], results: Sequence[Sequence[Painting]]
) -> str:
    groups = [
        Group(
            variant.label,
            [
                Figure(photo.name, one.picture, photo.frame.pixels, one.failure)
                for photo, one in zip(photos, row, strict=True)
            ],
            {**variant.values, "seconds": sum(one.seconds for one in row)},
        )
        for variant, row in zip(variants, results, strict=True)
    ]
    note = f"{len(variants)} variants of {', '.join(photo.name for photo in photos)}"
    return page("Sheet", _MARK, note, groups)
