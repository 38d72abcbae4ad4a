"""Camera RAW: recognized by its tags, and developed by LibRaw (the package rawpy).

Most kinds of RAW are TIFF files whose first directory holds a small preview, which must not be
taken for the picture. Tags: TIFF 6.0; DNG 1.7.1.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

from stylepipe.errors import ItemError

if TYPE_CHECKING:
    import numpy as np

SUFFIXES = (
    ".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".sr2", ".srf", ".orf", ".rw2", ".raf",
    ".pef", ".srw", ".3fr", ".fff", ".erf", ".iiq", ".kdc", ".dcr", ".mrw", ".x3f", ".rwl", ".mos",
)  # fmt: skip
_SIGNATURES = (
    (0, b"FUJIFILMCCD-RAW", "RAF"),
    (4, b"ftypcrx ", "CR3"),
    (6, b"HEAPCCDR", "CRW"),
    (0, b"\0MRM", "MRW"),
    (0, b"FOVb", "X3F"),
    (0, b"IIRO", "ORF"),
    (0, b"IIRS", "ORF"),
    (0, b"MMOR", "ORF"),
    (0, b"IIU\0", "RW2"),
    (8, b"CR\x02", "CR2"),
    (8, b"IIII", "IIQ"),
    (8, b"MMMM", "IIQ"),
)
"""Where it stands, what stands there, and the kind of RAW that it means."""
_KIND, _WIDTH, _HEIGHT, _COLORS, _MAKE, _PARTS = 254, 256, 257, 262, 271, 330
_DNG_VERSION = 50706
_TAGS = (_KIND, _WIDTH, _HEIGHT, _COLORS, _MAKE, _PARTS, _DNG_VERSION)
_OF_A_SENSOR = (32803, 34892)
"""Photometric interpretations: a color filter array, and linear RAW."""
_MAX_TAGS = 64
"""Directories looked at, and pointers followed from one."""
_FARTHEST = 1 << 62
"""No file is so long, and no number that a file object could not seek to."""
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 13: 4, 16: 8, 18: 8}
"""Bytes of a value by type, for the types that the tags above have."""


def kind(file: BinaryIO) -> str | None:
    """The kind of camera RAW, such as ``DNG``; None for any other file.

    Raises ItemError for a TIFF whose first picture is only a preview of another one in it.
    """
    file.seek(0)
    head = file.read(32)
    for at, mark, name in _SIGNATURES:
        if head[at : at + len(mark)] == mark and (at < 8 or head[:4] in (b"II*\0", b"MM\0*")):
            return name
    directories = list(_directories(file, head))
    if not directories:
        return None
    if any(_DNG_VERSION in d for d in directories):
        return "DNG"
    if any(d.get(_COLORS, [0])[0] in _OF_A_SENSOR for d in directories):
        make = "".join(chr(n & 255) for n in directories[0].get(_MAKE, [])).partition("\0")[0]
        return make.split()[0].title() if make.split() else "of an unknown camera"
    _refuse_preview(directories)
    return None


def _refuse_preview(directories: list[dict[int, list[int]]]) -> None:
    sizes = [d.get(_WIDTH, [0])[0] * d.get(_HEIGHT, [0])[0] for d in directories]
    if directories[0].get(_KIND, [0])[0] & 1 and max(sizes) > sizes[0]:
        width, height = (directories[0].get(tag, [0])[0] for tag in (_WIDTH, _HEIGHT))
        raise ItemError(
            f"the TIFF file begins with a preview ({width}x{height}), and the picture itself comes "
            "after it: save the picture as a TIFF of its own"
        )


def _directories(file: BinaryIO, head: bytes) -> Iterator[dict[int, list[int]]]:
    """The directories of a TIFF, those below another included: whole numbers by tag."""
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 16 or head[2:4] not in (b"*\0", b"\0*", b"+\0", b"\0+"):
        return
    big = b"+" in head[2:4]
    number, count, entry = ("Q", "Q", 20) if big else ("I", "H", 12)

    def unpack(form: str, data: bytes) -> tuple[Any, ...]:
        size = struct.calcsize(order + form)
        return struct.unpack(order + form, data[:size].ljust(size, b"\0"))

    def at(place: int, size: int) -> bytes:
        file.seek(min(place, _FARTHEST))
        return file.read(size)

    waiting, seen = [unpack(number, head[8:] if big else head[4:])[0]], set[int]()
    while waiting and len(seen) < _MAX_TAGS:
        start = waiting.pop(0)
        if not start or start in seen:
            continue
        seen.add(start)
        length = struct.calcsize(order + count)
        entries = min(unpack(count, at(start, length))[0], 4096)
        table = at(start + length, entries * entry + struct.calcsize(order + number))
        found: dict[int, list[int]] = {}
        for i in range(0, min(entries * entry, len(table) - entry + 1), entry):
            tag, type_, values = unpack(f"HH{number}", table[i : i + entry])
            size, values = _SIZES.get(type_, 0), min(values, _MAX_TAGS)
            if tag not in _TAGS or not size or not values:
                continue
            place = table[i + entry - struct.calcsize(order + number) : i + entry]
            if size * values > len(place):
                place = at(unpack(number, place)[0], size * values)
            form = {1: "B", 2: "H", 4: "I", 8: "Q"}.get(size, "B")
            found[tag] = list(unpack(f"{values}{form}", place))
        waiting += [unpack(number, table[entries * entry :])[0], *found.get(_PARTS, [])]
        if found:
            yield found


def size(file: BinaryIO, kind: str) -> tuple[int, int]:
    """Width and height of the developed picture, upright. Raises ItemError."""
    with _opened(file, kind) as raw:
        sizes = raw.sizes
        turned = sizes.flip in (5, 6)
        return (sizes.iheight, sizes.iwidth) if turned else (sizes.iwidth, sizes.iheight)


def develop(file: BinaryIO, kind: str) -> np.ndarray:
    """The picture HxWx3, upright, sRGB, uint16, with the camera's white balance. ItemError."""
    with _opened(file, kind) as raw:
        pixels: np.ndarray = raw.postprocess(
            use_camera_wb=True,
            output_bps=16,
            gamma=(2.4, 12.92),  # the curve of sRGB
        )
        return pixels


@contextmanager
def _opened(file: BinaryIO, kind: str) -> Iterator[Any]:
    try:
        import rawpy
    except ImportError:
        raise ItemError(
            f"this is camera RAW ({kind}), for which one more package is needed: "
            "pip install 'stylepipe[raw]'"
        ) from None
    file.seek(0)
    try:
        with rawpy.imread(file) as raw:
            yield raw
    except (rawpy.LibRawError, rawpy.NotSupportedError) as error:
        reason = error.args[0] if error.args else type(error).__name__
        detail = reason.decode() if isinstance(reason, bytes) else str(reason)
        raise ItemError(
            f"the camera RAW ({kind}) cannot be developed ({detail}): it is damaged, or of a "
            "camera that LibRaw does not know; convert it to TIFF with its maker's program"
        ) from error
    except MemoryError as error:
        raise ItemError("the picture does not fit in memory") from error
