"""Maps of regions: pictures with one flat color a region."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stylepipe.errors import ItemError, UsageError
from stylepipe.pictures import read_picture
from stylepipe.proportions import mismatch
from stylepipe.types import Item

MAX_REGIONS = 16
"""Regions of a map; more colors mean that it is no map."""
FLAT = 0.0005
"""Part of the map that a color must cover to be a region; others are soft edges, or JPEG's."""
CORE = 9
"""Side of the square, in pixels, that a region must hold somewhere: soft edges are thinner."""
MIN_COVERED = 0.9
"""Part of the map that all regions must cover."""
_SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".jpg", ".jpeg")


class RegionFiles:
    """Finds and reads the maps of photos and paintings, and keeps their regions in one order."""

    def __init__(self, photos: Path, styles: Sequence[Path], max_pixels: int) -> None:
        """photos: a map for all, or a folder of maps. Raises UsageError for an empty folder."""
        self._photos, self._max_pixels = photos, max_pixels
        self._files = {}
        if photos.is_dir():
            files = [f for f in sorted(photos.rglob("*")) if f.suffix.lower() in _SUFFIXES]
            self._files = {f.relative_to(photos).with_suffix(""): f for f in files}
            if not files:
                raise UsageError(f"the folder of regions {photos} holds no pictures")
        self._styles = [_read(path, max_pixels, UsageError) for path in styles]
        self._names = list(styles)
        self._colors: NDArray[np.uint32] | None = None
        if self._styles:
            self._colors = _sorted(np.concatenate(self._styles, axis=None))
            for path, labels in zip(styles, self._styles, strict=True):
                missing = np.setdiff1d(self._colors, labels)
                if len(missing):
                    raise UsageError(
                        f"the region of color #{missing[0]:06x} is missing in {path}: the maps "
                        "of all styles must have the same regions"
                    )
        self._last: tuple[tuple[Path, tuple[int, ...]], NDArray[np.float32]] | None = None

    def of_style(self, index: int, count: int, size: Sequence[int]) -> NDArray[np.float32]:
        """The regions K H W of a style, of which there are `count`. Raises UsageError."""
        if len(self._styles) != count:
            raise UsageError(
                f"there are {count} styles and {len(self._styles)} maps of style regions: give one "
                "--style-regions for each --style"
            )
        assert self._colors is not None
        return _planes(self._styles[index], self._colors, size, self._names[index], UsageError)

    def of_photo(self, item: Item, size: Sequence[int], least: int) -> NDArray[np.float32]:
        """The regions K H W of a photo, in the order of the styles' regions; without maps of
        styles from dark to bright. least: side to which the engine has extended smaller photos.
        Raises ItemError.
        """
        path = self.find(item)
        key = (path, tuple(size))
        if self._last is None or self._last[0] != key:  # the frames of a film share one map
            self._last = key, self._planes_of_photo(path, size, least)
        return self._last[1]

    def _planes_of_photo(self, path: Path, size: Sequence[int], least: int) -> NDArray[np.float32]:
        labels = _read(path, self._max_pixels, ItemError)
        rest = [max(side, least) - side for side in labels.shape]
        if [a + b for a, b in zip(labels.shape, rest, strict=True)] == list(size):
            # As the engine extends the photo.
            labels = np.pad(labels, [(0, r) for r in rest], mode="reflect")
        own = _sorted(labels)
        colors = self._colors
        if colors is None:
            colors = own
        else:
            missing = np.setdiff1d(own, colors)
            if len(missing):
                raise ItemError(
                    f"the region of color #{missing[0]:06x} in {path} is missing in the style's "
                    f"regions, which have {', '.join(f'#{c:06x}' for c in colors)}"
                )
        return _planes(labels, colors, size, path, ItemError)

    def find(self, item: Item) -> Path:
        """The map of a photo. Raises ItemError if there is none."""
        if not self._photos.is_dir():
            return self._photos
        for name in (item.relative, item.relative.with_suffix("")):
            if name in self._files:
                return self._files[name]
        raise ItemError(
            f"it has no map of regions; looked for {self._photos / item.relative.with_suffix('')}.*"
        )


def _read(path: Path, max_pixels: int, error: type[UsageError | ItemError]) -> NDArray[np.uint32]:
    """The map's colors as numbers 0xRRGGBB, H W."""
    try:
        pixels = read_picture(path, max_pixels)
    except ItemError as reason:
        raise error(str(reason)) from reason
    red, green, blue = (pixels[..., i].astype(np.uint32) for i in range(3))
    labels: NDArray[np.uint32] = red * 65536 + green * 256 + blue
    colors, counts = np.unique(labels, return_counts=True)
    wide = colors[counts >= FLAT * labels.size]
    flat = np.array([c for c in wide[:1000] if _has_core(labels == c)], np.uint32)
    covered = np.isin(labels, flat)
    if len(flat) > MAX_REGIONS or covered.mean() < MIN_COVERED:
        raise error(
            f"{path} is no map of regions: paint each region in one flat color, {MAX_REGIONS} "
            f"regions at most (it has {len(colors)} colors, of which {len(flat)} fill areas)"
        )
    labels[~covered] = flat[_nearest(pixels[~covered], flat)]
    return labels


def _sorted(labels: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The colors there are, from dark to bright."""
    colors = np.unique(labels)
    light = 299 * (colors >> 16) + 587 * (colors >> 8 & 255) + 114 * (colors & 255)
    return colors[np.argsort(light, kind="stable")]


def _has_core(region: NDArray[np.bool_]) -> bool:
    """Whether a square of CORE pixels, less in a tiny map, fits into a region."""
    import cv2

    side = min(CORE, *region.shape)
    # Border pixels are not eroded from outside: a region may well lie there.
    eroded = cv2.erode(region.astype(np.uint8), np.ones((side, side), np.uint8))
    return bool(eroded.any())


def _nearest(pixels: NDArray[np.uint8], colors: NDArray[np.uint32]) -> NDArray[np.intp]:
    """The index of the color 0xRRGGBB that is nearest to each pixel, P 3 -> P."""
    known = np.stack([colors >> 16, colors >> 8 & 255, colors & 255], axis=1).astype(np.int64)
    distance = ((pixels[:, None].astype(np.int64) - known) ** 2).sum(axis=2)
    nearest: NDArray[np.intp] = distance.argmin(axis=1)
    return nearest


def _planes(
    labels: NDArray[np.uint32],
    colors: NDArray[np.uint32],
    size: Sequence[int],
    path: Path,
    error: type[UsageError | ItemError],
) -> NDArray[np.float32]:
    import cv2

    (h, w), (height, width) = labels.shape, size
    same = (h, w) == (height, width)
    if reason := mismatch((h, w), (height, width)):
        raise error(f"the map of regions {path} {reason}")
    how = cv2.INTER_AREA if w > width else cv2.INTER_LINEAR
    region_masks = np.empty((len(colors), height, width), np.float32)
    for plane, color in zip(region_masks, colors, strict=True):
        own = labels == color
        plane[:] = (
            own if same else cv2.resize(own.astype(np.float32), (width, height), None, 0, 0, how)
        )
    return region_masks
