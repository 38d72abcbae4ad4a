"""From the network's small plane to a matte at the picture's size, along the picture's edges."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from stylepipe.nst.guided import fast_guided_filter

REACH = 0.012
"""Radius of the guided filter, over the picture's short side: about a pixel of the small plane."""
EPS = 1e-4
SOFT = 0.1
"""What the filter leaves between 0 and SOFT, and as near to 1, is its own blur."""


def refined(image: Tensor, plane: Tensor) -> Tensor:
    """image 1 3 H W, plane 1 1 h w, both in [0, 1], to 1 1 H W: the plane, along the picture's
    edges (He, Sun and Tang, "Guided Image Filtering", 2010).
    """
    size = image.shape[2:]
    large = F.interpolate(plane, size, mode="bicubic", align_corners=False).clamp(0, 1)
    radius = max(2, round(REACH * min(size)))
    filtered = fast_guided_filter(image, large, radius, EPS)
    return ((filtered - SOFT) / (1 - 2 * SOFT)).clamp(0, 1)
