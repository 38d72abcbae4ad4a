"""Strokes that move with things: details are carried on, never averaged.

The mean of a moved picture and a newly painted one is blurred, and the more so with each frame,
since their strokes do not lie on each other. So each band of frequencies of the moved picture is
kept whole; what moving it has cost is measured against the new painting, and filled up with the
new painting's own strokes. Moving costs the finest frequencies most: the bands have to be narrow,
or else what is lost at their fine end is made up for at their coarse end, and from frame to frame
the strokes turn into a grain that no painting has.
"""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np

COLORS = 0.7
"""Share of the carried picture in what is coarser than strokes: colors follow the new painting
within a few frames, so that they cannot drift."""
_CELL = 4
"""Side, in pixels, of the squares of which strength is measured as a whole, to save time."""
_NEIGHBORHOOD = 7
"""Squares, on a side, over which the strength of strokes is compared: in smaller neighborhoods it
differs by chance, and what is added there by chance makes the whole too crisp."""
_NOTHING = 1e-12
"""Keeps a division by the strength of no strokes from failing."""


def carry(painted: np.ndarray, moved: np.ndarray, trust: np.ndarray, share: float) -> np.ndarray:
    """Continue the strokes of ``moved`` where they can be trusted; elsewhere ``painted`` is taken.

    ``painted``, the frame as painted for itself, and ``moved``, the previous result moved to it,
    are HxWx3 float32, RGB in [0, 1]; ``trust`` is HxW in [0, 1]. ``share`` of the carried strokes
    stays from frame to frame, 0 to 1. The result, HxWx3 float32, may exceed [0, 1] a little. Its
    strokes are as strong as those of ``painted``.
    """
    weights = cv2.merge([trust] * 3)
    moved = cv2.subtract(moved, painted)
    cv2.multiply(moved, weights, moved)
    cv2.add(moved, painted, moved)  # so that nothing untrusted reaches beyond it
    new_rest, old_rest = cv2.pyrDown(painted), cv2.pyrDown(moved)
    coarse = _coarser(new_rest, old_rest, share)
    change = _finer(painted, moved, share, new_rest, old_rest, new_rest + coarse)
    cv2.add(change, _enlarged(coarse, painted), change)
    cv2.multiply(change, weights, change)
    return cast(np.ndarray, cv2.add(change, painted, change))


def _coarser(new: np.ndarray, old: np.ndarray, share: float) -> np.ndarray:
    """What carrying changes in an octave of strokes, and in all that is coarser."""
    new_rest, old_rest = cv2.pyrDown(new), cv2.pyrDown(old)
    change = _enlarged(share * COLORS * (old_rest - new_rest), new)
    new_band, old_band = new - _enlarged(new_rest, new), share * (old - _enlarged(old_rest, new))
    more, kept = _amounts(new_band, new_band, old_band, old_band)
    change += kept * old_band + (more - 1) * new_band
    return change


def _finer(
    new: np.ndarray,
    old: np.ndarray,
    share: float,
    new_rest: np.ndarray,
    old_rest: np.ndarray,
    rest: np.ndarray,
) -> np.ndarray:
    """What carrying changes in the finest octave: with it the whole is to be as sharp as ``new``.

    The rests, at half the size, are what is coarser in both pictures, and in the result. Brightness
    is carried in narrow bands, color, which is fainter, in one.
    """
    new_gray, old_gray = _gray(new), share * _gray(old)
    new_coarse, old_coarse, coarse = (
        _enlarged(_gray(picture), new_gray) for picture in (new_rest, share * old_rest, rest)
    )
    bands = list(zip(_bands(new_gray - new_coarse), _bands(old_gray - old_coarse), strict=True))
    amounts = [_amounts(n, n, o, o) for n, o in bands[:-1]]
    more, kept = amounts[0]
    gray = coarse.copy()
    for band, amount in zip(bands, amounts, strict=False):
        gray += _mixed(*band, *amount)
    n, o = bands[-1]
    finest = _mixed(n, o, *_amounts(*(_edges(plane) for plane in (new_gray, n, o, gray + o))))
    # amounts that suit each neighborhood add up to a little too much, the more so in each frame
    wanted, strength = (cv2.norm(_edges(plane)) for plane in (new_gray, gray + finest))
    gray += min(1.0, wanted / max(strength, _NOTHING)) * finest
    # in place: a picture of new memory takes longer than the arithmetic
    change, strokes = _enlarged(old_rest, old), _enlarged(new_rest, new)
    weights = cv2.merge([share * kept] * 3)
    cv2.multiply(cv2.subtract(old, change, change), weights, change)
    cv2.merge([more - 1] * 3, weights)
    cv2.multiply(cv2.subtract(new, strokes, strokes), weights, strokes)
    cv2.add(change, strokes, change)
    gray -= _gray(change) + coarse + new_gray - new_coarse
    return cast(np.ndarray, cv2.add(change, cv2.merge([gray] * 3), change))


def _bands(plane: np.ndarray) -> list[np.ndarray]:
    """An octave HxW in three bands, the coarsest first, that sum up to it."""
    smooth = cv2.GaussianBlur(plane, (3, 3), 0)
    fine = plane - smooth
    middle = cv2.GaussianBlur(fine, (3, 3), 0)
    return [smooth, middle, fine - middle]


def _mixed(new: np.ndarray, old: np.ndarray, more: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """So much of the new strokes and so much of the old ones."""
    return cast(np.ndarray, cv2.add(cv2.multiply(new, more), cv2.multiply(old, kept)))


def _edges(plane: np.ndarray) -> np.ndarray:
    """By whose strength sharpness is measured."""
    return cast(np.ndarray, cv2.Laplacian(plane, cv2.CV_32F))


def _amounts(
    target: np.ndarray, new: np.ndarray, old: np.ndarray, there: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How much of the new strokes to add to what is there, and of the old ones to keep in it, so
    that it is as strong as ``target``. All are HxW, or HxWxC and compared by channel; both amounts
    are 0 to 1: what is amplified would grow frame by frame with all that is wrong in it.
    """
    known: dict[frozenset[int], np.ndarray] = {}

    def mean(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        pair = frozenset((id(a), id(b)))  # one plane often stands for two, and products take time
        return known[pair] if pair in known else known.setdefault(pair, _mean(a, b))

    lacking = mean(target, target) - mean(there, there)
    more = _amount(np.maximum(lacking, 0), mean(new, new), mean(new, there))
    kept = 1 + _amount(np.minimum(lacking, 0), mean(old, old), mean(old, there))
    size = target.shape[1::-1]
    return cv2.resize(np.minimum(more, 1), size), cv2.resize(np.maximum(kept, 0), size)


def _amount(energy: np.ndarray, strength: np.ndarray, common: np.ndarray) -> np.ndarray:
    """How much of strokes must be added to what is there to add so much energy: ``strength`` is
    their own, ``common`` what they have in common with what is there.
    """
    root = np.sqrt(np.maximum(common * common + strength * energy, 0))
    return cast(np.ndarray, (root - common) / (strength + _NOTHING))


def _enlarged(picture: np.ndarray, like: np.ndarray) -> np.ndarray:
    return cast(np.ndarray, cv2.pyrUp(picture, dstsize=like.shape[1::-1]))


def _gray(picture: np.ndarray) -> np.ndarray:
    return cast(np.ndarray, cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))


def _mean(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The mean of a product around each square."""
    size = -(-a.shape[1] // _CELL), -(-a.shape[0] // _CELL)
    cells = cv2.resize(cv2.multiply(a, b), size, interpolation=cv2.INTER_AREA)
    return cast(np.ndarray, cv2.blur(cells, (_NEIGHBORHOOD, _NEIGHBORHOOD)))
