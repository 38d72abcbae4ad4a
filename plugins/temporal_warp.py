"""Temporal consistency by warping: the previous result moves along and is blended in."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import stylepipe
from stylepipe import Frame, Guide, Options, Temporal, hookimpl, option

if TYPE_CHECKING:
    import torch

    from stylepipe.temporal.guide import Motion


class WarpOptions(Options):
    blend: float = option(
        0.7, "Share of the previous result that is kept where the flow is trusted.", min=0, max=1
    )
    max_side: int = option(
        640, "Larger frames are scaled down to this side, in pixels, to find the motion.", min=64
    )


class Warp(Temporal):
    """Blends the previous result, moved along the optical flow, into each frame.

    Optical flow and its consistency as in Ruder, Dosovitskiy, Brox 2016, for networks that paint a
    frame in one pass.
    """

    name = "warp"
    Options: ClassVar[type[Options]] = WarpOptions

    def motion(self, frame: Frame, previous: Frame) -> Motion:
        from stylepipe.temporal.guide import find_motion

        return find_motion(frame, previous, self.flow_between, self.options.max_side)

    def guide(self, motion: Motion, result: Frame, device: torch.device) -> Guide:
        from stylepipe.temporal.guide import follow

        return follow(motion, result, device)

    def blend(self, painted: torch.Tensor, guide: Guide) -> torch.Tensor:
        change = guide.warped - painted
        return painted.addcmul(change, guide.trust, value=self.options.blend)


@hookimpl
def stylepipe_components() -> list[type[stylepipe.Component]]:
    return [Warp]
