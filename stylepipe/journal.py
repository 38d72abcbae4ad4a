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
from pathlib import Path
from typing import Literal

from stylepipe.errors import SetupError
from stylepipe.fingerprints import digest, stamp
from stylepipe.lock import Lock
from stylepipe.plainfile import open_plain, read_plain, refuse_link
from stylepipe.types import Item
from stylepipe.version import __version__

WORK_FOLDER = ".stylepipe"
State = Literal["absent", "complete", "stale", "foreign"]


@dataclass(frozen=True)
class Entry:
    """One completed result."""

    settings: str
    path: str
    """The source's absolute path."""
    source: str
    """The source's stamp."""
    size: int
    mtime_ns: int


class Journal:
    """The journal of one output folder, or of one output file.

    Open it before asking it: nobody else writes to the output while it is open.
    """

    def __init__(self, output: Path, single: bool, settings: str) -> None:
        self._root = output.parent if single else output
        self.folder = self._root / (f".{output.name}{WORK_FOLDER}" if single else WORK_FOLDER)
        """Where the engine keeps notes and work of its own."""
        self._files = [self.folder / "journal.jsonl"]
        if single:
            # Beside a single result nothing should stay behind, so it is remembered elsewhere.
            self._files = [*_in_cache(output), *self._files]
        self._file = self._files[0]
        self._settings = settings
        self._sources: dict[int, str] = {}
        self._lock: Lock | None = None
        self._made_root = False
        self._entries: dict[str, list[Entry]] = {}
        self._load()

    def _load(self) -> None:
        refuse_link(self.folder)
        self._entries = {}
        for line in [x for f in self._files for x in (read_plain(f) or b"").splitlines()]:
            try:
                record = json.loads(line)
                output = record.pop("output")
                self._entries.setdefault(output, []).append(Entry(**record))
            except (ValueError, TypeError, KeyError, AttributeError):
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
        """Remove what no resume needs, and let the output go."""
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

    def state(self, item: Item) -> State:
        """Where the item's output stands.

        ``complete``: made by these settings from this source. ``stale``: made by these settings
        from an older version of the source. ``foreign``: made by others, by other settings or from
        another file.
        """
        source = self._source(item)
        try:
            found = item.output.stat()
        except OSError:
            return "absent"
        for entry in self._entries.get(self._key(item), ()):
            if (entry.size, entry.mtime_ns) == (found.st_size, found.st_mtime_ns):
                ours = (entry.settings, entry.path) == (self._settings, _absolute(item))
                if ours:
                    return "complete" if entry.source == source else "stale"
        return "foreign"

    def work(self, item: Item) -> Path:
        """The item's own work folder; what a run with other settings or sources left is removed."""
        self._drop_carried(item)
        current = self._work_folder(item)
        refuse_link(current)
        for old in self._leftovers(item):
            if old != current:
                shutil.rmtree(old)
        current.mkdir(parents=True, exist_ok=True)
        return current

    def discard(self, item: Item) -> None:
        """Remove all that was begun for the item."""
        self._drop_carried(item)
        for folder in self._leftovers(item):
            shutil.rmtree(folder)

    def keep(self, item: Item) -> None:
        """Leave what was begun to a later run, unless there is nothing."""
        folder = self._work_folder(item)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()

    def commit(self, item: Item, part: Path) -> None:
        """Put the finished file ``part`` in its final place; afterwards it survives a power cut."""
        item.output.parent.mkdir(parents=True, exist_ok=True)
        if not _on_one_disk(part, item.output.parent):
            # A folder below the output is on another disk, where a file cannot be moved in one go.
            part = self._brought_over(item, part)
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        found = part.stat()
        entry = Entry(
            self._settings,
            _absolute(item),
            self._source(item),
            found.st_size,
            found.st_mtime_ns,
        )
        key = self._key(item)
        # The journal comes first: renaming keeps size and time, so an entry whose rename never
        # happened matches no file, while a file without an entry would look like somebody else's.
        with os.fdopen(open_plain(self._file, os.O_WRONLY | os.O_APPEND), "ab") as journal:
            journal.write(f"\n{json.dumps({'output': key, **asdict(entry)})}".encode())
            journal.flush()
            os.fsync(journal.fileno())
        self._entries.setdefault(key, []).append(entry)
        part.replace(item.output)
        _sync_folder(item.output.parent)
        self.discard(item)

    def version(self, item: Item) -> str:
        """A word for the item as it is now: another output, setting or source has another."""
        version = digest(__version__, self._settings, _absolute(item), self._source(item))
        return f"{self._work_name(item)}-{version[:16]}"

    def _brought_over(self, item: Item, part: Path) -> Path:
        """A copy of ``part`` on the disk of the output."""
        self._drop_carried(item)
        copy = self._carried(item)
        try:
            with part.open("rb") as source, copy.open("xb") as target:
                shutil.copyfileobj(source, target)
        except BaseException:
            self._drop_carried(item)
            raise
        return copy

    def _drop_carried(self, item: Item) -> None:
        """Remove the copy that a kill or an error left beside the output."""
        with suppress(FileNotFoundError, NotADirectoryError):
            self._carried(item).unlink()

    def _carried(self, item: Item) -> Path:
        return item.output.with_name(f"{WORK_FOLDER}-{self._work_name(item)}.part")

    def _source(self, item: Item) -> str:
        """The source's stamp when first asked: what is done to it later is not in the result."""
        if item.index not in self._sources:
            self._sources[item.index] = stamp(item.source)
        return self._sources[item.index]

    def _key(self, item: Item) -> str:
        return item.output.relative_to(self._root).as_posix()

    def _work_folder(self, item: Item) -> Path:
        return self.folder / "work" / self.version(item)

    def _work_name(self, item: Item) -> str:
        return digest(self._key(item))[:16]

    def _leftovers(self, item: Item) -> Sequence[Path]:
        return list((self.folder / "work").glob(f"{self._work_name(item)}-*"))


def is_disk_trouble(error: BaseException) -> bool:
    """True if the error means that no further item can be written either."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            return True
        seen = seen.__cause__
    return False


def _in_cache(output: Path) -> list[Path]:
    from stylepipe.weights import cache_folder

    try:
        folder = cache_folder()
    except RuntimeError:  # a user without a home
        return []
    return [folder / "results" / f"{digest(os.path.abspath(output))[:32]}.jsonl"]


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


def _absolute(item: Item) -> str:
    return os.path.abspath(item.source)


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":  # elsewhere a folder cannot be opened
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
