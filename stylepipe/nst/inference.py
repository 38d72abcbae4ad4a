"""Runs a style network for one fixed blend of styles."""

from __future__ import annotations

import torch
from torch import Tensor

from stylepipe.nst.networks import StyleNetwork


class StyleEngine:
    """A style network made ready for one blend of styles on one device.

    weights: one number per style of the network; they sum to 1. dtype: what convolutions compute
    in. memory: bytes of working memory to stay within.
    """

    def __init__(
        self,
        net: StyleNetwork,
        weights: Tensor,
        device: torch.device,
        dtype: torch.dtype,
        memory: int,
    ) -> None:
        self._net = net.to(device=device, dtype=dtype, memory_format=torch.channels_last).eval()
        self._weights = weights.to(device=device, dtype=dtype)

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """images: N3HW, float32 in [0, 1], any size. Returns the same shape, not clamped."""
        weights = self._weights.expand(len(images), -1)
        return self._net(images, weights).float()
