"""``--log FILE``: all that the program says, each line with its time, appended to a file."""

from __future__ import annotations

import re
import time
from pathlib import Path

from stylepipe import stdio
from stylepipe.errors import SetupError, UsageError

_TIMED = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} ")
_HEAD = 32
"""Bytes by which a log of ours is recognized."""


class LogFile:
    """Listens to :func:`stylepipe.stdio.note` until it is closed.

    Lines are written at once and unbuffered: neither Ctrl-C nor ``kill -9`` costs any.
    """

    def __init__(self, path: Path) -> None:
        """Raises UsageError for a file that is no log, SetupError where it cannot be written."""
        if path.exists() and not path.is_file():
            raise UsageError(f"--log {path} is no plain file; name one, such as stylepipe.log")
        try:
            with path.open("rb") if path.exists() else path.open("xb+") as file:
                head = file.read(_HEAD)
            if head and not _TIMED.match(head):
                raise UsageError(
                    f"--log would write into {path}, which is another file; name a new one"
                )
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise SetupError(f"--log {path} cannot be written: {error.strerror}") from error
        self._path, self._broken = path, False
        stdio.listeners.append(self.write)

    def write(self, text: str) -> None:
        """Append the lines of a text. That the disk is full is told once, and ends no job."""
        now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        lines = "".join(f"{now} {line}\n" for line in text.splitlines())
        try:
            self._file.write(lines.encode(errors="backslashreplace"))
        except OSError as error:
            if not self._broken:
                self._broken = True
                stdio.tell(f"warning: --log {self._path} misses lines: {error.strerror}")

    def close(self) -> None:
        """Listen no more; a second call does nothing."""
        if self.write in stdio.listeners:
            stdio.listeners.remove(self.write)
        self._file.close()
