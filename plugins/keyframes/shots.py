"""The shots of a film, and which keyframes each has."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from stylepipe import Frame, Info, ItemError

from .asked import Keyframe

_NEAR = Fraction(1, 2)
"""Seconds by which a film may be longer than its header says."""


@dataclass(frozen=True)
class Shot:
    """Frames between two cuts."""

    first: int
    last: int
    keys: Sequence[int]
    """Indices of its keyframes, in order."""
    numbers: tuple[int, int]
    """Of its first and last frame, as ``Frame.number`` gives them."""

    def around(self, index: int) -> tuple[int | None, int | None]:
        """The keyframe at or before a frame, and the next one after it, where there are any."""
        before = max((key for key in self.keys if key <= index), default=None)
        return before, min((key for key in self.keys if key > index), default=None)


def numbers_of(info: Info) -> range | None:
    """The numbers that the frames of a film have, some perhaps missing; None: not known yet."""
    if found := re.fullmatch("([0-9]+)-([0-9]+)", info.details.get("numbers") or ""):
        return range(int(found[1]), int(found[2]) + 1)
    if info.frames is None or info.chosen is not None:
        return None
    return range(1, info.frames + 1)


def find_shots(
    frames: Iterable[Frame], keyframes: Sequence[Keyframe], origin: Fraction
) -> tuple[list[Shot], dict[int, Keyframe]]:
    """Look at a whole film: its shots, and the keyframes by the indices of their frames.

    ``origin``: the time stamp, in seconds, at which times begin. Raises ItemError for a keyframe
    that the film does not have.
    """
    from stylepipe.temporal.scenes import is_cut

    begins, times, numbers = [0], [], []
    previous: Frame | None = None
    for frame in frames:
        if previous is not None and is_cut(frame.pixels, previous.pixels):
            begins.append(frame.index)
        times.append(_time(frame, origin))
        numbers.append(frame.number)
        previous = frame
    if previous is None:
        raise ItemError("it has no frames")
    found: dict[int, Keyframe] = {}
    for keyframe in keyframes:
        if keyframe.number is None:
            index = _at(keyframe, times, _time(previous, origin, end=True))
        else:
            check_number(keyframe, numbers)
            index = numbers.index(keyframe.number)
        if index in found:
            raise ItemError(
                f"--keyframe {found[index].when} and {keyframe.when} are both frame "
                f"{numbers[index]}; leave one out"
            )
        found[index] = keyframe
    ends = [*(begin - 1 for begin in begins[1:]), previous.index]
    shots = [
        Shot(
            first,
            last,
            sorted(n for n in found if first <= n <= last),
            (numbers[first], numbers[last]),
        )
        for first, last in zip(begins, ends, strict=True)
    ]
    return shots, found


def check_number(keyframe: Keyframe, numbers: Sequence[int]) -> None:
    """Raises ItemError for a number that no frame of the film has."""
    if keyframe.number not in numbers:
        raise ItemError(
            f"--keyframe {keyframe.when} is no frame of the film: its frames are {numbers[0]} to "
            f"{numbers[-1]}"
        )


def check_time(keyframe: Keyframe, info: Info) -> None:
    """Raises ItemError for a time before or after what is wanted of a film of known duration."""
    begin = Fraction(info.details.get("start") or 0)
    end = begin + Fraction(info.duration or 0)
    if not begin - _NEAR <= keyframe.seconds <= end + _NEAR:
        raise ItemError(_outside(keyframe, begin, end))


def _outside(keyframe: Keyframe, begin: Fraction, end: Fraction) -> str:
    return (
        f"--keyframe {keyframe.when} is outside of the film, whose frames go from "
        f"{float(begin):g}s to {float(end):g}s"
    )


def _time(frame: Frame, origin: Fraction, end: bool = False) -> Fraction | None:
    """When a frame begins, or ends, in seconds from the film's beginning; None without times."""
    if frame.pts is None or not frame.time_base:
        return None
    pts = frame.pts + ((frame.duration or 0) if end else 0)
    return pts * frame.time_base - origin


def _at(keyframe: Keyframe, times: Sequence[Fraction | None], end: Fraction | None) -> int:
    """The index of the frame that is shown at the time of a keyframe. Raises ItemError."""
    begin = times[0]
    if begin is None or end is None:
        raise ItemError(
            f"--keyframe {keyframe.when}: the frames of this film have no times; give the "
            "number of the frame"
        )
    if not begin <= keyframe.seconds <= end:
        raise ItemError(_outside(keyframe, begin, end))
    return max(n for n, time in enumerate(times) if time is not None and time <= keyframe.seconds)
