"""Temporal consistency by warping: the strokes of the previous result move along with things."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import stylepipe
from stylepipe import Frame, Guide, Options, Temporal, hookimpl, option

if TYPE_CHECKING:
    import numpy as np
    import torch

    from stylepipe.temporal.guide import Motion


class WarpOptions(Options):
    blend: float = option(
        0.95, "Share of the strokes that stay where the flow is trusted; 0 paints each frame anew.",
        min=0, max=1,
    )  # fmt: skip
    max_side: int = option(
        640, "Larger frames are scaled down to this side, in pixels, to find the motion.", min=64
    )


class Warp(Temporal):
    """Moves the strokes of the previous result along the optical flow, as crisp as they are.

    Optical flow and its consistency as in Ruder, Dosovitskiy, Brox 2016, for networks that paint a
    frame in one pass. Details are carried on, and colors follow the frame as painted for itself.
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
        if self.options.blend == 0:
            return painted
        import torch

        from stylepipe.temporal.carry import carry

        # on the CPU, where it was moved: pyramids of OpenCV take a tenth of the time of torch
        new, moved = (_pixels(tensor) for tensor in (painted, guide.warped))
        trust = guide.trust[0, 0].cpu().numpy()
        result = carry(new, moved, trust, self.options.blend)
        return torch.from_numpy(result).permute(2, 0, 1)[None].to(painted.device)


def _pixels(picture: torch.Tensor) -> np.ndarray:
    """HxWx3 of a tensor of one picture."""
    pixels: np.ndarray = picture[0].permute(1, 2, 0).contiguous().cpu().numpy()
    return pixels


@hookimpl
def stylepipe_components() -> list[type[stylepipe.Component]]:
    return [Warp]
