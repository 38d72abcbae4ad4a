"""Text for people: names that cannot move the cursor, and standard streams that may be gone."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, ends of lines, changes of direction, and bytes that are no text."""
listeners: list[Callable[[str], None]] = []
"""Called with all messages and notes: the file of ``--log``."""


def printable(text: str) -> str:
    """One line that shows all that is in ``text``: what cannot be shown is escaped, as in Python.

    File names may hold anything: an escape sequence that colors the terminal, an end of line that
    begins a message of its own, bytes of another encoding.
    """
    return _UNSAFE.sub(_escaped, text)


def note(text: str) -> None:
    """Pass it to the listeners alone: what is of use later, and not worth a line now."""
    for listener in listeners:
        listener(text)


def tell(text: str) -> None:
    """Write to stderr and end the line; where that is closed or full, there is nobody to tell."""
    note(text)
    if sys.stderr is not None:  # as in a program without a console
        with suppress(OSError, ValueError):
            print(text, file=sys.stderr, flush=True)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person watches the stream, which may be gone."""
    return stream is not None and not stream.closed and stream.isatty()


def secure_streams() -> None:
    """For a program's start: let no file of ours take the place of a stream that is closed.

    A picture opened as file 2 would receive every warning of a library. Writing to what was closed
    fails from now on, as it does for other programs; stderr is given up silently. What the
    streams' encodings cannot hold is escaped.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDONLY)  # takes the lowest number that is free: this one
    sys.stdout = Output(_buffered(sys.stdout, 1), **_manner(sys.stdout))
    sys.stderr = _Patient(_buffered(sys.stderr, 2), **_manner(sys.stderr), write_through=True)


class Output(io.TextIOWrapper):
    """Standard output that remembers why it could not be written, and fails but once."""

    failed: OSError | None = None

    def write(self, text: str) -> int:
        with self._remembering():
            return super().write(text)

    def flush(self) -> None:
        if self.failed is None:  # Python flushes it once more at its end
            with self._remembering():
                super().flush()

    @contextmanager
    def _remembering(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.failed = error
            raise


class _Patient(io.TextIOWrapper):
    """A stream that may be lost without ending the job."""

    def write(self, text: str) -> int:
        with suppress(OSError):
            super().write(text)
            super().flush()
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()


def _buffered(stream: TextIO | None, number: int) -> io.BufferedWriter:
    """The same file, or console, with a buffer of its own."""
    buffer = getattr(stream, "buffer", None) or io.FileIO(number, "w", closefd=False)
    return io.BufferedWriter(getattr(buffer, "raw", buffer))


def _manner(stream: TextIO | None) -> dict[str, Any]:
    return {
        "encoding": getattr(stream, "encoding", "utf-8"),
        "errors": "backslashreplace",
        "line_buffering": getattr(stream, "line_buffering", False),
    }


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:  # how Python keeps a byte that is no text
        code -= 0xDC00
    if code < 0x100:
        return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(match[0], f"\\x{code:02x}")
    return f"\\u{code:04x}"
