"""Animated pictures as video: GIF, WebP, PNG and AVIF read by Pillow, the first three written."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylepipe.components import Sink
from stylepipe.damage import Damaged
from stylepipe.errors import ItemError
from stylepipe.media.containers import ANIMATIONS
from stylepipe.media.limits import check_size, pillow_unlimited
from stylepipe.media.segments import SegmentFile, read_index, read_payloads
from stylepipe.types import Frame, Info

if TYPE_CHECKING:
    import av
    from PIL.Image import Image

    from stylepipe.media.opener import Opened
    from stylepipe.media.video_read import Span

_BASE = Fraction(1, 1000)
_UNSAID = 100
"""Milliseconds that browsers give a frame of no duration."""
_METADATA = (
    ("icc_profile", "color profile (sRGB is written)"),
    ("exif", "EXIF"),
    ("xmp", "XMP"),
    ("XML:com.adobe.xmp", "XMP"),
    ("comment", "comment"),
)
"""Pillow's name of what the file says about itself, which no animation is written with."""
_SAMPLE = 16
"""Frames looked at to tell the rate."""


def probe(path: Path, span: Span, max_pixels: int) -> Info | None:
    """Describe an animation; None for a still picture, or a film.

    Raises ItemError if it is no picture, if none of it can be decoded, or if its frames have more
    than ``max_pixels``.
    """
    from stylepipe.media.decode import is_lossless
    from stylepipe.media.opener import opened

    with opened(path, max_pixels) as source:
        if source is None or not source.moves:
            return None
        lossless = source.picture.format == "WEBP" and is_lossless(path)
        return _describe(source, span, max_pixels, lossless)


def _describe(source: Opened, span: Span, max_pixels: int, lossless: bool) -> Info:
    image, durations, alpha = source.picture, list[float](), False
    for number, shown in enumerate(_pictures(source, max_pixels)):
        if number == _SAMPLE:
            break
        if isinstance(shown, Exception):
            if number == 0:
                raise shown
            break
        picture, duration = shown
        durations.append(duration)
        if number < 2 and not alpha:
            least, _ = picture.getchannel("A").getextrema()
            alpha = least < 255  # type: ignore[operator]
    total = sum(durations) / 1000
    codec = str(image.format).lower()
    return Info(
        kind="video",
        format=codec,
        width=image.width,
        height=image.height,
        frames=None if span else source.count,
        alpha=alpha,
        rate=Fraction(len(durations) / total).limit_denominator(1001),
        duration=total if source.count == len(durations) and not span else None,
        details={
            "codec": codec,
            "pix_fmt": "rgba" if alpha else "pal8",
            "variable_rate": max(durations) - min(durations) > 1,
            "loop": image.info.get("loop"),
            "lossless": lossless,
            "metadata": [words for key, words in _METADATA if image.info.get(key)],
        },
    )


def frames(
    path: Path, info: Info, span: Span, first: int, max_pixels: int, damaged: Damaged
) -> Iterator[Frame]:
    """Yield the frames of ``span`` from number ``first``, composed, timed in milliseconds.

    ``damaged`` hears if not all of them can be decoded.
    """
    import numpy as np

    from stylepipe.media import icc
    from stylepipe.media.opener import opened

    time = Fraction(0)
    index = 0
    with opened(path, max_pixels) as source:
        if source is None:
            raise ItemError("the file holds a film now, and was an animated picture before")
        for number, shown in enumerate(_pictures(source, max_pixels)):
            if isinstance(shown, Exception):
                detail = " ".join(str(shown).split()) or type(shown).__name__
                damaged(
                    f"cut short or damaged: only {number} of its {source.count} pictures can be "
                    f"decoded ({detail})"
                )
                break
            picture, duration = shown
            begin, time = time, time + Fraction(duration)
            if span.end is not None and begin / 1000 >= span.end:
                return
            if begin / 1000 < span.start:
                continue
            if index >= first:
                array = np.asarray(picture)
                pts = round(begin)
                colors = icc.to_srgb(array[..., :3], source.picture.info.get("icc_profile"))
                yield Frame(
                    np.ascontiguousarray(colors.pixels),
                    np.ascontiguousarray(array[..., 3]) if info.alpha else None,
                    index,
                    pts,
                    _BASE,
                    max(1, round(time) - pts),
                )
            index += 1
        else:
            if source.cut:
                damaged(f"cut short: its end is missing, after {source.count} whole pictures")
    if index == 0:
        raise ItemError("has no frames between --start and --end")


def _pictures(source: Opened, max_pixels: int) -> Iterator[tuple[Image, float] | Exception]:
    """Each composed frame in RGBA and its duration in milliseconds; at damage, what was raised.

    Raises ItemError for a frame of more than ``max_pixels``.
    """
    image = source.picture
    for number in range(source.first, source.first + source.count):
        try:
            with pillow_unlimited():
                image.seek(number)
                check_size(*image.size, max_pixels)  # a GIF may grow on the way
                image.load()
                picture = image.convert("RGBA")
        except ItemError:
            raise
        except Exception as error:  # Pillow raises anything on torn data
            yield error
            return
        yield picture, image.info.get("duration") or _UNSAID


# -- writing --------------------------------------------------------------------------------


class AnimationSink(Sink):
    """An animated picture being written; begun anew by each run, as its frames build on another.

    Encoded frames wait in a work file: how long the last one stays is known at the end only, and
    must be told to the container at the beginning.
    """

    def __init__(
        self, info: Info, path: Path, work: Path, suffix: str, name: str, log: Callable[[str], None]
    ) -> None:
        self._info, self._path, self._suffix = info, path, suffix
        self._made = ANIMATIONS[suffix]
        self._name, self._log = name, log
        self._store = work / "animation.seg"
        self._file = SegmentFile(self._store)
        self._context: Any = None
        self._headers: bytes | None = None
        self._times: list[int] = []
        self._wanted: list[int] = []
        self._duration = 0

    def write(self, frame: Frame) -> None:
        """Quantize where the format asks for it, and encode."""
        from stylepipe.media.video_write import in_a_sentence

        if frame.pts is None or not frame.time_base:
            start = frame.index / (self._info.rate or Fraction(25))
        else:
            start = frame.pts * frame.time_base
        clock, least = self._made.clock, self._made.shortest
        wanted = round(start / clock)
        time = wanted if not self._times else max(wanted, self._times[-1] + least)
        if frame.duration and frame.time_base:
            length = frame.duration * frame.time_base
        else:
            length = 1 / (self._info.rate or Fraction(25))
        with in_a_sentence():
            picture = self._picture(frame)
            picture.pts, picture.time_base = time, clock
            self._times.append(time)
            self._wanted.append(wanted)
            self._duration = max(least, round((start + length) / clock) - wanted)
            if self._context is None:
                self._context = self._encoder(picture)
            self._keep(self._context.encode(picture))

    def close(self) -> None:
        """Write the file."""
        from stylepipe.media.video_write import in_a_sentence

        with in_a_sentence():
            self._keep(self._context.encode(None))
            self._file.finish(
                settings="",
                times=self._times,
                time_base=str(self._made.clock),
                duration=self._duration,
            )
            self._mux()
            self._store.unlink()
        late = (self._times[-1] - self._wanted[-1]) * self._made.clock
        if late > 0:
            self._log(
                f"{self._name}: {self._suffix} cannot show frames this fast; it lasts "
                f"{float(late):.2f} s longer"
            )

    def abort(self) -> None:
        """Delete what was encoded."""
        self._file.drop()

    def _encoder(self, picture: av.VideoFrame) -> Any:
        from av.codec import CodecContext

        context: Any = CodecContext.create(self._made.codec, "w")
        context.width, context.height = picture.width, picture.height
        context.pix_fmt, context.time_base = self._made.pix_fmt, self._made.clock
        context.framerate = self._info.rate or Fraction(25)
        if self._made.codec == "libwebp_anim":
            lossless = self._info.details.get("lossless")
            context.options = {"lossless": "1"} if lossless else {"quality": "90"}
        return context

    def _picture(self, frame: Frame) -> av.VideoFrame:
        import av
        import numpy as np

        from stylepipe.media.encode import eight, quantized

        if self._made.pix_fmt == "pal8":
            indexed: Any = quantized(frame)
            return av.VideoFrame.from_ndarray(indexed, format="pal8")
        pixels = eight(frame.pixels)
        if frame.alpha is None:
            alpha = np.full(pixels.shape[:2], 255, np.uint8)
        else:
            alpha = eight(frame.alpha)
        order = pixels[..., ::-1] if self._made.pix_fmt == "bgra" else pixels
        return av.VideoFrame.from_ndarray(np.dstack((order, alpha)), format=self._made.pix_fmt)

    def _keep(self, packets: list[Any]) -> None:
        for number, packet in enumerate(packets, self._file.count):
            if packet.has_sidedata("new_extradata"):  # the headers of an APNG
                self._headers = bytes(packet.get_sidedata("new_extradata"))
            self._file.add(number, bool(packet.is_keyframe), bytes(packet))

    def _mux(self) -> None:
        import av

        index = read_index(self._store)
        assert index is not None
        loop = self._info.details.get("loop", 0)
        times = self._made.once if loop is None else loop
        options = {self._made.loop: str(times), "fflags": "+bitexact"}
        if self._made.format == "gif":
            options["final_delay"] = str(index.duration)
        elif self._made.format == "apng":
            options["final_delay"] = f"{index.duration}/1000"
        path = f"file:{self._path}"
        with av.open(path, "w", format=self._made.format, container_options=options) as out:
            stream: Any = out.add_stream(self._made.codec, rate=self._info.rate or 25)
            stream.width, stream.height = self._info.width, self._info.height
            stream.pix_fmt, stream.codec_context.time_base = self._made.pix_fmt, self._made.clock
            stream.time_base = self._made.clock
            if self._headers is not None:
                stream.codec_context.extradata = self._headers
            ends = [b - a for a, b in pairwise(index.times)] + [index.duration]
            for number, payload in enumerate(read_payloads(self._store, index)):
                if self._made.codec == "libwebp_anim":
                    payload = _last_duration(payload, index.duration)
                packet = av.Packet(payload)
                packet.stream, packet.time_base = stream, self._made.clock
                packet.pts = packet.dts = index.times[number]
                packet.duration, packet.is_keyframe = ends[number], index.packets[number].key
                out.mux_one(packet)


def _last_duration(webp: bytes, duration: int) -> bytes:
    """Set how long, in milliseconds, the last frame of an animated WebP stays.

    FFmpeg's encoder gives it the mean of the others. Layout: RIFF container of the WebP
    specification; an ANMF chunk holds the duration in 24 bits, 12 bytes from its beginning.
    """
    position, last = 12, None
    while position + 8 <= len(webp):
        tag, size = struct.unpack_from("<4sI", webp, position)
        if tag == b"ANMF":
            last = position + 8 + 12
        position += 8 + size + size % 2
    if last is None:
        return webp
    return webp[:last] + struct.pack("<I", min(duration, 0xFFFFFF))[:3] + webp[last + 3 :]
