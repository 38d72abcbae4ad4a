"""From features back to a picture: by a trained network, or by optimizing the picture."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from .budget import Footprint
from .decoders import Decoder
from .encoders import Encoder
from .gatys import BYTES_PER_PIXEL, OPTIMIZER_BYTES_PER_PIXEL
from .names import SwapScale
from .objective import Objective
from .optimize import Step, optimize, size_of
from .recipe import LoopOptions
from .terms.content import Content
from .terms.smooth import TotalVariation

PASS = 8
"""Maps that a pass without gradients takes at its widest place. It holds 3.5 (measured on a CPU, in
float32 and bfloat16, of the compact encoder and its decoders), and the heap as much again."""


def of_pass(widest: float) -> float:
    """Bytes by pixel that a pass through a network takes. widest: of its largest map."""
    return 24 + PASS * widest


class FeatureInverter(ABC):
    """Finds the picture that an encoder's layer would see so."""

    searches: bool
    """Whether it looks for the picture step by step. A search strays from the photo, however near
    its aim is: to show half of a style half of each picture is mixed, not of the features."""
    margin: int
    """Pixels that a tile sees on each side of it."""
    tile_bytes_per_pixel: float
    """Bytes by pixel of a tile."""
    held: float
    """Bytes by pixel of the picture: of the result, and of what else is held of it."""

    @abstractmethod
    def picture(self, features: Tensor, photo: Tensor, tile: int) -> Tensor:
        """features: 1 C h w, made from those of photo: 1 3 H W in [0,1]; h w is the size of the
        layer's features of the photo. tile: side in pixels of the pieces to work on, at least that
        of a feature. Returns 1 3 H W in [0,1] in float32. Raises Diverged where the search does.
        """


class DecoderInverter(FeatureInverter):
    """A decoder: one pass."""

    searches = False

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self.margin = decoder.receptive_radius * decoder.scale
        self.tile_bytes_per_pixel, self.held = of_pass(decoder.widest), 12.0

    def picture(self, features: Tensor, photo: Tensor, tile: int) -> Tensor:
        return self.decoder.picture(features, *size_of(photo), tile=tile // self.decoder.scale)


class OptimizationInverter(FeatureInverter):
    """The picture itself is optimized, from the photo on, until it has the features.

    Chen, Schmidt, "Fast Patch-based Style Transfer of Arbitrary Style" (2016), eq. 4: the squared
    error of the features and total variation: at the scale ``relative`` the former over their
    variance and the latter a mean, at ``sum`` as printed.
    """

    searches = True

    def __init__(
        self,
        encoder: Encoder,
        layer: str,
        loop: LoopOptions,
        tv_weight: float,
        on_step: Callable[[Step], None] | None = None,
        scale: SwapScale = "relative",
    ) -> None:
        """layer: whose features are given. loop: steps, rate, optimizer. tv_weight: 0 or more.
        on_step: called after each step. Raises ValueError for a layer that the encoder has not.
        """
        encoder.check([layer])
        self.encoder, self.layer, self.loop = encoder, layer, loop
        self.tv_weight, self.on_step, self.scale = tv_weight, on_step, scale
        # A gradient travels twice as far as a feature sees.
        self.margin = 2 * encoder.receptive_radius(layer)
        self.tile_bytes_per_pixel = Footprint(encoder, [layer]).per_pixel
        self.held = BYTES_PER_PIXEL + OPTIMIZER_BYTES_PER_PIXEL[loop.optimizer]

    def picture(self, features: Tensor, photo: Tensor, tile: int) -> Tensor:
        # Gradients are needed here, whatever the caller has switched off.
        with torch.inference_mode(False), torch.enable_grad():
            aim = self.objective(features, tile)
            size = size_of(photo)
            return optimize(photo.clone(), [size], lambda _: aim, self.loop, self.on_step)

    def objective(self, features: Tensor, tile: int | None = None) -> Objective:
        """What is to be small, for features as in picture()."""
        return Objective(
            self.encoder,
            [Content({self.layer: features}, {self.layer: 1.0}, 1.0, self.scale)],
            [TotalVariation(self.tv_weight, scale=self.scale)],
            tile=tile,
            relative=self.scale == "relative",
        )
