"""Terms that compare with the photo's features position by position."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Self

from .base import ContentTerm, PhotoInputs, Sums, View, layer_weights
from .registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register
class Content(ContentTerm):
    """Squared error of features, over the target's variance and half its mean square: see
    losses.content_loss. targets: layer -> N C H W, the photo's features.
    """

    name = "content"
    default = 0.4
    help = "Weight of the photo's content (alpha)."

    def __init__(
        self, targets: Mapping[str, Tensor], layers: Mapping[str, float], weight: float = 1.0
    ) -> None:
        from stylepipe.nst.losses import content_size

        self.weight, self.shares = weight, layer_weights(layers)
        self.layers = tuple(self.shares)
        self.targets = {layer: targets[layer].detach() for layer in self.layers}
        self.sizes = [content_size(self.targets[layer]) for layer in self.layers]

    @classmethod
    def build(cls, inputs: PhotoInputs, layers: Mapping[str, float], weight: float) -> Self:
        return cls(inputs.maps, layers, weight)

    def measure(self, view: View) -> Sums:
        from stylepipe.nst.losses import squared_error

        return [squared_error(view.inner(n), view.of(self.targets[n], n)) for n in self.layers]

    def value(self, total: Sums) -> Tensor:
        from stylepipe.nst.statistics import weighted

        errors = [t / size for t, size in zip(total, self.sizes, strict=True)]
        return weighted(errors, list(self.shares.values()))


@register
class Perceptual(ContentTerm):
    """Squared distance of features scaled to length 1 over the channels, mean over positions.

    Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric" (2018),
    eq. 1, without the calibrated w: a cosine distance, halved so that unrelated features are about
    1 apart.
    """

    name = "perceptual"
    help = "Weight of LPIPS-like content."

    def __init__(
        self, targets: Mapping[str, Tensor], layers: Mapping[str, float], weight: float = 1.0
    ) -> None:
        from stylepipe.nst.losses import direction_floor

        self.weight, self.shares = weight, layer_weights(layers)
        self.layers = tuple(self.shares)
        self.targets = {layer: targets[layer].detach() for layer in self.layers}
        self._floors = {n: direction_floor(t) for n, t in self.targets.items()}

    @classmethod
    def build(cls, inputs: PhotoInputs, layers: Mapping[str, float], weight: float) -> Self:
        return cls(inputs.maps, layers, weight)

    def measure(self, view: View) -> Sums:
        from stylepipe.nst.losses import directions, squared_error

        found = []
        for layer in self.layers:
            own = directions(view.inner(layer), self._floors[layer])
            wanted = directions(view.of(self.targets[layer], layer), self._floors[layer])
            found.append(squared_error(own, wanted) / 2)
        return found

    def value(self, total: Sums) -> Tensor:
        from stylepipe.nst.statistics import weighted

        means = [t / self.targets[n][0, 0].numel() for t, n in zip(total, self.layers, strict=True)]
        return weighted(means, list(self.shares.values()))
