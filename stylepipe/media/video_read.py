"""Reading video by PyAV: what a file holds, and its frames, upright, in RGB, with their times."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylepipe.damage import Damaged
from stylepipe.errors import ItemError
from stylepipe.media.ffmpeg_log import listening
from stylepipe.media.video_color import Colour, ToRGB, bits, has_alpha
from stylepipe.media.video_damage import MP4, Watch, live, tell_cut_off, watching
from stylepipe.media.words import reason, spell
from stylepipe.types import Frame, Info

if TYPE_CHECKING:
    import av
    import numpy as np
    from av.container import InputContainer
    from av.video.codeccontext import VideoCodecContext
    from av.video.stream import VideoStream

_SEEKABLE = ("mp4", "matroska")
"""Formats whose index leads exactly to key frames."""
_RUN_UP = 5
"""Seconds decoded before the wanted time, so that the picture rests on whole key frames only."""
_STEP_BACK = 1
"""Timestamps that fall back by less than this many seconds are nudged, by more is an error."""


@dataclass(frozen=True)
class Span:
    """The part of a clip that is wanted, in seconds from its beginning; ``end`` excluded."""

    start: Fraction = Fraction(0)
    end: Fraction | None = None

    def __bool__(self) -> bool:
        return self.start > 0 or self.end is not None


@contextmanager
def open_video(path: Path) -> Iterator[InputContainer]:
    """Open a media file for reading; local files only, whatever a playlist in it may say.

    Raises ItemError if it cannot be opened as audio or video.
    """
    import av

    with listening((), MP4) as complaints:
        try:
            if path.stat().st_size == 0:
                raise ItemError("the file is empty")
            with complaints.heard():
                container = av.open(
                    f"file:{path}", metadata_errors="replace",
                    container_options={"protocol_whitelist": "file,crypto,data"},
                )
        except (av.FFmpegError, OSError) as error:
            if "moov atom not found" in complaints.take():
                raise ItemError(
                    "cannot be read as video: the file is cut short, or its recording never ended, "
                    "for its index at the end is missing; copy it again"
                ) from error
            raise ItemError(f"cannot be read as video: {reason(error)}") from error
    try:
        yield container
    finally:
        container.close()


def video_stream(container: InputContainer) -> VideoStream:
    """The stream to stylize: FFmpeg's choice among those that are not cover art.

    Raises ItemError if there is none or nothing here can decode it.
    """
    from av.stream import Disposition

    if container.format.name.endswith("_pipe") or container.format.name in ("image2", "tty"):
        raise ItemError("is no video but a picture or text; give it its right file name")
    covers: Any = Disposition.attached_pic
    moving = [s for s in container.streams.video if not s.disposition & covers]
    if not moving:
        kinds = ", ".join(sorted({s.type for s in container.streams}))
        raise ItemError(f"has no video stream, only {kinds or 'nothing'}")
    best = container.streams.best("video")
    stream = best if best in moving else moving[0]
    if stream.codec_context is None:
        raise ItemError("its video codec is unknown to the FFmpeg inside PyAV")
    return stream


def origin(container: InputContainer) -> Fraction:
    """The time, in seconds, that counts as the clip's beginning.

    0 but in formats such as MPEG-TS, whose clocks run from an arbitrary moment.
    """
    if live(container) and container.start_time is not None:
        return Fraction(container.start_time, 1_000_000)
    return Fraction(0)


def probe(path: Path, span: Span, damaged: Damaged) -> Info:
    """Describe a video after decoding one frame of it; ``damaged`` hears if it is cut off.

    Raises ItemError for a file without video, or of which nothing can be decoded.
    """
    with open_video(path) as container:
        stream = video_stream(container)
        begin = origin(container)
        tell_cut_off(container, stream, span.end, damaged)
        base = stream.time_base or Fraction(1, 1000)
        torn: list[str] = []  # which frames() will tell
        with watching(container, stream, torn.append, begin) as watch:
            frame = next(_decode(container, stream, watch), None)
        if frame is None:
            why = f"nothing of it can be decoded: {torn[0]}; copy it again" if torn else ""
            raise ItemError(why or "holds no video frames")
        transposed = _Upright.of(frame).transpose
        width, height = frame.width, frame.height
        aspect = stream.sample_aspect_ratio
        if aspect and transposed:
            aspect = 1 / aspect
        length = None
        if stream.duration:
            length = float(stream.duration * base)
        elif container.duration:
            length = container.duration / 1e6
        if length is not None and span:
            stop = length if span.end is None else min(length, float(span.end))
            length = max(0.0, stop - float(span.start))
        rate = stream.average_rate or stream.guessed_rate
        nominal = stream.base_rate or rate
        details: dict[str, Any] = {
            "codec": stream.codec_context.codec.canonical_name,
            "pix_fmt": frame.format.name,
            **Colour.of(frame).names(),
            "rotation": -frame.rotation % 360,
            "sample_aspect_ratio": f"{aspect.numerator}:{aspect.denominator}" if aspect else None,
            "variable_rate": bool(rate and nominal and abs(rate - nominal) > nominal / 200),
            "interlaced": frame.interlaced_frame,
            "audio": [_describe(s) for s in container.streams.audio],
            "subtitles": [_describe(s) for s in container.streams.subtitles],
            "stream": stream.index,
            "origin": str(begin),
            "start": str(span.start) if span.start else None,
            "end": str(span.end) if span.end is not None else None,
        }
        return Info(
            kind="video",
            format=container.format.name,
            width=height if transposed else width,
            height=width if transposed else height,
            frames=None if span else (stream.frames or None),
            depth=16 if bits(frame.format) > 8 else 8,
            alpha=has_alpha(frame.format),
            rate=rate,
            duration=length,
            details=details,
        )


def frames(
    path: Path, info: Info, span: Span, first: int, damaged: Damaged
) -> Iterator[Frame]:
    """Yield the frames of ``span`` from number ``first``, upright, with the source's times.

    ``damaged`` hears what cannot be decoded, with its time. Raises ItemError where the picture
    changes size.
    """
    with ExitStack() as stack:
        container = stack.enter_context(open_video(path))
        stream = video_stream(container)
        stream.thread_type = "AUTO"
        to_rgb = ToRGB(Colour.parse(info.details), info.depth, info.alpha)
        begin = origin(container)
        watch = stack.enter_context(
            watching(container, stream, damaged, begin, span.start, span.end)
        )
        clock = _Clock(stream.time_base or Fraction(1, 1000), info.rate)
        if span.start and any(name in container.format.name for name in _SEEKABLE):
            _seek(container, span.start + begin)
        index = 0
        shape = upright = None
        held: Frame | None = None  # until the next one tells how long it stays
        for frame in _whole(path, container, stream, watch):
            pts = clock.stamp(frame)
            if held is not None and held.pts is not None:
                held.duration = pts - held.pts
                yield held
                held = None
            time = pts * clock.base - begin
            if span.end is not None and time >= span.end:
                break
            # Looked at once: a frame whose side data was read lives until cycles are collected.
            upright = upright or _Upright.of(frame)
            shape = shape or (frame.width, frame.height)
            if (frame.width, frame.height) != shape:
                raise ItemError(
                    f"the picture changes from {shape[0]}x{shape[1]} to "
                    f"{frame.width}x{frame.height} at {spell(time)}; cut it there with --end"
                )
            if time < span.start:
                continue
            if index >= first:
                pixels, alpha = to_rgb(frame)
                held = Frame(
                    upright(pixels), None if alpha is None else upright(alpha), index, pts,
                    clock.base, frame.duration or None,
                )
            index += 1
        if held is not None:
            if watch.cut is None:  # else the stream is shorter than it says
                held.duration = _remaining(container, stream, pts) or held.duration
            yield held
    if index == 0:
        raise ItemError(
            f"has no frames between --start and --end; it ends at {spell(clock.last - begin)}"
            if span and clock.last is not None else "holds no video frames"
        )


class _Clock:
    """Presentation times of the frames: the source's own, missing ones filled in.

    Times that repeat or step back a little are nudged, so that the order holds.
    """

    def __init__(self, base: Fraction, rate: Fraction | None) -> None:
        self.base = base
        self._step = max(1, round(1 / (rate * base))) if rate else 1
        self._pts: int | None = None

    @property
    def last(self) -> Fraction | None:
        """Time of the latest frame in seconds."""
        return None if self._pts is None else self._pts * self.base

    def stamp(self, frame: av.VideoFrame) -> int:
        pts = frame.pts if frame.pts is not None else frame.dts
        if pts is None:
            pts = 0 if self._pts is None else self._pts + self._step
        if self._pts is not None and pts <= self._pts:
            if (self._pts - pts) * self.base > _STEP_BACK:
                raise ItemError(
                    f"its timestamps fall back from {spell(self._pts * self.base)} to "
                    f"{spell(pts * self.base)}; join it anew first (ffmpeg -fflags +genpts -c copy)"
                )
            pts = self._pts + 1
        self._pts = pts
        return pts


def _whole(
    path: Path, container: InputContainer, stream: VideoStream, watch: Watch
) -> Iterator[av.VideoFrame]:
    """Decode in several threads; what they lose at a damaged end is decoded again in one.

    An error on the way out of the decoder takes along the pictures of all its threads.
    """
    last: int | None = None
    for frame in _decode(container, stream, watch):
        last = frame.pts
        yield frame
    if not watch.lost_at_end or last is None:
        return
    with open_video(path) as again:
        one = again.streams[stream.index]
        one.codec_context.thread_type = "NONE"
        if any(name in again.format.name for name in _SEEKABLE):
            _seek(again, last * (stream.time_base or Fraction(1, 1000)))
        for frame in _decode(again, one, watch):  # type: ignore[arg-type]  # the video stream
            if frame.pts is not None and frame.pts > last:
                yield frame


def _decode(
    container: InputContainer, stream: VideoStream, watch: Watch
) -> Iterator[av.VideoFrame]:
    """Decode what can be; ``watch`` is told of the rest."""
    import av

    decoder = _decoder(stream)
    # The other streams are read along: the film is over when the last of them is.
    others = [s for s in container.streams if s.type in ("audio", "subtitle")]
    packets = container.demux([stream, *others])
    try:
        while True:
            try:
                with watch.heard():
                    packet = next(packets, None)
            except (av.FFmpegError, OSError) as error:
                watch.torn(reason(error))
                break
            if packet is None:
                break
            watch.packet(packet)
            if packet.stream.index != stream.index:
                continue
            pictures: list[av.VideoFrame] = []
            try:
                with watch.heard():
                    pictures = decoder.decode(packet)
            except (av.FFmpegError, OSError) as error:
                watch.lost_at_end = not packet.size
                watch.torn(reason(error))
            watch.pictures(pictures)
            yield from pictures
        watch.ended()
    finally:
        with suppress(av.FFmpegError):
            decoder.decode(None)  # let its threads finish: one that complains waits for Python


def _decoder(stream: VideoStream) -> VideoCodecContext:
    """The stream's own decoder; for transparent VP8 and VP9 libvpx, as FFmpeg's knows no alpha.

    Raises ItemError if libvpx is needed and not there.
    """
    from av.codec import CodecContext

    own = stream.codec_context
    library = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(own.codec.canonical_name)
    tags = {key.lower(): value for key, value in stream.metadata.items()}
    if library is None or tags.get("alpha_mode") != "1":
        return own
    try:
        decoder: Any = CodecContext.create(library, "r")
    except ValueError as error:
        raise ItemError(
            f"is transparent, and the FFmpeg inside PyAV lacks {library} to read that"
        ) from error
    decoder.extradata = own.extradata
    for tag in ("color_range", "colorspace", "color_primaries", "color_trc"):
        setattr(decoder, tag, getattr(own, tag))
    return decoder  # type: ignore[no-any-return]


def _remaining(container: InputContainer, stream: VideoStream, pts: int) -> int | None:
    """How long the last frame stays, where the container tells the length of the stream.

    The frame's own duration is no use where B-frames are: MP4 knows decoding times only.
    """
    base = stream.time_base or Fraction(1, 1000)
    if not stream.duration or stream.start_time is None:
        return None
    stop = stream.start_time + stream.duration
    if container.duration:  # an edit list may end the film earlier
        whole = (container.start_time or 0) + container.duration
        if stop * base > Fraction(whole, 1_000_000) + Fraction(2, 1000):
            stop = int(Fraction(whole, 1_000_000) / base)
    return stop - pts if stop > pts else None


def _seek(container: InputContainer, time: Fraction) -> None:
    import av

    try:
        container.seek(max(0, int((time - _RUN_UP) * 1_000_000)), backward=True)
    except av.FFmpegError:
        container.seek(0, backward=True)


@dataclass(frozen=True)
class _Upright:
    """One of the eight ways a display matrix can lay the picture."""

    transpose: bool = False
    flip_horizontal: bool = False
    flip_vertical: bool = False

    @classmethod
    def of(cls, frame: av.VideoFrame) -> _Upright:
        """From the frame's display matrix (ISO/IEC 14496-12), to the nearest quarter turn."""
        import numpy as np

        data: Any = frame.side_data.get("DISPLAYMATRIX")
        if data is None:
            return cls()
        a, b, _, c, d = (int(v) for v in np.frombuffer(bytes(data), np.int32)[:5])
        if abs(a) + abs(d) >= abs(b) + abs(c):
            return cls(False, a < 0, d < 0)
        return cls(True, c < 0, b < 0)

    def __call__(self, array: np.ndarray) -> np.ndarray:
        import cv2

        if self.transpose:
            array = cv2.transpose(array)
        if self.flip_horizontal or self.flip_vertical:
            code = -1 if self.flip_horizontal and self.flip_vertical else int(self.flip_horizontal)
            array = cv2.flip(array, code)
        return array


def _describe(stream: Any) -> str:
    codec = stream.codec_context.codec.canonical_name if stream.codec_context else "unknown"
    language = stream.metadata.get("language", "und")
    return codec if language == "und" else f"{codec} ({language})"
