"""A film, or a picture, that goes with an item frame by frame: what another tool made of it."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from stylepipe.errors import ItemError
from stylepipe.media.words import spell
from stylepipe.places import is_several
from stylepipe.types import MAX_PIXELS, Frame, Info, Item

if TYPE_CHECKING:
    from stylepipe.components import Reader

_LEAST_RATE = 25
"""Frames a second of a source that does not say its rate."""


class Companion:
    """The frames of a film, or of a folder or pattern of numbered pictures, by the times of an
    item's frames; or a picture.

    Both begin at 0, whatever their clocks say. Asking in order is fastest.
    """

    def __init__(self, path: Path, item: Item, info: Info) -> None:
        """``info`` is the item's. Raises ItemError where what ``path`` holds cannot belong to it:
        another size or length, a picture for a film.
        """
        self._path = path
        self._still = info.kind == "image"
        self._reader = _reader(path, info)
        self._item = Item(0, path, path.parent, path)
        self._tolerance = 1 / (2 * (info.rate or Fraction(_LEAST_RATE)))
        self._origin, self._own_origin = _origin(info), Fraction(0)
        try:
            own = self._reader.probe(path)
        except ItemError as error:
            raise ItemError(f"cannot read {path}: {error}") from error
        if own is None and path.is_dir():
            raise ItemError(f"the folder {path} holds no numbered pictures (shot_0001.png ...)")
        if own is None:
            what, need = ("moves", "picture") if self._still else ("is a picture", "film")
            raise ItemError(f"{path} {what}, and {item.source.name} is a {need}; name a {need}")
        self._info, self._own_origin = own, _origin(own)
        if (own.width, own.height) != (info.width, info.height):
            raise ItemError(
                f"{path} has {own.width}x{own.height} pixels, and {item.source.name} "
                f"{info.width}x{info.height}; scale it to these"
            )
        self._check_length(item, info)
        self._frames: Iterator[Frame] = iter(())
        self._present: Frame | None = None

    @staticmethod
    def exists(path: Path) -> bool:
        """Whether there is such a file or folder, or a file that the path names as a pattern."""
        return path.exists() or is_several(path)

    def _check_length(self, item: Item, info: Info) -> None:
        own, whole = self._info.duration, info.duration
        cut = any(info.details.get(side) for side in ("start", "end"))
        if own is None or whole is None or cut:
            return
        if abs(own - whole) > 3 * self._tolerance:
            raise ItemError(
                f"{self._path} lasts {own:.2f} s, and {item.source.name} {whole:.2f} s; paint all "
                "of it, or say by --start and --end which part to take"
            )

    def at(self, time: Fraction | None) -> Frame:
        """The frame shown at a time, in seconds; of pictures the only one.

        Raises ItemError where there is none within half a frame.
        """
        if self._still:
            time = None
        wanted = Fraction(0) if time is None else time - self._origin
        if self._present is None or self._time(self._present) > wanted + self._tolerance:
            self._frames = self._reader.frames(self._item, self._info)
            self._present = self._next(wanted)
        while self._time(self._present) < wanted - self._tolerance:
            self._present = self._next(wanted)
        if self._time(self._present) > wanted + self._tolerance:
            raise ItemError(f"{self._path} has no frame at {spell(wanted)}; paint all of it")
        return self._present

    def _next(self, wanted: Fraction) -> Frame:
        frame = next(self._frames, None)
        if frame is None:
            raise ItemError(
                f"{self._path} ends before {spell(wanted)}; paint all of it, or say by --end where "
                "to stop"
            )
        return frame

    def _time(self, frame: Frame) -> Fraction:
        return (frame.time or Fraction(0)) - self._own_origin


def _reader(path: Path, info: Info) -> Reader:
    """What reads it."""
    from stylepipe.media.frames import FramesReader
    from stylepipe.media.images import ImageReader
    from stylepipe.media.sequence import is_sequence
    from stylepipe.media.video import VideoReader

    kind: type[Reader] = ImageReader if info.kind == "image" else VideoReader
    # It has to be of the item's size, which the job has allowed.
    options: dict[str, object] = {"max_pixels": max(MAX_PIXELS, info.width * info.height)}
    if is_several(path) and info.kind == "video":
        kind = FramesReader
        if not is_sequence(path, ImageReader.patterns, timed=False):
            options["fps"] = str(info.rate or _LEAST_RATE)
    return kind(kind.Options.build(options))


def _origin(info: Info) -> Fraction:
    """The time that counts as a film's beginning."""
    return Fraction(info.details.get("origin") or 0)
