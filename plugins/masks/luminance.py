"""What is as bright as a range says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar, cast

from stylepipe import Frame, Item, Options, UsageError, option

from .planes import PlaneMasker

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_RANGE = re.compile(r"(\d*\.?\d{1,9})-(\d*\.?\d{1,9})")
_ROWS = 256
"""Rows worked on at once, so that floats are never held for a whole large picture."""


def _bounds(text: str) -> tuple[float, float]:
    """The ends of a range of lightness. Raises UsageError."""
    match = _RANGE.fullmatch(text.replace(" ", ""))
    low, high = (float(match[1]), float(match[2])) if match else (1.0, 0.0)
    if not low < high <= 1:
        raise UsageError(
            f"a range of lightness is FROM-TO between 0, black, and 1, white, such as 0.6-1, "
            f"not {text!r}"
        )
    return low, high


class LuminanceOptions(Options):
    lightness: str = option(
        "0.5-1", "Range of lightness (CIE L*) from 0, black, to 1, white.", metavar="FROM-TO"
    )
    softness: float = option(
        0.1, "Lightness over which each end of the range fades in.", min=0, max=1
    )

    def check(self) -> None:
        """Raises UsageError if this is not a range."""
        _bounds(self.lightness)


class LuminanceMasker(PlaneMasker):
    """The parts of the picture that are as bright as a range says, such as luminance:0.6-1."""

    name = "luminance"
    argument: ClassVar[str] = "lightness"
    nothing = "nothing in it has that lightness"
    Options: ClassVar[type[Options]] = LuminanceOptions

    def planes(self, item: Item, frame: Frame) -> NDArray[np.float32]:
        import cv2
        import numpy as np

        planes = np.empty((1, *frame.pixels.shape[:2]), np.float32)
        for top in range(0, len(frame.pixels), _ROWS):
            rows = slice(top, top + _ROWS)
            rgb = frame.pixels[rows].astype(np.float32) / np.float32(frame.white)
            lab = cast("NDArray[np.float32]", cv2.cvtColor(rgb, cv2.COLOR_RGB2Lab))
            planes[0, rows] = self._within(lab[..., 0] / np.float32(100))
        return planes

    def _within(self, lightness: NDArray[np.float32]) -> NDArray[np.float32]:
        """How much each value lies in the range. Ranges that meet sum to 1."""
        import numpy as np

        def above(bound: float) -> NDArray[np.float32]:
            if not self.options.softness:
                return (lightness >= bound).astype(np.float32)
            ramp = (lightness - bound) / np.float32(self.options.softness) + np.float32(0.5)
            clipped: NDArray[np.float32] = ramp.clip(0, 1)
            return clipped

        low, high = _bounds(self.options.lightness)
        found: NDArray[np.float32] = np.ones(lightness.shape, np.float32)
        if low > 0:
            found = above(low)
        if high < 1:
            found = found - above(high)
        return found
