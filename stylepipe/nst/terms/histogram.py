"""The distribution of each channel's values, beyond mean and deviation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .base import (
    Measured,
    Statistics,
    StatisticTerm,
    View,
    exact,
    flat,
    layer_weights,
    over_regions,
    weighted,
)

LEVELS = 16


class Histogram(StatisticTerm):
    """Squared distance of the cumulative histograms of every channel to the style's.

    In the spirit of Risser, Wilmot, Barnes, "Stable and Controllable Neural Texture Synthesis and
    Style Transfer Using Histogram Losses" (2017). Departure: instead of the remapped activations,
    which must be found anew from the whole picture in every step, soft counts of the values below
    16 levels, the style's own quantiles: they add up over tiles and have a gradient.
    With K regions the value is the mean over those that the picture has.
    """

    name = "histogram"

    def __init__(
        self,
        styles: Sequence[Mapping[str, Tensor]],
        layers: Mapping[str, float],
        weight: float = 1.0,
    ) -> None:
        """styles: layer -> 1 C H W for each, the features whose quantiles become the levels; the
        statistics to reach are set by aim(), and may be those of larger pictures.
        """
        self.weight, self.shares = weight, layer_weights(layers)
        self.layers = tuple(self.shares)
        steps = (torch.arange(LEVELS, dtype=torch.float32) + 0.5) / LEVELS
        self._levels: dict[str, tuple[Tensor, Tensor]] = {}
        for layer in self.layers:
            values = torch.cat([exact(s[layer].detach()).flatten(2)[0] for s in styles], dim=1)
            values = values.sort(dim=1).values
            picks = (steps.to(values.device) * values.shape[1]).long()
            levels = values[:, picks]
            width = (levels[:, -1:] - levels[:, :1]) / LEVELS + 1e-3
            self._levels[layer] = (levels, width)
        self._targets: list[Tensor] = []

    def statistics(self, total: Measured) -> Statistics:
        """For each layer: the share of values below each level, N K C L."""
        return [
            total[2 * i + 1] / total[2 * i].clamp_min(1e-6)[..., None, None]
            for i in range(len(self.layers))
        ]

    def aim(self, target: Statistics) -> None:
        self._targets = [t.detach() for t in target]

    def measure(self, view: View) -> Measured:
        """For each layer: positions N K, soft counts below each level N K C L."""
        found: Measured = []
        for layer in self.layers:
            levels, width = self._levels[layer]
            features, region_masks = view.inner(layer), view.region_masks(layer)
            found += _Counts.apply(features, region_masks, levels, width)
        return found

    def value(self, total: Measured) -> Tensor:
        # A third is the mean squared difference of two distributions that do not overlap.
        errors = [
            over_regions(3.0 * (own - wanted).square().mean(dim=(2, 3)), count)
            for own, wanted, count in zip(
                self.statistics(total), self._targets, total[::2], strict=True
            )
        ]
        return weighted(errors, list(self.shares.values()))


class _Counts(torch.autograd.Function):
    """Of features N C h w in regions N K h w: sizes N K, soft counts below the levels N K C L.

    One level after the other, and made anew for the gradient: all at once would take, or keep, 16
    times the features' memory.
    """

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, region_masks: Tensor | None, levels: Tensor, width: Tensor
    ) -> tuple[Tensor, Tensor]:
        values, regions = flat(features, region_masks)
        counts = values.new_empty(*regions.shape[:2], values.shape[1], LEVELS)
        # Written into one block: a small result after each of many large ones breaks up the heap.
        below = torch.empty_like(values)
        for i in range(LEVELS):
            _below(values, levels[:, i : i + 1], width, below)
            counts[..., i] = regions @ below.transpose(1, 2)
        sizes = regions.sum(dim=2)
        ctx.save_for_backward(features, region_masks, levels, width)
        ctx.mark_non_differentiable(sizes)
        return sizes, counts

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None, None]:
        features, region_masks, levels, width = ctx.saved_tensors
        values, regions = flat(features, region_masks)
        total, below = torch.zeros_like(values), torch.empty_like(values)
        for i in range(LEVELS):
            _below(values, levels[:, i : i + 1], width, below)
            steepness = below.addcmul_(below, below, value=-1.0)
            total.addcmul_(steepness, slopes[1][..., i].transpose(1, 2) @ regions, value=-1.0)
        return total.div_(width).view_as(features).to(features.dtype), None, None, None


def _below(values: Tensor, level: Tensor, width: Tensor, out: Tensor) -> None:
    """How far values N C P lie below a level C 1."""
    torch.sub(level, values, out=out).div_(width).sigmoid_()
