"""``stylepipe measure RESULT... --photo P``: how near paintings come, and what they keep."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

from stylepipe.cli.output import complain, print_json, print_table
from stylepipe.errors import ItemError, NoInputError, UsageError
from stylepipe.pictures import read_picture
from stylepipe.places import no_file
from stylepipe.stdio import printable, tell

if TYPE_CHECKING:
    from stylepipe.studies.measures import Picture


@dataclass(frozen=True)
class _Pair:
    result: Path
    photo: Path


def measure_pictures(
    results: Sequence[Path],
    photo: Path,
    style: Path | None,
    reference: Path | None,
    calibration: Path | None,
    judge_weights: Path | None,
    as_json: bool,
) -> tuple[int, bytes]:
    """Measure results beside their photo, or those of a folder beside the photos of another.

    Prints the figures, and returns the exit code and a table of all, distances by layer included.
    Raises UsageError, NoInputError.
    """
    from stylepipe.studies.judging import left_out, open_judge
    from stylepipe.studies.measures import MEASURES, by_layer, fitted, measured

    pairs = list(_pairs(results, photo))
    painting = None if style is None else _read("--style", style)
    beside = None if reference is None else _read("--reference", reference)
    judge, failed = open_judge(calibration, judge_weights), False
    lines: list[dict[str, str | float]] = []
    for pair in pairs:
        try:
            result, original = read_picture(pair.result), read_picture(pair.photo)
        except ItemError as error:
            complain(str(error))
            failed = True
            continue
        figures = measured(result, original, judge, painting, beside)
        try:
            figures |= by_layer(fitted(result, original), original, judge, painting)
        except ItemError as error:  # too small for the encoder: some figures are missing
            complain(f"{pair.result}: {error}")
            failed = True
        lines.append({"result": str(pair.result), **figures})
    if not lines:
        return ItemError.exit_code, b""
    columns = list(dict.fromkeys(name for line in lines for name in line))
    shown = ["result", *(m.name for m in MEASURES if m.name in columns)]
    if as_json:
        # JSON has no infinity, which is the PSNR of equal pictures
        print_json([{k: None if v == float("inf") else v for k, v in x.items()} for x in lines])
    else:
        rows = [[_cell(line.get(name, "-")) for name in shown] for line in lines]
        if len(lines) > 1:
            means = (mean(float(x[n]) for x in lines if n in x) for n in shown[1:])
            rows.append(["mean", *map(_cell, means)])
        print_table([shown, *rows])
    tell(f"judged by {judge.title}")
    for line in left_out(judge):
        tell(line)
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(lines)
    return ItemError.exit_code if failed else 0, text.getvalue().encode(errors="surrogateescape")


def _cell(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"


def _read(flag: str, path: Path) -> Picture:
    if not path.exists():
        raise NoInputError(no_file(path))
    try:
        return read_picture(path)
    except ItemError as error:
        raise UsageError(f"{flag}: {error}") from error


def _pairs(results: Sequence[Path], photo: Path) -> Iterable[_Pair]:
    """Each result and its photo. Raises UsageError, NoInputError where there is none."""
    from stylepipe.studies.finished import named_alike, pictures_below

    for path in (photo, *results):
        if not path.exists():
            raise NoInputError(no_file(path))
    for result in results:
        if result.is_dir() != photo.is_dir():
            raise UsageError(
                f"{result} and --photo {photo}: name a picture and its photo, or a folder of "
                "pictures and that of their photos"
            )
        if not result.is_dir():
            yield _Pair(result, photo)
            continue
        found = named_alike(result, [path.relative_to(photo) for path in pictures_below(photo)])
        if not found:
            raise UsageError(f"no picture below {result} has the name of a photo below {photo}")
        if strange := len(pictures_below(result)) - len(found):
            tell(
                f"{strange} picture{'s' * (strange > 1)} below {printable(str(result))} left out, "
                "which no photo has the name of"
            )
        yield from (_Pair(path, photo / name) for name, path in found.items())
