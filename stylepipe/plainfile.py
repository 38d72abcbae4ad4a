"""Opening the engine's own files beside results: never through a link, never a pipe."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from stylepipe.errors import SetupError

_SAFE = sum(getattr(os, f"O_{name}", 0) for name in ("NOFOLLOW", "NONBLOCK", "CLOEXEC", "BINARY"))
_NO_FILE = (errno.ELOOP, errno.EMLINK, errno.ENXIO, errno.EISDIR)


def open_plain(path: Path, flags: int) -> int:
    """A descriptor of a regular file, opened or made as ``flags`` of ``os.open`` say.

    Whoever may write to the folder could put a link there, through which another file would be
    written, or a pipe, on which a run would wait for ever. Raises SetupError for these, OSError
    as ``os.open`` does.
    """
    try:
        handle = os.open(path, flags | _SAFE, 0o644)
    except OSError as error:
        if error.errno in _NO_FILE:
            raise _foreign(path) from error
        raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise _foreign(path)
    return handle


def read_lines(path: Path, longest: int = -1) -> Iterator[bytes]:
    """The lines of a regular file, longer ones in pieces; none if it is not there.

    Raises SetupError.
    """
    try:
        with os.fdopen(open_plain(path, os.O_RDONLY), "rb") as file:
            while line := file.readline(longest):
                yield line
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise SetupError(f"cannot read {path}: {error.strerror}") from error


def refuse_link(folder: Path) -> None:
    """Raise SetupError if a folder of the engine's own is a link, which leads to another's."""
    if folder.is_symlink():
        raise _foreign(folder)


def _foreign(path: Path) -> SetupError:
    return SetupError(
        f"{path} is a link, a pipe or the like where stylepipe keeps notes of its own; move it "
        "away and run again"
    )
