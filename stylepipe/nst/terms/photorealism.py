"""Keeps a photo photorealistic, whatever its colors become."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, get_args

from stylepipe.nst.names import LossScale

from .base import PhotoInputs, PictureTerm, Strip
from .registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register
class Photorealism(PictureTerm):
    """What of the picture is no affine function of the photo's colors, in windows of 3x3 pixels.

    Luan et al., "Deep Photo Style Transfer" (2017), eq. 2, by the matting Laplacian: edges stay
    where they are, and straight. At the scale ``relative`` over what an unrelated picture with the
    photo's variance in these windows would cost, so that a weight means the same for every photo
    and size; else the plain sum, for which the paper has 10^4.
    """

    name = "photorealistic"
    help = (
        "Weight of photorealism: only colors change, and lines stay straight (matting Laplacian); "
        "1 is a good start, 0 paints."
    )
    scales = get_args(LossScale)
    bytes_per_pixel = 48
    grid = 2

    def __init__(self, photo: Tensor, weight: float = 1.0, scale: LossScale = "relative") -> None:
        from stylepipe.nst.matting import REACH, SHIFTS, MattingLaplacian

        self.weight = weight
        self._laplacian = MattingLaplacian(photo)
        channels, height, width = photo.shape[1:]
        values = len(SHIFTS) * channels * (height - REACH) * (width - REACH)
        unrelated = values * (self._laplacian.variance + 1e-4)
        self._size: Tensor | float = unrelated if scale == "relative" else 1.0

    @classmethod
    def option(cls) -> str:
        return cls.name

    @classmethod
    def build(cls, inputs: PhotoInputs, weight: float) -> Self:
        return cls(inputs.photo, weight, inputs.recipe.loss_scale)

    def part(self, strip: Strip) -> Tensor:
        return self._laplacian.energy(strip.own(below=self.grid), *strip.rows) / self._size
