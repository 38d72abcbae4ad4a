"""What an output folder remembers: which results are complete, made from what, by which settings.

A result is written under a temporary name in a work folder on the same disk, flushed to the disk,
noted in the journal and then renamed. A kill at any moment leaves either the old state or the new.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

from stylepipe.errors import ItemError, SetupError
from stylepipe.fingerprints import Source, digest, version
from stylepipe.lock import Lock
from stylepipe.places import foreign_folder, is_folder
from stylepipe.plainfile import open_plain, read_lines, refuse_link
from stylepipe.texts import as_record
from stylepipe.types import Item
from stylepipe.version import __version__

WORK_FOLDER = ".stylepipe"
State = Literal["absent", "complete", "stale", "other", "another", "foreign"]
_LINE = 1 << 16
"""Bytes of a line at most; longer ones are none of ours."""


@dataclass(frozen=True)
class Entry:
    """One completed result."""

    settings: str
    name: str
    place: str
    version: str
    content: str
    """The source, as :class:`stylepipe.fingerprints.Source` describes it."""
    result: str
    """The finished file, as :func:`stylepipe.fingerprints.version` describes it."""
    damage: str = ""
    """What was torn or missing in the source; empty if it was whole."""


@dataclass(frozen=True)
class Standing:
    """Where an item's output stands before a run."""

    state: State
    """``absent``: nothing is there. ``complete``: made by these settings from this source.
    ``stale``: made by these settings from an older version of the source. ``other``: made by other
    settings. ``another``: made by these from another file. ``foreign``: made by others, or changed
    since."""
    entry: Entry | None = None
    """What is known of a complete result."""


class Journal:
    """The journal of one output folder, or of one output file.

    A run opens it before asking it anything: while it is open, no other run writes to the output.
    """

    def __init__(self, output: Path, single: bool, settings: str) -> None:
        self._root = output.parent if single else output
        self.folder = self._root / (f".{output.name}{WORK_FOLDER}" if single else WORK_FOLDER)
        """Where the engine keeps its notes and unfinished work."""
        self._files = [self.folder / "journal.jsonl"]
        if single:
            # Beside a single result nothing should stay behind, so it is remembered elsewhere.
            self._files = [*_in_cache(output), *self._files]
        self._file = self._files[0]
        self._settings = settings
        self._sources: dict[Path, Source] = {}
        self._lock: Lock | None = None
        self._made_root = False
        self._entries: dict[str, list[Entry]] = {}
        self._load()

    def _load(self) -> None:
        refuse_link(self.folder)
        self._entries = {}
        for line in chain.from_iterable(read_lines(file, _LINE) for file in self._files):
            try:
                record = json.loads(line)
                output = record.pop("output")
                if not isinstance(output, str):
                    continue
                self._entries.setdefault(output, []).append(as_record(Entry, record))
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                continue  # a line torn by a kill: its item is simply done again

    def open(self) -> None:
        """Take the output for this run alone, and read the journal.

        Raises SetupError if the folder cannot be written, or if another run is writing to it.
        """
        try:
            self._made_root = not self._root.exists()
            self._lock = Lock(self.folder)
            refuse_link(self.folder / "work")
            self._file = _first_writable(self._files)
        except BlockingIOError:
            raise SetupError(
                f"another run is writing to {self._root}; wait for it, or choose another --output"
            ) from None
        except OSError as error:
            raise SetupError(f"cannot write to {self._root}: {error.strerror}") from error
        self._load()

    def close(self) -> None:
        """Remove what no resume needs, and release the output."""
        if self._lock is None:
            return
        with suppress(OSError):  # there is work in it, or none
            (self.folder / "work").rmdir()
        with suppress(OSError):
            if not self._file.stat().st_size:
                self._file.unlink()
        self._lock.release()
        self._lock = None
        if self._made_root:
            with suppress(OSError):  # there are results in it
                self._root.rmdir()

    def look(self, items: Sequence[Item]) -> dict[int, Standing]:
        """Where each item's output stands, by the item's index."""
        return {item.index: self._standing(item) for item in items}

    def _standing(self, item: Item) -> Standing:
        if not (result := version(item.output)):
            return Standing("absent")
        source = self._source(item)
        state: State = "foreign"
        for entry in reversed(self._entries.get(self._key(item), [])):  # the latest first
            if entry.result != result:
                continue
            if entry.settings != self._settings:
                state = "other"
            elif _is_made_of(source, entry):
                return Standing("complete", entry)
            elif (entry.name, entry.place) == (source.name, source.place):
                return Standing("stale")
            elif state == "foreign":
                state = "another"
        return Standing(state)

    def renamed(self, items: Sequence[Item]) -> tuple[Item, str] | None:
        """The first item whose result of these settings is there under another name, with that."""
        known: dict[str, list[tuple[str, Entry]]] = {}
        for key, entries in self._entries.items():
            for entry in entries:
                # os.path raises nothing, whatever the name that a line holds
                if entry.settings == self._settings and os.path.exists(self._root / key):  # noqa: PTH110
                    known.setdefault(entry.name, []).append((key, entry))
        for item in items:
            source, own = self._source(item), self._key(item)
            for key, entry in known.get(source.name, ()):
                if key != own and (entry.place == source.place or _is_made_of(source, entry)):
                    return item, key
        return None

    def work(self, item: Item) -> Path:
        """The item's own work folder; what a run with other settings or sources left is removed."""
        self._drop_carried(item)
        current = self._work_folder(item)  # reads the source now, before it is decoded
        refuse_link(current)
        for old in self._leftovers(item):
            if old != current:  # one that cannot be removed is in nobody's way
                shutil.rmtree(old, ignore_errors=True)
        current.mkdir(parents=True, exist_ok=True)
        return current

    def discard(self, item: Item) -> None:
        """Remove all that was begun for the item. Raises SetupError."""
        self._drop_carried(item)
        for folder in self._leftovers(item):
            try:
                shutil.rmtree(folder)
            except OSError as error:
                raise SetupError(f"cannot remove {folder}: {error.strerror}") from error

    def keep(self, item: Item) -> None:
        """Leave what was begun to a later run, unless there is nothing."""
        folder = self._work_folder(item)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()

    def commit(self, item: Item, part: Path, damage: str = "") -> None:
        """Put the finished file or folder ``part`` in its place; then it survives a power cut.

        ``damage`` is remembered with it, for later runs to report too. Raises ItemError if a
        folder that is in its place is not all ours to replace.
        """
        item.output.parent.mkdir(parents=True, exist_ok=True)
        if not _on_one_disk(part, item.output.parent):
            # A folder below the output is on another disk, where a file cannot be moved in one go.
            part = self._brought_over(item, part)
        for file in _files_of(part):
            _sync(file)
        # The journal comes first: renaming keeps size and time, so an entry whose rename never
        # happened matches no file, while a file without an entry would look like somebody else's.
        self._note(item, version(part), damage, safe=True)
        self._make_way(item)
        part.replace(item.output)
        _sync_folder(item.output.parent)
        with suppress(SetupError):  # the result is in its place
            self.discard(item)

    def is_ours(self, item: Item) -> bool:
        """Whether what is in the place of the item's result was made here and not changed since."""
        found = version(item.output)
        return any(entry.result == found for entry in self._entries.get(self._key(item), ()))

    def _make_way(self, item: Item) -> None:
        """Move a folder aside, or what is in its place: no rename replaces these in one go.

        A kill before the next rename leaves nothing in its place, but all that the next run needs
        to put it there.
        """
        if not os.path.lexists(item.output) or not (item.folder or is_folder(item.output)):
            return
        if is_folder(item.output) and version(item.output) and not self.is_ours(item):
            raise ItemError(foreign_folder(item))
        item.output.replace(self._aside(item))

    def tidy(self, item: Item, entry: Entry) -> None:
        """Remove what a kill may have left of a complete item.

        Also note where its source is now, so that the next run need not read it again.
        """
        source = self._source(item)
        with suppress(SetupError):  # all is done: what cannot be removed is in nobody's way
            self.discard(item)
        if (entry.place, entry.version) != (source.place, source.version):
            with suppress(OSError):  # a full disk: then it is read again
                self._note(item, entry.result, entry.damage, safe=False)

    def version(self, item: Item) -> str:
        """A word for the item as it is now: another output, setting or source has another."""
        source = self._source(item)
        version = digest(__version__, self._settings, source.name, source.content)
        return f"{self.output_name(item)}-{version[:16]}"

    def output_name(self, item: Item) -> str:
        """How its :meth:`version` begins, up to a dash; known without reading the source."""
        return digest(self._key(item))[:16]

    def _note(self, item: Item, result: str, damage: str, safe: bool) -> None:
        """Add an entry; ``safe``: wait until it is on the disk."""
        source, key = self._source(item), self._key(item)
        entry = Entry(
            self._settings,
            source.name,
            source.place,
            source.version,
            source.content,
            result,
            damage,
        )
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        with os.fdopen(open_plain(self._file, flags), "ab") as journal:
            journal.write(f"\n{json.dumps({'output': key, **asdict(entry)})}".encode())
            journal.flush()
            if safe:
                os.fsync(journal.fileno())
        self._entries.setdefault(key, []).append(entry)

    def _brought_over(self, item: Item, part: Path) -> Path:
        """A copy of ``part`` on the disk of the output."""
        self._drop_carried(item)
        copy = self._carried(item)
        try:
            if item.folder:
                shutil.copytree(part, copy)
                return copy
            with part.open("rb") as source, copy.open("xb") as target:
                shutil.copyfileobj(source, target)
        except BaseException:
            self._drop_carried(item)
            raise
        return copy

    def _drop_carried(self, item: Item) -> None:
        """Remove what a kill or an error left beside the output: a copy, or an old folder."""
        for path in (self._carried(item), self._aside(item)):
            with suppress(OSError):  # there is none; one that stays is never written to
                if is_folder(path) and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()

    def _carried(self, item: Item) -> Path:
        return item.output.with_name(f"{WORK_FOLDER}-{self.output_name(item)}.part")

    def _aside(self, item: Item) -> Path:
        return item.output.with_name(f"{WORK_FOLDER}-{self.output_name(item)}.old")

    def _source(self, item: Item) -> Source:
        if item.source not in self._sources:  # its pages have one
            self._sources[item.source] = Source(item)
        return self._sources[item.source]

    def _key(self, item: Item) -> str:
        return item.output.relative_to(self._root).as_posix()

    def _work_folder(self, item: Item) -> Path:
        return self.folder / "work" / self.version(item)

    def _leftovers(self, item: Item) -> Sequence[Path]:
        return list((self.folder / "work").glob(f"{self.output_name(item)}-*"))


def is_disk_trouble(error: BaseException) -> bool:
    """True if the error means that no further item can be written either."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            return True
        seen = seen.__cause__
    return False


def _is_made_of(source: Source, entry: Entry) -> bool:
    return source.is_same(entry.name, entry.place, entry.version, entry.content)


def _in_cache(output: Path) -> list[Path]:
    """Where a single result is remembered; nowhere if there is no cache."""
    from stylepipe.weights import cache_folder

    folder = cache_folder()
    if folder.parts[0].startswith("~"):  # a user without a home
        return []
    # Not by its place: the folder may move. Size and time distinguish results of one name.
    return [folder / "results" / f"{digest(output.name)[:32]}.jsonl"]


def _first_writable(files: Sequence[Path]) -> Path:
    """The first that can be added to; it is made if need be. Raises the last one's OSError."""
    for file in files[:-1]:
        with suppress(OSError):  # a cache that cannot be written: the next will do
            return _made(file)
    return _made(files[-1])


def _made(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    os.close(open_plain(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT))
    return file


def _on_one_disk(one: Path, other: Path) -> bool:
    return one.stat().st_dev == other.stat().st_dev


def _files_of(path: Path) -> list[Path]:
    return [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":  # elsewhere a folder cannot be opened
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
