"""Maps of regions: pictures with one flat color a region, which is the region's name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stylepipe.errors import ItemError
from stylepipe.mask_files import fitted, opened

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_REGIONS = 16
"""Regions of a map; more colors mean that it is no map."""
FLAT = 0.0005
"""Part of the map that a color must cover to be a region; others are soft edges, or JPEG's."""
CORE = 9
"""Side of the square, in pixels, that a region must hold somewhere: soft edges are thinner."""
MIN_COVERED = 0.9
"""Part of the map that all regions must cover."""
WHAT = "map of regions"


def region_names(maps: Sequence[Path], max_pixels: int) -> tuple[str, ...]:
    """The colors ``#rrggbb`` that are regions in any of the maps, from dark to bright.

    Raises ItemError for what is no map.
    """
    found: set[int] = set()
    for file in maps:
        found |= set(_flat_colors(_read(file, max_pixels), file))
    if len(found) > MAX_REGIONS:
        raise ItemError(
            f"the maps in {maps[0].parent} have {len(found)} regions together, {MAX_REGIONS} at "
            "most can be painted; use the same color for a region in all of them"
        )
    return tuple(f"#{color:06x}" for color in sorted(found, key=_brightness))


def region_planes(
    file: Path, names: Sequence[str], size: Sequence[int], max_pixels: int
) -> NDArray[np.float32]:
    """The regions of a map by name, K H W in the given size, which sum to 1. Raises ItemError.

    Other colors count as the region's that is most like them.
    """
    labels = _read(file, max_pixels)
    colors = np.array([int(name[1:], 16) for name in names], np.uint32)
    others = ~np.isin(labels, colors)
    # Each color once: the edges of a large map have many pixels, but few colors.
    found, place = np.unique(labels[others], return_inverse=True)
    labels[others] = colors[_nearest(found, colors)][place]
    planes = np.empty((len(colors), *size), np.float32)
    for plane, color in zip(planes, colors, strict=True):
        plane[:] = fitted((labels == color).astype(np.float32), size, file, WHAT)
    return planes


def _read(file: Path, max_pixels: int) -> NDArray[np.uint32]:
    """The colors of a map as numbers 0xRRGGBB, H W; what is transparent lies on white."""
    with opened(file, max_pixels, WHAT) as picture:
        return packed(rgb_of(picture))


def packed(pixels: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """The colors of pixels ... 3 as numbers 0xRRGGBB."""
    labels: NDArray[np.uint32] = pixels[..., 0].astype(np.uint32)
    for channel in (1, 2):
        labels <<= 8
        labels |= pixels[..., channel]
    return labels


def rgb_of(picture: Image) -> NDArray[np.uint8]:
    """The colors of a picture of any mode, H W 3 in 8 bits; what is transparent lies on white."""
    from PIL import Image

    if picture.mode.startswith("I"):  # gray of 16 bits
        return np.repeat((np.asarray(picture) >> 8).astype(np.uint8)[..., None], 3, axis=2)
    if picture.has_transparency_data:
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture.convert("RGBA"))
    return np.asarray(picture.convert("RGB"))


def _flat_colors(labels: NDArray[np.uint32], file: Path) -> list[int]:
    """The colors that fill areas. Raises ItemError if they do not make up a map."""
    colors, counts = np.unique(labels, return_counts=True)
    wide = colors[counts >= FLAT * labels.size]
    flat = [color for color in wide[:1000].tolist() if _has_core(labels == color)]
    if len(flat) > MAX_REGIONS or np.isin(labels, flat).mean() < MIN_COVERED:
        raise ItemError(
            f"{file} is no map of regions: paint each region in one flat color, {MAX_REGIONS} "
            f"regions at most (it has {len(colors)} colors, of which {len(flat)} fill areas)"
        )
    return flat


def _has_core(region: NDArray[np.bool_]) -> bool:
    """Whether a square of CORE pixels, less in a tiny map, fits into a region."""
    import cv2

    side = min(CORE, *region.shape)
    # Border pixels are not eroded from outside: a region may well lie there.
    eroded = cv2.erode(region.astype(np.uint8), np.ones((side, side), np.uint8))
    return bool(eroded.any())


def _brightness(color: int) -> int:
    return 299 * (color >> 16) + 587 * (color >> 8 & 255) + 114 * (color & 255)


def _nearest(labels: NDArray[np.uint32], colors: NDArray[np.uint32]) -> NDArray[np.intp]:
    """The index of the color that is most like each label, P -> P, both as 0xRRGGBB."""
    pixels, known = (
        np.stack([c >> 16, c >> 8 & 255, c & 255], axis=1).astype(np.int64)
        for c in (labels, colors)
    )
    nearest: NDArray[np.intp] = ((pixels[:, None] - known) ** 2).sum(axis=2).argmin(axis=1)
    return nearest
