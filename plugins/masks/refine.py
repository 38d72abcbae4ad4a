"""A mask found in a reduced picture, carried over to the edges of the whole one."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from stylepipe import Frame

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_EPS = 1e-4
"""Variance of the lightness, in [0, 1], from which an edge of the picture is one of the mask."""
_SLACK = 0.05
"""What is nearer to 0 or 1 is 0 or 1: the filter leaves faint traces far from any edge."""


def reduced(frame: Frame, max_pixels: int) -> NDArray[np.uint8]:
    """The frame's pixels H W 3, in 8 bits, with no more than about ``max_pixels``."""
    import cv2

    from stylepipe.temporal.warp import eight_bits

    height, width = frame.pixels.shape[:2]
    scale = min(1.0, (max_pixels / (height * width)) ** 0.5)
    size = max(1, round(scale * width)), max(1, round(scale * height))
    return eight_bits(cv2.resize(frame.pixels, size, interpolation=cv2.INTER_AREA))


def refined(plane: NDArray[np.float32], small: NDArray[np.uint8], frame: Frame, radius: int
            ) -> NDArray[np.float32]:  # fmt: skip
    """The mask h w in [0, 1] of ``small``, h w 3, in the size of the frame, along its edges.

    The fast guided filter: what ties mask and lightness together within ``radius`` pixels is found
    in the reduced picture, and applied to the whole one (He & Sun 2015).
    """
    import cv2
    import numpy as np

    from stylepipe.temporal.warp import eight_bits

    def mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
        side = 2 * radius + 1
        smooth = cv2.blur(values, (side, side), borderType=cv2.BORDER_REFLECT)
        return cast("NDArray[np.float32]", smooth)

    height, width = frame.pixels.shape[:2]
    guide = _lightness(small)
    level, share = mean(guide), mean(plane)
    slope = (mean(guide * plane) - level * share) / (mean(guide * guide) - level**2 + _EPS)
    offset = share - slope * level
    line = cv2.resize(
        np.dstack([mean(slope), mean(offset)]), (width, height), interpolation=cv2.INTER_LINEAR
    )
    whole = line[..., 0] * _lightness(eight_bits(frame.pixels)) + line[..., 1]
    return cast("NDArray[np.float32]", ((whole - _SLACK) / (1 - 2 * _SLACK)).clip(0, 1))


def _lightness(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Gray H W in [0, 1] of a picture H W 3 in 8 bits."""
    import cv2
    import numpy as np

    gray: NDArray[np.float32] = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return gray / np.float32(255)
