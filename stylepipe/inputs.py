"""From the paths a user names to items with output paths; every clash is found before a write."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from stylepipe.components import Reader, StyleRef, Writer
from stylepipe.errors import NoInputError, UsageError
from stylepipe.presets import Settings
from stylepipe.types import Item

WORK_FOLDER = ".stylepipe"


def readers_for(path: Path, readers: Sequence[Reader]) -> list[Reader]:
    """Readers that claim the file's suffix, in order; all of them if none does."""
    suffix = path.suffix.lower()
    return [r for r in readers if suffix in r.patterns] or list(readers)


def writer_for(kind: str, path: Path, writers: Sequence[Writer]) -> Writer | None:
    """The first writer of this kind that writes the path's suffix."""
    suffix = path.suffix.lower()
    return next((w for w in writers if w.kind == kind and suffix in w.patterns), None)


def is_single_output(inputs: Sequence[Path], output: Path, writers: Sequence[Writer]) -> bool:
    """True if ``output`` names the one result file rather than a folder."""
    if len(inputs) != 1 or not inputs[0].is_file() or output.is_dir():
        return False
    return any(output.suffix.lower() in w.patterns for w in writers)


def find_items(
    inputs: Sequence[Path], output: Path, settings: Settings, limit: int | None = None
) -> list[Item]:
    """Find the input files and decide where each result goes.

    Folders are searched recursively, in sorted order; hidden files are left out. The tree below
    each folder is mirrored under ``output``. Raises NoInputError if nothing matches, UsageError if
    the output equals or lies inside an input, or if two inputs would share one output.
    """
    inputs = _expand(inputs)
    _check_places(inputs, output)
    if is_single_output(inputs, output, settings.writers):
        return [Item(0, inputs[0], inputs[0].parent, output)]
    if output.is_file():
        raise UsageError(
            f"{output} is a file, but several results need a folder; choose another --output"
        )
    suffixes = {s for r in settings.readers for s in r.patterns}
    items: list[Item] = []
    for root, source in _walk(inputs, suffixes):
        relative = source.relative_to(root)
        target = output / relative.parent / _name(source, len(items), settings)
        items.append(Item(len(items), source, root, target))
    if not items:
        places = ", ".join(str(p) for p in inputs)
        raise NoInputError(
            f"no photo or video found in {places}; known types: {' '.join(sorted(suffixes))}"
        )
    _check_collisions(items)
    return items[:limit]


def parse_style(text: str) -> StyleRef:
    """Read ``STYLE[:WEIGHT]``. Raises UsageError for a weight that is not positive."""
    name, colon, tail = text.rpartition(":")
    try:
        weight = float(tail)
    except ValueError:
        return StyleRef(text, 1.0)
    if not colon or not name:
        return StyleRef(text, 1.0)
    if not 0 < weight < float("inf"):
        raise UsageError(f"the weight of style {name!r} must be positive, not {tail}")
    return StyleRef(name, weight)


def parse_styles(texts: Sequence[str]) -> list[StyleRef]:
    """Read several styles; their weights are scaled to sum to 1."""
    styles = [parse_style(text) for text in texts]
    total = sum(style.weight for style in styles)
    return [StyleRef(style.name, style.weight / total) for style in styles]


def _expand(inputs: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in inputs:
        if path.exists():
            found.append(path)
        elif matches := sorted(glob.glob(str(path))):  # noqa: PTH207 (takes any pattern)
            found.extend(Path(m) for m in matches)
        else:
            raise NoInputError(f"no such file or folder: {path}")
    return found


def _check_places(inputs: Sequence[Path], output: Path) -> None:
    target = output.resolve()
    for path in inputs:
        source = path.resolve()
        if target == source:
            raise UsageError(
                f"the output {output} is the input itself; choose another --output, so that "
                "nothing is lost"
            )
        if path.is_dir() and source in target.parents:
            raise UsageError(
                f"the output {output} lies inside the input folder {path}, so the next run would "
                "stylize its own results; choose a place beside it"
            )


def _walk(inputs: Sequence[Path], suffixes: set[str]) -> Iterator[tuple[Path, Path]]:
    seen: set[Path] = set()
    for path in inputs:
        if path.is_file():
            files = [(path.parent, path)]
        else:
            files = [(path, f) for f in _files_below(path) if f.suffix.lower() in suffixes]
        for root, file in files:
            resolved = file.resolve()
            if resolved not in seen:
                seen.add(resolved)
                yield root, file


def _files_below(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                yield Path(parent) / name


def _name(source: Path, index: int, settings: Settings) -> str:
    kinds = [r.kind for r in readers_for(source, settings.readers)]
    suffix = source.suffix
    writable = {s for w in settings.writers for s in w.patterns}
    wanted = f".{settings.output.format}"
    # A suffix may belong to writers of both kinds: .png is a picture or an animation.
    if any(w.kind in kinds and wanted in w.patterns for w in settings.writers):
        suffix = wanted
    elif suffix.lower() not in writable:
        writer = next((w for w in settings.writers if w.kind == kinds[0]), None)
        suffix = writer.patterns[0] if writer else suffix
    styles = getattr(settings.stylizer.options, "style", ())
    stem = settings.output.name.format(
        stem=source.stem,
        index=index + 1,
        style="+".join(parse_style(s).path.stem for s in styles) or settings.stylizer.name,
        stylizer=settings.stylizer.name,
        preset=Path(settings.preset).stem,
    )
    return stem + suffix


def _check_collisions(items: Sequence[Item]) -> None:
    owners: dict[str, Item] = {}
    for item in items:
        # Case is folded: two names that differ in case only are one file on many disks.
        key = os.path.normcase(str(item.output)).casefold()
        other = owners.setdefault(key, item)
        if other is not item:
            raise UsageError(
                f"{other.source} and {item.source} would both be written to {item.output}; "
                "run them into different folders, or tell them apart with --name"
            )
        if item.output.resolve() == item.source.resolve():
            raise UsageError(f"{item.source} would be overwritten by its own result")
