"""From the paths a user names to items with output paths."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stylepipe import guard
from stylepipe.clashes import clashes
from stylepipe.components import Reader, Writer
from stylepipe.errors import ItemError, NoInputError, UsageError
from stylepipe.job import Settings
from stylepipe.places import check_output, no_file
from stylepipe.styles import parse_style
from stylepipe.texts import told_kinds
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
        if path.exists():
            raise ItemError("it is a pipe, a device or the like; only files are read")
        raise ItemError("the file is gone, or a link that leads nowhere")
    asked = readers_for(path, readers)
    for reader in asked:
        info = guard.info(reader.probe(path), reader)
        if info is not None:
            return reader, info
    for reader in readers:
        if reader not in asked and (info := _looked_at(path, reader)):
            kind = "a film" if info.kind == "video" else "a picture"
            raise ItemError(
                f"its content is {kind} ({info.format}), unlike what {path.suffix} says; give it a "
                f"suffix of its kind, such as {reader.patterns[0]}"
            )
    raise ItemError(f"no reader knows what is in this {path.suffix or 'file'}")


def _looked_at(path: Path, reader: Reader) -> Info | None:
    """What a reader makes of a file that its suffix gives to others."""
    try:
        return guard.info(reader.probe(path), reader)
    except Exception:  # the file was never meant for it: what it trips over is no news
        return None


@dataclass(frozen=True)
class Found:
    """What a run has to do, as far as the names of the files tell."""

    items: list[Item]
    single: bool
    """The output is one file, not a folder."""
    refused: Mapping[int, str] = field(default_factory=dict)
    """By the item's index: one sentence why nothing can be written for it."""
    left_out: Counter[str] = field(default_factory=Counter)
    """How many files of each kind were passed over in folders: hidden, or no reader has it."""


def find_items(
    inputs: Sequence[Path], output: Path, settings: Settings, limit: int | None = None
) -> Found:
    """Find the input files, and decide where each result goes.

    Folders are searched recursively, in sorted order, links included; hidden files are left out. A
    folder that cannot be read becomes an item too, which fails in its turn. The tree below each
    folder is mirrored under ``output``. An item whose result would replace another's, or a file
    that the run reads, is refused; the others go on. Raises NoInputError if nothing matches,
    UsageError if the output cannot be meant, equals or lies inside an input.
    """
    check_output(output)
    inputs = _expand(inputs)
    _check_places(inputs, output)
    if _is_one_file(inputs, output, settings):
        only = [Item(0, inputs[0], inputs[0].parent, output)]
        return Found(only, True, clashes(only, settings))
    suffixes = {s for r in settings.readers for s in r.patterns}
    items: list[Item] = []
    refused: dict[int, str] = {}
    left_out: Counter[str] = Counter()
    for root, source in _walk(inputs, suffixes, left_out):
        relative, index = source.relative_to(root), len(items)
        suffix = _suffix(source, settings)
        if suffix is None:
            refused[index] = _other_kind(settings)
        name = _stem(source, index, settings) + (suffix or source.suffix)
        items.append(Item(index, source, root, output / relative.parent / name))
    if not items:
        places = ", ".join(str(p) for p in inputs)
        there = f" (there: {told_kinds(left_out)})" if left_out else ""
        raise NoInputError(
            f"no photo or video found in {places}{there}; known types: {' '.join(sorted(suffixes))}"
        )
    going = [item for item in items if item.index not in refused]
    refused |= clashes(going, settings)
    items = items[:limit]
    kept = {item.index: refused[item.index] for item in items if item.index in refused}
    return Found(items, False, kept, left_out)


def _is_one_file(inputs: Sequence[Path], output: Path, settings: Settings) -> bool:
    if output.is_dir():
        return False
    one = len(inputs) == 1 and inputs[0].is_file()
    known = sorted({s for w in settings.writers for s in w.patterns})
    if output.suffix.lower() in known or output.is_file():
        if not one:
            raise UsageError(
                f"{output} is one file, but several results need a folder; choose another --output"
            )
        if output.suffix.lower() in known:
            _check_said_once(output, settings)
            return True
    if one and 2 <= len(output.suffix) <= 5:
        raise UsageError(
            f"cannot write {output.suffix} files, only {' '.join(known)}; if {output} is to be a "
            "folder, make it first"
        )
    return False


def _check_said_once(output: Path, settings: Settings) -> None:
    """A file's name says all that a format and a template could."""
    wanted = settings.output
    if wanted.format is not None and output.suffix.lower() != f".{wanted.format}":
        raise UsageError(
            f"--output {output} and --format {wanted.format} contradict each other; leave one out"
        )
    if "name" in wanted.given():
        raise UsageError(
            f"--name {wanted.name!r} is for a folder of results, and --output {output} is a file; "
            "leave one out (a preset's name is undone by --name '{stem}')"
        )


def _expand(inputs: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in inputs:
        try:
            there = path.exists()
        except OSError as error:
            raise NoInputError(f"cannot read {path}: {error.strerror}") from error
        if there:
            if not (path.is_file() or path.is_dir()):
                raise NoInputError(f"{path} is neither a file nor a folder")
            found.append(path)
        elif matches := sorted(glob.glob(str(path))):  # noqa: PTH207 (takes any pattern)
            found.extend(Path(m) for m in matches)
        else:
            raise NoInputError(no_file(path))
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


def _walk(
    inputs: Sequence[Path], suffixes: set[str], left_out: Counter[str]
) -> Iterator[tuple[Path, Path]]:
    """(root, file or unreadable folder), each once, however often and however it was named."""
    seen: set[str] = set()
    for path in inputs:
        files = [path] if path.is_file() else _files_below(path, suffixes, left_out)
        root = path.parent if path.is_file() else path
        for file in files:
            name = os.path.join(os.path.realpath(file.parent), file.name)  # noqa: PTH118
            if name not in seen:
                seen.add(name)
                yield root, file


def _files_below(folder: Path, suffixes: set[str], left_out: Counter[str]) -> Iterator[Path]:
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
            suffix = Path(name).suffix.lower()
            if name.startswith("."):
                if suffix in suffixes:
                    left_out["hidden"] += 1
            elif suffix in suffixes:
                yield Path(parent) / name
            else:
                named = 1 < len(suffix) <= 10 and suffix.isprintable()
                left_out[suffix if named else "of no known suffix"] += 1
    yield from unreadable


def _suffix(source: Path, settings: Settings) -> str | None:
    """The suffix of the source's result; None if nothing of its kind can be what was asked for."""
    readers = readers_for(source, settings.readers)
    kinds = [r.kind for r in readers]
    if settings.output.format is not None:
        wanted = f".{settings.output.format}"
        # A suffix may belong to writers of both kinds: .png is a picture or an animation.
        able = any(w.kind in kinds and wanted in w.patterns for w in settings.writers)
        return wanted if able else None
    if any(source.suffix.lower() in w.patterns for w in settings.writers):
        return source.suffix
    writer = next((w for w in settings.writers if w.kind == kinds[0]), None)
    first = writer.patterns[0] if writer else source.suffix
    return readers[0].instead.get(source.suffix.lower(), first)


def _other_kind(settings: Settings) -> str:
    wanted = f".{settings.output.format}"
    kinds = {w.kind for w in settings.writers if wanted in w.patterns}
    able, this = ("photos", "a film") if "image" in kinds else ("films", "a photo")
    return (
        f"--format {settings.output.format} is for {able}, and this is {this}; run the {able} "
        "apart, or leave --format out"
    )


def _stem(source: Path, index: int, settings: Settings) -> str:
    styles = getattr(settings.stylizer.options, "style", ())
    return settings.output.name.format(
        stem=source.stem,
        suffix=source.suffix[1:],
        index=index + 1,
        style="+".join(parse_style(s).path.stem for s in styles) or settings.stylizer.name,
        stylizer=settings.stylizer.name,
        preset=Path(settings.preset).stem,
    )
