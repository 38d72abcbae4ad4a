"""A table of paintings to learn, for ``stylepipe train fast --paintings``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stylepipe import Options, UsageError, option, read_toml

if TYPE_CHECKING:
    from stylepipe.nst.training.styles import Exemplar


class ExemplarOptions(Options):
    """One ``[style-name]`` of the table."""

    file: Path | None = option(None, "Picture, relative to the table.")
    title: str = option("", "What people call it.")
    artist: str = option("", "Who painted it.")
    year: str = option("", "When.")
    weight: float = option(1.0, "Of its style, over the others'.", min=0)
    size: int | None = option(None, "Short side in pixels, instead of --style-size.", min=32)
    trim: float = option(0.0, "Part of each side to cut off.", min=0, max=0.4)


def read_exemplars(path: Path) -> list[Exemplar]:
    """The paintings of a TOML file: a table ``[name]`` for each, with the keys of ExemplarOptions.

    Raises UsageError where it is no such file, or a picture is missing.
    """
    from stylepipe.nst.networks import StyleRecord
    from stylepipe.nst.training.styles import Exemplar

    try:
        tables = read_toml(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read the table of paintings {path}: {error}") from error
    exemplars = []
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise UsageError(f"{path}: {name!r} stands outside of a table such as [starry-night]")
        try:
            entry = ExemplarOptions.build(table, "key")
        except UsageError as error:
            raise UsageError(f"{path}: {name}: {error}") from error
        if entry.file is None or not (path.parent / entry.file).is_file():
            raise UsageError(f"{path}: {name}: file must name a picture; there is no {entry.file}")
        file = path.parent / entry.file
        record = StyleRecord(name, entry.title, entry.artist, entry.year, file.name)
        exemplars.append(Exemplar(record, file, entry.weight, entry.size, entry.trim))
    if not exemplars:
        raise UsageError(f"{path} names no painting: give a table such as [starry-night] for each")
    return exemplars
