"""The log of a training run: a table of its terms, a row a step."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from stylepipe.nst.files import write_atomically


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
