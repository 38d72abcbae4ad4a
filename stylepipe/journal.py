"""What an output folder remembers: which results are complete, made from what, by which settings.

A result is written under a temporary name in a work folder on the same disk, flushed to the disk,
noted in the journal and then renamed. A kill at any moment leaves either the old state or the new.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from stylepipe.errors import SetupError
from stylepipe.fingerprints import Source, digest
from stylepipe.types import Item
from stylepipe.version import __version__

WORK_FOLDER = ".stylepipe"
State = Literal["absent", "complete", "stale", "other", "foreign"]
_LINE = 1 << 16
"""Characters of a line at most; longer ones are none of ours."""


@dataclass(frozen=True)
class Entry:
    """One completed result."""

    settings: str
    name: str
    place: str
    version: str
    content: str
    """The source, as :class:`stylepipe.fingerprints.Source` tells it."""
    size: int
    """Bytes of the result."""
    mtime_ns: int
    damage: str = ""
    """What was torn or missing in the source; empty if it was whole."""


class Journal:
    """The journal of one output folder, or of one output file.

    Open it before asking it: nobody else writes to the output while it is open.
    """

    def __init__(self, output: Path, single: bool, settings: str) -> None:
        self._root = output.parent if single else output
        self._folder = self._root / (f".{output.name}{WORK_FOLDER}" if single else WORK_FOLDER)
        self._file = self._folder / "journal.jsonl"
        if single:
            # Beside a single result nothing may stay behind, so it is remembered elsewhere.
            from stylepipe.weights import cache_folder

            # Not by its place: the folder may move. Size and time tell results of one name apart.
            name = digest(output.name)[:32]
            self._file = cache_folder() / "results" / f"{name}.jsonl"
        self._single = single
        self._settings = settings
        self._sources: dict[int, Source] = {}
        self._lock: int | None = None
        self._made_root = False
        self._entries: dict[str, list[Entry]] = {}
        self._load()

    def _load(self) -> None:
        self._entries = {}
        if not self._file.is_file():
            return
        with self._file.open(encoding="utf-8", errors="replace") as lines:
            while line := lines.readline(_LINE):
                try:
                    record = json.loads(line)
                    output = record.pop("output")
                    entry = Entry(**record)
                    hash(entry)  # TypeError for what holds more than texts and numbers
                    self._entries.setdefault(output, []).append(entry)
                except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                    continue  # a line torn by a kill: its item is simply done again

    def open(self) -> None:
        """Take the output for this run alone, and read the journal.

        Raises SetupError if the folder cannot be written, or if another run is writing to it.
        """
        try:
            self._made_root = not self._root.exists()
            self._folder.mkdir(parents=True, exist_ok=True)
            with suppress(OSError):
                self._file.parent.mkdir(parents=True, exist_ok=True)
            if not os.access(self._file.parent, os.W_OK):  # a cache that cannot be written
                self._file = self._folder / "journal.jsonl"
            self._lock = _lock(self._folder / "lock")
        except BlockingIOError:
            raise SetupError(
                f"another run is writing to {self._root}; wait for it, or choose another --output"
            ) from None
        except OSError as error:
            raise SetupError(f"cannot write to {self._root}: {error.strerror}") from error
        self._load()

    def close(self) -> None:
        """Remove what no resume needs, and let the output go."""
        work = self._folder / "work"
        if work.is_dir() and not any(work.iterdir()):
            work.rmdir()
        spare = not work.exists() and (self._single or not self._entries)
        if spare:
            shutil.rmtree(self._folder, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        if spare:
            shutil.rmtree(self._folder, ignore_errors=True)  # Windows keeps the open lock file
            if self._made_root and self._root.is_dir() and not any(self._root.iterdir()):
                self._root.rmdir()

    def state(self, item: Item) -> State:
        """Where the item's output stands.

        ``complete``: made by these settings from this source. ``stale``: made by these settings
        from an older version of the source. ``other``: made by other settings. ``foreign``: made by
        others, changed since, or made from another file.
        """
        source = self._source(item)
        state: State = "foreign"
        try:
            found = item.output.stat()
        except OSError:
            return "absent"
        for entry in self._matching(item, found):
            if entry.settings != self._settings:
                state = "other"
            elif source.is_same(entry.name, entry.place, entry.version, entry.content):
                return "complete"
            elif (entry.name, entry.place) == (source.name, source.place):
                return "stale"
        return state

    def damage(self, item: Item) -> str:
        """What was torn or missing in the source of a complete result; empty if it was whole."""
        source = self._source(item)
        for entry in self._matching(item, item.output.stat()):
            if entry.settings == self._settings and source.is_same(
                entry.name, entry.place, entry.version, entry.content
            ):
                return entry.damage
        return ""

    def _matching(self, item: Item, found: os.stat_result) -> Iterator[Entry]:
        """What is known of the output ``found``, the latest first."""
        for entry in reversed(self._entries.get(self._key(item), [])):
            if (entry.size, entry.mtime_ns) == (found.st_size, found.st_mtime_ns):
                yield entry

    def renamed(self, items: Sequence[Item]) -> tuple[Item, str] | None:
        """The first item whose result of these settings is there under another name, with that."""
        known: dict[str, list[tuple[str, Entry]]] = {}
        for key, entries in self._entries.items():
            for entry in entries:
                if entry.settings == self._settings and (self._root / key).exists():
                    known.setdefault(entry.name, []).append((key, entry))
        for item in items:
            source, own = self._source(item), self._key(item)
            for key, entry in known.get(source.name, ()):
                if key != own and (
                    entry.place == source.place
                    or source.is_same(entry.name, entry.place, entry.version, entry.content)
                ):
                    return item, key
        return None

    def work(self, item: Item) -> Path:
        """The item's own work folder; what a run with other settings or sources left is removed."""
        current = self._work_folder(item)  # reads the source now, before it is decoded
        for old in self._leftovers(item):
            if old != current:
                shutil.rmtree(old)
        current.mkdir(parents=True, exist_ok=True)
        return current

    def discard(self, item: Item) -> None:
        """Remove all that was begun for the item."""
        for folder in self._leftovers(item):
            shutil.rmtree(folder)

    def keep(self, item: Item) -> None:
        """Leave what was begun to a later run, unless there is nothing."""
        folder = self._work_folder(item)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()

    def commit(self, item: Item, part: Path, damage: str = "") -> None:
        """Put the finished file ``part`` in its final place; afterwards it survives a power cut.

        ``damage`` is remembered with it, to be told by later runs too.
        """
        item.output.parent.mkdir(parents=True, exist_ok=True)
        if part.stat().st_dev != item.output.parent.stat().st_dev:
            # A folder below the output is on another disk, where a file cannot be moved in one go.
            part = Path(shutil.copy2(part, item.output.with_name(f".{item.output.name}.part")))
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        found = part.stat()
        # The journal comes first: renaming keeps size and time, so an entry whose rename never
        # happened matches no file, while a file without an entry would look like somebody else's.
        self._note(item, found, damage, safe=True)
        part.replace(item.output)
        _sync_folder(item.output.parent)
        self.discard(item)

    def confirm(self, item: Item) -> None:
        """Note where a finished item's source lies now, lest the next run has to read it, too."""
        source = self._source(item)
        known = self._entries.get(self._key(item), ())
        if all((e.place, e.version) != (source.place, source.version) for e in known):
            self._note(item, item.output.stat(), self.damage(item), safe=False)

    def _note(self, item: Item, result: os.stat_result, damage: str, safe: bool) -> None:
        """Add an entry; ``safe``: wait until it is on the disk."""
        source, key = self._source(item), self._key(item)
        entry = Entry(
            self._settings,
            source.name,
            source.place,
            source.version,
            source.content,
            result.st_size,
            result.st_mtime_ns,
            damage,
        )
        with self._file.open("a", encoding="utf-8") as journal:
            journal.write("\n" + json.dumps({"output": key, **asdict(entry)}))
            journal.flush()
            if safe:
                os.fsync(journal.fileno())
        self._entries.setdefault(key, []).append(entry)

    def _source(self, item: Item) -> Source:
        if item.index not in self._sources:
            self._sources[item.index] = Source(item)
        return self._sources[item.index]

    def _key(self, item: Item) -> str:
        return item.output.relative_to(self._root).as_posix()

    def _work_folder(self, item: Item) -> Path:
        source = self._source(item)
        version = digest(__version__, self._settings, source.name, source.content)
        return self._folder / "work" / f"{self._work_name(item)}-{version[:16]}"

    def _work_name(self, item: Item) -> str:
        return digest(self._key(item))[:16]

    def _leftovers(self, item: Item) -> Sequence[Path]:
        return list((self._folder / "work").glob(f"{self._work_name(item)}-*"))


def is_disk_trouble(error: BaseException) -> bool:
    """True if the error means that no further item can be written either."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            return True
        seen = seen.__cause__
    return False


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":  # elsewhere a folder cannot be opened
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _lock(path: Path) -> int:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        import fcntl
    except ImportError:  # Windows has no flock; two runs at once are then the user's to avoid
        return handle
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.EINVAL):
            os.close(handle)
            raise
        # some network disks have no locks at all: go on without
    return handle
