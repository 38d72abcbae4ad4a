"""One writer to an output at a time."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from stylepipe.plainfile import open_plain

_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EINVAL)
"""What some network disks answer, which have no locks at all."""


class Lock:
    """A lock on a folder of the engine's own, which goes when it is no longer needed.

    Windows has no locks of this kind: two runs at once are the user's to avoid there.
    """

    def __init__(self, folder: Path) -> None:
        """Take the lock, and make the folder. Raises BlockingIOError if another has it."""
        self._folder, self._file = folder, folder / "lock"
        self._handle: int | None = None
        folder.mkdir(parents=True, exist_ok=True)
        while os.name == "posix" and self._handle is None:
            self._handle = self._attempt()

    def release(self) -> None:
        """Remove the lock, and the folder if nothing is left in it; then let it go.

        In this order: once it is let go, what lies there may be another run's.
        """
        if self._handle is not None:
            with suppress(OSError):  # a disk that has become read-only
                self._file.unlink()
        with suppress(OSError):  # there is more in it, as most often
            self._folder.rmdir()
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _attempt(self) -> int | None:
        """None if a run that ended just now took the file along: it locks others out no more."""
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            handle = open_plain(self._file, os.O_RDWR | os.O_CREAT)
        except FileNotFoundError:
            return None
        try:
            _flock(handle)
            if self._is_seen_by_others(handle):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
        return None

    def _is_seen_by_others(self, handle: int) -> bool:
        try:
            return os.path.samestat(os.fstat(handle), self._file.stat())
        except FileNotFoundError:
            return False


def _flock(handle: int) -> None:
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
