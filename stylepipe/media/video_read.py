"""Reading video by PyAV: what a file holds, and its frames, upright, in RGB, with their times."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylepipe.damage import Damaged
from stylepipe.errors import ItemError
from stylepipe.media.clock import Clock, Survey, is_live, is_raw, is_unordered, survey
from stylepipe.media.ffmpeg_log import listening
from stylepipe.media.pyav import any_text, base_of, fraction, printable
from stylepipe.media.timeline import Timeline
from stylepipe.media.video_color import Color, ToRGB, bits, has_alpha
from stylepipe.media.video_damage import MP4, Watch, tell_cut_off, watching
from stylepipe.media.video_fields import whole_pictures
from stylepipe.media.video_hdr import Light, white
from stylepipe.media.video_sidedata import kept_by_none, side_data
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
_ROUNDING = Fraction(2, 1000)
"""Seconds by which the lengths that a file states may differ."""
_RUN_UP = 5
"""Seconds decoded before the wanted time, so that the picture rests on whole key frames only."""
_FORMATS = (
    "amv", "asf", "asf_o", "av1", "avi", "cavsvideo", "dirac", "dnxhd", "dv", "flv", "gxf", "h261",
    "h263", "h264", "hevc", "ivf", "ivr", "kux", "live_flv", "lmlm4", "m4v", "matroska", "mjpeg",
    "mov", "mpeg", "mpegts", "mpegvideo", "mpjpeg", "mtv", "mxf", "nsv", "nut", "nuv", "obu",
    "ogg", "pva", "rm", "smjpeg", "vc1", "vvc", "wtv", "xmv", "yuv4mpegpipe",
)  # fmt: skip
"""FFmpeg's names of what is opened: films that lie in one file. Never lists of other files (concat,
HLS, DASH, IMF, image sequences), whatever name they bear; nor pictures and texts."""

_BOXES = (b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"pnot", b"uuid")
"""What an MP4 or MOV can begin with (ISO/IEC 14496-12, and QuickTime)."""
_RESIZED = "the picture becomes {}x{} at {}: scaled to {}x{}, the size it began with"


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

    with listening((), MP4) as complaints:
        try:
            if path.stat().st_size == 0:
                raise ItemError("the file is empty")
            allowed = {"protocol_whitelist": "file", "format_whitelist": ",".join(_FORMATS)}
            with complaints.heard():
                container = av.open(f"file:{path}", container_options=allowed, **any_text())
        except av.ArgumentError as error:
            raise ItemError(
                "cannot be read as video: it is a picture, a text, a list of other files, or in no "
                "format for films; give it its right file name, or name the films themselves"
            ) from error
        except (av.FFmpegError, OSError) as error:
            if why := _no_film(path):
                raise ItemError(
                    f"cannot be read as video: {why}; give it its right file name, or name the "
                    "film itself"
                ) from error
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


def _no_film(path: Path) -> str:
    """What a file that cannot be opened is by its first bytes; empty where it may be a film.

    FFmpeg takes whatever is called .mp4 for one that lost its index.
    """
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError:
        return ""  # what is wrong is known already
    if not head.translate(None, bytes(range(32, 256)) + b"\t\n\f\r"):
        return "it is a text"
    if path.suffix.lower() in (".mp4", ".mov", ".m4v") and head[4:8] not in _BOXES:
        return "it begins as no film of its kind does"
    return ""


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


def probe(path: Path, span: Span, damaged: Damaged) -> Info:
    """Describe a video after decoding one frame of it; reports to ``damaged`` if it is cut off.

    Raises ItemError for a file without video, or of which nothing can be decoded.
    """
    with open_video(path) as container:
        stream = video_stream(container)
        tell_cut_off(container, stream, span.end, damaged)
        times = survey(container, stream)
    with open_video(path) as container:
        stream = video_stream(container)
        begin = _origin(container, times.begin)
        torn: list[str] = []  # which frames() will report
        with watching(container, stream, torn.append, begin, joined=bool(times.timeline)) as watch:
            frame = next(_decode(container, stream, times.timeline, watch), None)
        if frame is None:
            why = f"nothing of it can be decoded: {torn[0]}; copy it again" if torn else ""
            raise ItemError(why or "holds no video frames")
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
            **Color.of(frame).names(),
            **Light.of(frame).names(),
            "rotation": -frame.rotation % 360,
            "sample_aspect_ratio": f"{aspect.numerator}:{aspect.denominator}" if aspect else None,
            "variable_rate": not times.steady,
            "interlaced": frame.interlaced_frame,
            "side_data": kept_by_none(frame),
            "audio": [describe(s) for s in container.streams.audio],
            "subtitles": [describe(s) for s in container.streams.subtitles],
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
            depth=16 if bits(frame.format) > 8 or Color.of(frame).hdr else 8,
            alpha=has_alpha(frame.format),
            rate=times.rate,
            duration=length,
            details=details,
        )


def frames(
    path: Path,
    info: Info,
    span: Span,
    first: int,
    damaged: Damaged,
    deinterlace: bool,
    log: Callable[[str], None],
    wanted: Collection[int] | None = None,
) -> Generator[Frame]:
    """Yield the frames of ``span`` from number ``first``, upright, with the source's times.

    All are as large as the first of the file, and whole pictures if ``deinterlace``; what was done
    for it goes to ``log``; what cannot be decoded, with its time, to ``damaged``. ``wanted``:
    the numbers of those to yield; None: all.
    """
    from numpy import ascontiguousarray

    with ExitStack() as stack:
        container = stack.enter_context(open_video(path))
        stream = video_stream(container)
        stream.thread_type = "AUTO"
        color = Color.parse(info.details)
        whitest = white(color, Light.parse(info.details))
        to_rgb = ToRGB(color, info.depth, info.alpha, whitest)
        begin = Fraction(info.details["origin"])
        pieces = info.details["pieces"] or ()
        watch = stack.enter_context(
            watching(container, stream, damaged, begin, span.start, span.end, bool(pieces))
        )
        steady = not info.details["variable_rate"]
        clock = Clock(container, base_of(stream), info.rate, steady, begin)
        if span.start and begin >= 0 and any(n in container.format.name for n in _SEEKABLE):
            _seek(container, span.start + begin)
        index = 0
        upright = None
        told: set[tuple[int, ...]] = set()
        held: Frame | None = None  # until the next one shows how long it stays
        decoded = _whole(path, container, stream, pieces, watch, clock)
        for frame in whole_pictures(decoded, deinterlace, log):
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
            if time < span.start:
                continue
            if index >= first and (wanted is None or index in wanted):
                pixels, alpha = to_rgb(frame)
                pixels, alpha = upright(pixels), None if alpha is None else upright(alpha)
                size = pixels.shape[1], pixels.shape[0]
                if size != (info.width, info.height):
                    if size not in told:
                        log(_RESIZED.format(*size, spell(time), info.width, info.height))
                        told.add(size)
                    pixels = _scaled(pixels, info)
                    alpha = None if alpha is None else _scaled(alpha, info)
                # FFmpeg's rows may be longer than the picture is wide.
                pixels = ascontiguousarray(pixels)
                held = Frame(pixels, alpha, index, pts, clock.base, frame.duration or None)
            index += 1
        if held is not None:
            if watch.cut is None:  # else the stream is shorter than it says
                held.duration = _stay(container, stream, clock, held)
            yield held
    if index == 0:
        raise ItemError(
            f"has no frames between --start and --end; it ends at {spell(clock.last - begin)}"
            if span and clock.last is not None
            else "holds no video frames"
        )


def times(path: Path, info: Info, span: Span) -> list[Fraction]:
    """When each frame of ``span`` is shown, in seconds of the source's clock. Raises ItemError."""
    with open_video(path) as container:
        base = base_of(video_stream(container))
        indexed = _indexed(container, info, span)
    if indexed is not None:
        return [pts * base for pts in indexed]
    ignore: Callable[[str], None] = lambda words: None  # noqa: E731 (told when they are painted)
    found = frames(path, info, span, 0, ignore, False, ignore)
    return [
        frame.pts * frame.time_base for frame in found if frame.pts is not None and frame.time_base
    ]


def pick(
    path: Path,
    info: Info,
    span: Span,
    numbers: Sequence[int],
    damaged: Damaged,
    deinterlace: bool,
    log: Callable[[str], None],
) -> Iterator[Frame]:
    """Yield the frames of these growing numbers, as :func:`frames` would.

    Each is searched for from the key frame before it. Where the container's times are not those of
    its pictures, all are decoded on the way to the last.
    """
    told: set[str] = set()

    def once(note: str) -> None:
        if note not in told:
            told.add(note)
            log(note)

    with open_video(path) as container:
        base = base_of(video_stream(container))
        indexed = _indexed(container, info, span)
    begin = Fraction(info.details["origin"])
    for place, number in enumerate(numbers):
        frame = None
        if indexed is not None:
            part = Span(indexed[number] * base - begin, span.end)
            found = frames(path, info, part, 0, damaged, deinterlace, once)
            with closing(found), suppress(ItemError):  # which reading all of it meets again
                frame = next(found, None)
        if indexed is None or frame is None or frame.pts != indexed[number]:
            rest = numbers[place:]
            rest_of = frames(path, info, span, 0, damaged, deinterlace, once, rest)
            yield from islice(rest_of, len(rest))  # what comes after them is not decoded
            return
        yield replace(frame, index=number)


def _indexed(container: InputContainer, info: Info, span: Span) -> list[int] | None:
    """When each frame of ``span`` is shown, in ticks, as the packets say; nothing is decoded.

    None where a search by these times may not lead to exactly that picture.
    """
    import av

    begin = Fraction(info.details["origin"])
    exact = any(name in container.format.name for name in _SEEKABLE)
    if not exact or begin < 0 or info.details["pieces"]:
        return None
    stream = container.streams[info.details["stream"]]
    base, found = base_of(stream), []
    try:
        for packet in container.demux([stream]):
            if packet.size and not packet.is_discard:
                if packet.pts is None:
                    return None
                found.append(packet.pts)
    except (av.FFmpegError, OSError):
        return None
    inside = [
        pts
        for pts in sorted(found)
        if pts * base - begin >= span.start and (span.end is None or pts * base - begin < span.end)
    ]
    return inside if inside and len(set(inside)) == len(inside) else None


def _scaled(array: np.ndarray, info: Info) -> np.ndarray:
    """HxWx3 or HxW in the size that the file began with."""
    import cv2

    shrinks = array.shape[0] * array.shape[1] > info.height * info.width
    kind = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return cv2.resize(array, (info.width, info.height), interpolation=kind)


def _whole(
    path: Path,
    container: InputContainer,
    stream: VideoStream,
    pieces: Iterable[str],
    watch: Watch,
    clock: Clock,
) -> Iterator[av.VideoFrame]:
    """Decode in several threads; what they lose at a damaged end is decoded again in one.

    An error on the way out of the decoder takes along the pictures of all its threads.
    """
    last: int | None = None
    for frame in _decode(container, stream, Timeline.parse(pieces), watch, clock):
        last = frame.pts
        yield frame
    if not watch.lost_at_end or last is None:
        return
    with open_video(path) as again:
        one: Any = again.streams[stream.index]
        one.codec_context.thread_type = "NONE"
        if any(name in again.format.name for name in _SEEKABLE):
            _seek(again, last * base_of(stream))
        for frame in _decode(again, one, Timeline.parse(pieces), watch):
            if frame.pts is not None and frame.pts > last:
                yield frame


def _decode(
    container: InputContainer,
    stream: VideoStream,
    timeline: Timeline,
    watch: Watch,
    clock: Clock | None = None,
) -> Iterator[av.VideoFrame]:
    """Decode what can be, with its times on the timeline; ``watch`` learns of the rest, and
    ``clock`` of what is given to the decoder.
    """
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
            timeline.put(packet)
            watch.packet(packet)
            if packet.stream.index != stream.index:
                continue
            if clock is not None:
                clock.sent(packet)
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


def _stay(container: InputContainer, stream: VideoStream, clock: Clock, last: Frame) -> int:
    """How long the last frame stays, in ticks: as the container says, else the least there is.

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
    """Whether the container says how long the stream is, or FFmpeg estimates it from its bytes."""
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

        data = side_data(frame, "DISPLAYMATRIX")
        if not data:
            return cls()
        a, b, _, c, d = (int(v) for v in np.frombuffer(data, np.int32)[:5])
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


def describe(stream: Any) -> str:
    """A stream's codec and language."""
    codec = stream.codec_context.codec.canonical_name if stream.codec_context else "unknown"
    language = stream.metadata.get("language", "und")
    return codec if language == "und" else f"{codec} ({printable(language)})"
