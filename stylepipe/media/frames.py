"""The reader of numbered pictures: sequences of them, each as one film."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from stylepipe.components import Context, Reader
from stylepipe.damage import Damaged, refuse
from stylepipe.errors import DamageError, ItemError, UsageError
from stylepipe.media import sequence
from stylepipe.media.images import ImageReader
from stylepipe.media.sequence import Place, spelled
from stylepipe.media.video import SpanOptions
from stylepipe.options import option
from stylepipe.patterns import TIMES
from stylepipe.texts import shown
from stylepipe.types import Frame, Info, Item


class FramesReader(Reader):
    """Numbered pictures, each folder or pattern (shots/fr%04d.png) as one film.

    They are a film where --fps is given, or where a file beside them says when each is shown, as
    the writer of frames leaves one. All must be frames of one sequence, ``shot_0001.png`` and so
    on, alike in size, depth and transparency. --gaps says what to do about missing frames; one
    that cannot be read is reported as damage, and the frame before takes its place.
    """

    name = "frames"
    kind = "video"
    patterns = ()
    instead = {"": ".png/"}  # noqa: RUF012 (as in the base class)

    class Options(SpanOptions):
        fps: str | None = option(
            None,
            "Take each folder of numbered pictures (shot_0001.png ...), and each pattern "
            "(shot_%04d.png), as one film of this many frames a second, such as 25, 29.97 or "
            "24000/1001.",
            metavar="RATE",
        )
        gaps: Literal["leave", "hold", "fail"] = option(
            "leave",
            "Where numbered frames are missing: leave a gap and report damage, hold the frame "
            "before, or fail. The others keep their times.",
        )

        def check(self) -> None:
            """Raises UsageError if ``fps`` is not a rate."""
            super().check()
            self.rate()

        def rate(self) -> Fraction | None:
            """Frames a second; None if it is not given."""
            if self.fps is None:
                return None
            try:
                if not re.fullmatch(r"[\d./]{1,40}", self.fps):
                    raise ValueError  # 1e999999999 would fill the memory
                rate = Fraction(self.fps).limit_denominator(100_000)
                if not 0 < rate <= 1000:
                    raise ValueError
            except (ValueError, ZeroDivisionError):
                raise UsageError(
                    "fps takes frames a second, such as 25, 29.97 or 24000/1001, "
                    f"not {shown(self.fps)}"
                ) from None
            return rate

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._log: Callable[[str], None] = lambda line: None
        self._damaged: Damaged = refuse

    def open(self, context: Context) -> None:
        self._log, self._damaged = context.log, context.damaged

    def claims(self, folder: Path) -> bool:
        """Whether it holds, or names, numbered pictures, and it is known when they are shown."""
        timed = self.options.fps is not None
        return sequence.is_sequence(folder, ImageReader.patterns, timed)

    def probe(self, path: Path) -> Info | None:
        """Describe a sequence by its first frame; None for what is none.

        The headers of all frames are read. ``details`` holds ``sequence``, what their names have
        in common, ``numbers``, those ``missing``, and what else is known of the film they were.
        Without any rate there are no ``rate`` and ``duration``. Raises ItemError if they are no
        sequence, differ in size, depth or transparency, if none can be read, or if some are missing
        and must not.
        """
        if not sequence.is_sequence(path, ImageReader.patterns, True):
            return None
        found = self._find(path)
        wanted = self._wanted(found)
        gone = spelled(wanted)
        if gone:
            self._report_missing(gone, wanted)
        info = self._headers(wanted)
        shown, span = self._shown(wanted), self.options.span()
        details = {
            **found.details,
            "sequence": found.pattern,
            "numbers": f"{wanted[0].number}-{wanted[-1].number}",
            "missing": gone or None,
            "of": info.format,
            "lossless": info.details.get("lossless"),
            "start": str(span.start) if span.start else None,
            "end": str(span.end) if span.end is not None else None,
        }
        if gone and self.options.gaps == "leave":
            details["variable_rate"] = True
        duration: float | None = None
        if base := found.time_base:
            # Times count from the first frame there is, whatever part of them is wanted.
            details["origin"] = str(found.places[0].pts * base)
            duration = float((shown[-1].pts + (shown[-1].duration or 1) - shown[0].pts) * base)
        return replace(
            info,
            kind="video",
            format="frames",
            frames=len(shown),
            rate=found.rate,
            duration=duration,
            details=details,
        )

    def frames(self, item: Item, info: Info, start: int = 0) -> Iterator[Frame]:
        """Yield the pictures, timed by their numbers or as the file beside them says.

        Raises ItemError for one that differs from the first in size, depth or transparency.
        """
        found = self._find(item.source)
        if found.others and start == 0:
            self._log(f"{item.relative}: left out, as no pictures: {', '.join(found.others)}")
        if start == 0 and found.details and self.options.fps:
            self._log(f"{item.relative}: --fps is used, and not the times in {TIMES}")
        wanted = self._wanted(found)
        shown = self._shown(wanted)
        lost: set[str] = set()
        held: Frame | None = None
        for index, place in enumerate(shown):  # those before ``start``, too, which may be damaged
            frame = self._read(place, info) or held or self._nearest(found.places, place, info)
            held = frame
            if index < start:
                continue
            if left_out := set(frame.meta.lost) - lost:
                lost |= left_out
                self._log(f"{item.relative}: left out in reading: {', '.join(sorted(left_out))}")
            yield self._timed(frame, index, shown, found)

    def times(self, item: Item, info: Info) -> list[Fraction]:
        """By the numbers of the pictures, or as the file beside them says; none is opened."""
        found = self._find(item.source)
        base = found.time_base or Fraction(1, 25)
        return [place.pts * base for place in self._shown(self._wanted(found))]

    def pick(self, item: Item, info: Info, numbers: Sequence[int]) -> Iterator[Frame]:
        """No others are opened."""
        found = self._find(item.source)
        shown = self._shown(self._wanted(found))
        for number in numbers:
            place = shown[number]
            frame = self._read(place, info) or self._nearest(found.places, place, info)
            yield self._timed(frame, number, shown, found)

    def _timed(
        self, frame: Frame, index: int, shown: list[Place], found: sequence.Sequence
    ) -> Frame:
        place = shown[index]
        duration = place.duration
        if index + 1 < len(shown):
            duration = shown[index + 1].pts - place.pts
        return replace(
            frame,
            index=index,
            pts=place.pts,
            time_base=found.time_base,
            duration=duration,
            name=place.path.stem,
        )

    def _find(self, source: Path) -> sequence.Sequence:
        return sequence.find(source, ImageReader.patterns, self.options.rate())

    def _wanted(self, found: sequence.Sequence) -> list[Place]:
        """The places between ``start`` and ``end``, from the first frame that is there."""
        span, base, origin = self.options.span(), found.time_base, found.places[0].pts
        times = ((place, (place.pts - origin) * (base or 0)) for place in found.places)
        wanted = [p for p, t in times if t >= span.start and (span.end is None or t < span.end)]
        if all(place.missing for place in wanted):
            raise ItemError("has no frames between --start and --end")
        return wanted

    def _shown(self, wanted: list[Place]) -> list[Place]:
        """Those that are frames of the film."""
        hold = self.options.gaps == "hold"
        return [place for place in wanted if hold or not place.missing]

    def _report_missing(self, gone: str, wanted: list[Place]) -> None:
        count = sum(place.missing for place in wanted)
        what = f"{count} of its {len(wanted)} frames are missing ({gone})"
        if self.options.gaps == "fail":
            raise ItemError(f"{what}; render them again, or leave out --gaps fail")
        if self.options.gaps == "leave":
            self._damaged(f"{what}; render them again, or pass --gaps hold")
        else:
            self._log(f"{what}; the frame before each is held")

    def _headers(self, wanted: list[Place]) -> Info:
        """What the header of the first frame that can be read says. Those of all are read."""
        from stylepipe.media import decode

        first: Info | None = None
        trouble: ItemError | None = None
        for path in (place.path for place in wanted if not place.missing):
            try:
                info = decode.probe(path, self.options.max_pixels)
                if info is None:
                    raise ItemError("it is no still picture")
            except ItemError as error:
                trouble = trouble or ItemError(f"{path.name}: {error}")
                self._unreadable(path, error)
                continue
            first = first or info
            _check_alike(path, _looks(info), first)
        if first is None:
            raise trouble or ItemError("it holds no frames any more")
        return first

    def _read(self, place: Place, info: Info) -> Frame | None:
        """The frame of a place; None if it is not there, or cannot be read, which is reported."""
        from stylepipe.media import decode

        if place.missing:
            return None
        report = lambda what: self._damaged(f"{place.path.name}: {what}")  # noqa: E731
        try:
            frame = decode.read(place.path, self.options.max_pixels, report)
        except DamageError:
            raise
        except ItemError as error:
            self._unreadable(place.path, error)
            return None
        _check_alike(place.path, _looks(frame), info)
        return frame

    def _unreadable(self, path: Path, error: ItemError) -> None:
        self._damaged(f"{path.name}: {error} (the frame before takes its place)")

    def _nearest(self, places: list[Place], place: Place, info: Info) -> Frame:
        """The nearest frame before a place that can be read; where there is none, after it."""
        at = places.index(place)
        for other in [*places[:at][::-1], *places[at + 1 :]]:
            if frame := self._read(other, info):
                return frame
        raise ItemError("none of its frames can be read")


_Looks = tuple[str, str, str]


def _looks(picture: Info | Frame) -> _Looks:
    """Size, depth and transparency, in words."""
    if isinstance(picture, Info):
        width, height, bits = picture.width, picture.height, picture.depth
        alpha = picture.alpha
    else:
        height, width = picture.pixels.shape[:2]
        bits, alpha = 8 * picture.pixels.itemsize, picture.alpha is not None
    return (f"{width}x{height} pixels", f"{bits} bits a channel",
            "transparency" if alpha else "no transparency")  # fmt: skip


def _check_alike(path: Path, found: _Looks, first: Info) -> None:
    for has, others in zip(found, _looks(first), strict=True):
        if has != others:
            raise ItemError(f"{path.name} has {has}, but the first frame {others}; make them alike")
