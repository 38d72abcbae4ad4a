"""The writer of numbered pictures: films as folders of them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from stylepipe.components import Context, Sink, Writer
from stylepipe.errors import ItemError
from stylepipe.media.images import ImageWriter, encode_settings
from stylepipe.media.segments import load_frame, save_frame
from stylepipe.media.sidecar import Sidecar, Timed
from stylepipe.patterns import TIMES, Pattern
from stylepipe.types import Fate, Frame, Info, Item

if TYPE_CHECKING:
    from stylepipe.media.encode import EncodeSettings

_MISSED = (("audio", "sound"), ("subtitles", "subtitles"))
"""What a film may have and numbered pictures cannot hold."""


class FramesWriter(Writer):
    """Films as folders of numbered pictures (--format png/): PNG, JPEG, TIFF, WebP, BMP, AVIF.

    The frames of a folder keep their names, those of a film are ``000001.png`` and so on; a pattern
    as the output, ``out/%05d.png``, names them otherwise. Sixteen bits and transparency stay where
    the format can hold them. A file beside them says when each is shown, so that they can be
    made a film again. A film that was interrupted resumes after its last whole picture.
    """

    name = "frames"
    kind = "video"
    patterns: ClassVar[tuple[str, ...]] = (
        ".png/", ".jpg/", ".jpeg/", ".tif/", ".tiff/", ".webp/", ".bmp/", ".avif/",
    )  # fmt: skip
    Options = ImageWriter.Options

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._log: Callable[[str], None] = lambda line: None

    def open(self, context: Context) -> None:
        self._log = context.log

    def forecast(self, item: Item, info: Info, log: Callable[[str], None]) -> list[Fate]:
        """The pictures, and when each is shown, are all there is."""
        suffix = item.folder.removesuffix("/")
        codec = info.details.get("codec", info.format)
        return [
            Fate(f"video {codec}", "painted", f"as numbered pictures, {suffix}"),
            *(Fate(words, "left out") for key, words in _MISSED if info.details.get(key)),
        ]

    def open_sink(self, item: Item, info: Info, path: Path, work: Path) -> Sink:
        """Make the folder ``path``, or resume with what is in it."""
        from stylepipe.media.video_color import Color

        seen = set[str]()

        def log(line: str) -> None:
            if line not in seen:
                seen.add(line)
                self._log(f"{item.relative}: {line}")

        suffix = item.folder.removesuffix("/")
        if missed := [words for key, words in _MISSED if info.details.get(key)]:
            log(f"left out, as pictures cannot hold it: {', '.join(missed)}")
        if pale := Color.parse(info.details).pale:
            log(f"{suffix} cannot indicate that {pale}: it will look pale; use .mp4")
        return _FramesSink(path, work, suffix, item, info, self.encoding(info, log))

    def encoding(self, info: Info, log: Callable[[str], None]) -> EncodeSettings:
        """How a result of ``info`` is encoded; ``log`` reports what is left out."""
        return encode_settings(self.options, info, log)


class _FramesSink(Sink):
    """A folder being filled. Each picture appears in it when it is safely on the disk."""

    def __init__(
        self, path: Path, work: Path, suffix: str, item: Item, info: Info, settings: EncodeSettings
    ) -> None:
        self._path, self._work, self._suffix = path, work, suffix
        self._item, self._info, self._settings = item, info, settings
        path.mkdir(exist_ok=True)
        kept = [p for p in path.glob(f"*{suffix}") if not p.name.startswith(".")]
        self._times = _Times(work / "times.jsonl", len(kept))
        self.done = len(self._times.rows)
        self.last = load_frame(self._kept(self.done - 1)) if self.done else None

    def write(self, frame: Frame) -> None:
        """Encode the next frame."""
        from stylepipe.media.encode import encode

        name = f"{self._name(frame)}{self._suffix}"
        data = encode(frame, self._suffix, replace(self._settings, lost=[]))
        part = self._work / "frame.part"
        try:
            # First what a resumed run needs of it: no picture may lack that.
            save_frame(self._kept(frame.index), frame)
            self._times.add(name, frame)
            part.write_bytes(data)
            _sync(part)
            part.replace(self._path / name)
            self._kept(frame.index - 1).unlink(missing_ok=True)
        except OSError as error:
            raise ItemError(f"the output cannot be written: {error.strerror or error}") from error

    def close(self) -> None:
        """Write beside the pictures when each is shown."""
        rows = self._times.rows
        clocks = {base for _, _, _, base in rows}
        if len(clocks) != 1 or "" in clocks:
            return  # without times, as masks have none, or without a common clock
        clock = Fraction(rows[0][3])
        frames = [Timed(name, pts, duration) for name, pts, duration, _ in rows]
        sidecar = Sidecar.of(self._info, self._item.source.name, clock, frames)
        try:
            sidecar.write(self._path / TIMES)
        except OSError as error:
            raise ItemError(f"the output cannot be written: {error.strerror or error}") from error

    def abort(self) -> None:
        """The pictures stay, for a resumed run."""

    def _name(self, frame: Frame) -> str:
        """Without suffix: the number of the frame in its source, or from 1, in the pattern asked
        for; or the name in the source."""
        wanted = Pattern.of(Path(self._item.frame_names).stem)
        if wanted is None:
            return frame.name or f"{frame.number:06d}"
        source = Pattern.of(Path(self._info.details.get("sequence", "")).stem)
        number = source.number(frame.name) if source else None
        if number is None:
            number = frame.number
        return wanted.name(number)

    def _kept(self, index: int) -> Path:
        return self._work / f"last-{index:06d}.npz"


class _Times:
    """Names and times of the pictures written so far, on the disk, for a resumed run."""

    def __init__(self, path: Path, most: int) -> None:
        """Keeps ``most`` of those noted: a kill may come before the picture of the last."""
        self._path = path
        self.rows: list[tuple[str, int, int | None, str]] = []
        """Name, time, duration, and the seconds of their unit: empty for a frame without times."""
        with suppress(OSError, ValueError):  # a line cut short, and what follows, does not count
            for line in path.read_text("utf-8").splitlines()[:most]:
                name, pts, duration, base = json.loads(line)
                self.rows.append((name, pts, duration, base))
        path.write_text("".join(self._line(row) for row in self.rows), encoding="utf-8")

    def add(self, name: str, frame: Frame) -> None:
        """Note the next picture."""
        base = str(frame.time_base) if frame.time_base and frame.pts is not None else ""
        self.rows.append((name, frame.pts or 0, frame.duration, base))
        with self._path.open("a", encoding="utf-8") as file:
            file.write(self._line(self.rows[-1]))

    def _line(self, row: tuple[str, int, int | None, str]) -> str:
        return json.dumps(row) + "\n"


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
