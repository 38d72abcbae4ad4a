"""Small real components for tests of the engine: pictures as .npy, clips as stacked .npy."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from stylepipe import (
    Caps,
    Frame,
    Info,
    ItemError,
    Options,
    Reader,
    Sink,
    Stylizer,
    StylizerOptions,
    Writer,
    option,
)
from stylepipe.job import MaskOptions, OutputOptions, Settings


class NpyReader(Reader):
    """Reads HxWx3 arrays."""

    name, kind, patterns = "npy", "image", (".npy",)

    def probe(self, path):
        try:
            array = np.load(path, mmap_mode="r")
        except (ValueError, OSError, EOFError):
            raise ItemError("this is not an array") from None
        if array.ndim == 4:
            return None
        return Info("image", "npy", array.shape[1], array.shape[0], depth=8 * array.itemsize)

    def frames(self, item, info, start=0):
        if start:
            return
        array = np.load(item.source)
        yield Frame(array[..., :3].copy(), array[..., 3].copy() if array.shape[2] == 4 else None)


class ClipReader(Reader):
    """Reads TxHxWx3 arrays as video."""

    name, kind, patterns = "npy-clip", "video", (".npy",)

    def probe(self, path):
        array = np.load(path, mmap_mode="r")
        depth = 8 * array.itemsize
        return Info("video", "npy", array.shape[2], array.shape[1], len(array), depth)

    def frames(self, item, info, start=0):
        clip = np.load(item.source, mmap_mode="r")
        for index in range(start, len(clip)):
            yield Frame(np.array(clip[index]), None, index, index * 2, Fraction(1, 50), 2)


class NpySink(Sink):
    """Holds the frames in memory; a clip resumes from files in its work folder, one a frame."""

    def __init__(self, path: Path, work: Path, clip: bool):
        self.path, self.work, self.clip, self.aborted = path, work, clip, False
        self.arrays: list[np.ndarray] = []
        for index, file in enumerate(sorted(work.glob("frame*.npy"))):
            self.arrays.append(np.load(file))
            self.done = index + 1
            self.last = Frame(self.arrays[-1], None, index)

    def write(self, frame):
        if (frame.pixels == 13).all():
            raise ItemError("thirteen cannot be written")
        if self.clip:
            part = self.work / "part.npy"
            np.save(part, frame.pixels)
            part.replace(self.work / f"frame{frame.index:04}.npy")
        array = frame.pixels
        if frame.alpha is not None:
            array = np.dstack([array, frame.alpha])
        self.arrays.append(array)

    def close(self):
        np.save(self.path, np.stack(self.arrays) if self.clip else self.arrays[0])

    def abort(self):
        self.aborted = True


@contextmanager
def writing_fails_at(frame: int, monkeypatch: Any) -> Iterator[None]:
    """Inside, the sinks fail at this frame, as a full disk would."""
    write = NpySink.write

    def broken(self: NpySink, picture: Frame) -> None:
        if picture.index == frame:
            raise OSError("no")
        write(self, picture)

    with monkeypatch.context() as patch:
        patch.setattr(NpySink, "write", broken)
        yield


class NpyWriter(Writer):
    """Writes HxWx3 arrays."""

    name, kind, patterns = "npy", "image", (".npy",)

    def open_sink(self, item, info, path, work):
        return NpySink(path, work, False)


class ClipWriter(Writer):
    """Writes TxHxWx3 arrays."""

    name, kind, patterns = "npy-clip", "video", (".npy",)

    def open_sink(self, item, info, path, work):
        return NpySink(path, work, True)


class Negative(Stylizer):
    """Turns the picture into its negative; can be slow, broken or stubborn."""

    name = "negative"
    caps = Caps(needs_style=False)

    class Options(StylizerOptions):
        """Options."""

        fail_above: int | None = option(None, "Refuse pictures wider than this.")
        wait: float = option(0.0, "Seconds a frame.")
        shape: bool = option(False, "Return a wrong shape.")
        nan: bool = option(False, "Return no numbers.")

    def prepare(self, styles):
        self.resets = []
        self.styles_given = list(styles)

    def reset(self, item):
        self.resets.append(item.source.name)

    def stylize(self, batch):
        width = batch.images.shape[-1]
        if self.options.fail_above is not None and width > self.options.fail_above:
            raise RuntimeError("too wide for me")
        time.sleep(self.options.wait)
        if self.options.shape:
            return batch.images[..., :1]
        return 1 - batch.images + (float("nan") if self.options.nan else 0)


def settings(
    masker=None, temporal=None, mask=None, name="{stem}", format=None, **options
) -> Settings:
    """Settings of the components above; options go to the stylizer."""
    return Settings(
        preset="test",
        readers=(NpyReader(Options()), ClipReader(Options())),
        masker=masker,
        stylizer=Negative(Negative.Options(**options)),
        temporal=temporal,
        writers=(NpyWriter(Options()), ClipWriter(Options())),
        output=OutputOptions(name=name, format=format),
        mask=MaskOptions(**(mask or {})),
    )


class Plugins:
    """Records what the engine tells plugins."""

    def __init__(self):
        self.told = []

    def job_start(self, job, items, log=None):
        self.told.append(("start", [item.source.name for item in items]))

    def item_done(self, job, item, outcome, log=None):
        self.told.append((item.source.name, outcome.status))

    def job_done(self, job, report, log=None):
        self.told.append("done")


def array(height=6, width=8, seed=0, channels=3, dtype=np.uint8) -> np.ndarray:
    """A random picture."""
    top = np.iinfo(dtype).max
    rng = np.random.default_rng(seed)
    return rng.integers(0, top, (height, width, channels), dtype, endpoint=True)
