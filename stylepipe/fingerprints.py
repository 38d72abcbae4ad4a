"""What a result depends on, as short texts that change when any of it changes.

A file counts by what it is, never by how its path was written or where its folder lies: a run from
another folder, by a link, or after a move resumes where the one before stopped.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from stylepipe.components import Component, is_bundled
from stylepipe.job import Settings
from stylepipe.masking import parts_of
from stylepipe.options import Options
from stylepipe.paths import expanded
from stylepipe.patterns import TIMES, files_of
from stylepipe.styles import parse_styles
from stylepipe.types import Item

_WHOLE = 16 << 20
"""Bytes of a file that are read to identify it: all of a photo, samples of a film."""
_SAMPLES = 16


def settings_fingerprint(settings: Settings, precision: str) -> str:
    """Changes with any setting, with a file that a setting names, and with a plugin's code.

    The version of stylepipe is left out: finished results stay finished after an upgrade.
    """
    parts = [options_digest(settings.input), options_digest(settings.output), precision]
    if settings.maskers:
        parts += [options_digest(settings.mask, apart=["protect"])]
        parts += [f"{settings.masker is None} {[term.inverted for _, term in settings.maskers]}"]
    if settings.protection:
        parts += [f"{settings.protection.amount} {len(settings.protection.masker.parts)}"]
    tables: dict[str, Iterable[Component | None]] = {
        "input": settings.readers,
        "mask": [masker for masker, _ in settings.maskers],
        "stylizer": [settings.stylizer],
        "temporal": [settings.temporal, settings.flow],
        "output": settings.writers,
    }
    for region in settings.regions:
        parts += [f"{region.masker is None} {len(parts_of(region.masker))} {region.strength}"]
    tables["region"] = [region.stylizer for region in settings.regions]
    for table, components in tables.items():
        for part in components:
            parts += [] if part else [f"no {table}"]
            if part is not None:
                parts += [table, part.name, options_digest(part.options, part.files())]
                parts += _code(part)
    return digest(*parts)


def options_digest(
    options: Options, files: Iterable[Path] = (), apart: Collection[str] = ()
) -> str:
    """Changes with any of ``files`` and any option, but for those ``apart`` and those that do not
    affect the output.

    Where an option names one of ``files``, what that file is counts and not its path.
    """
    stamps = {path: stamp(path) for path in files}
    described: dict[str, Any] = {}
    for spec in options.specs():
        value = getattr(options, spec.name)
        if not spec.affects_output or spec.name in apart:
            continue
        if spec.name == "style" and spec.repeatable:
            described[spec.name] = [
                (_described(style.name, stamps), style.weight, style.region)
                for style in parse_styles(value)
            ]
        else:
            described[spec.name] = _described(value, stamps)
    return digest(json.dumps(described, sort_keys=True), *stamps.values())


def _described(value: Any, stamps: Mapping[Path, str]) -> Any:
    if isinstance(value, tuple):
        return [_described(v, stamps) for v in value]
    if isinstance(value, Path):  # one that no result depends on is a place to write to
        return stamps.get(value, value.name)
    if isinstance(value, str):
        if (path := expanded(value)) in stamps:
            return stamps[path]
        file, mark, part = value.rpartition("#")  # one part of a file: mine.safetensors#wave
        if mark and (path := expanded(file)) in stamps:
            return f"{stamps[path]}#{part}"
    return value


def stamp(path: Path) -> str:
    """What a file or folder is, wherever it lies and whatever it is called.

    A file of up to 16 MiB counts by its content, a larger one by its size, its modification time
    and samples of its content; a folder, or a pattern of numbered files, by the paths, sizes and
    times of its files, hidden ones left out. Only the name counts if it cannot be read.
    """
    if frames := files_of(path):
        return _stamp_of_pattern(frames.values())
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            return _stamp_of_folder(path)
        if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for
            return f"{path.name} is no file"
        return _stamp_of_file(path, found)
    except OSError:
        return f"{path.name} is gone"


def _stamp_of_file(path: Path, found: os.stat_result) -> str:
    with path.open("rb") as file:
        if found.st_size <= _WHOLE:
            return f"{found.st_size} {hashlib.sha256(file.read(_WHOLE)).hexdigest()}"
        seen, length = hashlib.sha256(), _WHOLE // _SAMPLES
        for number in range(_SAMPLES):  # the first at the beginning, the last at the end
            file.seek((found.st_size - length) * number // (_SAMPLES - 1))
            seen.update(file.read(length))
        return f"{found.st_size} {found.st_mtime_ns} {seen.hexdigest()}"


def _stamp_of_folder(path: Path) -> str:
    seen: list[str] = []
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for name in sorted(n for n in names if not n.startswith(".")):
            file = Path(folder) / name
            seen.append(f"{file.relative_to(path).as_posix()} {version(file)}")
    return digest(*seen)


def _stamp_of_pattern(frames: Iterable[Path]) -> str:
    files = list(frames)
    return digest(*(f"{file.name} {version(file)}" for file in [*files, files[0].with_name(TIMES)]))


def version(path: Path) -> str:
    """Size and modification time, which are quickly read; of a folder the :func:`stamp`.

    Empty if there is no such file, or nothing in the folder.
    """
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            return _stamp_of_folder(path) if any(path.iterdir()) else ""
    except OSError:
        return ""
    return f"{found.st_size} {found.st_mtime_ns}"


class Source:
    """What an item's source was when this was made: what is done to it later does not count."""

    def __init__(self, item: Item) -> None:
        self._path = item.source
        self.name = item.relative.as_posix()
        """Its path below the input root."""
        parent = os.path.realpath(item.source.parent)
        self.place = os.path.join(parent, item.source.name)  # noqa: PTH118 (may be no valid text)
        """Where it lies, however that was written."""
        self.version = stamp(item.source) if files_of(item.source) else version(item.source)
        """Its size and time, or those of all files that a folder holds, or a pattern names."""

    @cached_property
    def content(self) -> str:
        """Its :func:`stamp`, for which it is read; empty if it is gone."""
        return stamp(self._path) if self.version else ""

    def is_same(self, name: str, place: str, version: str, content: str) -> bool:
        """Whether it is what another was: it was not touched since, or the content is the same."""
        if name != self.name or not self.version:
            return False
        if (place, version) == (self.place, self.version):
            return True
        size = self.version.partition(" ")[0]  # which saves reading most that differ
        return f"{content}".partition(" ")[0] == size and content == self.content


def digest(*parts: str) -> str:
    """64 hexadecimal digits. File names that are no valid text are welcome."""
    data = "\0".join(parts).encode("utf-8", "surrogateescape")
    return hashlib.sha256(data).hexdigest()


def _code(component: Component) -> list[str]:
    """The source file of a plugin that does not belong to stylepipe itself."""
    cls = type(component)
    source = getattr(sys.modules.get(cls.__module__), "__file__", None)
    return [stamp(Path(source))] if source and not is_bundled(cls) else []
