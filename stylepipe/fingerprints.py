"""What a result depends on, as short texts that change when any of it changes."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from stylepipe.components import Component
from stylepipe.presets import Settings

_OWN = ("stylepipe", "stylepipe_plugins")


def settings_fingerprint(settings: Settings, precision: str) -> str:
    """Changes with any setting, with a file that a setting names, and with a plugin's code.

    The version of stylepipe is left out: finished results stay finished after an upgrade.
    """
    chosen = (settings.masker, settings.stylizer, settings.flow)
    described = settings.describe()
    options = {"input": settings.input} | {
        table: part.options
        for table, part in zip(("mask", "stylizer", "temporal"), chosen, strict=True)
        if part
    }
    for table, values in options.items():
        for spec in values.specs():
            if spec.aside:
                del described[table][spec.name]
    parts = [json.dumps(described, sort_keys=True), precision]
    for component in (*settings.readers, *(c for c in chosen if c), *settings.writers):
        parts += [stamp(path) for path in _files(component.files())]
        parts += _code(component)
    return digest(*parts)


def stamp(path: Path) -> str:
    """Path, size and modification time of a file; only the path if it cannot be found."""
    try:
        found = path.stat()
    except OSError:
        return f"{path} is gone"
    return f"{path} {found.st_size} {found.st_mtime_ns}"


def digest(*parts: str) -> str:
    """64 hexadecimal digits. File names that are no valid text are welcome."""
    data = "\0".join(parts).encode("utf-8", "surrogateescape")
    return hashlib.sha256(data).hexdigest()


def _files(paths: Iterable[Path]) -> Iterable[Path]:
    for path in paths:
        if path.is_dir():
            for folder, folders, names in os.walk(path):
                folders.sort()
                yield from (Path(folder) / name for name in sorted(names))
        else:
            yield path


def _code(component: Component) -> list[str]:
    """The source file of a plugin that does not belong to stylepipe itself."""
    name = type(component).__module__
    source = getattr(sys.modules.get(name), "__file__", None)
    return [stamp(Path(source))] if source and name.split(".")[0] not in _OWN else []
