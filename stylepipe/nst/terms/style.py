"""Terms on the first and second moments of features: what Gatys calls the style of a picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from stylepipe.nst.losses import EPS, regularise, sqrtm, trace

from .base import (
    Measured,
    Statistics,
    StatisticTerm,
    View,
    flat,
    layer_weights,
    over_regions,
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
        found: Measured = []
        for layer in self.layers:
            found += _Sums.apply(view.inner(layer), view.planes(layer))
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


class _Sums(torch.autograd.Function):
    """Of features N C h w in regions N K h w: sizes N K, sums N K C, sums of products N K C C.

    Nothing is held for the gradient but the features themselves, which the encoder holds anyway:
    autograd would keep a copy of them in float32 for every region.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, planes: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        values, regions = flat(features, planes)
        sums = [_sums(values, regions[:, k]) for k in range(regions.shape[1])]
        sizes, first, second = (torch.stack(parts, dim=1) for parts in zip(*sums, strict=True))
        ctx.save_for_backward(features, planes)
        ctx.mark_non_differentiable(sizes)
        return sizes, first, second

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        features, planes = ctx.saved_tensors
        values, regions = flat(features, planes)
        total = torch.zeros_like(values)
        for k in range(regions.shape[1]):
            plane = regions[:, k, None]
            centre = _centre(values, plane[:, 0])
            both = slopes[2][:, k] + slopes[2][:, k].transpose(1, 2)
            # About the centre, as the sums are made: both parts nearly cancel.
            share = both @ (values - centre)
            share += slopes[1][:, k, :, None] + both @ centre
            total += share.mul_(plane)
        return total.view_as(features).to(features.dtype), None


def _sums(features: Tensor, plane: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of features N C P in a region N P: its size N, sums N C, sums of products N C C.

    The products are made about the region's mean, and moved to zero afterwards: sums of many large
    numbers would lose the digits in which the variances lie.
    """
    size, centre = plane.sum(dim=1), _centre(features, plane)
    own = (features - centre) * plane.sqrt()[:, None]
    first, centre = (own @ plane.sqrt()[..., None])[..., 0], centre[..., 0]
    mixed = first[:, :, None] * centre[:, None, :]
    outer = size[:, None, None] * centre[:, :, None] * centre[:, None, :]
    second = own @ own.transpose(1, 2) + mixed + mixed.transpose(1, 2) + outer
    return size, first + size[:, None] * centre, second


def _centre(features: Tensor, plane: Tensor) -> Tensor:
    """Mean of features N C P in a region N P: N C 1."""
    return (features @ plane[..., None]) / plane.sum(dim=1)[:, None, None].clamp_min(EPS)


def _covariance(mean: Tensor, second: Tensor) -> Tensor:
    return second - mean[..., :, None] * mean[..., None, :]
