"""Joining encoded segments and the source's other streams into the finished file.

Pictures get their true times here.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylepipe.errors import ItemError
from stylepipe.media.containers import FILMS
from stylepipe.media.pyav import MILLISECOND, any_text, fraction
from stylepipe.media.segments import Index, read_index, read_payloads
from stylepipe.media.timeline import Timeline
from stylepipe.media.video_color import Color
from stylepipe.media.video_encode import Encoding
from stylepipe.media.video_facts import Facts, moved_timecode, needs_keys, work_tags
from stylepipe.media.video_hdr import Light
from stylepipe.media.video_read import open_video
from stylepipe.media.video_streams import Cut, StreamPlan, Streams, copy_tags
from stylepipe.media.words import reason
from stylepipe.types import Info

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer


def assemble(
    path: Path,
    segments: Sequence[Path],
    encoding: Encoding,
    source: Path,
    plan: StreamPlan,
    info: Info,
    *,
    streams: bool = True,
) -> list[str]:
    """Write the file ``path`` from finished segments and the source's streams in ``plan``.

    Without ``streams`` those are announced, but not copied: for a look at what the file can hold.
    Returns notes for the user. Raises ItemError if it cannot be written.
    """
    import av

    times = _Times.scan(segments, info)
    suffix = path.suffix.lower()
    clock = times.base if FILMS[suffix].has_times else 1 / Fraction(encoding.rate)
    notes: list[str] = []
    try:
        with ExitStack() as stack:
            container, tags = None, {}
            if info.details.get("stream") is not None:
                container = stack.enter_context(open_video(source))
                tags = work_tags(container)
            keys = needs_keys(tags) and not plan.covers  # MP4 has either these keys or a cover
            out = stack.enter_context(_writing(path, suffix, clock, keys))
            video = encoding.add_to(out)
            video.time_base = clock
            packets = [_pictures(segments, times, video)]
            if container is not None:
                original = container.streams[info.details["stream"]]
                copy_tags(original, video)
                out.metadata.update(tags)
                timecode, why = moved_timecode(
                    container,
                    original,
                    times.cut.begin,
                    Fraction(encoding.rate),
                    regular=not info.details.get("variable_rate"),
                )
                if timecode:
                    video.metadata["timecode"] = timecode
                _copy_chapters(container, out, times.cut)
                timeline = Timeline.parse(info.details.get("pieces") or ())
                others = Streams(container, out, plan, timeline, suffix)
                notes = others.notes
                notes += [why] if why else []
                if streams:
                    packets.append(others.packets(times.cut))
            facts = Facts.of(out)
            for _, packet in heapq.merge(*packets, key=lambda pair: pair[0]):
                out.mux_one(packet)
        notes.extend(_lost(path, encoding, facts))
    except (av.FFmpegError, OSError, ValueError) as error:
        raise ItemError(f"the output cannot be written: {reason(error)}") from error
    return notes


def _writing(path: Path, suffix: str, clock: Fraction, keys: bool) -> Any:
    """Open the output; MP4 and MOV with QuickTime's ``keys`` for its tags."""
    import av

    options = {"fflags": "+bitexact"}  # no random numbers and no dates: same input, same bytes
    if FILMS[suffix].iso_media:
        options["movflags"] = "+faststart" + ("+use_metadata_tags" if keys else "")
        if clock.numerator == 1:
            options["video_track_timescale"] = str(clock.denominator)
    return av.open(
        f"file:{path}", "w", format=FILMS[suffix].format, container_options=options, **any_text()
    )


def _lost(path: Path, encoding: Encoding, facts: Facts) -> Iterator[str]:
    """What the container could not say about the film, found by reading it back."""
    with open_video(path) as written:
        stream = written.streams.video[0]
        aspect = fraction(stream.sample_aspect_ratio) or Fraction(1)
        missing = list(facts.missing(Facts.of(written)))
        hdr = encoding.color.hdr or encoding.light
        picture = next(written.decode(stream), None) if hdr else None
    teller = f"{path.suffix} with {encoding.codec}"
    wanted = Fraction((encoding.aspect or "1:1").replace(":", "/"))
    if aspect != wanted:
        yield (
            f"{teller} cannot indicate that pixels are {encoding.aspect} and not square; "
            "a .mp4 output can"
        )
    if picture is not None:
        yield from _lost_light(teller, encoding, picture)
    if missing:
        yield f"{path.suffix} cannot hold {', '.join(missing)}: left out"


def _lost_light(teller: str, encoding: Encoding, picture: Any) -> Iterator[str]:
    if encoding.color.hdr and not Color.of(picture).hdr:
        yield f"{teller} cannot indicate that the film is HDR: it will look pale; use .mp4"
    wanted, said = encoding.light.names(), Light.of(picture).names()
    lost = [k.replace("_", " ") for k, v in wanted.items() if v and not said[k]]
    if lost:
        yield f"{teller} cannot hold {' and '.join(lost)}: left out; a .mp4 output can"


@dataclass(frozen=True)
class _Times:
    """How the output's times follow from the source's."""

    base: Fraction
    cut: Cut
    head: tuple[int, ...]
    """Decoding times, in ``base``, of the pictures decoded before the first is shown."""
    last: int
    """How long the picture decoded last stays, in ``base``."""

    @classmethod
    def scan(cls, segments: Sequence[Path], info: Info) -> _Times:
        """Decoding runs ahead of showing by as many pictures as B-frames ask for: ``delay``.

        Each picture is decoded when the one ``delay`` places before it is shown. MP4 adds up
        decoding times for the length of the clip: the first are set early enough, and the last
        picture long enough, that the sum is right for irregular times too.
        """
        delay = 0
        first: Index | None = None
        tail: list[int] = []
        for path in segments:
            index = _index(path)
            first = first or index
            tail = [*tail, *index.times][-2 * len(first.times) :]
            delay = max(delay, *(i - p.position for i, p in enumerate(index.packets)))
        assert first is not None
        stop = index.times[-1] + index.duration
        decoded = tail[-1 - delay]
        latest = index.times[index.packets[-1].position]
        lead = max(first.times[delay] - first.times[0], latest - decoded, delay)
        lead = min(lead, stop - decoded - 1)
        head = (first.times[0] - lead + n * lead // delay for n in range(delay))
        base = Fraction(first.time_base)
        trimmed = info.details.get("start") is not None
        begin = first.times[0] * base
        cut = Cut(
            shift=begin if trimmed else Fraction(info.details.get("origin", 0)),
            begin=begin if trimmed else None,
            end=(index.times[-1] + index.duration) * base if info.details.get("end") else None,
        )
        return cls(base, cut, tuple(head), stop - decoded - (lead if delay else 0))


def _index(path: Path) -> Index:
    index = read_index(path)
    if index is None:
        raise ItemError(f"the work file {path.name} was damaged meanwhile; run again")
    return index


def _pictures(segments: Sequence[Path], times: _Times, stream: Any) -> Iterator[tuple[float, Any]]:
    """Decoding time in seconds, and packet, of the pictures in decoding order."""
    import av

    shift = round(times.cut.shift / times.base)
    queue = deque(times.head)
    following: Index | None = _index(segments[0])
    for number, path in enumerate(segments):
        index = following
        assert index is not None
        following = _index(segments[number + 1]) if number + 1 < len(segments) else None
        shown = index.times
        stop = following.times[0] if following else shown[-1] + index.duration
        ends = [*shown[1:], stop]
        queue.extend(shown)
        for packet, payload in zip(index.packets, read_payloads(path, index), strict=True):
            out: Any = av.Packet(payload)
            out.stream = stream
            out.time_base = times.base
            out.pts = shown[packet.position] - shift
            out.dts = queue.popleft() - shift
            out.duration = ends[packet.position] - shown[packet.position]
            out.is_keyframe = packet.key
            if following is None and packet is index.packets[-1]:
                out.duration = times.last
            yield float(out.dts * times.base), out


def _copy_chapters(container: InputContainer, out: OutputContainer, cut: Cut) -> None:
    chapters: list[Any] = []
    for chapter in container.chapters():
        base = fraction(chapter["time_base"]) or MILLISECOND
        start, end = chapter["start"] * base, chapter["end"] * base
        if cut.begin is not None:
            start = max(start, cut.begin)
        if cut.end is not None:
            end = min(end, cut.end)
        if start < end:
            moved = {
                "start": round((start - cut.shift) / base),
                "end": round((end - cut.shift) / base),
            }
            chapters.append({**chapter, **moved, "time_base": base})
    if chapters:
        out.set_chapters(chapters)
