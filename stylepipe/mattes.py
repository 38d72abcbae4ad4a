"""What lies at the soft edge of a matte: the colors of one side, separated from the other's."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np

from stylepipe.fill import STEP, push_pull, reduced


class Kept:
    """The side of a picture that is kept, wherever a matte divides a pixel among both sides.

    Each side's colors are spread from where the matte says that they are pure (push-pull, as for
    transparent pixels), and then changed by the least that makes the two mix to what the picture
    shows, in linear light. That finds strands of hair too thin to be pure anywhere.
    """

    def __init__(self, source: np.ndarray, matte: np.ndarray, light: np.ndarray) -> None:
        """``source``: HxWx3 of an integer dtype, whose values have the linear intensities
        ``light``. ``matte``: HxW in [0, 1], how much of each pixel belongs to the other side.
        """
        self._source, self._matte, self._light = source, matte, light
        self._own, self._other = (self._spread(own) for own in (True, False))

    def cleaned(
        self, colors: np.ndarray, rows: slice, where: np.ndarray, mask: np.ndarray
    ) -> np.ndarray:
        """The linear ``colors``, Nx3, of the pixels ``where`` in the slab ``rows``, cleaned.

        ``mask``, Nx1 in (0, 1), is how much of each is painted over. Where that is less than the
        matte says, more of the picture is to be seen, and it is seen as it is.
        """
        other = self._matte[rows][where][:, None].astype(np.float32)
        share = 1 - other
        own, rest = (self._near(small, rows)[where] for small in (self._own, self._other))
        own += (colors - own) * _purity(share)
        rest += (colors - rest) * _purity(other)
        missing = colors - share * own - other * rest
        clean = np.clip(own + share / (share**2 + other**2) * missing, 0, 1)
        trust = np.minimum(1, share / (1 - mask)) * np.minimum(1, mask / np.maximum(other, 1e-6))
        return cast(np.ndarray, colors + (clean - colors) * trust)

    def _spread(self, own: bool) -> np.ndarray:
        """The colors of a side everywhere, at a quarter of the size."""

        def known(rows: slice) -> tuple[np.ndarray, np.ndarray]:
            other = self._matte[rows, :, None].astype(np.float32)
            weight = _purity(1 - other if own else other)
            return self._light[self._source[rows]] * weight, weight

        colors, weight = reduced(self._matte.shape, known)
        gain = np.minimum(float(STEP**2), 1 / np.maximum(weight, 1e-6)).astype(np.float32)
        return push_pull(colors * gain, weight * gain)

    def _near(self, small: np.ndarray, rows: slice) -> np.ndarray:
        """A slab of a picture that is there at a quarter of the size."""
        to_small = np.array([[1, 0, 0.5], [0, 1, 0.5 + rows.start]]) / STEP - [[0, 0, 0.5]] * 2
        size = self._matte.shape[1], rows.stop - rows.start
        how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(small, to_small, size, flags=how, borderMode=cv2.BORDER_REPLICATE)


def _purity(share: np.ndarray) -> np.ndarray:
    """How far a side's color is to be taken from pixels of which it has such a share.

    Of the powers tried, 2 to 32, the 16th did best in ``tests/benchmarks/foreground.py``.
    """
    for _ in range(4):
        share = share * share
    return share
