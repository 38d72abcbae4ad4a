"""Scene cuts."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np

from stylepipe.temporal.occlusion import inconsistency
from stylepipe.temporal.warp import eight_bits, outside, warp

LEAST_CONSISTENT = 0.5
LEAST_LIKENESS = 0.7
"""Between the cuts and the fastest motion of test clips: cuts reach 0.1 consistent and 0.6 alike,
frames of one scene, five apart, that are no more consistent than this are still 0.9 alike."""
_SIZE = (160, 96)


def is_cut(now: np.ndarray, before: np.ndarray) -> bool:
    """Whether a new scene begins with ``now``; both are HxWx3, uint8 or uint16, of one size.

    It does where neither the pictures are alike nor motion leads from one to the other. A flash or
    a fade changes brightness but neither motion nor composition: it is no cut. Works on thumbnails,
    and looks for motion only where they differ.
    """
    a, b = (eight_bits(cv2.resize(p, _SIZE, interpolation=cv2.INTER_AREA)) for p in (now, before))
    if _likeness(a, b) >= LEAST_LIKENESS:
        return False
    gray_a, gray_b = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (a, b))
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    there = search.calc(gray_a, gray_b, None)  # type: ignore[call-overload]
    back = search.calc(gray_b, gray_a, None)  # type: ignore[call-overload]
    consistent = np.mean((inconsistency(there, back) < 1) & ~outside(there))
    return bool(consistent < LEAST_CONSISTENT and _likeness(a, warp(b, there)) < LEAST_LIKENESS)


def _likeness(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation, -1..1, of two pictures' thumbnails; blind to brightness and contrast."""
    a, b = _thumbnail(a), _thumbnail(b)
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum() + 1e-6))


def _thumbnail(picture: np.ndarray) -> np.ndarray:
    small = cv2.resize(picture, (32, 18), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    return cast(np.ndarray, small - small.mean(axis=(0, 1)))
