"""Terms on the first and second moments of features: what Gatys calls the style of a picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from stylepipe.nst.losses import EPS, regularise, sqrtm, trace

from .base import (
    Measured,
    Statistics,
    StatisticTerm,
    View,
    layer_weights,
    over_regions,
    planes_of,
    weighted,
)

Kind = Literal["wasserstein", "gram", "mean-std"]
KINDS: tuple[Kind, ...] = ("wasserstein", "gram", "mean-std")
Scale = Literal["relative", "gatys", "sum"]
"""Of a Gram error: over the target's square norm; as printed in Gatys 2016, eq. 4; not at all."""


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

    def __init__(
        self,
        layers: Mapping[str, float],
        weight: float = 1.0,
        kind: Kind = "wasserstein",
        scale: Scale = "relative",
    ) -> None:
        if kind not in KINDS:
            raise ValueError(f"no style distance {kind!r}; known: {', '.join(KINDS)}")
        self.weight, self.kind, self.scale = weight, kind, scale
        self.shares = layer_weights(layers)
        self.layers = tuple(self.shares)
        self._targets: dict[str, tuple[Tensor, ...]] = {}

    def statistics(self, total: Measured) -> Statistics:
        """For each layer: mean N K C, raw second moment N K C C."""
        found: Statistics = []
        for index in range(len(self.layers)):
            count, first, second = total[3 * index : 3 * index + 3]
            count = count.clamp_min(EPS)
            found += [first / count[..., None], second / count[..., None, None]]
        return found

    def aim(self, target: Statistics) -> None:
        self._targets = {}
        for index, layer in enumerate(self.layers):
            mean, second = (t.detach() for t in target[2 * index : 2 * index + 2])
            covariance = _covariance(mean, second)
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

    def measure(self, view: View) -> Measured:
        """For each layer: positions in the region N K, sums N K C, sums of products N K C C."""
        found = []
        for layer in self.layers:
            features, planes = planes_of(view, layer)
            sums = [_sums(features, planes[:, k]) for k in range(planes.shape[1])]
            found += [torch.stack(parts, dim=1) for parts in zip(*sums, strict=True)]
        return found

    def value(self, total: Measured) -> Tensor:
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
        if self.kind == "gram":
            error = (second - target[1]).square().sum(dim=(2, 3))
            if self.scale == "gatys":
                # eq. 4 has sums over the M positions in G, ours are means: M^2 falls out.
                return error / (4.0 * second.shape[-1] ** 2)
            if self.scale == "sum":
                return error * count.square()
            return error / (target[1].square().sum(dim=(2, 3)) + EPS)
        own = _covariance(mean, second)
        size = target[3] + EPS
        drift = (mean - target[0]).square().sum(dim=2)
        if self.kind == "mean-std":
            deviations = [
                (torch.diagonal(c, dim1=2, dim2=3).clamp_min(0.0) + EPS).sqrt()
                for c in (own, target[2])
            ]
            return (drift + (deviations[0] - deviations[1]).square().sum(dim=2)) / size
        full = regularise(own.flatten(0, 1), target[4].expand(own.shape[:2]).flatten())
        root = target[5].expand_as(own).flatten(0, 1)
        cross = trace(sqrtm(root @ full @ root))
        spread = trace(full) + trace(target[6].expand_as(own).flatten(0, 1)) - 2.0 * cross
        return (drift + spread.view(drift.shape)) / size


def _sums(features: Tensor, plane: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of features N C P in a region N P: its size N, sums N C, sums of products N C C.

    The products are made about the region's mean, and moved to zero afterwards: sums of many large
    numbers would lose the digits in which the variances lie.
    """
    size = plane.sum(dim=1)
    with torch.no_grad():
        centre = (features @ plane[..., None]) / size[:, None, None].clamp_min(EPS)
    own = (features - centre) * plane.sqrt()[:, None]
    first, centre = (own @ plane.sqrt()[..., None])[..., 0], centre[..., 0]
    mixed = first[:, :, None] * centre[:, None, :]
    outer = size[:, None, None] * centre[:, :, None] * centre[:, None, :]
    second = own @ own.transpose(1, 2) + mixed + mixed.transpose(1, 2) + outer
    return size, first + size[:, None] * centre, second


def _covariance(mean: Tensor, second: Tensor) -> Tensor:
    return second - mean[..., :, None] * mean[..., None, :]
