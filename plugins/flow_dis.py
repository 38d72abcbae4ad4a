"""Optical flow by dense inverse search, fast enough for video on a CPU."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

import stylepipe
from stylepipe import Flow, Frame, Options, hookimpl, option

if TYPE_CHECKING:
    import cv2
    import numpy as np
    import torch

Quality = Literal["ultrafast", "fast", "medium"]  # in the order of OpenCV's constants
_LEAST_SIDE = 32
"""OpenCV's dense inverse search needs room for its coarsest patches."""
_STEPS = 4
"""Gradient steps for a patch, where OpenCV takes 12 to 25: the end-point error against ground truth
grew by 2 % (FlyingChairs, Middlebury), and less of the flow was given up as inconsistent."""


class DisOptions(Options):
    quality: Quality = option("medium", "Care taken over the optical flow.")


class DisFlow(Flow):
    """Dense inverse search of OpenCV (Kroeger et al. 2016): quick, on the CPU, no weights."""

    name = "dis"
    Options: ClassVar[type[Options]] = DisOptions

    def __init__(self, options: DisOptions) -> None:
        super().__init__(options)
        self._local = threading.local()  # a search object keeps buffers: one a thread

    def flow(self, a: Frame, b: Frame) -> torch.Tensor:
        import torch

        h, w = a.pixels.shape[:2]
        found = self._search().calc(_gray(a), _gray(b), None)  # type: ignore[call-overload]
        return torch.from_numpy(found[:h, :w].copy()).permute(2, 0, 1)[None]

    def _search(self) -> cv2.DISOpticalFlow:
        import cv2

        if not hasattr(self._local, "search"):
            preset = get_args(Quality).index(self.options.quality)
            self._local.search = cv2.DISOpticalFlow.create(preset)
            self._local.search.setGradientDescentIterations(_STEPS)
        search: cv2.DISOpticalFlow = self._local.search
        return search


def _gray(frame: Frame) -> np.ndarray:
    """The luminance in uint8; a picture too small for the search is extended by its border."""
    import cv2

    gray = cv2.cvtColor(frame.pixels, cv2.COLOR_RGB2GRAY)
    if frame.white != 255:
        gray = cv2.convertScaleAbs(gray, alpha=255 / frame.white)
    h, w = gray.shape
    bottom, right = max(0, _LEAST_SIDE - h), max(0, _LEAST_SIDE - w)
    return cv2.copyMakeBorder(gray, 0, bottom, 0, right, cv2.BORDER_REPLICATE)


@hookimpl
def stylepipe_components() -> list[type[stylepipe.Component]]:
    return [DisFlow]
