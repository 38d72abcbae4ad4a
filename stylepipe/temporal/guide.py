"""The guide from one frame of a video to the next.

Nothing is remembered here: each guide follows from the two source frames and from the previous
result as it was written, so a video that was interrupted resumes as if it had not been.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np

from stylepipe.temporal.occlusion import inconsistency, strangeness
from stylepipe.temporal.warp import advect, enlarge, outside, settle, shrink, warp
from stylepipe.types import Frame, Guide

if TYPE_CHECKING:
    import torch

CONSTANCY = 50.0
"""How fast trust falls with the squared difference, RGB in [0, 1], between a pixel and the one it
is said to come from (Lai et al. 2018, eq. 2)."""
_GRAIN = 1.0
"""Pixels over which colors are averaged before they are compared, so that noise costs no trust."""
_STRANGE = 800.0
"""How fast trust falls with the squared strangeness, RGB in [0, 1]: no ghost shows."""
_DOUBT, _BELIEF = 0.5, 0.9
"""Trust up to the one is none, from the other on it is full: strokes are carried or painted anew,
since a mean of both would be blurred."""

FlowBetween = Callable[[Frame, Frame], np.ndarray]
"""(a, b) -> HxWx2 float32: the optical flow from a to b in pixels."""


@dataclass(frozen=True)
class Motion:
    """How a frame follows from the one before it."""

    flow: np.ndarray
    """hxwx2 float32, scaled down: for each pixel the way, in its pixels, to where it was before."""
    trust: np.ndarray
    """hxw float32 in [0, 1]: how far the previous result may be used."""


def find_motion(frame: Frame, previous: Frame, flow: FlowBetween, max_side: int) -> Motion:
    """Find the motion between two source frames of one size. Any thread, any order.

    Works on frames scaled down to ``max_side`` pixels: motion is smooth, detail is not needed to
    find it, and the time it takes does not grow with the size of the video.
    """
    now, before = (Frame(shrink(picture.pixels, max_side)) for picture in (frame, previous))
    there, back = flow(now, before), flow(before, now)
    strange = strangeness(now.pixels, warp(before.pixels, there))
    # up to half of what counts as occluded, the flow is but inexact: strokes may follow it
    trust = np.clip(2 - 2 * inconsistency(there, back), 0, 1) * np.exp(-_STRANGE * strange)
    trust[outside(there)] = 0
    return Motion(settle(there), _decided(trust))


def trusted_flow(
    now: Frame, before: Frame, flow: FlowBetween, grain: float = _GRAIN
) -> tuple[np.ndarray, np.ndarray]:
    """The flow HxWx2 from a frame of uint8 back to the one before it, and trust in it.

    The trust is HxW float32 in [0, 1]: how far the way back misses its start, and how far the
    colors differ, averaged over ``grain`` pixels, takes from it.
    """
    there, back = flow(now, before), flow(before, now)
    change = _squared(now.pixels, warp(before.pixels, there), grain)
    trust = np.maximum(0, 1 - inconsistency(there, back)) * np.exp(-CONSTANCY * change)
    trust[outside(there)] = 0
    return there, trust


def follow(motion: Motion, result: Frame, device: torch.device) -> Guide:
    """Move the previous result, as it was written, to the present frame."""
    import torch

    h, w = result.pixels.shape[:2]
    flow = enlarge(motion.flow, w, h)
    moved = advect(result.pixels.astype(np.float32) / np.float32(result.white), flow)
    trust = cv2.resize(motion.trust, (w, h), interpolation=cv2.INTER_LINEAR)
    return Guide(
        torch.from_numpy(moved).permute(2, 0, 1)[None].to(device),
        torch.from_numpy(trust)[None, None].to(device),
        torch.from_numpy(flow).permute(2, 0, 1)[None].to(device),
    )


def _squared(a: np.ndarray, b: np.ndarray, grain: float) -> np.ndarray:
    """HxW: squared distance of two uint8 pictures, RGB in [0, 1], averaged over so many pixels."""
    difference = (a.astype(np.float32) - b) / 255
    if grain:
        difference = cv2.GaussianBlur(difference, (0, 0), grain)
    return cast(np.ndarray, sum(np.square(difference[..., channel]) for channel in range(3)))


def _decided(trust: np.ndarray) -> np.ndarray:
    """Trust or none, as most pixels around say; with a narrow edge, so that no seam shows."""
    decided = np.clip((cv2.blur(trust, (3, 3)) - _DOUBT) / (_BELIEF - _DOUBT), 0, 1)
    return cast(np.ndarray, cv2.blur(decided, (3, 3)))
