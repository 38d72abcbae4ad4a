"""Times, shares and errors in words."""

from __future__ import annotations

from fractions import Fraction


def spell(seconds: Fraction | float | None) -> str:
    """Seconds as ``m:ss.mmm`` or ``h:mm:ss.mmm``."""
    millis = round((seconds or 0) * 1000)
    sign, millis = ("-", -millis) if millis < 0 else ("", millis)
    hours, rest = divmod(millis, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    tail = f"{rest // 1000:02d}.{rest % 1000:03d}"
    return f"{sign}{hours}:{minutes:02d}:{tail}" if hours else f"{sign}{minutes}:{tail}"


def share(missing: float) -> str:
    """How much of a picture is missing, to follow "its end is missing,"."""
    if missing <= 0:
        return "but nothing of the picture"
    return f"with about {max(1, round(missing * 100))} % of the picture"


def reason(error: BaseException) -> str:
    """FFmpeg's or the system's words for an error, without numbers and places."""
    text = getattr(error, "strerror", None) or str(error)
    return text[0].lower() + text[1:] if text else type(error).__name__
