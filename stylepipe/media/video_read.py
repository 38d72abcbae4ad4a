"""Reading video by PyAV: what a file holds, and its frames, upright, in RGB, with their times."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylepipe.errors import ItemError
from stylepipe.media.clock import Clock, Survey, is_live, is_raw, is_unordered, spell, survey
from stylepipe.media.pyav import any_text, base_of, fraction, printable
from stylepipe.media.timeline import Timeline
from stylepipe.media.video_color import Colour, ToRGB, bits, has_alpha
from stylepipe.types import Frame, Info

if TYPE_CHECKING:
    import av
    import numpy as np
    from av.container import InputContainer
    from av.video.codeccontext import VideoCodecContext
    from av.video.stream import VideoStream

_SEEKABLE = ("mp4", "matroska")
"""Formats whose index leads exactly to key frames."""
_ROUNDING = Fraction(2, 1000)
"""Seconds by which the lengths that a file tells may differ."""
_RUN_UP = 5
"""Seconds decoded before the wanted time, so that the picture rests on whole key frames only."""
_FORMATS = (
    "amv", "asf", "asf_o", "av1", "avi", "cavsvideo", "dirac", "dnxhd", "dv", "flv", "gxf", "h261",
    "h263", "h264", "hevc", "ivf", "ivr", "kux", "live_flv", "lmlm4", "m4v", "matroska", "mjpeg",
    "mov", "mpeg", "mpegts", "mpegvideo", "mpjpeg", "mtv", "mxf", "nsv", "nut", "nuv", "obu", "ogg",
    "pva", "rm", "smjpeg", "vc1", "vvc", "wtv", "xmv", "yuv4mpegpipe",
)
"""FFmpeg's names of what is opened: films that lie in one file. Never lists of other files (concat,
HLS, DASH, IMF, image sequences), whatever name they bear; nor pictures and texts."""


@dataclass(frozen=True)
class Span:
    """The part of a clip that is wanted, in seconds from its beginning; ``end`` excluded."""

    start: Fraction = Fraction(0)
    end: Fraction | None = None

    def __bool__(self) -> bool:
        return self.start > 0 or self.end is not None


@contextmanager
def open_video(path: Path) -> Iterator[InputContainer]:
    """Open a film for reading: one local file, and no other that it may name.

    Raises ItemError if it cannot be opened as a film.
    """
    import av

    try:
        if path.stat().st_size == 0:
            raise ItemError("the file is empty")
        allowed = {"protocol_whitelist": "file", "format_whitelist": ",".join(_FORMATS)}
        container = av.open(f"file:{path}", container_options=allowed, **any_text())
    except av.ArgumentError as error:
        raise ItemError(
            "cannot be read as video: it is a picture, a text, a list of other files, or in no "
            "format for films; give it its right file name, or name the films themselves"
        ) from error
    except (av.FFmpegError, OSError) as error:
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


def _origin(container: InputContainer, begin: Fraction) -> Fraction:
    """The time, in seconds, that counts as the beginning of a clip whose pictures ``begin`` there.

    0 but in formats such as MPEG-TS, whose clocks run from an arbitrary moment, and where pictures
    come before 0.
    """
    if is_live(container) and container.start_time is not None:
        return Fraction(container.start_time, 1_000_000)
    return begin if is_raw(container) else min(begin, Fraction(0))


def probe(path: Path, span: Span) -> Info:
    """Describe a video after decoding one frame of it.

    Raises ItemError for a file without video, without frames, damaged or cut short.
    """
    with open_video(path) as container:
        stream = video_stream(container)
        _check_complete(container, stream, span)
        times = survey(container, stream)
    with open_video(path) as container:
        stream = video_stream(container)
        frame = next(_decode(container, stream, times.timeline), None)
        if frame is None:
            raise ItemError("holds no video frames")
        transposed = _Upright.of(frame).transpose
        width, height = frame.width, frame.height
        aspect = fraction(stream.sample_aspect_ratio)
        if aspect and transposed:
            aspect = 1 / aspect
        begin = _origin(container, times.begin)
        length = _length(container, stream, times)
        if length is not None and span:
            stop = length if span.end is None else min(length, float(span.end))
            length = max(0.0, stop - float(span.start))
        details: dict[str, Any] = {
            "codec": stream.codec_context.codec.canonical_name,
            "pix_fmt": frame.format.name,
            **Colour.of(frame).names(),
            "rotation": -frame.rotation % 360,
            "sample_aspect_ratio": f"{aspect.numerator}:{aspect.denominator}" if aspect else None,
            "variable_rate": not times.steady,
            "interlaced": frame.interlaced_frame,
            "audio": [_describe(s) for s in container.streams.audio],
            "subtitles": [_describe(s) for s in container.streams.subtitles],
            "stream": stream.index,
            "origin": str(begin),
            "pieces": times.timeline.spell() or None,
            "start": str(span.start) if span.start else None,
            "end": str(span.end) if span.end is not None else None,
        }
        return Info(
            kind="video",
            format=container.format.name,
            width=height if transposed else width,
            height=width if transposed else height,
            frames=None if span else _count(stream),
            depth=16 if bits(frame.format) > 8 else 8,
            alpha=has_alpha(frame.format),
            rate=times.rate,
            duration=length,
            details=details,
        )


def frames(path: Path, info: Info, span: Span, first: int) -> Iterator[Frame]:
    """Yield the frames of ``span`` from number ``first``, upright, with the source's times.

    Raises ItemError, naming the time, where the stream is damaged or its picture changes size.
    """
    with open_video(path) as container:
        stream = video_stream(container)
        stream.thread_type = "AUTO"
        to_rgb = ToRGB(Colour.parse(info.details), info.depth, info.alpha)
        begin = Fraction(info.details["origin"])
        timeline = Timeline.parse(info.details["pieces"] or ())
        steady = not info.details["variable_rate"]
        clock = Clock(container, base_of(stream), info.rate, steady, begin)
        if span.start and begin >= 0 and any(n in container.format.name for n in _SEEKABLE):
            _seek(container, span.start + begin)
        index = 0
        shape = upright = None
        held: Frame | None = None  # until the next one tells how long it stays
        for frame in _decode(container, stream, timeline, begin, clock):
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
            held.duration = _stay(container, stream, clock, held)
            yield held
    if index == 0:
        raise ItemError(
            f"has no frames between --start and --end; it ends at {spell(clock.last - begin)}"
            if span and clock.last is not None else "holds no video frames"
        )


def _decode(
    container: InputContainer, stream: VideoStream, timeline: Timeline,
    begin: Fraction = Fraction(0), clock: Clock | None = None,
) -> Iterator[av.VideoFrame]:
    """Decode, telling damage by its time. Broadcast formats may begin and end in mid-picture."""
    import av

    live = is_live(container)
    base = base_of(stream)
    decoder = _decoder(stream)
    time = begin
    started = False
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            timeline.put(packet)
            if clock is not None:
                clock.sent(packet)
            if packet.pts is not None:
                time = packet.pts * base
            if packet.is_corrupt and not live:
                raise ItemError(f"the file is cut off or damaged at {spell(time - begin)}")
            pictures = decoder.decode(packet)
        except (av.FFmpegError, OSError) as error:
            if live and not started:
                continue
            raise ItemError(
                f"damaged at {spell(time - begin)}: {reason(error)}; --end can stop before it"
            ) from error
        for picture in pictures:
            started = True
            yield picture


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


def _stay(container: InputContainer, stream: VideoStream, clock: Clock, last: Frame) -> int:
    """How long the last frame stays, in ticks: as the container tells, else the least there is.

    MP4 adds up decoding times: where B-frames are, its frames' own durations belong to others, and
    its length may end where the last of irregular frames begins.
    """
    assert last.pts is not None
    least = min(_ROUNDING, clock.usual * clock.base / 2)
    if stream.duration and stream.start_time is not None and _knows_length(container, stream):
        stop = stream.start_time + stream.duration
        if container.duration:  # an edit list may end the film earlier
            whole = Fraction((container.start_time or 0) + container.duration, 1_000_000)
            if stop * clock.base > whole + _ROUNDING:
                stop = int(whole / clock.base)
        if (stop - last.pts) * clock.base > least:
            return stop - last.pts
    if last.duration and last.duration * clock.base > least:
        return min(last.duration, clock.usual)
    return clock.usual


def _knows_length(container: InputContainer, stream: VideoStream) -> bool:
    """Whether the container tells how long the stream is, or FFmpeg estimates it from its bytes."""
    if is_live(container):
        return False
    # An AVI's index gives the one, its header the other; without either there is a guess.
    return not is_unordered(container) or stream.duration == stream.frames


def _count(stream: VideoStream) -> int | None:
    """How many frames there are, where header and index agree."""
    entries: Any = stream.index_entries
    return stream.frames if stream.frames and stream.frames == len(entries) else None


def _length(container: InputContainer, stream: VideoStream, times: Survey) -> float | None:
    """Seconds from the clip's beginning to its end, where that is known."""
    if times.end is not None:
        return float(times.end - times.begin)
    if not _knows_length(container, stream):
        return None
    if stream.duration:
        return float(stream.duration * base_of(stream))
    if container.duration:
        return container.duration / 1e6 - min(float(times.begin), 0.0)
    return None


def _seek(container: InputContainer, time: Fraction) -> None:
    import av

    try:
        container.seek(max(0, int((time - _RUN_UP) * 1_000_000)), backward=True)
    except av.FFmpegError:
        container.seek(0, backward=True)


def _check_complete(container: InputContainer, stream: VideoStream, span: Span) -> None:
    """Raise ItemError if the index names bytes beyond the end of the file."""
    entries: Any = stream.index_entries
    size = container.size
    if not len(entries) or entries[-1].pos + entries[-1].size <= size:
        return
    cut = next(e.timestamp for e in entries if e.pos + e.size > size)
    time = cut * base_of(stream)
    if span.end is None or time < span.end:
        raise ItemError(
            f"the file is cut off: the video ends at {spell(time)}; "
            f"--end {float(time):.3f} takes what is there"
        )


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
    return codec if language == "und" else f"{codec} ({printable(language)})"


def reason(error: BaseException) -> str:
    """FFmpeg's or the system's words for an error, without numbers and places."""
    text = getattr(error, "strerror", None) or str(error)
    return text[0].lower() + text[1:] if text else type(error).__name__
