"""The shots of a film, and which keyframes each has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from stylepipe import Frame, ItemError

from .asked import Keyframe


@dataclass(frozen=True)
class Shot:
    """Frames between two cuts."""

    first: int
    last: int
    keys: Sequence[int]
    """Numbers of its keyframes, in order."""

    def around(self, number: int) -> tuple[int | None, int | None]:
        """The keyframe at or before a frame, and the next one after it, where there are any."""
        before = max((key for key in self.keys if key <= number), default=None)
        return before, min((key for key in self.keys if key > number), default=None)


def find_shots(
    frames: Iterable[Frame], keyframes: Sequence[Keyframe], origin: Fraction
) -> tuple[list[Shot], dict[int, Keyframe]]:
    """Look at a whole film: its shots, and the keyframes by the numbers of their frames.

    ``origin``: the time stamp, in seconds, at which times begin. Raises ItemError for a keyframe
    that the film does not have.
    """
    from stylepipe.temporal.scenes import is_cut

    begins, times = [0], []
    previous: Frame | None = None
    for frame in frames:
        if previous is not None and is_cut(frame.pixels, previous.pixels):
            begins.append(frame.index)
        times.append(_time(frame, origin))
        previous = frame
    if previous is None:
        raise ItemError("it has no frames")
    found: dict[int, Keyframe] = {}
    for keyframe in keyframes:
        number = _number(keyframe, times, _time(previous, origin, end=True))
        if number in found:
            raise ItemError(
                f"--keyframe {found[number].when} and {keyframe.when} are both frame {number}; "
                "leave one out"
            )
        found[number] = keyframe
    ends = [*(begin - 1 for begin in begins[1:]), previous.index]
    shots = [
        Shot(first, last, sorted(n for n in found if first <= n <= last))
        for first, last in zip(begins, ends, strict=True)
    ]
    return shots, found


def _time(frame: Frame, origin: Fraction, end: bool = False) -> Fraction | None:
    """When a frame begins, or ends, in seconds from the film's beginning; None without times."""
    if frame.pts is None or not frame.time_base:
        return None
    pts = frame.pts + ((frame.duration or 0) if end else 0)
    return pts * frame.time_base - origin


def _number(keyframe: Keyframe, times: Sequence[Fraction | None], end: Fraction | None) -> int:
    """The number of a keyframe's frame. Raises ItemError."""
    if keyframe.number is not None:
        return check_number(keyframe, len(times))
    begin = times[0]
    if begin is None or end is None:
        raise ItemError(
            f"--keyframe {keyframe.when}: the frames of this film have no times; give the "
            "number of the frame"
        )
    if not begin <= keyframe.seconds <= end:
        raise ItemError(
            f"--keyframe {keyframe.when} is outside of the film, whose frames go from "
            f"{float(begin):g}s to {float(end):g}s"
        )
    return max(n for n, time in enumerate(times) if time is not None and time <= keyframe.seconds)


def check_number(keyframe: Keyframe, count: int) -> int:
    """The number of a frame that a film of ``count`` frames has. Raises ItemError."""
    assert keyframe.number is not None
    if keyframe.number >= count:
        raise ItemError(
            f"--keyframe {keyframe.when} is beyond the film's end: its frames are 0 to {count - 1}"
        )
    return keyframe.number
