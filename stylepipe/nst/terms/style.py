"""Distance of the first and second moments of features: what Gatys calls a picture's style."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Self, get_args

from stylepipe.nst.names import GramScale, StyleDistance

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


@register
class Style(StatisticTerm):
    """Distance of the features' moments, region by region, to those of the style.

    kind: ``gram`` is Gatys 2016, eq. 3 and 4, the squared error of the raw second moments;
    ``wasserstein`` the squared 2-Wasserstein distance of Gaussians with these moments (Dowson,
    Landau 1982), which does not neglect the weak directions; ``mean-std`` compares mean and
    deviation of each channel (Huang, Belongie 2017, eq. 12).
    With K regions the value is the mean over those that the picture has (seed of the idea: Gatys
    2017, eq. 6, each region's Gram matrix over its own size).
    """

    name = "style"
    default = 1.0
    help = "Weight of the painting's style (beta)."

    def __init__(
        self,
        layers: Mapping[str, float],
        weight: float = 1.0,
        kind: StyleDistance = "wasserstein",
        scale: GramScale = "relative",
    ) -> None:
        if kind not in get_args(StyleDistance):
            known = ", ".join(get_args(StyleDistance))
            raise ValueError(f"no style distance {kind!r}; known: {known}")
        self.weight, self.kind, self.scale = weight, kind, scale
        self.shares = layer_weights(layers)
        self.layers = tuple(self.shares)
        self._targets: dict[str, tuple[Tensor, ...]] = {}

    @classmethod
    def build(cls, inputs: PaintingInputs, layers: Mapping[str, float], weight: float) -> Self:
        return cls(layers, weight, inputs.recipe.style_loss, inputs.recipe.gram_scale)

    @classmethod
    def nbytes(cls, layers: Mapping[str, float], room: Room) -> int:
        # The moments, their targets and, of wasserstein, what the root is made with.
        matrices = 15 if room.recipe.style_loss == "wasserstein" else 10
        return sum(4 * matrices * room.regions * room.maps[n].channels ** 2 for n in layers)

    def statistics(self, total: Sums) -> Statistics:
        """For each layer: mean N K C, raw second moment N K C C."""
        from stylepipe.nst.losses import EPS

        found: Statistics = []
        for index in range(len(self.layers)):
            count, first, second = total[3 * index : 3 * index + 3]
            count = count.clamp_min(EPS)
            found += [first / count[..., None], second / count[..., None, None]]
        return found

    def aim(self, target: Statistics) -> None:
        from stylepipe.nst.losses import regularise, sqrtm, trace
        from stylepipe.nst.statistics import covariance_of

        self._targets = {}
        for index, layer in enumerate(self.layers):
            mean, second = (t.detach() for t in target[2 * index : 2 * index + 2])
            covariance = covariance_of(mean, second)
            square = mean.square().sum(dim=2)
            size = trace(covariance.flatten(0, 1)).view(square.shape).clamp_min(0.0)
            # Of a flat painting only rounding is left of the variances: a share of the mean's
            # square keeps what is divided by them finite, and the root's matrix positive.
            floor = size + 0.02 * mean.shape[2] * square
            entry: tuple[Tensor, ...] = (mean, second, covariance, size + 0.01 * square, floor)
            if self.kind == "wasserstein":
                full = regularise(covariance.flatten(0, 1), floor.flatten())
                entry = (*entry, sqrtm(full).view_as(covariance), full.view_as(covariance))
            self._targets[layer] = entry

    def measure(self, view: View) -> Sums:
        """For each layer: positions in the region N K, sums N K C, sums of products N K C C."""
        from stylepipe.nst.statistics import FeatureSums

        found: Sums = []
        for layer in self.layers:
            found += FeatureSums.apply(view.inner(layer), view.region_masks(layer))
        return found

    def value(self, total: Sums) -> Tensor:
        from stylepipe.nst.statistics import over_regions, weighted

        own = self.statistics(total)
        values = []
        for index, layer in enumerate(self.layers):
            count = total[3 * index].detach()
            mean, second = own[2 * index : 2 * index + 2]
            error = self._distance(mean, second, self._targets[layer], count)
            values.append(over_regions(error, count))
        return weighted(values, list(self.shares.values()))

    def _distance(
        self, mean: Tensor, second: Tensor, target: tuple[Tensor, ...], count: Tensor
    ) -> Tensor:
        """N K."""
        from stylepipe.nst.losses import EPS, regularise, squared_wasserstein
        from stylepipe.nst.statistics import covariance_of

        if self.kind == "gram":
            error = (second - target[1]).square().sum(dim=(2, 3))
            if self.scale == "gatys":
                # eq. 4 has sums over the M positions in G, ours are means: M^2 falls out.
                return error / (4.0 * second.shape[-1] ** 2)
            if self.scale == "sum":
                return error * count.square()
            return error / (target[1].square().sum(dim=(2, 3)) + EPS)
        own = covariance_of(mean, second)
        size = target[3] + EPS
        if self.kind == "mean-std":
            drift = (mean - target[0]).square().sum(dim=2)
            deviations = [
                (c.diagonal(dim1=2, dim2=3).clamp_min(0.0) + EPS).sqrt() for c in (own, target[2])
            ]
            return (drift + (deviations[0] - deviations[1]).square().sum(dim=2)) / size
        full = regularise(own.flatten(0, 1), target[4].expand(own.shape[:2]).flatten())
        wanted = [target[0].expand_as(mean), target[6].expand_as(own), target[5].expand_as(own)]
        distance = squared_wasserstein(
            mean.flatten(0, 1), full, *(part.flatten(0, 1) for part in wanted)
        )
        return distance.view(mean.shape[:2]) / size
