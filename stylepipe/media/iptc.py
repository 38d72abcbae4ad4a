"""IPTC captions, bylines and keywords, which photos hold among Photoshop's image resources.

Only they are kept: most other resources are a thumbnail, settings of the program, and copies of
EXIF, XMP and the profile.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

SIGNATURE = b"Photoshop 3.0\0"
"""What an APP13 segment with resources begins with."""
_RESOURCE = b"8BIM"
_IPTC, _COPYRIGHTED, _URL = 0x0404, 0x040A, 0x040B
_PATHS = range(0x07D0, 0x0BB7)


def from_resources(block: bytes) -> bytes | None:
    """The IPTC datasets in a block of resources; None if there are none."""
    return dict(_resources(block)).get(_IPTC) or None


def others(block: bytes) -> list[str]:
    """What the resources say that stands nowhere else, in words."""
    found = dict(_resources(block))
    words = []
    if any(found.get(_COPYRIGHTED, b"")) or found.get(_URL):
        words.append("Photoshop's copyright mark and URL")
    if any(number in _PATHS for number in found):
        words.append("clipping paths")
    return words


def _resources(block: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while block[at : at + 4] == _RESOURCE and at + 12 <= len(block):
        (number,) = struct.unpack_from(">H", block, at + 4)
        at += 6 + (1 + block[at + 6] + 1) // 2 * 2  # the name, and its length in front
        size = int.from_bytes(block[at : at + 4], "big")
        yield number, block[at + 4 : at + 4 + size]
        at += 4 + (size + 1) // 2 * 2


def to_resources(iptc: bytes) -> bytes:
    """A block of resources that holds the datasets alone."""
    head = _RESOURCE + struct.pack(">HHI", _IPTC, 0, len(iptc))
    return head + iptc + bytes(len(iptc) % 2)
