"""Encoded video on disk in independent segments, so that a killed run can go on.

A segment is a file of encoded packets with an index and a checksum at its end. It appears under
its name only when it is complete; a file that was cut short or damaged does not count.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from stylepipe.types import Frame

_FOOTER = struct.Struct("<QI8s")
"""Length of the index, CRC-32 of all before this footer, magic number."""
_MAGIC = b"STYLSEG2"
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Packet:
    """One encoded picture; packets are kept in decoding order."""

    position: int
    """Which frame of the segment it shows, from 0, in order of presentation."""
    key: bool
    size: int


@dataclass(frozen=True)
class Index:
    """What a finished segment says of itself."""

    settings: str
    """Describes encoder and settings; segments of other settings are not reused."""
    packets: list[Packet]
    times: list[int]
    """Presentation times of the frames, in order, in units of the source's time base."""
    time_base: str
    duration: int
    """Of the last frame, in the same units."""


class SegmentFile:
    """A segment being written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_suffix(".part")
        self._file: BinaryIO = self._part.open("wb")
        self._packets: list[tuple[int, bool, int]] = []
        self._checksum = 0

    def add(self, position: int, key: bool, payload: bytes) -> None:
        """Append one packet."""
        self._file.write(payload)
        self._checksum = zlib.crc32(payload, self._checksum)
        self._packets.append((position, key, len(payload)))

    @property
    def count(self) -> int:
        """Packets so far."""
        return len(self._packets)

    def finish(self, **fields: Any) -> None:
        """Write the index (the fields of :class:`Index` but the packets) and give it its name."""
        index = json.dumps({**fields, "packets": self._packets}, separators=(",", ":")).encode()
        checksum = zlib.crc32(index, self._checksum)
        self._file.write(index + _FOOTER.pack(len(index), checksum, _MAGIC))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._part.replace(self._path)

    def drop(self) -> None:
        """Give up; what was written is deleted."""
        with suppress(OSError):  # closing writes what is buffered: a full disk says so once more
            self._file.close()
        with suppress(OSError):  # the trouble that led here is the one to tell
            self._part.unlink(missing_ok=True)


def read_index(path: Path) -> Index | None:
    """The index of a finished segment; None if the file is missing, cut short or damaged."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _FOOTER.size))
            length, _, magic = _FOOTER.unpack(file.read())
            file.seek(size - _FOOTER.size - length)
            raw = json.loads(file.read(length))
            raw["packets"] = [Packet(*p) for p in raw["packets"]]
            index = Index(**raw)
    except (OSError, struct.error, ValueError, TypeError, LookupError, RecursionError):
        return None
    payload = sum(p.size for p in index.packets)
    return index if magic == _MAGIC and payload + length + _FOOTER.size == size else None


def is_sound(path: Path) -> bool:
    """Whether every byte of a finished segment is what was written. Reads the whole file."""
    try:
        with path.open("rb") as file:
            left = file.seek(0, os.SEEK_END) - _FOOTER.size
            file.seek(0)
            checksum = 0
            while left > 0 and (chunk := file.read(min(left, _CHUNK))):
                checksum = zlib.crc32(chunk, checksum)
                left -= len(chunk)
            return bool(_FOOTER.unpack(file.read())[1] == checksum)
    except (OSError, struct.error):
        return False


def read_payloads(path: Path, index: Index) -> Iterator[bytes]:
    """The packets' bytes, in decoding order."""
    with path.open("rb") as file:
        for packet in index.packets:
            yield file.read(packet.size)


def save_frame(path: Path, frame: Frame) -> None:
    """Keep a frame exactly (but for its metadata), under its name only when complete."""
    import numpy as np

    arrays = {"pixels": frame.pixels}
    if frame.alpha is not None:
        arrays["alpha"] = frame.alpha
    times = [frame.index, frame.pts, frame.time_base and str(frame.time_base), frame.duration]
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez(file, times=np.array(json.dumps(times)), **arrays)  # type: ignore[arg-type]
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def load_frame(path: Path) -> Frame | None:
    """The frame that :func:`save_frame` kept; None if there is none or it cannot be read."""
    from fractions import Fraction

    import numpy as np

    from stylepipe.types import Frame

    try:
        with np.load(path, allow_pickle=False) as data:
            index, pts, time_base, duration = json.loads(str(data["times"]))
            arrays = {name: data[name] for name in data.files}
            base = Fraction(time_base) if time_base else None
            return Frame(arrays["pixels"], arrays.get("alpha"), index, pts, base, duration)
    except Exception:  # a damaged archive raises any of a dozen kinds; all mean the same here
        return None
