"""Numbered pictures as frames of a film: which they are, when they are shown, what is missing."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

from stylepipe.errors import ItemError
from stylepipe.media.sidecar import Sidecar, read_sidecar
from stylepipe.patterns import TIMES, Pattern, files_of

_NUMBERED = re.compile(r"(.*?)([0-9]+)(\.\w+)", re.DOTALL)
_MOST_MISSING = 100_000
"""More are no gap: the numbers are dates, or similar."""
_NAMED = 5
"""Runs of missing frames that a message lists."""


@dataclass(frozen=True)
class Place:
    """The place of one frame in a sequence."""

    number: int
    path: Path
    """Where it is; of a missing one, where it would be."""
    missing: bool
    pts: int
    """When it is shown, in units of the sequence's ``time_base``."""
    duration: int | None


@dataclass(frozen=True)
class Sequence:
    """The frames of a folder, or of a pattern, in order."""

    pattern: str
    """What their names have in common: ``shot_####.png``."""
    places: list[Place]
    """Those of missing frames too."""
    others: list[str]
    """Names of files beside them, which are no pictures."""
    time_base: Fraction | None
    """Seconds a unit of times; None where the rate is unknown."""
    rate: Fraction | None
    """Frames a second, on average."""
    details: Mapping[str, Any]
    """What is known of the film they were; empty if they were none."""


def is_sequence(path: Path, suffixes: Collection[str], timed: bool) -> bool:
    """Whether a folder directly holds a picture whose name ends in a number, or a pattern names
    one, and their times are known: ``timed``, or from a file beside them."""
    named = files_of(path)
    try:
        if not (timed or ((path.parent if named else path) / TIMES).is_file()):
            return False
        if named:
            return path.suffix.lower() in suffixes
        return any(_parts(file, suffixes) for file in path.iterdir())
    except OSError:
        return False


def find(source: Path, suffixes: Collection[str], rate: Fraction | None) -> Sequence:
    """The frames of a folder or of a pattern; pictures have one of ``suffixes``, hidden files
    do not count. ``rate``: frames a second; None: as a file beside them says, if there is one.

    Raises ItemError if they are not all of one sequence, if there are folders beside them, or if
    that file does not fit.
    """
    named = files_of(source)
    folder = source.parent if named else source
    others: list[str] = []
    if named:
        numbers, pattern = named, Pattern.of(source.name)
    else:
        numbers, pattern = _in_folder(folder, suffixes, others)
    assert pattern is not None
    sidecar = read_sidecar(folder)
    details = dict(sidecar.details) if sidecar else {}
    base = 1 / rate if rate else None
    if sidecar is not None and rate is None:
        places, base, rate = _listed(sidecar, numbers, pattern), sidecar.time_base, sidecar.rate
    else:
        places = _counted(numbers, pattern, folder)
        details.pop("variable_rate", None)
    return Sequence(str(pattern), places, others, base, rate, details)


def spelled(places: Iterable[Place]) -> str:
    """The numbers of missing frames, runs in short: ``3, 7-9``."""
    runs: list[list[int]] = []
    before: Place | None = None
    for place in places:
        if place.missing and before is not None and before.missing:
            runs[-1][1] = place.number
        elif place.missing:
            runs.append([place.number, place.number])
        before = place
    words = [f"{a}" if a == b else f"{a}-{b}" for a, b in runs[:_NAMED]]
    return ", ".join(words) + (" ..." if len(runs) > _NAMED else "")


def _in_folder(
    folder: Path, suffixes: Collection[str], others: list[str]
) -> tuple[dict[int, Path], Pattern]:
    """The frames by number; adds what else there is to ``others``."""
    numbers: dict[int, Path] = {}
    names: dict[tuple[str, str], Path] = {}
    try:
        found = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise ItemError(f"the folder cannot be read: {error.strerror or error}") from error
    for path in found:
        if path.is_dir():
            raise ItemError(
                f"a folder lies beside its frames ({path.name}); move it elsewhere, and name it as "
                "a separate input"
            )
        if path.suffix.lower() not in suffixes:
            others += [path.name] if path.name != TIMES else []
            continue
        parts = _parts(path, suffixes)
        if parts is None:
            raise ItemError(f"{path.name} has no number to be a frame by; move it elsewhere")
        prefix, number, suffix = parts
        names.setdefault((prefix, suffix), path)
        if len(names) > 1:
            one, other = (p.name for p in names.values())
            raise ItemError(
                f"it holds more than one sequence ({one} and {other}); give each a folder, or name "
                f"one by a pattern, {folder / str(_pattern_of(path))}"
            )
        if number in numbers:
            raise ItemError(f"{numbers[number].name} and {path.name} have one number; remove one")
        numbers[number] = path
    if not numbers:
        raise ItemError("it holds no numbered pictures any more")
    return numbers, _pattern_of(numbers[min(numbers)])


def _counted(numbers: dict[int, Path], pattern: Pattern, folder: Path) -> list[Place]:
    """The places of frames that are shown for one unit each."""
    order = sorted(numbers)
    step = math.gcd(*(b - a for a, b in pairwise(order))) or 1
    missing = (order[-1] - order[0]) // step + 1 - len(order)
    if missing > _MOST_MISSING:
        raise ItemError(
            f"{missing} frames are missing between {numbers[order[0]].name} and "
            f"{numbers[order[-1]].name}; number the frames one after the other"
        )
    return [
        Place(n, numbers.get(n, folder / pattern.name(n)), n not in numbers, pts, 1)
        for pts, n in enumerate(range(order[0], order[-1] + 1, step))
    ]


def _listed(sidecar: Sidecar, numbers: dict[int, Path], pattern: Pattern) -> list[Place]:
    """The places that a file beside the frames lists."""
    there = {path.name: path for path in numbers.values()}
    listed = {frame.name for frame in sidecar.frames}
    if new := [name for name in there if name not in listed]:
        more = f" and {len(new) - 1} more" if len(new) > 1 else ""
        raise ItemError(
            f"{TIMES} says when its frames are shown, but not {new[0]}{more}; delete that file "
            "and pass --fps, or move what was added elsewhere"
        )
    folder = next(iter(numbers.values())).parent
    places: list[Place] = []
    for position, frame in enumerate(sidecar.frames, 1):
        number = pattern.number(frame.name)
        path = there.get(frame.name, folder / frame.name)
        missing = frame.name not in there
        known = position if number is None else number
        places.append(Place(known, path, missing, frame.pts, frame.duration))
    return places


def _pattern_of(path: Path) -> Pattern:
    found = _NUMBERED.fullmatch(path.name)
    assert found is not None
    return Pattern(found[1], len(found[2]), found[3])


def _parts(path: Path, suffixes: Collection[str]) -> tuple[str, int, str] | None:
    """Prefix, number and suffix of a frame's name; None if it is no frame."""
    found = _NUMBERED.fullmatch(path.name)
    if found is None or path.name.startswith(".") or found[3].lower() not in suffixes:
        return None
    return found[1], int(found[2]), found[3].lower()
