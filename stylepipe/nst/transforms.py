"""Features of a photo, moved to the statistics of a style: AdaIN, whitening and colouring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

EPS = 1e-5
RANK = 1e-5
"""Eigenvalues below this part of the largest are noise: whitened, it would drown the picture."""


@dataclass(frozen=True)
class Moments:
    """Of the features in K regions: mean K C, and covariance K C C or, where the channels count
    each for itself, variance K C. In float32, or finer."""

    mean: Tensor
    spread: Tensor


def moments(features: Tensor, planes: Tensor | None = None, *, full: bool) -> Moments:
    """Of features 1 C H W in regions 1 K H W (weights; None: everywhere).

    full: the covariance instead of the variances.
    """
    values = _wide(features)[0].flatten(1)
    weights = torch.ones_like(values[:1]) if planes is None else planes[0].to(values).flatten(1)
    means, spreads = [], []
    # A photo need not have every region; what is told of an empty one is used nowhere.
    for weight in weights / weights.sum(dim=1, keepdim=True).clamp_min(EPS):
        mean = values @ weight
        centred = values - mean[:, None]
        means.append(mean)
        spreads.append((centred * weight) @ centred.T if full else centred.square() @ weight)
    return Moments(torch.stack(means), torch.stack(spreads))


@dataclass(frozen=True)
class Look:
    """What features of a style are like, in K regions: white noise times root (K C C; K C where
    channels count each for itself), plus mean (K C)."""

    mean: Tensor
    root: Tensor

    @classmethod
    def of(cls, found: Moments) -> Look:
        """The look of features with these moments."""
        return cls(found.mean, _power(found.spread, 0.5))


def blended(looks: Sequence[tuple[Look, float]]) -> Look:
    """The mean of looks with weights: of what each would make of the same photo.

    Huang, Belongie (2017), eq. 15, which mixes the results; they are linear in the looks.
    """
    total = sum(weight for _, weight in looks)
    mean = sum((look.mean * (weight / total) for look, weight in looks), torch.zeros(()))
    root = sum((look.root * (weight / total) for look, weight in looks), torch.zeros(()))
    return Look(mean, root)


def stacked(looks: Sequence[Look]) -> Look:
    """The looks of one region each, side by side."""
    return Look(torch.cat([x.mean for x in looks]), torch.cat([x.root for x in looks]))


def restyled(
    features: Tensor, look: Look, planes: Tensor | None = None, inner: Tensor | None = None
) -> Tensor:
    """Features 1 C H W that had their own look taken and another given, region by region.

    Of each channel, Huang, Belongie, "Arbitrary Style Transfer in Real-time with Adaptive Instance
    Normalization" (2017), eq. 8; of all together, Li et al., "Universal Style Transfer via Feature
    Transforms" (2017), eq. 2 and 3. planes: 1 K H W, how much each feature belongs to each region,
    which sum to 1. inner: 1 K H W, which features tell the region's own look; as planes if None.
    """
    full = look.root.ndim == 3
    own = moments(features, planes if inner is None else inner, full=full)
    values = _wide(features)[0]
    result = torch.zeros_like(values)
    whitening = _power(own.spread, -0.5)
    for k in range(len(look.mean)):
        centred = values - own.mean[k][:, None, None]
        if full:
            turned = torch.einsum("cd,dhw->chw", look.root[k] @ whitening[k], centred)
        else:
            turned = centred * (look.root[k] * whitening[k])[:, None, None]
        turned += look.mean[k][:, None, None]
        result += turned if planes is None else turned * planes[0, k].to(turned)
    return result[None].to(features.dtype)


def adain(content: Tensor, style: Tensor) -> Tensor:
    """Features N C H W with the channels' means and deviations of others, N C h w, row by row."""
    looks = [Look.of(moments(s[None], full=False)) for s in style]
    return torch.cat([restyled(c[None], look) for c, look in zip(content, looks, strict=True)])


def _power(spread: Tensor, exponent: float) -> Tensor:
    """Of variances K C, or of covariances K C C, by eigenvalues; those that vanish stay 0."""
    if spread.ndim == 2:
        return torch.pow(spread.clamp_min(0.0) + EPS, exponent)
    # In float64, where there is one: eigenvalues of float32 lose the small ones.
    exact = spread if spread.device.type == "mps" else spread.double()
    values, vectors = torch.linalg.eigh(exact)
    strong = values > RANK * values[:, -1:]
    powers = torch.where(strong, values.clamp_min(1e-30) ** exponent, torch.zeros_like(values))
    power: Tensor = (vectors * powers[:, None]) @ vectors.transpose(1, 2)
    return power.to(spread.dtype)


def _wide(features: Tensor) -> Tensor:
    return features if features.dtype == torch.float64 else features.float()
