"""What the engine relies on in a reader."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from stylepipe.components import Reader
from stylepipe.contracts.base import ComponentContract, MakeFile
from stylepipe.errors import ItemError
from stylepipe.types import Info, Item


class ReaderContract(ComponentContract):
    """What the engine relies on in a reader."""

    component: ClassVar[type[Reader]]
    samples: ClassVar[Sequence[Path]] = ()
    """Good files, or folders for a reader of folders; the first that the reader takes is used."""

    @pytest.fixture
    def sample(self, tmp_path: Path, make_photo: MakeFile, make_clip: MakeFile) -> Path:
        """A good file, of ``samples`` or made. Override for formats that Pillow and FFmpeg do not
        write."""
        reader = self.component(self.component.Options.build(self.options))
        for path in self.samples:
            if path.is_dir() and reader.claims(path):
                return Path(shutil.copytree(path, tmp_path / path.name))
            if path.is_file() and path.suffix.lower() in self.component.patterns:
                return Path(shutil.copy(path, tmp_path))
        if not self.component.patterns:
            pytest.fail("a reader of folders needs one to read: give it by `samples`")
        suffix = self.component.patterns[0]
        make = make_photo if self.component.kind == "image" else make_clip
        try:
            return make(f"sample{suffix}")
        except (ValueError, OSError) as error:
            pytest.fail(f"{suffix} cannot be made ({error}): give a file by `samples`")

    def item(self, path: Path) -> Item:
        """The item of a file."""
        return Item(0, path, path.parent, path.parent / "out" / path.name)

    def info(self, reader: Any, path: Path) -> Info:
        """What the reader says of a good file."""
        info: Info | None = reader.probe(path)
        assert info is not None, f"left {path.name} to other readers"
        return info

    def test_frames_are_what_the_probe_promised(self, opened: Any, sample: Path) -> None:
        import numpy as np

        info = self.info(opened, sample)
        assert info.kind == self.component.kind
        frames = list(opened.frames(self.item(sample), info))
        assert frames, "no frames"
        assert info.frames is None or len(frames) == info.frames
        for k, frame in enumerate(frames):
            assert frame.pixels.shape == (info.height, info.width, 3)
            assert frame.pixels.dtype == (np.uint8 if info.depth == 8 else np.uint16)
            assert frame.pixels.flags.c_contiguous
            assert frame.index == k, "frames are numbered from 0"
            assert (frame.alpha is not None) == info.alpha
            if frame.alpha is not None:
                assert frame.alpha.shape == frame.pixels.shape[:2]
                assert frame.alpha.dtype == frame.pixels.dtype

    def test_video_frames_have_times_that_grow(self, opened: Any, sample: Path) -> None:
        if self.component.kind != "video":
            pytest.skip("pictures have no time")
        frames = list(opened.frames(self.item(sample), self.info(opened, sample)))
        assert all(f.pts is not None and f.time_base for f in frames)
        times = [f.pts * f.time_base for f in frames]
        assert all(a < b for a, b in itertools.pairwise(times)), times

    def test_can_start_at_any_frame(self, opened: Any, sample: Path) -> None:
        import numpy as np

        info = self.info(opened, sample)
        every = list(opened.frames(self.item(sample), info))
        for start in {0, 1, len(every) // 2, len(every) - 1}:
            rest = list(opened.frames(self.item(sample), info, start))
            assert [f.index for f in rest] == [f.index for f in every[start:]], f"from {start}"
            for a, b in zip(rest, every[start:], strict=True):
                assert np.array_equal(a.pixels, b.pixels), (
                    f"another frame {b.number} from index {start}"
                )
                assert (a.pts, a.time_base) == (b.pts, b.time_base)

    def test_source_is_left_alone(self, opened: Any, sample: Path) -> None:
        before = _bytes_of(sample)
        list(opened.frames(self.item(sample), self.info(opened, sample)))
        assert _bytes_of(sample) == before
        assert [p.name for p in sample.parent.iterdir()] == [sample.name]

    def test_reading_can_be_given_up(self, opened: Any, sample: Path) -> None:
        info = self.info(opened, sample)
        frames = iter(opened.frames(self.item(sample), info))
        next(frames)
        frames.close()
        assert len(list(opened.frames(self.item(sample), info))) >= 1

    def test_broken_files_are_told_in_one_sentence(self, opened: Any, sample: Path) -> None:
        if sample.is_dir():
            pytest.skip("the sample is a folder")
        whole = sample.read_bytes()
        broken = {"missing": None, "empty": b"", "text": b"This is no picture.\n" * 40,
                  "cut": whole[: len(whole) // 3], "head": whole[:9]}  # fmt: skip
        for what, data in broken.items():
            path = sample.with_name(f"{what}{sample.suffix}")
            if data is not None:
                path.write_bytes(data)
            try:
                info = opened.probe(path)
                if info is not None:
                    list(opened.frames(self.item(path), info))
            except ItemError as error:
                message = str(error)
                assert message and "\n" not in message, f"{what}: {message!r}"


def _bytes_of(path: Path) -> dict[Path, bytes]:
    files = path.rglob("*") if path.is_dir() else [path]
    return {file: file.read_bytes() for file in files if file.is_file()}
