"""Putting photo and painting together: strength, masks, regions."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

from stylepipe.color import from_linear, to_linear
from stylepipe.fill import slabs
from stylepipe.mattes import Kept

if TYPE_CHECKING:
    from stylepipe.job import MaskOptions

_WHOLE = 1 - 1e-6
"""Sum of floats from which planes are taken to sum to 1."""
_WHITE = 65535
"""Masks are reshaped as integers: sums of floats along a row do not return to exactly 0."""


def apply_strength(
    images: torch.Tensor, painted: torch.Tensor, strength: float | torch.Tensor
) -> torch.Tensor:
    """Mix photos and paintings, both N3HW: ``strength`` 0 gives the photos, 1 the paintings.

    It may be N1HW, of each pixel.
    """
    return torch.lerp(images, painted, strength)


def composite(
    source: np.ndarray, painted: np.ndarray, mask: np.ndarray, matte: np.ndarray | None = None
) -> np.ndarray:
    """Lay ``painted`` over ``source``, both HxWx3 of one integer dtype, where ``mask`` says so.

    ``mask`` is HxW in [0, 1]: where it is 0 the result is the source, bit for bit, and where it
    is 1 the painting. In between they are mixed as light is, in linear intensities. ``matte``, HxW
    in [0, 1], says how much of each pixel really belongs to the painted side: what shows of the
    source at its soft edges is cleaned of the colors of that side (see :mod:`stylepipe.mattes`).
    """
    result = source.copy()
    np.copyto(result, painted, where=(mask >= 1)[..., None])
    light = linear_light(np.iinfo(source.dtype).max)
    kept = None if matte is None else Kept(source, matte, light)
    for rows in slabs(len(mask)):
        edge = (mask[rows] > 0) & (mask[rows] < 1)
        if not edge.any():
            continue
        share = mask[rows][edge][:, None].astype(np.float32)
        below, above = light[source[rows][edge]], light[painted[rows][edge]]
        if kept is not None:
            below = kept.cleaned(below, rows, edge, share)
        mixed = from_linear(torch.from_numpy(below + (above - below) * share))
        result[rows][edge] = np.rint(mixed.numpy() * np.float32(len(light) - 1))
    return result


@lru_cache(maxsize=2)
def linear_light(white: int) -> np.ndarray:
    """The linear intensity, 0 to 1 in float32, of each value from 0 to ``white``."""
    table: np.ndarray = to_linear(torch.arange(white + 1, dtype=torch.float64) / white).numpy()
    table = table.astype(np.float32)
    table.flags.writeable = False  # shared by all callers
    return table


def prepare_mask(mask: torch.Tensor, options: MaskOptions) -> torch.Tensor:
    """Do with a mask N1HW in [0, 1] what ``options`` ask for; the result is on the mask's device.

    It is inverted, made hard by the threshold, grown, shrunk and feathered, in this order. Beyond
    the distances in pixels that the last three name, 0 stays 0 and 1 stays 1.

    Planes NKHW of regions are not inverted. Their :func:`coverage` is treated like a mask: regions
    grow into what no other covers, and shrink from there only. Each border between them is made
    hard or feathered; feathered planes sum to their feathered coverage, which is at most 1.
    """
    planes = mask.float().clamp(0, 1)
    if options.invert:
        planes = 1 - planes
    if options.threshold is not None:
        planes = _hard(planes, options.threshold)
    if options.grow:
        grow = partial(_grown, radius=options.grow)
        near = torch.where(coverage(planes) > 0, planes, _each(planes, grow))
        planes = _covering(near, _each(coverage(planes), grow))
    if options.shrink:
        shrink = partial(_shrunk, radius=options.shrink)
        planes = _covering(planes, _each(coverage(planes), shrink))
    if (side := int(options.feather / 2 + 0.5) + 1) > 1:
        soften = partial(_feathered, side=side)
        return _covering(_each(planes, soften), _each(coverage(planes), soften))
    return _covering(planes, coverage(planes))


def coverage(planes: torch.Tensor) -> torch.Tensor:
    """How much of each pixel is painted at all, N1HW in [0, 1], from the planes NKHW of regions."""
    total = planes.sum(dim=1, keepdim=True)
    return torch.where(total > _WHOLE, 1, total)


def shares(planes: torch.Tensor) -> torch.Tensor:
    """How much of each pixel belongs to each region: NKHW that sum to 1.

    Where all are 0, alike for the regions that are anywhere in the picture.
    """
    total = planes.sum(dim=1, keepdim=True)
    somewhere = (planes.amax(dim=(2, 3), keepdim=True) > 0).to(planes)
    somewhere = torch.where(somewhere.any(dim=1, keepdim=True), somewhere, 1)
    return torch.where(total > 0, planes / total, somewhere / somewhere.sum(dim=1, keepdim=True))


def _covering(planes: torch.Tensor, covered: torch.Tensor) -> torch.Tensor:
    """Planes with the given coverage N1HW, divided among the regions as ``planes`` are."""
    return covered if planes.shape[1] == 1 else shares(planes) * covered


def _hard(planes: torch.Tensor, threshold: float) -> torch.Tensor:
    """1 in the largest plane where they cover at least so much, and anything; else 0."""
    covered = coverage(planes)
    inside = (covered >= threshold) & (covered > 0)
    largest = torch.zeros_like(planes).scatter_(1, planes.argmax(dim=1, keepdim=True), 1)
    return largest * inside


def _each(planes: torch.Tensor, change: Callable[[np.ndarray], np.ndarray]) -> torch.Tensor:
    """Change each plane of NKHW in [0, 1], as HxW of uint16."""
    flat = np.rint(planes.flatten(0, 1).cpu().numpy() * _WHITE).astype(np.uint16)
    changed = np.stack([change(plane) for plane in flat]).astype(np.float32)
    changed /= _WHITE
    return torch.from_numpy(changed).view(planes.shape).to(planes.device)


def _grown(plane: np.ndarray, radius: int) -> np.ndarray:
    """The largest value within ``radius`` pixels; beyond the border there is nothing.

    The disk is cut into rows, which widen from its top to its middle: the cost grows with its
    radius, not its area.
    """
    height, grown, spread, reach = len(plane), plane.copy(), plane, 0
    for dy in range(radius, -1, -1):
        half = math.isqrt(radius**2 - dy**2)
        if half > reach:
            spread = cv2.dilate(spread, np.ones((1, 2 * (half - reach) + 1), np.uint8))
            reach = half
        if dy < height:
            np.maximum(grown[dy:], spread[: height - dy], out=grown[dy:])
            np.maximum(grown[: height - dy], spread[dy:], out=grown[: height - dy])
    return grown


def _shrunk(plane: np.ndarray, radius: int) -> np.ndarray:
    """The smallest value within ``radius`` pixels."""
    return _WHITE - _grown(_WHITE - plane, radius)


def _feathered(plane: np.ndarray, side: int) -> np.ndarray:
    """Two box filters make an S-shaped ramp; the second's anchor undoes the shift of the first."""
    for anchor in (side // 2, (side - 1) // 2):
        plane = cv2.blur(
            plane, (side, side), anchor=(anchor, anchor), borderType=cv2.BORDER_REPLICATE
        )
    return plane
