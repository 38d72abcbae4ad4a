"""The guide from one frame of a video to the next.

Nothing is remembered here: each guide follows from the two source frames and from the previous
result as it was written, so a video that was interrupted goes on as if it had not been.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np

from stylepipe import guard
from stylepipe.components import Flow
from stylepipe.temporal.occlusion import inconsistency, motion_border
from stylepipe.temporal.scenes import is_cut
from stylepipe.temporal.warp import enlarge, outside, settle, warp
from stylepipe.types import Frame, Guide

if TYPE_CHECKING:
    import torch

CONSTANCY = 50.0
"""How fast trust falls with the squared difference, RGB in [0, 1], between a pixel and the one it
is said to come from (Lai et al. 2018, eq. 2)."""
MARGIN = 5
"""Width in pixels by which untrusted areas grow, and then of their soft edge."""


@dataclass(frozen=True)
class Motion:
    """How a frame follows from the one before it."""

    flow: np.ndarray
    """hxwx2 float32, scaled down: for each pixel the way, in its pixels, to where it was before."""
    trust: np.ndarray
    """hxw float32 in [0, 1]: how far the previous result may be used."""
    cut: bool
    """A new scene begins with the frame."""


class TemporalGuide:
    """Keeps a video steady: what was painted before is moved along and blended in where it fits.

    ``blend``, 0..1, is the share of the previous result where the flow is fully trusted.
    """

    def __init__(self, flow: Flow, blend: float) -> None:
        self._flow = flow
        self.blend = blend

    def advance(self, frame: Frame, previous: Frame) -> Motion:
        """Find the motion between two source frames of one size. Any thread, any order.

        Works on frames scaled down to the flow's ``max_side``: motion is smooth, detail is not
        needed to find it, and the time it takes does not grow with the size of the video. Raises
        ItemError if the flow has not the size of the frames.
        """
        now, before = self._scaled(frame), self._scaled(previous)
        there, back = self._between(now, before), self._between(before, now)
        missed = inconsistency(there, back)
        beyond = outside(there)
        predicted = warp(before.pixels, there)
        trust = np.maximum(0, 1 - missed) * np.exp(-CONSTANCY * _squared(now.pixels, predicted))
        trust[beyond | motion_border(there)] = 0
        consistent = float(np.mean((missed < 1) & ~beyond))
        return Motion(settle(there), _soften(trust), is_cut(consistent, now.pixels, predicted))

    def guide(self, motion: Motion, result: np.ndarray, device: torch.device) -> Guide | None:
        """Move the previous result, HxWx3 integers as written, to the present frame.

        None at a scene cut: nothing of the previous result may be used.
        """
        import torch

        from stylepipe.tensors import to_tensor

        if motion.cut:
            return None
        h, w = result.shape[:2]
        moved = warp(result, enlarge(motion.flow, w, h), cubic=True)
        warped = to_tensor([Frame(moved)], device)
        trust = cv2.resize(motion.trust, (w, h), interpolation=cv2.INTER_LINEAR)
        return Guide(warped, torch.from_numpy(trust)[None, None].to(device))

    def apply(self, painted: torch.Tensor, guide: Guide) -> torch.Tensor:
        """Blend the guide into ``painted``, N3HW, for a stylizer that does not use it itself."""
        change = guide.warped - painted
        return painted.addcmul(change, guide.trust, value=self.blend)

    def _between(self, a: Frame, b: Frame) -> np.ndarray:
        found = guard.flow(self._flow.flow(a, b), a.pixels.shape[:2], self._flow)
        return found[0].permute(1, 2, 0).contiguous().numpy()

    def _scaled(self, frame: Frame) -> Frame:
        """The frame in uint8, no side longer than the flow's ``max_side``."""
        h, w = frame.pixels.shape[:2]
        scale = min(1.0, self._flow.options.max_side / max(h, w))
        size = max(1, round(w * scale)), max(1, round(h * scale))
        pixels = cv2.resize(frame.pixels, size, interpolation=cv2.INTER_AREA)
        if frame.white != 255:
            pixels = cv2.convertScaleAbs(pixels, alpha=255 / frame.white)
        return Frame(pixels)


def _squared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """HxW: squared distance of two uint8 pictures, RGB in [0, 1]."""
    difference = cv2.absdiff(a, b).astype(np.float32) / 255
    return cast(np.ndarray, sum(np.square(difference[..., channel]) for channel in range(3)))


def _soften(trust: np.ndarray) -> np.ndarray:
    """Widen what is not trusted, then soften its edge, so that no seam shows."""
    shrunk = cv2.erode(trust, np.ones((MARGIN, MARGIN), np.uint8))
    return cast(np.ndarray, cv2.blur(shrunk, (MARGIN, MARGIN)))
