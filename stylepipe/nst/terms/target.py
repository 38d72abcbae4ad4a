"""Keeps the result near a given picture."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Self, get_args

from stylepipe.nst.names import LossScale

from .base import PhotoInputs, PictureTerm, Strip
from .registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register
class Target(PictureTerm):
    """Squared difference from a given picture, N 3 H W in [0,1]: pixel reconstruction toward a
    pseudo ground truth; at the scale ``relative`` over that picture's variance, so that a weight
    means the same for every picture, else the sum.
    """

    name = "target"
    default = 1.0
    help = "Weight of the squared difference from the target."
    scales = get_args(LossScale)
    only_if = MappingProxyType({"target": True})

    def __init__(self, target: Tensor, weight: float = 1.0, scale: LossScale = "relative") -> None:
        self.weight, self._target = weight, target.detach()
        self._size = unrelated_error(self._target) if scale == "relative" else 1.0

    @classmethod
    def build(cls, inputs: PhotoInputs, weight: float) -> Self:
        if inputs.target is None:  # nothing to look like: the term is left out
            return cls(inputs.photo, 0.0)
        return cls(inputs.target, weight, inputs.recipe.loss_scale)

    def part(self, strip: Strip) -> Tensor:
        error = strip.own() - self._target[..., slice(*strip.rows), :]
        return error.square().sum(dim=(1, 2, 3)) / self._size


def unrelated_error(picture: Tensor) -> Tensor | float:
    """About the squared difference of a picture N 3 H W from its mean color, N: what an unrelated
    picture costs; and a little more, for pictures of one color."""
    variance = picture.var(dim=(2, 3), correction=0).mean(dim=1)
    return picture[0].numel() * (variance + 1e-4)
