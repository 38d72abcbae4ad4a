"""The built-in video reader and writer: films by PyAV, animated pictures by Pillow and PyAV."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from stylepipe.components import Context, PixelLimit, Reader, Sink, Writer
from stylepipe.damage import Damaged, refuse
from stylepipe.errors import ItemError, UsageError
from stylepipe.media.containers import ANIMATIONS, FILMS
from stylepipe.media.limits import check_size
from stylepipe.options import Options as BaseOptions
from stylepipe.options import option
from stylepipe.places import is_several
from stylepipe.texts import shown
from stylepipe.types import Fate, Frame, Info, Item

if TYPE_CHECKING:
    from stylepipe.media.video_encode import Encoding
    from stylepipe.media.video_read import Span
    from stylepipe.media.video_streams import StreamPlan

MOVING = (*ANIMATIONS, ".avif", ".avifs")
"""Picture files that may hold several frames."""
Preset = Literal[
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
]


class SpanOptions(PixelLimit):
    """Which part of a film is wanted."""

    start: str | None = option(
        None, "Begin here: seconds, or [hours:]minutes:seconds.", metavar="TIME"
    )
    end: str | None = option(
        None, "Stop before this time: seconds, or [hours:]minutes:seconds.", metavar="TIME"
    )

    def check(self) -> None:
        """Raises UsageError for what is no time, and for an end before the start."""
        start, end = parse_time("start", self.start), parse_time("end", self.end)
        if end is not None and end <= (start or 0):
            raise UsageError(f"end ({self.end}) must be later than start ({self.start or 0})")

    def span(self) -> Span:
        """The part as times."""
        from stylepipe.media.video_read import Span

        start = parse_time("start", self.start)
        return Span(start or Fraction(0), parse_time("end", self.end))


class VideoReader(Reader):
    """Films in any container FFmpeg reads, and animated GIF, WebP, PNG and AVIF."""

    name = "video"
    kind = "video"
    patterns = (
        *FILMS, ".mpg", ".mpeg", ".m2v", ".ts", ".mts", ".m2ts", ".vob", ".wmv", ".asf", ".flv",
        ".ogv", ".ogm", ".3gp", ".3g2", ".mxf", ".dv", ".rm", ".rmvb", ".divx", ".f4v", ".nut",
        ".y4m", ".mjpeg", ".h264", ".h265", ".hevc", ".ivf", ".amv", *MOVING,
    )  # fmt: skip

    class Options(SpanOptions):
        deinterlace: Literal["auto", "no"] = option(
            "auto",
            "Rebuild whole pictures (bwdif) where film is flagged as interlaced, or never.",
        )

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._log: Callable[[str], None] = _silent
        self._damaged: Damaged = refuse

    def open(self, context: Context) -> None:
        self._log, self._damaged = context.log, context.damaged

    def probe(self, path: Path) -> Info | None:
        """Describe a film or an animation; None for a picture of one frame.

        ``details`` holds codec, pix_fmt, color tags (FFmpeg's names), mastering_display,
        content_light and ambient_light of HDR film, rotation (degrees clockwise already applied),
        sample_aspect_ratio, audio, subtitles, variable_rate, interlaced (the first frame is),
        deinterlaced (and will be rebuilt),
        side_data (what its pictures carry beside and painted ones cannot), and what the writer
        needs: stream, origin, pieces (where clocks start anew), start, end. Formats made for
        broadcasting are read to the end, but not decoded. Reports to :attr:`Context.damaged` a film
        that is cut off. Raises ItemError for a file without video, or of which nothing can be
        decoded.
        """
        from stylepipe.media import animation, video_read

        if path.suffix.lower() in MOVING:
            return animation.probe(path, self.options.span(), self.options.max_pixels)
        info = video_read.probe(path, self.options.span(), self._damaged)
        check_size(info.width, info.height, self.options.max_pixels)
        if not info.details["interlaced"]:
            return info
        rebuilt = self.options.deinterlace == "auto"
        return replace(info, details={**info.details, "deinterlaced": rebuilt})

    def frames(self, item: Item, info: Info, start: int = 0) -> Iterator[Frame]:
        """Yield the frames between the options ``start`` and ``end``, from number ``start``.

        Times are the source's own, and all frames are as large as ``info`` says. Reports
        to :attr:`Context.damaged` what is torn or missing, and when.
        """
        from stylepipe.media import animation, video_read

        if item.source.suffix.lower() in MOVING:
            return animation.frames(
                item.source,
                info,
                self.options.span(),
                start,
                self.options.max_pixels,
                self._damaged,
            )
        return video_read.frames(
            item.source,
            info,
            self.options.span(),
            start,
            self._damaged,
            self.options.deinterlace == "auto",
            self._note(item),
        )

    def times(self, item: Item, info: Info) -> Sequence[Fraction]:
        """From the index of MP4 and Matroska; other films are decoded for it."""
        from stylepipe.media import video_read

        if item.source.suffix.lower() in MOVING:
            return super().times(item, info)
        return video_read.times(item.source, info, self.options.span())

    def pick(self, item: Item, info: Info, numbers: Sequence[int]) -> Iterator[Frame]:
        """Searched for from the key frame before, where the container's index allows it."""
        from stylepipe.media import video_read

        if item.source.suffix.lower() in MOVING:
            return super().pick(item, info, numbers)
        return video_read.pick(
            item.source,
            info,
            self.options.span(),
            numbers,
            self._damaged,
            self.options.deinterlace == "auto",
            self._note(item),
        )

    def _note(self, item: Item) -> Callable[[str], None]:
        return lambda note: self._log(f"{item.source.name}: {note}")


class VideoWriter(Writer):
    """MP4, MOV, MKV, WebM and AVI with the source's sound, times and colors; GIF, WebP, APNG.

    Transparency stays in MOV, MKV and the animated pictures; others show the film on white.
    """

    name = "video"
    kind = "video"
    patterns = (*FILMS, *ANIMATIONS)

    class Options(BaseOptions):
        codec: str = option(
            "auto",
            "FFmpeg's video encoder (libx264, libx265, libsvtav1, h264_nvenc ...).",
            metavar="NAME",
        )
        crf: int | None = option(
            None,
            "Quality on the encoder's scale, lower is better; 18 for x264 if not given.",
            min=0,
            max=255,
        )
        preset_x264: Preset = option(
            "veryfast",
            "Speed of x264 and x265 against the size of the file.",
        )
        pix_fmt: str = option(
            "auto",
            "Pixel format; auto keeps the source's chroma and depth where it can.",
            metavar="NAME",
        )

        def check(self) -> None:
            """Raises UsageError for what this FFmpeg lacks: codec, pixel format, crf with it."""
            if (self.codec, self.pix_fmt) != ("auto", "auto"):
                from stylepipe.media.video_encode import ALIASES, check_encoder, check_pix_fmt

                check_encoder(self.codec, self.crf)
                check_pix_fmt(self.pix_fmt)
                codec = ALIASES.get(self.codec, self.codec)
                if "preset_x264" in self.given() and not codec.startswith(("auto", "libx26")):
                    raise UsageError(
                        f"--preset-x264 is for libx264 and libx265, and means nothing to "
                        f"{self.codec}; leave it out"
                    )

    def check_item(self, item: Item, info: Info) -> None:
        """Refuse a film as .png: who asks for that wants pictures, not one that moves."""
        moves = item.source.suffix.lower() in MOVING and not is_several(item.source)
        if item.output.suffix.lower() == ".png" and not moves:
            raise ItemError(
                "a film cannot be written as .png; choose --format png/ for a folder of numbered "
                "pictures, or .apng for an animated picture"
            )

    _log: Callable[[str], None]

    def open(self, context: Context) -> None:
        self._log = context.log

    def open_sink(self, item: Item, info: Info, path: Path, work: Path) -> Sink:
        """Settle encoder and streams, and find what an interrupted run has left in ``work``.

        Raises ItemError if the encoder refuses the clip's size, or the container the codec.
        """
        suffix = path.suffix.lower()
        for note in _absent(info, suffix):
            self._log(f"{item.source.name}: {note}")
        if suffix in ANIMATIONS:
            from stylepipe.media.animation import AnimationSink
            from stylepipe.media.video_color import Color

            if pale := Color.parse(info.details).pale:
                self._log(
                    f"{item.source.name}: {suffix} cannot indicate that {pale}: it will look pale; "
                    "use .mp4"
                )
            return AnimationSink(info, path, work, suffix, item.source.name, self._log)
        from stylepipe.media.video_write import VideoSink

        encoding, plan = self._settle(
            item, info, suffix, lambda note: self._log(f"{item.source.name}: {note}")
        )
        return VideoSink(item, info, path, work, encoding, plan, self._log)

    def open_live(self, item: Item, info: Info, clock: Fraction) -> Sink:
        """Write pictures as they come to ``item.output``, one of ``containers.LIVE``, which plays
        even if the program is killed. ``clock``: seconds of the unit of their times.

        Raises ItemError.
        """
        from stylepipe.media.video_live import LiveSink

        log = lambda note: self._log(f"{item.output.name}: {note}")  # noqa: E731
        encoding, _ = self._settle(item, info, item.output.suffix.lower(), log)
        return LiveSink(item.output, encoding, clock)

    def forecast(self, item: Item, info: Info, log: Callable[[str], None]) -> Sequence[Fate]:
        """Each stream, chapters, timecode and tags, by writing one black picture and reading it."""
        suffix = item.output.suffix.lower()
        for note in _absent(info, suffix):
            log(note)
        if suffix in ANIMATIONS:
            codec = info.details.get("codec", info.format)
            kinds = [
                ("audio", info.details.get("audio")),
                ("subtitle", info.details.get("subtitles")),
            ]
            return [
                Fate(f"video {codec}", "painted", f"as an animated picture, {suffix}"),
                *(Fate(f"{kind} {one}", "left out") for kind, all_ in kinds for one in all_ or ()),
            ]
        from stylepipe.media.video_forecast import forecast

        encoding, plan = self._settle(item, info, suffix, log)
        fates, notes = forecast(item.source, info, suffix, encoding, plan)
        for note in notes:
            log(note)
        return fates

    def _settle(
        self, item: Item, info: Info, suffix: str, log: Callable[[str], None]
    ) -> tuple[Encoding, StreamPlan]:
        """The encoder, and what becomes of the other streams. Raises ItemError."""
        from stylepipe.media import video_encode, video_streams

        o = self.options
        encoding = video_encode.choose(info, suffix, o.codec, o.crf, o.preset_x264, o.pix_fmt, log)
        plan = video_streams.plan(item.source, info, suffix)
        for note in plan.notes:
            log(note)
        return encoding, plan


def _absent(info: Info, suffix: str) -> list[str]:
    """What to report where a film's reader found metadata that no film holds."""
    absent = info.details.get("metadata")
    return [f"left out, as {suffix} cannot hold it: {', '.join(absent)}"] if absent else []


def _silent(line: str) -> None:
    """The log of a reader that was not opened."""


def parse_time(name: str, text: str | None) -> Fraction | None:
    """``12.5``, ``1:02.5`` or ``1:00:02.5`` in seconds; None for None. Raises UsageError."""
    if text is None:
        return None
    try:
        if not re.fullmatch(r"[\d.:]{1,40}", text):  # 1e999999999 would fill the memory
            raise ValueError
        parts = [Fraction(part) for part in text.split(":")]
        if len(parts) > 3 or any(p >= 60 for p in parts[1:]):
            raise ValueError
    except (ValueError, ZeroDivisionError):
        raise UsageError(
            f"{name} takes seconds or [hours:]minutes:seconds, such as 12.5 or 1:02.5, "
            f"not {shown(text)}"
        ) from None
    seconds = Fraction(0)
    for part in parts:
        seconds = seconds * 60 + part
    return seconds
