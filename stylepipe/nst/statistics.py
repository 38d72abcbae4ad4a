"""Sums of features over positions, and the statistics that follow from them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .losses import EPS, exact


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


def mix(parts: Sequence[tuple[list[Tensor], float]]) -> list[Tensor]:
    """Weighted average: several styles in one, or a photo and a style for a weaker effect.

    The statistics are averaged, never the pictures (Gatys et al., "Controlling Perceptual Factors
    in Neural Style Transfer", 2017, sec. 6).
    """
    total = sum(weight for _, weight in parts)
    scaled = ([value * (weight / total) for value in statistics] for statistics, weight in parts)
    return [reduce(torch.add, values) for values in zip(*scaled, strict=True)]


def stack(regions: Sequence[list[Tensor]]) -> list[Tensor]:
    """Statistics of pictures of one region each, as those of the regions of one picture."""
    return [torch.cat(parts, dim=1) for parts in zip(*regions, strict=True)]


class FeatureSums(torch.autograd.Function):
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


def covariance_of(mean: Tensor, second: Tensor) -> Tensor:
    return second - mean[..., :, None] * mean[..., None, :]


class LevelCounts(torch.autograd.Function):
    """Of features N C h w in regions N K h w: sizes N K, soft counts of the values
    below each of the levels C L, N K C L. width: C 1, of the step from 0 to 1.

    One level after the other, and made anew for the gradient: all at once would take, or keep, 16
    times the features' memory.
    """

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, region_masks: Tensor | None, levels: Tensor, width: Tensor
    ) -> tuple[Tensor, Tensor]:
        values, regions = flat(features, region_masks)
        counts = values.new_empty(*regions.shape[:2], values.shape[1], levels.shape[1])
        # Written into one block: a small result after each of many large ones breaks up the heap.
        below = torch.empty_like(values)
        for i in range(levels.shape[1]):
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
        for i in range(levels.shape[1]):
            _below(values, levels[:, i : i + 1], width, below)
            steepness = below.addcmul_(below, below, value=-1.0)
            total.addcmul_(steepness, slopes[1][..., i].transpose(1, 2) @ regions, value=-1.0)
        return total.div_(width).view_as(features).to(features.dtype), None, None, None


def _below(values: Tensor, level: Tensor, width: Tensor, out: Tensor) -> None:
    """How far values N C P lie below a level C 1."""
    torch.sub(level, values, out=out).div_(width).sigmoid_()
