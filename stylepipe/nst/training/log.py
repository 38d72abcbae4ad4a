"""The log of a training run: a table of its terms, a row a step."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from stylepipe.nst.files import write_atomically

LOG = "log.csv"
_WATCHED = ("step", "seconds", "gradient", "spread")
"""Columns that are no terms of the loss."""


class Log:
    """A CSV file that is appended to, and shortened where a run goes back."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        """columns: the first holds the step."""
        self.path, self.columns = path, tuple(columns)

    def append(self, row: Mapping[str, str | int]) -> None:
        """Add a row; columns that it lacks stay empty."""
        new = not self.path.exists()
        with self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns, restval="", lineterminator="\n")
            if new:
                writer.writeheader()
            writer.writerow(row)

    def trim(self, step: int) -> None:
        """Drop the rows after a step, which will be written again, and half a last row."""
        if not self.path.exists():
            return
        lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
        rows = [row for row in (line.split(",") for line in lines) if len(row) == len(self.columns)]
        kept = [row for row in rows if row[0].isdecimal() and int(row[0]) <= step]
        text = "".join(f"{','.join(row)}\n" for row in (self.columns, *kept))
        write_atomically(self.path, text.encode())


def read_terms(path: Path) -> dict[str, list[tuple[float, float]]]:
    """``loss`` and its terms from a log: (step, value) by name, those that have any. Steps that a
    run repeated after it was killed count as the last time. Raises OSError."""
    found: dict[str, dict[float, float]] = {}
    for row in _rows(path):
        for name, text in row.items():
            if name not in _WATCHED and math.isfinite(value := _number(text)):
                found.setdefault(name, {})[_number(row["step"])] = value
    return {name: sorted(points.items()) for name, points in found.items()}


def read_seconds(path: Path) -> float:
    """How long the run of a log has taken so far. Raises OSError."""
    return max((_number(row["seconds"]) for row in _rows(path)), default=0.0)


def _rows(path: Path) -> Iterator[dict[str, str]]:
    """Whole rows: while a run writes, or after it was killed, the last one may be half there."""
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        for row in csv.DictReader(file, restval=None):
            if None not in row and None not in row.values():
                yield row


def _number(text: str) -> float:
    """NaN for an empty cell."""
    try:
        return float(text)
    except ValueError:
        return math.nan
