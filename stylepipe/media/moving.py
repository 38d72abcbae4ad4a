"""Animated GIF and WebP that are cut short or torn: their whole pictures, as files that decode."""

from __future__ import annotations

import struct
from dataclasses import dataclass


@dataclass(frozen=True)
class Whole:
    """As much of a file as is in order."""

    data: bytes
    """A file of the whole pictures; the original, if it is in order itself."""
    begun: int
    """Pictures that begin, whole or not."""
    cut: bool
    """Something is torn or missing."""


def whole_pictures(data: bytes) -> Whole | None:
    """What is in order of an animated file; None for files that are neither GIF nor WebP."""
    try:
        if data[:4] == b"GIF8":
            return _gif(data)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp(data)
    except (IndexError, struct.error):  # torn before the first picture
        return Whole(data, 0, True)
    return None


def _gif(data: bytes) -> Whole:
    """Layout: header, colors, then blocks, each a byte of kind and chained parts (GIF89a)."""
    at = 13 + _colors(data[10])
    begun, kept = 0, at
    try:
        while data[at] in b"\x21\x2c":
            if data[at] == 0x21:
                at = _chained(data, at + 2)
                continue
            begun += 1
            at = kept = _chained(data, at + 11 + _colors(data[at + 9]))
    except IndexError:
        return Whole(data[:kept] + b";", begun, True)
    if data[at] == 0x3B:
        return Whole(data, begun, False)
    return Whole(data[:kept] + b";", begun, True)


def _colors(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _chained(data: bytes, at: int) -> int:
    """Where a chain of parts ends. Raises IndexError if it does not."""
    while size := data[at]:
        at += 1 + size
    return at + 1


def _webp(data: bytes) -> Whole:
    """Layout: a RIFF file; each picture of an animation is a chunk ANMF."""
    (size,) = struct.unpack_from("<I", data, 4)
    at, begun, kept = 12, 0, 12
    while at + 8 <= min(len(data), size + 8):
        name, length = struct.unpack_from("<4sI", data, at)
        begun += name == b"ANMF"
        at += 8 + length + length % 2
        if at > len(data):
            break
        kept = at
    if size + 8 <= len(data):
        return Whole(data, begun, False)
    return Whole(data[:4] + struct.pack("<I", kept - 8) + data[8:kept], begun, True)
