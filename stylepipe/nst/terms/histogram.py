"""The distribution of each channel's values, beyond mean and deviation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Self

from .base import (
    PaintingInputs,
    Room,
    Statistics,
    StatisticTerm,
    Sums,
    View,
    layer_weights,
)
from .registry import register

if TYPE_CHECKING:
    from torch import Tensor

LEVELS = 16
LEVELS_SIDE = 512
"""The levels are looked up in a painting of about this side."""


@register
class Histogram(StatisticTerm):
    """Squared distance of the cumulative histograms of every channel to the style's.

    In the spirit of Risser, Wilmot, Barnes, "Stable and Controllable Neural Texture Synthesis and
    Style Transfer Using Histogram Losses" (2017). Departure: instead of the remapped activations,
    which must be found anew from the whole picture in every step, soft counts of the values below
    16 levels, the style's own quantiles: they add up over tiles and have a gradient.
    With K regions the value is the mean over those that the picture has.
    """

    name = "histogram"
    help = "Weight of the features' histograms."

    def __init__(
        self,
        styles: Sequence[Mapping[str, Tensor]],
        layers: Mapping[str, float],
        weight: float = 1.0,
    ) -> None:
        """styles: layer -> 1 C H W for each, the features whose quantiles become the levels; the
        statistics to reach are set by aim(), and may be those of larger pictures.
        """
        import torch

        from stylepipe.nst.losses import exact

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

    @classmethod
    def build(cls, inputs: PaintingInputs, layers: Mapping[str, float], weight: float) -> Self:
        return cls(inputs.maps(layers, LEVELS_SIDE), layers, weight)

    @classmethod
    def nbytes(cls, layers: Mapping[str, float], room: Room) -> int:
        return sum(4 * 10 * LEVELS * room.regions * room.maps[n].channels for n in layers)

    def statistics(self, total: Sums) -> Statistics:
        """For each layer: the share of values below each level, N K C L."""
        return [
            total[2 * i + 1] / total[2 * i].clamp_min(1e-6)[..., None, None]
            for i in range(len(self.layers))
        ]

    def aim(self, target: Statistics) -> None:
        self._targets = [t.detach() for t in target]

    def measure(self, view: View) -> Sums:
        """For each layer: positions N K, soft counts below each level N K C L."""
        from stylepipe.nst.statistics import LevelCounts

        found: Sums = []
        for layer in self.layers:
            levels, width = self._levels[layer]
            features, region_masks = view.inner(layer), view.region_masks(layer)
            found += LevelCounts.apply(features, region_masks, levels, width)
        return found

    def value(self, total: Sums) -> Tensor:
        from stylepipe.nst.statistics import over_regions, weighted

        # A third is the mean squared difference of two distributions that do not overlap.
        errors = [
            over_regions(3.0 * (own - wanted).square().mean(dim=(2, 3)), count)
            for own, wanted, count in zip(
                self.statistics(total), self._targets, total[::2], strict=True
            )
        ]
        return weighted(errors, list(self.shares.values()))
