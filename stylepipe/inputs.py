"""From the paths a user names to items with output paths."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stylepipe import guard
from stylepipe.checks import named
from stylepipe.clashes import clashes
from stylepipe.components import Reader, Writer
from stylepipe.errors import ItemError, NoInputError, SetupError, UsageError, sentence
from stylepipe.job import Settings
from stylepipe.patterns import files_of, title
from stylepipe.places import check_output, is_folder, is_several, no_file, place_of
from stylepipe.styles import parse_style
from stylepipe.texts import shown, told_kinds
from stylepipe.types import Info, Item


def readers_for(path: Path, readers: Sequence[Reader]) -> list[Reader]:
    """Readers that have the file's suffix, in order, or all if none has; of a folder or pattern,
    those that claim it."""
    if is_several(path):
        return [r for r in readers if _claims(r, path)]
    suffix = path.suffix.lower()
    return [r for r in readers if suffix in r.patterns] or list(readers)


def _claims(reader: Reader, path: Path) -> bool:
    """Whether a reader takes a folder or pattern. Raises SetupError where it cannot say."""
    try:
        return reader.claims(path)
    except Exception as error:
        raise SetupError(
            f"{named('reader', reader)} failed when it was asked whether it reads {path}: "
            f"{sentence(error)}; mend that plugin, or leave it out"
        ) from error


def writer_for(kind: str, item: Item, writers: Sequence[Writer]) -> Writer | None:
    """The first writer of this kind that has the pattern of the item's result."""
    return next((w for w in writers if w.kind == kind and item.pattern in w.patterns), None)


def probe(path: Path, readers: Sequence[Reader], page: int = 0) -> tuple[Reader, Info]:
    """Find the reader that knows what is in the file, or on the page, and what it says of it.

    Raises ItemError.
    """
    asked = readers_for(path, readers)
    if not asked:
        raise ItemError("the folder cannot be read; see to its permissions")
    if not (path.is_file() or is_several(path)):
        if path.exists():
            raise ItemError("it is a pipe, a device or the like; only files are read")
        raise ItemError("the file is gone, or a link that leads nowhere")
    for reader in asked:
        found = reader.probe_page(path, page) if page else reader.probe(path)
        info = guard.info(found, reader)
        if info is not None:
            return reader, info
    for reader in readers:
        if reader in asked or not reader.patterns:
            continue
        if path.is_file() and (info := _looked_at(path, reader)):
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
    """What a run has to do, judging by the names of the files."""

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
    folder that a reader claims is one item, and is not searched; so is one that cannot be read,
    which fails in its turn. Pages of a file are items too. The tree below each folder is mirrored
    under ``output``. An item whose result would replace another's, or a file that the run reads, is
    refused; the job continues with the others. A pattern as the output, ``out/%05d.png``, names the
    frames of one film. Raises NoInputError if nothing matches, UsageError if the output cannot be
    meant, equals or lies inside an input.
    """
    check_output(output)
    inputs = _expand(inputs, settings.readers)
    if place_of(output) != output:
        return _numbered(inputs, output, settings)
    _check_places(inputs, output)
    if _is_one_file(inputs, output, settings):
        only = [Item(0, inputs[0], inputs[0].parent, output)]
        _, why = _pages(inputs[0], settings.readers)
        return Found(only, True, {0: why} if why else clashes(only, settings))
    suffixes = {s for r in settings.readers for s in r.patterns}
    items: list[Item] = []
    refused: dict[int, str] = {}
    left_out: Counter[str] = Counter()
    for root, source, page, pages, why in _paged(inputs, settings.readers, left_out):
        relative, index = source.relative_to(root), len(items)
        if why:
            refused[index] = why
        pattern = _pattern(source, settings)
        if pattern is None:
            refused[index] = _other_kind(settings)
            pattern = source.suffix
        name, folder = _stem(source, index, page, pages, settings) + pattern, ""
        if pattern.endswith("/"):
            name, folder = name.removesuffix(pattern), pattern
            if sample := settings.input.sample:
                name += f"-{sample.label}"
        items.append(Item(index, source, root, output / relative.parent / name, folder, page))
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
    one = len(inputs) == 1 and _is_item(inputs[0], settings.readers)
    one = one and not _pages(inputs[0], settings.readers)[0]
    known = sorted({s for w in settings.writers for s in w.patterns if not s.endswith("/")})
    if output.suffix.lower() in known or output.is_file():
        if not one:
            raise UsageError(
                f"{output} is one file, but a folder of inputs may have several results; choose a "
                "folder as --output, or name one input (with --fps the folder of a film's frames "
                "itself)"
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
    said = f".{wanted.format}" if place_of(output) == output else f".{wanted.format}".rstrip("/")
    if wanted.format is not None and output.suffix.lower() != said:
        raise UsageError(
            f"--output {output} and --format {wanted.format} contradict each other; leave one out"
        )
    if "name" in wanted.given():
        raise UsageError(
            f"--name {wanted.name!r} is for a folder of results, and --output {output} is a file; "
            "leave one out (a preset's name is undone by --name '{stem}')"
        )


def _numbered(inputs: Sequence[Path], output: Path, settings: Settings) -> Found:
    """The one film whose frames get the names of a pattern. Raises UsageError."""
    folder, pattern = place_of(output), f"{output.suffix.lower()}/"
    known = sorted({s for w in settings.writers for s in w.patterns if s.endswith("/")})
    if pattern not in known:
        raise UsageError(
            f"numbered frames are pictures, and {output} is none; end its name in one of "
            + " ".join(s.removesuffix("/") for s in known)
        )
    if len(inputs) > 1 or not _is_item(inputs[0], settings.readers):
        raise UsageError(
            f"{output} names the frames of one film, but a folder of inputs may hold several; name "
            f"one input (with --fps the folder of a film's frames itself), or write --output "
            f"{folder} --format {pattern[1:]}, and each film gets its own folder"
        )
    _check_said_once(output, settings)
    if folder.resolve() in (Path.cwd(), *inputs[0].resolve().parents):
        raise UsageError(
            f"the frames get a folder of their own, as by --output frames/{output.name}, and "
            f"{folder} holds other files"
        )
    _check_places(inputs, folder)
    item = Item(0, inputs[0], inputs[0].parent, folder, pattern, frame_names=output.name)
    return Found([item], True, clashes([item], settings))


def _expand(inputs: Sequence[Path], readers: Sequence[Reader]) -> list[Path]:
    found: list[Path] = []
    for path in inputs:
        try:
            there = path.exists()
        except OSError as error:
            raise NoInputError(f"cannot read {path}: {error.strerror}") from error
        if there:
            if not (path.is_file() or is_folder(path)):
                raise NoInputError(f"{path} is neither a file nor a folder")
            found.append(path)
        elif matches := sorted(glob.glob(str(path))):  # noqa: PTH207 (takes any pattern)
            found.extend(Path(m) for m in matches)
        elif frames := files_of(path):
            if not readers_for(path, readers):
                raise UsageError(_untimed(path, frames, readers))
            found.append(path)
        else:
            raise NoInputError(no_file(path))
    return found


def _untimed(path: Path, frames: Mapping[int, Path], readers: Sequence[Reader]) -> str:
    """Why no reader takes the frames that a pattern names, and what to do."""
    if any(path.suffix.lower() in r.patterns for r in readers if r.kind == "image"):
        first, last = min(frames), max(frames)
        return (
            f"{path} names {len(frames)} frames, from {first} to {last}; say how many are shown a "
            "second, as with --fps 25, and they are one film (for photos name their folder)"
        )
    return (
        f"{path} names {len(frames)} files, and {path.suffix or 'such'} files are not read; make "
        "them 16-bit PNG or TIFF first"
    )


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


def _is_item(path: Path, readers: Sequence[Reader]) -> bool:
    """Whether a path that is there is one input: a file, or what a reader claims of others."""
    return path.is_file() or bool(is_several(path) and readers_for(path, readers))


def _pages(path: Path, readers: Sequence[Reader]) -> tuple[int, str]:
    """How many inputs a file is; 0 for one that is an input itself, or fails in its turn.

    And why it is refused, where a reader cannot count: one page in place of all would go unnoticed.
    """
    for reader in readers_for(path, readers):
        try:
            found = reader.pages(path)
        except ItemError:
            continue
        except Exception as error:  # a plugin may raise anything for one file
            return 0, f"{named('reader', reader)} cannot count its pages: {sentence(error)}"
        if not isinstance(found, int) or found < 0:
            return 0, f"{named('reader', reader)} says a file has {shown(found)} pages"
        if found:
            return found, ""
    return 0, ""


def _paged(
    inputs: Sequence[Path], readers: Sequence[Reader], left_out: Counter[str]
) -> Iterator[tuple[Path, Path, int, int, str]]:
    """(root, source, page, number of pages, why it fails): both numbers are 0 where a source is
    one input.
    """
    for root, source in _walk(inputs, readers, left_out):
        pages, why = _pages(source, readers)
        for page in range(1, pages + 1) if pages else (0,):
            yield root, source, page, pages, why


def _walk(
    inputs: Sequence[Path], readers: Sequence[Reader], left_out: Counter[str]
) -> Iterator[tuple[Path, Path]]:
    """(root, file, claimed or unreadable folder), each once, however often and however named."""
    seen: set[str] = set()
    for path in inputs:
        alone = _is_item(path, readers)
        files = [path] if alone else _files_below(path, readers, left_out)
        root = path.parent if alone else path
        for file in files:
            name = os.path.join(os.path.realpath(file.parent), file.name)  # noqa: PTH118
            if name not in seen:
                seen.add(name)
                yield root, file


def _files_below(folder: Path, readers: Sequence[Reader], left_out: Counter[str]) -> Iterator[Path]:
    suffixes = {s for r in readers for s in r.patterns}
    visited: set[str] = set()
    unreadable: list[Path] = []
    walk = os.walk(folder, onerror=lambda e: unreadable.append(Path(e.filename)), followlinks=True)
    for parent, folders, names in walk:
        visited.add(os.path.realpath(parent))
        visible = sorted(f for f in folders if not f.startswith("."))
        claimed = [f for f in visible if any(_claims(r, Path(parent) / f) for r in readers)]
        folders[:] = [
            f
            for f in visible
            if f not in claimed and os.path.realpath(Path(parent) / f) not in visited
        ]
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
        yield from (Path(parent) / name for name in claimed)
    yield from unreadable


def _pattern(source: Path, settings: Settings) -> str | None:
    """The suffix of the source's result, or what a writer has for a folder.

    None if nothing of its kind can be what was asked for.
    """
    suffix = "" if is_several(source) else source.suffix
    readers = readers_for(source, settings.readers) or settings.readers
    kinds = [r.kind for r in readers]
    if settings.input.sample and kinds[0] == "video":  # single pictures in a folder
        return f".{(settings.output.format or 'png').removesuffix('/')}/"
    if settings.output.format is not None:
        wanted = f".{settings.output.format}"
        # A suffix may belong to writers of both kinds: .png is a picture or an animation.
        able = any(w.kind in kinds and wanted in w.patterns for w in settings.writers)
        return wanted if able else None
    if any(suffix.lower() in w.patterns for w in settings.writers):
        return suffix
    last = [w for w in settings.writers if w.kind == kinds[0]][-1:]  # as a rule a bundled one
    first = last[0].patterns[0] if last else suffix
    instead = readers[0].instead.get(suffix.lower(), first)
    return instead if any(instead in w.patterns for w in settings.writers) else first


def _other_kind(settings: Settings) -> str:
    wanted = f".{settings.output.format}"
    kinds = {w.kind for w in settings.writers if wanted in w.patterns}
    able, this = ("photos", "a film") if "image" in kinds else ("films", "a photo")
    return (
        f"--format {settings.output.format} is for {able}, and this is {this}; run the {able} "
        "apart, or leave --format out"
    )


def _stem(source: Path, index: int, page: int, pages: int, settings: Settings) -> str:
    stylizers = [region.stylizer for region in settings.regions if region.stylizer]
    options = [stylizer.options for stylizer in stylizers or [settings.stylizer]]
    styles = list(dict.fromkeys(s for own in options for s in getattr(own, "style", ())))
    folder = is_folder(source)
    template = settings.output.name
    if page and not settings.output.has_field("page"):
        template += f"-{{page:0{len(str(pages))}d}}"
    return template.format(
        stem=source.name if folder else title(source),
        suffix="" if folder else source.suffix[1:],
        index=index + 1,
        page=page or 1,
        style="+".join(parse_style(s).path.stem for s in styles) or settings.stylizer.name,
        stylizer=settings.stylizer.name,
        preset=Path(settings.preset).stem,
    )
