"""Results that lie in a folder already, whoever painted them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from stylepipe.errors import UsageError
from stylepipe.pictures import PICTURE_SUFFIXES
from stylepipe.studies.sweep import Done
from stylepipe.studies.variants import Variant
from stylepipe.types import Item


def pictures_below(folder: Path) -> list[Path]:
    """Pictures by their suffixes, sorted."""
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in PICTURE_SUFFIXES)


def named_alike(folder: Path, names: Sequence[Path]) -> Mapping[Path, Path]:
    """The results in a folder of photos with these relative names: of the same name, or with
    another suffix of a picture. Raises UsageError where a result may belong to several photos, or
    a photo has several results."""
    found: dict[Path, Path] = {}
    owners: dict[Path, Path] = {}
    exact = {name for name in names if (folder / name).is_file()}
    for name in names:
        if name in exact:
            found[name] = folder / name
            continue
        others = (name.with_suffix(suffix) for suffix in PICTURE_SUFFIXES)
        files = [other for other in others if (folder / other).is_file() and other not in exact]
        if len(files) > 1:
            several = " and ".join(sorted(map(str, files)))
            raise UsageError(f"{name} has several results in {folder}: {several}; keep one of them")
        for file in files:
            if (first := owners.setdefault(file, name)) != name:
                raise UsageError(
                    f"{folder / file} may be the result of {first} or of {name}; give it the "
                    "suffix of its photo, or rename one of the photos"
                )
            found[name] = folder / file
    return found


def taken(folder: Path, items: Sequence[Item]) -> Done:
    """The results of these items in a folder, see :func:`named_alike`. Raises UsageError where
    there is none of them."""
    results = named_alike(folder, [item.relative for item in items])
    if not results:
        raise UsageError(
            f"{folder} has no result of any of the photos: results have their names, as in "
            f"{folder / items[0].relative}"
        )
    found = [
        replace(item, output=results.get(item.relative, folder / item.relative)) for item in items
    ]
    failures = {
        item.source: f"{folder} has no result of it"
        for item in items
        if item.relative not in results
    }
    return Done(Variant({"what": str(folder)}, {}), folder, found, failures, {})
