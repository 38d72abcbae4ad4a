"""Names with one number in them, such as ``fr%04d.png`` or ``fr####.png``, that name many files."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

_NUMBER = re.compile(r"%0?(\d{0,2})d|(##+)")  # one # is found in names that number nothing
TIMES = "frames.stylepipe.json"
"""What lies beside frames that were a film: when each is shown, and its colors."""


@dataclass(frozen=True)
class Pattern:
    """A name with a number in it: ``####`` is ``%04d``, and ``%d`` a number of any digits."""

    before: str
    digits: int
    """Numbers of fewer digits have zeros in front."""
    after: str

    @classmethod
    def of(cls, name: str) -> Pattern | None:
        """What a name means as a pattern; None if it is none, or has several numbers."""
        found = list(_NUMBER.finditer(name))
        if len(found) != 1:
            return None
        width, marks = found[0].groups()
        digits = len(marks) if marks else int(width or 1)
        return cls(name[: found[0].start()], digits, name[found[0].end() :])

    def __str__(self) -> str:
        return f"{self.before}{'#' * self.digits if self.digits > 1 else '%d'}{self.after}"

    def name(self, number: int) -> str:
        """The name of that number."""
        return f"{self.before}{number:0{self.digits}d}{self.after}"

    def number(self, name: str) -> int | None:
        """The number of a name; None if the pattern does not name it."""
        digits = name.removeprefix(self.before).removesuffix(self.after)
        if not re.fullmatch(r"[0-9]+", digits) or self.name(int(digits)) != name:
            return None
        return int(digits)


def files_of(path: Path) -> dict[int, Path]:
    """By number, the files that a path names as a pattern; none if a file has just that name."""
    pattern = Pattern.of(path.name)
    if pattern is None or os.path.lexists(path):
        return {}
    found = {pattern.number(name): name for name in _names_in(path.parent)}
    return {n: path.with_name(found[n]) for n in sorted(n for n in found if n is not None)}


def frame_number(index: int, name: str = "") -> int:
    """The number of a frame, as users count: that at the end of the ``name`` of a numbered picture,
    without suffix, or else its position in the film, from 1.
    """
    found = re.search(r"[0-9]{1,18}$", name)
    return int(found[0]) if found else index + 1


def title(path: Path) -> str:
    """A file's name without its suffix; a pattern's without its number, or that of its folder."""
    pattern = Pattern.of(path.stem)
    if pattern is None or os.path.lexists(path):
        return path.stem
    return f"{pattern.before}{pattern.after}".strip(" ._-") or path.absolute().parent.name or "film"


def no_match(path: Path) -> str:
    """Where a pattern that names no file was looked for, and what is there."""
    pattern = Pattern.of(path.name)
    assert pattern is not None
    looked = f"looked for {pattern.name(1)} and the like"
    if not path.parent.is_dir():
        return f"{looked}, and there is no folder {path.parent}"
    names = sorted(_names_in(path.parent))
    alike = [name for name in names if Path(name).suffix == path.suffix] or names
    there = ", ".join(alike[:3]) + (" ..." if len(alike) > 3 else "")
    return f"{looked} in {path.parent}, which holds {there or 'no files'}"


def _names_in(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [e.name for e in entries if not e.name.startswith(".") and e.is_file()]
    except OSError:
        return []
