"""What was shown live, as a film that plays however the program ends."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from stylepipe.components import Sink, Writer
from stylepipe.errors import SetupError, UsageError
from stylepipe.inputs import writer_for
from stylepipe.media.containers import FILMS, LIVE
from stylepipe.media.video import VideoWriter
from stylepipe.types import Frame, Info, Item

if TYPE_CHECKING:
    import numpy as np

_TICKS = 1000
"""Of the clock of a recording, a second."""


class Recording:
    """A film of the pictures as they were shown, at their own times."""

    def __init__(
        self, path: Path, writers: list[Writer], rate: float, log: Callable[[str], None]
    ) -> None:
        """Raises UsageError where there is such a file, or none can be written."""
        self._path, self._rate, self._log = path, rate, log
        self._item = Item(0, Path("live"), Path(), path)
        writer = writer_for("video", self._item, writers)
        if writer is None:
            known = sorted({s for w in writers if w.kind == "video" for s in w.patterns})
            raise UsageError(
                f"a recording cannot be written as {path.suffix or path.name}; give it one of "
                f"these suffixes: {' '.join(s for s in known if not s.endswith('/'))}"
            )
        film = FILMS.get(path.suffix.lower())
        if film is not None and not film.has_times:
            raise UsageError(
                f"pictures of a recording come at irregular times, which {path.suffix} cannot "
                "hold; record as .mp4"
            )
        if path.exists():
            raise UsageError(f"{path} exists; choose another --record")
        if not path.parent.is_dir():
            raise UsageError(f"there is no folder {path.parent} to record into")
        self._writer = writer
        if not self._in_pieces:
            log(
                f"a recording as {path.suffix} is lost if the program is killed; one of "
                f"{' '.join(LIVE)} is not"
            )
        self._sink: Sink | None = None
        self._size: tuple[int, int] | None = None
        self._before: tuple[int, int] | None = None
        """The size of the last picture, as it was shown."""
        self._frames = 0
        self._last = -1
        self._work: tempfile.TemporaryDirectory[str] | None = None

    def add(self, picture: np.ndarray, seconds: float) -> None:
        """Take HxWx3 uint8 RGB, shown ``seconds`` after the first. Raises ItemError, SetupError.

        Pictures of another size than the first are scaled to it.
        """
        import cv2
        import numpy as np

        height, width = picture.shape[:2]
        if self._sink is None:
            self._open(width, height)
        assert self._sink is not None and self._size is not None
        if (width, height) != self._size:
            if (width, height) != self._before:
                self._log(
                    f"the picture becomes {width}x{height}: recorded as {self._size[0]}x"
                    f"{self._size[1]}, the size it began with"
                )
            picture = cv2.resize(picture, self._size, interpolation=cv2.INTER_AREA)
        self._before = width, height
        time = max(round(seconds * _TICKS), self._last + 1)
        frame = Frame(np.ascontiguousarray(picture), None, self._frames, time, Fraction(1, _TICKS))
        self._sink.write(frame)
        self._last, self._frames = time, self._frames + 1

    def close(self) -> bool:
        """Complete the film; False if there is nothing in it. Raises ItemError, SetupError."""
        sink, self._sink = self._sink, None
        try:
            if sink is None:  # it could not be opened, or there was no picture
                return False
            if not self._frames:  # not even the first picture could be written
                sink.abort()
                if self._in_pieces:
                    self._path.unlink(missing_ok=True)
                return False
            sink.close()
            if self._work is not None:
                self._part.replace(self._path)
        except OSError as error:
            raise SetupError(f"cannot write {self._path}: {error.strerror or error}") from error
        finally:
            if self._work is not None:
                self._work.cleanup()
        return True

    @property
    def _in_pieces(self) -> bool:
        """Whether it is written at once under its own name."""
        return isinstance(self._writer, VideoWriter) and self._path.suffix.lower() in LIVE

    @property
    def _part(self) -> Path:
        assert self._work is not None
        return Path(self._work.name, f"part{self._path.suffix}")

    def _open(self, width: int, height: int) -> None:
        info = Info(
            "video", "camera", width, height, None,
            rate=Fraction(self._rate).limit_denominator(1001), details={"variable_rate": True},
        )  # fmt: skip
        self._writer.check_item(self._item, info)
        self._size = width, height
        if self._in_pieces:
            assert isinstance(self._writer, VideoWriter)
            self._sink = self._writer.open_live(self._item, info, Fraction(1, _TICKS))
            return
        try:  # beside the result, so that it can be moved there in one go
            self._work = tempfile.TemporaryDirectory(dir=self._path.parent, prefix=".stylepipe-")
        except OSError as error:
            raise SetupError(f"cannot write to {self._path.parent}: {error.strerror}") from error
        work = Path(self._work.name)
        self._sink = self._writer.open_sink(self._item, info, self._part, work)
