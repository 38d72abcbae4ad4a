"""Mattes with hair: what a small plane leaves open is decided by the picture."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from stylepipe.nst.matting import closed_form_alpha

from ..masks.refine import guided

WORK = 640
"""Long side at which hair is separated from what is behind it."""
KNOWN = 0.05
"""As near to 0 and 1 the network is taken at its word; between, the picture decides."""


def matted(image: Tensor, plane: Tensor) -> Tensor:
    """image 1 3 H W, plane 1 1 h w, both in [0, 1], to the matte 1 1 H W.

    Each pixel of the uncertain band is decided by closed-form matting (Levin et al. 2008), at WORK
    pixels; that takes several times as long as :func:`guided` alone.
    """
    shrink = min(1.0, WORK / max(image.shape[2:]))
    size = [max(1, round(side * shrink)) for side in image.shape[2:]]
    small = image if shrink == 1 else F.interpolate(image, size, mode="area")
    trimap = F.interpolate(_known(plane), size, mode="nearest")
    if not ((trimap == 0).any() and (trimap == 1).any()):  # nothing to go by
        return guided(image, plane)
    trimap = torch.where(trimap == 0.5, guided(small, plane).clamp(0.02, 0.98), trimap)
    alpha = closed_form_alpha(small, trimap).clamp(0, 1)
    return alpha if shrink == 1 else guided(image, alpha, 2 / min(size))


def _known(plane: Tensor) -> Tensor:
    """0 and 1 where the network is sure, 0.5 elsewhere."""
    return torch.where(plane < KNOWN, 0.0, torch.where(plane > 1 - KNOWN, 1.0, 0.5))
