"""Uploads: files in a folder, with small copies for the page to show."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import threading
import unicodedata
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stylepipe.errors import ItemError, StylepipeError, UsageError, sentence
from stylepipe.fingerprints import version
from stylepipe.inputs import probe
from stylepipe.texts import as_record

if TYPE_CHECKING:
    import numpy as np

    from stylepipe.components import Reader

SMALL_SIDE = 1280
"""Longest side of the pictures that the page shows, in pixels."""
_QUALITY = 90
_RESERVE = 256 << 20
"""Bytes that uploads leave free on the disk."""
_LONGEST = 120
"""Bytes of a name; results and the engine add suffixes."""
_SPECIAL = re.compile(r'[<>:"|?*@%]')
"""Characters with a meaning to some file system, or in styles or patterns of file names."""
_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)")
"""Names that Windows takes for devices."""


class Refused(StylepipeError):
    """A request that is refused."""

    def __init__(self, message: str, status: int) -> None:
        """``status``: the HTTP status."""
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Upload:
    """A file on the shelf."""

    name: str
    kind: str
    """``image`` or ``video``."""
    width: int
    height: int
    frames: int | None


def safe_name(text: str) -> str:
    """A name that every file system can hold and nothing misreads. Raises Refused for a path."""
    if "/" in text or "\\" in text or text in ("", ".", ".."):
        raise Refused(f"{text!r} is no name of a file: a name holds no path", 400)
    text = unicodedata.normalize("NFC", text)
    text = "".join(c for c in text if unicodedata.category(c)[0] != "C")
    text = _SPECIAL.sub("_", text).lstrip(". -").rstrip(". ")
    if _DEVICES.match(text):
        text = f"_{text}"
    stem, dot, suffix = text.rpartition(".")
    if not dot or not suffix.isascii() or len(suffix) > 10:
        raise Refused(f"{text!r} has no suffix that says what it is, such as .jpg or .mp4", 415)
    short = stem.encode()[: _LONGEST - len(suffix)].decode(errors="ignore").strip()
    return f"{short or 'picture'}.{suffix}"


class Shelf:
    """One kind of upload: photos and films, or paintings."""

    def __init__(
        self,
        folder: Path,
        readers: Sequence[Reader],
        most: int,
        log: Callable[[str], None],
        stills_only: bool = False,
    ) -> None:
        """``readers`` are open. ``most``: bytes per file. Files that were put into the folder by
        hand are taken as well; those that cannot be are logged. Raises OSError."""
        self.folder, self._readers, self._most, self._log = folder, readers, most, log
        self._stills_only = stills_only
        self._small = folder / ".small"
        self._turn, self._looking = threading.RLock(), threading.Lock()
        self._uploads: dict[str, Upload] = {}
        self._small.mkdir(parents=True, exist_ok=True)
        for part in self._small.glob("*.part"):  # left by a kill
            part.unlink()
        self._suffixes = {
            suffix
            for reader in readers
            for suffix in reader.patterns
            if not (stills_only and reader.kind == "video")
        }

    def open(self) -> None:
        """Find the files that are in the folder already."""
        for path in sorted(self.folder.iterdir(), key=_age):
            if not path.is_file() or path.name.startswith("."):
                continue
            try:
                if any("\ud800" <= c <= "\udfff" for c in path.name):  # no page can request it
                    raise ItemError("its name is not UTF-8; rename it")
                self._uploads[path.name] = self._remembered(path.name) or self._looked_at(path)
            except Exception as error:  # a codec or plugin may raise anything for one file
                self._log(f"{path} is left out: {sentence(error)}")

    def uploads(self) -> list[Upload]:
        """All uploads, the oldest first."""
        with self._turn:
            return list(self._uploads.values())

    def has(self, name: str) -> bool:
        """Whether there is a file of this name."""
        with self._turn:
            return name in self._uploads

    def path(self, name: str) -> Path:
        """The file. Raises Refused if there is none of this name."""
        return self.folder / self._known(name)

    def small(self, name: str) -> Path:
        """Its small copy, a JPEG. Raises Refused."""
        return self._small / f"{self._known(name)}.jpg"

    def remove(self, name: str) -> None:
        """Delete the file. Raises Refused if there is none of this name, or OSError."""
        with self._turn:
            self._delete(self._known(name))
            del self._uploads[name]

    def _delete(self, name: str) -> None:
        for path in (self.folder / name, self._small / f"{name}.jpg", self._note(name)):
            path.unlink(missing_ok=True)

    async def receive(
        self, name: str, length: int | None, chunks: AsyncIterator[bytes]
    ) -> Callable[[], Upload]:
        """Write an upload to the disk as it arrives. The returned function, which takes a while,
        looks at it and adds it to the shelf.

        ``length``: the announced size in bytes. Both raise Refused, and then leave nothing behind.
        """
        name = safe_name(name)
        suffix = Path(name).suffix.lower()
        if suffix not in self._suffixes:
            kinds = " ".join(sorted(self._suffixes))
            raise Refused(f"{name} is of no kind that can be read: {kinds}", 415)
        self._check_room(name, length or 0)
        part = self._small / f"{secrets.token_hex(8)}{suffix}.part"
        try:
            with part.open("xb") as file:
                taken = 0
                async for chunk in chunks:
                    taken += len(chunk)
                    self._check_room(name, taken, len(chunk))
                    file.write(chunk)
            if not taken:
                raise Refused(f"{name} is empty", 422)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise Refused(f"{name} cannot be saved: {sentence(error)}", 507) from error
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        return lambda: self._take(part, name)

    def _check_room(self, name: str, size: int, more: int | None = None) -> None:
        """``size``: bytes in total; ``more``: bytes that are not on the disk yet."""
        if size > self._most:
            raise Refused(
                f"{name} is larger than the {self._most:,} bytes that are taken; start with a "
                "larger --max-upload, or use stylepipe run",
                413,
            )
        if shutil.disk_usage(self._small).free < (size if more is None else more) + _RESERVE:
            raise Refused(f"{name} is not taken: the disk is nearly full", 507)

    def _take(self, part: Path, name: str) -> Upload:
        with self._turn:  # released while the file is looked at, as the page waits for it
            path = self._free(name)
            part.replace(path)
        try:
            with self._looking:
                upload = self._looked_at(path)
        except BaseException as error:  # a codec or plugin may raise anything for one file
            self._delete(path.name)
            status = 507 if isinstance(error, OSError) else 422
            raise Refused(f"{name}: {sentence(error)}", status) from error
        with self._turn:
            self._uploads[path.name] = upload
        return upload

    def _free(self, name: str) -> Path:
        path, number = self.folder / name, 1
        while path.exists():
            number += 1
            path = self.folder / f"{Path(name).stem} {number}{Path(name).suffix}"
        return path

    def _looked_at(self, path: Path) -> Upload:
        """Make the small copy, and note what is in the file. Raises ItemError or OSError."""
        _, info = probe(path, self._readers)
        if self._stills_only and info.kind == "video":
            raise ItemError("it moves: a painting is a still picture")
        pixels = shown(path, self._readers, SMALL_SIDE)
        (self._small / f"{path.name}.jpg").write_bytes(jpeg(pixels))
        upload = Upload(path.name, info.kind, info.width, info.height, info.frames)
        note = {**asdict(upload), "version": version(path)}
        self._note(path.name).write_text(json.dumps(note), encoding="utf-8")
        return upload

    def _remembered(self, name: str) -> Upload | None:
        """What was noted of a file that has not changed since; None if it must be looked at."""
        with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            note = json.loads(self._note(name).read_text("utf-8"))
            known = note.pop("version") == version(self.folder / name)
            if known and (self._small / f"{name}.jpg").is_file():
                return as_record(Upload, note)
        return None

    def _note(self, name: str) -> Path:
        return self._small / f"{name}.json"

    def _known(self, name: str) -> str:
        if not self.has(name):
            raise Refused(f"there is no {name!r} here", 404)
        return name


def shown(path: Path, readers: Sequence[Reader], side: int) -> np.ndarray:
    """A small copy of a picture, or of a film's middle frame: HxWx3 of uint8. Raises ItemError."""
    from stylepipe.studies.painting import small
    from stylepipe.types import Item

    reader, info = probe(path, readers)
    item = Item(0, path, path.parent, path)
    frame = next(iter(reader.frames(item, info, (info.frames or 1) // 2)), None)
    if frame is None:
        raise ItemError("it has no frame")
    return small(frame, side).pixels


def jpeg(pixels: np.ndarray) -> bytes:
    """HxWx3 of uint8, RGB, as a JPEG."""
    import cv2

    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".jpg", bgr, (cv2.IMWRITE_JPEG_QUALITY, _QUALITY))
    if not done:
        raise UsageError("the picture cannot be shown")
    return bytes(data.tobytes())


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # it is gone
        return 0.0
