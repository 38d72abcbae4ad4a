"""The newest picture of a feed: a thread reads all of them, and older ones make way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stylepipe.errors import StylepipeError, sentence
from stylepipe.live.feed import Feed

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Shot:
    """A picture, and when it was there."""

    pixels: np.ndarray
    """HxWx3 uint8 RGB."""
    time: float
    """Seconds of the clock."""


class Newest:
    """Reads a feed until it ends; :meth:`take` gives out the latest picture only."""

    def __init__(self, feed: Feed, clock: Callable[[], float] = time.monotonic) -> None:
        self._feed, self._clock = feed, clock
        self.dropped = 0
        """Pictures that came and were never taken."""
        self.ended = False
        self.error: str = ""
        """Why it ended; empty for a film that is over."""
        self._shot: Shot | None = None
        self._stopping = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, name="camera", daemon=True)
        self._thread.start()

    def take(self, patience: float) -> Shot | None:
        """The newest picture not yet taken; None if none comes within ``patience`` seconds, or
        the feed is over.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._shot is not None or self.ended, patience)
            shot, self._shot = self._shot, None
            return shot

    @property
    def over(self) -> bool:
        """Whether nothing else will come."""
        with self._changed:
            return self.ended and self._shot is None

    def close(self) -> None:
        """Stop reading."""
        self._stopping = True
        self._thread.join(timeout=5)  # a camera that hangs is left to the end of the process

    def _read(self) -> None:
        error = ""
        try:
            for pixels in self._feed.pictures():
                with self._changed:
                    self.dropped += self._shot is not None
                    self._shot = Shot(pixels, self._clock())
                    self._changed.notify_all()
                if self._stopping:
                    break
        except StylepipeError as failure:
            error = str(failure)
        except Exception as failure:  # a driver or a codec may raise anything
            error = f"{self._feed.name} failed: {sentence(failure)}"
        with self._changed:
            self.ended, self.error = True, error
            self._changed.notify_all()
