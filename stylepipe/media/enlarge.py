"""A source frame as large as its result, for a stylizer whose result is larger (``Caps.scale``).

Imports OpenCV, so it is imported late.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from stylepipe.media import exif, xmp
from stylepipe.types import Frame, Meta


def enlarged(frame: Frame, scale: int) -> Frame:
    """The frame ``scale`` times as wide and high, by Lanczos; its metadata have the new size."""
    if scale == 1:
        return frame
    alpha = None if frame.alpha is None else _plane(frame.alpha, scale)
    pixels = _plane(frame.pixels, scale)
    return replace(frame, pixels=pixels, alpha=alpha, meta=_meta(frame.meta, pixels, scale))


def _plane(pixels: np.ndarray, scale: int) -> np.ndarray:
    return cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_LANCZOS4)


def _meta(meta: Meta, pixels: np.ndarray, scale: int) -> Meta:
    height, width = pixels.shape[:2]
    original = meta.original
    return replace(
        meta,
        exif=meta.exif and exif.upright(meta.exif, width, height, srgb=False),
        xmp=meta.xmp and xmp.upright(meta.xmp, width, height),
        dpi=meta.dpi and (meta.dpi[0] * scale, meta.dpi[1] * scale),  # it prints as large
        original=original and replace(original, pixels=_plane(original.pixels, scale)),
    )
