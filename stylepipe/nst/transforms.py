"""Features of a photo, moved to the statistics of a style: AdaIN, whitening and coloring."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .steady import averaged

EPS = 1e-5
RANK = 1e-5
"""Eigenvalues of a style below this part of the largest are noise."""
MAX_GAIN = 20.0
"""A gain of contrast g > 1, of a channel or along an eigenvector, becomes the larger of 1 and
g / (1 + (g / MAX_GAIN)^4): what needs far more to be as strong as the style is noise, and stays as
it is. The papers have no such limit; there a sky's noise of one level in 255 becomes blots as bold
as the style's strokes. Photos keep their contrast; what changes is in their flat areas.
"""
TINY = 1e-30
SLAB = 1 << 20
"""Features that are worked on at once: copies in float32 of more would take the memory."""


@dataclass(frozen=True)
class Moments:
    """Of the features in K regions: mean K C, and covariance K C C or, where the channels count
    each for itself, variance K C. In float32, or finer. size: K, the number of features."""

    mean: Tensor
    spread: Tensor
    size: Tensor


def region_moments(features: Tensor, region_masks: Tensor | None = None, *, full: bool) -> Moments:
    """Of features 1 C H W in regions 1 K H W (weights; None: everywhere).

    full: the covariance instead of the variances.
    """
    channels = features.shape[1]
    count = 1 if region_masks is None else region_masks.shape[1]
    exact = features.new_zeros((), dtype=_exact(features))
    sums, total = exact.expand(count, channels).clone(), exact.expand(count, 1).clone()
    for values, weights, _ in _slabs(features, region_masks):
        sums += weights @ values.T
        total += weights.sum(dim=1, keepdim=True)
    # A photo need not have every region; the statistics of an empty one are never used.
    total.clamp_min_(EPS)
    means = sums / total
    spread = exact.expand(count, channels, *([channels] if full else [])).clone()
    # About the mean, in a pass of its own: squares less the square of the mean would cancel.
    for values, weights, _ in _slabs(features, region_masks):
        for k in range(count):
            centered = values - means[k].to(values)[:, None]
            if full:
                spread[k] += (centered * weights[k]) @ centered.T
            else:
                spread[k] += centered.square_() @ weights[k]
    spread /= total.unsqueeze(-1) if full else total
    kind = _wide(features.dtype)
    return Moments(means.to(kind), spread.to(kind), total[:, 0].to(kind))


def steadied(frames: Sequence[Moments]) -> Moments:
    """The moments of the first of successive frames, with the mean spread of all; regions count by
    their size. The mean stays its own: with an older one, what brightens a frame would show in all
    of the result.
    """
    present = frames[0]
    if len(frames) == 1:
        return present
    sizes = [frame.size for frame in frames]
    return replace(present, spread=averaged([frame.spread for frame in frames], sizes))


@dataclass(frozen=True)
class StyleStatistics:
    """What features of a style are like, in K regions: white noise times root (K C C; K C where
    channels count each for itself), plus mean (K C)."""

    mean: Tensor
    root: Tensor

    @classmethod
    def of(cls, found: Moments) -> StyleStatistics:
        """The statistics of features with these moments."""
        full = found.spread.ndim == 3
        return cls(found.mean, _root(found.spread) if full else found.spread.sqrt())

    @property
    def nbytes(self) -> int:
        """Bytes of it."""
        return self.mean.nbytes + self.root.nbytes


def blended(styles: Sequence[tuple[StyleStatistics, float]]) -> StyleStatistics:
    """The mean of styles with weights: of what each would make of the same photo.

    Huang, Belongie (2017), eq. 15, which mixes the results; but for MAX_GAIN they are linear in the
    styles.
    """
    total = sum(weight for _, weight in styles)
    mean = sum((style.mean * (weight / total) for style, weight in styles), torch.zeros(()))
    root = sum((style.root * (weight / total) for style, weight in styles), torch.zeros(()))
    return StyleStatistics(mean, root)


def stacked(styles: Sequence[StyleStatistics]) -> StyleStatistics:
    """The styles of one region each, side by side."""
    return StyleStatistics(torch.cat([x.mean for x in styles]), torch.cat([x.root for x in styles]))


def restyled(
    features: Tensor,
    style: StyleStatistics,
    region_masks: Tensor | None = None,
    *,
    own: Moments | None = None,
    limit: Tensor | None = None,
    out: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Features 1 C H W that had their own statistics taken and a style's given, by regions.

    Of each channel, Huang, Belongie, "Arbitrary Style Transfer in Real-time with Adaptive Instance
    Normalization" (2017), eq. 8; of all together, Li et al., "Universal Style Transfer via Feature
    Transforms" (2017), eq. 2 and 3. region_masks: 1 K H W, how much each feature belongs to each
    region, which sum to 1. own: their statistics, where these are known or steadied. out: 1 C H W
    that takes the result; it may be the features themselves.
    Returns also, K, what is left of the gain of each region: the limit of the next level.

    A departure from both: see MAX_GAIN. Of several levels each sees the picture that the one before
    has made, where noise that was raised cannot be told from content. So a region has MAX_GAIN once
    for all levels, not for each: what a level needed is taken from it. limit: K, what the level
    before returned; None: it is the first. The deepest level has to come first: in another order
    the noise of a sky does become strokes, raised by a shallow level with the sky's gradient.
    """
    full = style.root.ndim == 3
    own = own or region_moments(features, region_masks, full=full)
    turns, left = _turns(own.spread, style.root, limit)
    result = torch.empty_like(features) if out is None else out
    for values, weights, rows in _slabs(features, region_masks):
        total = torch.zeros_like(values)
        for k, weight in enumerate(weights):
            centered = values - own.mean[k][:, None]
            turned = turns[k] @ centered if full else centered.mul_(turns[k][:, None])
            turned += style.mean[k][:, None]
            total += turned.mul_(weight)
        result[0, :, rows] = total.view(result[0, :, rows].shape).to(result.dtype)
    return result, left


def _turns(own: Tensor, root: Tensor, limit: Tensor | None) -> tuple[Tensor, Tensor]:
    """What features with these variances (K C, or covariances K C C) are multiplied by, and what
    is left of the limit."""
    if own.ndim == 2:
        return _gains(own, root, limit)
    variances, vectors = _eigen(own)
    coloring = root.to(vectors) @ vectors  # of white noise along each eigenvector
    wanted = coloring.norm(dim=1)
    gains, left = _gains(variances, wanted, limit)
    turns = (coloring * (gains / wanted.clamp_min(TINY))[:, None]) @ vectors.transpose(1, 2)
    return turns.to(root), left.to(root)


def _gains(own: Tensor, wanted: Tensor, limit: Tensor | None) -> tuple[Tensor, Tensor]:
    """Of contrast with variances `own` that is to have deviations `wanted`, K n; and what is left
    of the limit, K."""
    max_gain = torch.full_like(own[:, 0], MAX_GAIN) if limit is None else limit.to(own)
    asked = wanted / own.clamp_min(TINY).sqrt()
    gains = torch.maximum(asked / (1 + (asked / max_gain[:, None]) ** 4), asked.clamp_max(1))
    # The mean by own variance: few features have none along most eigenvectors, and need no gain
    # there. Of the gain asked for, not the given one: noise, which gets none, leaves none either.
    own = own.clamp_min(0)
    needed = (own * asked).sum(dim=1) / own.sum(dim=1).clamp_min(TINY)
    return gains, (max_gain / needed.clamp_min(1)).clamp_min(TINY)


def adain(content: Tensor, style: Tensor) -> Tensor:
    """Features N C H W with the channels' means and deviations of others, N C h w, row by row."""
    found = [StyleStatistics.of(region_moments(s[None], full=False)) for s in style]
    return torch.cat([restyled(c[None], s)[0] for c, s in zip(content, found, strict=True)])


def _root(covariance: Tensor) -> Tensor:
    """The symmetric square root of covariances K C C."""
    values, vectors = _eigen(covariance)
    strong = values > RANK * values[:, -1:]
    roots = torch.where(strong, values.clamp_min(0.0).sqrt(), 0.0)
    return ((vectors * roots[:, None]) @ vectors.transpose(1, 2)).to(covariance.dtype)


def _eigen(covariance: Tensor) -> tuple[Tensor, Tensor]:
    # In float64, where there is one: eigenvalues of float32 lose the small ones.
    values, vectors = torch.linalg.eigh(covariance.to(_exact(covariance)))
    return values, vectors


def _slabs(features: Tensor, region_masks: Tensor | None) -> Iterator[tuple[Tensor, Tensor, slice]]:
    """Rows of features, C n, and of planes, K n (of none: ones), in float32 or finer, and which."""
    _, channels, height, width = features.shape
    count = 1 if region_masks is None else region_masks.shape[1]
    step = max(1, SLAB // ((channels + count) * width))
    for top in range(0, height, step):
        rows = slice(top, min(top + step, height))
        values = features[0, :, rows].to(_wide(features.dtype)).flatten(1)
        if region_masks is None:
            weights = torch.ones_like(values[:1])
        else:
            weights = region_masks[0, :, rows].to(values).flatten(1)
        yield values, weights, rows


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def _exact(values: Tensor) -> torch.dtype:
    return torch.float32 if values.device.type == "mps" else torch.float64
