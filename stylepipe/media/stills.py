"""A few frames of a film as single pictures, each named after the film and its number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from stylepipe.components import Context, Sink, Writer
from stylepipe.errors import ItemError
from stylepipe.media.images import ImageWriter, encode_settings
from stylepipe.patterns import title
from stylepipe.types import Frame, Info, Item

if TYPE_CHECKING:
    from stylepipe.media.encode import EncodeSettings


class StillsWriter(Writer):
    """Writes ``clip_000120.png`` for the 120th frame of ``clip.mp4``; numbered pictures keep
    their numbers.

    Not among the writers that users choose: ``--frames`` and ``--every`` put it first.
    """

    name = "stills"
    kind = "video"
    patterns: ClassVar[tuple[str, ...]] = (".png/", ".jpg/", ".tif/", ".webp/", ".bmp/", ".avif/")
    Options = ImageWriter.Options

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._log: Callable[[str], None] = lambda line: None

    def open(self, context: Context) -> None:
        self._log = context.log

    def open_sink(self, item: Item, info: Info, path: Path, work: Path) -> Sink:
        """Make the folder ``path``, or resume with what is in it."""
        settings = encode_settings(
            self.options, info, lambda line: self._log(f"{item.relative}: {line}")
        )
        return _StillsSink(item, path, work, settings)


def film_name(source: Path) -> str:
    """What the pictures of a film are named after."""
    return source.name if source.is_dir() else title(source)


class _StillsSink(Sink):
    """A folder being filled; each picture appears in it whole."""

    def __init__(self, item: Item, path: Path, work: Path, settings: EncodeSettings) -> None:
        self._name, self._suffix = film_name(item.source), item.folder.removesuffix("/")
        self._path, self._work, self._settings = path, work, settings
        path.mkdir(exist_ok=True)
        self.done = sum(1 for file in path.iterdir() if file.suffix == self._suffix)

    def write(self, frame: Frame) -> None:
        from stylepipe.media.encode import encode

        data = encode(frame, self._suffix, replace(self._settings, lost=[]))
        part = self._work / "picture.part"
        try:
            part.write_bytes(data)
            part.replace(self._path / f"{self._name}_{frame.number:06d}{self._suffix}")
        except OSError as error:
            raise ItemError(f"the output cannot be written: {error.strerror or error}") from error

    def close(self) -> None:
        """Everything is written already."""

    def abort(self) -> None:
        """The pictures stay, for a resumed run."""
