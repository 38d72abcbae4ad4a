"""What an output folder remembers: which results are complete, made from what, by which settings.

A result is written under a temporary name in a work folder on the same disk, flushed to the disk,
noted in the journal and then renamed. A kill at any moment leaves either the old state or the new.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from stylepipe.errors import SetupError
from stylepipe.inputs import WORK_FOLDER
from stylepipe.types import Item

State = Literal["absent", "complete", "stale", "foreign"]


@dataclass(frozen=True)
class Entry:
    """One completed result."""

    settings: str
    source: str
    size: int
    mtime_ns: int


class Journal:
    """The journal of one output folder, or of one output file.

    Raises SetupError if the folder cannot be written, or if another run is writing to it.
    """

    def __init__(self, output: Path, single: bool, settings: str) -> None:
        self._root = output.parent if single else output
        # Beside a single result nothing must stay behind, so its work folder has its own name.
        self._folder = self._root / (f".{output.name}{WORK_FOLDER}" if single else WORK_FOLDER)
        self._file = self._folder / "journal.jsonl"
        self._settings = settings
        self._single = single
        self._lock: int | None = None
        self._entries = self._load()

    def _load(self) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        if self._file.is_file():
            for line in self._file.read_text("utf-8", errors="replace").splitlines():
                try:
                    record = json.loads(line)
                    output = record.pop("output")
                    entries[output] = Entry(**record)
                except (ValueError, TypeError, KeyError, AttributeError):
                    continue  # a line torn by a kill: its item is simply done again
        return entries

    def state(self, item: Item) -> State:
        """Where the item's output stands.

        ``complete``: made by these settings from this source. ``stale``: made by these settings
        from an older version of the source. ``foreign``: made by others or by other settings.
        """
        try:
            found = item.output.stat()
        except OSError:
            return "absent"
        entry = self._entries.get(self._key(item))
        if entry is None or (entry.size, entry.mtime_ns) != (found.st_size, found.st_mtime_ns):
            return "foreign"
        if entry.settings != self._settings:
            return "foreign"
        return "complete" if entry.source == source_fingerprint(item.source) else "stale"

    def open(self) -> None:
        """Make the work folder and take the lock."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(self._folder / "lock")
        except BlockingIOError:
            raise SetupError(
                f"another run is writing to {self._root}; wait for it, or choose another --output"
            ) from None
        except OSError as error:
            raise SetupError(f"cannot write to {self._root}: {error.strerror}") from error

    def close(self) -> None:
        """Let the lock go and remove what no resume needs."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        work = self._folder / "work"
        if work.is_dir() and not any(work.iterdir()):
            work.rmdir()
        if self._folder.is_dir() and not work.exists() and (self._single or not self._entries):
            shutil.rmtree(self._folder)

    def work(self, item: Item) -> Path:
        """The item's own work folder; what a run with other settings or sources left is removed."""
        name = hashlib.sha256(self._key(item).encode()).hexdigest()[:16]
        version = _digest(self._settings, source_fingerprint(item.source))[:16]
        for old in (self._folder / "work").glob(f"{name}-*"):
            if old.name != f"{name}-{version}":
                shutil.rmtree(old)
        folder = self._folder / "work" / f"{name}-{version}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def discard(self, item: Item) -> None:
        """Remove what a failed item left behind."""
        shutil.rmtree(self.work(item))

    def commit(self, item: Item, part: Path) -> None:
        """Put the finished file ``part`` in its final place, durably."""
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        found = part.stat()
        entry = Entry(
            self._settings, source_fingerprint(item.source), found.st_size, found.st_mtime_ns
        )
        key = self._key(item)
        # The journal comes first: renaming keeps size and time, so an entry whose rename never
        # happened matches no file, while a file without an entry would look like somebody else's.
        with self._file.open("a", encoding="utf-8") as journal:
            journal.write("\n" + json.dumps({"output": key, **vars(entry)}))
            journal.flush()
            os.fsync(journal.fileno())
        self._entries[key] = entry
        item.output.parent.mkdir(parents=True, exist_ok=True)
        part.replace(item.output)
        shutil.rmtree(part.parent)

    def _key(self, item: Item) -> str:
        return item.output.relative_to(self._root).as_posix()


def source_fingerprint(path: Path) -> str:
    """Changes when the file changes: its size and modification time."""
    found = path.stat()
    return f"{found.st_size}-{found.st_mtime_ns}"


def settings_fingerprint(description: Mapping[str, Any], version: str) -> str:
    """Changes when a setting, the program, or a file that a setting names changes."""
    files: list[str] = []
    for table in description.values():
        for value in table.values() if isinstance(table, Mapping) else ():
            for text in value if isinstance(value, list) else [value]:
                path = Path(text) if isinstance(text, str) and text else None
                if path is not None and path.is_file():
                    files.append(f"{text}={source_fingerprint(path)}")
    return _digest(version, json.dumps(description, sort_keys=True), *files)


def is_disk_trouble(error: BaseException) -> bool:
    """True if the error means that no further item can be written either."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            return True
        seen = seen.__cause__
    return False


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _lock(path: Path) -> int:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        import fcntl
    except ImportError:  # Windows has no flock; two runs at once are then the user's to avoid
        return handle
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise
    return handle
