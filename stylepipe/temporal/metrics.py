"""How steady a video is over time."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np

from stylepipe.temporal.guide import FlowBetween
from stylepipe.temporal.occlusion import occluded
from stylepipe.temporal.warp import warp
from stylepipe.types import Frame


def warping_error(sources: Iterable[Frame], results: Iterable[Frame], flow: FlowBetween) -> float:
    """E_warp of Lai et al., "Learning Blind Video Temporal Consistency" (2018), eq. 7.

    The mean over consecutive frames of the squared difference, RGB in [0, 1], between a result
    and the next one moved back along the flow of the *sources*, over the pixels that are visible
    in both; lower is steadier. ``warping_error(s, s, flow)`` is the floor that any method meets.
    Raises ValueError if there are not as many results as sources, or fewer than two.
    """
    errors = []
    pairs = zip(pairwise(sources), pairwise(results), strict=True)
    for (source, next_source), (result, next_result) in pairs:
        forward = flow(source, next_source)
        visible = ~occluded(forward, flow(next_source, source))
        moved = warp(_unit(next_result), forward)
        squared = np.square(moved - _unit(result)).mean(axis=2)
        # a pair without any visible pixel counts as a whole picture, as in the authors' code
        errors.append(float((squared * visible).sum()) / (int(visible.sum()) or visible.size))
    if not errors:
        raise ValueError("a warping error needs at least two frames")
    return float(np.mean(errors))


def _unit(frame: Frame) -> np.ndarray:
    return frame.pixels.astype(np.float32) / np.float32(frame.white)
