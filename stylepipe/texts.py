"""Texts from outside, bounded before they are used or shown."""

from __future__ import annotations

import reprlib
import tomllib
from collections import Counter
from collections.abc import Hashable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast, get_type_hints

T = TypeVar("T")

_MAX_BYTES = 1 << 16
"""Bytes of a TOML file at most: presets are a few lines."""
_DOTS = 200
"""Dots of a line at most: for a key of n parts the parser takes n*n steps, and as much memory."""
_KINDS = 12
"""Kinds of files that are listed by name."""
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 120


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file. Raises OSError, or ValueError, which says what is wrong."""
    with path.open("rb") as file:
        data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise ValueError(f"it is larger than {_MAX_BYTES >> 10} KiB")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8 text") from None
    for number, line in enumerate(text.splitlines(), 1):
        if line.count(".") > _DOTS:
            raise ValueError(f"it has more than {_DOTS} dots in line {number}")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("its values are nested too deeply") from None


def as_record(kind: type[T], values: Mapping[str, Any]) -> T:
    """The dataclass ``kind`` from the values of a JSON object, which anybody may have written.

    Its fields are plain: texts, numbers, None. Raises TypeError for an unknown or a missing field,
    and for a value of another type.
    """
    record, hints = kind(**values), _hints(cast(Hashable, kind))
    for name, value in values.items():
        if not isinstance(value, hints[name]):
            raise TypeError(f"{name} cannot be {shown(value)}")
    return record


@cache
def _hints(kind: Hashable) -> dict[str, Any]:
    return get_type_hints(kind)


def shown(value: object) -> str:
    """A value as messages quote it, cut where it is long."""
    return _SHORT.repr(value)


def told_kinds(counts: Counter[str]) -> str:
    """Suffixes with how often each came, the most frequent first: ``3 .cr2, 1 .psd``."""
    shown = counts.most_common(_KINDS)
    rest = sum(counts.values()) - sum(count for _, count in shown)
    return ", ".join(f"{count} {kind}" for kind, count in shown) + (f", {rest} more" * bool(rest))
