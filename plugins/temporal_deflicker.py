"""Flicker removed from what any stylizer, or any other tool, has painted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import stylepipe
from stylepipe import Flow, Frame, Options, Painted, Temporal, hookimpl, option

if TYPE_CHECKING:
    import numpy as np

    from stylepipe.temporal.deflicker import Motions


class DeflickerOptions(Options):
    frames: int = option(
        6, "Frames before and after each frame that it is compared with.", min=1, max=16
    )
    max_side: int = option(
        640, "Larger frames are scaled down to this side, in pixels, to find the motion.", min=64
    )


class Deflicker(Temporal):
    """Evens out each result with those around it, moved along the optical flow.

    Brightness, colors and strokes hold still, and stay as sharp as they are.
    """

    name = "deflicker"
    mode: ClassVar[Literal["filter"]] = "filter"
    Options: ClassVar[type[Options]] = DeflickerOptions
    _motions: Motions

    def __init__(self, options: DeflickerOptions, flow: Flow | None = None) -> None:
        super().__init__(options, flow)
        self.lookahead = options.frames

    def open(self, context: stylepipe.Context) -> None:
        from stylepipe.temporal.deflicker import Motions

        self._motions = Motions(self.options.max_side)

    def filter(self, window: Sequence[Painted], at: int, previous: Frame | None) -> np.ndarray:
        from stylepipe.temporal.deflicker import steadied

        sources = [painted.frame for painted in window]
        around = self._motions.around(sources, at, self.flow_between)
        return steadied([painted.pixels for painted in window], around, at)

    def close(self) -> None:
        self.__dict__.pop("_motions", None)


@hookimpl
def stylepipe_components() -> list[type[stylepipe.Component]]:
    return [Deflicker]
