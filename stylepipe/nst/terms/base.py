"""What a term of the objective is: something that can be summed over the tiles of a picture.

A term does not see the picture as a whole. It *measures* what it sees (sums over positions), the
measurements of all tiles are added, and the *value* follows from the sum. For terms of statistics
this is exact, not an approximation: the gradient of a tile is that of the whole picture.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce

import torch
from torch import Tensor

Measured = list[Tensor]
"""Sums over positions; of the same shapes whatever the size of the tile."""
Box = tuple[int, int, int, int]
"""top, bottom, left, right."""


@dataclass(frozen=True)
class View:
    """The features of a picture, or of one tile of it with its surroundings."""

    features: Mapping[str, Tensor]
    """Layer -> N C h w, surroundings included."""
    core: Mapping[str, Box]
    """Layer -> the part that belongs to the tile, in positions of the whole map."""
    corner: Mapping[str, tuple[int, int]]
    """Layer -> where the features' first position lies in the whole map: row, column."""
    regions: Mapping[str, Tensor] = field(default_factory=dict)
    """Layer -> N K H W in [0,1], of the whole map: how far a position belongs to each region.
    Without an entry there is one region, the picture."""

    def inner(self, layer: str) -> Tensor:
        """The features of the tile itself, N C h w."""
        top, bottom, left, right = self.core[layer]
        row, column = self.corner[layer]
        return self.features[layer][..., top - row : bottom - row, left - column : right - column]

    def region_masks(self, layer: str) -> Tensor | None:
        """The regions of the tile itself, N K h w; None for one region."""
        if layer not in self.regions:
            return None
        top, bottom, left, right = self.core[layer]
        return self.regions[layer][..., top:bottom, left:right]

    def of(self, whole: Tensor, layer: str) -> Tensor:
        """The tile's own part of a map of the whole picture."""
        top, bottom, left, right = self.core[layer]
        return whole[..., top:bottom, left:right]


class FeatureTerm(ABC):
    """A term on the features of an encoder.

    weight scales its value in the objective; layers are those it reads. Every value is relative to
    its target's size, so that a weight means the same for every encoder, layer and picture size.
    """

    name: str
    weight: float
    layers: tuple[str, ...]
    extra = 0
    """Features that it looks at beyond the tile, below and right."""

    @abstractmethod
    def measure(self, view: View) -> Measured:
        """Sums over the positions of the tile, one tensor or more with N first."""

    @abstractmethod
    def value(self, total: Measured) -> Tensor:
        """The value, N, of the sum of all tiles' measurements."""


Statistics = list[Tensor]
"""Means over positions, each N K ...: what a picture's regions are like, whatever their size."""


class StatisticTerm(FeatureTerm):
    """A term that compares statistics of the features, region by region, with a style's."""

    @abstractmethod
    def statistics(self, total: Measured) -> Statistics:
        """The statistics of a picture from its summed measurements."""

    @abstractmethod
    def aim(self, target: Statistics) -> None:
        """Set what to reach; before value() is asked for."""


def mix(parts: Sequence[tuple[Statistics, float]]) -> Statistics:
    """Weighted average: several styles in one, or a photo and a style for a weaker effect.

    The statistics are averaged, never the pictures (Gatys et al., "Controlling Perceptual Factors
    in Neural Style Transfer", 2017, sec. 6).
    """
    total = sum(weight for _, weight in parts)
    scaled = ([value * (weight / total) for value in statistics] for statistics, weight in parts)
    return [reduce(torch.add, values) for values in zip(*scaled, strict=True)]


def stack(regions: Sequence[Statistics]) -> Statistics:
    """Statistics of pictures of one region each, as those of the regions of one picture."""
    return [torch.cat(parts, dim=1) for parts in zip(*regions, strict=True)]


@dataclass(frozen=True)
class Strip:
    """Some rows of a picture, with rows around them."""

    pixels: Tensor
    """N 3 h W, surroundings included."""
    top: int
    """The picture's row that the pixels begin with."""
    rows: tuple[int, int]
    """The strip's own rows of the picture: first, and first after them."""
    height: int
    """Of the picture."""

    def own(self, above: int = 0, below: int = 0) -> Tensor:
        """The strip's own rows, and so many more on either side as far as there are."""
        first, last = max(self.rows[0] - above, 0), min(self.rows[1] + below, self.height)
        return self.pixels[..., first - self.top : last - self.top, :]


class PictureTerm(ABC):
    """A term on the pixels alone: a mean, so that strips add up to its value."""

    name: str
    weight: float
    grid = 1
    """Strips begin at multiples of so many rows, and show as many around their own."""

    @abstractmethod
    def part(self, strip: Strip) -> Tensor:
        """What a strip's own rows add to the value, N."""

    def value(self, picture: Tensor) -> Tensor:
        """The value, N, of a picture N 3 H W."""
        height = picture.shape[-2]
        return self.part(Strip(picture, 0, (0, height), height))


def layer_weights(weights: Mapping[str, float]) -> dict[str, float]:
    """Scaled to sum 1. Raise ValueError for none, negative ones, or zeros alone."""
    if not weights or any(not w >= 0 for w in weights.values()) or not sum(weights.values()) > 0:
        raise ValueError(f"layer weights must not be negative, and not all zero: {dict(weights)}")
    total = sum(weights.values())
    return {layer: weight / total for layer, weight in weights.items() if weight > 0}


def exact(values: Tensor) -> Tensor:
    """In float32, or in float64 if they are: sums need more digits than bfloat16 has."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def flat(features: Tensor, region_masks: Tensor | None) -> tuple[Tensor, Tensor]:
    """Of features N C h w and regions N K h w or 1 K h w, None for one: N C P, in float32 or
    finer, and N K P.
    """
    values = exact(features).flatten(2)
    if region_masks is None:
        return values, values.new_ones(len(values), 1, values.shape[2])
    return values, region_masks.to(values).expand(len(values), -1, -1, -1).flatten(2)


def over_regions(errors: Tensor, count: Tensor) -> Tensor:
    """Mean of errors N K over the regions that have positions (count N K): N. A region that the
    picture lacks, or that a map is too coarse to hold, must not count as one of zeros.
    """
    present = (count.detach() > 0.5).to(errors)
    return (errors * present).sum(dim=1) / present.sum(dim=1).clamp_min(1.0)


def weighted(values: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Sum of values N by their weights."""
    return torch.stack([w * v for v, w in zip(values, weights, strict=True)]).sum(dim=0)
