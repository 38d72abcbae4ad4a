"""Masks and maps of regions as pictures: PNG, for a film a folder of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from stylepipe.components import Context, Sink, Writer
from stylepipe.media.frames_write import FramesWriter
from stylepipe.media.images import ImageWriter, encode_settings
from stylepipe.types import Frame, Info, Item

if TYPE_CHECKING:
    from stylepipe.media.encode import EncodeSettings


class _PlainSink(Sink):
    """Writes the pixels alone, in 8 bits: the photo's metadata is not part of a mask."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.done, self.last = sink.done, sink.last

    def write(self, frame: Frame) -> None:
        from stylepipe.media.encode import eight

        plain = Frame(eight(frame.pixels), index=frame.index, name=frame.name)
        self._sink.write(plain)

    def close(self) -> None:
        self._sink.close()

    def abort(self) -> None:
        self._sink.abort()


class _Masks(Writer):
    """What both writers have in common."""

    def __init__(self, options: Any, gray: bool) -> None:
        """``gray``: masks, of one channel; else maps of regions, in colors."""
        super().__init__(options)
        self._gray = gray

    def open(self, context: Context) -> None:
        """Report nothing as left out: a mask needs no sound."""

    def open_sink(self, item: Item, info: Info, path: Path, work: Path) -> Sink:
        return _PlainSink(super().open_sink(item, info, path, work))

    def encoding(self, info: Info, log: Callable[[str], None]) -> EncodeSettings:
        return replace(encode_settings(self.options, info, log), gray=self._gray)


class MaskWriter(_Masks, ImageWriter):
    """Masks of photos, in PNG."""

    name = "mask"
    patterns = (".png",)


class MaskFramesWriter(_Masks, FramesWriter):
    """Masks of films, a folder of numbered PNG each."""

    name = "mask-frames"
    patterns: ClassVar[tuple[str, ...]] = (".png/",)
