"""Colors for what has none: spread smoothly from where they are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import cast

import cv2
import numpy as np

from stylepipe.types import Frame

_SLAB = 256
"""Rows worked on at once, so that floats are never held for a whole large picture."""
_VISIBLE = 0.125
"""Opacity, 0 to 1, from which a pixel's own color counts: soft shadows do, stray edges do not."""
STEP = 4
"""The fill is smooth: a quarter of the resolution is enough to work it out."""


def fill_transparent(frame: Frame) -> Frame:
    """Extend the opaque colors smoothly under the transparent pixels.

    What lies hidden there would be painted too, and would run into the visible part. Colors that
    can be seen, from ``_VISIBLE`` opacity on, stay as they are; fainter ones are mixed with their
    surroundings (push-pull interpolation: Gortler et al., "The Lumigraph", 1996). Returns the same
    frame if nothing is transparent, or nothing visible.
    """
    if frame.alpha is None or not frame.alpha.any():
        return frame
    if frame.alpha.min() >= frame.white * _VISIBLE:
        return frame
    pixels = frame.pixels.copy()
    fill = cv2.resize(_smooth_fill(frame), pixels.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    for rows in slabs(pixels.shape[0]):
        known = np.minimum(1, _opacity(frame, rows) / _VISIBLE)
        under = fill[rows].astype(np.float32)
        mixed = under + (pixels[rows] - under) * known
        np.copyto(pixels[rows], np.rint(mixed), where=known < 1, casting="unsafe")
    return replace(frame, pixels=pixels)


def slabs(height: int) -> list[slice]:
    """The rows of a picture, a few hundred at a time."""
    return [slice(top, min(top + _SLAB, height)) for top in range(0, height, _SLAB)]


def reduced(
    size: tuple[int, ...], known: Callable[[slice], tuple[np.ndarray, np.ndarray]]
) -> tuple[np.ndarray, np.ndarray]:
    """Colors times weight (hxwx3) and weight (hxwx1) of a picture at a quarter of its size.

    ``size``: its height and width. ``known`` gives both, in float32, of a slab of rows as they are.
    """
    height, width = size
    columns = -(-width // STEP)
    colors: list[np.ndarray] = []
    weights: list[np.ndarray] = []
    for rows in slabs(height):
        slab = columns, -(-(rows.stop - rows.start) // STEP)
        parts = (cv2.resize(p, slab, interpolation=cv2.INTER_AREA) for p in known(rows))
        for whole, part in zip((colors, weights), parts, strict=True):
            whole.append(part)
    return np.concatenate(colors), np.concatenate(weights)[..., None]


def push_pull(weighted: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """hxwx3 colors everywhere, from colors times weight (hxwx3) and weight (hxwx1, in [0, 1])."""
    h, w = weight.shape[:2]
    own = weighted / np.maximum(weight, 1e-6)
    if weight.min() >= 1 or h == w == 1:
        return cast(np.ndarray, own)
    # A coarser pixel that knows anything at all counts fully: it is all there is to go by.
    size = -(-w // 2), -(-h // 2)
    coarse = cv2.resize(weighted, size, interpolation=cv2.INTER_AREA)
    coarse_weight = cv2.resize(weight, size, interpolation=cv2.INTER_AREA)[..., None]
    gain = np.minimum(4.0, 1 / np.maximum(coarse_weight, 1e-6))
    below = push_pull(coarse * gain, coarse_weight * gain)
    below = cv2.resize(below, (w, h), interpolation=cv2.INTER_LINEAR)
    return cast(np.ndarray, below + (own - below) * weight)


def _opacity(frame: Frame, rows: slice) -> np.ndarray:
    """hxWx1 float32 in [0, 1]."""
    assert frame.alpha is not None
    return cast(np.ndarray, frame.alpha[rows, :, None].astype(np.float32) / np.float32(frame.white))


def _smooth_fill(frame: Frame) -> np.ndarray:
    """A quarter of the size, the frame's dtype: opaque colors spread over the rest."""

    def known(rows: slice) -> tuple[np.ndarray, np.ndarray]:
        weight = _opacity(frame, rows) ** 4  # edges of cut-outs often hold some of what was behind
        return frame.pixels[rows] * weight, weight

    filled = push_pull(*reduced(frame.pixels.shape[:2], known))
    whole: np.ndarray = np.rint(filled.clip(0, frame.white)).astype(frame.pixels.dtype)
    return whole
