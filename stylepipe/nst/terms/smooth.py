"""Terms on the pixels: smoothness, edges, range."""

from __future__ import annotations

from math import lcm

import torch
import torch.nn.functional as F
from torch import Tensor

from stylepipe.nst.losses import range_penalty

from .base import PictureTerm, Strip


class TotalVariation(PictureTerm):
    """Mean squared (power 2) or mean absolute (power 1) difference of neighbors.

    Power 1 is Rudin, Osher, Fatemi (1992), anisotropic, which keeps edges; power 2 blurs them less
    visibly and is the smoother to optimize.
    """

    name = "tv"

    def __init__(self, weight: float = 1.0, power: int = 2) -> None:
        if power not in (1, 2):
            raise ValueError(f"total variation has power 1 or 2, not {power}")
        self.weight, self.power = weight, power

    def part(self, strip: Strip) -> Tensor:
        own, next_too = strip.own(), strip.own(below=1)
        channels, _, width = own.shape[1:]
        right = self._sum(own[..., :, 1:] - own[..., :, :-1])
        below = self._sum(next_too[..., 1:, :] - next_too[..., :-1, :])
        return right / (channels * strip.height * (width - 1)) + below / (
            channels * (strip.height - 1) * width
        )

    def _sum(self, differences: Tensor) -> Tensor:
        sizes = differences.square() if self.power == 2 else differences.abs()
        return sizes.sum(dim=(1, 2, 3))


class Laplacian(PictureTerm):
    """Squared error of the Laplacians of picture and photo, each averaged over cells first.

    Li et al., "Laplacian-Steered Neural Style Transfer" (2017), eq. 5 to 7: the photo's edges stay.
    Over the mean square of the photo's, so that a weight means the same for every photo and size.
    """

    name = "laplacian"

    def __init__(
        self, photo: Tensor, weight: float = 1.0, cells: tuple[int, ...] = (4, 16)
    ) -> None:
        self.weight = weight
        # Three positions a side are the least that a Laplacian sees.
        self.cells = tuple(c for c in cells if min(photo.shape[-2:]) >= 3 * c) or (1,)
        self.grid = lcm(*self.cells)
        self._targets = [_laplacian(photo.detach(), cell) for cell in self.cells]

    def part(self, strip: Strip) -> Tensor:
        errors = []
        for cell, target in zip(self.cells, self._targets, strict=True):
            # Of the cells' rows the first and the last have no Laplacian.
            first, last = (max(row // cell - 1, 0) for row in strip.rows)
            error = _laplacian(strip.own(cell, cell), cell) - target[..., first:last, :]
            mean = error.square().sum(dim=(1, 2, 3)) / target[0].numel()
            errors.append(mean / (target.square().flatten(1).mean(dim=1) + 1e-4))
        return torch.stack(errors).mean(dim=0)


def _laplacian(picture: Tensor, cell: int) -> Tensor:
    """Four neighbors less four times the center, summed over RGB as in the paper: N 1 h w."""
    x = F.avg_pool2d(picture, cell).sum(dim=1, keepdim=True)
    center = x[..., 1:-1, 1:-1]
    around = x[..., :-2, 1:-1] + x[..., 2:, 1:-1] + x[..., 1:-1, :-2] + x[..., 1:-1, 2:]
    return around - 4.0 * center


class OutOfRange(PictureTerm):
    """Mean squared distance of the values to [0,1]."""

    name = "range"

    def __init__(self, weight: float = 10.0) -> None:
        self.weight = weight

    def part(self, strip: Strip) -> Tensor:
        return range_penalty(strip.own()) * ((strip.rows[1] - strip.rows[0]) / strip.height)
