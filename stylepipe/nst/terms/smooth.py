"""Terms on the pixels: smoothness, edges, range."""

from __future__ import annotations

from math import lcm
from typing import TYPE_CHECKING, Self, get_args

from stylepipe.nst.names import LossScale

from .base import PhotoInputs, PictureTerm, Strip
from .registry import register

if TYPE_CHECKING:
    from torch import Tensor


USUAL = {1: 0.1, 2: 0.02}
"""Total variation of a painting of usual roughness, by power."""


@register
class TotalVariation(PictureTerm):
    """Mean squared (power 2) or mean absolute (power 1) difference of neighbors, over that of the
    paintings: what is crisp stays crisp, and grain that a soft painting has not is smoothed away.
    At other scales than ``relative`` the sum.

    Power 1 is Rudin, Osher, Fatemi (1992), anisotropic, which keeps edges; power 2 blurs them less
    visibly and is the smoother to optimize.
    """

    name = "tv"
    default = 1.0
    help = "Weight of smoothness (gamma)."
    scales = get_args(LossScale)

    def __init__(
        self,
        weight: float = 1.0,
        power: int = 2,
        scale: LossScale = "relative",
        roughness: float | None = None,
    ) -> None:
        """roughness: the paintings' own value, in the size in which they serve; None: a usual one,
        of which the weight is a multiple."""
        if power not in (1, 2):
            raise ValueError(f"total variation has power 1 or 2, not {power}")
        self.weight, self.power, self.scale = weight, power, scale
        usual = USUAL[power]
        self._factor = usual / max(roughness, usual / 10) if roughness is not None else 1.0

    @classmethod
    def build(cls, inputs: PhotoInputs, weight: float) -> Self:
        # What smooths is part of the style's effect: without any, the photo stays as it is.
        recipe = inputs.recipe
        return cls(weight * recipe.strength, recipe.tv_power, recipe.loss_scale, inputs.roughness)

    def part(self, strip: Strip) -> Tensor:
        from stylepipe.nst.losses import neighbor_differences

        own = strip.own()
        channels, _, width = own.shape[1:]
        right, below = neighbor_differences(own, strip.own(below=1), self.power)
        if self.scale != "relative":
            return right + below
        mean = right / (channels * strip.height * (width - 1)) + below / (
            channels * (strip.height - 1) * width
        )
        return self._factor * mean


@register
class Laplacian(PictureTerm):
    """Squared error of the Laplacians of picture and photo, each averaged over cells first.

    Li et al., "Laplacian-Steered Neural Style Transfer" (2017), eq. 5 to 7: the photo's edges stay.
    At the scale ``relative`` the mean over the cells' sizes, each over the mean square of the
    photo's, so that a weight means the same for every photo and size; else the sum, as printed.
    """

    name = "laplacian"
    help = "Weight of the photo's edges (Laplacian)."
    scales = get_args(LossScale)

    def __init__(
        self,
        photo: Tensor,
        weight: float = 1.0,
        cells: tuple[int, ...] = (4, 16),
        scale: LossScale = "relative",
    ) -> None:
        from stylepipe.nst.losses import laplacian

        self.weight, self.scale = weight, scale
        # Three positions a side are the least that a Laplacian sees.
        self.cells = tuple(c for c in cells if min(photo.shape[-2:]) >= 3 * c) or (1,)
        self.grid = lcm(*self.cells)
        self._targets = [laplacian(photo.detach(), cell) for cell in self.cells]

    @classmethod
    def build(cls, inputs: PhotoInputs, weight: float) -> Self:
        return cls(inputs.photo, weight, scale=inputs.recipe.loss_scale)

    def part(self, strip: Strip) -> Tensor:
        import torch

        from stylepipe.nst.losses import laplacian

        errors = []
        for cell, target in zip(self.cells, self._targets, strict=True):
            # Of the cells' rows the first and the last have no Laplacian.
            first, last = (max(row // cell - 1, 0) for row in strip.rows)
            error = laplacian(strip.own(cell, cell), cell) - target[..., first:last, :]
            total = error.square().sum(dim=(1, 2, 3))
            if self.scale == "relative":
                square = target.square().flatten(1).mean(dim=1)
                total = total / (len(self.cells) * target[0].numel() * (square + 1e-4))
            errors.append(total)
        return torch.stack(errors).sum(dim=0)


class OutOfRange(PictureTerm):
    """Mean squared distance of the values to [0,1]."""

    name = "range"

    def __init__(self, weight: float = 10.0) -> None:
        self.weight = weight

    @classmethod
    def build(cls, inputs: PhotoInputs, weight: float) -> Self:
        return cls(weight)

    def part(self, strip: Strip) -> Tensor:
        from stylepipe.nst.losses import range_penalty

        return range_penalty(strip.own()) * ((strip.rows[1] - strip.rows[0]) / strip.height)
