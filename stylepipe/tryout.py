"""Trying settings on a few frames of each film: pictures of them, and a sheet for each film."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from stylepipe.errors import ItemError, SetupError, UsageError
from stylepipe.inputs import probe
from stylepipe.job import Job, Settings
from stylepipe.media.images import ImageWriter
from stylepipe.media.stills import StillsWriter, film_name
from stylepipe.media.words import spell
from stylepipe.sampling import Sample
from stylepipe.session import Opener
from stylepipe.types import Item

_MARK = "stylepipe try"
"""Comment of the sheets, by which they are recognized."""
_BOX, _COLUMNS = (320, 240), 2
"""Pixels that source and result take side by side, each."""


def tryout(job: Job) -> Job:
    """The job that paints the ``[input]`` sample of each film, and photos as always.

    Raises UsageError where the output or a mask cannot be meant for single pictures.
    """
    settings, sample = job.settings, job.settings.input.sample
    assert sample is not None
    wanted, flag = settings.output.format, sample.flag
    if wanted and f".{wanted.removesuffix('/')}/" not in StillsWriter.patterns:
        raise UsageError(
            f"{flag} writes single pictures, which cannot be {wanted}; leave --format out, or take "
            "one of png, jpg, tif, webp, bmp, avif"
        )
    suffixes = {suffix for writer in settings.writers for suffix in writer.patterns}
    if job.output.suffix.lower() in suffixes and not job.output.is_dir():
        raise UsageError(
            f"{flag} writes single pictures into a folder: name one as --output, not {job.output}"
        )
    for masker, _ in settings.maskers:
        if masker.warmup:
            raise UsageError(
                f"the mask {masker.name!r} is found by comparing a frame with those before it, and "
                f"{flag} paints frames that do not follow one another; leave one out"
            )
    return replace(job, settings=replace(settings, writers=(_stills(settings), *settings.writers)))


def _stills(settings: Settings) -> StillsWriter:
    """The writer of the pictures, with the options that those of photos have."""
    options = [w.options for w in settings.writers if isinstance(w, ImageWriter)]
    return StillsWriter(options[0] if options else StillsWriter.Options.build({}))


def sheet_path(item: Item) -> Path:
    """Where the sheet of a film goes: beside the folder of its pictures."""
    return item.output.with_name(f"{item.output.name}-sheet.jpg")


def check_sheets(items: Sequence[Item]) -> None:
    """Raises UsageError where a sheet would replace a file that is none."""
    from stylepipe.sheets import check_replaceable

    for item in items:
        if item.folder:
            check_replaceable(sheet_path(item), _MARK, "sheet")


def write_sheets(job: Job, items: Sequence[Item], log: Callable[[str], None]) -> None:
    """Write the sheet of each film whose pictures are there and newer. Raises SetupError."""
    limit, sample = job.settings.max_pixels, job.settings.input.sample
    assert sample is not None
    with Opener(log=lambda line: None, damaged=lambda what: None, max_pixels=limit) as opener:
        opener.open(job.settings.readers)
        for item in items:
            path = sheet_path(item)
            if not item.folder or not item.output.is_dir() or _is_newer(path, item.output):
                continue
            try:
                with suppress(ItemError):  # of a damaged film: the run has reported it
                    _write_sheet(job, sample, item, path)
                    log(f"source and result side by side: {path}")
            except OSError as error:
                raise SetupError(
                    f"the pictures are written, but not their sheet {path}: "
                    f"{error.strerror or error}"
                ) from error


def _is_newer(path: Path, folder: Path) -> bool:
    return path.exists() and path.stat().st_mtime_ns >= folder.stat().st_mtime_ns


def _write_sheet(job: Job, sample: Sample, item: Item, path: Path) -> None:
    """Raises ItemError if the film cannot be read, OSError if the sheet cannot be written."""
    import numpy as np

    from stylepipe.mask_files import opened
    from stylepipe.sheets import Cell, contact_sheet, evenly, save_sheet, thumbnail, wrapped

    ours = re.compile(re.escape(film_name(item.source)) + r"_(\d+)\.\w+")
    found = ((ours.fullmatch(file.name), file) for file in sorted(item.output.iterdir()))
    pictures = sorted((int(match[1]), file) for match, file in found if match)
    reader, info = probe(item.source, job.settings.readers, item.page)
    chosen = sample.of(reader, item, info).chosen or ()
    files = {index: file for index, (_, file) in zip(chosen, pictures, strict=False)}
    cells: list[Cell] = []
    for source in reader.pick(item, info, evenly(list(files))):
        with opened(files[source.index], job.settings.max_pixels, "picture") as picture:
            result = np.asarray(picture.convert("RGB"))
        left = thumbnail(source.pixels, _BOX)
        right = thumbnail(result, left.shape[1::-1])
        if right.shape != left.shape:  # by a rounding
            left = left[: right.shape[0], : right.shape[1]]
        time = source.time
        begin = Fraction(info.details.get("origin") or 0)
        when = "" if time is None else f", {spell(time - begin)}"
        cells.append(Cell(f"frame {source.number}{when}", np.hstack([left, right])))
    if cells:
        rows = wrapped(cells, min(_COLUMNS, len(cells)))
        save_sheet(path, contact_sheet(rows, 2 * _BOX[0]), _MARK)
