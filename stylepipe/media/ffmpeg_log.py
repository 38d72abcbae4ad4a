"""What FFmpeg complains of while a film is read: kept from the terminal, and given to the reader.

Some damage shows nowhere else: a decoder that mends a picture, a demuxer that skips to the next
block it knows, both go on as if nothing had been.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

_GUARD = threading.Lock()
_listeners: list[tuple[int | None, bool]] = []
"""Level and repetition of FFmpeg's log to go back to, once for each listener."""


class Complaints:
    """Errors that FFmpeg reported since they were last taken."""

    def __init__(self, decoder: Collection[str], container: str) -> None:
        from av.logging import Capture

        self._decoder, self._container = decoder, container
        self._capture = Capture(local=False)  # decoders work in threads of their own
        self._elsewhere = self._capture.logs
        self._here: list[tuple[int, str, str]] = []

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Listen to this thread, in which demuxers complain; others may read another file."""
        from av.logging import Capture

        with Capture() as here:
            try:
                yield
            finally:
                self._here += here

    def take(self) -> str:
        """The first one, in FFmpeg's words; empty if there was none."""
        own = [log for log in self._here if log[1] in (*self._decoder, self._container)]
        own += [log for log in self._elsewhere if log[1] in self._decoder]
        self._here.clear()
        self._elsewhere.clear()
        return f"{own[0][1].split(',')[0]}: {' '.join(own[0][2].split())}" if own else ""


@contextmanager
def listening(decoder: Collection[str], container: str) -> Iterator[Complaints]:
    """Collect the errors of a decoder and of a container, by the names FFmpeg gives them.

    The log's level is the process's, so the last one out restores it. No decoder may be at work
    when the block is left.
    """
    from av import logging as log

    complaints = Complaints(decoder, container)
    with _GUARD:
        level, skip = log.get_level(), log.get_skip_repeated()
        _listeners.append(_listeners[0] if _listeners else (level, skip))
        if level is None or level < log.ERROR:
            log.set_level(log.ERROR)
        log.set_skip_repeated(False)
    capture: Any = complaints._capture
    try:
        with capture:
            yield complaints
    finally:
        with _GUARD:
            level, skip = _listeners.pop()
            if not _listeners:
                log.set_level(level)
                log.set_skip_repeated(skip)
