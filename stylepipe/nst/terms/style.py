"""Terms on the first and second moments of features: what Gatys calls the style of a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from stylepipe.nst.losses import EPS, regularise, root_trace, sqrtm, trace

from .base import (
    Measured,
    Statistics,
    StatisticTerm,
    View,
    exact,
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
            found += _Sums.apply(view.inner(layer), view.region_masks(layer))
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
        cross = root_trace(root @ full @ root)
        spread = trace(full) + trace(target[6].expand_as(own).flatten(0, 1)) - 2.0 * cross
        return (drift + spread.view(drift.shape)) / size


class _Sums(torch.autograd.Function):
    """Of features N C h w in regions N K h w: sizes N K, sums N K C, sums of products N K C C.

    The sums of products S = X X^T of a picture's features X (C P) have the gradient (G + G^T) X,
    where G is the slope by S: one product of matrices, and nothing is held for it but the features
    themselves, which the encoder holds anyway. autograd would keep a copy of them in float32 for
    every region.

    The products are made about a center c near the region's mean, as Y = X - c, and moved to zero
    afterwards: sums of many large numbers would lose the digits in which the variances lie.
    """

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, region_masks: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        found = [
            [_sums(matrix, root) for root in _roots(region_masks, n, matrix.dtype)]
            for n, matrix in enumerate(_matrices(features))
        ]
        sizes, first, second, centers = (
            torch.stack([torch.stack([region[part] for region in regions]) for regions in found])
            for part in range(4)
        )
        ctx.save_for_backward(features, region_masks, centers)
        ctx.mark_non_differentiable(sizes)
        return sizes, first, second

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        features, region_masks, centers = ctx.saved_tensors
        count, channels, height, width = features.shape
        matrices = _matrices(features)
        gradient = matrices.new_empty(count, height * width, channels)
        for n, matrix in enumerate(matrices):
            for k, root in enumerate(_roots(region_masks, n, matrix.dtype)):
                both = slopes[2][n, k] + slopes[2][n, k].t()
                # Both parts nearly cancel where X is not centered.
                level = slopes[1][n, k] + both @ centers[n, k]
                own = _about(matrix, centers[n, k].to(matrix.dtype))
                share = gradient[n] if k == 0 else torch.empty_like(gradient[n])
                torch.addmm(level.to(own.dtype), own.t(), both.to(own.dtype), out=share)
                if root is not None:
                    share *= root.square()[:, None]
                if k:
                    gradient[n] += share
        return gradient.transpose(1, 2).view_as(features).to(features.dtype), None


def _matrices(features: Tensor) -> Tensor:
    """N C P, in bfloat16 if the features are; else in float32 or finer."""
    return (features if features.dtype == torch.bfloat16 else exact(features)).flatten(2)


def _roots(region_masks: Tensor | None, n: int, dtype: torch.dtype) -> Sequence[Tensor | None]:
    """Of the n-th picture, region by region: the square root of how far each position belongs to
    it, P. None for a region that is the whole.
    """
    if region_masks is None:
        return [None]
    return list(region_masks[n if len(region_masks) > 1 else 0].flatten(1).sqrt().to(dtype))


def _sums(features: Tensor, root: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of features C P in a region: its size, sums C, sums of products C C, and the center C about
    which they were made, all in float32 or finer. root: P, the square root of how far each
    position belongs to the region; None for all.
    """
    weights = torch.ones_like(features[0]) if root is None else root
    size = exact(weights).square().sum()
    # Any number near the mean serves, but the same one is needed below.
    near = exact(features @ weights.square()) / size.clamp_min(EPS)
    center = near.to(features.dtype)
    own = _about(features, center)
    if root is not None:
        own *= root
    first = _product(own, weights[:, None])[:, 0]
    center = exact(center)
    mixed = first[:, None] * center
    second = _product(own, own.t()) + mixed + mixed.t() + size * center[:, None] * center
    return size, first + size * center, second, center


def _about(features: Tensor, center: Tensor) -> Tensor:
    """Features C P less their center, C."""
    channels, positions = features.shape
    if positions % 4 or not features.t().is_contiguous():
        return features - center[:, None]
    # Four positions at once: loops over 16 channels are too short for vectors of bfloat16.
    rows = features.t().view(-1, 4 * channels) - center.repeat(4)
    return rows.view(positions, channels).t()


def _product(a: Tensor, b: Tensor) -> Tensor:
    """a @ b in float32 or finer.

    Products of bfloat16 are exact in float32, in which they are added up too; only the result is
    rounded to bfloat16. A second product hands back what the first one lost by that: together
    they have 16 bits of precision, at half of what one product of float32 matrices costs.
    """
    if a.dtype != torch.bfloat16:
        return a @ b
    high = a @ b
    return high.float() + torch.addmm(high, a, b, beta=-1.0).float()


def _covariance(mean: Tensor, second: Tensor) -> Tensor:
    return second - mean[..., :, None] * mean[..., None, :]
