"""Results that lie in a folder already, whoever painted them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from stylepipe.errors import UsageError
from stylepipe.pictures import PICTURE_SUFFIXES
from stylepipe.studies.sweep import Done
from stylepipe.studies.variants import Variant
from stylepipe.types import Item


def taken(folder: Path, items: Sequence[Item]) -> Done:
    """The results of these items in a folder: files of their names and sub-folders, with any
    suffix of a picture. Raises UsageError where there is none of them."""
    found, failures = [], {}
    for item in items:
        place = folder / item.relative
        files = [place.with_suffix(suffix) for suffix in (place.suffix, *PICTURE_SUFFIXES)]
        result = next((file for file in files if file.is_file()), place)
        found.append(replace(item, output=result))
        if not result.is_file():
            failures[item.source] = f"{folder} has no result of it"
    if len(failures) == len(items):
        raise UsageError(
            f"{folder} has no result of any of the photos: results have their names, as in "
            f"{folder / items[0].relative}"
        )
    return Done(Variant({"what": str(folder)}, {}), folder, found, failures, {})
