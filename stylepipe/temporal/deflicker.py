"""Flicker removed from results, whatever painted them.

Each frame is compared with those around it, moved along the optical flow of their *sources*. The
brightness and color of its regions become the median of all of these frames, near ones counting
more than far ones, and finer detail their mean. A mean of moved pictures is soft, so its finest
detail is raised to what the frame itself has.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import cv2
import numpy as np

from stylepipe.temporal.guide import CONSTANCY, FlowBetween, Motion
from stylepipe.temporal.occlusion import inconsistency
from stylepipe.temporal.warp import enlarge, outside, settle, shrink, warp
from stylepipe.types import Frame

FINE = 0.7
"""Standard deviation, in pixels of the result, of the blur that takes the finest detail away."""
SURROUNDINGS = 5.0
"""Standard deviation, in pixels, of the neighborhood in which there is as much of it as before."""
FAINT = 1e-6
"""Added to a squared contrast that something is divided by."""
MOST = 6.0
"""How many times the finest detail is added at most."""
REGION = 24
"""The longer side of a picture divided by this is the width of a region."""
COARSE = 4
"""Frames are compared in cells of this many pixels a side."""
DIFFERENT = 9.0
"""A frame whose squared difference is this many times the median of all frames counts half."""
UNKNOWN = 0.02
"""Trust in a region at which half of its change is made; with less trust, less of it."""
SLIGHT = 1e-3
"""Squared difference, RGB in [0, 1], that is always allowed."""


def both_ways(a: Frame, b: Frame, flow: FlowBetween) -> tuple[Motion, Motion]:
    """The motion from a frame of uint8 to its neighbor, and that back.

    Unlike the trust of guides, this one is blind to brightness: the source itself may flicker.
    """
    there, back = flow(a, b), flow(b, a)
    return _motion(a, b, there, back), _motion(b, a, back, there)


def chained(first: Motion, then: Motion) -> Motion:
    """The motion over two steps, the second of which begins where the first ends."""
    flow = first.flow + warp(then.flow, first.flow)
    return Motion(flow, first.trust * warp(then.trust, first.flow))


def _motion(a: Frame, b: Frame, flow: np.ndarray, back: np.ndarray) -> Motion:
    change = (warp(b.pixels, flow).astype(np.float32) - a.pixels) / 255
    change -= _blurred(change, _region(a.pixels))
    trust = np.maximum(0, 1 - inconsistency(flow, back))
    trust *= np.exp(-CONSTANCY * np.square(change).sum(axis=2))
    trust[outside(flow)] = 0
    return Motion(settle(flow), trust)


class Motions:
    """The motion between neighboring frames, found once and kept as long as it is needed."""

    def __init__(self, max_side: int) -> None:
        """``max_side``: longest side, in pixels, of the frames in which motion is looked for."""
        self._max_side = max_side
        self._kept: list[tuple[Frame, Frame, tuple[Motion, Motion]]] = []

    def around(self, frames: Sequence[Frame], at: int, flow: FlowBetween) -> list[Motion | None]:
        """The motion from ``frames[at]`` to all ``frames``; None to itself."""
        self._kept = [(a, b, self._between(a, b, flow)) for a, b in pairwise(frames)]
        steps = [both for _, _, both in self._kept]
        found: list[Motion | None] = [None] * len(frames)
        for side, back in ((range(at + 1, len(frames)), 0), (range(at - 1, -1, -1), 1)):
            motion: Motion | None = None
            for k in side:
                step = steps[k - 1 + back][back]
                motion = found[k] = step if motion is None else chained(motion, step)
        return found

    def _between(self, a: Frame, b: Frame, flow: FlowBetween) -> tuple[Motion, Motion]:
        for first, second, known in self._kept:
            if first is a and second is b:
                return known
        now, then = (Frame(shrink(frame.pixels, self._max_side)) for frame in (a, b))
        return both_ways(now, then, flow)


def steadied(results: Sequence[np.ndarray], around: Sequence[Motion | None], at: int) -> np.ndarray:
    """``results[at]`` without flicker: HxWx3, its dtype.

    ``results`` are of successive frames; ``around`` leads from this one to each, None to itself.
    The farther away a frame is, the less it counts, so that none enters or leaves abruptly.
    """
    own = results[at]
    white = np.float32(np.iinfo(own.dtype).max)
    height, width = own.shape[:2]
    size = -(-width // COARSE), -(-height // COARSE)
    reach = max(at, len(results) - 1 - at)
    base = own.astype(np.float32) / white
    present = cv2.resize(base, size, interpolation=cv2.INTER_AREA)
    moved, changes, weights, votes = [], [], [], [1.0]
    for k, (result, motion) in enumerate(zip(results, around, strict=True)):
        if motion is None:
            continue
        moved.append(warp(result, enlarge(motion.flow, width, height), cubic=True))
        small = cv2.resize(moved[-1], size, interpolation=cv2.INTER_AREA)
        changes.append(small.astype(np.float32) / white - present)
        trust = cv2.resize(motion.trust, size, interpolation=cv2.INTER_LINEAR)
        nearness = 1 - abs(k - at) / (reach + 1)
        weights.append(trust * nearness)
        votes.append(nearness**0.5)
    if not moved:
        return own
    change = regional(changes, weights, votes)
    shares = agreement([each - change for each in changes], votes)
    mean, total = base.copy(), np.ones((height, width, 1), np.float32)
    for picture, weight, share in zip(moved, weights, shares, strict=True):
        counts = cv2.resize(weight * share, (width, height), interpolation=cv2.INTER_LINEAR)
        mean += counts[..., None] * (picture / white)
        total += counts[..., None]
    change = cv2.resize(change, (width, height), interpolation=cv2.INTER_CUBIC)
    found = crisp(mean / total - change * (1 - 1 / total), base) + change
    return cast(np.ndarray, np.rint(np.clip(found, 0, 1) * white).astype(own.dtype))


def regional(
    changes: Sequence[np.ndarray], weights: Sequence[np.ndarray], votes: Sequence[float]
) -> np.ndarray:
    """How much the brightness and color of regions must change, hxwx3: the median of all frames.

    ``changes`` are the frames' differences from the present one; ``votes``, of the present frame
    and then of these, say how much each counts. It is a median because one frame may be altogether
    wrong, and because frames before and after a light is switched on keep their own brightness,
    even soon after a shot begins, when most of the frames at hand are of the other one.
    """
    height, width = weights[0].shape
    step = max(1, round(_region(changes[0])))
    size = -(-width // step), -(-height // step)
    coarse = [np.zeros((*size[::-1], 3), np.float32)]
    for change, weight in zip(changes, weights, strict=True):
        trusted = cv2.resize(weight, size, interpolation=cv2.INTER_AREA)
        summed = cv2.resize(change * weight[..., None], size, interpolation=cv2.INTER_AREA)
        trusted, summed = _blurred(trusted, 1), _blurred(summed, 1)
        coarse.append(summed.reshape(coarse[0].shape) / (trusted[..., None] + UNKNOWN))
    found = _median(coarse, votes)
    return cast(np.ndarray, cv2.resize(found, (width, height), interpolation=cv2.INTER_CUBIC))


def agreement(rests: Sequence[np.ndarray], votes: Sequence[float]) -> list[np.ndarray]:
    """How much each frame counts, hxw in [0, 1], by its differences hxwx3 from the present one.

    Flicker differs in all frames; a frame that differs much more than most is wrong, or the scene
    has changed, as when a light is switched on.
    """
    squares = [np.square(rest).sum(axis=2) for rest in rests]
    usual = DIFFERENT * _median([np.zeros_like(squares[0]), *squares], votes) + SLIGHT
    return [(1 / (1 + np.square(each / usual))).astype(np.float32) for each in squares]


def crisp(picture: np.ndarray, own: np.ndarray) -> np.ndarray:
    """``picture`` as sharp as ``own``, place by place: by the Laplacian's energy. HxWx3, float32.

    Detail that is not the same in all frames is faint in their mean, and moved pictures are soft.
    """
    detail = picture - _blurred(picture, FINE)
    edges, more, wanted = (
        cv2.Laplacian(cv2.cvtColor(each, cv2.COLOR_RGB2GRAY), cv2.CV_32F)
        for each in (picture, detail, own)
    )
    # (edges + s more)^2 = wanted^2, on average over the surroundings
    missing = np.maximum(_blurred(np.square(wanted) - np.square(edges), SURROUNDINGS), 0)
    mixed = np.maximum(_blurred(edges * more, SURROUNDINGS), 0)
    square = _blurred(np.square(more), SURROUNDINGS)
    share = (np.sqrt(np.square(mixed) + square * missing) - mixed) / (square + FAINT)
    return cast(np.ndarray, picture + np.clip(share, 0, MOST)[..., None] * detail)


def _median(values: Sequence[np.ndarray], votes: Sequence[float]) -> np.ndarray:
    """Place by place the value up to which half of the votes lie."""
    stack = np.stack(values)
    order = np.argsort(stack, axis=0)
    below = np.cumsum(np.array(votes, np.float32)[order], axis=0)
    middle = np.argmax(below >= below[-1] / 2, axis=0)[None]
    chosen = np.take_along_axis(order, middle, axis=0)
    return cast(np.ndarray, np.take_along_axis(stack, chosen, axis=0)[0])


def _region(picture: np.ndarray) -> float:
    """Pixels that a region is wide."""
    return float(max(picture.shape[:2])) / REGION


def _blurred(picture: np.ndarray, sigma: float) -> np.ndarray:
    return cast(np.ndarray, cv2.GaussianBlur(picture, (0, 0), sigma))
