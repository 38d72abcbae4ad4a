"""What maskers share that find their masks frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from stylepipe import Batch, Context, Frame, Item, Masker

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray


class PlaneMasker(Masker):
    """Returns what :meth:`planes` finds in each frame, and reports where that is nothing."""

    nothing: str = ""
    """What is reported, once an item, where nothing was found in a frame, with ``if_nothing`` after
    it; empty: nothing is."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._log: Callable[[str], None] = lambda line: None
        self._told: Item | None = None

    def open(self, context: Context) -> None:
        self._log, self._told = context.log, None

    def planes(self, item: Item, frame: Frame) -> NDArray[np.float32]:
        """K H W in [0, 1], as large as the frame. Raises ItemError."""
        raise NotImplementedError

    def mask(self, batch: Batch, frames: Sequence[Frame]) -> torch.Tensor:
        """N K H W in [0, 1], on the batch's device. Raises ItemError."""
        import numpy as np
        import torch

        found = [self.planes(batch.item, frame) for frame in frames]
        self._report_empty(batch.item, frames, [bool(planes.any()) for planes in found])
        # Of a single frame, as all large ones are, no copy is made.
        planes = np.stack(found) if len(found) > 1 else found[0][None]
        return torch.from_numpy(planes).to(batch.images.device)

    def _report_empty(self, item: Item, frames: Sequence[Frame], found: Sequence[bool]) -> None:
        """Report the first frame of an item in which nothing was found."""
        if not self.nothing or self._told == item or all(found):
            return
        self._told = item
        frame = frames[found.index(False)]
        where = f"frame {frame.number}: " if of_film(frame) else ""
        self._log(f"{item.relative}: {where}{self.nothing}, {self.if_nothing}")


def of_film(frame: Frame) -> bool:
    """Whether a frame is one of a film: those of photos have no time."""
    return frame.time_base is not None
