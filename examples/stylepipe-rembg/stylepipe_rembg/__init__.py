"""Masks of the foreground by rembg, which knows many networks for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from stylepipe import (
    Batch,
    Context,
    Frame,
    Item,
    ItemError,
    Masker,
    Options,
    SetupError,
    hookimpl,
    option,
)

if TYPE_CHECKING:
    import numpy as np
    import torch


class RembgOptions(Options):
    model: str = option(
        "u2net", "Network of rembg: u2net, u2netp, isnet-general-use ...", metavar="NAME"
    )


class Rembg(Masker):
    """The foreground, as rembg finds it."""

    name = "rembg"
    argument = "model"  # --mask rembg:u2netp
    matte = True  # its soft edges are hair, not a wish to blend
    Options = RembgOptions

    def __init__(self, options: RembgOptions) -> None:
        super().__init__(options)
        self._remove: Callable[..., Any] | None = None
        self._told: Item | None = None

    def open(self, context: Context) -> None:
        """Load the network. Raises SetupError, with one sentence that says what to do."""
        try:
            import rembg  # not at the top: every stylepipe --help would wait for it
        except ImportError as error:
            raise SetupError(
                f"rembg is not installed: pip install 'rembg[cpu]' ({error})"
            ) from error
        try:
            session = rembg.new_session(self.options.model)
        except Exception as error:  # no such network, no connection, a full disk
            raise SetupError(
                f"rembg cannot load the network {self.options.model!r}: {error}"
            ) from error
        self._remove = lambda picture: rembg.remove(picture, session=session, only_mask=True)
        self._log, self._told = context.log, None

    def close(self) -> None:
        self._remove = None

    def mask(self, batch: Batch, frames: Sequence[Frame]) -> torch.Tensor:
        """Return N1HW in [0, 1], on the batch's device."""
        import numpy as np
        import torch

        planes = np.stack([self._plane(frame) for frame in frames])
        if not planes.any() and batch.item != self._told:
            self._told = batch.item
            self._log(f"{batch.item.relative}: rembg found no foreground, {self.if_nothing}")
        return torch.from_numpy(planes)[:, None].to(batch.images.device)

    def _plane(self, frame: Frame) -> np.ndarray:
        """H W in [0, 1]. Raises ItemError, which costs this picture only."""
        import numpy as np

        assert self._remove is not None
        pixels = frame.pixels if frame.white == 255 else (frame.pixels // 257).astype(np.uint8)
        try:
            found = np.asarray(self._remove(pixels))
        except Exception as error:
            raise ItemError(f"rembg cannot find a mask: {error}") from error
        return found.astype(np.float32) / np.float32(255)


@hookimpl
def stylepipe_components() -> list[type[Masker]]:
    return [Rembg]
