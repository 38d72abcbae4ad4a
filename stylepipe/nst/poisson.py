"""Pictures made from gradients: the screened Poisson equation (Bhat et al. 2008)."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np


def screened_poisson(
    colors: np.ndarray, across: np.ndarray, down: np.ndarray, pull: float
) -> np.ndarray:
    """The picture O that minimizes ``pull * |O - colors|^2 + |gradient of O - (across, down)|^2``.

    All are HxWxC float32. ``across`` and ``down`` are the differences to the pixel on the right and
    below; the last column of one and the last row of the other are ignored. ``pull`` is positive:
    what is larger than ``6 / sqrt(pull)`` pixels follows the colors, smaller detail the gradients.
    Solved by the discrete cosine transform: exactly, but that a picture of odd sides gets one more
    row or column, which repeats the last.
    """
    height, width = colors.shape[:2]
    right, across, down = pull * _even(colors), _even(across), _even(down)
    across[:, width - 1 :] = 0
    down[height - 1 :] = 0
    right[:, :-1] -= across[:, :-1]
    right[:, 1:] += across[:, :-1]
    right[:-1] -= down[:-1]
    right[1:] += down[:-1]
    waves = [2 - 2 * np.cos(np.pi * np.arange(side) / side) for side in right.shape[:2]]
    scale = (pull + waves[0][:, None] + waves[1]).astype(np.float32)
    planes = np.ascontiguousarray(np.moveaxis(right, 2, 0))
    solved = [cv2.idct(cv2.dct(plane) / scale) for plane in planes]
    return np.dstack(solved)[:height, :width]


def _even(values: np.ndarray) -> np.ndarray:
    """A copy with even sides: the cosine transform of OpenCV takes no others."""
    height, width = values.shape[:2]
    padded = cv2.copyMakeBorder(values, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    return cast(np.ndarray, padded)
