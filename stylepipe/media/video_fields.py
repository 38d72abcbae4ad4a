"""Interlaced film: two fields a frame, taken at two moments, made one whole picture by bwdif."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from stylepipe.errors import ItemError

if TYPE_CHECKING:
    import av

_FILTER = "bwdif"
_JOINED = "is interlaced: deinterlaced by bwdif (--deinterlace no leaves it as it is)"
_COMBED = "is interlaced: painted with both fields in a picture (--deinterlace auto rebuilds it)"


def whole_pictures(
    frames: Iterable[av.VideoFrame], deinterlace: bool, log: Callable[[str], None]
) -> Iterator[av.VideoFrame]:
    """Yield the frames; those flagged as interlaced are rebuilt around their first field.

    A frame for a frame, with their times. Progressive ones pass untouched, and all of them without
    ``deinterlace``. That a film is interlaced is logged once.
    """
    bwdif: _Bwdif | None = None
    told = False
    for frame in frames:
        if frame.interlaced_frame and not told:
            log(_JOINED if deinterlace else _COMBED)
            told = True
        if bwdif is not None and not bwdif.takes(frame):
            yield from bwdif.end()
            bwdif = None
        if bwdif is None and deinterlace and frame.interlaced_frame:
            bwdif = _Bwdif(frame)
        if bwdif is None:
            yield frame
        else:
            yield from bwdif.push(frame)
    if bwdif is not None:
        yield from bwdif.end()


class _Bwdif:
    """FFmpeg's filter for frames of one size and pixel format."""

    def __init__(self, frame: av.VideoFrame) -> None:
        """Raises ItemError if FFmpeg has no such filter, or has it not for the pixel format."""
        import av
        from av.filter import Graph

        self._kind = _kind(frame)
        self._times: deque[tuple[Any, ...]] = deque()
        self._graph = Graph()
        try:
            # The times are kept aside: the filter counts in half units and cannot do without any.
            self._source = self._graph.add(
                "buffer",
                video_size=f"{frame.width}x{frame.height}",
                pix_fmt=frame.format.name,
                time_base="1/1000",
                pixel_aspect="1/1",
                range=str(int(frame.color_range)),
            )
            bwdif = self._graph.add(_FILTER, "mode=send_frame:parity=auto:deint=interlaced")
            self._sink = self._graph.add("buffersink")
            self._graph.link_nodes(self._source, bwdif, self._sink).configure()
        except (av.FFmpegError, ValueError) as error:
            raise ItemError(
                f"is interlaced, and FFmpeg's {_FILTER} does not take {frame.format.name} here "
                f"({error}); --deinterlace no paints it as it is"
            ) from error

    def takes(self, frame: av.VideoFrame) -> bool:
        """Whether the filter was made for such a frame."""
        return _kind(frame) == self._kind

    def push(self, frame: av.VideoFrame) -> Iterator[av.VideoFrame]:
        self._times.append((frame.pts, frame.dts, frame.duration, frame.time_base))
        self._source.push(frame)
        return self._ready()

    def end(self) -> Iterator[av.VideoFrame]:
        self._source.push(None)
        return self._ready()

    def _ready(self) -> Iterator[av.VideoFrame]:
        import av

        while True:
            try:
                frame: Any = self._sink.pull()
            except (av.BlockingIOError, av.EOFError):
                return
            frame.pts, frame.dts, frame.duration, frame.time_base = self._times.popleft()
            yield frame


def _kind(frame: av.VideoFrame) -> tuple[int, int, str]:
    return frame.width, frame.height, frame.format.name
