"""Temporal consistency over whole shots, for stylizers that continue from the frame before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import stylepipe
from stylepipe import (
    Context,
    Frame,
    Guide,
    Options,
    Stylizer,
    Temporal,
    UsageError,
    hookimpl,
    option,
)

if TYPE_CHECKING:
    import numpy as np

    from stylepipe.temporal.guide import Motion

    PaintFrame = Callable[[Frame, Guide | None], np.ndarray]


class RuderOptions(Options):
    passes: int = option(
        1,
        "Passes over each shot, forward and backward in turn: more are steadier, but softer.",
        min=1,
        max=100,
    )
    reach: int = option(
        4, "Each frame is compared with those 1, 2, 4 ... frames before it, up to this.", min=1
    )
    max_side: int = option(
        640, "Larger frames are scaled down to this side, in pixels, to find the motion.", min=64
    )


class Ruder(Temporal):
    """Paints whole shots, and compares each frame with several before it; for ``gatys``.

    Ruder, Dosovitskiy, Brox, "Artistic Style Transfer for Videos" (2016), and "... for Videos and
    Spherical Images" (2018).
    """

    name, mode = "ruder", "shot"
    Options: ClassVar[type[Options]] = RuderOptions

    def __init__(self, options: Any, flow: Any = None) -> None:
        super().__init__(options, flow)
        self._lags = [2**k for k in range(options.reach.bit_length())]

    def check(self, stylizer: Stylizer) -> None:
        if stylizer.caps.temporal != "native":
            raise UsageError(
                "--temporal ruder is for stylizers that continue from the frame before, such as "
                f"gatys, and {stylizer.name} does not; pass --temporal warp"
            )

    def open(self, context: Context) -> None:
        self._device, self._stage = context.device.torch, context.stage

    def shot_bytes(self, frame: Frame) -> int:
        if not self._keeps_motions:
            return 0
        height, width = frame.pixels.shape[:2]
        scale = min(1.0, self.options.max_side / max(height, width))
        flow_and_trust = 3 * 2 * round(scale * height) * round(scale * width)
        return int(2 * len(self._lags) * flow_and_trust)  # forward and backward

    @property
    def _keeps_motions(self) -> bool:
        """The third pass needs those of the first again, the fourth those of the second."""
        return bool(self.options.passes > 2)

    def paint_shot(self, frames: Sequence[Frame], paint: PaintFrame) -> Iterable[np.ndarray]:
        results: dict[int, np.ndarray] = {}
        motions: dict[tuple[int, int], Motion] = {}
        for number in range(1, self.options.passes + 1):
            order = range(len(frames))[:: 1 if number % 2 else -1]
            for place, at in enumerate(order):
                before = [order[place - lag] for lag in self._lags if lag <= place]
                if at in results and not before:
                    continue  # nothing leads to the first frame of a later pass
                where = f"frame {place + 1} of {len(frames)}"
                self._stage(f"pass {number} of {self.options.passes}, {where}")
                results[at] = paint(frames[at], self._guide(frames, results, at, before, motions))
        self._stage("")
        return [results[at] for at in range(len(frames))]

    def _guide(
        self,
        frames: Sequence[Frame],
        results: Mapping[int, np.ndarray],
        at: int,
        before: Sequence[int],
        motions: dict[tuple[int, int], Motion],
    ) -> Guide | None:
        """From the results of the frames ``before``, the nearest first, and from the frame's own of
        an earlier pass."""
        from stylepipe.temporal.guide import follow
        from stylepipe.temporal.joint import joined, long_term, still

        def result(of: int) -> Frame:
            return Frame(_as_large(results[of], frames[of].pixels))

        guides = long_term(
            [
                follow(self._motion(frames, at, other, motions), result(other), self._device)
                for other in before
            ]
        )
        if at not in results:
            return joined(guides) if guides else None
        # The paper's blend by one half (2018, alg. 1) where the others are trusted all the way.
        return joined([*guides, still(result(at), self._device)], most=2)

    def _motion(
        self,
        frames: Sequence[Frame],
        at: int,
        other: int,
        known: dict[tuple[int, int], Motion],
    ) -> Motion:
        """How one frame follows from another; in 16 bits, since many are kept."""
        from stylepipe.temporal.guide import find_motion

        motion = known.get((at, other))
        if motion is None:
            side = self.options.max_side
            motion = _cast(
                find_motion(frames[at], frames[other], self.flow_between, side), "float16"
            )
            if self._keeps_motions:
                known[at, other] = motion
        return _cast(motion, "float32")


def _cast(motion: Motion, kind: str) -> Motion:
    return replace(motion, flow=motion.flow.astype(kind), trust=motion.trust.astype(kind))


def _as_large(result: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """A result scaled down to its frame: a guide has the size of what is painted."""
    if result.shape == pixels.shape:
        return result
    import cv2

    return cv2.resize(result, pixels.shape[1::-1], interpolation=cv2.INTER_AREA)


@hookimpl
def stylepipe_components() -> list[type[stylepipe.Component]]:
    return [Ruder]
