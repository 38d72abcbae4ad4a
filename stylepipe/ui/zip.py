"""Results in one ZIP file, made while it is sent, so that it takes no disk space."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

_PIECE = 1 << 20


class _Pipe(io.RawIOBase):
    """Holds what is written until it is taken."""

    def __init__(self) -> None:
        self._data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._data += data
        return len(data)

    def take(self) -> bytes:
        data = bytes(self._data)
        self._data.clear()
        return data


def zipped(root: Path, paths: Iterable[Path]) -> Iterator[bytes]:
    """The pieces of a ZIP file of files and whole folders, with names relative to ``root``. They
    are stored uncompressed, as pictures and films are compressed already."""
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w") as archive:
        for path in paths:
            for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
                if not file.is_file():
                    continue
                name = file.relative_to(root).as_posix()
                info = zipfile.ZipInfo.from_file(file, name, strict_timestamps=False)
                with file.open("rb") as source, archive.open(info, "w") as target:
                    while piece := source.read(_PIECE):
                        target.write(piece)
                        yield pipe.take()
    yield pipe.take()
