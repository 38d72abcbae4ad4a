"""Encoders: which one, with which settings, in which pixel format."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, Any

from stylepipe.errors import ItemError, UsageError, suggest
from stylepipe.media.containers import FILMS, Film
from stylepipe.media.video_color import FULL, Color, bits, has_alpha, is_rgb
from stylepipe.media.video_hdr import Light, describe, white
from stylepipe.types import Info

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.codeccontext import VideoCodecContext
    from av.video.format import VideoFormat

ALIASES = {
    "h264": "libx264",
    "x264": "libx264",
    "h265": "libx265",
    "hevc": "libx265",
    "x265": "libx265",
    "vp8": "libvpx",
    "vp9": "libvpx-vp9",
    "av1": "libsvtav1",
    "prores": "prores_ks",
}

USUAL = (
    "libx264", "libopenh264", "libx265", "libsvtav1", "libvpx-vp9", "prores_ks", "ffv1", "mpeg4",
    "mjpeg", "h264_nvenc", "hevc_nvenc", "av1_nvenc", "h264_qsv", "hevc_qsv", "h264_videotoolbox",
    "hevc_videotoolbox",
)  # fmt: skip
"""Encoders worth naming, as far as they are there; FFmpeg may bring more than a hundred."""
_THREADS = "4"
"""Of an encoder. The bytes depend on it, so it must not follow the machine; so does the memory."""
_SLICING = ("mpeg4", "libxvid", "mpeg2video", "mpeg1video", "msmpeg4", "flv", "wmv2", "mjpeg")
"""Encoders on a scale from 2 to 31 that cut each picture into a slice for each thread."""
_LEAN = {"veryfast": {"partitions": "i4x4,i8x8", "b_strategy": "0"}}
"""x264 without what painted films do not reward: on five of them at one crf, 69 % of the preset's
time, files 1 to 3 % larger, PSNR 0.01 to 0.2 dB higher. Slower presets are asked for their size."""
_HDR_BITS = 10
"""With fewer, the steps of PQ and HLG are seen."""
_FLATTENED = ("libvpx", "libx265")
"""Encoders that take alpha, but keep it beside the packets' bytes, or in none of them."""


@dataclass(frozen=True)
class Encoding:
    """Everything that decides what an encoder makes of given pixels."""

    codec: str
    """FFmpeg's name of the encoder."""
    pix_fmt: str
    width: int
    height: int
    rate: str
    color: Color
    light: Light
    white: float
    """The share of the signal that painted white takes."""
    aspect: str | None
    """Sample aspect ratio, ``a:b``."""
    global_header: bool
    tag: str | None
    options: tuple[tuple[str, str], ...]

    def settings(self) -> str:
        """A line that differs wherever the encoded bytes might."""
        import av

        return json.dumps([asdict(self), av.__version__, av.library_versions], sort_keys=True)

    def apply(self, context: VideoCodecContext) -> None:
        """Set up an encoder context that is not open yet.

        The encoder sees a constant rate and frame numbers; the true times are the muxer's matter.
        """
        context.width, context.height, context.pix_fmt = self.width, self.height, self.pix_fmt
        context.framerate = Fraction(self.rate)
        context.time_base = 1 / Fraction(self.rate)
        context.bit_rate = 0
        context.color_range = self.color.range
        context.colorspace = self.color.matrix
        context.color_primaries = self.color.primaries
        context.color_trc = self.color.transfer
        if self.aspect:
            context.sample_aspect_ratio = Fraction(self.aspect.replace(":", "/"))
        if self.global_header:
            from av.codec.context import Flags

            context.flags |= Flags.global_header
        if self.tag:
            context.codec_tag = self.tag
        context.thread_type = "AUTO"  # PyAV's default would cut each picture into slices
        context.options = dict(self.options)

    def open(self) -> VideoCodecContext:
        """A new open encoder. Raises ItemError if FFmpeg refuses."""
        import av
        from av.codec import CodecContext

        context: Any = CodecContext.create(self.codec, "w")
        try:
            self.apply(context)
            context.open()
        except (av.FFmpegError, ValueError, OSError) as error:
            raise ItemError(
                f"the encoder {self.codec} refuses {self.width}x{self.height} {self.pix_fmt} "
                f"({error.strerror if isinstance(error, OSError) else error}); choose another "
                "--codec or --pix-fmt"
            ) from error
        return context  # type: ignore[no-any-return]

    def add_to(self, out: OutputContainer) -> Any:
        """A new stream of an output that has no header yet, for such pictures.

        Raises av.FFmpegError or ValueError if the container cannot hold it.
        """
        stream: Any = out.add_stream(self.codec, rate=Fraction(self.rate))
        self.apply(stream.codec_context)
        if self.light:
            describe(stream, self)
        return stream


def check_encoder(name: str, crf: int | None = None) -> None:
    """Raises UsageError if no video encoder of that name works here, or it takes no ``crf``."""
    if name == "auto":
        return
    if is_encoder(codec := ALIASES.get(name, name)):
        if lacks_device(codec):
            raise UsageError(
                f"the encoder {name} needs a device (or its driver) that is not here; "
                f"usual ones that work: {', '.join(_usual())}"
            )
        _quality(codec, crf, "veryfast")
        return
    known = [*_usual(), *ALIASES, *sorted(_encoders())]
    raise UsageError(
        f"no video encoder {name!r} here{suggest(name, known)}; usual ones: {', '.join(_usual())}"
    )


def check_pix_fmt(name: str) -> None:
    """Raises UsageError if FFmpeg knows no such pixel format."""
    if name == "auto":
        return
    from av.video.format import VideoFormat

    try:
        VideoFormat(name)
    except ValueError:
        common = ("yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le")
        raise UsageError(
            f"unknown pixel format {name!r}{suggest(name, common)}; common ones: "
            f"{', '.join(common)}"
        ) from None


def is_encoder(name: str) -> bool:
    """Whether the FFmpeg inside PyAV has a video encoder of that name."""
    from av.codec import Codec

    try:
        return bool(Codec(name, "w").type == "video")
    except ValueError:  # FFmpeg knows no such encoder
        return False


@cache
def lacks_device(name: str) -> bool:
    """Whether a hardware encoder finds no device: FFmpeg lists NVENC and its like everywhere."""
    import av
    from av.codec import Codec, CodecContext
    from av.codec.codec import Capabilities

    hardware = Capabilities.hardware.value | Capabilities.hybrid.value
    if not is_encoder(name) or not Codec(name, "w").capabilities & hardware:
        return False
    context: Any = CodecContext.create(name, "w")
    context.width = context.height = 256  # some devices refuse smaller pictures
    context.framerate, context.time_base = Fraction(25), Fraction(1, 25)
    formats = (f.name for f in context.codec.video_formats or () if f.components)  # in memory
    context.pix_fmt = next(formats, "nv12")
    try:
        context.open()
    except (av.FFmpegError, ValueError, OSError):
        return True
    return False


def _encoders() -> Iterable[str]:
    from av.codec import codecs_available

    return (n for n in codecs_available if is_encoder(n) and not lacks_device(n))


def _usual() -> list[str]:
    """Those of the usual encoders that are here, devices included."""
    from av.codec import codecs_available

    return [name for name in USUAL if name in codecs_available and not lacks_device(name)]


def choose(
    info: Info,
    suffix: str,
    codec: str,
    crf: int | None,
    preset: str,
    pix_fmt: str,
    log: Callable[[str], None],
) -> Encoding:
    """Settle the encoder for a clip; the first pixel format that the encoder accepts is taken.

    Where the encoder is chosen here and knows no ``crf``, that is reported and left out. Raises
    ItemError if no pixel format is accepted or the container cannot hold the codec, UsageError
    if a chosen encoder knows no ``crf``.
    """
    from av.codec import codecs_available
    from av.video.format import VideoFormat

    film = FILMS[suffix]
    if not film.has_times and info.details.get("variable_rate"):
        raise ItemError(f"its frames come at irregular times, which {suffix} cannot hold; use .mp4")
    source = VideoFormat(info.details.get("pix_fmt") or _plain_format(info))
    color = Color.parse(info.details)
    name = _codec_for(film, codec, info.alpha, color.hdr)
    if name not in codecs_available:
        found = _usual()
        raise ItemError(
            f"the FFmpeg inside PyAV has no encoder {name} here; choose another, such as "
            f"--codec {found[0] if found else 'libopenh264'}"
        )
    try:
        options = _quality(name, crf, preset)
    except UsageError:
        if codec != "auto":
            raise
        log(f"{suffix} is encoded with {name} here, which has no quality scale; crf is left out")
        options = _quality(name, None, preset)
    options["threads"] = "1" if name in _SLICING else _THREADS
    if not film.has_times:
        options["bf"] = "0"  # pictures must be stored in the order they are shown
    light = Light.parse(info.details)
    if told := light.options(name):
        params = name.removeprefix("lib") + "-params"
        options[params] = ":".join([*filter(None, [options.get(params)]), *told])
    rate = (info.rate or Fraction(25)).limit_denominator(65535)
    tagless = not film.has_color_tags and not name.startswith(("libx26", "h264", "hevc"))
    refusal: ItemError | None = None
    for candidate in [pix_fmt] if pix_fmt != "auto" else _pixel_formats(name, source, info):
        target = VideoFormat(candidate)
        if has_alpha(target) and name.startswith(_FLATTENED):
            refusal = ItemError(
                f"{name} would lose the alpha of {candidate}; leave --pix-fmt away, or use .mov"
            )
            continue
        encoding = Encoding(
            codec=name,
            pix_fmt=candidate,
            width=info.width,
            height=info.height,
            rate=str(rate),
            color=Color() if tagless else _tags(color, source, target, info),
            light=Light() if tagless else light,
            white=white(color, light),
            aspect=info.details.get("sample_aspect_ratio"),
            global_header=film.global_header,
            tag="hvc1" if film.iso_media and ("265" in name or "hevc" in name) else None,
            options=tuple(sorted(options.items())),
        )
        try:
            encoding.open()
        except ItemError as error:
            refusal = refusal or error
            continue
        if not _holds(suffix, encoding):
            others = [s for s in FILMS if _holds(s, encoding)]
            raise ItemError(
                f"{suffix} cannot hold what {name} makes; leave --codec away"
                f"{', or use ' + ' or '.join(others) if others else ''}"
            )
        if info.alpha and not has_alpha(target):
            other = "leave --codec away" if film.alpha_codec else ".mov can"
            log(f"{suffix} with {name} cannot be transparent: shown on white; {other}")
        if tagless and color.pale:
            log(
                f"{suffix} with {name} cannot indicate that {color.pale}: it will look pale; "
                "use .mp4"
            )
        return encoding
    raise refusal or ItemError(f"the encoder {name} takes no pixel format that can be made here")


def _holds(suffix: str, encoding: Encoding) -> bool:
    """Whether the container takes such a stream: it writes its header for one, in memory."""
    import av

    try:
        with av.open(io.BytesIO(), "w", format=FILMS[suffix].format) as trial:
            encoding.add_to(trial)
            trial.start_encoding()
    except (av.FFmpegError, ValueError):
        return False
    return True


def _plain_format(info: Info) -> str:
    return "yuv420p" if info.depth == 8 else "yuv420p10le"


def _codec_for(film: Film, codec: str, alpha: bool, hdr: bool) -> str:
    if codec != "auto":
        return ALIASES.get(codec, codec)
    if alpha and film.alpha_codec:
        return film.alpha_codec
    return film.hdr_codec if hdr else film.codec


def _quality(codec: str, crf: int | None, preset: str) -> dict[str, str]:
    """Encoder options for a quality; without ``crf``, what looks like the source in each."""

    def q(default: int) -> str:
        return str(default if crf is None else crf)

    if codec in ("libx264", "libx264rgb"):
        # x264's macroblock tree reads memory it never wrote where the width in macroblocks is no
        # multiple of 8 (seen with AVX-512): now and then other bytes for the same pictures.
        return {"crf": q(18), "preset": preset, "mbtree": "0"} | _LEAN.get(preset, {})
    if codec == "libx265":
        return {"crf": q(20), "preset": preset, "x265-params": "frame-threads=3:log-level=error"}
    if codec == "libvpx-vp9":
        return {"crf": q(24), "deadline": "good", "cpu-used": "4", "row-mt": "1"}
    if codec == "libvpx":
        # VP8 caps the rate even at constant quality; its hidden frames have no time of their own.
        return {"crf": q(10), "b": "50M", "deadline": "good", "cpu-used": "4", "auto-alt-ref": "0"}
    if codec == "libsvtav1":
        return {"crf": q(24), "preset": "8"}
    if codec in ("libaom-av1", "librav1e"):
        return {"crf": q(24), "cpu-used": "6"} if codec == "libaom-av1" else {"qp": q(80)}
    if codec.endswith("_nvenc"):
        return {"rc": "vbr", "cq": q(19), "preset": "p5"}
    if codec.endswith("_qsv"):
        return {"global_quality": q(19)}
    if codec.endswith("_amf"):
        return {"rc": "cqp", "qp_i": q(18), "qp_p": q(20), "qp_b": q(22)}
    if codec in ("h264_videotoolbox", "hevc_videotoolbox"):
        # Its scale is 0 to 100, higher is better; --crf is taken as on x264's, 51 to 0.
        best = round(100 * (1 - min(18 if crf is None else crf, 51) / 51))
        return {"flags": "+qscale", "global_quality": str(118 * best)}
    if codec in _SLICING:
        return {"flags": "+qscale", "global_quality": str(118 * (2 if crf is None else crf))}
    if crf is not None:
        raise UsageError(f"the encoder {codec} has no constant-quality scale; leave --crf away")
    return {}


def _pixel_formats(codec: str, source: VideoFormat, info: Info) -> list[str]:
    """The encoder's formats, the one that keeps most of the source's chroma and depth first."""
    from av.codec import Codec

    wanted_chroma = (
        (2, 2) if is_rgb(source) and source.name in ("pal8", "bgra", "rgba") else (_chroma(source))
    )

    least = _HDR_BITS if Color.parse(info.details).hdr else 0
    wanted_bits = max(bits(source), least)

    def cost(target: VideoFormat) -> tuple[bool | int | str, ...]:
        chroma, missing = _chroma(target), wanted_bits - bits(target)
        return (
            info.alpha and not has_alpha(target),
            is_rgb(target),
            max(0, missing),
            chroma[0] > wanted_chroma[0] or chroma[1] > wanted_chroma[1],
            has_alpha(target) and not info.alpha,
            max(0, -missing),
            -chroma[0] * chroma[1],
            # Planar before interleaved, plain formats before the deprecated full-range ones.
            target.name.startswith("yuvj"),
            not target.name.startswith("yuv"),
            target.name,
        )

    known = [f for f in Codec(codec, "w").video_formats or () if f.components]
    unwanted = ("bayer",) if _gray(source) else ("bayer", "gray", "ya", "mono")
    usable = [f for f in known if not f.name.endswith("be") and not f.name.startswith(unwanted)]
    if not usable:
        raise ItemError(f"the encoder {codec} takes no pictures from memory; choose another")
    return [f.name for f in sorted(usable, key=cost)]


def _chroma(pix_fmt: VideoFormat) -> tuple[int, int]:
    """How many luma columns and rows share one chroma sample; gray counts as 4:2:0."""
    if _gray(pix_fmt):
        return 2, 2
    return 16 // pix_fmt.chroma_width(16), 16 // pix_fmt.chroma_height(16)


def _gray(pix_fmt: VideoFormat) -> bool:
    return len(pix_fmt.components) < 3 and not is_rgb(pix_fmt)


def _tags(color: Color, source: VideoFormat, target: VideoFormat, info: Info) -> Color:
    """What the output says of its colors: the source's tags, as far as they fit the target.

    Untagged stays untagged: players guess the same for the output as for the source.
    """
    if is_rgb(target):
        return Color(FULL, 0, color.primaries, color.transfer)
    if target.name.startswith("yuvj"):
        return Color(FULL, color.matrix, color.primaries, color.transfer)
    if is_rgb(source) or color.matrix == 0:
        matrix = 1 if color.swscale(info.width, info.height) == 1 else 6
        primaries = color.primaries if color.primaries != 2 else 1
        transfer = color.transfer if color.transfer != 2 else 1
        return Color(1, matrix, primaries, transfer)
    return Color(
        color.range or (FULL if source.name.startswith(("gray", "ya")) else 0),
        color.matrix,
        color.primaries,
        color.transfer,
    )
