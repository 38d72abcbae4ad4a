"""Chunks of PNG files; and of files that are not whole what can be kept, for any decoder to read.

Layout: a signature of 8 bytes, then chunks of length, name, body and CRC-32 (PNG specification,
section 5). Chunks whose name begins with a small letter are ancillary: the picture is whole
without them.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import BinaryIO

from stylepipe.errors import ItemError
from stylepipe.media.words import share

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MAX_BYTES = 64 << 20
"""Bytes that a color profile or a text may unfold to."""
_MOVING = (b"acTL", b"fcTL", b"fdAT")
"""Chunks that are ancillary by name, and hold the pictures of an animation."""
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_ADAM7 = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
"""Passes of interlaced files: first column and row, steps across and down."""


@dataclass(frozen=True)
class Chunk:
    """A part of the file."""

    name: bytes
    body: bytes
    checksum: bytes | None = None
    """As it is in the file; None if the chunk is not from one."""
    cut: bool = False
    """The body is shorter than it was."""

    @cached_property
    def sound(self) -> bool:
        """All of it is there, and its checksum is right."""
        return not self.cut and self.checksum in (None, self._sum())

    @property
    def ancillary(self) -> bool:
        return self.name[:1].islower()

    def written(self) -> bytes:
        """As it stands in a file."""
        return struct.pack(">I", len(self.body)) + self.name + self.body + self._sum()

    def stored(self) -> bytes:
        """As it stood in the file that it is from, right or wrong."""
        return struct.pack(">I", len(self.body)) + self.name + self.body + (self.checksum or b"")

    def _sum(self) -> bytes:
        return struct.pack(">I", zlib.crc32(self.body, zlib.crc32(self.name)))


def chunks(data: bytes) -> Iterator[Chunk]:
    """The chunks of a file."""
    file = io.BytesIO(data)
    file.seek(len(SIGNATURE))
    return _chunks(file)


def bare(data: bytes) -> bytes:
    """The file without ancillary chunks."""
    kept = [chunk.written() for chunk in chunks(data) if not chunk.ancillary]
    return b"".join([SIGNATURE, *kept])


def head(file: BinaryIO) -> bytes:
    """The file up to its pixels, without ancillary chunks that are damaged."""
    kept = [file.read(8)]
    for chunk in _chunks(file, pixels=False):
        if chunk.name == b"IDAT":
            return b"".join([*kept, struct.pack(">I", 0), chunk.name])
        if not _spoiled(chunk):
            kept.append(chunk.written())
    return b"".join(kept)


def tidy(data: bytes) -> bytes:
    """The file without ancillary chunks that are damaged; what moves stays, and all else as it is.

    For Pillow, which refuses a picture for the sake of a text.
    """
    every = list(chunks(data))
    kept = [chunk for chunk in every if not _spoiled(chunk) or chunk.name in _MOVING]
    if len(kept) == len(every):
        return data
    return b"".join([SIGNATURE, *(chunk.stored() for chunk in kept)])


def mended(data: bytes, max_pixels: int) -> tuple[bytes, str, list[str]]:
    """A PNG that decodes; what of the picture is torn or missing; ancillary parts left out.

    ``data`` itself if it is whole. Lost pixels are zero: black, or transparent. A file of more than
    ``max_pixels`` keeps its damage for whoever refuses it. Raises ItemError if none of its pixels
    are left.
    """
    every = list(chunks(data))
    spoiled = dict.fromkeys(chunk.name.decode() for chunk in every if _spoiled(chunk))
    kept = [chunk for chunk in every if not _spoiled(chunk)]
    if not kept or kept[0].name != b"IHDR" or len(kept[0].body) != 13:
        return data, "", []
    ended = kept[-1].name == b"IEND" and kept[-1].sound
    torn = [chunk for chunk in kept if not chunk.sound]
    if ended and not torn and not spoiled:
        return data, "", []
    said = ""
    if torn or not ended:
        header = struct.unpack(">2I5B", kept[0].body)
        if header[0] * header[1] > max_pixels:
            return data, "", []
        pixels, missing = _inflated(header, [c.body for c in kept if c.name == b"IDAT"])
        if ended and not missing:
            said = "its checksums do not fit, so that part of the picture may be wrong"
        else:
            said = f"its {'data is torn' if ended else 'end is missing'}, {share(missing)}"
        first = next(i for i, chunk in enumerate(kept) if chunk.name == b"IDAT")
        others = [chunk for chunk in kept[first:] if chunk.name not in (b"IDAT", b"IEND")]
        packed = Chunk(b"IDAT", zlib.compress(pixels, 1))
        kept = [*kept[:first], packed, *others, Chunk(b"IEND", b"")]
    lost = [f"{name}, which is damaged" for name in spoiled]
    return SIGNATURE + b"".join(chunk.written() for chunk in kept), said, lost


def _chunks(file: BinaryIO, pixels: bool = True) -> Iterator[Chunk]:
    """The chunks after the signature; without ``pixels`` up to the first of those, without body."""
    while len(start := file.read(8)) == 8:
        size, name = int.from_bytes(start[:4], "big"), start[4:]
        if not name.isalpha() or (name == b"IDAT" and not pixels):
            if name == b"IDAT":
                yield Chunk(name, b"")
            return  # or lost: what a length leads to is no chunk
        body, checksum = file.read(size), file.read(4)
        yield Chunk(name, body, checksum, cut=len(body) < size)
        if name == b"IEND":
            return


def unpacked(data: bytes) -> bytes | None:
    """A profile or text, decompressed; None if it is damaged, or too large."""
    worker = zlib.decompressobj()
    try:
        content = worker.decompress(data, _MAX_BYTES)
    except zlib.error:
        return None
    return None if worker.unconsumed_tail else content


def _spoiled(chunk: Chunk) -> bool:
    """Whether the chunk is better left out."""
    if not chunk.ancillary:
        return False
    if chunk.sound and chunk.name == b"iCCP":
        return unpacked(chunk.body.partition(b"\0")[2][1:]) is None
    return not chunk.sound


def _inflated(header: tuple[int, ...], bodies: list[bytes]) -> tuple[bytes, float]:
    """Filtered rows of the whole picture, and the share of them that had to be made up."""
    lines = list(_lines(*header))
    size = sum(lines)
    unpacked, raw = zlib.decompressobj(), bytearray()
    try:
        for body in bodies:
            # in small steps: what precedes an error is lost with its step
            for at in range(0, len(body), 128):
                raw += unpacked.decompress(body[at : at + 128], max(1, size - len(raw)))
    except zlib.error:
        pass  # what came until here is what there is
    if not raw:
        raise ItemError("nothing of the picture can be decoded: copy it again from where it came")
    missing = 1 - min(len(raw), size) / size
    raw = raw[:size] + bytes(size - min(len(raw), size))
    at = 0
    for line in lines:
        if raw[at] > 4:  # no filter at all: the row is garbage, the file is to decode
            raw[at] = 0
        at += line
    return bytes(raw), missing


def _lines(
    width: int, height: int, depth: int, color: int, _pack: int, _filter: int, interlaced: int
) -> Iterator[int]:
    """Bytes of each line of pixels as it is stored: one for its filter, then the pixels."""
    bits = depth * _CHANNELS.get(color, 1)
    for left, top, across, down in _ADAM7 if interlaced else ((0, 0, 1, 1),):
        columns, rows = -((left - width) // across), -((top - height) // down)
        if columns > 0:
            yield from [1 + (columns * bits + 7) // 8] * max(0, rows)
