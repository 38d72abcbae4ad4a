"""How steady a film is over time, and how crisp its frames are.

Each measure is of one frame, or of one pair of consecutive frames, so that a film of any length can
be measured in little memory. None is a verdict alone: each says what improves it misleadingly.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, cast

import cv2
import numpy as np

from stylepipe.temporal.guide import FlowBetween
from stylepipe.temporal.occlusion import occluded
from stylepipe.temporal.warp import STILL, eight_bits, warp
from stylepipe.types import Frame

UNCHANGED = 2
"""Levels of 255. A source pixel is static if no channel changes by more, and it does not move."""
MOVING = 1.0
"""Pixels. Where the source moves by more, texture that stays in place is seen to stay."""
LEAST_SHARE = 0.01
"""Share of a picture's pixels below which a mean over them says nothing."""
_GRAIN = 2.0
"""Pixels: standard deviation of the Gaussian blur that is subtracted, to leave the texture."""


@dataclass(frozen=True)
class Step:
    """How a source frame leads to the next: what a pair of results is measured along."""

    flow: np.ndarray
    """HxWx2 float32: for each pixel the way (dx, dy), in pixels, to the next frame."""
    visible: np.ndarray
    """HxW bool: the pixel is visible in both frames, and its motion is certain."""
    static: np.ndarray
    """HxW bool: the source neither moves (by ``STILL`` pixels) nor changes (``UNCHANGED``) here."""

    @property
    def moving(self) -> np.ndarray:
        """HxW bool: visible pixels that move by more than ``MOVING`` pixels."""
        moves = np.hypot(self.flow[..., 0], self.flow[..., 1]) > MOVING
        return cast(np.ndarray, self.visible & moves)


class Texture(NamedTuple):
    """Correlations, -1 to 1, of the fine texture of two consecutive frames."""

    fixed: float
    """At the same place on the screen: high where texture does not move with what it paints."""
    along: float
    """Along the flow of the sources: high where it does."""


def step_between(source: Frame, following: Frame, flow: FlowBetween) -> Step:
    """Find how a source frame leads to the next one, of the same size."""
    there = flow(source, following)
    visible = ~occluded(there, flow(following, source))
    rests = np.abs(there).max(axis=2) < STILL
    change = cv2.absdiff(eight_bits(source.pixels), eight_bits(following.pixels)).max(axis=2)
    return Step(there, visible, rests & (change <= UNCHANGED))


def pair_error(step: Step, result: Frame, following: Frame) -> float:
    """E_warp of one pair: the mean squared difference, RGB in [0, 1], between a result and the next
    one moved back along the flow of the sources, over the pixels that are visible in both.

    Blur lowers it, and so does painting less: judge it beside :func:`sharpness`.
    """
    moved = warp(_unit(following), step.flow)
    squared = np.square(moved - _unit(result)).mean(axis=2)
    # a pair without any visible pixel counts as a whole picture, as in the authors' code
    seen = int(step.visible.sum())
    return float((squared * step.visible).sum()) / (seen or step.visible.size)


def warping_error(sources: Iterable[Frame], results: Iterable[Frame], flow: FlowBetween) -> float:
    """E_warp of Lai et al., "Learning Blind Video Temporal Consistency" (2018), eq. 7.

    The mean of :func:`pair_error` over consecutive frames; lower is steadier.
    ``warping_error(s, s, flow)`` is the floor that any method meets.
    Raises ValueError if there are not as many results as sources, or fewer than two.
    """
    errors = [
        pair_error(step_between(*source, flow), *result)
        for source, result in zip(pairwise(sources), pairwise(results), strict=True)
    ]
    if not errors:
        raise ValueError("a warping error needs at least two frames")
    return float(np.mean(errors))


def sharpness(frame: Frame) -> float:
    """Variance of the 3x3 Laplacian of the frame's luminance, 0 to 255; 0 where all is one color.

    Noise raises it as detail does, and it depends on the size of the picture: compare frames of one
    size that were painted alike.
    """
    return float(cv2.Laplacian(_luminance(frame), cv2.CV_32F).var(dtype=np.float64))


def flicker(step: Step, result: Frame, following: Frame) -> float:
    """Mean absolute difference of two consecutive results, in levels of 255, where the source is
    static; nan if less than ``LEAST_SHARE`` of it is.

    Blur lowers it, and so does any way of keeping the previous picture, wrong or right.
    """
    if step.static.mean() < LEAST_SHARE:
        return float("nan")
    return float(255 * np.abs(_unit(following) - _unit(result))[step.static].mean(dtype=np.float64))


def texture(step: Step, result: Frame, following: Frame) -> Texture:
    """Whether fine texture stays on the screen or moves along, where the source moves.

    Of the luminance less its Gaussian of 2 px, over ``step.moving``: the correlation of the two
    results at the same place, and that of the first with the second moved back along the flow. nan
    where less than ``LEAST_SHARE`` of the picture moves, or nothing in it has texture. What repeats
    along the motion, such as stripes, correlates both ways; flicker lowers both.
    """
    moving = step.moving
    if moving.mean() < LEAST_SHARE:
        return Texture(float("nan"), float("nan"))
    now, later = _fine(result), _fine(following)
    # bilinear samples would blur just what is compared
    moved = warp(later, step.flow, cubic=True)
    return Texture(
        _correlation(now[moving], later[moving]), _correlation(now[moving], moved[moving])
    )


def _unit(frame: Frame) -> np.ndarray:
    return frame.pixels.astype(np.float32) / np.float32(frame.white)


def _luminance(frame: Frame) -> np.ndarray:
    return cast(np.ndarray, cv2.cvtColor(eight_bits(frame.pixels), cv2.COLOR_RGB2GRAY))


def _fine(frame: Frame) -> np.ndarray:
    luminance = _luminance(frame).astype(np.float32)
    return cast(np.ndarray, luminance - cv2.GaussianBlur(luminance, (0, 0), _GRAIN))


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(dtype=np.float64), b - b.mean(dtype=np.float64)
    size = np.sqrt(np.square(a).sum() * np.square(b).sum())
    return float((a * b).sum() / size) if size > 0 else float("nan")
