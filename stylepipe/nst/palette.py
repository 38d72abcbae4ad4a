"""The colors of one picture given to another."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

LEVELS = 1024
PART = 1 << 18
"""Pixels that are worked on at once in float64."""


def matched(picture: Tensor, model: Tensor, how: str) -> Tensor:
    """A picture 1 3 H W with the colors of a model 1 3 h w, both in [0,1]; so is the result.

    how: ``linear`` gives it the model's mean and covariance (Gatys et al., "Preserving Color in
    Neural Artistic Style Transfer" (2016), sec. 3.1, by symmetric roots); ``histogram`` the model's
    distribution of values, channel by channel. Raises ValueError for another word.
    """
    if how == "linear":
        return _linear(picture, model).clamp(0.0, 1.0)
    if how == "histogram":
        return torch.cat([_histogram(p, m) for p, m in zip(picture[0], model[0], strict=True)])[
            None
        ]
    raise ValueError(f"colors can be matched 'linear' or by 'histogram', not {how!r}")


def _linear(picture: Tensor, model: Tensor) -> Tensor:
    mean, root, inverse = _moments(picture)
    wanted_mean, wanted_root, _ = _moments(model)
    # Of all maps between the two Gaussians the one that moves colors least (Monge).
    bridge = _power(root @ (wanted_root @ wanted_root) @ root, 0.5)
    change = inverse @ bridge @ inverse
    parts = [(change @ (p - mean) + wanted_mean).to(picture) for p in _parts(picture)]
    return torch.cat(parts, dim=1).view_as(picture)


def _moments(picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of 1 3 H W: mean 3 1, root of the covariance and its inverse, in float64."""
    count = picture.shape[2] * picture.shape[3]
    mean = torch.stack([p.sum(dim=1) for p in _parts(picture)]).sum(dim=0)[:, None] / count
    centered = (p - mean for p in _parts(picture))
    covariance = torch.stack([c @ c.T for c in centered]).sum(dim=0) / count
    covariance += 1e-5 * torch.eye(3, dtype=covariance.dtype)
    return mean, _power(covariance, 0.5), _power(covariance, -0.5)


def _parts(picture: Tensor) -> Iterator[Tensor]:
    """The pixels of 1 3 H W as 3 P, some rows at a time: the whole would take 24 bytes a pixel.

    In float64 on the CPU: MPS has no float64, nor eigenvectors.
    """
    rows = max(1, PART // picture.shape[3])
    for top in range(0, picture.shape[2], rows):
        yield picture[0, :, top : top + rows].flatten(1).cpu().double()


def _power(matrix: Tensor, exponent: float) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    power: Tensor = (vectors * values.clamp_min(1e-12).pow(exponent)) @ vectors.T
    return power


def _histogram(channel: Tensor, model: Tensor) -> Tensor:
    """H W -> 1 H W. By quantiles, interpolated: no banding in smooth areas."""
    steps = torch.linspace(0.0, 1.0, LEVELS, device=channel.device)
    own, wanted = (_quantiles(c.flatten(), steps) for c in (channel, model))
    # Of a flat area many quantiles are equal: it takes the mean of all that they should become.
    own, group = torch.unique(own, return_inverse=True)
    count = torch.zeros_like(own).index_add_(0, group, torch.ones_like(wanted))
    wanted = torch.zeros_like(own).index_add_(0, group, wanted) / count
    if len(own) == 1:
        return torch.full_like(channel, float(wanted))[None]
    upper = torch.searchsorted(own, channel.flatten().contiguous()).clamp(1, len(own) - 1)
    low, high = own[upper - 1], own[upper]
    share = ((channel.flatten() - low) / (high - low)).clamp(0.0, 1.0)
    return torch.lerp(wanted[upper - 1], wanted[upper], share).view(1, *channel.shape)


def _quantiles(values: Tensor, steps: Tensor) -> Tensor:
    ordered = values.sort().values
    return ordered[(steps * (len(ordered) - 1)).round().long()]
