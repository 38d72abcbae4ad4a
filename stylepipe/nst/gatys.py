"""Style transfer by optimising the picture itself.

Gatys, Ecker, Bethge, "Image Style Transfer Using Convolutional Neural Networks" (2016); regions
and several styles after Gatys et al., "Controlling Perceptual Factors in Neural Style Transfer"
(2017).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from . import losses
from .encoders import Encoder
from .objective import Objective, Regions, Viewer, bytes_per_pixel
from .optimise import LoopOptions, Size, Step, optimise, resize, sizes
from .palette import matched
from .terms import (
    Content,
    FeatureTerm,
    Histogram,
    Laplacian,
    OutOfRange,
    Patches,
    Perceptual,
    PictureTerm,
    StatisticTerm,
    Style,
    TotalVariation,
    mix,
    stack,
)
from .terms.base import Statistics
from .terms.style import Kind, Scale

INITS = ("style", "content", "noise", "gray")
SMALLEST_TILE = 256


@dataclass(frozen=True)
class Recipe:
    """What the picture is to be like. Weights of 0 leave a term out; see the terms for each.

    content_layers, style_layers: layer -> share. strength: how far the style's statistics are to
    be reached, from the photo's own (0: nothing changes) to the painting's (1). style_scale: size
    of the painting relative to the picture. first_side: long side of the smallest size worked on,
    0 for the full size alone. init: where to start: ``style`` is the photo in the painting's
    colours. colors: ``linear`` or ``histogram`` first give the painting the photo's colours.
    """

    content_layers: Mapping[str, float]
    style_layers: Mapping[str, float]
    content_weight: float = 0.4
    style_weight: float = 1.0
    style_loss: Kind = "wasserstein"
    gram_scale: Scale = "relative"
    perceptual_weight: float = 0.0
    histogram_weight: float = 0.0
    patches_weight: float = 0.0
    tv_weight: float = 1.0
    tv_power: int = 2
    laplacian_weight: float = 0.0
    strength: float = 1.0
    style_scale: float = 1.0
    first_side: int = 128
    init: Literal["style", "content", "noise", "gray"] = "style"
    colors: Literal["style", "linear", "histogram"] = "style"
    border: Literal["inside", "feather", "simple"] = "inside"
    loop: LoopOptions = field(default_factory=LoopOptions)


@dataclass(frozen=True)
class Painting:
    """A style: picture 1 3 H W in [0,1]; weight; regions 1 K H W, the part of the painting that
    serves each region of the photo. Without them, of several paintings with a photo of K regions
    the k-th serves the k-th region.
    """

    picture: Tensor
    weight: float = 1.0
    regions: Tensor | None = None


class Gatys:
    """Paints photos after some paintings, whose statistics it keeps from photo to photo.

    memory: bytes the work may take; larger pictures are cut into tiles, with the same result.
    """

    def __init__(
        self, encoder: Encoder, paintings: Sequence[Painting], recipe: Recipe, memory: int
    ) -> None:
        encoder.check([*recipe.content_layers, *recipe.style_layers])
        if not paintings:
            raise ValueError("there is no painting to learn from")
        self.encoder, self.paintings, self.recipe = encoder, list(paintings), recipe
        self.memory = memory
        self._prepared: dict[tuple[Size, bool], list[Statistics]] = {}

    def paint(
        self,
        photo: Tensor,
        *,
        regions: Tensor | None = None,
        start: Tensor | None = None,
        seed: int = 0,
        on_step: Callable[[Step], None] | None = None,
    ) -> Tensor:
        """photo: N 3 H W in [0,1]. regions: 1 K H W or None. start: overrides the recipe's init.
        Returns N 3 H W in [0,1]. Raise Diverged, or ValueError for regions that do not fit.
        """
        paintings = self._coloured(photo)
        self._check(paintings, regions)
        if start is None:
            start = self._start(photo, paintings, seed)
        least = max(map(self.encoder.least_side, self._layers()))
        height, width = photo.shape[-2:]
        first = max(self.recipe.first_side, -(-least * max(height, width) // min(height, width)))
        stages = sizes(height, width, first if self.recipe.first_side else 0)
        # With the photo's colours the painting is another each time.
        if self.recipe.colors != "style":
            self._prepared.clear()

        def build(size: Size) -> Objective:
            return self._objective(photo, paintings, regions, size)

        return optimise(start, stages, build, self.recipe.loop, on_step)

    def objective(self, photo: Tensor, regions: Tensor | None = None) -> Objective:
        """The objective at the photo's own size, to judge pictures by."""
        paintings = self._coloured(photo)
        self._check(paintings, regions)
        return self._objective(photo, paintings, regions, _size(photo))

    def _layers(self) -> list[str]:
        return list(dict.fromkeys([*self.recipe.content_layers, *self.recipe.style_layers]))

    def _coloured(self, photo: Tensor) -> list[Painting]:
        if self.recipe.colors == "style":
            return self.paintings
        return [
            Painting(matched(p.picture, photo[:1], self.recipe.colors), p.weight, p.regions)
            for p in self.paintings
        ]

    def _check(self, paintings: Sequence[Painting], regions: Tensor | None) -> None:
        if regions is None:
            return
        count = regions.shape[1]
        if all(p.regions is None for p in paintings):
            if len(paintings) != count:
                raise ValueError(
                    f"the picture has {count} regions and there are {len(paintings)} styles: give "
                    "one style a region, or regions of the style too"
                )
            return
        for index, painting in enumerate(paintings, start=1):
            own = painting.regions
            if own is None or own.shape[1] != count:
                found = "no" if own is None else own.shape[1]
                raise ValueError(f"style {index} has {found} regions, the picture {count}")
            for k in range(count):
                if not bool((own[:, k] > 0.5).any()):
                    raise ValueError(f"region {k + 1} is missing in style {index}")

    def _start(self, photo: Tensor, paintings: Sequence[Painting], seed: int) -> Tensor:
        init = self.recipe.init
        if init == "content":
            return photo
        if init == "gray":
            return torch.full_like(photo, 0.5)
        if init == "noise":
            # Drawn on the CPU: the same bytes on every device.
            generator = torch.Generator().manual_seed(seed)
            noise = torch.randn(photo.shape, generator=generator).to(photo)
            return (0.5 + 0.1 * noise).clamp(0.0, 1.0)
        total = sum(p.weight for p in paintings)
        mean = torch.stack([p.picture.mean(dim=(2, 3)) * (p.weight / total) for p in paintings])
        std = torch.stack([p.picture.std(dim=(2, 3)) * (p.weight / total) for p in paintings])
        coloured = losses.recolour(photo, mean.sum(dim=0), std.sum(dim=0)).clamp(0.0, 1.0)
        return torch.lerp(photo, coloured, self.recipe.strength)

    def _objective(
        self,
        photo: Tensor,
        paintings: Sequence[Painting],
        regions: Tensor | None,
        size: Size,
    ) -> Objective:
        recipe, encoder = self.recipe, self.encoder
        small = resize(photo, size)
        carried = None if regions is None else self._carried(_area(regions, size))
        pictures = [resize(p.picture, self._style_size(p.picture, size)) for p in paintings]
        tile = self._tile(size)
        viewer = Viewer(encoder, (), tile)
        maps = viewer.maps(small, self._content_layers())
        features: list[FeatureTerm] = []
        if recipe.content_weight:
            features.append(Content(maps, recipe.content_layers, recipe.content_weight))
        if recipe.perceptual_weight:
            features.append(Perceptual(maps, recipe.content_layers, recipe.perceptual_weight))
        statistics: list[StatisticTerm] = []
        if recipe.style_weight:
            statistics.append(
                Style(
                    recipe.style_layers, recipe.style_weight, recipe.style_loss, recipe.gram_scale
                )
            )
        styles_maps: list[dict[str, Tensor]] = []
        if recipe.histogram_weight or recipe.patches_weight:
            styles_maps = [viewer.maps(p, list(recipe.style_layers)) for p in pictures]
        if recipe.histogram_weight:
            statistics.append(Histogram(styles_maps, recipe.style_layers, recipe.histogram_weight))
        self._aim(viewer, statistics, small, carried, pictures, paintings, size)
        features += statistics
        if recipe.patches_weight and recipe.strength:
            bank = [
                (found, self._bank_regions(painting, picture, index, carried is not None))
                for index, (found, painting, picture) in enumerate(
                    zip(styles_maps, paintings, pictures, strict=True)
                )
            ]
            weight = recipe.patches_weight * recipe.strength
            features.append(Patches(bank, recipe.style_layers, weight))
        pixels: list[PictureTerm] = [OutOfRange()] if recipe.loop.optimizer == "lbfgs" else []
        if recipe.tv_weight:
            pixels.append(TotalVariation(recipe.tv_weight, recipe.tv_power))
        if recipe.laplacian_weight:
            pixels.append(Laplacian(small, recipe.laplacian_weight))
        return Objective(encoder, features, pixels, regions=carried, tile=tile)

    def _content_layers(self) -> list[str]:
        wanted = self.recipe.content_weight or self.recipe.perceptual_weight
        return list(self.recipe.content_layers) if wanted else []

    def _style_size(self, picture: Tensor, size: Size) -> Size:
        """As large in area as the photo, times the scale, but never larger than the painting is:
        enlarged, it would have blurs for strokes.
        """
        height, width = picture.shape[-2:]
        factor = self.recipe.style_scale * ((size[0] * size[1]) / (height * width)) ** 0.5
        least = max(map(self.encoder.least_side, self._layers()))
        factor = max(min(factor, 1.0), min(1.0, least / min(height, width)))
        return max(1, round(height * factor)), max(1, round(width * factor))

    def _aim(
        self,
        viewer: Viewer,
        terms: Sequence[StatisticTerm],
        small: Tensor,
        carried: Regions | None,
        pictures: Sequence[Tensor],
        paintings: Sequence[Painting],
        size: Size,
    ) -> None:
        """Give the terms the statistics to reach."""
        if not terms:
            return
        key = (size, carried is not None)
        if key not in self._prepared:
            found: list[list[Statistics]] = []
            for picture, painting in zip(pictures, paintings, strict=True):
                own = None
                if carried is not None and painting.regions is not None:
                    own = self._carried(_area(painting.regions, _size(picture)))
                sums = viewer.measure(picture, terms, own)
                found.append([t.statistics(s) for t, s in zip(terms, sums, strict=True)])
            apart = carried is not None and paintings[0].regions is None
            weights = [p.weight for p in paintings]
            self._prepared[key] = [
                stack([f[i] for f in found])
                if apart
                else mix([(f[i], w) for f, w in zip(found, weights, strict=True)])
                for i in range(len(terms))
            ]
        targets = self._prepared[key]
        if self.recipe.strength < 1:
            sums = viewer.measure(small, terms, carried)
            targets = [
                mix(
                    [
                        (term.statistics(own), 1.0 - self.recipe.strength),
                        (
                            [t.expand(len(small), *t.shape[1:]) for t in target],
                            self.recipe.strength,
                        ),
                    ]
                )
                for term, own, target in zip(terms, sums, targets, strict=True)
            ]
        for term, target in zip(terms, targets, strict=True):
            term.aim(target)

    def _bank_regions(
        self, painting: Painting, picture: Tensor, index: int, regions: bool
    ) -> Regions | int:
        if not regions:
            return 0
        if painting.regions is None:
            return index
        return self._carried(_area(painting.regions, _size(picture)))

    def _carried(self, planes: Tensor) -> Regions:
        return self.encoder.carry(planes, list(self.recipe.style_layers), self.recipe.border)

    def _tile(self, size: Size) -> int | None:
        """The side of tiles that fit into the memory; None where the whole picture does."""
        per_pixel = bytes_per_pixel(self.encoder, self._layers())
        if size[0] * size[1] * per_pixel <= self.memory:
            return None
        if not self.encoder.tileable:
            raise ValueError(
                f"{self.encoder.title} sees the picture as a whole, and {size[1]}x{size[0]} pixels "
                "do not fit into the memory: make the picture smaller, allow more --memory, or "
                "take another encoder"
            )
        reach = max(map(self.encoder.reach, self._layers()))
        side = int((self.memory / per_pixel) ** 0.5) - 2 * reach
        return max(side, SMALLEST_TILE)


def _area(planes: Tensor, size: Size) -> Tensor:
    """Planes in another size, by averages: they still sum to 1."""
    if _size(planes) == size:
        return planes
    return F.interpolate(planes, size, mode="area")


def _size(picture: Tensor) -> Size:
    return picture.shape[-2], picture.shape[-1]
