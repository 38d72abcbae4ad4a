"""Which frames of a film are painted to try settings on: ``--frames`` and ``--every``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

from stylepipe.errors import ItemError, UsageError
from stylepipe.texts import shown

if TYPE_CHECKING:
    from stylepipe.components import Reader
    from stylepipe.types import Info, Item


@dataclass(frozen=True)
class Sample:
    """A few frames of each film; one of the three says which."""

    count: int | None = None
    """So many, evenly spread in time from the first to the last; of one, that in the middle."""
    step: int | None = None
    """The first of each so many frames."""
    seconds: Fraction | None = None
    """The first, and one each time that so many seconds have passed."""

    @classmethod
    def every(cls, text: str) -> Sample:
        """``2s`` or ``0.5s`` are seconds, ``50`` frames. Raises UsageError."""
        if re.fullmatch(r"\d{1,9}", text) and int(text):
            return cls(step=int(text))
        if (found := re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)s", text)) and Fraction(found[1]):
            return cls(seconds=Fraction(found[1]))
        raise UsageError(
            f"every takes seconds, such as 2s, or a number of frames, such as 50, not {shown(text)}"
        )

    @property
    def flag(self) -> str:
        """The flag that asks for it."""
        return "--frames" if self.count else "--every"

    @property
    def label(self) -> str:
        """What is added to the name of a film's folder, so that it is never another run's."""
        if self.count:
            return f"{self.count}-frames"
        return f"every-{self.step}" if self.step else f"every-{float(self.seconds or 0):g}s"

    def of(self, reader: Reader, item: Item, info: Info) -> Info:
        """``info`` of a film, with the frames that are chosen. Raises ItemError."""
        numbers = self.choose(reader.times(item, info))
        if not numbers:
            raise ItemError("it has no frames")
        return replace(info, frames=len(numbers), chosen=numbers)

    def choose(self, times: Sequence[Fraction]) -> tuple[int, ...]:
        """The numbers of the chosen frames, given when each is shown, in growing seconds."""
        if self.step:
            return tuple(range(0, len(times), self.step))
        if self.count is not None:
            return _spread(times, self.count)
        assert self.seconds is not None
        chosen: list[int] = []
        for number, time in enumerate(times):
            if time >= times[0] + len(chosen) * self.seconds:
                chosen.append(number)
                # A frame that stays for long may pass several of the moments.
                while times[0] + len(chosen) * self.seconds <= time:
                    chosen.append(number)
        return tuple(dict.fromkeys(chosen))


def _spread(times: Sequence[Fraction], count: int) -> tuple[int, ...]:
    """So many different frames, each as near as can be to evenly spread moments."""
    if count >= len(times):
        return tuple(range(len(times)))
    length = times[-1] - times[0]
    moments = [times[0] + length * n / (count - 1) for n in range(count)] if count > 1 else []
    free = set(range(len(times)))
    for moment in moments or [times[0] + length / 2]:
        free.remove(min(free, key=lambda number: (abs(times[number] - moment), number)))
    return tuple(number for number in range(len(times)) if number not in free)
