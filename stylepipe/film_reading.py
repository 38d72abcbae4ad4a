"""Films read beside one another, frame by frame, at the times of one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Self

from stylepipe.components import Reader
from stylepipe.errors import ItemError
from stylepipe.inputs import probe, readers_for
from stylepipe.media import sequence
from stylepipe.media.images import ImageReader
from stylepipe.session import Opener
from stylepipe.types import Frame, Item

_ANOTHER_RATE = 1.25
"""Films whose rates differ by more than this factor are not compared frame by frame."""
_ANOTHER_SHAPE = 1.02
"""Proportions that differ by more than this factor are those of another picture."""

Timed = tuple[Fraction, Frame]
"""A frame after its time in seconds since the first frame of its film."""


class Film:
    """A film, or a folder of numbered frames, that is read once, from its first frame on."""

    def __init__(self, path: Path, readers: Sequence[Reader], log: Callable[[str], None]) -> None:
        """Look at the file; what is damaged or left out is reported to ``log``. Raises ItemError,
        which names the file, as all errors here do, if it is no film."""
        self.path, self.damaged = path, False
        self._log = log
        self._opened = Opener(device="cpu", log=self.tell, damaged=self._tell_damage)
        self._ahead: Timed | None = None
        self._missed: list[Fraction] = []
        self._left_out = 0
        try:
            self._opened.open(readers)
            with self._named():
                if path.is_dir() and not readers_for(path, readers):
                    raise ItemError("the folder holds no numbered pictures (shot_0001.png ...)")
                self._reader, self.info = probe(path, readers)
                if self.info.kind != "video":
                    raise ItemError("it is a picture; name a film, or a folder of its frames")
        except BaseException:
            self.close()
            raise
        self.frames = self._timed()
        """The frames not read yet. Raises ItemError."""

    def tell(self, line: str) -> None:
        """Report one line about this film."""
        self._log(f"{self.path}: {line}")

    def close(self) -> None:
        """Release all resources."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def check_against(self, source: Film) -> None:
        """Raises ItemError if its rate or its proportions are not the source's; reports another
        size."""
        with self._named():
            self._check_rate(source)
            self._check_shape(source)

    def _check_rate(self, source: Film) -> None:
        rate, wanted = self.info.rate, source.info.rate
        if rate and wanted and not 1 / _ANOTHER_RATE < rate / wanted < _ANOTHER_RATE:
            raise ItemError(
                f"it has {float(rate):.5g} frames a second, and {source.path} has "
                f"{float(wanted):.5g}: frames are compared one by one, so write it at that rate"
            )

    def _check_shape(self, source: Film) -> None:
        size, other = ((i.width, i.height) for i in (self.info, source.info))
        if not 1 / _ANOTHER_SHAPE < size[0] * other[1] / (size[1] * other[0]) < _ANOTHER_SHAPE:
            raise ItemError(
                f"it is {size[0]}x{size[1]}, and {source.path} is {other[0]}x{other[1]}: only "
                "films of the same proportions can be compared"
            )
        if size != other:
            self.tell(
                f"is {size[0]}x{size[1]}, and is scaled to the source's {other[0]}x{other[1]}, "
                "which changes its sharpness"
            )

    def tell_other_numbers(self, source: Film) -> None:
        """Report folders whose frames begin with different numbers: one may be missing."""
        if self.path.is_dir() and source.path.is_dir():
            own, other = self._first_number(), source._first_number()
            if own != other:
                self.tell(
                    f"begins with frame {own}, and {source.path} with {other}: these two are "
                    "compared; if it begins later, pass --start"
                )

    def at(self, time: Fraction, tolerance: Fraction) -> Frame | None:
        """The frame within ``tolerance`` seconds of a time, or None; times must grow.

        Raises ItemError.
        """
        while ahead := self._peek():
            shown, frame = ahead
            if shown > time + tolerance:
                break
            self._ahead = None
            if shown >= time - tolerance:
                return frame
            self._left_out += 1
        self._missed.append(time)
        return None

    def ended(self) -> bool:
        """Whether all its frames were asked for. Raises ItemError."""
        return self._peek() is None

    def tell_left_out(self, count: int, whole: bool) -> None:
        """Report which of ``count`` times asked for had no frame, and which frames no time; if
        ``whole``, those at the end too. Raises ItemError."""
        if self._missed:
            self.tell(
                f"has no frame for {len(self._missed)} of the source's {count} frames (the first "
                f"at {float(self._missed[0]):.3f} s), which are left out"
            )
        if self._left_out:
            self.tell(f"has {self._left_out} frames at times between the source's: left out")
        if whole and not self.ended():
            self.tell("continues after the source's last frame: the rest is left out")

    def _first_number(self) -> int:
        return sequence.find(self.path, ImageReader.patterns, None).places[0].number

    def _peek(self) -> Timed | None:
        if self._ahead is None:
            self._ahead = next(self.frames, None)
        return self._ahead

    def _timed(self) -> Iterator[Timed]:
        item = Item(0, self.path, self.path.parent, self.path)
        first: Fraction | None = None
        with self._named():
            for frame in self._reader.frames(item, self.info):
                time = frame.time
                if time is None:
                    time = frame.index / (self.info.rate or Fraction(25))
                first = time if first is None else first
                yield time - first, frame

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except ItemError as error:
            raise ItemError(f"{self.path}: {error}") from error

    def _tell_damage(self, what: str) -> None:
        self.damaged = True
        self.tell(what)
