"""A plugin of small maskers, which read no pixels, and of what is needed to paint by them."""

import torch
from fakes import ClipReader, ClipWriter, Negative, NpyReader, NpyWriter
from stylepipe_plugins.masks import FilesMasker

from stylepipe import Masker, NoMask, Options, StyleInfo, Stylizer, hookimpl, option

GRAYS = {"starry-night": 0.4, "black": 0.0, "dark": 0.2, "light": 0.8, "white": 1.0}


class Half(Masker):
    """One side of the picture."""

    def mask(self, batch, frames):
        count, _, height, width = batch.images.shape
        mask = torch.zeros(count, 1, height, width)
        mask[..., self.start(width) : self.end(width)] = 1
        return mask


class Left(Half):
    """The left half."""

    name = "left"

    def start(self, width):
        return 0

    def end(self, width):
        return width // 2


class Right(Left):
    """The right half."""

    name = "right"

    def start(self, width):
        return width // 2

    def end(self, width):
        return width


class Column(Half):
    """Some columns of pixels."""

    name, argument = "column", "at"

    class Options(Options):
        at: int = option(0, "Number of the column.", min=0)
        wide: int = option(1, "Columns.", min=0)

    def start(self, width):
        return self.options.at

    def end(self, width):
        return self.options.at + self.options.wide


class Level(Masker):
    """The same everywhere."""

    name, argument = "level", "value"

    class Options(Options):
        value: float = option(1.0, "How white.", min=0, max=1)
        wide: int = option(1, "Has the name of an option of another masker.")

    def mask(self, batch, frames):
        return torch.full_like(batch.images[:, :1], self.options.value)


class Absent(Masker):
    """Has no mask for files whose name begins with ``no``; for all others the left half."""

    name = "absent"

    def mask(self, batch, frames):
        if batch.item.source.name.startswith("no"):
            raise NoMask("it has no mask")
        return Left(Left.Options()).mask(batch, frames)


class Paint(Stylizer):
    """Paints all in the gray of its style, and counts the pictures."""

    name = "fast"  # which the default preset names, with its style
    painted = 0

    @classmethod
    def styles(cls):
        return [StyleInfo(name, name, "MIT") for name in GRAYS]

    def prepare(self, styles):
        self.value = sum(GRAYS[style.name] * style.weight for style in styles)

    def stylize(self, batch):
        Paint.painted += len(batch.images)
        return torch.full_like(batch.images, self.value)


@hookimpl
def stylepipe_components():
    return [NpyReader, ClipReader, Negative, Paint, FilesMasker, Left, Right, Column, Level, Absent,
            NpyWriter, ClipWriter]  # fmt: skip
