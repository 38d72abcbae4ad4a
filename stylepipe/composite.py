"""Putting photo and painting together: transparency, strength, masks, regions."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import cv2
import numpy as np
import torch

from stylepipe.types import Frame

_SLAB = 256
"""Rows worked on at once, so that floats are never held for a whole large picture."""
_VISIBLE = 0.125
"""Opacity, 0 to 1, from which a pixel's own color counts: soft shadows do, stray edges do not."""
_WHOLE = 1 - 1e-6
"""Sum of floats from which planes are taken to sum to 1."""
_STEP = 4
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
    for rows in _slabs(pixels.shape[0]):
        known = np.minimum(1, _opacity(frame, rows) / _VISIBLE)
        under = fill[rows].astype(np.float32)
        mixed = under + (pixels[rows] - under) * known
        np.copyto(pixels[rows], np.rint(mixed), where=known < 1, casting="unsafe")
    return replace(frame, pixels=pixels)


def apply_strength(images: torch.Tensor, painted: torch.Tensor, strength: float) -> torch.Tensor:
    """Mix photos and paintings, both N3HW: ``strength`` 0 gives the photos, 1 the paintings."""
    return torch.lerp(images, painted, strength)


def composite(source: np.ndarray, painted: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Lay ``painted`` over ``source``, both HxWx3 of one integer dtype, where ``mask`` says so.

    ``mask`` is HxW in [0, 1]: where it is 0 the result is the source, bit for bit, and where it
    is 1 the painting.
    """
    result = source.copy()
    np.copyto(result, painted, where=(mask >= 1)[..., None])
    edge = (mask > 0) & (mask < 1)
    below, above = source[edge].astype(np.float32), painted[edge].astype(np.float32)
    result[edge] = np.rint(below + (above - below) * mask[edge][:, None].astype(np.float32))
    return result


def prepare_mask(mask: torch.Tensor, invert: bool, feather: float) -> torch.Tensor:
    """Invert a mask N1HW in [0, 1] and soften its edges over ``feather`` pixels, half on each side.

    Beyond that distance 0 stays 0 and 1 stays 1. Planes NKHW of regions, which are not inverted,
    are softened each; they sum to their softened :func:`coverage`, which is at most 1.
    The result is on the mask's device.
    """
    mask = mask.float().clamp(0, 1)
    if invert:
        mask = 1 - mask
    side = int(feather / 2 + 0.5) + 1
    covered = _soft(coverage(mask), side)
    if mask.shape[1] == 1:
        return covered
    return shares(_soft(mask, side)) * covered


def coverage(planes: torch.Tensor) -> torch.Tensor:
    """How much of each pixel is painted at all, N1HW in [0, 1], from the planes NKHW of regions."""
    total = planes.sum(dim=1, keepdim=True)
    return torch.where(total > _WHOLE, 1, total)


def shares(planes: torch.Tensor) -> torch.Tensor:
    """How much of each pixel belongs to each region: NKHW that sum to 1, alike where all are 0."""
    total = planes.sum(dim=1, keepdim=True)
    return torch.where(total > 0, planes / total, 1 / planes.shape[1])


def _soft(planes: torch.Tensor, side: int) -> torch.Tensor:
    if side == 1:
        return planes
    flat = planes.flatten(0, 1).cpu().numpy()
    soft = np.stack([_feathered(plane, side) for plane in flat])
    return torch.from_numpy(soft).view(planes.shape).to(planes.device)


def _feathered(plane: np.ndarray, side: int) -> np.ndarray:
    """Two box filters make an S-shaped ramp; the second's anchor undoes the shift of the first.

    On integers, because sums of floats that run along a row do not return to exactly 0.
    """
    plane = np.rint(plane * 65535).astype(np.uint16)
    for anchor in (side // 2, (side - 1) // 2):
        plane = cv2.blur(
            plane, (side, side), anchor=(anchor, anchor), borderType=cv2.BORDER_REPLICATE
        )
    return plane.astype(np.float32) / np.float32(65535)


def _slabs(height: int) -> list[slice]:
    return [slice(top, min(top + _SLAB, height)) for top in range(0, height, _SLAB)]


def _opacity(frame: Frame, rows: slice) -> np.ndarray:
    """hxWx1 float32 in [0, 1]."""
    assert frame.alpha is not None
    return cast(np.ndarray, frame.alpha[rows, :, None].astype(np.float32) / np.float32(frame.white))


def _smooth_fill(frame: Frame) -> np.ndarray:
    """A quarter of the size, the frame's dtype: opaque colors spread over the rest."""
    h, w = frame.pixels.shape[:2]
    size = -(-w // _STEP)
    weighted, weight = [], []
    for rows in _slabs(h):
        known = _opacity(frame, rows) ** 4  # edges of cut-outs often hold some of what was behind
        slab = size, -(-(rows.stop - rows.start) // _STEP)
        colors = frame.pixels[rows] * known
        weighted.append(cv2.resize(colors, slab, interpolation=cv2.INTER_AREA))
        weight.append(cv2.resize(known, slab, interpolation=cv2.INTER_AREA))
    filled = _push_pull(np.concatenate(weighted), np.concatenate(weight)[..., None])
    whole: np.ndarray = np.rint(filled.clip(0, frame.white)).astype(frame.pixels.dtype)
    return whole


def _push_pull(weighted: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """hxwx3 colors from colors times weight (hxwx3) and weight (hxwx1, in [0, 1])."""
    h, w = weight.shape[:2]
    own = weighted / np.maximum(weight, 1e-6)
    if weight.min() >= 1 or h == w == 1:
        return cast(np.ndarray, own)
    # A coarser pixel that knows anything at all counts fully: it is all there is to go by.
    size = -(-w // 2), -(-h // 2)
    coarse = cv2.resize(weighted, size, interpolation=cv2.INTER_AREA)
    coarse_weight = cv2.resize(weight, size, interpolation=cv2.INTER_AREA)[..., None]
    gain = np.minimum(4.0, 1 / np.maximum(coarse_weight, 1e-6))
    below = _push_pull(coarse * gain, coarse_weight * gain)
    below = cv2.resize(below, (w, h), interpolation=cv2.INTER_LINEAR)
    return cast(np.ndarray, below + (own - below) * weight)
