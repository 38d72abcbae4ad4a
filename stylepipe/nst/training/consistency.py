"""What a network that paints films has to learn: a photo that moves gives the picture, moved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stylepipe.nst import losses

NOISE = 2 / 255
"""Largest change of a pixel's value: what the noise of a camera is like."""
EDGE = 0.0625
"""Of a side: the frame that is not compared, for beyond it lie other pixels."""
SKIES = 0.3
"""Part of the photos that get a plain sky: there only noise is to be seen."""
MAX_SHIFT = 8
"""Pixels, less than so many, by which a picture moves."""
MAX_ZOOM = 1.08


@dataclass(frozen=True)
class ShiftAndZoom:
    """A shift by `down` and `right` pixels, and an enlargement by `zoom`.

    Shifts by whole pixels are exact: no interpolation softens what is to be compared. They alone
    show a grid that a network draws on the screen; fractions of pixels and zooms show the rest.
    """

    down: float
    right: float
    zoom: float = 1.0

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> ShiftAndZoom:
        """Half of the motions are shifts by whole pixels."""
        if rng.random() < 0.5:
            down, right = rng.integers(0, MAX_SHIFT, 2)
            return cls(float(down), float(right))
        down, right = rng.uniform(0.0, MAX_SHIFT / 2, 2)
        return cls(float(down), float(right), float(rng.uniform(1.0, MAX_ZOOM)))

    def __call__(self, pictures: Tensor) -> Tensor:
        """Move pictures N C H W; what leaves them on one side is cut off, or interpolated."""
        if (self.zoom, self.down % 1, self.right % 1) == (1, 0, 0):
            return pictures[..., int(self.down) :, int(self.right) :]
        height, width = pictures.shape[2:]
        # affine_grid counts from the middle in halves of a side.
        matrix = pictures.new_tensor(
            [
                [1.0 / self.zoom, 0.0, 2.0 * self.right / width],
                [0.0, 1.0 / self.zoom, 2.0 * self.down / height],
            ]
        )
        grid = F.affine_grid(
            matrix.expand(len(pictures), 2, 3), list(pictures.shape), align_corners=False
        )
        # Bicubic: bilinear would blur one of the two, and blur would be rewarded.
        return F.grid_sample(
            pictures, grid, mode="bicubic", padding_mode="reflection", align_corners=False
        )


def noise(shape: torch.Size, rng: np.random.Generator) -> Tensor:
    """Uniform noise, at most NOISE."""
    return torch.from_numpy(rng.uniform(-NOISE, NOISE, tuple(shape)).astype(np.float32))


def add_skies(photos: Tensor, rng: np.random.Generator) -> None:
    """Blur the upper part of some of the photos, N 3 H W, to a gradient, in place."""
    for row in np.flatnonzero(rng.random(len(photos)) < SKIES):
        upper = photos[row : row + 1, :, : max(2, int(rng.uniform(0.3, 0.8) * photos.shape[2]))]
        few = F.adaptive_avg_pool2d(upper, 2)
        upper.copy_(F.interpolate(few, upper.shape[2:], mode="bilinear", align_corners=True))


def difference(picture: Tensor, other: Tensor) -> Tensor:
    """Mean squared error, N C H W -> N."""
    return (inner(picture) - inner(other)).square().flatten(1).mean(dim=1)


def relative_difference(picture: Tensor, other: Tensor) -> Tensor:
    """The same over the other's variance: of fainter pictures it is not less."""
    spread = inner(other).flatten(2).var(dim=2, correction=0).mean(dim=1)
    return difference(picture, other) / (spread + losses.EPS)


def inner(maps: Tensor) -> Tensor:
    """N C H W without its frame."""
    rows, columns = (int(EDGE * side) for side in maps.shape[2:])
    return maps[..., rows : maps.shape[2] - rows, columns : maps.shape[3] - columns]
