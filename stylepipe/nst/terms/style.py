"""Distance of the first and second moments of features: what Gatys calls a picture's style."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, Self, get_args

from stylepipe.nst.names import LossScale, StyleDistance

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

    kind: ``gram`` is Gatys 2016, eq. 3 and 4, the squared error of the Gram matrices G = F F^T: at
    the scale ``relative``, G over the number of positions, and the error over the target's square
    norm; at ``gatys`` as printed, G and the painting's each over its own number of positions; at
    ``sum`` without any divisor, or, with several regions, each G over its region's number of
    positions;
    ``wasserstein`` the squared 2-Wasserstein distance of Gaussians with these moments (Dowson,
    Landau 1982), which does not neglect the weak directions; ``mean-std`` compares mean and
    deviation of each channel (Huang, Belongie 2017, eq. 13). These two are always relative.
    With K regions the value is the mean over those that the picture has, each region's Gram matrix
    over its own size, after Gatys 2017, section 4.
    """

    name = "style"
    default = 1.0
    help = "Weight of the painting's style (beta)."
    scales = get_args(LossScale)

    def __init__(
        self,
        layers: Mapping[str, float],
        weight: float = 1.0,
        kind: StyleDistance = "wasserstein",
        scale: LossScale = "relative",
    ) -> None:
        if kind not in get_args(StyleDistance):
            known = ", ".join(get_args(StyleDistance))
            raise ValueError(f"no style distance {kind!r}; known: {known}")
        self.weight, self.kind, self.scale = weight, kind, scale
        self.shares = layer_weights(layers, scale)
        self.layers = tuple(self.shares)
        self._targets: dict[str, _Target] = {}

    @classmethod
    def build(cls, inputs: PaintingInputs, layers: Mapping[str, float], weight: float) -> Self:
        return cls(layers, weight, inputs.recipe.style_loss, inputs.recipe.loss_scale)

    @classmethod
    def nbytes(cls, layers: Mapping[str, float], room: Room) -> int:
        # The moments, their targets and, of wasserstein, what the root is made with.
        matrices = 15 if room.recipe.style_loss == "wasserstein" else 10
        return sum(4 * matrices * room.regions * room.maps[n].channels ** 2 for n in layers)

    def statistics(self, total: Sums) -> Statistics:
        """For each layer: positions N K, mean N K C, raw second moment N K C C."""
        from stylepipe.nst.losses import EPS

        found: Statistics = []
        for index in range(len(self.layers)):
            count, first, second = total[3 * index : 3 * index + 3]
            count = count.clamp_min(EPS)
            found += [count, first / count[..., None], second / count[..., None, None]]
        return found

    def aim(self, target: Statistics) -> None:
        from stylepipe.nst.losses import regularise, sqrtm, trace
        from stylepipe.nst.statistics import covariance_of

        self._targets = {}
        for index, layer in enumerate(self.layers):
            count, mean, second = (t.detach() for t in target[3 * index : 3 * index + 3])
            covariance = covariance_of(mean, second)
            square = mean.square().sum(dim=2)
            size = trace(covariance.flatten(0, 1)).view(square.shape).clamp_min(0.0)
            # Of a flat painting only rounding is left of the variances: a share of the mean's
            # square keeps what is divided by them finite, and the root's matrix positive.
            floor = size + 0.02 * mean.shape[2] * square
            full = root = covariance
            if self.kind == "wasserstein":
                full = regularise(covariance.flatten(0, 1), floor.flatten())
                root, full = sqrtm(full).view_as(covariance), full.view_as(covariance)
            self._targets[layer] = _Target(
                count, mean, second, covariance, size + 0.01 * square, floor, full, root
            )

    def measure(self, view: View) -> Sums:
        """For each layer: positions in the region N K, sums N K C, sums of products N K C C."""
        from stylepipe.nst.statistics import FeatureSums

        found: Sums = []
        for layer in self.layers:
            found += FeatureSums.apply(view.inner(layer), view.region_masks(layer))
        return found

    def value(self, total: Sums) -> Tensor:
        return self._value(total, self._wasserstein)

    def judged(self, total: Sums) -> Tensor:
        return self._value(total, self._exact_wasserstein)

    def _value(
        self, total: Sums, wasserstein: Callable[[Tensor, Tensor, _Target], Tensor]
    ) -> Tensor:
        from stylepipe.nst.statistics import covariance_of, over_regions, weighted

        own = self.statistics(total)
        values = []
        for index, layer in enumerate(self.layers):
            count, mean, second = own[3 * index : 3 * index + 3]
            target = self._targets[layer]
            if self.kind == "gram":
                error = self._gram_error(count.detach(), second, target)
            elif self.kind == "mean-std":
                error = self._apart(mean, covariance_of(mean, second), target)
            else:
                error = wasserstein(mean, covariance_of(mean, second), target)
            values.append(over_regions(error, total[3 * index].detach()))
        return weighted(values, list(self.shares.values()))

    def _gram_error(self, count: Tensor, second: Tensor, target: _Target) -> Tensor:
        """N K, of raw second moments, which are Gram matrices over the number of positions."""
        from stylepipe.nst.losses import EPS, gram_error

        if self.scale == "sum" and count.shape[1] == 1:
            grams = ((count, second), (target.positions, target.second))
            own, wanted = (c[..., None, None] * s for c, s in grams)
            return gram_error(own, wanted)
        error = gram_error(second, target.second)
        if self.scale == "relative":
            return error / (target.second.square().sum(dim=(2, 3)) + EPS)
        # In eq. 4 of gatys G is a sum over the M positions; here it is a mean: M^2 cancels.
        return error / (4.0 * second.shape[-1] ** 2) if self.scale == "gatys" else error

    def _apart(self, mean: Tensor, own: Tensor, target: _Target) -> Tensor:
        from stylepipe.nst.losses import EPS, mean_std_error

        error = mean_std_error(mean, own, target.mean, target.covariance)
        return error / (target.size + EPS)

    def _wasserstein(self, mean: Tensor, own: Tensor, target: _Target) -> Tensor:
        from stylepipe.nst.losses import EPS, regularise, squared_wasserstein

        full = regularise(own.flatten(0, 1), target.floor.expand(own.shape[:2]).flatten())
        wanted = [
            target.mean.expand_as(mean), target.full.expand_as(own), target.root.expand_as(own)
        ]  # fmt: skip
        distance = squared_wasserstein(
            mean.flatten(0, 1), full, *(part.flatten(0, 1) for part in wanted)
        )
        return distance.view(mean.shape[:2]) / (target.size + EPS)

    def _exact_wasserstein(self, mean: Tensor, own: Tensor, target: _Target) -> Tensor:
        from stylepipe.nst.losses import EPS, exact_squared_wasserstein

        distance = exact_squared_wasserstein(mean, own, target.mean, target.covariance)
        return distance.to(mean) / (target.size + EPS)


class _Target(NamedTuple):
    """What to reach at a layer: N K, or N K C, or N K C C."""

    positions: Tensor
    mean: Tensor
    second: Tensor
    covariance: Tensor
    size: Tensor
    """The total variance, with a little of the mean's square."""
    floor: Tensor
    """What the covariances are made regular with."""
    full: Tensor
    """The regular covariance, and its root; of wasserstein alone."""
    root: Tensor
