"""A queue between two threads that is bounded in bytes, not in entries."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")
_PATIENCE = 0.5
"""Seconds. An endless wait could not be interrupted by Ctrl-C on every platform."""


class Cancelled(Exception):
    """The queue was cancelled: whoever waits on it must leave."""


class ByteQueue(Generic[T]):
    """First in, first out; ``put`` waits while more than ``limit`` bytes are held.

    One entry is always let in, however large, so that a picture above the limit still passes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: deque[tuple[T, int]] = deque()
        self._used = 0
        self._cancelled = False
        self._changed = threading.Condition()

    def put(self, entry: T, nbytes: int = 0) -> None:
        """Append an entry that holds ``nbytes``. Raises Cancelled."""
        with self._changed:
            while not self._cancelled and self._used and self._used + nbytes > self._limit:
                self._changed.wait(_PATIENCE)
            if self._cancelled:
                raise Cancelled
            self._entries.append((entry, nbytes))
            self._used += nbytes
            self._changed.notify_all()

    def get(self) -> T:
        """Take the oldest entry; wait for one. Raises Cancelled."""
        with self._changed:
            while not self._cancelled and not self._entries:
                self._changed.wait(_PATIENCE)
            if self._cancelled:
                raise Cancelled
            entry, nbytes = self._entries.popleft()
            self._used -= nbytes
            self._changed.notify_all()
            return entry

    def cancel(self) -> None:
        """Wake and dismiss everyone."""
        with self._changed:
            self._cancelled = True
            self._entries.clear()
            self._changed.notify_all()
