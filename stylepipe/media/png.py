"""PNG files that are not whole: what can be kept of them, as files that any decoder reads.

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
from typing import BinaryIO

from stylepipe.errors import ItemError
from stylepipe.media.words import share

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MOST = 64 << 20
"""Bytes that a color profile may unfold to."""
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
          (0, 1, 1, 2))
"""Passes of interlaced files: first column and row, steps across and down."""


@dataclass(frozen=True)
class _Chunk:
    name: bytes
    body: bytes
    sound: bool
    """All of it is there, and its checksum is right."""

    @property
    def ancillary(self) -> bool:
        return self.name[:1].islower()

    def written(self) -> bytes:
        checksum = zlib.crc32(self.body, zlib.crc32(self.name))
        return struct.pack(">I", len(self.body)) + self.name + self.body + struct.pack(
            ">I", checksum
        )


def head(file: BinaryIO) -> bytes:
    """The file up to its pixels, without ancillary chunks that are damaged."""
    kept = [file.read(8)]
    for chunk in _chunks(file, pixels=False):
        if chunk.name == b"IDAT":
            return b"".join([*kept, struct.pack(">I", 0), chunk.name])
        if not _spoiled(chunk):
            kept.append(chunk.written())
    return b"".join(kept)


def mended(data: bytes, max_pixels: int) -> tuple[bytes, str]:
    """A PNG that decodes, and what of ``data`` is torn or missing; ``data`` itself if it is whole.

    Lost pixels are zero: black, or transparent. A file of more than ``max_pixels`` keeps its damage
    for whoever refuses it. Raises ItemError if none of its pixels are left.
    """
    chunks = list(_chunks(data[8:]))
    spoiled = [chunk.name.decode() for chunk in chunks if _spoiled(chunk)]
    kept = [chunk for chunk in chunks if not _spoiled(chunk)]
    if not kept or kept[0].name != b"IHDR" or len(kept[0].body) != 13:
        return data, ""
    ended = kept[-1].name == b"IEND" and kept[-1].sound
    torn = [chunk for chunk in kept if not chunk.sound]
    if ended and not torn and not spoiled:
        return data, ""
    said = []
    if torn or not ended:
        header = struct.unpack(">2I5B", kept[0].body)
        if header[0] * header[1] > max_pixels:
            return data, ""
        pixels, missing = _inflated(header, [c.body for c in kept if c.name == b"IDAT"])
        if ended and not missing:
            said.append("its checksums do not fit, so that part of the picture may be wrong")
        else:
            said.append(f"its {'data is torn' if ended else 'end is missing'}, {share(missing)}")
        first = next(i for i, chunk in enumerate(kept) if chunk.name == b"IDAT")
        others = [chunk for chunk in kept[first:] if chunk.name not in (b"IDAT", b"IEND")]
        packed = _Chunk(b"IDAT", zlib.compress(pixels, 1), True)
        kept = [*kept[:first], packed, *others, _Chunk(b"IEND", b"", True)]
    if spoiled:
        said.append(f"its {', '.join(dict.fromkeys(spoiled))} is damaged and left out")
    return SIGNATURE + b"".join(chunk.written() for chunk in kept), "; ".join(said)


def _chunks(source: bytes | BinaryIO, pixels: bool = True) -> Iterator[_Chunk]:
    """The chunks after the signature; without ``pixels`` up to the first of those, without body."""
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    while len(start := file.read(8)) == 8:
        size, name = int.from_bytes(start[:4], "big"), start[4:]
        if not name.isalpha() or (name == b"IDAT" and not pixels):
            if name == b"IDAT":
                yield _Chunk(name, b"", True)
            return  # or lost: what a length leads to is no chunk
        body, checksum = file.read(size), file.read(4)
        whole = len(body) == size and checksum == struct.pack(
            ">I", zlib.crc32(body, zlib.crc32(name))
        )
        yield _Chunk(name, body, whole)
        if name == b"IEND":
            return


def _spoiled(chunk: _Chunk) -> bool:
    """Whether the chunk is better left out."""
    if not chunk.ancillary:
        return False
    if chunk.sound and chunk.name == b"iCCP":
        packed = zlib.decompressobj()
        try:
            packed.decompress(chunk.body.partition(b"\0")[2][1:], _MOST)
        except zlib.error:
            return True
        return bool(packed.unconsumed_tail)
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
