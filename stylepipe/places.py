"""Places to read from and to write to: which make no sense, and which cannot be written."""

from __future__ import annotations

import os
import re
from pathlib import Path

from stylepipe.errors import ItemError, UsageError
from stylepipe.paths import user_path
from stylepipe.patterns import Pattern, files_of, no_match
from stylepipe.types import Item

LONGEST_NAME = 255
"""Bytes of a file's name that file systems hold."""


def check_output(output: Path) -> None:
    """Raises UsageError for an output that is no place on a disk, with what to type."""
    if str(output) == "-":
        raise UsageError(
            "results cannot be written to standard output; name a file or a folder with --output"
        )
    if (address := _address(output)) and not os.path.exists(output.parent):  # noqa: PTH110
        raise UsageError(f"results cannot be written to {address}; name a file or a folder")
    user_path(output)  # whose name may be too long for any disk


def place_of(output: Path) -> Path:
    """The folder that holds what a pattern of frames names; any other output itself."""
    return output.parent if Pattern.of(output.name) and not output.exists() else output


def no_file(path: Path) -> str:
    """What to say of an input that is not there."""
    if str(path) == "-":
        return "standard input is not read; name a file or a folder"
    if (address := _address(path)) and address.startswith("file:"):
        return f"{address} is an address; name the file itself: {address.removeprefix('file://')}"
    if address:
        return f"{address} is an address, and only files are read; download it, and name the file"
    if Pattern.of(path.name):
        return f"no such file: {path}; {no_match(path)}"
    return f"no such file or folder: {path}"


def check_result(item: Item) -> None:
    """Raises ItemError if the item's result cannot be put where it belongs."""
    size = len(os.fsencode(item.output.name))
    if size > LONGEST_NAME:
        raise ItemError(
            f"the name of its result would have {size} bytes, of {LONGEST_NAME} that a disk holds; "
            "choose a shorter --name"
        )
    if is_folder(item.output) and not item.folder:
        raise ItemError(foreign_folder(item))
    if reason := obstacle(item.output.parent):
        raise ItemError(f"its result cannot be written to {item.output.parent}: {reason}")


def foreign_folder(item: Item) -> str:
    """What to say of a folder in the place of a result: what it holds would be lost."""
    return (
        f"its result cannot be written: {item.output} is a folder; move it away, or choose another "
        "--output"
    )


def is_folder(path: Path) -> bool:
    """Whether a folder is there, and can be looked at."""
    return os.path.isdir(path)  # noqa: PTH112 (raises nothing)


def is_several(path: Path) -> bool:
    """Whether a path stands for several files: a folder, or a pattern of their names."""
    return is_folder(path) or bool(files_of(path))


def obstacle(folder: Path) -> str | None:
    """Why nothing can be written into a folder, which may have to be made; None if it can."""
    folder = nearest(folder)
    if folder.is_symlink() and not os.path.exists(folder):  # noqa: PTH110
        return f"{folder} is a link that leads nowhere"
    if not folder.is_dir():
        return f"{folder} is a file"
    return None if os.access(folder, os.W_OK | os.X_OK) else f"no permission to write in {folder}"


def nearest(path: Path) -> Path:
    """The path itself, or the nearest folder above it that is there."""
    while not os.path.lexists(path) and path.parent != path:
        path = path.parent
    return path


def _address(path: Path) -> str | None:
    """The path as the address it was meant to be, ``https://...``; None if it is none."""
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]+:[/\\]", str(path)):  # C:\ has one letter
        return None
    return path.as_posix().replace(":/", ":///" if str(path).startswith("file:") else "://", 1)
