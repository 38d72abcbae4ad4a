"""Timecode of film (SMPTE ST 12-1): the clock that a camera counts frames by, hh:mm:ss:ff."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

_FORM = re.compile(r"(\d\d):([0-5]\d):([0-5]\d)([:;.])(\d\d\d?)")


def find_timecode(container: Any, stream: Any) -> str | None:
    """The timecode of a stream's first frame, as the stream says, or else the container."""
    for told in (stream, container):
        for key, value in told.metadata.items():
            if key.lower() == "timecode":
                return str(value)
    return None


def later(timecode: str, frames: int, rate: Fraction) -> str | None:
    """The timecode some frames on, at ``rate`` frames a second; None if it makes no sense.

    Drop-frame timecode (with a ``;``) leaves out the first two numbers of each minute but every
    tenth, at 30 frames a second; four at 60.
    """
    match, fps = _FORM.fullmatch(timecode), round(rate)
    if match is None or fps < 1:
        return None
    hours, minutes, seconds, within = (int(match[n]) for n in (1, 2, 3, 5))
    drop = 0 if match[4] == ":" else fps // 15
    if within >= fps or (drop and fps % 30):
        return None
    minute = 60 * hours + minutes
    count = (60 * minute + seconds) * fps + within - drop * (minute - minute // 10)
    a_minute = 60 * fps - drop
    ten_minutes = 10 * a_minute + drop
    tens, rest = divmod((count + frames) % (144 * ten_minutes), ten_minutes)
    # The first minute of ten is whole, the others are short.
    dropped = drop * (9 * tens + max(0, rest - drop) // a_minute)
    number, within = divmod(tens * ten_minutes + rest + dropped, fps)
    minute, seconds = divmod(number, 60)
    hours, minutes = divmod(minute, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{match[4]}{within:02d}"
