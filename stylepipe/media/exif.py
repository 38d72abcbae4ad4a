"""Reads and edits an EXIF block in place, so that every tag that is not touched stays as it was.

A block is the TIFF structure alone, without the ``Exif\\0\\0`` that JPEG puts before it. Damaged
blocks are common in real photos: what can be read is read, nothing here raises.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ORIENTATION = 0x0112
_EXIF_IFD, _GPS_IFD, _INTEROP_IFD = 0x8769, 0x8825, 0xA005
GROUPS = (_EXIF_IFD, _GPS_IFD)
"""Tags of the main directory that lead to further ones."""
_INTEROP_INDEX, _COLOR_SPACE, _WIDTH, _HEIGHT = 0x0001, 0xA001, 0xA002, 0xA003
_THUMBNAIL, _THUMBNAIL_BYTES = 0x0201, 0x0202
_SHORT, _LONG = 3, 4


@dataclass(frozen=True)
class _Entry:
    kind: int
    at: int
    """Where the value stands, or the offset of a value longer than four bytes."""


def is_block(data: bytes) -> bool:
    """Whether the data begins as an EXIF block must."""
    return data[:4] in (b"MM\0*", b"II*\0")


def orientation(exif: bytes | None) -> int:
    """The orientation tag, 1 to 8; 1 if there is none or it makes no sense."""
    block = _Block(exif or b"")
    value = block.number(block.first.get(ORIENTATION))
    return value if value is not None and 1 <= value <= 8 else 1


def is_adobe_rgb(exif: bytes | None) -> bool:
    """Whether the block says Adobe RGB the way cameras do (DCF: interoperability index R03)."""
    block = _Block(exif or b"")
    entry = block.child(block.child(block.first, _EXIF_IFD), _INTEROP_IFD).get(_INTEROP_INDEX)
    return entry is not None and bytes(block.data[entry.at : entry.at + 3]) == b"R03"


def upright(exif: bytes, width: int, height: int, srgb: bool) -> bytes:
    """The block for a picture that was turned upright and repainted.

    Sets the orientation to 1 and the pixel size to ``width`` x ``height`` where the tags exist,
    drops the thumbnail, which would show the old picture, and, if ``srgb``, states that color
    space in place of Adobe RGB.
    """
    block = _Block(exif)
    details = block.child(block.first, _EXIF_IFD)
    block.set(block.first.get(ORIENTATION), 1)
    block.set(details.get(_WIDTH), width)
    block.set(details.get(_HEIGHT), height)
    if srgb:
        block.set(details.get(_COLOR_SPACE), 1)
        index = block.child(details, _INTEROP_IFD).get(_INTEROP_INDEX)
        if index is not None:
            block.data[index.at : index.at + 3] = b"R98"
    block.drop_thumbnail()
    return bytes(block.data)


def in_profile(exif: bytes, adobe_rgb: bool) -> bytes:
    """The block for pixels in the colors of a profile: uncalibrated, or marked as Adobe RGB."""
    block = _Block(exif)
    details = block.child(block.first, _EXIF_IFD)
    block.set(details.get(_COLOR_SPACE), 0xFFFF)
    index = block.child(details, _INTEROP_IFD).get(_INTEROP_INDEX)
    if adobe_rgb and index is not None:
        block.data[index.at : index.at + 3] = b"R03"
    return bytes(block.data)


class _Block:
    """The directories of one EXIF block."""

    def __init__(self, exif: bytes) -> None:
        self.data = bytearray(exif)
        self._order: Literal["big", "little"] = "big" if exif[:2] == b"MM" else "little"
        self._start = self._int(4, 4) if is_block(exif) else 0
        self.first = self._directory(self._start)

    def _int(self, at: int, size: int) -> int:
        """The unsigned number at ``at``; 0 beyond the end."""
        raw = self.data[at : at + size]
        return int.from_bytes(raw, self._order) if len(raw) == size else 0

    def _directory(self, start: int) -> dict[int, _Entry]:
        entries: dict[int, _Entry] = {}
        for i in range(self._int(start, 2) if start else 0):
            at = start + 2 + 12 * i
            if at + 12 > len(self.data):
                break
            entries.setdefault(self._int(at, 2), _Entry(self._int(at + 2, 2), at + 8))
        return entries

    def child(self, parent: dict[int, _Entry], tag: int) -> dict[int, _Entry]:
        """The directory a tag points to; empty if there is none."""
        entry = parent.get(tag)
        return self._directory(self._int(entry.at, 4)) if entry else {}

    def number(self, entry: _Entry | None) -> int | None:
        """The value of an entry that holds one whole number."""
        if entry is None or entry.kind not in (_SHORT, _LONG):
            return None
        return self._int(entry.at, 2 if entry.kind == _SHORT else 4)

    def set(self, entry: _Entry | None, value: int) -> None:
        """Overwrite the value of an entry; nothing happens if there is none to overwrite."""
        if entry is None or entry.kind not in (_SHORT, _LONG):
            return
        size = 2 if entry.kind == _SHORT else 4
        if value < 1 << (8 * size):
            self.data[entry.at : entry.at + size] = value.to_bytes(size, self._order)

    def drop_thumbnail(self) -> None:
        """Unlink the second directory; cut its picture off where it ends the block."""
        link = self._start + 2 + 12 * self._int(self._start, 2)
        second = self._int(link, 4) if self._start else 0
        if not second:
            return
        entries = self._directory(second)
        at = self.number(entries.get(_THUMBNAIL))
        size = self.number(entries.get(_THUMBNAIL_BYTES))
        self.data[link : link + 4] = bytes(4)
        if at and size and at > second and len(self.data) - (at + size) in range(4):
            del self.data[at:]
