"""A mask found in a reduced picture, carried over to the edges of the whole one."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, cast

from stylepipe import Frame

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

_REACH = 0.012
"""Within this part of the picture's short side the mask is moved to edges."""
_EPS = 1e-4
"""Variance of the colors, in [0, 1], from which an edge of the picture is one of the mask."""
_SLACK = 0.1
"""What is nearer to 0 or 1 is 0 or 1: the filter leaves faint traces far from any edge."""


def reduced(frame: Frame, max_pixels: int) -> NDArray[np.uint8]:
    """The frame's pixels H W 3, in 8 bits, with no more than about ``max_pixels``."""
    import cv2

    from stylepipe.temporal.warp import eight_bits

    height, width = frame.pixels.shape[:2]
    scale = min(1.0, (max_pixels / (height * width)) ** 0.5)
    size = max(1, round(scale * width)), max(1, round(scale * height))
    return eight_bits(cv2.resize(frame.pixels, size, interpolation=cv2.INTER_AREA))


def refined(plane: NDArray[np.float32], frame: Frame) -> NDArray[np.float32]:
    """A mask h w in [0, 1], in the size of the frame, H W, along its edges."""
    import torch

    from stylepipe.temporal.warp import eight_bits

    image = torch.from_numpy(eight_bits(frame.pixels)).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        found = guided(image, torch.from_numpy(plane)[None, None])
    return cast("NDArray[np.float32]", found[0, 0].numpy())


def guided(image: torch.Tensor, plane: torch.Tensor, reach: float = _REACH) -> torch.Tensor:
    """image N 3 H W, plane N 1 h w, both in [0, 1], to N 1 H W: the plane, along the picture's
    edges (He, Sun and Tang, "Guided Image Filtering", 2010), which it follows within ``reach`` of
    the short side.

    What ties mask and colors together is found in a copy as small as the plane, and applied to the
    whole picture (He and Sun, "Fast Guided Filter", 2015).
    """
    from stylepipe.nst.guided import fast_guided_filter

    side = min(image.shape[2:])
    step = max(1, ceil(side / min(plane.shape[2:])))
    found = fast_guided_filter(image, plane, max(2, round(reach * side)), _EPS, step)
    return found.sub_(_SLACK).div_(1 - 2 * _SLACK).clamp_(0, 1)
