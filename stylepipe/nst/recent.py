"""What the last frames of a film were like: one alone gives statistics that are not steady."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from typing import Any

Remember = Callable[[Hashable, Any], list[Any]]
"""Takes what one thing is like in the present frame, by a key, and returns the same of the last
frames of its shot, the present one first."""


def alone(key: Hashable, found: Any) -> list[Any]:
    """A photo, or a frame that is to be judged by itself."""
    return [found]


class Recent:
    """Remembers what frames were like, for as many as ``frames``; nothing older has any influence.

    A frame counts when :meth:`keep` is called: one that fails on the way may be painted again.
    """

    def __init__(self, frames: int) -> None:
        """``frames``: 1 or more, the present one among them."""
        self._most = frames - 1
        self.reset()

    def reset(self) -> None:
        """Another photo, film or scene begins."""
        self._kept: dict[Hashable, deque[Any]] = {}
        self.begin()

    def begin(self) -> None:
        """The next frame begins: what was not kept is forgotten."""
        self._present: dict[Hashable, Any] = {}

    def remember(self, key: Hashable, found: Any) -> list[Any]:
        """See :data:`Remember`."""
        self._present[key] = found
        return [found, *self._kept.get(key, ())]

    def keep(self) -> None:
        """The frame is painted."""
        for key, found in self._present.items():
            self._kept.setdefault(key, deque(maxlen=self._most)).appendleft(found)
        self.begin()
