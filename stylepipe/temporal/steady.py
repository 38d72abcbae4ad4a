"""Masks of a film that hold still: averaged over a few frames, along the motion."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np

from stylepipe.temporal.dis import Search
from stylepipe.temporal.guide import Motion, trusted_flow
from stylepipe.temporal.warp import settle, shrink, warp
from stylepipe.types import Frame

REACH = 4
"""Frames before a frame with whose masks its own is averaged."""
_SIDE = 640
"""Longest side in pixels at which masks are compared. Their edges stay as sharp as they are: what
comes from the frames before is a smooth correction."""
_WHITE = 65535
"""Small masks are integers, which stay exactly what they are where nothing changes."""


@dataclass(frozen=True)
class _Past:
    """The masks of a frame before, and how the latest frame follows from it."""

    masks: Sequence[np.ndarray]
    """Each hxw in uint16, scaled down."""
    motion: Motion

    def before(self, step: Motion) -> _Past:
        """The same after another frame, which follows from the one until now the latest."""
        flow = step.flow + warp(self.motion.flow, step.flow)
        return _Past(self.masks, Motion(flow, step.trust * warp(self.motion.trust, step.flow)))


class Steadier:
    """Averages the masks of each frame with those of the frames before it, of one shot.

    They are moved along by the optical flow and count as far as that can be trusted, so that masks
    neither flicker nor trail. Nothing older than ``REACH`` frames has any influence.
    """

    def __init__(self, amount: float) -> None:
        """``amount``, 0 to 1: the weight of a frame's masks beside those of the frame after it."""
        self._amount, self._flow = amount, Search()
        self.reset()

    def reset(self) -> None:
        """Another film or scene begins."""
        self._before: Frame | None = None
        self._past: deque[_Past] = deque(maxlen=REACH)

    def steadied(self, frame: Frame, planes: np.ndarray) -> np.ndarray:
        """The planes KxHxW, float32 in [0, 1], of the next frame, averaged."""
        now = Frame(shrink(frame.pixels, _SIDE))
        if self._before is not None:
            flow, trust = trusted_flow(now, self._before, self._flow, grain=0)
            step = Motion(settle(flow), trust)
            moved = [past.before(step) for past in self._past]
            self._past.clear()
            self._past.extend(moved)
        small = [_reduced(plane, now.pixels.shape[1::-1]) for plane in planes]
        result = np.stack([self._averaged(k, plane, small[k]) for k, plane in enumerate(planes)])
        size = small[0].shape
        still = Motion(np.zeros((*size, 2), np.float32), np.ones(size, np.float32))
        self._past.appendleft(_Past(small, still))
        self._before = now
        return result

    def _averaged(self, index: int, plane: np.ndarray, small: np.ndarray) -> np.ndarray:
        total = np.ones(small.shape, np.float32)
        change = np.zeros(small.shape, np.float32)
        for age, past in enumerate(self._past, 1):
            weight = self._amount**age * past.motion.trust
            total += weight
            moved = warp(past.masks[index], past.motion.flow).astype(np.float32)
            change += weight * (moved - small)
        change /= total * _WHITE
        size = plane.shape[::-1]
        enlarged = cv2.resize(change, size, interpolation=cv2.INTER_LINEAR)
        return np.clip(plane + enlarged, 0, 1)


def _reduced(plane: np.ndarray, size: Sequence[int]) -> np.ndarray:
    integers = np.rint(plane * _WHITE).astype(np.uint16)
    return cast(np.ndarray, cv2.resize(integers, size, interpolation=cv2.INTER_AREA))
