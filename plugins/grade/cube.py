"""Adobe .cube files: tables of colors as editors exchange them (Cube LUT Specification 1.0)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stylepipe import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST = {1: 65536, 3: 129}
"""Points along an edge, by dimensions."""
_LARGEST = 200_000_000
"""Bytes of a file that may be one."""


@dataclass(frozen=True)
class Cube:
    """The contents of a file."""

    values: NDArray[np.float32]
    """n 3, or n n n 3 by blue, green, red."""
    low: tuple[float, ...]
    """The red, green and blue of the first point."""
    high: tuple[float, ...]


def read_cube(path: Path) -> Cube:
    """Read a file with one table. Raises UsageError for one that does not follow the rules."""
    try:
        if path.stat().st_size > _LARGEST:
            raise UsageError(f"{path} is too large for a .cube file; name another")
        text = path.read_text("utf-8-sig", "replace")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    try:
        return _parsed(text)
    except ValueError as error:
        raise UsageError(f"{path} is no .cube file to grade by: {error}") from error


def _parsed(text: str) -> Cube:
    import numpy as np

    sizes: dict[int, int] = {}
    domain: dict[str, tuple[float, ...]] = {"DOMAIN_MIN": (0.0,) * 3, "DOMAIN_MAX": (1.0,) * 3}
    numbers: list[str] = []
    for count, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words or words[0] == "TITLE":
            continue
        word, values = words[0], words[1:]
        if word in ("LUT_1D_SIZE", "LUT_3D_SIZE"):
            sizes[int(word[4])] = _size(count, word, values)
        elif word in domain:
            domain[word] = _three(count, values)
        elif word in ("LUT_1D_INPUT_RANGE", "LUT_3D_INPUT_RANGE"):
            if len(values) != 2:
                raise ValueError(f"line {count}: {word} takes two numbers")
            domain = {
                key: _three(count, [value] * 3) for key, value in zip(domain, values, strict=True)
            }
        elif word[0].isalpha() and word.lower() not in ("nan", "inf", "infinity"):
            raise ValueError(f"line {count}: {word[:40]} is no word of such files")
        else:
            _three(count, words)
            numbers += words
    if not sizes:
        raise ValueError("it has no LUT_3D_SIZE or LUT_1D_SIZE")
    if len(sizes) > 1:
        raise ValueError("it has two tables, of one and of three dimensions; export one of them")
    ((dimensions, size),) = sizes.items()
    if len(numbers) != 3 * size**dimensions:
        raise ValueError(
            f"{size**dimensions} lines of numbers belong to its size {size}, not "
            f"{len(numbers) // 3}; it may be cut off"
        )
    low, high = domain["DOMAIN_MIN"], domain["DOMAIN_MAX"]
    if any(first >= last for first, last in zip(low, high, strict=True)):
        raise ValueError("its domain ends where it begins, or before")
    shape = (size,) * dimensions + (3,)
    return Cube(np.array(numbers, np.float32).reshape(shape), low, high)


def _size(count: int, word: str, values: list[str]) -> int:
    most = MOST[int(word[4])]
    if len(values) != 1 or not values[0].isdecimal() or not 2 <= int(values[0]) <= most:
        raise ValueError(f"line {count}: {word} is a whole number from 2 to {most}")
    return int(values[0])


def _three(count: int, words: list[str]) -> tuple[float, ...]:
    try:
        found = tuple(map(float, words))
    except ValueError:
        found = ()
    # sizes that a float32 cannot hold are no colors either
    if len(found) != 3 or not all(abs(value) < 1e6 for value in found):
        raise ValueError(f"line {count}: a color is three finite numbers")
    return found


def cube_text(values: NDArray[np.float32], title: str) -> str:
    """The file for a table, n n n 3 by blue, green, red, of colors in [0, 1]."""
    quoted = "".join(c for c in title if c.isprintable() and c != '"')
    head = [
        f'TITLE "{quoted}"',
        "# for pictures in sRGB",
        f"LUT_3D_SIZE {len(values)}",
        "DOMAIN_MIN 0 0 0",
        "DOMAIN_MAX 1 1 1",
    ]
    rows = [f"{red:.7f} {green:.7f} {blue:.7f}" for red, green, blue in values.reshape(-1, 3)]
    return "\n".join([*head, *rows, ""])
