"""Keep what was painted before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, get_args

from stylepipe.nst.names import LossScale

from .base import PhotoInputs, PictureTerm, Strip
from .registry import register
from .target import unrelated_error

if TYPE_CHECKING:
    from torch import Tensor


@register
class Temporal(PictureTerm):
    """Squared difference from the previous result, moved to where things are now, times the trust
    in it; at the scale ``relative`` over the variance of that result, so that a weight means the
    same for every picture, else the sum.

    Ruder, Dosovitskiy, Brox, "Artistic Style Transfer for Videos" (2016), eq. 7. The mean is one
    over all positions: what is not trusted does not make the rest count more.
    """

    name = "temporal"
    default = 20.0
    help = "Weight of the previous frame's result, where a temporal method trusts it."
    scales = get_args(LossScale)

    def __init__(
        self,
        warped: Tensor,
        trust: Tensor,
        weight: float = 1.0,
        scale: LossScale = "relative",
    ) -> None:
        """warped: N 3 H W in [0,1]. trust: N 1 H W in [0,1]."""
        self.weight, self._warped, self._trust = weight, warped.detach(), trust.detach()
        self._size = unrelated_error(self._warped) if scale == "relative" else 1.0

    @classmethod
    def build(cls, inputs: PhotoInputs, weight: float) -> Self:
        if inputs.guide is None:  # nothing was painted before: the term is left out
            return cls(inputs.photo, inputs.photo[:, :1], 0.0)
        scale = inputs.recipe.loss_scale
        return cls(inputs.guide.warped, inputs.guide.trust, weight, scale)

    def part(self, strip: Strip) -> Tensor:
        rows = slice(*strip.rows)
        error = (strip.own() - self._warped[..., rows, :]).square()
        return (error * self._trust[..., rows, :]).sum(dim=(1, 2, 3)) / self._size
