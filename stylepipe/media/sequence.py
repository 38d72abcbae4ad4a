"""Numbered pictures of a folder: which they are, and what of them is missing."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from stylepipe.errors import ItemError

_NUMBERED = re.compile(r"(.*?)(\d+)(\.\w+)", re.DOTALL)


@dataclass(frozen=True)
class Sequence:
    """The frames of a folder, in the order of their numbers."""

    pattern: str
    """What their names have in common: ``shot_####.png``."""
    frames: dict[int, Path]
    """By position from 0; missing frames leave gaps."""
    others: list[str]
    """Names of files beside them, which are no pictures."""

    @property
    def length(self) -> int:
        """Frames, with those that are missing."""
        return max(self.frames) + 1

    @property
    def missing(self) -> list[int]:
        """Positions of frames that are not there."""
        return [n for n in range(self.length) if n not in self.frames]


def is_numbered(folder: Path, suffixes: Collection[str]) -> bool:
    """Whether a folder directly holds a picture whose name ends in a number."""
    try:
        return any(_parts(path, suffixes) for path in folder.iterdir())
    except OSError:
        return False


def find(folder: Path, suffixes: Collection[str]) -> Sequence:
    """The frames of a folder; pictures are told by ``suffixes``, hidden files do not count.

    Raises ItemError if they are not all of one sequence, or if there are folders beside them.
    """
    numbers: dict[int, Path] = {}
    names: dict[tuple[str, str], Path] = {}
    others: list[str] = []
    try:
        found = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise ItemError(f"the folder cannot be read: {error.strerror or error}") from error
    for path in found:
        if path.is_dir():
            raise ItemError(
                f"a folder lies beside its frames ({path.name}); move it elsewhere, and name it as "
                "an input of its own"
            )
        if path.suffix.lower() not in suffixes:
            others.append(path.name)
            continue
        parts = _parts(path, suffixes)
        if parts is None:
            raise ItemError(f"{path.name} has no number to be a frame by; move it elsewhere")
        prefix, number, suffix = parts
        names.setdefault((prefix, suffix), path)
        if len(names) > 1:
            one, other = (p.name for p in names.values())
            raise ItemError(
                f"it holds more than one sequence ({one} and {other}); give each a folder"
            )
        if number in numbers:
            raise ItemError(f"{numbers[number].name} and {path.name} have one number; remove one")
        numbers[number] = path
    if not numbers:
        raise ItemError("it holds no numbered pictures any more")
    order = sorted(numbers)
    step = math.gcd(*(b - a for a, b in pairwise(order))) or 1
    digits = len(_NUMBERED.fullmatch(numbers[order[0]].name)[2])  # type: ignore[index]
    [(prefix, suffix)] = names
    frames = {(number - order[0]) // step: numbers[number] for number in order}
    return Sequence(f"{prefix}{'#' * digits}{suffix}", frames, others)


def _parts(path: Path, suffixes: Collection[str]) -> tuple[str, int, str] | None:
    """Prefix, number and suffix of a frame's name; None if it is no frame."""
    found = _NUMBERED.fullmatch(path.name)
    if found is None or path.name.startswith(".") or found[3].lower() not in suffixes:
        return None
    return found[1], int(found[2]), found[3].lower()
