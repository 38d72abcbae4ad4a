"""Legends of label maps: which color has which name."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stylepipe import UsageError, read_toml, user_path

SUFFIXES = (".toml", ".csv")
"""Files that a legend can be read from."""
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_COLOR = re.compile(r"#?([0-9A-Fa-f]{6})")
_MOST = 1 << 20
"""Bytes of a CSV file at most."""


def legend_files(texts: Sequence[str]) -> list[Path]:
    """The files among what the option ``legend`` was given."""
    return [user_path(text) for text in texts if _is_file(text)]


def read_legend(texts: Sequence[str]) -> dict[str, int]:
    """The colors 0xRRGGBB of names, from ``NAME=#rrggbb`` and from TOML and CSV files.

    Raises UsageError for what is no legend, and where a name or a color comes twice.
    """
    names: dict[str, int] = {}
    owners: dict[int, str] = {}
    for name, color, where in _entries(texts):
        if not _NAME.fullmatch(name):
            good = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or "sky"
            raise UsageError(
                f"{name!r} in {where} is no name of a class; write letters, digits, - and _, "
                f"such as {good}"
            )
        if name in names:
            raise UsageError(f"{where} names {name!r} twice; leave one out")
        if color in owners:
            raise UsageError(
                f"{where} gives {owners[color]!r} and {name!r} one color, #{color:06x}; give each "
                "a color of its own"
            )
        names[name], owners[color] = color, name
    return names


def _is_file(text: str) -> bool:
    return "=" not in text or Path(text).suffix.lower() in SUFFIXES


def _entries(texts: Sequence[str]) -> Iterator[tuple[str, int, str]]:
    for text in texts:
        if _is_file(text):
            path = user_path(text)
            where = f"the legend {path}"
            for name, color in _read(path, where):
                yield name, _color(color, name, where), where
        else:
            name, _, color = text.partition("=")
            yield name.strip(), _color(color, name, "the legend"), "the legend"


def _read(path: Path, where: str) -> Iterator[tuple[str, Any]]:
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"a legend is a file {' or '.join(SUFFIXES)}, or pairs such as sky=#0080ff, not {path}"
        )
    try:
        if path.suffix.lower() == ".toml":
            content: Mapping[str, Any] = read_toml(path)
            found = list(content.items())
        else:
            with path.open("rb") as file:
                text = file.read(_MOST).decode("utf-8-sig")
            rows = [row for row in csv.reader(text.splitlines()) if any(row)]
            if rows and rows[0][0].strip().lower() == "name":
                del rows[0]  # a head
            found = [(row[0].strip(), [c.strip() for c in row[1:]]) for row in rows]
    except OSError as error:
        raise UsageError(f"{where} cannot be read: {error.strerror or error}") from None
    except (ValueError, csv.Error) as error:
        raise UsageError(f"{where} cannot be read: {error}") from None
    if not found:
        raise UsageError(f'{where} is empty; write a line such as sky = "#0080ff" for each class')
    yield from found


def _color(value: Any, name: str, where: str) -> int:
    """0xRRGGBB of ``#rrggbb``, or of three numbers. Raises UsageError."""
    parts = value if isinstance(value, list) else [value]
    if len(parts) == 1 and (match := _COLOR.fullmatch(str(parts[0]).strip())):
        return int(match[1], 16)
    numbers = [str(part) for part in parts]
    if len(parts) == 3 and all(re.fullmatch(r"\d{1,3}", n) and int(n) < 256 for n in numbers):
        red, green, blue = map(int, numbers)
        return red << 16 | green << 8 | blue
    shown = ",".join(numbers)[:60]
    raise UsageError(
        f"{where} gives {name!r} the color {shown!r}; write #rrggbb, or red, green and blue from 0 "
        "to 255"
    )
