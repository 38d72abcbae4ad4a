"""Scene cuts."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np

LEAST_CONSISTENT = 0.5
LEAST_LIKENESS = 0.7
"""Between the cuts and the fastest motion of test clips: cuts reach 0.1 consistent and 0.6 alike,
frames of one scene, five apart, that are no more consistent than this are still 0.9 alike."""


def is_cut(consistent: float, picture: np.ndarray, predicted: np.ndarray) -> bool:
    """Whether a new scene begins with ``picture``.

    consistent: share, 0..1, of the pixels whose flow leads back to where it started.
    picture, predicted: HxWx3 uint8, the frame and the one before it moved along the flow.
    A flash or a fade changes brightness but neither motion nor composition: it is no cut.
    """
    return consistent < LEAST_CONSISTENT and _likeness(picture, predicted) < LEAST_LIKENESS


def _likeness(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation, -1..1, of two pictures' thumbnails; blind to brightness and contrast."""
    a, b = _thumbnail(a), _thumbnail(b)
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum() + 1e-6))


def _thumbnail(picture: np.ndarray) -> np.ndarray:
    small = cv2.resize(picture, (32, 18), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    return cast(np.ndarray, small - small.mean(axis=(0, 1)))
