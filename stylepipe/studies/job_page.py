"""``--report FILE.html``: each item of a job before and after, on pages that any browser opens."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import count, islice, takewhile
from pathlib import Path
from urllib.parse import quote

from stylepipe.components import Reader
from stylepipe.errors import ItemError, UsageError, sentence
from stylepipe.eta import elapsed, frames_of
from stylepipe.inputs import probe
from stylepipe.job import Job
from stylepipe.pictures import read_picture
from stylepipe.report import Report
from stylepipe.session import Opener
from stylepipe.sheets import check_replaceable
from stylepipe.stdio import printable
from stylepipe.studies.measures import limited
from stylepipe.studies.page import CLOSING, Figure, figure_html, opening
from stylepipe.studies.painting import small
from stylepipe.tryout import sheet_path
from stylepipe.types import Item, Outcome

A_PAGE = 200
"""Items per page, which then has some 10 MB."""
_SIDE = 480
"""Longest side of a picture on the page."""
_SAMPLED = (1 / 6, 1 / 2, 5 / 6)
"""The positions in a film from which frames are shown."""
_MARK = "made by stylepipe run --report"


def check_page(path: Path) -> None:
    """Raises UsageError for a name that no page can have, or that would replace something else."""
    if path.suffix.lower() != ".html":
        raise UsageError(f"--report writes a page: name a file that ends in .html, not {path.name}")
    if path.is_dir():
        raise UsageError(f"--report {path} is a folder; name a file in it")
    for page in (path, *_existing(path, 2)):
        _check_replaceable(page)


def write_pages(path: Path, job: Job, report: Report) -> list[Path]:
    """Write the page of a finished job, and further pages (``NAME-2.html`` ...) if it has many
    items.

    One item is in memory at a time. Failed items come first. Raises OSError, or UsageError if a
    further page would replace another file.
    """
    outcomes = sorted(report.outcomes, key=lambda one: one[1].status != "failed")
    number_of_pages = max(1, -(-len(outcomes) // A_PAGE))
    pages = [path, *(_numbered(path, n) for n in range(2, number_of_pages + 1))]
    path.parent.mkdir(parents=True, exist_ok=True)
    readers = job.settings.readers
    limit = job.settings.max_pixels
    # the result of a part of a film is read from its beginning
    whole = [type(r)(type(r).Options.build({})) if r.kind == "video" else r for r in readers]
    with Opener(log=_silent, damaged=_silent, max_pixels=limit) as opener:
        opener.open([*readers, *(r for r in whole if r not in readers)])
        remaining = iter(outcomes)
        for number, page in enumerate(pages, 1):
            _check_replaceable(page)
            part = page.with_name(f".{page.name}.part")
            try:
                with part.open("w", encoding="utf-8") as file:
                    file.write(opening("Painted", _MARK, _note(job, report)))
                    links = _links(pages, number)
                    file.write(f'{links}\n<div class="figures">\n')
                    for item, outcome in islice(remaining, A_PAGE):
                        link = _link(item.output, page.parent)
                        for figure in _figures(item, outcome, readers, whole, job):
                            file.write(figure_html(figure, link=link) + "\n")
                    file.write(f"</div>\n{links}{CLOSING}")
                part.replace(page)
            finally:
                part.unlink(missing_ok=True)
    for page in _existing(path, number_of_pages + 1):  # of an earlier report, which had more
        with suppress(UsageError):
            _check_replaceable(page)
            page.unlink()
    return pages


def _silent(line: str) -> None:
    """The run has reported it."""


def _check_replaceable(page: Path) -> None:
    check_replaceable(page, _MARK, "report", "--report")


def _numbered(path: Path, number: int) -> Path:
    return path.with_stem(f"{path.stem}-{number}")


def _existing(path: Path, first: int) -> Iterator[Path]:
    """Further pages, from a number on, as far as they exist."""
    return takewhile(Path.exists, (_numbered(path, number) for number in count(first)))


def _note(job: Job, report: Report) -> str:
    counts = report.counts
    words = {"done": "painted", "skipped": "there already", "failed": "failed"}
    told = [f"{counts[k]} {word}" for k, word in words.items() if counts[k]]
    told += [f"{counts['damaged']} of them damaged"] * bool(counts["damaged"])
    first = ", failed ones first" if counts["failed"] else ""
    styles = " + ".join(job.settings.stylizer.options.style)
    by = job.settings.stylizer.name + (f" after {styles}" if styles else "")
    return printable(
        f"{', '.join(told) or 'Nothing to do'} in {elapsed(report.seconds)}{first}. By {by}, "
        f"into {job.output}."
    )


def _links(pages: Sequence[Path], number: int) -> str:
    if len(pages) == 1:
        return ""
    words = [
        f"<b>{n}</b>" if n == number else f'<a href="{quote(page.name)}">{n}</a>'
        for n, page in enumerate(pages, 1)
    ]
    return f'<nav aria-label="Pages"><p>{A_PAGE} items a page: {" ".join(words)}</p></nav>'


def _link(result: Path, folder: Path) -> str:
    try:
        way = Path(os.path.relpath(result.absolute(), folder.absolute())).as_posix()
    except ValueError:  # on another drive of Windows
        return result.absolute().as_uri()
    return quote(os.fsencode(way))


def _figures(
    item: Item, outcome: Outcome, readers: Sequence[Reader], whole: Sequence[Reader], job: Job
) -> Iterator[Figure]:
    """The figures of an item: a photo, or a few frames of a film."""
    name = item.relative.as_posix() + (f", page {item.page}" if item.page else "")
    caption = printable(name)
    if outcome.status == "failed":
        yield Figure(caption, None, failure=printable(outcome.message))
        return
    if outcome.damage:
        caption += printable(f": {outcome.damage}")
    try:
        if job.settings.input.sample is not None and item.folder:
            yield Figure(caption, limited(read_picture(sheet_path(item)), 2 * _SIDE))
            return
        reader, info = probe(item.source, readers, item.page)
        frames = 1 if info.kind == "image" else frames_of(info) or 1
        numbers = sorted({int(frames * share) for share in _SAMPLED} if frames > 1 else {0})
        result = replace(item, source=item.output, root=item.output.parent, page=0)
        painter, shown = probe(result.source, whole)
        pairs = zip(
            reader.pick(item, info, numbers), painter.pick(result, shown, numbers), strict=False
        )
        found = 0
        for before, after in pairs:
            found += 1
            words = f"{caption}, frame {before.index + 1}" if frames > 1 else caption
            yield Figure(words, small(after, _SIDE).pixels, small(before, _SIDE).pixels)
        if not found:
            raise ItemError("it has no frame")
    except Exception as error:  # a codec or plugin may raise anything for one file
        yield Figure(caption, None, failure=printable(f"It cannot be shown: {sentence(error)}"))
