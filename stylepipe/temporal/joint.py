"""Several guides to one frame, joined into one.

The sum of squares ``w1 (x - a1)^2 + w2 (x - a2)^2 + ...`` is ``w (x - a)^2`` and a constant, where
``w`` is the sum of the weights, and ``a`` the mean of all ``ak`` by their weights: both have the
slope ``2 (w1 (x - a1) + w2 (x - a2) + ...)``. So one picture and one trust stand for any number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from stylepipe.types import Frame, Guide

if TYPE_CHECKING:
    import torch

LEAST = 1e-6
"""Added to the weights of the mean, so that it exists where nothing is trusted."""


def still(result: Frame, device: torch.device) -> Guide:
    """The guide from a frame's own result to the frame itself, trusted everywhere."""
    from stylepipe.tensors import to_tensor

    picture = to_tensor([result], device)
    return Guide(picture, picture.new_ones(1, 1, *picture.shape[2:]))


def long_term(guides: Sequence[Guide]) -> list[Guide]:
    """Guides from frames farther and farther away, the nearest first: a far one counts only where
    no nearer one is trusted (Ruder, Dosovitskiy, Brox 2016, eq. 8).
    """
    trusts = [guide.trust for guide in guides]
    return [
        replace(guide, trust=(guide.trust - sum(trusts[:index])).clamp(min=0))
        for index, guide in enumerate(guides)
    ]


def joined(guides: Sequence[Guide], most: float = 1.0) -> Guide:
    """One guide with the slope of all of them. ``most``: the sum of trusts that becomes 1."""
    import torch

    weights = torch.stack([guide.trust for guide in guides])
    mean = (weights + LEAST) / (weights + LEAST).sum(0)
    warped = (mean * torch.stack([guide.warped for guide in guides])).sum(0)
    return Guide(warped, weights.sum(0) / most)
