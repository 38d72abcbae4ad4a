"""Text for people: names that cannot move the cursor, and standard streams that may be gone."""

from __future__ import annotations

import io
import os
import re
import sys
from contextlib import suppress

_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, ends of lines, changes of direction, and bytes that are no text."""


def printable(text: str) -> str:
    """One line that shows all that is in ``text``: what cannot be shown is escaped, as in Python.

    File names may hold anything: an escape sequence that colours the terminal, an end of line that
    begins a message of its own, bytes of another encoding.
    """
    return _UNSAFE.sub(_escaped, text)


def tell(text: str) -> None:
    """Write to stderr and end the line; where that is closed or full, there is nobody to tell."""
    if sys.stderr is not None:  # as in a program without a console
        with suppress(OSError, ValueError):
            print(text, file=sys.stderr, flush=True)


def secure_streams() -> None:
    """For a program's start: let no file of ours take the place of a stream that is closed.

    A picture opened as file 2 would receive every warning of a library. Writing to what was closed
    fails from now on, as it does for other programs; stderr is given up silently.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDONLY)  # takes the lowest number that is free: this one
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.stderr = _Patient(
        io.FileIO(2, "w", closefd=False),
        encoding=getattr(sys.stderr, "encoding", "utf-8"),
        errors="backslashreplace",
        write_through=True,
    )


class _Patient(io.TextIOWrapper):
    """A stream whose loss ends nothing."""

    def write(self, text: str) -> int:
        with suppress(OSError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:  # how Python keeps a byte that is no text
        code -= 0xDC00
    if code < 0x100:
        return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(match[0], f"\\x{code:02x}")
    return f"\\u{code:04x}"
