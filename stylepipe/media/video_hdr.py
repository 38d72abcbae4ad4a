"""What HDR video says of its light: the display it was graded on, its brightest pixels, the room.

These are the static metadata of HDR10 (SMPTE ST 2086, CTA-861.3) and of HLG phones. Encoders write
them between the pictures only where they have an option for it, and PyAV has no way to give them to
a container; :func:`describe` does, by way of a stream header in memory.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol

from stylepipe.media.video_color import PQ, Color
from stylepipe.media.video_sidedata import side_data

if TYPE_CHECKING:
    import av
    from av.video.codeccontext import VideoCodecContext
    from av.video.stream import VideoStream

_XY, _LUMINANCE, _LUX = 50_000, 10_000, 10_000
"""Steps of a chromaticity, a candela per square meter and a lux in bitstreams and in MP4."""
_SHORT, _LONG = 0xFFFF, 0xFFFFFFFF
"""The largest numbers that boxes and bitstreams hold."""
_USUAL_PEAK, _LEAST_PEAK = 1000, 100
"""cd/m2 of the brightest light where the film does not say, and where it says nonsense."""
_MASTERING = "G({},{})B({},{})R({},{})WP({},{})L({},{})"
_WAY_TO_PICTURES = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")


@dataclass(frozen=True)
class Light:
    """Static HDR metadata; None where the file does not say."""

    mastering: tuple[int, ...] | None = None
    """x and y of green, blue, red and white in 1/50000; greatest and least cd/m2 in 1/10000."""
    content: tuple[int, ...] | None = None
    """cd/m2 of the brightest pixel (MaxCLL) and of the brightest picture's mean (MaxFALL)."""
    ambient: tuple[int, ...] | None = None
    """Lux in 1/10000 where the film is meant to be seen; x and y of that light in 1/50000."""

    def __bool__(self) -> bool:
        return self != Light()

    @classmethod
    def of(cls, frame: av.VideoFrame) -> Light:
        """From a decoded frame, to which FFmpeg's decoders add what the container says."""
        return cls(
            _mastering(side_data(frame, "MASTERING_DISPLAY_METADATA")),
            _content(side_data(frame, "CONTENT_LIGHT_LEVEL")),
            _ambient(side_data(frame, "AMBIENT_VIEWING_ENVIRONMENT")),
        )

    def names(self) -> dict[str, str | None]:
        """What is said, for people and for :meth:`parse`; the first as encoders spell it."""
        return {
            "mastering_display": _spelled(_MASTERING, self.mastering),
            "content_light": _spelled("{},{}", self.content),
            "ambient_light": _spelled("{},{},{}", self.ambient),
        }

    @classmethod
    def parse(cls, names: Mapping[str, Any]) -> Light:
        """Inverse of :meth:`names`; what is missing is not said."""
        numbers = (
            tuple(int(n) for n in re.findall(r"\d+", names.get(key) or "")) or None
            for key in ("mastering_display", "content_light", "ambient_light")
        )
        return cls(*numbers)

    def options(self, codec: str) -> list[str]:
        """``key=value`` for the parameters of x264 or x265; other encoders take none."""
        keys = {
            "libx264": ("mastering-display", "cll"),
            "libx265": ("master-display", "max-cll"),
        }.get(codec)
        values = self.names()
        told = (values["mastering_display"], values["content_light"])
        return [f"{k}={v}" for k, v in zip(keys, told, strict=True) if v] if keys else []

    def boxes(self) -> bytes:
        """As boxes of an MP4 sample entry: ``mdcv``, ``clli``, ``amve`` (ISO/IEC 14496-12)."""
        made = b""
        if self.mastering:
            made += _box(b"mdcv", ">8H2I", self.mastering)
        if self.content:
            made += _box(b"clli", ">2H", self.content)
        if self.ambient:
            made += _box(b"amve", ">I2H", self.ambient)
        return made


def white(color: Color, light: Light) -> float:
    """The share of the signal that painters take for white: below 1 for PQ alone.

    PQ reaches to 10000 cd/m2, which no film is meant to: a painting that used all of it would be
    blinding, and brighter than the film says of itself.
    """
    if color.transfer != PQ:
        return 1.0
    peak = (light.content or (0,))[0] or (light.mastering or (0,))[-2:][0] / _LUMINANCE
    power = (min(max(peak or _USUAL_PEAK, _LEAST_PEAK), 10_000) / 10_000) ** (2610 / 16384)
    signal: float = ((3424 + 77216 * power) / (4096 + 76544 * power)) ** (2523 / 32)
    return signal


class Encoder(Protocol):
    """What :func:`describe` needs of an encoding."""

    @property
    def codec(self) -> str: ...
    @property
    def rate(self) -> str: ...
    @property
    def light(self) -> Light: ...
    def apply(self, context: VideoCodecContext) -> None: ...
    def open(self) -> VideoCodecContext: ...


def describe(stream: VideoStream, encoding: Encoder) -> None:
    """Make an output's stream of pictures say ``encoding.light``, before the header is written.

    PyAV copies what a stream says of its light from another stream only, and this one's boxes are
    made here. Where neither MP4 nor MOV holds such pictures, the stream is left as it was. Raises
    av.FFmpegError if the encoder cannot be opened.
    """
    import av
    from av.bitstream import BitStreamFilterContext

    header = _header(encoding)
    if header is None:
        return
    with av.open(io.BytesIO(_grown(header, encoding.light.boxes()))) as container:
        BitStreamFilterContext("null", container.streams.video[0], stream)
    context: Any = stream.codec_context
    context.extradata, context.codec_tag = None, "\0\0\0\0"  # both as in MP4
    encoding.apply(context)
    context.open()
    context.extradata = encoding.open().extradata  # that of the segments


def _header(encoding: Encoder) -> bytes | None:
    """A file with a stream of such pictures and none in it."""
    import av

    for container in ("mp4", "mov"):
        file = io.BytesIO()
        try:
            with av.open(
                file, "w", format=container, container_options={"movflags": "empty_moov"}
            ) as out:
                stream: Any = out.add_stream(encoding.codec, rate=Fraction(encoding.rate))
                encoding.apply(stream.codec_context)
                out.start_encoding()
        except (av.FFmpegError, ValueError):
            continue
        return file.getvalue()
    return None


def _grown(header: bytes, boxes: bytes) -> bytes:
    """An MP4 header with more boxes at the end of its first sample entry."""
    data, place = bytearray(header), 0
    for kind in _WAY_TO_PICTURES:
        size, name = struct.unpack_from(">I4s", data, place)
        while name != kind:
            place += size
            size, name = struct.unpack_from(">I4s", data, place)
        struct.pack_into(">I", data, place, size + len(boxes))
        place += 8
    place += 8  # version, flags and number of the sample entries
    (size,) = struct.unpack_from(">I", data, place)
    struct.pack_into(">I", data, place, size + len(boxes))
    data[place + size : place + size] = boxes
    return bytes(data)


def _box(kind: bytes, layout: str, numbers: Sequence[int]) -> bytes:
    return struct.pack(">I4s", 8 + struct.calcsize(layout), kind) + struct.pack(layout, *numbers)


def _spelled(form: str, numbers: tuple[int, ...] | None) -> str | None:
    return None if numbers is None else form.format(*numbers)


def _mastering(data: bytes) -> tuple[int, ...] | None:
    """From an AVMasteringDisplayMetadata: x and y of R, G, B, white; least, greatest luminance."""
    if not data:
        return None
    xy = [_steps(data, n, _XY, _SHORT) for n in range(8)]
    least, greatest = (_steps(data, n, _LUMINANCE, _LONG) for n in (8, 9))
    return (*xy[2:6], *xy[:2], *xy[6:], greatest, least)


def _content(data: bytes) -> tuple[int, ...] | None:
    """From an AVContentLightMetadata."""
    return tuple(min(n, _SHORT) for n in struct.unpack_from("=2I", data)) if data else None


def _ambient(data: bytes) -> tuple[int, ...] | None:
    """From an AVAmbientViewingEnvironment."""
    if not data:
        return None
    xy = (_steps(data, n, _XY, _SHORT) for n in (1, 2))
    return (_steps(data, 0, _LUX, _LONG), *xy)


def _steps(data: bytes, position: int, scale: int, most: int) -> int:
    """The AVRational at a position, in steps of 1 / ``scale``; 0, unknown, where it is not set."""
    numerator, denominator = struct.unpack_from("=2i", data, 8 * position)
    return min(max(0, round(Fraction(numerator, denominator) * scale)), most) if denominator else 0
