"""What a run has in hand, noted on disk, so that the next run knows on what this one died.

A decoder that crashes and a kill for want of memory raise nothing that could be caught. Each
thread therefore notes the item it works on, and takes the note back when it is done with it. Notes
that are still there when the next run opens them name the suspects, and the traceback that
faulthandler leaves, or the kernel's count of kills, shows what happened.
"""

from __future__ import annotations

import faulthandler
import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Literal

from stylepipe.errors import SetupError
from stylepipe.journal import Journal
from stylepipe.plainfile import open_plain, read_lines
from stylepipe.texts import as_record
from stylepipe.types import Item

Stage = Literal["reading", "flow", "painting", "writing"]
_STAGES: tuple[Stage, ...] = ("reading", "flow", "painting", "writing")
_SLOT = 64
"""Bytes of a stage's note: a word of the journal's, spaces, and the end of the line."""
_PIECE, _PIECES = 1 << 16, 16
"""Bytes of a line that are read at once, and how many such pieces of a file."""
_BOOT, _VMSTAT = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/vmstat")
_ours = False


def watch_crashes() -> None:
    """For a program's start: let a crash print where it was, or note it while a job runs.

    Also where PYTHONFAULTHANDLER has turned that on before us: what is only printed is held against
    no file, and each run would die of it again.
    """
    global _ours
    _ours = True
    faulthandler.enable(2)  # the file, whatever takes the place of sys.stderr


@dataclass(frozen=True)
class Deaths:
    """How often runs died with an item in hand, and how the last one did."""

    crashes: int = 0
    starved: int = 0
    """Killed by the system because memory had run out."""
    killed: int = 0
    """By whomever: nothing shows that it was the item's fault."""
    how: str = ""
    memory: int | None = None
    """Bytes of ``--memory`` when it starved."""

    def story(self) -> str:
        """What happened last, as the end of a sentence."""
        hint = "; if memory ran out, lower --memory or --max-pixels" if self.killed > 1 else ""
        return f"was in hand when a run {self.how}{hint}"

    def verdict(self, memory: int | None) -> str | None:
        """Why the item is not tried again, in one sentence; None if it is.

        A kill from outside, such as ``kill -9``, is never held against an item.
        """
        if self.crashes + self.starved < 2:
            return None
        if not self.starved:
            return (
                f"the program {self.how} on it twice; leave it out, or repair it: it is tried "
                "again once it has changed"
            )
        if memory is not None and (self.memory is None or memory < self.memory):
            return None
        return (
            "the program died of it twice, as memory ran out; lower --memory, which tries it "
            "again, or --max-pixels, which leaves out what is as large"
        )


@dataclass(frozen=True)
class _Circumstances:
    """Of a run when it began to take notes."""

    memory: int | None = None
    """Bytes of ``--memory``."""
    boot: str = ""
    """The machine's life; empty if unknown."""
    kills: int = 0
    """Made in it by the kernel so far, for want of memory."""

    def kills_rose(self) -> bool:
        """Whether the kernel has killed since."""
        boot, kills = _kills_for_memory()
        return bool(boot) and boot == self.boot and kills > self.kills


class InHand:
    """The notes of one output: what died before, and what is in hand now.

    Reading them writes nothing; :meth:`open` begins to take notes.
    """

    def __init__(self, journal: Journal, memory: int | None) -> None:
        """``memory``: bytes that the user allows. Raises SetupError if notes cannot be read."""
        self._journal, self._memory = journal, memory
        self._path, self._trace_path = journal.folder / "inhand", journal.folder / "crash"
        self.trace = _head(self._trace_path).decode("utf-8", "replace").strip()
        """What the crash that ended the run before left, if one did."""
        self._deaths = self._read()
        self._names: dict[int, str] = {}
        self._guard = threading.Lock()
        self._file: BinaryIO | None = None
        self._trace: BinaryIO | None = None
        self._first = 0
        """Where the first stage's note begins."""

    def deaths(self, item: Item) -> Deaths | None:
        """What the item did to earlier runs; None as a rule."""
        return self._deaths.get(self._name(item)) if self._known(item) else None

    def open(self) -> None:
        """Begin to take notes, of crashes too. Raises SetupError."""
        with self._told():
            self._write()
            self._file = os.fdopen(open_plain(self._path, os.O_RDWR), "r+b", buffering=0)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            trace = os.fdopen(open_plain(self._trace_path, flags), "wb", buffering=0)
        if _ours or not faulthandler.is_enabled():
            self._trace = trace
            faulthandler.enable(trace)
        else:  # whoever turned it on, such as pytest, gets to see crashes
            trace.close()

    def close(self) -> None:
        """Stop taking notes, as the run ends normally; deaths stay known."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._trace is not None:
            if _ours:
                watch_crashes()
            else:
                faulthandler.disable()
            self._trace.close()
            self._trace = None
        with suppress(OSError):  # a full disk: notes of nothing in hand do no harm
            if self._deaths:
                self._write()
            else:
                self._path.unlink(missing_ok=True)
            self._trace_path.unlink(missing_ok=True)

    @contextmanager
    def hold(self, stage: Stage, item: Item) -> Iterator[None]:
        """Note that a thread works on the item, for as long as it does. Raises SetupError.

        A look at an item, for which no notes are taken, leaves none.
        """
        if self._file is None:
            yield
            return
        self._note(stage, self._name(item))
        try:
            yield
        finally:
            self._note(stage, "")

    def settle(self, item: Item) -> None:
        """The item ended well, or with an error that could be caught; so did older versions."""
        for name in self._known(item):
            del self._deaths[name]

    def _known(self, item: Item) -> list[str]:
        """The names under which any version of the item is noted: found without reading it."""
        if not self._deaths:
            return []
        output = self._journal.output_name(item)
        return [name for name in self._deaths if name.partition("-")[0] == output]

    def _name(self, item: Item) -> str:
        if item.index not in self._names:
            self._names[item.index] = self._journal.version(item)
        return self._names[item.index]

    def _note(self, stage: Stage, name: str) -> None:
        with self._guard, self._told():
            assert self._file is not None
            self._file.seek(self._first + _SLOT * _STAGES.index(stage))
            self._file.write(_slot(name))

    def _write(self) -> None:
        """Deaths and empty notes, in one go: no death is counted twice, and none is lost."""
        head = {
            "deaths": {name: asdict(deaths) for name, deaths in self._deaths.items()},
            "began": asdict(_Circumstances(self._memory, *_kills_for_memory())),
        }
        data = json.dumps(head).encode() + b"\n"
        self._first = len(data)
        part = self._path.with_name("inhand.part")
        part.unlink(missing_ok=True)
        with part.open("xb") as file:
            file.write(data + _slot("") * len(_STAGES))
        part.replace(self._path)

    def _read(self) -> dict[str, Deaths]:
        """The deaths of earlier runs; that of the last is added, if it died."""
        head, _, notes = _head(self._path).partition(b"\n")
        try:
            record = json.loads(head or b"{}")
            deaths = {name: as_record(Deaths, d) for name, d in record.get("deaths", {}).items()}
            began = as_record(_Circumstances, record.get("began", {}))
        except (ValueError, TypeError, AttributeError, RecursionError):
            return {}  # not what was written here: then nothing is known
        for name in {word.decode("ascii", "replace") for word in notes.split()}:
            before = deaths.get(name, Deaths())
            if crash := re.search("(?:Fatal Python error|fatal exception): (.+)", self.trace):
                now = replace(before, crashes=before.crashes + 1, how=f"crashed ({crash[1]})")
            elif began.kills_rose():
                how = "was killed when memory ran out"
                now = replace(before, starved=before.starved + 1, how=how, memory=began.memory)
            else:
                now = replace(before, killed=before.killed + 1, how="was killed")
            deaths[name] = now
        return deaths

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            folder = self._path.parent
            raise SetupError(f"cannot go on writing to {folder}: {error.strerror}") from error


def _head(path: Path) -> bytes:
    """The first bytes of a file, of which ours have no more."""
    return b"".join(islice(read_lines(path, _PIECE), _PIECES))


def _slot(name: str) -> bytes:
    return name.ljust(_SLOT - 1).encode() + b"\n"


def _kills_for_memory() -> tuple[str, int]:
    """The machine's present life, and how often in it the kernel killed for want of memory.

    An empty life where nothing reports it, as everywhere but on Linux.
    """
    try:
        counts = dict(line.split() for line in _VMSTAT.read_text().splitlines())
        return _BOOT.read_text().strip(), int(counts["oom_kill"])
    except (OSError, ValueError, KeyError):
        return "", 0
