"""Catching what C libraries print: they know one terminal, and not to which file a line belongs."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_GUARD = threading.Lock()
"""There is one standard error in a process."""
_STDERR = 2


@contextmanager
def stderr_caught(known: tuple[str, ...]) -> Iterator[list[str]]:
    """Collect the lines that begin with one of ``known``; all others are passed on afterwards.

    They are in the list when the block is left.
    """
    lines: list[str] = []
    with _GUARD, tempfile.TemporaryFile() as file:
        try:
            terminal = os.dup(_STDERR)
        except OSError:  # a process may be without
            terminal = None
        os.dup2(file.fileno(), _STDERR)
        try:
            yield lines
        finally:
            if terminal is None:
                os.close(_STDERR)
            else:
                os.dup2(terminal, _STDERR)
                os.close(terminal)
            file.seek(0)
            for line in file.read().splitlines(keepends=True):
                text = line.decode(errors="replace")
                if text.startswith(known):
                    lines.append(text.strip())
                elif terminal is not None:
                    os.write(_STDERR, line)
