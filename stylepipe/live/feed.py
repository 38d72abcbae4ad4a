"""Where live pictures come from: a camera, a stream, or a film that is played at its own rate."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from stylepipe.components import Reader
from stylepipe.errors import ItemError, SetupError, UsageError
from stylepipe.inputs import probe, readers_for
from stylepipe.paths import user_path
from stylepipe.places import is_several
from stylepipe.types import Frame, Info, Item

if TYPE_CHECKING:
    import numpy as np

_DEVICES = Path("/dev")


class Feed(Protocol):
    """A source of pictures."""

    @property
    def name(self) -> str:
        """What messages call it."""

    def pictures(self) -> Iterator[np.ndarray]:
        """Yield HxWx3 uint8 RGB, each when it is there. Ends where a film does; raises ItemError
        where a camera goes away. Called in its own thread.
        """

    def close(self) -> None:
        """Release the camera."""


def open_feed(text: str, readers: Sequence[Reader]) -> Feed:
    """The feed that ``--camera`` names: a number, a URL, or a film.

    Raises SetupError where there is no such camera or it cannot be opened, ItemError for a film
    that cannot be read, UsageError for what is none of these.
    """
    if text.isdecimal():
        return CameraFeed(int(text))
    if re.match(r"[a-z][a-z0-9+.-]+://", text, re.IGNORECASE):
        return CameraFeed(text)
    path = user_path(text)
    if path.is_char_device():
        return CameraFeed(str(path))
    if not path.exists():
        raise UsageError(
            f"no camera {text!r}: name its number, such as 0, the URL of a stream, or a film that "
            "exists"
        )
    if is_several(path) and not readers_for(path, readers):
        raise UsageError(
            f"{path} is a folder whose pictures have no times; name a film, or make it one by "
            f"stylepipe run {path} --fps 25 --strength 0 -o film.mp4"
        )
    return FilmFeed(path, readers)


class CameraFeed:
    """A camera at this machine, or a stream, by OpenCV."""

    def __init__(self, source: int | str) -> None:
        """Raises SetupError if it cannot be opened."""
        import cv2

        cv2.utils.logging.setLogLevel(0)  # its errors are reported in one sentence, below
        self.name = f"camera {source}" if isinstance(source, int) else str(source)
        self._capture = cv2.VideoCapture(source)
        if not self._capture.isOpened():
            raise SetupError(_why_closed(source))
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # else old pictures wait in the driver

    def pictures(self) -> Iterator[np.ndarray]:
        import cv2

        while True:
            there, picture = self._capture.read()
            if not there:
                raise ItemError(f"{self.name} went away")
            yield cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)

    def close(self) -> None:
        self._capture.release()


def _why_closed(source: int | str) -> str:
    """One sentence about a camera that cannot be opened."""
    if isinstance(source, str) and "://" in source:
        return f"{source} cannot be opened; see that it plays in another program, such as VLC"
    device = Path(source) if isinstance(source, str) else _DEVICES / f"video{source}"
    if os.name == "posix" and _DEVICES.joinpath("null").exists() and os.uname().sysname == "Linux":
        if not device.exists():
            others = sorted(p.name.removeprefix("video") for p in _DEVICES.glob("video*"))
            there = f"there are {', '.join(others)}" if others else "this machine has none"
            return f"there is no camera {source}: {there}; a film or a URL can stand for one"
        if not os.access(device, os.R_OK | os.W_OK):
            return (
                f"camera {source} may not be used: {device} asks for other permissions, as a rule "
                "those of the group video"
            )
    return f"camera {source} cannot be opened: it is not there, or another program uses it"


class FilmFeed:
    """A film played at its own rate, as a camera would show it."""

    def __init__(
        self,
        path: Path,
        readers: Sequence[Reader],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Any] = time.sleep,
    ) -> None:
        """Raises ItemError if it is no film. ``clock`` and ``sleep`` are in seconds."""
        self.name = path.name
        self._reader, self._info = probe(path, readers)
        if self._info.kind != "video":
            raise ItemError(f"{path} is a photo, and a camera shows a film; see stylepipe run")
        self._item = Item(0, path, path.parent, path)
        self._clock, self._sleep = clock, sleep

    def pictures(self) -> Iterator[np.ndarray]:
        from stylepipe.media.encode import eight

        begin: float | None = None
        for frame in self._reader.frames(self._item, self._info):
            at = _seconds(frame, self._info)
            now = self._clock()
            begin = now - at if begin is None else begin
            if begin + at > now:
                self._sleep(begin + at - now)
            yield eight(frame.pixels)

    def close(self) -> None:
        """The reader closes the file."""


def _seconds(frame: Frame, info: Info) -> float:
    if frame.pts is not None and frame.time_base:
        return float(frame.pts * frame.time_base)
    return frame.index / float(info.rate or 25)
