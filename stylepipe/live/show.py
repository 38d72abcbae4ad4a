"""The loop of ``stylepipe live``: take the newest picture, paint it, show it, handle the keys."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from stylepipe.errors import ItemError
from stylepipe.film import Film, Link, link
from stylepipe.live.feed import Feed
from stylepipe.live.newest import Newest
from stylepipe.live.recording import Recording
from stylepipe.live.screens import Screen
from stylepipe.paint import Copier
from stylepipe.session import Session
from stylepipe.types import Frame, Info, Item

if TYPE_CHECKING:
    from stylepipe.paint import Painter

_PATIENCE = 0.1
"""Seconds to wait for a picture before the keys are looked at again."""
_RECENT = 30
"""Pictures whose pace the title shows."""
_SLOW = 1.0
"""Seconds a picture from which on what is shown is no longer live."""
_DARK = 16
"""Of 255: what is nowhere brighter is black."""
_DARK_FOR = 30
"""So many black pictures at the beginning are reported."""
LIVE = Item(0, Path("live"), Path(), Path("live"))
"""The item that stands for a camera."""


@dataclass
class Tally:
    """What was shown, and how quickly."""

    latencies: list[float] = field(default_factory=list)
    """Seconds from a picture being there to its painting being shown."""
    seconds: float = 0.0
    """From the first picture shown to the last."""
    dropped: int = 0

    def words(self) -> str:
        """One line."""
        count = len(self.latencies)
        if not count:
            return "nothing was shown"
        median, late = np.percentile(self.latencies, [50, 95]) * 1000
        pace = f", {(count - 1) / self.seconds:.1f} a second" if self.seconds > 0 else ""
        return (
            f"{count} shown{pace}, {self.dropped} dropped; latency {median:.0f} ms, 95 % within "
            f"{late:.0f} ms"
        )


class LivePainter:
    """Paints one picture after the other, as the frames of a film."""

    def __init__(self, session: Session) -> None:
        self._painter: Painter | Copier = session.painter
        self._temporal = session.settings.temporal
        self._film: Film | None = None
        if not isinstance(self._painter, Copier):
            never = threading.Event()
            self._film = Film(self._painter, LIVE, 0, None, session.memory, never)
        self._session = session
        self._painter.reset(LIVE)
        self._previous: Frame | None = None
        self._count = 0

    def paint(self, picture: np.ndarray) -> np.ndarray:
        """HxWx3 uint8 RGB, painted. Raises ItemError."""
        frame = Frame(np.ascontiguousarray(picture), None, self._count)
        if not self._count:
            info = Info("video", "camera", picture.shape[1], picture.shape[0], None)
            self._session.missing.check(self._session.settings.painting, LIVE, info)
        self._count += 1
        if self._film is None:
            return self._painter.paint(LIVE, [frame])[0].pixels
        before, self._previous = self._previous, frame
        found: Link | None = None
        if before is not None:
            alike = before.pixels.shape == frame.pixels.shape
            found = link(frame, before, self._temporal) if alike else Link(before, True)
        (result,) = self._film.add(frame, found)
        return result.pixels


def fitted(picture: np.ndarray, size: int) -> np.ndarray:
    """The picture with no side longer than ``size``, never enlarged."""
    height, width = picture.shape[:2]
    scale = size / max(height, width)
    if scale >= 1:
        return picture
    small: np.ndarray = cv2.resize(
        picture,
        (max(1, round(scale * width)), max(1, round(scale * height))),
        interpolation=cv2.INTER_AREA,
    )
    return small


class Show:
    """One live session, from the first picture to the last."""

    def __init__(
        self,
        open_session: Callable[[str | None], Session],
        styles: Sequence[str],
        screens: Sequence[Screen],
        recording: Recording | None,
        size: int,
        log: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``open_session`` opens one for a bundled style, of ``styles``, or as was asked for: None.

        ``size``: the longest side that is painted, in pixels.
        """
        self._open, self._styles = open_session, list(styles)
        self._screens, self._recording, self._size = screens, recording, size
        self._log, self._clock = log, clock
        self._style = -1
        self._shown: np.ndarray | None = None
        self._times: deque[float] = deque(maxlen=_RECENT)
        self._first: float | None = None
        self._dark = 0
        self._warned_slow = False
        self.tally = Tally()

    def run(self, feed: Feed) -> str:
        """Show the feed until it is over or the user quits.

        Returns why the camera went away; empty if it did not. Raises ItemError, SetupError,
        UsageError.
        """
        session = self._open(None)
        newest: Newest | None = None
        paused = False
        try:
            painter = LivePainter(session)
            newest = Newest(feed, self._clock)  # now that its pictures can be painted
            while not newest.over:
                shot = newest.take(_PATIENCE)
                if shot is not None and not paused:
                    self._watch_for_dark(shot.pixels)
                    began = self._clock()
                    self._show(painter.paint(fitted(shot.pixels, self._size)), shot.time)
                    self._watch_pace(session, self._clock() - began)
                for key in [screen.key() for screen in self._screens]:
                    if key == "q":
                        return ""
                    if key == " ":
                        paused = not paused
                    elif key == "s":
                        self._save_still()
                    elif key in ("n", "p") and self._styles:
                        self._turn(1 if key == "n" else -1)
                        session.close()
                        session = self._open(self._styles[self._style])
                        painter = LivePainter(session)
        finally:
            session.close()
            if newest is not None:
                newest.close()
                self.tally.dropped = newest.dropped
        return newest.error

    def _turn(self, step: int) -> None:
        """To the next bundled style, or to the one before; from one's own to the first or last."""
        own = self._style < 0
        self._style = (min(step, 0) if own else self._style + step) % len(self._styles)

    def _show(self, picture: np.ndarray, taken: float) -> None:
        now = self._clock()
        style = f"{self._styles[self._style]}: " if self._style >= 0 else ""
        for screen in self._screens:
            screen.show(picture, f"{style}{self._pace()}")
        self._shown = picture
        if self._first is None:
            self._first = now
        if self._recording is not None:
            self._recording.add(picture, now - self._first)
        now = self._clock()
        self._times.append(now)
        self.tally.latencies.append(now - taken)
        self.tally.seconds = now - self._first

    def _pace(self) -> str:
        """Pictures a second and latency, of late."""
        if len(self._times) < 2 or self._times[-1] <= self._times[0]:
            return "stylepipe live"
        rate = (len(self._times) - 1) / (self._times[-1] - self._times[0])
        recent = self.tally.latencies[-_RECENT:]
        median, late = np.percentile(recent, [50, 95]) * 1000
        return f"{rate:.1f} a second, {median:.0f} ms late, 95 % within {late:.0f} ms"

    def _watch_pace(self, session: Session, seconds: float) -> None:
        """Say once that a stylizer is too slow, after the second picture; of minutes at once."""
        shown = len(self.tally.latencies)
        least = _SLOW if shown == 2 else 10 * _SLOW
        if self._warned_slow or shown > 2 or seconds < least:
            return
        self._warned_slow = True
        name = session.settings.stylizer.name
        self._log(
            f"{name} takes {seconds:.1f} s a picture here, which is too slow for live; take a "
            "smaller --size, or a stylizer that paints at once, such as fast with --quality light"
        )

    def _watch_for_dark(self, picture: np.ndarray) -> None:
        """Say once that the camera shows nothing, if it does from the beginning."""
        if not 0 <= self._dark < _DARK_FOR:
            return
        self._dark = self._dark + 1 if picture.max() < _DARK else -1
        if self._dark == _DARK_FOR:
            self._log("the camera shows black pictures only: see to its shutter, and to the light")

    def _save_still(self) -> None:
        """Save what is shown as the first live_0001.png that is free. Raises ItemError."""
        if self._shown is None:
            return
        number = 1
        while (path := Path(f"live_{number:04d}.png")).exists():
            number += 1
        _, data = cv2.imencode(".png", cv2.cvtColor(self._shown, cv2.COLOR_RGB2BGR))
        try:
            path.write_bytes(data.tobytes())
        except OSError as error:
            raise ItemError(f"{path} cannot be written: {error.strerror or error}") from error
        self._log(f"saved {path}")
