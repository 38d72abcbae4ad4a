"""Tables and JSON on stdout, errors in one sentence on stderr."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import Any

import click

from stylepipe.stdio import printable, tell


def print_table(rows: Sequence[Sequence[str]], head: Sequence[str] = ()) -> None:
    """Print rows in columns; on a terminal the last column is wrapped, elsewhere never."""
    lines = [list(map(printable, row)) for row in rows]
    if head and sys.stdout.isatty():
        lines.insert(0, list(head))
    if not lines:
        return
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]) - 1)]
    indent = sum(widths) + 2 * len(widths)
    room = max(shutil.get_terminal_size().columns - indent, 30) if sys.stdout.isatty() else 0
    for number, line in enumerate(lines):
        start = "".join(f"{cell:<{width}}  " for cell, width in zip(line, widths, strict=False))
        last = textwrap.wrap(line[-1], room) if room else [line[-1]]
        text = (start + ("\n" + " " * indent).join(last or [""])).rstrip()
        click.echo(click.style(text, bold=True) if head and number == 0 and room else text)


def print_json(value: Any) -> None:
    """Print one JSON document. It is ASCII: names may hold what the stream's encoding cannot."""
    click.echo(json.dumps(value, indent=2, default=str))


def complain(message: str) -> None:
    """Print an error to stderr, in one line."""
    tell(f"error: {printable(message)}")


def sentence_of(error: click.ClickException) -> str:
    """The message as ours are written: without a capital or a full stop."""
    message = " ".join(error.format_message().split()).rstrip(".")
    return message[:1].lower() + message[1:]
