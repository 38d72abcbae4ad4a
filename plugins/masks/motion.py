"""What moves in a film against its background."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

from stylepipe import Context, Frame, Info, Item, ItemError, Options, option

from ..flow_dis import DisFlow, DisOptions
from .planes import PlaneMasker
from .refine import refined

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SIDE = 480
"""Longer side of the reduced frames in which motion is looked for."""
_GRID = 4
"""The background's motion is fitted to every so many pixels."""
_ROUNDS = 20
"""Rounds of the fit, in which what moves differently loses its weight."""


class MotionOptions(Options):
    speed: float = option(
        0.4,
        "Slowest motion against the background, in percent of the longer side a frame.",
        min=0.01,
        max=100,
    )


class MotionMasker(PlaneMasker):
    """What moves in a film against its background, whatever the camera does; not for photos.

    The first frame of each scene has none before it: nothing is known to move there.
    """

    name = "motion"
    warmup: ClassVar[int] = 1
    Options: ClassVar[type[Options]] = MotionOptions

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._flow = DisFlow(DisOptions.build({}))
        self._item: Item | None = None
        self._last: Frame | None = None
        self._planes: NDArray[np.float32] | None = None

    def check_item(self, item: Item, info: Info) -> None:
        """Raises ItemError for a photo."""
        if info.kind != "video":
            raise ItemError(
                "the mask 'motion' is what moves in a film, and this is a photo; choose another "
                "--mask, or paint the photos apart"
            )

    def open(self, context: Context) -> None:
        super().open(context)
        self._item = self._last = self._planes = None

    def close(self) -> None:
        self._item = self._last = self._planes = None

    def reset(self, item: Item) -> None:
        """Another item or scene begins."""
        self._item, self._last, self._planes = item, None, None

    def planes(self, item: Item, frame: Frame) -> NDArray[np.float32]:
        """Raises ItemError for frames out of order."""
        import numpy as np

        if item != self._item:
            self.reset(item)
        before = self._last
        if before is not None and self._planes is not None and frame.index == before.index:
            if self._planes.shape[1:] == frame.pixels.shape[:2]:
                return self._planes  # asked for again
        elif before is not None and frame.index != before.index + 1:
            raise ItemError(
                "the mask 'motion' must see the frames one after the other, and this --temporal "
                "paints them in another order; choose another, or --temporal none"
            )
        small = self._small(frame)
        self._planes = np.zeros((1, *frame.pixels.shape[:2]), np.float32)
        if before is not None and before.pixels.shape == small.shape:
            found = self._moving(Frame(small), before)
            self._planes[0] = refined(found, frame)
        self._item, self._last = item, Frame(small, index=frame.index)
        return self._planes

    @staticmethod
    def _small(frame: Frame) -> NDArray[np.uint8]:
        from stylepipe.temporal.warp import shrink

        return shrink(frame.pixels, _SIDE)

    def _moving(self, frame: Frame, before: Frame) -> NDArray[np.float32]:
        """How much each pixel moves differently from the background, H W in [0, 1]."""
        import numpy as np

        flow = self._flow.flow(frame, before)[0].permute(1, 2, 0).numpy()
        speed = np.linalg.norm(flow - _background(flow), axis=2)
        slowest = self.options.speed / 100 * max(speed.shape)
        return cast("NDArray[np.float32]", (speed / slowest - 0.5).clip(0, 1).astype(np.float32))


def _background(flow: NDArray[np.float32]) -> NDArray[np.float32]:
    """The motion H W 2 of most of the picture, as pans, turns and zooms of a camera make it.

    An affine motion, fitted again and again while what moves differently loses its weight.
    """
    import numpy as np

    height, width = flow.shape[:2]
    y, x = np.mgrid[0:height, 0:width]
    places = np.stack([np.ones_like(x), x / width, y / height], axis=2).astype(np.float64)
    known = places[::_GRID, ::_GRID].reshape(-1, 3)
    moved = flow[::_GRID, ::_GRID].reshape(-1, 2).astype(np.float64)
    motion = np.zeros((3, 2))
    motion[0] = np.median(moved, axis=0)
    for _ in range(_ROUNDS):
        off = np.linalg.norm(moved - known @ motion, axis=1)
        # Cauchy's weights; the median is the scale, with a floor for perfect stills.
        weight = 1 / (1 + (off / max(2 * float(np.median(off)), 0.05)) ** 2)
        weighted = known * weight[:, None]
        motion = np.linalg.lstsq(weighted.T @ known, weighted.T @ moved, rcond=None)[0]
    return cast("NDArray[np.float32]", (places @ motion).astype(np.float32))
