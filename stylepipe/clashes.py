"""Results that would replace each other, or a file that the run reads: known before a write."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from stylepipe.places import nearest
from stylepipe.presets import Settings
from stylepipe.types import Item

_NAMED = 3
"""Rivals of an item that are told by name."""


def clashes(items: Sequence[Item], settings: Settings) -> dict[int, str]:
    """By the item's index, in one sentence: what its result would replace, and what to do."""
    found: dict[int, str] = {}
    rivals: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        # Case is folded: two names that differ in case only are one file on many disks.
        rivals[os.path.normcase(str(item.output)).casefold()].append(item)
    for group in rivals.values():
        for item in group if len(group) > 1 else ():
            others = [o for o in group if o is not item and not _are_two_files(item, o)]
            if others:
                found[item.index] = _rivalry(item, others, settings)
    reads = {os.path.realpath(item.source): item.source for item in items}
    reads |= {os.path.realpath(file): file for file in _files_of(settings)}
    for item in items:
        if file := reads.get(os.path.realpath(item.output)):
            found[item.index] = (
                f"its result would replace {file}, which this run reads; choose another --output"
            )
    return found


def _are_two_files(one: Item, other: Item) -> bool:
    """Whether names that differ in case only are two files in the place of the results, too: they
    are on the disk of the sources, where both are there side by side.
    """
    names = {str(item.source).casefold() for item in (one, other)}
    if one.output == other.output or len(names) > 1:
        return False
    try:
        places = (one.source, other.source, nearest(one.output.parent))
        disks = {path.stat().st_dev for path in places}
        return len(disks) == 1 and not one.source.samefile(other.source)
    except OSError:
        return False


def _rivalry(item: Item, others: Sequence[Item], settings: Settings) -> str:
    names = ", ".join(str(o.source) for o in others[:_NAMED])
    more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
    suffix = item.source.suffix.casefold()
    apart = all(o.source.suffix.casefold() != suffix for o in others)
    field = "{suffix}" if apart and "{suffix}" not in settings.output.name else "{index:04d}"
    return (
        f"its result {item.output} would be that of {names}{more}, too; tell them apart, as with "
        f"--name '{settings.output.name}-{field}', or run them into different folders"
    )


def _files_of(settings: Settings) -> Iterable[Path]:
    """The files that the settings name, those in folders too."""
    parts = (settings.masker, settings.stylizer, settings.flow)
    for path in [path for part in parts if part is not None for path in part.files()]:
        if path.is_dir():
            for folder, _, names in os.walk(path):
                yield from (Path(folder) / name for name in names)
        else:
            yield path
