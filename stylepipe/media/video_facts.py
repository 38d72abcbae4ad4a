"""What a film says of itself as a whole: tags, timecode and chapters, taken to the output."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from stylepipe.media.pyav import base_of
from stylepipe.media.video_timecode import find_timecode, later

_CONTAINER_OWN = re.compile(
    "major_brand|minor_version|compatible_brands|encoder|duration|timecode|"
    ".*(uid|umid|_ul)|(product|toolkit)_.*|application_platform|company_name",  # MXF
    re.IGNORECASE,
)
"""Metadata keys that describe the source file and not the work in it, or are written elsewhere."""
_MUXER = "Lavf"
"""How FFmpeg signs what it writes, in AVI as ``software``."""
_APPLE = "com."
"""How keys of QuickTime's own kind begin, for place, camera and the like."""


def work_tags(container: Any) -> dict[str, str]:
    """The tags of an open file that stay true of the painted film."""
    return {
        k: v
        for k, v in container.metadata.items()
        if not _CONTAINER_OWN.fullmatch(k) and not v.startswith(_MUXER)
    }


def needs_keys(tags: Mapping[str, str]) -> bool:
    """Whether MP4 and MOV hold these tags only as QuickTime's keys, which fewer players show."""
    return any(key.startswith(_APPLE) for key in tags)


def moved_timecode(
    container: Any, stream: Any, begin: Fraction | None, rate: Fraction, regular: bool
) -> tuple[str | None, str | None]:
    """The timecode of the output's first picture, and why there is none although there was one.

    ``begin`` is that picture's time in the source, in seconds, where the film was trimmed; frames
    before it can be counted where they come at ``regular`` times.
    """
    timecode = find_timecode(container, stream)
    if timecode is None:
        return None, None
    start = (stream.start_time or 0) * base_of(stream)
    skipped = Fraction(0) if begin is None else begin - start
    if skipped and not regular:
        return None, f"timecode {timecode} left out: after --start it is unknown at irregular times"
    moved = later(timecode, round(skipped * rate), rate)
    if moved is None:
        return None, f"timecode {timecode} left out: it makes no sense at this frame rate"
    return moved, None


@dataclass(frozen=True)
class Facts:
    """What is to be found in a file, to compare."""

    tags: frozenset[str]
    timecode: str | None
    chapters: int

    @classmethod
    def of(cls, container: Any) -> Facts:
        """Of an open file, to be read or written."""
        tags = frozenset(key.lower() for key in work_tags(container))
        timecode = find_timecode(container, container.streams.video[0])
        return cls(tags, timecode, len(container.chapters()))

    def missing(self, found: Facts) -> Iterator[str]:
        """What ``found`` lacks of these, by name."""
        if self.timecode and self.timecode != found.timecode:
            yield f"timecode {self.timecode}"
        if self.chapters > found.chapters:
            yield "chapters"
        if lost := sorted(self.tags - found.tags):
            yield f"the tags {', '.join(lost)}"
