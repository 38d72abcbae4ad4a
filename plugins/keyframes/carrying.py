"""Painted frames carried over the frames around them, by flow and patches.

After "Stylizing Video by Example" (Jamriska et al. 2019): a frame is painted out of the patches of
a keyframe, led by the colors and edges of the film, by the place where the optical flow says that
a pixel was in the keyframe, and by the frame painted before it. Between two keyframes both are
carried to a frame, and mixed by their gradients.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import cv2
import numpy as np

from stylepipe import Frame
from stylepipe.nst.patchmatch import Exemplar, Synthesis, Target, synthesize
from stylepipe.nst.poisson import screened_poisson
from stylepipe.temporal.guide import FlowBetween, trusted_flow
from stylepipe.temporal.warp import enlarge, outside, places, settle, shrink, warp

_BLUR = 1.5
"""Pixels. Noise of the film is no guide."""
_EDGES = 3.0
"""Pixels within which a guide of edges compares a pixel with its surroundings."""
_SIDE = 640
"""Larger frames are scaled down to this side, in pixels, to find the motion."""
_PULL = 0.02
"""How much of the mixed colors holds: detail below some 40 pixels is that of one keyframe."""
_MARGIN = 5
"""Width in pixels by which untrusted areas grow, and then of their soft edge."""
_SMOOTH = 3.0
"""Pixels over which errors and corrections are averaged."""
_SLACK = 0.5
"""Pixels by which the flow may drift from the keyframe: corrected at once, it would shake."""
_ALIKE = 20.0
"""Difference of the guides at which a keyframe counts 1/e."""
_FADE = 0.05
"""Share of a keyframe's weight within which its detail gives way to that of the other."""


@dataclass(frozen=True)
class Carried:
    """A frame painted out of one keyframe."""

    picture: np.ndarray
    """HxWxC uint8: RGB, or RGB times opacity and the opacity."""
    error: np.ndarray
    """HxW uint8: how badly the keyframe fits the film there; 0 where it fits."""


class Carrier:
    """Carries one painted frame over the frames that follow it, or in reverse those before it."""

    def __init__(self, frame: Frame, painted: np.ndarray, flow: FlowBetween) -> None:
        """``painted``: HxWxC float32, as :class:`stylepipe.nst.patchmatch.Exemplar` takes it, of
        the film's ``frame``, of 8 bits.
        """
        self._exemplar = Exemplar(painted, _guides(frame.pixels))
        self._flow, self._key, self._before = flow, frame, frame
        self._grid = places(*frame.pixels.shape[:2])
        self._way = np.zeros_like(self._grid)
        """For each pixel of the frame in hand the way to where it was in the keyframe."""
        self._steady = np.ones(self._grid.shape[:2], np.float32)
        """How far the way since the frame painted last can be trusted."""
        self._last = Synthesis(painted, self._grid, np.zeros_like(self._steady))

    def carry(self, frame: Frame) -> Carried:
        """Paint the next frame, of 8 bits; ``frame.index`` seeds what is random."""
        target = self._reach(frame)
        self._last = synthesize(self._exemplar, target, (self._key.index, frame.index))
        self._steady = np.ones_like(self._steady)
        error = cv2.GaussianBlur(self._last.error, (0, 0), _SMOOTH)
        return Carried(
            *(cv2.convertScaleAbs(np.maximum(x, 0)) for x in (self._last.picture, error))
        )

    def follow(self, frame: Frame) -> None:
        """Go on to the next frame, which nobody wants, without painting it."""
        target = self._reach(frame)
        self._last, self._steady = replace(self._last, matches=target.continued), target.steady

    def _reach(self, frame: Frame) -> Target:
        """What is to be painted of the next frame."""
        step, steady = self._motion(frame, self._before)
        step = settle(step)
        way = step + warp(self._way, step)
        # What the steps add up to drifts: it is corrected by what the keyframe shows there.
        moved = Frame(warp(self._key.pixels, way))
        drift, trust = self._motion(frame, moved)
        drift = _beyond(cv2.GaussianBlur(drift, (0, 0), _SMOOTH), _SLACK)
        self._way = drift + warp(way, drift)
        trust[outside(self._way)] = 0
        self._before = frame
        return Target(
            _guides(frame.pixels),
            self._grid + self._way,
            trust,
            warp(self._last.matches, step),
            steady * warp(self._steady, step),
        )

    def _motion(self, frame: Frame, before: Frame) -> tuple[np.ndarray, np.ndarray]:
        """The way of each pixel back to ``before``, HxWx2, and the trust in it, HxW in [0, 1]."""
        height, width = frame.pixels.shape[:2]
        now, then = (Frame(shrink(picture.pixels, _SIDE)) for picture in (frame, before))
        flow, trust = trusted_flow(now, then, self._flow)
        return enlarge(flow, width, height), cv2.resize(_softened(trust), (width, height))


def mixed(before: Carried, after: Carried, time: float) -> np.ndarray:
    """A frame between two keyframes, HxWxC float32; ``time``: 0 is the one before, 1 the other.

    Colors pass over from one to the other. Detail is that of the one that fits better: the mean of
    two brushworks would be blurred.
    """
    fits = [np.exp(-carried.error / np.float32(_ALIKE)) + 1e-3 for carried in (before, after)]
    one, other = (carried.picture.astype(np.float32) for carried in (before, after))
    first, second = (1 - time) * fits[0], time * fits[1]
    share = cv2.GaussianBlur(second / (first + second), (0, 0), _SMOOTH)[..., None]
    colors = one + share * (other - one)
    detail = np.clip((share - 0.5) / _FADE + 0.5, 0, 1)
    across, down = (
        (1 - detail) * _differences(one, axis) + detail * _differences(other, axis)
        for axis in (1, 0)
    )
    return screened_poisson(colors, across, down, _PULL)


def _guides(pixels: np.ndarray) -> np.ndarray:
    """What leads to the patches of a keyframe: colors and edges, HxWx4 uint8, of HxWx3 uint8."""
    colors = cv2.GaussianBlur(pixels, (0, 0), _BLUR)
    gray = cv2.cvtColor(colors, cv2.COLOR_RGB2GRAY).astype(np.float32)
    edges = gray - cv2.GaussianBlur(gray, (0, 0), _EDGES)
    return np.dstack([colors, np.clip(2 * edges + 128, 0, 255).astype(np.uint8)])


def _beyond(flow: np.ndarray, slack: float) -> np.ndarray:
    """The part of each vector that is longer than ``slack`` pixels."""
    length = np.maximum(np.linalg.norm(flow, axis=2, keepdims=True), 1e-6)
    shortened: np.ndarray = flow * np.maximum(0, 1 - slack / length)
    return shortened


def _differences(picture: np.ndarray, axis: int) -> np.ndarray:
    """From each pixel to the next one; 0 at the last."""
    last = picture.take([-1], axis)
    return np.diff(picture, axis=axis, append=last)


def _softened(trust: np.ndarray) -> np.ndarray:
    """What is not trusted widened, and its edge softened, so that no seam shows."""
    shrunk = cv2.erode(trust, np.ones((_MARGIN, _MARGIN), np.uint8))
    return cast(np.ndarray, cv2.blur(shrunk, (_MARGIN, _MARGIN)))
