"""What a film would become, found by writing one picture of it: nothing is guessed from tables."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from stylepipe.media import video_mux
from stylepipe.media.segments import SegmentFile
from stylepipe.media.video_color import Color
from stylepipe.media.video_encode import Encoding
from stylepipe.media.video_facts import Facts
from stylepipe.media.video_read import open_video
from stylepipe.media.video_streams import StreamPlan
from stylepipe.media.video_write import Segment, in_a_sentence
from stylepipe.types import Fate, Frame, Info


def forecast(
    source: Path, info: Info, suffix: str, encoding: Encoding, plan: StreamPlan
) -> tuple[list[Fate], list[str]]:
    """The fates of a film's streams, chapters, timecode and tags in such an output, and what a run
    would say of it beside. Raises ItemError if it cannot be written.
    """
    stream = info.details.get("stream")
    fates = [Fate(f"video {info.details.get('codec', info.format)}", "painted",
                  ", ".join(_painted(info, encoding)), stream)]  # fmt: skip
    fates += plan.fates
    with tempfile.TemporaryDirectory() as folder, in_a_sentence():
        path = Path(folder, f"film{suffix}")
        segment = Path(folder, "picture.seg")
        _write_picture(segment, info, encoding)
        notes = video_mux.assemble(path, [segment], encoding, source, plan, info, streams=False)
        if stream is not None:
            with open_video(source) as before, open_video(path) as after:
                fates += _facts(Facts.of(before), Facts.of(after))
    return fates, notes


def _write_picture(path: Path, info: Info, encoding: Encoding) -> None:
    """A segment of one black picture, at the time of the first that would be painted."""
    dtype = np.uint8 if info.depth == 8 else np.uint16
    shape = (info.height, info.width)
    base = Fraction(1, 90_000)
    begin = Fraction(info.details.get("origin") or 0) + Fraction(info.details.get("start") or 0)
    frame = Frame(
        np.zeros((*shape, 3), dtype),
        np.zeros(shape, dtype) if info.alpha else None,
        pts=round(begin / base),
        time_base=base,
        duration=round(1 / Fraction(encoding.rate) / base),
    )
    segment = Segment(encoding, SegmentFile(path), info)
    segment.add(frame)
    segment.finish(encoding.settings())


def _painted(info: Info, encoding: Encoding) -> Iterator[str]:
    """How the pictures are read and written, in words."""
    details: Any = info.details
    if details.get("interlaced"):
        yield "deinterlaced" if details.get("deinterlaced") else "interlaced, fields kept"
    if details.get("rotation"):
        yield f"turned upright by {details['rotation']} degrees"
    yield f"written by {encoding.codec} as {encoding.pix_fmt}"
    yield f"{encoding.width}x{encoding.height}"
    rate = f"{float(Fraction(encoding.rate)):.3f}".rstrip("0").rstrip(".")
    variable = details.get("variable_rate")
    yield "at its own irregular times" if variable else f"{rate} frames a second"
    if Color.parse(details).hdr:
        name = {"smpte2084": "PQ", "arib-std-b67": "HLG"}.get(str(details["color_transfer"]), "")
        yield f"HDR {name} kept".replace("  ", " ") if encoding.color.hdr else "HDR lost"


def _facts(before: Facts, after: Facts) -> Iterator[Fate]:
    if before.chapters:
        number = before.chapters
        yield Fate(
            f"{number} chapter{'s' * (number > 1)}", "kept" if after.chapters else "left out"
        )
    if before.timecode:
        kept = f"begins at {after.timecode}" if after.timecode else ""
        yield Fate(f"timecode {before.timecode}", "kept" if kept else "left out", kept)
    for tags, action in (
        (before.tags & after.tags, "kept"),
        (before.tags - after.tags, "left out"),
    ):
        if tags:
            yield Fate(f"tags {', '.join(sorted(tags))}", action)  # type: ignore[arg-type]
