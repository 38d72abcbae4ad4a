"""The pages of a TIFF file: how many there are, and each as a file of its own."""

from __future__ import annotations

import io
import struct
from typing import BinaryIO

_SUBFILE_TYPE, _SHORT = 254, 3
_REDUCED, _MASK = 1, 4
"""Bits of the subfile type: a smaller copy of another picture, a mask of one."""
_MOST = 10_000


def offsets(file: BinaryIO) -> list[int]:
    """Where the directory of each page begins, as far as they can be read; copies and masks of
    other pages do not count. Empty for what is no TIFF.
    """
    file.seek(0)
    head = file.read(16)
    if head[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+") or len(head) < 16:
        return []
    order, big = "<" if head[:1] == b"I" else ">", b"+" in head[2:4]
    number, link, size = ("Q", "Q", 20) if big else ("H", "I", 12)
    (at,) = struct.unpack_from(order + link, head, 8 if big else 4)
    found: list[int] = []
    seen: set[int] = set()
    while at and at not in seen and len(seen) < _MOST:
        seen.add(at)
        try:
            file.seek(at)
            (count,) = struct.unpack(order + number, file.read(struct.calcsize(number)))
            entries = file.read(count * size)
            (following,) = struct.unpack(order + link, file.read(struct.calcsize(link)))
        except (struct.error, OverflowError, OSError):  # cut short: there is no more
            break
        if not _subfile(entries, size, order) & (_REDUCED | _MASK):
            found.append(at)
        at = following
    return found


def single(data: bytes, page: int) -> bytes:
    """The file with the page of this number, from 1, in the first place. Raises IndexError."""
    at = offsets(io.BytesIO(data))[page - 1]
    order = "<" if data[:1] == b"I" else ">"
    if b"+" in data[2:4]:
        return data[:8] + struct.pack(order + "Q", at) + data[16:]
    return data[:4] + struct.pack(order + "I", at) + data[8:]


def _subfile(entries: bytes, size: int, order: str) -> int:
    for at in range(0, len(entries), size):
        tag, kind = struct.unpack_from(order + "HH", entries, at)
        if tag == _SUBFILE_TYPE:
            value = at + size - (8 if size == 20 else 4)
            (bits,) = struct.unpack_from(order + ("H" if kind == _SHORT else "I"), entries, value)
            return int(bits)
    return 0
