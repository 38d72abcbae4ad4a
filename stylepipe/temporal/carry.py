"""Strokes that move with things: details are carried on, never averaged.

The mean of a moved picture and a newly painted one is blurred, and the more so with each frame,
since their strokes do not lie on each other. So each band of frequencies of the moved picture is
kept whole; what moving it has cost is measured against the new painting, and filled up with the
new painting's own strokes.
"""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np

LEVELS = 2
"""Octaves of strokes coarser than the finest details: about 3 and 6 pixels wide."""
COLORS = 0.7
"""Share of the carried picture in what is coarser than strokes: colors follow the new painting
within a few frames, so that they cannot drift."""
_NEIGHBORHOOD = 31
"""Side in pixels, of each band's own size, over which the strength of strokes is compared: in
smaller ones it differs by chance, and what is added there by chance makes the whole too crisp."""
_FINEST = 1.0
"""Pixels: the blur that takes away the finest details. They are not scaled down, which would let
them appear where they are not."""
_NOTHING = 1e-12
"""Keeps a division by the strength of no strokes from failing."""


def carry(painted: np.ndarray, moved: np.ndarray, trust: np.ndarray, share: float) -> np.ndarray:
    """Continue the strokes of ``moved`` where they can be trusted; elsewhere ``painted`` is taken.

    ``painted``, the frame as painted for itself, and ``moved``, the previous result moved to it,
    are HxWx3 float32, RGB in [0, 1]; ``trust`` is HxW in [0, 1]. ``share`` of the carried strokes
    stays from frame to frame, 0 to 1. The result, HxWx3 float32, may exceed [0, 1] a little. Its
    strokes are as strong as those of ``painted``.
    """
    moved = painted + _times(trust, moved - painted)  # so that nothing untrusted reaches beyond it
    new_rest, old_rest = (cv2.GaussianBlur(p, (0, 0), _FINEST) for p in (painted, moved))
    rest = _coarser(new_rest, old_rest, share, LEVELS)
    result = _sharpened(painted, rest, painted - new_rest, share * (moved - old_rest))
    return cast(np.ndarray, painted + _times(trust, result - painted))


def _coarser(new: np.ndarray, old: np.ndarray, share: float, levels: int) -> np.ndarray:
    """What is coarser than the finest details, octave by octave (Burt, Adelson 1983)."""
    if levels == 0 or min(new.shape[:2]) < 2:
        return cast(np.ndarray, new + share * COLORS * (old - new))
    (new_band, new_rest), (old_band, old_rest) = _split(new), _split(old)
    rest = _enlarged(_coarser(new_rest, old_rest, share, levels - 1), new)
    old_band *= share
    strokes, carried = _gray(new_band), _gray(old_band)
    joined = _joined(new_band, old_band, strokes, strokes, carried, carried)
    return cast(np.ndarray, rest + joined)


def _sharpened(
    painted: np.ndarray, rest: np.ndarray, new_band: np.ndarray, old_band: np.ndarray
) -> np.ndarray:
    """Put the finest details on the rest: the whole is to be as sharp as ``painted``."""
    target, strokes, carried, there = (
        cv2.Laplacian(_gray(picture), cv2.CV_32F)
        for picture in (painted, new_band, old_band, rest + old_band)
    )
    joined = _joined(new_band, old_band, target, strokes, carried, there)
    return cast(np.ndarray, rest + joined)


def _joined(
    new_band: np.ndarray,
    old_band: np.ndarray,
    target: np.ndarray,
    strokes: np.ndarray,
    carried: np.ndarray,
    there: np.ndarray,
) -> np.ndarray:
    """The carried band with as much of the new one as is lacking, or less of itself: HxWx3.

    HxW: ``there`` is to be as strong as ``target``; ``strokes`` and ``carried`` are what the bands
    add to it. The carried band is never amplified: what is wrong in it would grow frame by frame.
    """
    lacking = _mean(target, target) - _mean(there, there)
    added = _amount(np.maximum(lacking, 0), strokes, there)
    kept = 1 + _amount(np.minimum(lacking, 0), carried, there)
    result = _times(np.maximum(kept, 0), old_band)
    result += _times(np.minimum(added, 1), new_band)
    return result


def _amount(energy: np.ndarray, strokes: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Of ``strokes``, how much must be added to what is there to add so much energy, HxW."""
    strength, common = _mean(strokes, strokes), _mean(strokes, there)
    root = np.sqrt(np.maximum(common * common + strength * energy, 0))
    return cast(np.ndarray, (root - common) / (strength + _NOTHING))


def _split(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The finest octave of a picture, and the rest at half its size."""
    rest = cv2.pyrDown(picture)
    return picture - _enlarged(rest, picture), rest


def _enlarged(picture: np.ndarray, like: np.ndarray) -> np.ndarray:
    return cast(np.ndarray, cv2.pyrUp(picture, dstsize=like.shape[1::-1]))


def _times(plane: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """Each channel times the plane; NumPy takes several times as long to broadcast it."""
    return cast(np.ndarray, cv2.multiply(picture, cv2.merge([plane] * 3)))


def _gray(picture: np.ndarray) -> np.ndarray:
    return cast(np.ndarray, cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))


def _mean(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The mean of a product around each pixel."""
    return cast(np.ndarray, cv2.blur(a * b, (_NEIGHBORHOOD, _NEIGHBORHOOD)))
