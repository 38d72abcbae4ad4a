"""Numbered pictures as films: folders of them, each read as one clip, and written from one."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from stylepipe.components import Context, Reader, Sink, Writer
from stylepipe.damage import Damaged, refuse
from stylepipe.errors import ItemError, UsageError
from stylepipe.media import sequence
from stylepipe.media.images import ImageReader, ImageWriter, encode_settings
from stylepipe.media.segments import load_frame, save_frame
from stylepipe.media.video import SpanOptions
from stylepipe.options import option
from stylepipe.texts import shown
from stylepipe.types import Fate, Frame, Info, Item

if TYPE_CHECKING:
    from stylepipe.media.encode import EncodeSettings

_MISSED = (("audio", "sound"), ("subtitles", "subtitles"), ("variable_rate", "times of its frames"))
"""What a film may have and numbered pictures cannot hold."""
_NAMED = 3
"""Missing frames that a message lists."""


class FramesReader(Reader):
    """Folders of numbered pictures, each as one film, where --frame-rate is given.

    All pictures of such a folder must be frames of one sequence, ``shot_0001.png`` and so on, alike
    in size, depth and transparency. Missing frames are reported as damage; the others keep
    their times.
    """

    name = "frames"
    kind = "video"
    patterns = ()
    instead = {"": ".png/"}  # noqa: RUF012 (as in the base class)

    class Options(SpanOptions):
        frame_rate: str | None = option(
            None,
            "Take each folder of numbered pictures (shot_0001.png ...) as one film of this many "
            "frames a second, such as 25, 29.97 or 24000/1001.",
            metavar="RATE",
        )

        def check(self) -> None:
            """Raises UsageError for what is no rate."""
            super().check()
            self.rate()

        def rate(self) -> Fraction | None:
            """Frames a second; None if folders are not to be films."""
            if self.frame_rate is None:
                return None
            try:
                if not re.fullmatch(r"[\d./]{1,40}", self.frame_rate):
                    raise ValueError  # 1e999999999 would fill the memory
                rate = Fraction(self.frame_rate).limit_denominator(100_000)
                if not 0 < rate <= 1000:
                    raise ValueError
            except (ValueError, ZeroDivisionError):
                raise UsageError(
                    "frame_rate takes frames a second, such as 25, 29.97 or 24000/1001, "
                    f"not {shown(self.frame_rate)}"
                ) from None
            return rate

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._log: Callable[[str], None] = lambda line: None
        self._damaged: Damaged = refuse

    def open(self, context: Context) -> None:
        self._log, self._damaged = context.log, context.damaged

    def claims(self, folder: Path) -> bool:
        """Whether it holds a numbered picture, and a rate is given."""
        rate = self.options.rate()
        return rate is not None and sequence.is_numbered(folder, ImageReader.patterns)

    def probe(self, path: Path) -> Info | None:
        """Describe a folder by its first frame; None for a file.

        ``details`` holds ``sequence``, what the names of its frames have in common. Raises
        ItemError if its pictures are no sequence, or if the first cannot be read.
        """
        from stylepipe.media import decode

        rate = self.options.rate()
        if rate is None or not path.is_dir():
            return None
        found = sequence.find(path, ImageReader.patterns)
        wanted = self._wanted(found, rate)
        if not wanted:
            raise ItemError("has no frames between --start and --end")
        first = found.frames[wanted[0]]
        with _named(first):
            info = decode.probe(first, self.options.max_pixels)
        if info is None:
            raise ItemError(f"{first.name} is no still picture")
        if missing := [n for n in found.missing if wanted[0] < n < wanted[-1]]:
            more = " ..." if len(missing) > _NAMED else ""
            told = ", ".join(str(n + 1) for n in missing[:_NAMED])
            self._damaged(
                f"{len(missing)} of its {found.length} frames are missing ({told}{more}); render "
                "them again"
            )
        return replace(
            info,
            kind="video",
            format="frames",
            frames=len(wanted),
            rate=rate,
            duration=float((wanted[-1] - wanted[0] + 1) / rate),
            details={"sequence": found.pattern, "of": info.format},
        )

    def frames(self, item: Item, info: Info, start: int = 0) -> Iterator[Frame]:
        """Yield the pictures, timed by their numbers.

        Raises ItemError for one that cannot be read, or differs from the first in size, depth or
        transparency.
        """
        from stylepipe.media import decode

        rate = info.rate or Fraction(25)
        found = sequence.find(item.source, ImageReader.patterns)
        if found.others and start == 0:
            self._log(f"{item.relative}: left out, as no pictures: {', '.join(found.others)}")
        wanted = self._wanted(found, rate)
        lost: set[str] = set()
        for index, position in enumerate(wanted[start:], start):
            path = found.frames[position]
            with _named(path):
                frame = decode.read(path, self.options.max_pixels, self._told_of(path))
            _check_alike(path, frame, info)
            if left_out := set(frame.meta.lost) - lost:
                lost |= left_out
                self._log(f"{item.relative}: left out in reading: {', '.join(sorted(left_out))}")
            following = wanted[index + 1] if index + 1 < len(wanted) else position + 1
            yield replace(
                frame,
                index=index,
                pts=position,
                time_base=1 / rate,
                duration=following - position,
            )

    def times(self, item: Item, info: Info) -> list[Fraction]:
        """By the numbers of the pictures; none is opened."""
        rate = info.rate or Fraction(25)
        found = sequence.find(item.source, ImageReader.patterns)
        return [position / rate for position in self._wanted(found, rate)]

    def _wanted(self, found: sequence.Sequence, rate: Fraction) -> list[int]:
        """Positions of the frames between ``start`` and ``end``."""
        span = self.options.span()
        return [
            n
            for n in found.frames
            if n / rate >= span.start and (span.end is None or n / rate < span.end)
        ]

    def _told_of(self, path: Path) -> Damaged:
        return lambda what: self._damaged(f"{path.name}: {what}")


def _check_alike(path: Path, frame: Frame, info: Info) -> None:
    height, width = frame.pixels.shape[:2]
    found = (f"{width}x{height} pixels", f"{8 * frame.pixels.itemsize} bits a channel",
             "transparency" if frame.alpha is not None else "no transparency")  # fmt: skip
    expected = (f"{info.width}x{info.height} pixels", f"{info.depth} bits a channel",
                "transparency" if info.alpha else "no transparency")  # fmt: skip
    for has, others in zip(found, expected, strict=True):
        if has != others:
            raise ItemError(f"{path.name} has {has}, but the first frame {others}; make them alike")


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Errors of one picture, with its name."""
    try:
        yield
    except ItemError as error:
        raise type(error)(f"{path.name}: {error}") from error


class FramesWriter(Writer):
    """Films as folders of numbered pictures (--format png/): PNG, JPEG, TIFF, WebP, BMP, AVIF.

    The frames of a folder keep their names, those of a film are ``000001.png`` and so on. Sixteen
    bits and transparency stay where the format can hold them. A film that was interrupted resumes
    after its last whole picture.
    """

    name = "frames"
    kind = "video"
    patterns: ClassVar[tuple[str, ...]] = (".png/", ".jpg/", ".tif/", ".webp/", ".bmp/", ".avif/")
    Options = ImageWriter.Options

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._log: Callable[[str], None] = lambda line: None

    def open(self, context: Context) -> None:
        self._log = context.log

    def forecast(self, item: Item, info: Info, log: Callable[[str], None]) -> list[Fate]:
        """The pictures are all there is."""
        suffix = item.folder.removesuffix("/")
        codec = info.details.get("codec", info.format)
        return [
            Fate(f"video {codec}", "painted", f"as numbered pictures, {suffix}"),
            *(Fate(words, "left out") for key, words in _MISSED if info.details.get(key)),
        ]

    def open_sink(self, item: Item, info: Info, path: Path, work: Path) -> Sink:
        """Make the folder ``path``, or resume with what is in it."""
        from stylepipe.media.video_color import Color

        told = set[str]()

        def log(line: str) -> None:
            if line not in told:
                told.add(line)
                self._log(f"{item.relative}: {line}")

        suffix = item.folder.removesuffix("/")
        if missed := [words for key, words in _MISSED if info.details.get(key)]:
            log(f"left out, as pictures cannot hold it: {', '.join(missed)}")
        if pale := Color.parse(info.details).pale:
            log(f"{suffix} cannot tell that {pale}: it will look pale; use .mp4")
        names: dict[int, str] = {}
        if item.source.is_dir() and "sequence" in info.details:
            found = sequence.find(item.source, ImageReader.patterns)
            names = {position: frame.stem for position, frame in found.frames.items()}
        return _FramesSink(path, work, suffix, names, self.encoding(info, log))

    def encoding(self, info: Info, log: Callable[[str], None]) -> EncodeSettings:
        """How a result of ``info`` is encoded; ``log`` is told what is left out."""
        return encode_settings(self.options, info, log)


class _FramesSink(Sink):
    """A folder being filled. Each picture appears in it when it is safely on the disk."""

    def __init__(
        self, path: Path, work: Path, suffix: str, names: dict[int, str], settings: EncodeSettings
    ) -> None:
        self._path, self._work, self._suffix = path, work, suffix
        self._names, self._settings = names, settings
        path.mkdir(exist_ok=True)
        kept = [p for p in path.glob(f"*{suffix}") if not p.name.startswith(".")]
        self.done = len(kept)
        self.last = load_frame(self._kept(self.done - 1)) if self.done else None

    def write(self, frame: Frame) -> None:
        """Encode the next frame."""
        from stylepipe.media.encode import encode

        position = frame.index if frame.pts is None else frame.pts
        name = self._names.get(position, f"{frame.index + 1:06d}")
        data = encode(frame, self._suffix, replace(self._settings, lost=[]))
        part = self._work / "frame.part"
        try:
            # First what a resumed run needs of it: no picture may lack that.
            save_frame(self._kept(frame.index), frame)
            part.write_bytes(data)
            _sync(part)
            part.replace(self._path / f"{name}{self._suffix}")
            self._kept(frame.index - 1).unlink(missing_ok=True)
        except OSError as error:
            raise ItemError(f"the output cannot be written: {error.strerror or error}") from error

    def close(self) -> None:
        """Everything is written already."""

    def abort(self) -> None:
        """The pictures stay, for a resumed run."""

    def _kept(self, index: int) -> Path:
        return self._work / f"last-{index:06d}.npz"


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
