"""Strokes of another size than a network has learned to draw."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from .optimize import resize, size_of


def working_size(photos: Tensor, scale: float) -> tuple[int, int]:
    """Height and width in which strokes are painted that are to be `scale` times as large."""
    height, width = size_of(photos)
    return max(1, round(height / scale)), max(1, round(width / scale))


def rescaled(photos: Tensor, scale: float, paint: Callable[[Tensor], Tensor]) -> Tensor:
    """Paint photos N 3 H W in [0,1] in another size, so that strokes are `scale` times as large.

    Returns N 3 H W. What a smaller picture lacks of the photo's edges is added again.
    """
    size = working_size(photos, scale)
    if size == size_of(photos):
        return paint(photos)
    small = resize(photos, size)
    painted = resize(paint(small), size_of(photos))
    return painted + (photos - resize(small, size_of(photos))) if scale > 1 else painted
