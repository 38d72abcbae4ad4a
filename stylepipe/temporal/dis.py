"""Optical flow by dense inverse search of OpenCV (Kroeger et al. 2016)."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np

from stylepipe.types import Frame

_LEAST_SIDE = 32
"""OpenCV's dense inverse search needs room for its coarsest patches."""
_STEPS = 4
"""Gradient steps for a patch, where OpenCV takes 12 to 25: the end-point error against ground truth
grew by 2 % (FlyingChairs, Middlebury), and less of the flow was given up as inconsistent."""


class Search:
    """Finds the flow between two frames; it keeps buffers, so that each thread needs one."""

    def __init__(self, preset: int = cv2.DISOPTICAL_FLOW_PRESET_MEDIUM) -> None:
        """``preset``: one of OpenCV's."""
        self._search = cv2.DISOpticalFlow.create(preset)
        self._search.setGradientDescentIterations(_STEPS)

    def __call__(self, a: Frame, b: Frame) -> np.ndarray:
        """HxWx2 float32: for each pixel of ``a`` the way (dx, dy), in pixels, to ``b``."""
        h, w = a.pixels.shape[:2]
        found = self._search.calc(_gray(a), _gray(b), None)  # type: ignore[call-overload]
        return cast(np.ndarray, found[:h, :w].copy())


def _gray(frame: Frame) -> np.ndarray:
    """The luminance in uint8; a picture too small for the search is extended by its border."""
    gray = cv2.cvtColor(frame.pixels, cv2.COLOR_RGB2GRAY)
    if frame.white != 255:
        gray = cv2.convertScaleAbs(gray, alpha=255 / frame.white)
    h, w = gray.shape
    bottom, right = max(0, _LEAST_SIDE - h), max(0, _LEAST_SIDE - w)
    return cv2.copyMakeBorder(gray, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
