"""Joining encoded segments and the source's other streams into the finished file.

Pictures get their true times here; sound and subtitles are copied packet by packet.
"""

from __future__ import annotations

import heapq
import io
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylepipe.errors import ItemError
from stylepipe.media.segments import Index, read_index, read_payloads
from stylepipe.media.video_encode import FORMATS, Encoding
from stylepipe.media.video_read import open_video, reason, spell
from stylepipe.types import Info

if TYPE_CHECKING:
    import av
    from av.container import InputContainer, OutputContainer

_CONTAINER_OWN = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration"}
"""Metadata keys that describe the source file and not the work in it."""
_STREAM_TAGS = {"language", "title", "handler_name", "filename", "mimetype", "comment"}
"""Metadata of a stream that stays true; the rest is statistics of the source's bytes."""
_NEGATIVE = (".mp4", ".mov", ".m4v")
"""Containers whose edit lists give a meaning to times before zero."""
_SPOKEN = {"audio": "sound", "subtitle": "subtitles", "attachment": "an attached file"}


@dataclass
class Plan:
    """Which streams of the source go into the output."""

    copied: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What cannot go with it and why, a sentence each."""


def plan(source: Path, info: Info, suffix: str) -> Plan:
    """Decide which streams beside the stylized one go into an output of that suffix."""
    result = Plan()
    video = info.details.get("stream")
    if video is None:  # an animated picture, or frames of another reader
        return result
    left_out: list[str] = []
    with open_video(source) as container, _writing(io.BytesIO(), suffix) as trial:
        for stream in container.streams:
            if stream.index == video:
                continue
            if stream.type not in _SPOKEN or (stream.type == "attachment" and suffix != ".mkv"):
                left_out.append(stream.type)
                continue
            try:
                trial.add_stream_from_template(stream)
            except ValueError:
                codec = stream.codec_context.codec.canonical_name if stream.codec_context else "?"
                result.notes.append(
                    f"{_SPOKEN[stream.type]} ({codec}) cannot be stored in {suffix} and is left "
                    "out; a .mkv output keeps it"
                )
            else:
                result.copied.append(stream.index)
    if left_out:
        kinds = ", ".join(f"{left_out.count(k)} {k}" for k in sorted(set(left_out)))
        result.notes.append(f"streams left out of the output: {kinds}")
    return result


def assemble(
    path: Path, segments: Sequence[Path], encoding: Encoding, source: Path, copied: Sequence[int],
    info: Info,
) -> list[str]:
    """Write the file ``path`` from finished segments and the source's ``copied`` streams.

    Returns notes for the user. Raises ItemError if it cannot be written.
    """
    import av

    times = _Times.scan(segments, info)
    notes: list[str] = []
    try:
        with ExitStack() as stack:
            suffix = path.suffix.lower()
            clock = 1 / Fraction(encoding.rate) if suffix == ".avi" else times.base
            out = stack.enter_context(_writing(path, suffix, clock))
            video = out.add_stream(encoding.codec, rate=Fraction(encoding.rate))
            encoding.apply(video.codec_context)
            video.time_base = clock
            packets = [_pictures(segments, times, video)]
            if info.details.get("stream") is not None:
                container = stack.enter_context(open_video(source))
                _copy_tags(container.streams[info.details["stream"]], video)
                others = {i: out.add_stream_from_template(container.streams[i]) for i in copied}
                for i, stream in others.items():
                    _copy_tags(container.streams[i], stream)
                out.metadata.update(
                    {k: v for k, v in container.metadata.items() if k.lower() not in _CONTAINER_OWN}
                )
                _copy_chapters(container, out, times)
                packets.append(_copies(container, others, times, suffix in _NEGATIVE, notes))
            for _, packet in heapq.merge(*packets, key=lambda pair: pair[0]):
                out.mux_one(packet)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise ItemError(f"the output cannot be written: {reason(error)}") from error
    return notes


def _writing(target: Path | io.BytesIO, suffix: str, base: Fraction | None = None) -> Any:
    import av

    options = {"fflags": "+bitexact"}  # no random numbers and no dates: same input, same bytes
    if suffix in (".mp4", ".mov", ".m4v"):
        options["movflags"] = "+faststart"
        if base is not None and base.numerator == 1:
            options["video_track_timescale"] = str(base.denominator)
    file = target if isinstance(target, io.BytesIO) else f"file:{target}"
    return av.open(file, "w", format=FORMATS[suffix], container_options=options)


@dataclass(frozen=True)
class _Times:
    """How the output's times follow from the source's."""

    base: Fraction
    shift: Fraction
    """Seconds to take away from every time of the source."""
    begin: Fraction | None
    """Source time before which other streams are cut; None: nowhere."""
    end: Fraction | None
    delay: int
    """How many pictures decoding runs ahead of showing (B-frames)."""
    head: tuple[int, ...]
    """The first ``delay + 1`` presentation times, in ``base``."""

    @classmethod
    def scan(cls, segments: Sequence[Path], info: Info) -> _Times:
        delay = 0
        first: Index | None = None
        for path in segments:
            index = _index(path)
            first = first or index
            delay = max(delay, *(i - p.position for i, p in enumerate(index.packets)))
        assert first is not None
        base = Fraction(first.time_base)
        trimmed = info.details.get("start") is not None
        begin = first.times[0] * base
        return cls(
            base=base,
            shift=begin if trimmed else Fraction(info.details.get("origin", 0)),
            begin=begin if trimmed else None,
            end=(index.times[-1] + index.duration) * base if info.details.get("end") else None,
            delay=delay,
            head=tuple(first.times[: delay + 1]),
        )


def _index(path: Path) -> Index:
    index = read_index(path)
    if index is None:
        raise ItemError(f"the work file {path.name} was damaged meanwhile; run again")
    return index


def _pictures(
    segments: Sequence[Path], times: _Times, stream: Any
) -> Iterator[tuple[float, av.Packet]]:
    """The encoded pictures in decoding order, with their times in the output.

    Decoding times are the presentation times, moved down by ``delay`` places; those of the first
    pictures are set early enough to keep rising.
    """
    import av

    shift = round(times.shift / times.base)
    lead = times.head[-1] - times.head[0]
    queue = [t - lead for t in times.head[:-1]]
    index: Index | None = _index(segments[0])
    for number, path in enumerate(segments):
        assert index is not None
        following = _index(segments[number + 1]) if number + 1 < len(segments) else None
        shown = index.times
        stop = following.times[0] if following else shown[-1] + index.duration
        ends = [*shown[1:], stop]
        queue.extend(shown)
        for packet, payload in zip(index.packets, read_payloads(path, index), strict=True):
            out = av.Packet(payload)
            out.stream = stream
            out.time_base = times.base
            out.pts = shown[packet.position] - shift
            out.dts = queue.pop(0) - shift
            out.duration = ends[packet.position] - shown[packet.position]
            out.is_keyframe = packet.key
            yield float(out.dts * times.base), out
        index = following


def _copies(
    container: InputContainer, streams: dict[int, Any], times: _Times, negative: bool,
    notes: list[str],
) -> Iterator[tuple[float, av.Packet]]:
    """The packets of the other streams, cut to the clip and moved like it.

    Unless the container holds ``negative`` times, sound before zero (a codec's run-up, which is
    not heard) is left out; else the container would move everything, pictures included.
    """
    import av

    if not streams:
        return
    packets = container.demux([container.streams[i] for i in streams])
    time = 0.0
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError as error:
            notes.append(f"sound and subtitles end at {spell(time)}: {reason(error)}")
            return
        if packet is None:
            return
        if packet.dts is None and packet.pts is None:
            continue
        base = packet.time_base
        start = (packet.pts if packet.pts is not None else packet.dts) * base
        if times.end is not None and start >= times.end:
            continue
        if times.begin is not None and start < times.begin:
            # Words that began before the cut still hang on; a piece of sound would come too early.
            until = start + (packet.duration or 0) * base
            if packet.stream.type != "subtitle" or until <= times.begin:
                continue
            packet.pts = packet.dts = round(times.begin / base)
            packet.duration = round((until - times.begin) / base)
        shift = round(times.shift / base)
        for name in ("pts", "dts"):
            value = getattr(packet, name)
            if value is not None:
                setattr(packet, name, value - shift)
        time = float((packet.dts if packet.dts is not None else packet.pts) * base)
        if time < 0 and not negative:
            continue
        packet.stream = streams[packet.stream.index]
        yield time, packet


def _copy_tags(source: Any, target: Any) -> None:
    target.metadata.update({k: v for k, v in source.metadata.items() if k.lower() in _STREAM_TAGS})
    target.disposition = source.disposition


def _copy_chapters(container: InputContainer, out: OutputContainer, times: _Times) -> None:
    chapters = []
    for chapter in container.chapters():
        base = chapter["time_base"] or Fraction(1, 1000)
        start, end = chapter["start"] * base, chapter["end"] * base
        if times.begin is not None:
            start = max(start, times.begin)
        if times.end is not None:
            end = min(end, times.end)
        if start >= end:
            continue
        chapters.append(
            {
                **chapter,
                "start": round((start - times.shift) / base),
                "end": round((end - times.shift) / base),
                "time_base": base,
            }
        )
    if chapters:
        out.set_chapters(chapters)

