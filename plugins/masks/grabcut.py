"""The subject in a box, by GrabCut."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from stylepipe import Frame, Info, Item, ItemError, Options, option

from .box import HELP, Box
from .planes import PlaneMasker
from .refine import reduced, refined

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_PIXELS = 1 << 18
"""Pixels of the reduced picture that is cut: a quarter of a megapixel."""
_LEAST = 25
"""Pixels inside and outside of the box that the color models of GrabCut are made of, at least."""


class GrabCutOptions(Options):
    box: str = option(
        "5%,5%,90%,90%", f"{HELP} All of the subject lies in it, and only background outside.",
        metavar="X,Y,W,H",
    )  # fmt: skip
    iterations: int = option(5, "Rounds of cutting and learning the colors.", min=1, max=50)

    def check(self) -> None:
        """Raises UsageError if this is not a box."""
        Box.parse(self.box)


class GrabCutMasker(PlaneMasker):
    """What stands out by its colors from all that lies outside of a box (Rother et al. 2004)."""

    name = "grabcut"
    argument: ClassVar[str] = "box"
    nothing = "grabcut found no subject in the box"
    Options: ClassVar[type[Options]] = GrabCutOptions

    def check_item(self, item: Item, info: Info) -> None:
        """Raises ItemError where the box does not fit the picture, or leaves no background."""
        self._box(info.height, info.width)

    def _box(self, height: int, width: int) -> tuple[slice, slice]:
        rows, columns = Box.parse(self.options.box).rows_and_columns(height, width)
        inside = (rows.stop - rows.start) * (columns.stop - columns.start)
        if min(inside, height * width - inside) < _LEAST:
            raise ItemError(
                f"grabcut learns the background outside of the box and the subject inside, and in "
                f"a picture of {width}x{height} the box {self.options.box} leaves too few pixels; "
                "choose another box"
            )
        return rows, columns

    def planes(self, item: Item, frame: Frame) -> NDArray[np.float32]:
        import cv2
        import numpy as np

        height, width = frame.pixels.shape[:2]
        box = np.zeros((height, width), np.uint8)
        box[self._box(height, width)] = 1
        small = reduced(frame, _PIXELS)
        size = small.shape[1::-1]
        within = cv2.resize(box, size, interpolation=cv2.INTER_NEAREST)
        cut = np.where(within, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
        models = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.setRNGSeed(0)  # its clusters begin at random
        cv2.grabCut(small, cut, None, *models, self.options.iterations, cv2.GC_INIT_WITH_MASK)  # type: ignore[call-overload]
        found = (cut == cv2.GC_PR_FGD).astype(np.float32)
        return (refined(found, frame) * box)[None]
