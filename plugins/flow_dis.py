"""Optical flow by dense inverse search, fast enough for video on a CPU."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

import stylepipe
from stylepipe import Flow, Frame, Options, hookimpl, option

if TYPE_CHECKING:
    import torch

    from stylepipe.temporal.dis import Search

Quality = Literal["ultrafast", "fast", "medium"]  # in the order of OpenCV's constants


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

        return torch.from_numpy(self._search()(a, b)).permute(2, 0, 1)[None]

    def _search(self) -> Search:
        from stylepipe.temporal.dis import Search

        if not hasattr(self._local, "search"):
            self._local.search = Search(get_args(Quality).index(self.options.quality))
        search: Search = self._local.search
        return search


@hookimpl
def stylepipe_components() -> list[type[stylepipe.Component]]:
    return [DisFlow]
