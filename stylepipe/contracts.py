"""What the engine relies on in components, as tests to derive from: see stylepipe.testing."""

from __future__ import annotations

import inspect
import itertools
import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from stylepipe.components import (
    Component,
    Context,
    Flow,
    Masker,
    Reader,
    Sink,
    StyleRef,
    Stylizer,
    Writer,
)
from stylepipe.errors import ItemError, UsageError
from stylepipe.styles import parse_style
from stylepipe.types import Batch, Frame, Guide, Info, Item, Kind

if TYPE_CHECKING:
    import numpy as np
    import torch

MakeFile = Callable[..., Path]
HEAVY = ("torch", "torchvision", "cv2", "av", "PIL", "numpy")
"""What may be imported only when a job runs: ``stylepipe --help`` would be slow otherwise."""


def scene(width: int, height: int, time: int = 0, seed: int = 0) -> np.ndarray:
    """A colorful picture with texture and edges, HxWx3 uint8; ``time`` moves it to the right.

    Each unit of ``time`` moves everything by two pixels, so the motion between two of them is
    known: (2, 0).
    """
    import numpy as np

    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    x = x - 2 * time + 17 * seed
    planes = [
        128 + 60 * np.sin(x / 9 + k) * np.cos(y / 7 - k) + 45 * np.sin(x / 3.1 + y / 4.3 + 2 * k)
        for k in range(3)
    ]
    pixels = np.stack(planes, -1)
    inside = (np.mod(x, 53) < 20) & (np.mod(y, 37) < 15)
    pixels[inside] = pixels[inside] * 0.3 + np.array([200, 150, 20]) * 0.7
    return pixels.clip(0, 255).astype(np.uint8)


def context() -> Context:
    """What the engine would tell a component on the CPU, in full precision."""
    from stylepipe.device import pick

    return Context(pick("cpu", "full"), 2 << 30, lambda line: None)


class ComponentContract:
    """What holds for every component; derive from the contract of its stage instead."""

    component: ClassVar[type[Component]]
    options: ClassVar[Mapping[str, Any]] = {}
    """Options to make it with, as plain values; override :meth:`made` for what needs files."""

    @pytest.fixture
    def made(self) -> Any:
        """A component, made but not opened."""
        return self.component(self.component.Options.build(self.options))

    @pytest.fixture
    def opened(self, made: Any) -> Iterator[Any]:
        """The component, opened on the CPU and closed after the test."""
        try:
            made.open(context())
            yield made
        finally:
            made.close()

    def test_has_a_name_and_a_summary(self) -> None:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", self.component.name), (
            "name: lower case, words joined by '-', for it becomes a command or a preset key"
        )
        summary = (self.component.__doc__ or "").strip().partition("\n")[0]
        assert summary, "the first line of the class's docstring is what users are shown"

    def test_options_survive_json(self, made: Any) -> None:
        plain = json.loads(json.dumps(made.options.values()))
        assert type(made.options).build(plain) == made.options

    def test_unknown_option_is_refused(self) -> None:
        with pytest.raises(UsageError):
            self.component.Options.build({"no_such_option": 1})

    def test_can_be_closed_without_being_opened(self, made: Any) -> None:
        made.close()  # the engine closes also what could not be opened

    def test_can_be_opened_again(self, made: Any) -> None:
        for _ in range(2):
            made.open(context())
            made.close()

    def test_listing_imports_nothing_heavy(self) -> None:
        module, file = self.component.__module__, inspect.getfile(self.component)
        code = (
            "import importlib, importlib.util, json, sys\n"
            f"sys.path[:0] = {[p for p in sys.path if p]!r}\n"
            "try:\n"
            f"    m = importlib.import_module({module!r})\n"
            "except ModuleNotFoundError:\n"
            f"    s = importlib.util.spec_from_file_location('m', {file!r})\n"
            "    m = importlib.util.module_from_spec(s)\n"
            "    sys.modules['m'] = m\n"
            "    s.loader.exec_module(m)\n"
            f"c = m.{self.component.__qualname__}\n"
            "c.Options.specs()\n"
            "getattr(c, 'styles', tuple)()\n"
            f"print(json.dumps([n for n in {HEAVY!r} if n in sys.modules]))\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        heavy = json.loads(done.stdout.splitlines()[-1])
        assert not heavy, f"import {', '.join(heavy)} inside methods: this runs for --help too"


class StylizerContract(ComponentContract):
    """What the engine relies on in a stylizer."""

    component: ClassVar[type[Stylizer]]
    styles: ClassVar[Sequence[StyleRef]] = ()
    """What to prepare it with; by default its first bundled style, where it needs one."""
    sizes: ClassVar[Sequence[tuple[int, int]]] = ((64, 48), (53, 37), (16, 90))
    """Widths and heights to try, beside the smallest one that its caps allow."""
    tolerance: ClassVar[float] = 2e-3
    """Difference allowed where two results should be the same picture, in units of white."""

    @pytest.fixture
    def ready(self, opened: Any) -> Any:
        """The stylizer with its style prepared, at the start of a clip."""
        opened.prepare(self.chosen())
        opened.reset(self.item())
        return opened

    @classmethod
    def chosen(cls) -> Sequence[StyleRef]:
        """The styles to prepare."""
        if cls.styles or not cls.component.caps.needs_style:
            return cls.styles
        bundled = cls.component.styles()
        assert bundled, "set `styles` in the contract: this stylizer needs one and bundles none"
        return [StyleRef(bundled[0].name, 1.0)]

    @staticmethod
    def item() -> Item:
        """An item for batches; the file does not exist."""
        return Item(0, Path("in/photo.png"), Path("in"), Path("out/photo.png"))

    def batch(self, width: int, height: int, count: int = 1) -> Batch:
        """Textured frames."""
        import numpy as np
        import torch

        frames = np.stack([scene(width, height, seed=k) for k in range(count)])
        images = torch.from_numpy(frames).permute(0, 3, 1, 2).contiguous().float() / 255
        return Batch(images, self.item())

    def all_sizes(self) -> list[tuple[int, int]]:
        """The sizes to try: none has a side shorter than the caps allow."""
        least = self.component.caps.min_side
        fitting = [(max(w, least), max(h, least)) for w, h in self.sizes]
        return [*fitting, (least, least), (least, least + 7)]

    def paint(self, stylizer: Any, batch: Batch) -> torch.Tensor:
        """One call as the engine makes it."""
        import torch

        stylizer.reset(batch.item)
        with torch.inference_mode():
            result: torch.Tensor = stylizer.stylize(batch)
        return result

    def test_result_has_the_size_of_the_batch(self, ready: Any) -> None:
        import torch

        for width, height in self.all_sizes():
            batch = self.batch(width, height)
            result = self.paint(ready, batch)
            scale = self.component.caps.scale
            assert result.shape == (1, 3, scale * height, scale * width), f"at {width}x{height}"
            assert result.is_floating_point(), "integers belong to files, floats to the model"
            assert torch.isfinite(result).all(), f"not a number at {width}x{height}"

    def test_flat_pictures_stay_finite(self, ready: Any) -> None:
        import torch

        for value in (0.0, 0.5, 1.0):
            batch = self.batch(48, 48)
            batch.images.fill_(value)
            assert torch.isfinite(self.paint(ready, batch)).all(), f"all pixels {value}"

    def test_input_is_left_alone(self, ready: Any) -> None:
        import torch

        batch = self.batch(64, 48)
        before = batch.images.clone()
        self.paint(ready, batch)
        assert torch.equal(batch.images, before), "the engine needs the photo for masks and colors"

    def test_same_input_same_result(self, ready: Any) -> None:
        first = self.paint(ready, self.batch(64, 48)).clone()
        self.paint(ready, self.batch(53, 37))
        again = self.paint(ready, self.batch(64, 48))
        assert (first - again).abs().max() <= self.tolerance, "an interrupted run must go on alike"

    def test_frames_of_a_batch_do_not_mix(self, ready: Any) -> None:
        if self.component.caps.batch == 1:
            pytest.skip("takes one frame at a time")
        both = self.batch(64, 48, 2)
        together = self.paint(ready, both).clone()
        for k in range(2):
            alone = self.paint(ready, Batch(both.images[k : k + 1], both.item))
            assert (together[k : k + 1] - alone).abs().max() <= self.tolerance

    def test_native_mask_of_ones_is_no_mask(self, ready: Any) -> None:
        if self.component.caps.masks != "native":
            pytest.skip("the engine composites masks for it")
        batch = self.batch(64, 48)
        plain = self.paint(ready, batch).clone()
        batch.masks = batch.images.new_ones(1, 1, 48, 64)
        assert (self.paint(ready, batch) - plain).abs().max() <= self.tolerance

    def test_native_region_that_is_everywhere_is_no_region(self, ready: Any) -> None:
        if self.component.caps.regions != "native" or len(self.styles) > 1:
            pytest.skip("the engine composites regions for it, or it blends several styles")
        batch = self.batch(64, 48)
        plain = self.paint(ready, batch).clone()
        batch.masks, batch.regions = batch.images.new_ones(1, 1, *batch.images.shape[2:]), ("all",)
        assert (self.paint(ready, batch) - plain).abs().max() <= self.tolerance

    def test_native_guide_without_trust_is_no_guide(self, ready: Any) -> None:
        if self.component.caps.temporal != "native":
            pytest.skip("the engine blends guides for it")
        batch = self.batch(64, 48)
        plain = self.paint(ready, batch).clone()
        batch.guide = Guide(1 - batch.images, batch.images.new_zeros(1, 1, 48, 64))
        assert (self.paint(ready, batch) - plain).abs().max() <= self.tolerance

    def test_missing_and_unknown_styles_are_refused(self, opened: Any) -> None:
        if not self.component.caps.needs_style:
            pytest.skip("needs no style")
        unknown = [StyleRef("no-such-style", 1.0)]
        with pytest.raises(UsageError):
            opened.check(unknown)
        for styles in ((), unknown):  # what was there at the check may be gone by now
            with pytest.raises(UsageError):
                opened.prepare(styles)

    def test_names_of_bundled_styles_are_unique(self) -> None:
        names = [style.name for style in self.component.styles()]
        assert len(set(names)) == len(names)


class MaskerContract(ComponentContract):
    """What the engine relies on in a masker."""

    component: ClassVar[type[Masker]]
    sizes: ClassVar[Sequence[tuple[int, int]]] = ((64, 48), (53, 37), (1, 1), (1, 40))

    @pytest.fixture
    def item(self, tmp_path: Path) -> Item:
        """The item the frames belong to; the file does not exist."""
        return Item(0, tmp_path / "photo.png", tmp_path, tmp_path / "out" / "photo.png")

    @staticmethod
    def frames(width: int, height: int, deep: bool = False) -> list[Frame]:
        """Two frames, one of them half transparent."""
        import numpy as np

        pixels = [scene(width, height, seed=k) for k in range(2)]
        alpha = np.zeros((height, width), np.uint8)
        alpha[:, width // 2 :] = 255
        a, b, cover = (p.astype(np.uint16) * 257 if deep else p for p in (*pixels, alpha))
        return [Frame(a, None, 0), Frame(b, cover, 1)]

    def masks(self, masker: Any, item: Item, frames: Sequence[Frame]) -> torch.Tensor:
        """One call as the engine makes it."""
        import numpy as np
        import torch

        stacked = np.stack([f.pixels for f in frames]).astype(np.float32) / frames[0].white
        images = torch.from_numpy(stacked).permute(0, 3, 1, 2)
        result: torch.Tensor = masker.mask(Batch(images, item), frames)
        return result

    def test_regions_have_names_that_users_can_write(self, opened: Any, item: Item) -> None:
        if opened.regions is None:
            pytest.skip("one plane says where to paint")
        names = opened.regions_of(item)
        assert names and len(set(names)) == len(names)
        for name in names:
            assert parse_style(f"style@{name}").region == name, "letters, digits, - _ # only"

    def test_planes_of_a_frame_are_between_0_and_1(self, opened: Any, item: Item) -> None:
        """One a region; without regions one."""
        count = 1 if opened.regions is None else len(opened.regions_of(item))
        for width, height in self.sizes:
            for deep in (False, True):
                masks = self.masks(opened, item, self.frames(width, height, deep))
                assert masks.shape == (2, count, height, width)
                assert masks.is_floating_point()
                assert masks.min() >= 0 and masks.max() <= 1, "black is 0, white is 1"

    def test_same_frames_same_masks(self, opened: Any, item: Item) -> None:
        import torch

        frames = self.frames(*self.sizes[0])
        first = self.masks(opened, item, frames).clone()
        assert torch.equal(self.masks(opened, item, frames), first)

    def test_frames_are_left_alone(self, opened: Any, item: Item) -> None:
        import numpy as np

        frames = self.frames(*self.sizes[0])
        before = [(f.pixels.copy(), None if f.alpha is None else f.alpha.copy()) for f in frames]
        self.masks(opened, item, frames)
        for frame, (pixels, alpha) in zip(frames, before, strict=True):
            assert np.array_equal(frame.pixels, pixels)
            assert alpha is None or np.array_equal(frame.alpha, alpha)  # type: ignore[arg-type]


class FlowContract(ComponentContract):
    """What the engine relies on in an optical flow."""

    component: ClassVar[type[Flow]]
    sizes: ClassVar[Sequence[tuple[int, int]]] = ((96, 64), (53, 37), (9, 120), (1, 1))
    accuracy: ClassVar[float] = 0.5
    """Pixels by which the median flow may miss a known motion of two pixels."""

    @staticmethod
    def pair(width: int, height: int, motion: int = 1) -> tuple[Frame, Frame]:
        """Two frames; the second is the first moved to the right by ``2 * motion`` pixels."""
        return Frame(scene(width, height)), Frame(scene(width, height, time=motion), index=1)

    def test_one_vector_a_pixel(self, opened: Any) -> None:
        import torch

        for width, height in self.sizes:
            flow = opened.flow(*self.pair(width, height))
            assert flow.shape == (1, 2, height, width)
            assert flow.dtype == torch.float32 and flow.device.type == "cpu"
            assert torch.isfinite(flow).all()

    def test_points_from_the_first_frame_to_the_second(self, opened: Any) -> None:
        flow = opened.flow(*self.pair(192, 144))
        dx, dy = flow[0, 0, 20:-20, 20:-20].median(), flow[0, 1, 20:-20, 20:-20].median()
        assert abs(dx - 2) <= self.accuracy, f"moved by (2, 0), flow says ({dx:.2f}, {dy:.2f})"
        assert abs(dy) <= self.accuracy, f"moved by (2, 0), flow says ({dx:.2f}, {dy:.2f})"

    def test_nothing_moves_between_equal_frames(self, opened: Any) -> None:
        flow = opened.flow(*self.pair(192, 144, motion=0))
        assert flow.abs().mean() < 0.1

    def test_sixteen_bits_move_like_eight(self, opened: Any) -> None:
        import numpy as np

        a, b = self.pair(192, 144)
        deep = [Frame(f.pixels.astype(np.uint16) * 257, index=f.index) for f in (a, b)]
        difference = (opened.flow(*deep) - opened.flow(a, b)).abs()
        assert difference.median() <= self.accuracy

    def test_several_threads_at_once(self, opened: Any) -> None:
        import torch

        pairs = [self.pair(96, 64, motion) for motion in range(4)]
        alone = [opened.flow(*pair) for pair in pairs]
        together: dict[int, torch.Tensor] = {}

        def work(k: int) -> None:
            for _ in range(3):
                together[k] = opened.flow(*pairs[k])

        threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(together) == [0, 1, 2, 3], "a call from another thread failed"
        for k, flow in enumerate(alone):
            assert torch.allclose(together[k], flow, atol=1e-3), "threads disturb each other"

    def test_frames_are_left_alone(self, opened: Any) -> None:
        import numpy as np

        a, b = self.pair(96, 64)
        before = a.pixels.copy(), b.pixels.copy()
        opened.flow(a, b)
        assert np.array_equal(a.pixels, before[0]) and np.array_equal(b.pixels, before[1])


class ReaderContract(ComponentContract):
    """What the engine relies on in a reader."""

    component: ClassVar[type[Reader]]

    @pytest.fixture
    def sample(self, make_photo: MakeFile, make_clip: MakeFile) -> Path:
        """A good file. Override for formats that Pillow and FFmpeg do not write."""
        suffix = self.component.patterns[0]
        make = make_photo if self.component.kind == "image" else make_clip
        return make(f"sample{suffix}")

    def item(self, path: Path) -> Item:
        """The item of a file."""
        return Item(0, path, path.parent, path.parent / "out" / path.name)

    def info(self, reader: Any, path: Path) -> Info:
        """What the reader says of a good file."""
        info: Info | None = reader.probe(path)
        assert info is not None, f"left {path.name} to other readers"
        return info

    def test_patterns_are_lower_case_suffixes(self) -> None:
        assert self.component.patterns
        for suffix in self.component.patterns:
            assert re.fullmatch(r"\.[a-z0-9]+", suffix), suffix

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
                assert np.array_equal(a.pixels, b.pixels), f"another frame {b.index} from {start}"
                assert (a.pts, a.time_base) == (b.pts, b.time_base)

    def test_source_is_left_alone(self, opened: Any, sample: Path) -> None:
        before = sample.read_bytes()
        list(opened.frames(self.item(sample), self.info(opened, sample)))
        assert sample.read_bytes() == before
        assert [p.name for p in sample.parent.iterdir()] == [sample.name]

    def test_reading_can_be_given_up(self, opened: Any, sample: Path) -> None:
        info = self.info(opened, sample)
        frames = iter(opened.frames(self.item(sample), info))
        next(frames)
        frames.close()
        assert len(list(opened.frames(self.item(sample), info))) >= 1

    def test_broken_files_are_told_in_one_sentence(self, opened: Any, sample: Path) -> None:
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


class WriterContract(ComponentContract):
    """What the engine relies on in a writer."""

    component: ClassVar[type[Writer]]
    suffixes: ClassVar[Sequence[str]] = ()
    """Which of its patterns to try; by default the first."""
    sizes: ClassVar[Sequence[tuple[int, int]]] = ((96, 64), (53, 37))
    rate: ClassVar[int] = 25
    keeps_times: ClassVar[bool] = True
    """Whether frames come back at their times; those of numbered pictures do not."""

    @pytest.fixture
    def reader(self) -> Reader:
        """What reads the results back. Override for formats that stylepipe does not read."""
        from stylepipe.media.plugin import stylepipe_components

        readers = [c for c in stylepipe_components() if issubclass(c, Reader)]
        kind: Kind = self.component.kind
        cls = next(r for r in readers if r.kind == kind and r.patterns)  # of files
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

    def test_patterns_are_lower_case_suffixes(self) -> None:
        assert self.component.patterns
        for suffix in self.component.patterns:
            assert re.fullmatch(r"\.[a-z0-9]+/?", suffix), suffix

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
                assert len(back) == len(frames), suffix
                assert back[0].pixels.shape == (height, width, 3), suffix
                if self.component.kind == "video" and self.keeps_times:
                    assert _seconds(back) == _seconds(frames), suffix
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
        back = self.read_back(reader, folder / f"part{suffix}")
        assert len(back) == len(frames)
        if self.component.kind == "video" and self.keeps_times:
            assert _seconds(back) == _seconds(frames)

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


def _seconds(frames: Sequence[Frame]) -> list[float]:
    """Presentation times relative to the first, in milliseconds' precision."""
    times = [float((f.pts or 0) * (f.time_base or 0)) for f in frames]
    return [round(t - times[0], 3) for t in times]
