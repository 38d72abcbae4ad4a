"""The file beside numbered pictures that were a film: times of frames, rate, colors, and its name.

With it they become the same film again: JSON, of a line a frame.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

from stylepipe.errors import ItemError
from stylepipe.patterns import TIMES
from stylepipe.types import Info

_KEPT = (
    "color_range", "color_space", "color_primaries", "color_transfer", "mastering_display",
    "content_light", "ambient_light", "sample_aspect_ratio", "pix_fmt", "variable_rate", "film",
)  # fmt: skip
"""What of a film's details its frames cannot say themselves, and a writer needs; of text, or
``variable_rate`` of true and false."""


@dataclass(frozen=True)
class Timed:
    """One frame of a film that was taken apart."""

    name: str
    """Of its file, with suffix."""
    pts: int
    """In units of the sidecar's ``time_base``."""
    duration: int | None
    """In the same units; None where the film does not say."""


@dataclass(frozen=True)
class Sidecar:
    """What is known of a film beside its pictures."""

    time_base: Fraction
    frames: tuple[Timed, ...]
    rate: Fraction | None
    """Average frames a second."""
    details: Mapping[str, Any]
    """Those of :attr:`Info.details` that a writer of the film needs."""

    @classmethod
    def of(cls, info: Info, film: str, time_base: Fraction, frames: list[Timed]) -> Sidecar:
        """For the frames of a film called ``film``, unless it was made of such frames itself."""
        details = {"film": film} | {k: v for k, v in info.details.items() if k in _KEPT}
        known = {k: v for k, v in details.items() if v not in (None, "unknown")}
        return cls(time_base, tuple(frames), info.rate, known)

    def write(self, path: Path) -> None:
        """Write it, in the same bytes each time."""
        facts = {
            "about": "times of the pictures beside this file; stylepipe reads them as one film",
            **self.details,
            "rate": self.rate and str(self.rate),
            "time_base": str(self.time_base),
        }
        rows = [json.dumps([f.name, f.pts, f.duration], ensure_ascii=False) for f in self.frames]
        head = [f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}," for k, v in facts.items()]
        lines = ["{", *head, '"frames": [', *(f"{row}," for row in rows[:-1]), *rows[-1:], "]}", ""]
        path.write_text("\n".join(lines), encoding="utf-8")


def read_sidecar(folder: Path) -> Sidecar | None:
    """The one in a folder; None if there is none. Raises ItemError for one that makes no sense."""
    path = folder / TIMES
    if not path.exists():
        return None
    from av.video.format import VideoFormat

    try:
        raw = json.loads(path.read_text("utf-8"))
        frames = tuple(_timed(row) for row in raw["frames"])
        rate = Fraction(_text(raw["rate"])) if raw["rate"] is not None else None
        base = Fraction(_text(raw["time_base"]))
        if not frames or base <= 0 or (rate is not None and rate <= 0):
            raise ValueError
        if any(a.pts >= b.pts for a, b in pairwise(frames)):
            raise ValueError
        kinds = {"variable_rate": bool}
        details = {k: raw[k] for k in _KEPT if isinstance(raw.get(k), kinds.get(k, str))}
        VideoFormat(details.get("pix_fmt", "rgb24"))
        Fraction(details.get("sample_aspect_ratio", "1:1").replace(":", "/"))
    except (OSError, ValueError, TypeError, LookupError, ArithmeticError, RecursionError):
        raise ItemError(
            f"{TIMES}, which lies beside its frames, is damaged; delete it, and say with --fps how "
            "many frames there are a second"
        ) from None
    return Sidecar(base, frames, rate, details)


def _timed(row: Any) -> Timed:
    name, pts, duration = row
    whole = isinstance(pts, int) and (duration is None or isinstance(duration, int))
    if (
        not whole
        or abs(pts) >= 2**62
        or not 0 <= (duration or 0) < 2**62
        or Path(name).name != name
    ):
        raise ValueError
    return Timed(name, pts, duration)


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 40 or "e" in value.lower():
        raise ValueError  # 1e999999999 would fill the memory
    return value
