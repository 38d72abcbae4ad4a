"""Sound, subtitles, attachments and cover: from the source to the output of a stylized video.

They are copied packet by packet. Only what the output's container cannot hold is converted: sound
to the container's usual codec, text subtitles to its text format.
"""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylepipe.media.containers import FILMS
from stylepipe.media.pyav import base_of
from stylepipe.media.timeline import Timeline
from stylepipe.media.video_read import describe, open_video
from stylepipe.media.video_timecode import find_timecode
from stylepipe.media.words import reason, spell
from stylepipe.types import Fate, Info

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer

_KINDS = {"audio": "sound", "subtitle": "subtitles", "attachment": "attached file"}
_TEXT_CODECS = ("subrip", "text", "ass", "ssa", "webvtt", "mov_text")
_BITS_A_CHANNEL = 96_000
_LAYOUTS = {1: "mono", 2: "stereo"}
"""Some sources only count their channels."""
_GAP = Fraction(1, 10)
"""Seconds by which sound may stray from its times before they are taken anew."""
_COVER_FILES = {"mjpeg": ("cover.jpg", "image/jpeg"), "png": ("cover.png", "image/png")}
"""Codec to the name and type that Matroska knows a cover by."""
_CLOCK_OF_MKV = 0.001
"""Seconds to which they round times."""
_TAGS = {"language", "title", "handler_name", "filename", "mimetype", "comment"}
"""Metadata of a stream that stays true; the rest is statistics of the source's bytes."""


@dataclass(frozen=True)
class Cover:
    """A picture that stands for the film in menus."""

    codec: str
    width: int
    height: int
    data: bytes
    """A whole JPEG or PNG file."""


@dataclass
class StreamPlan:
    """What becomes of the source's other streams, by their index."""

    copied: list[int] = field(default_factory=list)
    covers: list[Cover] = field(default_factory=list)
    converted: dict[int, str] = field(default_factory=dict)
    """Index to codec."""
    notes: list[str] = field(default_factory=list)
    """What is not copied untouched, and why; a sentence each."""
    fates: list[Fate] = field(default_factory=list)
    """What becomes of each stream."""


@dataclass(frozen=True)
class Cut:
    """How times of the source become times of the output, in seconds."""

    shift: Fraction
    begin: Fraction | None
    """Packets before this time of the source are left out; None: none are."""
    end: Fraction | None


def plan(source: Path, info: Info, suffix: str) -> StreamPlan:
    """Decide for each stream beside the stylized one what becomes of it in such an output."""
    result = StreamPlan()
    video = info.details.get("stream")
    if video is None:  # an animated picture, or frames of another reader
        return result
    left_out: list[str] = list(info.details.get("side_data", ()))
    covers: list[Any] = []
    if pieces := info.details.get("pieces"):
        result.notes.append(
            f"its times start anew on the way, {len(pieces)} parts are put end to end"
        )
    film = FILMS[suffix]
    with open_video(source) as container:
        timecode = find_timecode(container, container.streams[video])
        chapters = bool(container.chapters()) and film.chapters
        for stream in container.streams:
            if stream.index == video:
                continue
            if stream.type == "data" and stream.metadata.get("timecode") == timecode is not None:
                continue  # the same as the film's own, from which it is written anew
            attached = stream.metadata.get("filename") if stream.type == "attachment" else None
            part = f"{stream.type} {attached or describe(stream)}"
            if _is_cover(stream) and film.covers and _codec(stream) in _COVER_FILES:
                covers.append(stream)
                fate = Fate("cover picture", "copied", "", stream.index)
            elif stream.type not in _KINDS or (
                stream.type == "attachment" and not film.attachments
            ):
                left_out.append(_name(stream, chapters))
                fate = Fate(left_out[-1], "left out", "", stream.index)
            elif _holds(source, stream.index, suffix):
                result.copied.append(stream.index)
                fate = Fate(part, "copied", "", stream.index)
            else:
                kind, codec = _KINDS[stream.type], _codec(stream)
                why = f"{suffix} cannot hold {kind} in {codec}"
                if target := _conversion(stream, suffix):
                    result.converted[stream.index] = target
                    result.notes.append(f"{why}: made {target}")
                    fate = Fate(part, "converted", f"to {target}, as {why}", stream.index)
                else:
                    result.notes.append(f"{why}: left out")
                    fate = Fate(part, "left out", why, stream.index)
            result.fates.append(fate)
        result.covers = list(_covers(container, covers))
    if left_out:
        result.notes.append(f"left out: {', '.join(left_out)}")
    result.notes = list(dict.fromkeys(result.notes))
    return result


def _holds(source: Path, index: int, suffix: str) -> bool:
    """Whether the container takes the stream as it is, tried on a few packets in memory."""
    import av

    try:
        with (
            open_video(source) as container,
            av.open(io.BytesIO(), "w", format=FILMS[suffix].format) as trial,
        ):
            stream: Any = container.streams[index]
            target = trial.add_stream_from_template(stream)
            if stream.type == "audio":  # subtitles may be far between: their codec must do
                if not FILMS[suffix].plays_pcm and _codec(stream).startswith("pcm_"):
                    return False
                packets = (p for p in container.demux(stream) if p.size)
                for packet in itertools.islice(packets, 3):
                    packet.stream = target
                    trial.mux_one(packet)
    except (av.FFmpegError, ValueError):
        return False
    return True


def _is_cover(stream: Any) -> bool:
    from av.stream import Disposition

    kind = stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails)
    return bool(stream.type == "video" and kind == Disposition.attached_pic)


def _covers(container: InputContainer, streams: list[Any]) -> Iterator[Cover]:
    """Read the streams' one packet each; containers hand them out before all others."""
    waiting = {stream.index for stream in streams}
    for packet in container.demux(streams) if streams else ():
        stream: Any = packet.stream
        if packet.size and stream.index in waiting:
            yield Cover(_codec(stream), stream.width, stream.height, bytes(packet))
            waiting.remove(stream.index)
        if not waiting:
            return


def _name(stream: Any, chapters: bool) -> str:
    """What people call a stream that is left out; ``chapters`` are kept in another way."""
    from av.stream import Discard, Disposition

    told = {key.lower(): value for key, value in stream.metadata.items()}
    if stream.type == "video":
        if _is_cover(stream):
            able = " and ".join(suffix for suffix, film in FILMS.items() if film.covers)
            return f"cover picture ({able} can hold one)"
        if stream.disposition & Disposition.timed_thumbnails:
            return "chapter pictures"
        return f"another video ({_codec(stream)}, {stream.width}x{stream.height})"
    if stream.type == "data" and stream.discard == Discard.all:  # FFmpeg's mark for such a track
        return f"track of chapter titles{' (chapters are kept)' if chapters else ''}"
    if "timecode" in told:
        return f"timecode {told['timecode']} of another track"
    if stream.type == "attachment":
        return f"attached file {told.get('filename', 'without a name')}"
    what = told.get("handler_name") or stream.name or "unknown"
    return f"{stream.type} ({what.strip()})"


def _codec(stream: Any) -> str:
    return stream.codec_context.codec.canonical_name if stream.codec_context else "unknown coding"


def _conversion(stream: Any, suffix: str) -> str | None:
    if stream.codec_context is None:
        return None
    if stream.type == "audio":
        return FILMS[suffix].sound
    return FILMS[suffix].text if _codec(stream) in _TEXT_CODECS else None


def copy_tags(source: Any, target: Any) -> None:
    """Language, title, default and forced marks of a stream."""
    target.metadata.update({k: v for k, v in source.metadata.items() if k.lower() in _TAGS})
    target.disposition = source.disposition


class Streams:
    """The other streams on their way from an open source into an open output."""

    def __init__(
        self,
        container: InputContainer,
        out: OutputContainer,
        plan: StreamPlan,
        timeline: Timeline,
        suffix: str,
    ) -> None:
        self._container, self._timeline, self._film = container, timeline, FILMS[suffix]
        self._feeds: dict[int, Callable[[Any], Iterator[Any]]] = {}
        self._covers = [packet for cover in plan.covers for packet in _attached(cover, out)]
        self.notes: list[str] = []
        for index in sorted([*plan.copied, *plan.converted]):
            source = container.streams[index]
            if index in plan.copied:
                target = out.add_stream_from_template(source)
                feed = _copy(target)
            elif source.type == "audio":
                target, feed = _sound(source, out, plan.converted[index])
            else:
                target, feed = _text(source, out, plan.converted[index])
            copy_tags(source, target)
            self._feeds[index] = feed

    def packets(self, cut: Cut) -> Iterator[tuple[float, Any]]:
        """Decoding time in seconds, and packet, about in that order.

        Unless the container holds times before zero, sound from before it (a codec's run-up, which
        is not heard) is left out; else it would move everything, pictures included.
        """
        import av

        yield from ((float("-inf"), packet) for packet in self._covers)
        if not self._feeds:
            return
        incoming = self._container.demux([self._container.streams[i] for i in self._feeds])
        time = 0.0
        latest: dict[int, int] = {}
        torn: set[int] = set()
        while True:
            try:
                packet: Any = next(incoming, None)
                if packet is None:
                    return
                flush = packet.dts is None and packet.pts is None
                if not flush:
                    self._timeline.put(packet)
                    if not _follows(packet, latest) or not _inside(packet, cut):
                        continue
            except av.FFmpegError as error:
                self.notes.append(f"sound and subtitles end at {spell(time)}: {reason(error)}")
                return
            index = packet.stream.index
            try:
                outgoing = list(self._feeds[index](packet))
            except av.FFmpegError:  # this packet cannot be decoded, the next ones may be
                if index not in torn:
                    self.notes.append(f"sound is damaged from {spell(time)} on: gaps are left")
                    torn.add(index)
                continue
            for ready in outgoing:
                base = base_of(ready)
                shift = round(cut.shift / base)
                ready.pts = None if ready.pts is None else ready.pts - shift
                ready.dts = None if ready.dts is None else ready.dts - shift
                time = float((ready.pts if ready.dts is None else ready.dts) * base)
                if self._film.iso_media or time >= -self._run_up(ready):
                    yield time, ready

    def _run_up(self, packet: Any) -> float:
        """Seconds before zero at which the output's packets of a stream may begin."""
        context = packet.stream.codec_context
        if not self._film.has_preroll or packet.stream.type != "audio" or context is None:
            return 0
        samples: int = context.delay
        if not samples and context.codec.canonical_name == "opus":  # an encoder does not say
            header = context.extradata or b""
            samples = int.from_bytes(header[10:12], "little")  # RFC 7845: pre-skip
        return samples / context.sample_rate + _CLOCK_OF_MKV if samples else 0


def _follows(packet: Any, latest: dict[int, int]) -> bool:
    """Whether the packet comes after those of its stream before it: no container takes others.

    Where joined parts overlap, the earlier one is heard.
    """
    index, time = packet.stream.index, packet.pts if packet.dts is None else packet.dts
    if time < latest.get(index, time) or (
        time == latest.get(index) and packet.stream.type == "audio"
    ):
        return False
    latest[index] = time
    return True


def _attached(cover: Cover, out: OutputContainer) -> Iterator[Any]:
    """Give the output a cover, and yield the packet of it that is to be written, if any."""
    import av
    from av.stream import Disposition

    if out.format.name == "matroska":
        out.add_attachment(*_COVER_FILES[cover.codec], cover.data)
        return
    stream: Any = out.add_mux_stream(cover.codec, width=cover.width, height=cover.height)
    stream.disposition, stream.time_base = Disposition.attached_pic, Fraction(1, 1000)
    packet: Any = av.Packet(cover.data)
    packet.stream, packet.time_base = stream, stream.time_base
    packet.pts = packet.dts = 0
    packet.is_keyframe = True
    yield packet


def _inside(packet: Any, cut: Cut) -> bool:
    """Whether the packet falls into the cut. Words that began before it are made to begin at it."""
    base = base_of(packet)
    start = (packet.dts if packet.pts is None else packet.pts) * base
    if cut.end is not None:
        if start >= cut.end:
            return False
        if packet.stream.type == "subtitle" and packet.duration:
            packet.duration = min(packet.duration, round((cut.end - start) / base))
    if cut.begin is None or start >= cut.begin:
        return True
    until = start + (packet.duration or 0) * base
    if packet.stream.type != "subtitle" or until <= cut.begin:
        return False
    packet.pts = packet.dts = round(cut.begin / base)
    packet.duration = round((until - cut.begin) / base)
    return True


def _copy(target: Any) -> Callable[[Any], Iterator[Any]]:
    def feed(packet: Any) -> Iterator[Any]:
        if packet.dts is not None or packet.pts is not None:
            packet.stream = target
            yield packet

    return feed


def _sound(
    source: Any, out: OutputContainer, codec: str
) -> tuple[Any, Callable[[Any], Iterator[Any]]]:
    import av
    from av.audio.resampler import AudioResampler

    rate = 48_000 if codec == "libopus" else source.rate
    target: Any = out.add_stream(codec, rate=rate)
    channels = source.layout.nb_channels
    target.layout = _LAYOUTS.get(channels, source.layout.name)
    target.bit_rate = _BITS_A_CHANNEL * channels
    resampler: Any = None
    heard: int | None = None

    def timed(frame: Any) -> Any:
        """Count samples: decoders leave times out, and coarse clocks would make gaps."""
        nonlocal heard
        rate = frame.sample_rate
        time = None if frame.pts is None else frame.pts * base_of(frame)
        if heard is None or (time is not None and abs(time - Fraction(heard, rate)) > _GAP):
            heard = round((time or 0) * rate)
        frame.pts, frame.time_base = heard, Fraction(1, rate)
        heard += frame.samples
        return frame

    def feed(packet: Any) -> Iterator[Any]:
        nonlocal resampler, heard
        if resampler is None:
            out.start_encoding()  # opens the encoder, which then knows its frame size
            context = target.codec_context
            resampler = AudioResampler(
                context.format, context.layout, context.rate, context.frame_size or None
            )
        last = packet.dts is None and packet.pts is None
        try:
            decoded = packet.decode()
        except av.FFmpegError:
            heard = None  # what was lost must not move what follows
            raise
        frames = [timed(frame) for frame in decoded]
        for frame in [*frames, None] if last else frames:
            for piece in resampler.resample(frame):
                if piece is not None:
                    yield from _sent(target.encode(piece))
        if last:
            yield from _sent(target.encode(None))

    def _sent(packets: list[Any]) -> Iterator[Any]:
        for packet in packets:
            packet.stream = target
            yield packet

    return target, feed


_ASS_HEADER = (
    b"[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\nFormat: Name, Fontname, Fontsize\n"
    b"Style: Default,Arial,16\n\n[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, "
    b"MarginR, MarginV, Effect, Text\n"
)


def _text(
    source: Any, out: OutputContainer, codec: str
) -> tuple[Any, Callable[[Any], Iterator[Any]]]:
    import av

    if codec == "mov_text":
        target: Any = out.add_stream(codec)
        target.codec_context.subtitle_header = _ASS_HEADER
        target.codec_context.time_base = Fraction(1, 1000)
    else:
        target = out.add_mux_stream(codec)
    target.time_base = Fraction(1, 1000)
    coding = _codec(source)

    def feed(packet: Any) -> Iterator[Any]:
        if packet.pts is None:
            return
        words = plain_text(coding, bytes(packet))
        if not words:
            return  # such packets only fill the time between two lines
        data = words.encode()
        ready: Any = av.Packet(len(data).to_bytes(2, "big") + data if codec == "mov_text" else data)
        ready.stream, ready.time_base = target, base_of(packet)
        ready.pts = ready.dts = packet.pts
        ready.duration = packet.duration
        yield ready

    return target, feed


def plain_text(coding: str, data: bytes) -> str:
    """The words of one packet of text subtitles, without styling."""
    if coding == "mov_text":
        return data[2 : 2 + int.from_bytes(data[:2], "big")].decode(errors="replace")
    text = data.decode(errors="replace")
    if coding in ("ass", "ssa"):
        text = re.sub(r"\{[^}]*\}", "", text.split(",", 8)[-1])
        return text.replace(r"\N", "\n").replace(r"\n", "\n").replace(r"\h", " ").strip()
    return re.sub(r"</?[A-Za-z][^>]*>", "", text).strip()
