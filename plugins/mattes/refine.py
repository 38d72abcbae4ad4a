"""From the network's small plane to a matte at the picture's size, along the picture's edges."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from stylepipe.nst.guided import fast_guided_filter
from stylepipe.nst.matting import closed_form_alpha

WORK = 640
"""Long side at which hair is told from what is behind it."""
REACH = 0.012
"""Radius of the guided filter, over the picture's short side: about a pixel of the small plane."""
EPS = 1e-4
SOFT = 0.1
"""What a guided filter leaves between 0 and SOFT, and as near to 1, is its own blur."""
KNOWN = 0.05
"""As near to 0 and 1 the network is taken at its word; between, the picture decides."""


def refined(image: Tensor, plane: Tensor, fine: bool = True) -> Tensor:
    """image 1 3 H W, plane 1 1 h w, both in [0, 1], to 1 1 H W: the plane, along the picture's
    edges (He, Sun and Tang, "Guided Image Filtering", 2010).

    fine: decide each pixel of the uncertain band by closed-form matting (Levin et al. 2008), at
    WORK pixels; that takes about ten times as long.
    """
    if not fine:
        return _guided(image, plane, REACH)
    shrink = min(1.0, WORK / max(image.shape[2:]))
    size = [max(1, round(side * shrink)) for side in image.shape[2:]]
    small = image if shrink == 1 else F.interpolate(image, size, mode="area")
    guess = _guided(small, plane, REACH)
    trimap = F.interpolate(_known(plane), size, mode="nearest")
    trimap = torch.where(trimap == 0.5, guess.clamp(0.02, 0.98), trimap)
    if not ((trimap == 0).any() and (trimap == 1).any()):  # nothing to go by
        return guess if shrink == 1 else _guided(image, plane, REACH)
    alpha = closed_form_alpha(small, trimap).clamp(0, 1)
    return alpha if shrink == 1 else _guided(image, alpha, 2 / min(size))


def _known(plane: Tensor) -> Tensor:
    """0 and 1 where the network is sure, 0.5 elsewhere."""
    return torch.where(plane < KNOWN, 0.0, torch.where(plane > 1 - KNOWN, 1.0, 0.5))


def _guided(image: Tensor, plane: Tensor, reach: float) -> Tensor:
    size = image.shape[2:]
    large = F.interpolate(plane, size, mode="bicubic", align_corners=False).clamp(0, 1)
    step = max(1, round(min(size) / 360))
    radius = max(2, round(reach * min(size)))
    filtered = fast_guided_filter(image, large, radius, EPS, step)
    return ((filtered - SOFT) / (1 - 2 * SOFT)).clamp(0, 1)
