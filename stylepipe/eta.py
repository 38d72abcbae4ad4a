"""How long a job will take: said once, when its first pictures show the pace."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from math import ceil
from typing import TYPE_CHECKING

from stylepipe.errors import ItemError

if TYPE_CHECKING:
    from stylepipe.sampling import Sample
    from stylepipe.types import Info, Item

_SETTLED = 4.0
"""Seconds after the first pictures at which the pace counts."""
_WORTH = 10.0
"""An estimate is reported if at least this many seconds remain."""
_PROBED = 32
"""Inputs of a job that are looked at; of more, as many are taken, evenly spread."""
_PATIENCE = 1.0
"""Seconds that looking at them may take."""


class Eta:
    """Counts painted pixels, and estimates once how long the rest will take."""

    def __init__(self) -> None:
        self._total: int | None = None
        self._done = 0
        self._began: float | None = None
        self._first: tuple[float, int] | None = None
        """When the first pictures came out, and their pixels: no part of the pace, as they take
        longer than others, and wait where frames are held back."""
        self._reported = False

    def expect(self, pixels: int | None) -> None:
        """Set how many pixels are to be painted in total; None: unknown."""
        self._total = pixels

    def start(self, now: float, known: int = 0) -> None:
        """Start an item, of which an earlier run has painted ``known`` pixels."""
        self._began = now if self._began is None else self._began
        if self._total is not None:
            self._total -= known

    def painted(self, pixels: int, now: float) -> tuple[float, float] | None:
        """Count painted pixels. Returns, once, the total seconds and the seconds left."""
        if not pixels:  # painted, but held back
            return None
        self._done += pixels
        if self._began is None or self._total is None or self._reported:
            return None
        if self._first is None:
            self._first = now, self._done
            return None
        seconds = now - self._first[0]
        if seconds < _SETTLED:
            return None
        left = seconds / (self._done - self._first[1]) * (self._total - self._done)
        if left < _WORTH:
            return None
        self._reported = True
        return now - self._began + left, left


def duration(seconds: float) -> str:
    """In words, as coarse as an estimate is: ``40 s``, ``12 min``, ``2 h 10 min``."""
    if seconds < 90:
        return f"{ceil(seconds / 5) * 5} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(round(minutes / 10) * 10, 60)
    return f"{hours} h {minutes} min" if minutes and hours < 10 else f"{hours} h"


def elapsed(seconds: float) -> str:
    """What was measured, in words: ``4.2 s``, ``12 min 05 s``, ``2 h 10 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def frames_of(info: Info, sample: Sample | None = None) -> int | None:
    """How many frames of a film are to be painted, as far as the container says."""
    if info.kind == "image" or info.chosen is not None:
        return info.frames
    known = info.duration is not None and info.rate
    frames = info.frames or (round(info.duration * info.rate) if known else None)  # type: ignore[operator]
    if sample is None or frames is None:
        return frames
    if sample.count is not None:
        return min(sample.count, frames)
    if sample.step is not None:
        return ceil(frames / sample.step)
    return int((info.duration or 0) // float(sample.seconds or 1)) + 1


def pixels_of(
    items: Sequence[Item], look: Callable[[Item], Info], sample: Sample | None
) -> int | None:
    """Pixels to be painted of all items, judging by some of them; None where that says nothing.

    ``look`` describes one; what it cannot read counts as nothing.
    """
    looked, pixels, until = 0, 0, time.monotonic() + _PATIENCE
    for item in items[:: ceil(len(items) / _PROBED)]:
        with suppress(ItemError):
            info = look(item)
            frames = frames_of(info, sample)
            if frames is None:
                return None
            pixels += frames * info.width * info.height
        looked += 1
        if time.monotonic() > until:
            break
    return pixels * len(items) // looked if looked else None
