"""Moving pictures along optical flow."""

from __future__ import annotations

from functools import lru_cache
from typing import cast

import cv2
import numpy as np

STILL = 0.1
"""Pixels. Motion smaller than this is flow noise: following it would only blur the picture."""

_BORDER = cv2.BORDER_REPLICATE


def warp(picture: np.ndarray, flow: np.ndarray, *, cubic: bool = False) -> np.ndarray:
    """Fetch, for each pixel p of the result, the value of ``picture`` at ``p + flow(p)``.

    ``picture`` is HxW or HxWxC (uint8, uint16 or float32), ``flow`` HxWx2 (dx, dy) in pixels. What
    lies beyond the border is the border's value. ``cubic`` keeps detail that bilinear blurs.
    """
    how = cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR
    grid = places(*flow.shape[:2]) + flow
    moved = cv2.remap(picture, grid, None, how, borderMode=_BORDER)  # type: ignore[call-overload]
    return cast(np.ndarray, moved)


def advect(picture: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Move a picture HxWx3 float32 as :func:`warp` does, but almost without loss of detail.

    What moving it there and back would cost is known, and half of it made up for (MacCormack's
    method: Selle et al., "An Unconditionally Stable MacCormack Method", 2008). With bilinear
    samples that amplifies nothing, however often it is repeated; cubic ones amplify, and take
    longer. The result keeps to the picture's range; where nothing moves, it is the picture.
    """
    if not flow.any():
        return picture
    moved = warp(picture, flow)
    loss = warp(moved, -flow)
    cv2.subtract(picture, loss, loss)
    cv2.scaleAdd(warp(loss, flow), 0.5, moved, moved)
    return np.clip(moved, picture.min(), picture.max(), out=moved)


def settle(flow: np.ndarray) -> np.ndarray:
    """Set motion below STILL pixels to none, so that still areas are copied and never blur."""
    moving = np.maximum(np.abs(flow[..., 0]), np.abs(flow[..., 1])) >= STILL
    settled: np.ndarray = flow * moving[..., None]
    return settled


def shrink(pixels: np.ndarray, max_side: int) -> np.ndarray:
    """The picture HxWx3, uint8 or uint16, in uint8 with no side longer than ``max_side``."""
    h, w = pixels.shape[:2]
    scale = min(1.0, max_side / max(h, w))
    size = max(1, round(w * scale)), max(1, round(h * scale))
    return eight_bits(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))


def eight_bits(pixels: np.ndarray) -> np.ndarray:
    """A picture of uint8 or uint16 in uint8."""
    return pixels if pixels.dtype == np.uint8 else cv2.convertScaleAbs(pixels, alpha=1 / 257)


def enlarge(flow: np.ndarray, width: int, height: int) -> np.ndarray:
    """Scale a flow HxWx2 up to another size, its vectors with it."""
    h, w = flow.shape[:2]
    if (w, h) == (width, height):
        return flow
    scaled = flow * np.array([width / w, height / h], np.float32)
    return cast(np.ndarray, cv2.resize(scaled, (width, height), interpolation=cv2.INTER_LINEAR))


def outside(flow: np.ndarray) -> np.ndarray:
    """HxW bool: pixels whose flow leads beyond the picture's border, by more than half a pixel."""
    h, w = flow.shape[:2]
    x, y = np.moveaxis(places(h, w) + flow, -1, 0)
    return cast(np.ndarray, (x < -0.5) | (y < -0.5) | (x > w - 0.5) | (y > h - 0.5))


@lru_cache(maxsize=2)
def places(h: int, w: int) -> np.ndarray:
    """The place (x, y) of each pixel itself, HxWx2 float32; read-only."""
    grid = np.empty((h, w, 2), np.float32)
    grid[..., 0] = np.arange(w, dtype=np.float32)
    grid[..., 1] = np.arange(h, dtype=np.float32)[:, None]
    grid.flags.writeable = False  # shared by all callers
    return grid
