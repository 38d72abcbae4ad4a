"""``--log FILE``: all messages of the program, each line with its time, appended to a file."""

from __future__ import annotations

import re
import time
from pathlib import Path

from stylepipe import stdio
from stylepipe.errors import SetupError, UsageError

_TIMED = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} ")
_HEAD = 32
"""Bytes by which one of our logs is recognized."""


class LogFile:
    """Records what is passed to :func:`stylepipe.stdio.note` until it is closed.

    Lines are written at once and unbuffered, so neither Ctrl-C nor ``kill -9`` loses any.
    """

    def __init__(self, path: Path) -> None:
        """Raises UsageError for a file that is not a log, SetupError if it cannot be written."""
        if path.exists() and not path.is_file():
            raise UsageError(f"--log {path} is not a plain file; name one, such as stylepipe.log")
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
        """Append the lines of a text. A full disk is reported once, and the job continues."""
        now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        lines = "".join(f"{now} {line}\n" for line in text.splitlines())
        try:
            self._file.write(lines.encode(errors="backslashreplace"))
        except OSError as error:
            if not self._broken:
                self._broken = True
                stdio.tell(f"warning: --log {self._path} misses lines: {error.strerror}")

    def close(self) -> None:
        """Stop recording; a second call does nothing."""
        if self.write in stdio.listeners:
            stdio.listeners.remove(self.write)
        self._file.close()
