"""Where optical flow can be trusted."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np

from stylepipe.temporal.warp import outside, warp

_SLACK = 2
"""Levels of 255 by which noise and fades may exceed the colors around."""


def inconsistency(flow: np.ndarray, back: np.ndarray) -> np.ndarray:
    """How far the way there and back misses its start, in units of what is tolerated.

    ``flow`` (from a to b) and ``back`` (from b to a) are HxWx2 in pixels. The result, HxW float32,
    is ``|f + warped b|^2 / (0.01 (|f|^2 + |warped b|^2) + 0.5)``: a pixel of a is occluded in b
    where it is 1 or more (Sundaram, Brox, Keutzer 2010, eq. 5; Ruder 2016, sec. 4.1).
    """
    returned = warp(back, flow)
    tolerated = 0.01 * (_square(flow) + _square(returned)) + 0.5
    return cast(np.ndarray, _square(flow + returned) / tolerated)


def strangeness(now: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """HxW float32: squared distance, RGB in [0, 1], of ``moved`` to the range that ``now`` has
    around each pixel and ``_SLACK`` more, the most of any pixel around; both are HxWx3 uint8.

    A moved picture that misses by a part of a pixel stays within that range, however sharp the
    edge; what does not belong there, a ghost, does not.
    """
    around = np.ones((3, 3), np.uint8)
    above = cv2.subtract(moved, cv2.dilate(now, around))  # saturates at 0
    below = cv2.subtract(cv2.erode(now, around), moved)
    beyond = np.maximum(cv2.max(above, below), _SLACK) - _SLACK
    return cast(
        np.ndarray, cv2.dilate(np.square(beyond.astype(np.float32) / 255).sum(axis=2), around)
    )


def motion_border(flow: np.ndarray) -> np.ndarray:
    """HxW bool: |grad f|^2 > 0.01 |f|^2 + 0.002, the borders of moving things (same sources)."""
    steps = np.zeros(flow.shape[:2], np.float32)
    steps[:, :-1] += _square(np.diff(flow, axis=1))
    steps[:-1] += _square(np.diff(flow, axis=0))
    return cast(np.ndarray, steps > 0.01 * _square(flow) + 0.002)


def occluded(flow: np.ndarray, back: np.ndarray) -> np.ndarray:
    """HxW bool: pixels of a that b does not show, or whose flow is at a border and uncertain."""
    return cast(np.ndarray, (inconsistency(flow, back) >= 1) | motion_border(flow) | outside(flow))


def _square(flow: np.ndarray) -> np.ndarray:
    """Squared length of each vector; a tenth of the time that einsum takes."""
    x, y = flow[..., 0], flow[..., 1]
    return cast(np.ndarray, x * x + y * y)
