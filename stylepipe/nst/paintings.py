"""The pictures whose style is wanted, and how they relate to a photo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import torch
import torch.nn.functional as F
from torch import Tensor

from . import losses
from .palette import matched
from .recent import Remember, alone
from .steady import SAMPLE

Size = tuple[int, int]


@dataclass(frozen=True)
class Painting:
    """A style: picture 1 3 H W in [0,1]; weight; regions 1 K H W, the part of the painting that
    serves each region of the photo. Without them, of several paintings with a photo of K regions
    the k-th serves the k-th region.
    """

    picture: Tensor
    weight: float = 1.0
    regions: Tensor | None = None

    def size_for(self, size: Size, scale: float, least: int) -> Size:
        """As large in area as a photo of this size, times the scale, but never larger than the
        painting is: enlarged, it would have blurs for strokes. No side is under `least` pixels.
        """
        height, width = self.picture.shape[-2:]
        factor = scale * ((size[0] * size[1]) / (height * width)) ** 0.5
        factor = min(1.0, max(factor, least / min(height, width)))
        return max(1, round(height * factor)), max(1, round(width * factor))


def recolored(
    paintings: Sequence[Painting], photo: Tensor, how: str, remember: Remember = alone
) -> list[Painting]:
    """The paintings with a photo's colors, see palette.matched. remember: for films, see
    recent.Remember; the colors are then those of the last frames.
    """
    step = ceil((photo.shape[2] * photo.shape[3] / SAMPLE) ** 0.5)
    frames = remember("colors", photo[:, :, ::step, ::step].clone())
    colors = torch.cat(frames, dim=3) if len(frames) > 1 else photo
    return [Painting(matched(p.picture, colors, how), p.weight, p.regions) for p in paintings]


def in_colors_of(paintings: Sequence[Painting], photo: Tensor) -> Tensor:
    """A photo N 3 H W in the mean colors of paintings, by their weights, in [0,1]."""
    total = sum(p.weight for p in paintings)
    mean = torch.stack([p.picture.mean(dim=(2, 3)) * (p.weight / total) for p in paintings])
    std = torch.stack([p.picture.std(dim=(2, 3)) * (p.weight / total) for p in paintings])
    return losses.recolor(photo, mean.sum(dim=0), std.sum(dim=0)).clamp(0.0, 1.0)


def check_regions(paintings: Sequence[Painting], regions: Tensor | None) -> None:
    """Raises ValueError unless the paintings serve the regions 1 K H W of a photo."""
    if regions is None:
        return
    count = regions.shape[1]
    if all(p.regions is None for p in paintings):
        if len(paintings) != count:
            raise ValueError(
                f"regions of the picture: {count}, styles: {len(paintings)}; give one style a "
                "region, or regions of the styles too"
            )
        return
    for index, painting in enumerate(paintings, start=1):
        own = painting.regions
        if own is None or own.shape[1] != count:
            found = "no" if own is None else own.shape[1]
            raise ValueError(f"style {index} has {found} regions, the picture has {count}")
        for k in range(count):
            if not bool((own[:, k] > 0.5).any()):
                raise ValueError(f"region {k + 1} is missing in style {index}")


def area(region_masks: Tensor, size: Size) -> Tensor:
    """Planes N K H W in another size, by averages: they still sum to 1."""
    if tuple(region_masks.shape[-2:]) == size:
        return region_masks
    return F.interpolate(region_masks, size, mode="area")
