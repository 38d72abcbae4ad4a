"""Terms that compare with the photo's features position by position."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from stylepipe.nst.losses import EPS

from .base import FeatureTerm, Measured, View, exact, layer_weights, weighted


class Content(FeatureTerm):
    """Squared error of features, over the target's variance and half its mean square.

    Gatys, Ecker, Bethge, "Image Style Transfer Using Convolutional Neural Networks" (2016), eq. 1,
    made relative as in losses.content_loss. targets: layer -> N C H W, the photo's features.
    """

    name = "content"

    def __init__(
        self, targets: Mapping[str, Tensor], layers: Mapping[str, float], weight: float = 1.0
    ) -> None:
        self.weight, self.shares = weight, layer_weights(layers)
        self.layers = tuple(self.shares)
        self.targets = {layer: targets[layer].detach() for layer in self.layers}
        self.sizes = [self._size(self.targets[layer]) for layer in self.layers]

    @staticmethod
    def _size(target: Tensor) -> Tensor:
        """What an error is relative to, summed over all positions: N."""
        positions = target.shape[2] * target.shape[3]
        wide = torch.promote_types(target.dtype, torch.float32)
        sums = target.sum(dim=(2, 3), dtype=wide)
        square = torch.stack([exact(t).square().sum() for t in target])
        mean = sums.square().sum(dim=1) / positions
        return square - mean + 0.5 * square + EPS * positions

    def measure(self, view: View) -> Measured:
        return [
            (exact(view.inner(n)) - exact(view.of(self.targets[n], n))).square().sum((1, 2, 3))
            for n in self.layers
        ]

    def value(self, total: Measured) -> Tensor:
        errors = [t / size for t, size in zip(total, self.sizes, strict=True)]
        return weighted(errors, list(self.shares.values()))


class Perceptual(FeatureTerm):
    """Squared distance of features scaled to length 1 over the channels, mean over positions.

    Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric" (2018),
    eq. 1, without the calibrated w: a cosine distance, halved so that unrelated features are about
    1 apart.
    """

    name = "perceptual"

    def __init__(
        self,
        targets: Mapping[str, Tensor],
        layers: Mapping[str, float],
        weight: float = 1.0,
    ) -> None:
        self.weight, self.shares = weight, layer_weights(layers)
        self.layers = tuple(self.shares)
        self.targets = {layer: targets[layer].detach() for layer in self.layers}
        self._floors = {n: self._floor(t) for n, t in self.targets.items()}

    @staticmethod
    def _floor(target: Tensor) -> Tensor:
        """Added to squared lengths, N 1 1 1: where all channels are dark a direction means little,
        and its gradient would be huge.
        """
        square = torch.stack([exact(t).square().sum(dim=0).mean() for t in target])
        return 1e-4 * square.view(-1, 1, 1, 1) + EPS

    def _unit(self, features: Tensor, layer: str) -> Tensor:
        features = exact(features)
        length = features.square().sum(dim=1, keepdim=True) + self._floors[layer]
        return features * length.rsqrt()

    def measure(self, view: View) -> Measured:
        found = []
        for layer in self.layers:
            own = self._unit(view.inner(layer), layer)
            wanted = self._unit(view.of(self.targets[layer], layer), layer)
            found.append((own - wanted).square().sum(dim=(1, 2, 3)) / 2)
        return found

    def value(self, total: Measured) -> Tensor:
        means = [t / self.targets[n][0, 0].numel() for t, n in zip(total, self.layers, strict=True)]
        return weighted(means, list(self.shares.values()))
