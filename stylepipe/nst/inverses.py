"""From features back to a picture: by a trained network, or by optimising the picture."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from .decoders import Decoder
from .encoders import Encoder
from .objective import Objective
from .optimise import LoopOptions, Step, optimise, size_of
from .terms import Content, TotalVariation


class Inverse(ABC):
    """Finds the picture that an encoder's layer would see so."""

    lossless: bool
    """Whether it gives a photo back for the photo's own features."""

    @abstractmethod
    def picture(self, features: Tensor, photo: Tensor, tile: int) -> Tensor:
        """features: 1 C h w, made from those of photo: 1 3 H W in [0,1]. tile: side in pixels of
        the pieces to work on. Returns 1 3 H W in [0,1].
        """


class ByNetwork(Inverse):
    """A decoder: one pass."""

    lossless = False

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder

    def picture(self, features: Tensor, photo: Tensor, tile: int) -> Tensor:
        return self.decoder.picture(features, *size_of(photo), tile=tile // self.decoder.scale)


class ByOptimisation(Inverse):
    """The picture itself is optimised, from the photo on, until it has the features.

    Chen, Schmidt, "Fast Patch-based Style Transfer of Arbitrary Style" (2016), eq. 4: the squared
    error of the features, here over their variance, and total variation.
    """

    lossless = True

    def __init__(
        self,
        encoder: Encoder,
        layer: str,
        loop: LoopOptions,
        tv_weight: float,
        on_step: Callable[[Step], None] | None = None,
    ) -> None:
        encoder.check([layer])
        self.encoder, self.layer, self.loop = encoder, layer, loop
        self.tv_weight, self.on_step = tv_weight, on_step

    def picture(self, features: Tensor, photo: Tensor, tile: int) -> Tensor:
        """Raise Diverged."""
        shares = {self.layer: 1.0}

        def build(_: tuple[int, int]) -> Objective:
            return Objective(
                self.encoder,
                [Content({self.layer: features}, shares, 1.0)],
                [TotalVariation(self.tv_weight)],
                tile=tile,
            )

        # Gradients are needed here, whatever the caller has switched off.
        with torch.inference_mode(False), torch.enable_grad():
            return optimise(photo.clone(), [size_of(photo)], build, self.loop, self.on_step)
