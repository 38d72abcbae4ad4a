"""Writing video: frames are encoded in short independent segments, joined when the clip is done.

A killed run loses the segment in hand only, and a run that resumes makes the same bytes as one
that was never disturbed, since segment borders depend on frame numbers alone. Where frames come
slowly, each is kept on disk until its segment is complete, and not even that is lost.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from stylepipe.components import Sink
from stylepipe.errors import ItemError
from stylepipe.media import video_mux
from stylepipe.media.segments import SegmentFile, is_sound, load_frame, read_index, save_frame
from stylepipe.media.video_color import FromRGB
from stylepipe.media.video_encode import Encoding
from stylepipe.media.video_streams import StreamPlan
from stylepipe.media.words import reason
from stylepipe.types import Frame, Info, Item

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext

SEGMENT = 120
"""Frames encoded together: 4 to 5 seconds, so that also seeking in the result is quick."""
SLOW = 0.5
"""Seconds a frame from which on each frame is worth keeping on disk."""
_TRIAL = 4
"""Frames after which a segment judges whether they come slowly."""


class VideoSink(Sink):
    """One video being written."""

    def __init__(
        self,
        item: Item,
        info: Info,
        path: Path,
        work: Path,
        encoding: Encoding,
        plan: StreamPlan,
        log: Callable[[str], None],
    ) -> None:
        self._item, self._info, self._path, self._work = item, info, path, work
        self._encoding, self._plan, self._log = encoding, plan, log
        self._settings = encoding.settings()
        self._segment: Segment | None = None
        self._finished, self.done, self.last = self._resume()
        self._spooled = 0
        while kept := load_frame(self._spool(self._spooled)):
            self.last = kept
            self._spooled += 1
        self.done += self._spooled
        self._drop_what_follows()

    def write(self, frame: Frame) -> None:
        """Encode the next frame."""
        with in_a_sentence():
            self._begin()
            self._add(frame)

    def close(self) -> None:
        """Encode what is left and join everything into the file."""
        with in_a_sentence():
            if self._spooled:
                self._begin()
            if self._segment is not None and self._segment.count:
                self._end_segment()
            self.abort()
            segments = [self._name("segment", n, ".seg") for n in range(self._finished)]
            notes = video_mux.assemble(
                self._path,
                segments,
                self._encoding,
                self._item.source,
                self._plan,
                self._info,
            )
        for note in notes:
            self._log(f"{self._item.source.name}: {note}")

    def abort(self) -> None:
        """Release the encoder; finished segments and kept frames stay for a later run."""
        if self._segment is not None:
            self._segment.file.drop()
            self._segment = None

    def _name(self, what: str, number: int, suffix: str) -> Path:
        return self._work / f"{what}-{number:06d}{suffix}"

    def _spool(self, position: int) -> Path:
        return self._work / f"frame-{self._finished:06d}-{position:03d}.npz"

    def _resume(self) -> tuple[int, int, Frame | None]:
        """Count sound segments of these settings, and their frames, and load the last frame.

        Where the newest segment or its last frame is damaged, the one before it counts.
        """
        ends = [0]
        while index := read_index(path := self._name("segment", len(ends) - 1, ".seg")):
            if index.settings != self._settings or not is_sound(path):
                break
            ends.append(ends[-1] + len(index.times))
        for number in range(len(ends) - 1, 0, -1):
            if last := load_frame(self._name("last", number, ".npz")):
                return number, ends[number], last
        return 0, 0, None

    def _drop_what_follows(self) -> None:
        """Delete what an earlier run left beyond the frames that count, lest it counts later."""
        mine = {self._spool(n) for n in range(self._spooled)}
        mine |= {self._name("segment", n, ".seg") for n in range(self._finished)}
        mine |= {self._name("last", n, ".npz") for n in range(self._finished + 1)}
        for pattern in ("segment-*", "last-*", "frame-*"):
            for path in set(self._work.glob(pattern)) - mine:
                path.unlink(missing_ok=True)

    def _begin(self) -> None:
        """Open the encoder of a segment, if none is, and feed it what an earlier run has kept."""
        if self._segment is not None:
            return
        self._segment = Segment(
            self._encoding, SegmentFile(self._name("segment", self._finished, ".seg")), self._info
        )
        for position in range(self._spooled):
            frame = load_frame(self._spool(position))
            if frame is None:
                raise ItemError(
                    f"the work file {self._spool(position).name} was damaged meanwhile; run again"
                )
            self._segment.add(frame)
        if self._segment.count == SEGMENT:  # killed just before it was finished
            self._end_segment()
            self._begin()

    def _add(self, frame: Frame) -> None:
        segment = self._segment
        assert segment is not None
        if segment.slow(self._spooled):
            save_frame(self._spool(segment.count), frame)
            self._spooled += 1
        segment.add(frame)
        if segment.count == SEGMENT:
            self._end_segment()

    def _end_segment(self) -> None:
        segment, self._segment = self._segment, None
        assert segment is not None and segment.last is not None
        stale = [self._spool(n) for n in range(self._spooled)]
        save_frame(self._name("last", self._finished + 1, ".npz"), segment.last)
        segment.finish(self._settings)
        # The last two segments keep their last frames: one stays to go on from if one is damaged.
        stale.append(self._name("last", self._finished - 1, ".npz"))
        self._finished, self._spooled = self._finished + 1, 0
        for path in stale:
            path.unlink(missing_ok=True)


class Segment:
    """The encoder of one segment and the file it fills."""

    def __init__(self, encoding: Encoding, file: SegmentFile, info: Info) -> None:
        self.file, self._encoding, self._info = file, encoding, info
        self._context: VideoCodecContext = encoding.open()
        self._convert = FromRGB(encoding.color, encoding.pix_fmt, encoding.white)
        self._base: Fraction | None = None
        self._times: list[int] = []
        self._clock = time.monotonic()
        self.last: Frame | None = None

    @property
    def count(self) -> int:
        """Frames taken so far."""
        return len(self._times)

    def slow(self, spooled: int) -> bool:
        """Whether the next frame should be kept on disk: all before it were, and they are slow."""
        if spooled < self.count:
            return False
        return self.count < _TRIAL or time.monotonic() - self._clock > SLOW * self.count

    def add(self, frame: Frame) -> None:
        size = frame.pixels.shape[1], frame.pixels.shape[0]
        if size != (self._encoding.width, self._encoding.height):
            raise ItemError(
                f"frame {frame.number} has {size[0]}x{size[1]} pixels in a clip of "
                f"{self._encoding.width}x{self._encoding.height}"
            )
        rate = Fraction(self._encoding.rate)
        if self._base is None:
            self._base = frame.time_base or 1 / rate
        if frame.pts is None:
            pts = round(frame.index / rate / self._base)
        else:
            pts = round(frame.pts * (frame.time_base or self._base) / self._base)
        if self._times and pts <= self._times[-1]:
            raise ItemError(f"frame {frame.number} is not later than the frame before it")
        picture = self._convert(frame.pixels, frame.alpha)
        picture.pts, picture.time_base = self.count, 1 / rate
        self._times.append(pts)
        self.last = frame
        self._store(self._context.encode(picture))

    def finish(self, settings: str) -> None:
        assert self._base is not None and self.last is not None
        self._store(self._context.encode(None))
        if self.file.count != self.count:
            raise ItemError(
                f"the encoder {self._encoding.codec} made {self.file.count} pictures of "
                f"{self.count} frames; choose another --codec"
            )
        duration = self.last.duration
        if duration is not None and self.last.time_base:
            duration = round(duration * self.last.time_base / self._base)
        self.file.finish(
            settings=settings,
            times=self._times,
            time_base=str(self._base),
            duration=duration or max(1, round(1 / Fraction(self._encoding.rate) / self._base)),
        )

    def _store(self, packets: list) -> None:  # type: ignore[type-arg]
        for packet in packets:
            if packet.pts is None or not 0 <= packet.pts < self.count:
                raise ItemError(f"the encoder {self._encoding.codec} loses track of its frames")
            self.file.add(packet.pts, bool(packet.is_keyframe), bytes(packet))


@contextmanager
def in_a_sentence() -> Iterator[None]:
    """Turn trouble with the disk or the encoder into one sentence."""
    import av

    try:
        yield
    except (av.FFmpegError, OSError) as error:
        raise ItemError(f"the output cannot be written: {reason(error)}") from error
