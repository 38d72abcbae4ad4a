"""What the last frames of a film were like: one alone gives statistics that are not steady."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from typing import Any

Remember = Callable[[Hashable, Any], list[Any]]
"""Takes, by a key, what one thing is like in the present frame, and returns the same of the last
frames of the shot, the present one first."""


def alone(key: Hashable, found: Any) -> list[Any]:
    """A photo, or a frame that is to be judged by itself."""
    return [found]


class Recent:
    """Remembers what frames were like, for as many as ``frames``; nothing older has any influence.

    A frame counts when :meth:`keep` is called: one that fails may be painted again.
    """

    def __init__(self, frames: int) -> None:
        """``frames``: 1 or more, including the present one."""
        self._frames = frames
        self.reset()

    def reset(self) -> None:
        """Another photo, film or scene begins."""
        self._kept: dict[Hashable, deque[tuple[int, Any]]] = {}
        self.begin(0)

    def begin(self, number: int) -> None:
        """The frame of this number begins: what was not kept is forgotten."""
        self._number = number
        self._present: dict[Hashable, Any] = {}

    def remember(self, key: Hashable, found: Any) -> list[Any]:
        """See :data:`Remember`."""
        self._present[key] = found
        # A frame in between may not have had this thing, or may not have been painted at all.
        oldest = self._number - self._frames + 1
        return [found, *(value for n, value in self._kept.get(key, ()) if n >= oldest)]

    def keep(self) -> None:
        """The frame is painted."""
        for key, found in self._present.items():
            kept = self._kept.setdefault(key, deque(maxlen=self._frames - 1))
            kept.appendleft((self._number, found))
