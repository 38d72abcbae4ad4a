"""How much memory painting by optimization takes, known before it begins."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .encoders import Encoder

SIDE = 128
"""Of the picture that is measured."""
COPIES = 4
"""Of a layer's map in float32, that the terms make on their way; of one layer at a time."""


class NotEnoughMemory(ValueError):
    """The picture does not fit into the memory, not even in tiles."""

    def __init__(self, message: str, needed: int) -> None:
        super().__init__(message)
        self.needed = needed
        """Bytes that suffice."""


@dataclass(frozen=True)
class Map:
    """A layer's features of one picture, by pixel of the picture."""

    channels: int
    positions: float
    nbytes: float


class Footprint:
    """What the pass of one picture through an encoder to some layers and back takes.

    Measured on a small picture: what autograd keeps; the gradients of the layers, which meet
    before the way back begins; and the float32 copies that the terms make.
    """

    def __init__(self, encoder: Encoder, layers: Sequence[str]) -> None:
        kept: dict[int, int] = {}

        def keep(tensor: Tensor) -> Tensor:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        leaf = torch.zeros(1, 3, SIDE, SIDE, device=encoder.std.device, requires_grad=True)
        weights = {p.untyped_storage().data_ptr() for p in encoder.parameters()}
        hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
        with torch.enable_grad(), hooks:
            found = encoder(leaf, layers)
            for maps in found.values():  # the last one is kept by nobody else
                keep(maps)
            held = sum(n for pointer, n in kept.items() if pointer not in weights)
        pixels = SIDE**2
        self.maps = {
            name: Map(maps.shape[1], maps[0, 0].numel() / pixels, maps.nbytes / pixels)
            for name, maps in found.items()
        }
        largest = max(4.0 * m.channels * m.positions for m in self.maps.values())
        gradients = sum(m.nbytes for m in self.maps.values())
        self.per_pixel = held / pixels + gradients + COPIES * largest
        """Bytes by pixel."""

    def positions(self) -> float:
        """Of all layers' maps together, by pixel."""
        return sum(m.positions for m in self.maps.values())

    def nbytes(self, layers: Iterable[str]) -> float:
        """Of all these layers' maps together, by pixel."""
        return sum(self.maps[layer].nbytes for layer in layers)
