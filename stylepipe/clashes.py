"""Results that would replace each other, or an input: found before anything is written."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from stylepipe.job import Settings
from stylepipe.places import nearest
from stylepipe.types import Item

_NAMED = 3
"""Rivals of an item that are listed by name."""


def clashes(items: Sequence[Item], settings: Settings) -> dict[int, str]:
    """By the item's index, in one sentence: what its result would replace, and what to do."""
    found: dict[int, str] = {}
    rivals: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        # Case is folded: two names that differ in case only are one file on many disks.
        rivals[os.path.normcase(str(item.output)).casefold()].append(item)
    for group in rivals.values():
        if len(group) > 1 and not _are_several_files(group):
            way = _way_out(group, settings)
            found |= {item.index: f"{_rivalry(item, group)}; {way}" for item in group}
    found |= _nested(items)
    reads = {os.path.realpath(item.source): item.source for item in items}
    reads |= {os.path.realpath(file): file for file in _files_of(settings)}
    for item in items:
        if file := reads.get(os.path.realpath(item.output)):
            found[item.index] = (
                f"its result would replace {file}, which this run reads; choose another --output"
            )
    return found


def _nested(items: Sequence[Item]) -> dict[int, str]:
    """Results that would lie inside the folder that is another's result."""
    folders = {item.output: item for item in items if item.folder}
    found: dict[int, str] = {}
    for item in items if folders else ():
        if outer := next((folders[p] for p in item.output.parents if p in folders), None):
            way = "give --name another template, or run them into different folders"
            found[item.index] = f"its result would lie inside that of {outer.source}; {way}"
            found[outer.index] = f"the result of {item.source} would lie inside its own; {way}"
    return found


def _are_several_files(rivals: Sequence[Item]) -> bool:
    """Whether names that differ in case only are several files in the place of the results, too:
    that is on the disk of the sources, where they are there side by side.
    """
    results = {item.output for item in rivals}
    sources = {str(item.source).casefold() for item in rivals}
    if len(results) < len(rivals) or len(sources) > 1:
        return False
    try:
        files = {(found.st_dev, found.st_ino) for found in (i.source.stat() for i in rivals)}
        disk = nearest(rivals[0].output.parent).stat().st_dev
    except OSError:
        return False
    return len(files) == len(rivals) and {device for device, _ in files} == {disk}


def _rivalry(item: Item, group: Sequence[Item]) -> str:
    others = [other for other in group[: _NAMED + 1] if other is not item][:_NAMED]
    names = ", ".join(str(other.source) for other in others)
    rest = len(group) - 1 - len(others)
    more = f" and {rest} more" if rest else ""
    return f"its result {item.output} would be that of {names}{more}, too"


def _way_out(group: Sequence[Item], settings: Settings) -> str:
    name = settings.output.name
    apart = len({item.source.suffix.casefold() for item in group}) == len(group)
    field = "{suffix}" if apart and "{suffix}" not in name else "{index:04d}"
    return f"tell them apart, as with --name '{name}-{field}', or run them into different folders"


def _files_of(settings: Settings) -> Iterable[Path]:
    """The files that the settings name, those in folders too."""
    parts = (settings.masker, settings.stylizer, settings.temporal, settings.flow)
    for path in [path for part in parts if part is not None for path in part.files()]:
        if path.is_dir():
            for folder, _, names in os.walk(path):
                yield from (Path(folder) / name for name in names)
        else:
            yield path
