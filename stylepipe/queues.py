"""A queue between two threads that is bounded in bytes, not in entries."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")
_PATIENCE = 0.5
"""Seconds. An endless wait could not be interrupted by Ctrl-C on every platform."""


class Canceled(Exception):
    """The queue was canceled: whoever waits on it must leave."""


class ByteQueue(Generic[T]):
    """First in, first out; ``put`` waits while more than ``limit`` bytes are held.

    One entry is always let in, however large, so that a picture above the limit still passes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: deque[tuple[T, int]] = deque()
        self._used = 0
        self._canceled = False
        self._changed = threading.Condition()

    def put(self, entry: T, nbytes: int = 0) -> None:
        """Append an entry that holds ``nbytes``. Raises Canceled."""
        with self._changed:
            while not self._canceled and self._used and self._used + nbytes > self._limit:
                self._changed.wait(_PATIENCE)
            if self._canceled:
                raise Canceled
            self._entries.append((entry, nbytes))
            self._used += nbytes
            self._changed.notify_all()

    def get(self) -> T:
        """Take the oldest entry; wait for one. Raises Canceled."""
        with self._changed:
            while not self._canceled and not self._entries:
                self._changed.wait(_PATIENCE)
            if self._canceled:
                raise Canceled
            entry, nbytes = self._entries.popleft()
            self._used -= nbytes
            self._changed.notify_all()
            return entry

    def cancel(self) -> None:
        """Wake and dismiss everyone."""
        with self._changed:
            self._canceled = True
            self._entries.clear()
            self._changed.notify_all()
