"""What the engine relies on in a writer."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import pytest

from stylepipe.components import Reader, Sink, Writer
from stylepipe.contracts.base import ComponentContract, context, scene
from stylepipe.errors import ItemError
from stylepipe.types import Frame, Info, Item


class WriterContract(ComponentContract):
    """What the engine relies on in a writer."""

    component: ClassVar[type[Writer]]
    suffixes: ClassVar[Sequence[str]] = ()
    """Which of its patterns to try; by default the first."""
    sizes: ClassVar[Sequence[tuple[int, int]]] = ((96, 64), (53, 37))
    rate: ClassVar[int] = 25
    keeps_size: ClassVar[bool] = True
    """False for a format that changes sizes."""
    keeps_count: ClassVar[bool] = True
    """False where not every frame comes back as one: it drops, repeats or joins them."""
    keeps_times: ClassVar[bool] = True
    """False for a format without times, such as numbered frames."""

    @pytest.fixture
    def reader(self) -> Reader:
        """What reads the results back: stylepipe, or Pillow for pictures that it does not know.

        Override for other formats.
        """
        from stylepipe.media.plugin import stylepipe_components

        kind, suffix = self.component.kind, (self.suffixes or self.component.patterns)[0]
        readers = [c for c in stylepipe_components() if issubclass(c, Reader) and c.kind == kind]
        cls = next((r for r in readers if suffix in r.patterns), readers[0])
        if suffix not in cls.patterns and kind == "image":
            cls = _PillowReader
        return cls(cls.Options())

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """An empty folder for results."""
        folder = tmp_path / "results"
        folder.mkdir()
        return folder

    def frames(self, width: int, height: int, deep: bool = False) -> list[Frame]:
        """One frame for a picture, several for a video, which have gaps in their times."""
        import numpy as np

        if self.component.kind == "image":
            pixels = scene(width, height)
            return [Frame(pixels.astype(np.uint16) * 257 if deep else pixels)]
        base = Fraction(1, self.rate)
        times = [0, 1, 2, 4, 5, 9, 10]
        gaps = [b - a for a, b in zip(times, [*times[1:], 11], strict=True)]
        return [
            Frame(scene(width, height, time=k), None, k, pts, base, gap)
            for k, (pts, gap) in enumerate(zip(times, gaps, strict=True))
        ]

    def sink(self, writer: Any, folder: Path, suffix: str, frames: Sequence[Frame]) -> Sink:
        """Open a sink as the engine does: a temporary name, and a work folder of the item's own.

        The source does not exist: a writer that looks at it must do without it.
        """
        height, width = frames[0].pixels.shape[:2]
        source = folder.parent / f"source{suffix}"
        pattern = suffix if suffix.endswith("/") else ""
        item = Item(0, source, source.parent, folder / f"result{suffix}", pattern)
        work = folder / "work"
        work.mkdir(exist_ok=True)
        clip = self.component.kind == "video"
        info = Info(
            self.component.kind, suffix.strip("./"), width, height, len(frames),
            8 * frames[0].pixels.itemsize, rate=Fraction(self.rate) if clip else None,
            duration=11 / self.rate if clip else None,
        )  # fmt: skip
        opened: Sink = writer.open_sink(item, info, folder / f"part{suffix}", work)
        return opened

    def read_back(self, reader: Reader, path: Path) -> list[Frame]:
        """The frames of a result."""
        reader.open(context())
        try:
            info = reader.probe(path)
            assert info is not None, f"{path.name} cannot be read back"
            return list(reader.frames(Item(0, path, path.parent, path), info))
        finally:
            reader.close()

    def check_kept(self, back: Sequence[Frame], frames: Sequence[Frame], suffix: str) -> None:
        """Compare what was read back with what was written, as far as the format keeps it."""
        assert back, f"the {suffix} has no frame"
        if self.keeps_size:
            assert back[0].pixels.shape == frames[0].pixels.shape, suffix
        if self.keeps_count:
            assert len(back) == len(frames), suffix
        if self.keeps_times and self.component.kind == "video":
            assert _seconds(back) == _seconds(frames), suffix

    def test_results_have_size_count_and_times(
        self, opened: Any, folder: Path, reader: Reader
    ) -> None:
        for suffix in self.suffixes or self.component.patterns[:1]:
            for width, height in self.sizes:
                frames = self.frames(width, height)
                sink = self.sink(opened, folder, suffix, frames)
                for frame in frames:
                    sink.write(frame)
                sink.close()
                back = self.read_back(reader, folder / f"part{suffix}")
                self.check_kept(back, frames, suffix)
                if suffix.endswith("/"):
                    shutil.rmtree(folder / f"part{suffix}")
                else:
                    (folder / f"part{suffix}").unlink()

    def test_only_the_given_path_appears(self, opened: Any, folder: Path) -> None:
        suffix = (self.suffixes or self.component.patterns)[0]
        frames = self.frames(*self.sizes[0])
        sink = self.sink(opened, folder, suffix, frames)
        for frame in frames:
            sink.write(frame)
        sink.close()
        assert {p.name for p in folder.iterdir()} - {"work"} == {f"part{suffix}".strip("/")}

    def test_frames_are_left_alone(self, opened: Any, folder: Path) -> None:
        import numpy as np

        suffix = (self.suffixes or self.component.patterns)[0]
        frames = self.frames(*self.sizes[0])
        before = [f.pixels.copy() for f in frames]
        sink = self.sink(opened, folder, suffix, frames)
        for frame in frames:
            sink.write(frame)
        sink.close()
        assert all(np.array_equal(f.pixels, b) for f, b in zip(frames, before, strict=True))

    def test_aborted_writing_goes_on_to_the_same_result(
        self, opened: Any, folder: Path, reader: Reader
    ) -> None:
        import numpy as np

        suffix = (self.suffixes or self.component.patterns)[0]
        frames = self.frames(*self.sizes[0])
        sink = self.sink(opened, folder, suffix, frames)
        for frame in frames[: len(frames) // 2]:
            sink.write(frame)
        sink.abort()
        sink = self.sink(opened, folder, suffix, frames)
        assert 0 <= sink.done <= len(frames) // 2
        if sink.done:
            assert sink.last is not None
            assert np.array_equal(sink.last.pixels, frames[sink.done - 1].pixels)
        for frame in frames[sink.done :]:
            sink.write(frame)
        sink.close()
        self.check_kept(self.read_back(reader, folder / f"part{suffix}"), frames, suffix)

    def test_can_be_aborted_at_once(self, opened: Any, folder: Path) -> None:
        suffix = (self.suffixes or self.component.patterns)[0]
        self.sink(opened, folder, suffix, self.frames(*self.sizes[0])).abort()

    def test_impossible_path_is_told_in_one_sentence(self, opened: Any, folder: Path) -> None:
        suffix = (self.suffixes or self.component.patterns)[0]
        if suffix.endswith("/"):
            (folder / f"part{suffix}").write_text("a file")
        else:
            (folder / f"part{suffix}").mkdir()
        frames = self.frames(*self.sizes[0])
        with pytest.raises((ItemError, OSError)):
            sink = self.sink(opened, folder, suffix, frames)
            try:
                for frame in frames:
                    sink.write(frame)
                sink.close()
            except BaseException:
                sink.abort()
                raise


class _PillowReader(Reader):
    """Reads back whatever Pillow does."""

    name, kind, patterns = "pillow", "image", ()

    def probe(self, path: Path) -> Info:
        from PIL import Image

        with Image.open(path) as image:
            return Info("image", str(image.format).lower(), *image.size)

    def frames(self, item: Item, info: Info, start: int = 0) -> Iterator[Frame]:
        import numpy as np
        from PIL import Image

        with Image.open(item.source) as image:
            yield Frame(np.array(image.convert("RGB")))


def _seconds(frames: Sequence[Frame]) -> list[float]:
    """Presentation times relative to the first, in milliseconds' precision."""
    times = [float((f.pts or 0) * (f.time_base or 0)) for f in frames]
    return [round(t - times[0], 3) for t in times]
