"""Files that were uploaded, in a folder of their own, with small copies to look at."""

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
from stylepipe.inputs import probe
from stylepipe.texts import as_record

if TYPE_CHECKING:
    import numpy as np

    from stylepipe.components import Reader

SMALL_SIDE = 1280
"""Longest side of what the page shows, in pixels."""
_QUALITY = 90
_RESERVE = 256 << 20
"""Bytes that an upload leaves free on the disk."""
_LONGEST = 120
"""Bytes of a name; results add a suffix, and the engine its own."""
_SPECIAL = re.compile(r'[<>:"|?*@%]')
"""Characters that some disk, a style or a pattern of names takes for something else."""
_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)")
"""Names that Windows takes for devices."""


class Refused(StylepipeError):
    """An upload that is not taken."""

    def __init__(self, message: str, status: int) -> None:
        """``status``: of HTTP."""
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
    """A name that any disk holds and nothing misreads. Raises Refused for a path."""
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
    """One kind of uploads: what is painted, or paintings."""

    def __init__(
        self,
        folder: Path,
        readers: Sequence[Reader],
        most: int,
        log: Callable[[str], None],
        stills_only: bool = False,
    ) -> None:
        """``readers`` are open. ``most``: bytes of a file. Files that were put into the folder by
        hand are taken as well; ``log`` hears of those that cannot be. Raises OSError."""
        self.folder, self._readers, self._most, self._log = folder, readers, most, log
        self._stills_only = stills_only
        self._small = folder / ".small"
        self._turn = threading.RLock()
        self._uploads: dict[str, Upload] = {}
        self._small.mkdir(parents=True, exist_ok=True)
        for part in self._small.glob("*.part"):  # of an upload that a kill ended
            part.unlink()
        self._suffixes = {
            suffix
            for reader in readers
            for suffix in reader.patterns
            if not (stills_only and reader.kind == "video")
        }

    def open(self) -> None:
        """Find what lies in the folder from before."""
        for path in sorted(self.folder.iterdir(), key=_age):
            if not path.is_file() or path.name.startswith("."):
                continue
            try:
                self._uploads[path.name] = self._remembered(path.name) or self._looked_at(path)
            except (ItemError, Refused) as error:
                self._log(f"{path} is left out: {error}")

    def uploads(self) -> list[Upload]:
        """All there is, the oldest first."""
        with self._turn:
            return list(self._uploads.values())

    def has(self, name: str) -> bool:
        """Whether there is a file of this name."""
        with self._turn:
            return name in self._uploads

    def path(self, name: str) -> Path:
        """The file. Raises Refused where there is none of this name."""
        return self.folder / self._known(name)

    def small(self, name: str) -> Path:
        """Its small copy, a JPEG. Raises Refused."""
        return self._small / f"{self._known(name)}.jpg"

    def remove(self, name: str) -> None:
        """Delete the file. Raises Refused where there is none of this name."""
        with self._turn:
            for path in (self.path(name), self.small(name), self._note(name)):
                path.unlink(missing_ok=True)
            del self._uploads[name]

    async def receive(
        self, name: str, length: int | None, chunks: AsyncIterator[bytes]
    ) -> Callable[[], Upload]:
        """Write an upload to the disk as it comes; what it returns looks at it, which takes a
        while, and puts it on the shelf.

        ``length``: what was announced, in bytes. Raises Refused, and leaves nothing behind then; so
        does what it returns.
        """
        name = safe_name(name)
        suffix = Path(name).suffix.lower()
        if suffix not in self._suffixes:
            kinds = " ".join(sorted(self._suffixes))
            raise Refused(f"{name} is of no kind that can be read here: {kinds}", 415)
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
        """``size``: bytes in all; ``more``: those not on the disk yet."""
        if size > self._most:
            raise Refused(
                f"{name} is larger than the {self._most:,} bytes that are taken; start with a "
                "larger --max-upload, or use stylepipe run",
                413,
            )
        if shutil.disk_usage(self._small).free < (size if more is None else more) + _RESERVE:
            raise Refused(f"{name} is not taken: the disk is nearly full", 507)

    def _take(self, part: Path, name: str) -> Upload:
        with self._turn:
            path = self._free(name)
            part.replace(path)
            try:
                upload = self._looked_at(path)
            except ItemError as error:
                path.unlink(missing_ok=True)
                raise Refused(f"{name}: {error}", 422) from error
            except BaseException:
                path.unlink(missing_ok=True)
                raise
            self._uploads[path.name] = upload
            return upload

    def _free(self, name: str) -> Path:
        path, number = self.folder / name, 1
        while path.exists():
            number += 1
            path = self.folder / f"{Path(name).stem} {number}{Path(name).suffix}"
        return path

    def _looked_at(self, path: Path) -> Upload:
        """Make the small copy, and note what is in the file. Raises ItemError."""
        _, info = probe(path, self._readers)
        if self._stills_only and info.kind == "video":
            raise ItemError("it moves: a painting is a still picture")
        pixels = shown(path, self._readers, SMALL_SIDE)
        (self._small / f"{path.name}.jpg").write_bytes(jpeg(pixels))
        upload = Upload(path.name, info.kind, info.width, info.height, info.frames)
        self._note(path.name).write_text(json.dumps(asdict(upload)), encoding="utf-8")
        return upload

    def _remembered(self, name: str) -> Upload | None:
        """What was noted, with the small copy still there."""
        with suppress(OSError, ValueError, TypeError):
            upload = as_record(Upload, json.loads(self._note(name).read_text("utf-8")))
            if (self._small / f"{name}.jpg").is_file():
                return upload
        return None

    def _note(self, name: str) -> Path:
        return self._small / f"{name}.json"

    def _known(self, name: str) -> str:
        if not self.has(name):
            raise Refused(f"there is no {name!r} here", 404)
        return name


def shown(path: Path, readers: Sequence[Reader], side: int) -> np.ndarray:
    """A picture, or the middle frame of a film, to look at: HxWx3 of uint8. Raises ItemError."""
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
    except OSError:  # it went away
        return 0.0
