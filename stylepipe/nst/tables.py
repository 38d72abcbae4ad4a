"""Color tables: what becomes of each color, whatever picture it is in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import grid_sample

POINTS = 33
"""Points along each edge of the tables that are made here, as editors expect them."""
_SLAB = 1 << 18
"""Pixels worked on at once."""


@dataclass(frozen=True)
class Grade:
    """A color for each color: known at even steps, with straight lines between."""

    values: torch.Tensor
    """float32: n n n 3 of a table, n 3 of curves."""
    low: Sequence[float] = (0.0, 0.0, 0.0)
    """The red, green and blue of the first point."""
    high: Sequence[float] = (1.0, 1.0, 1.0)
    """Those of the last; colors beyond are taken for the nearest that is known."""

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """The colors for ``images``, N3HW; both are of float32."""
        raise NotImplementedError


class Table(Grade):
    """By a grid of n x n x n points: blue, green and red, red the last before the colors."""

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        result = torch.empty_like(images)
        volume = self.values.to(images).permute(3, 0, 1, 2)[None]
        rows = max(1, _SLAB // images.shape[3])
        for top in range(0, images.shape[2], rows):
            slab = _placed(images[:, :, top : top + rows], self.low, self.high)
            where = slab.permute(0, 2, 3, 1).reshape(1, 1, -1, slab.shape[3], 3) * 2 - 1
            found = grid_sample(volume, where, padding_mode="border", align_corners=True)
            result[:, :, top : top + rows] = found.view(3, *slab[:, 0].shape).transpose(0, 1)
        return result


class Curves(Grade):
    """By a curve each for red, green and blue."""

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        last = len(self.values) - 1
        result = torch.empty_like(images)
        for channel, curve in enumerate(self.values.to(images).T):
            span = slice(channel, channel + 1)
            place = _placed(images[:, span], self.low[span], self.high[span]) * last
            below = place.long().clamp_(max=last - 1)
            result[:, span] = torch.lerp(curve[below], curve[below + 1], place - below)
        return result


def grid(points: int = POINTS) -> torch.Tensor:
    """The colors of a table that changes nothing: n n n 3 in [0, 1]."""
    steps = torch.linspace(0, 1, points)
    blue, green, red = torch.meshgrid(steps, steps, steps, indexing="ij")
    return torch.stack([red, green, blue], -1)


def graded(
    images: torch.Tensor, grades: Sequence[tuple[Grade, float]], strength: float = 1.0
) -> torch.Tensor:
    """``images``, N3HW in [0, 1], by the mean of several grades, whose weights sum to 1.

    ``strength``: 0 changes nothing, 1 all.
    """
    total = torch.zeros_like(images)
    for grade, weight in grades:
        total += weight * grade(images)
    return total if strength == 1 else torch.lerp(images, total, strength)


def sampled(grades: Sequence[tuple[Grade, float]], strength: float = 1.0) -> Table:
    """One table of POINTS an edge that does the same as :func:`graded`."""
    plain = grid()
    picture = plain.reshape(1, POINTS, -1, 3).permute(0, 3, 1, 2)
    found = graded(picture, grades, strength).clamp(0, 1)
    return Table(found.permute(0, 2, 3, 1).reshape(plain.shape).contiguous())


def _placed(images: torch.Tensor, low: Sequence[float], high: Sequence[float]) -> torch.Tensor:
    """N3HW in [0, 1] from the first point of a table to its last."""
    first, last = (images.new_tensor(list(x)).view(1, -1, 1, 1) for x in (low, high))
    return ((images - first) / (last - first)).clamp_(0, 1)
