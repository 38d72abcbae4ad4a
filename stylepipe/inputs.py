"""From the paths a user names to items with output paths; every clash is found before a write."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from stylepipe.components import Reader, Writer
from stylepipe.errors import ItemError, NoInputError, UsageError
from stylepipe.presets import Settings
from stylepipe.styles import parse_style
from stylepipe.types import Info, Item


def readers_for(path: Path, readers: Sequence[Reader]) -> list[Reader]:
    """Readers that claim the file's suffix, in order; all of them if none does."""
    suffix = path.suffix.lower()
    return [r for r in readers if suffix in r.patterns] or list(readers)


def writer_for(kind: str, path: Path, writers: Sequence[Writer]) -> Writer | None:
    """The first writer of this kind that writes the path's suffix."""
    suffix = path.suffix.lower()
    return next((w for w in writers if w.kind == kind and suffix in w.patterns), None)


def probe(path: Path, readers: Sequence[Reader]) -> tuple[Reader, Info]:
    """Find the reader that knows what is in the file, and what it says of it. Raises ItemError."""
    if path.is_dir():
        raise ItemError("the folder cannot be read; see to its permissions")
    if not path.is_file():
        raise ItemError("the file is gone, or a link that leads nowhere")
    for reader in readers_for(path, readers):
        info = reader.probe(path)
        if info is not None:
            return reader, info
    raise ItemError(f"no reader knows what is in this {path.suffix or 'file'}")


def find_items(
    inputs: Sequence[Path], output: Path, settings: Settings, limit: int | None = None
) -> tuple[list[Item], bool]:
    """Find the input files, decide where each result goes, and whether ``output`` is one file.

    Folders are searched recursively, in sorted order, links included; hidden files are left out. A
    folder that cannot be read becomes an item too, which fails in its turn. The tree below each
    folder is mirrored under ``output``. Raises NoInputError if nothing matches, UsageError if the
    output equals or lies inside an input, or if a result would replace another, or a source.
    """
    inputs = _expand(inputs)
    _check_places(inputs, output)
    if _is_one_file(inputs, output, settings.writers):
        return [Item(0, inputs[0], inputs[0].parent, output)], True
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
    return items[:limit], False


def _is_one_file(inputs: Sequence[Path], output: Path, writers: Sequence[Writer]) -> bool:
    if output.is_dir():
        return False
    one = len(inputs) == 1 and inputs[0].is_file()
    known = sorted({s for w in writers for s in w.patterns})
    if output.suffix.lower() in known or output.is_file():
        if not one:
            raise UsageError(
                f"{output} is one file, but several results need a folder; choose another --output"
            )
        if output.suffix.lower() in known:
            return True
    if one and 2 <= len(output.suffix) <= 5:
        raise UsageError(
            f"cannot write {output.suffix} files, only {' '.join(known)}; if {output} is to be a "
            "folder, make it first"
        )
    return False


def _expand(inputs: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in inputs:
        try:
            there = path.exists()
        except OSError as error:
            raise NoInputError(f"cannot read {path}: {error.strerror}") from error
        if there:
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
    """(root, file or unreadable folder), each once, however often it was named."""
    seen: set[str] = set()
    for path in inputs:
        files = [path] if path.is_file() else _files_below(path, suffixes)
        root = path.parent if path.is_file() else path
        for file in files:
            name = os.path.abspath(file)
            if name not in seen:
                seen.add(name)
                yield root, file


def _files_below(folder: Path, suffixes: set[str]) -> Iterator[Path]:
    visited: set[str] = set()
    unreadable: list[Path] = []
    walk = os.walk(folder, onerror=lambda e: unreadable.append(Path(e.filename)), followlinks=True)
    for parent, folders, names in walk:
        visited.add(os.path.realpath(parent))
        folders[:] = sorted(
            f
            for f in folders
            if not f.startswith(".") and os.path.realpath(Path(parent) / f) not in visited
        )
        for name in sorted(names):
            if not name.startswith(".") and Path(name).suffix.lower() in suffixes:
                yield Path(parent) / name
    yield from unreadable


def _name(source: Path, index: int, settings: Settings) -> str:
    readers = readers_for(source, settings.readers)
    kinds = [r.kind for r in readers]
    suffix = source.suffix
    writable = {s for w in settings.writers for s in w.patterns}
    wanted = f".{settings.output.format}"
    # A suffix may belong to writers of both kinds: .png is a picture or an animation.
    if any(w.kind in kinds and wanted in w.patterns for w in settings.writers):
        suffix = wanted
    elif suffix.lower() not in writable:
        writer = next((w for w in settings.writers if w.kind == kinds[0]), None)
        first = writer.patterns[0] if writer else suffix
        suffix = readers[0].instead.get(suffix.lower(), first)
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
    sources = {os.path.realpath(item.source): item for item in items}
    for item in items:
        # Case is folded: two names that differ in case only are one file on many disks.
        key = os.path.normcase(str(item.output)).casefold()
        other = owners.setdefault(key, item)
        if other is not item:
            raise UsageError(
                f"{other.source} and {item.source} would both be written to {item.output}; "
                "run them into different folders, or tell them apart with --name"
            )
        if source := sources.get(os.path.realpath(item.output)):
            raise UsageError(
                f"{source.source} would be overwritten by the result of {item.source}; choose "
                "another --output"
            )
