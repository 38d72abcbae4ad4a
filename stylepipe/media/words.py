"""Times and errors in words, for films."""

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


def reason(error: BaseException) -> str:
    """FFmpeg's or the system's words for an error, without numbers and places."""
    text = getattr(error, "strerror", None) or str(error)
    return text[0].lower() + text[1:] if text else type(error).__name__
