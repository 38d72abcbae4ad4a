"""Terms that compare with the photo's features position by position."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Self, get_args

from stylepipe.nst.names import LossScale

from .base import ContentTerm, PhotoInputs, Sums, View, layer_weights
from .registry import register

if TYPE_CHECKING:
    from torch import Tensor

    from stylepipe.nst.encoders import Encoder


@register
class Content(ContentTerm):
    """Squared error of features. targets: layer -> N C H W, the photo's features.

    At the scale ``relative`` over the target's variance and half its mean square, see
    losses.content_loss; ``gatys``: half of it, Gatys 2016, eq. 1; ``sum``: all of it.
    """

    name = "content"
    default = 0.2
    help = "Weight of the photo's content (alpha)."
    scales = get_args(LossScale)

    def __init__(
        self,
        targets: Mapping[str, Tensor],
        layers: Mapping[str, float],
        weight: float = 1.0,
        scale: LossScale = "relative",
    ) -> None:
        from stylepipe.nst.losses import content_size

        self.weight, self.shares = weight, layer_weights(layers, scale)
        self.layers = tuple(self.shares)
        self.targets = {layer: targets[layer].detach() for layer in self.layers}
        printed = {"gatys": 2.0, "sum": 1.0}.get(scale)
        self.sizes = [printed or content_size(self.targets[layer]) for layer in self.layers]

    @classmethod
    def build(cls, inputs: PhotoInputs, layers: Mapping[str, float], weight: float) -> Self:
        return cls(inputs.maps, layers, weight, inputs.recipe.loss_scale)

    def measure(self, view: View) -> Sums:
        from stylepipe.nst.losses import squared_error

        return [squared_error(view.inner(n), view.of(self.targets[n], n)) for n in self.layers]

    def value(self, total: Sums) -> Tensor:
        from stylepipe.nst.statistics import weighted

        errors = [t / size for t, size in zip(total, self.sizes, strict=True)]
        return weighted(errors, list(self.shares.values()))


@register
class Perceptual(ContentTerm):
    """LPIPS: squared distance of features scaled to length 1 over the channels, mean over
    positions, sum over layers by their shares.

    Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric" (2018),
    eq. 1. calibration: layer -> C, the calibrated weights of the channels' squares; without them
    all are 1. Departure: no length counts as less than about a hundredth of the usual one, because
    the direction of such features is noise.
    """

    name = "perceptual"
    help = "Weight of the perceptual distance to the photo (LPIPS)."
    scales = get_args(LossScale)
    layers_option = "perceptual_layers"

    def __init__(
        self,
        targets: Mapping[str, Tensor],
        layers: Mapping[str, float],
        weight: float = 1.0,
        calibration: Mapping[str, Tensor] | None = None,
    ) -> None:
        from stylepipe.nst.losses import direction_floor

        self.weight, self.shares = weight, dict(layers)
        self.layers = tuple(self.shares)
        self.targets = {layer: targets[layer].detach() for layer in self.layers}
        self._floors = {n: direction_floor(t) for n, t in self.targets.items()}
        # Weights of squares; what is squared is multiplied by their roots.
        self._gains = {n: w.sqrt()[:, None, None] for n, w in (calibration or {}).items()}

    @classmethod
    def build(cls, inputs: PhotoInputs, layers: Mapping[str, float], weight: float) -> Self:
        return cls(inputs.maps, layers, weight, inputs.calibration)

    @classmethod
    def of_layers(cls, layers: Mapping[str, float], encoder: Encoder) -> Mapping[str, float]:
        """The recipe's, or those that LPIPS takes of this encoder, each with share 1."""
        return layers or encoder.default_perceptual

    def measure(self, view: View) -> Sums:
        from stylepipe.nst.losses import directions, squared_error

        found = []
        for layer in self.layers:
            pair = view.inner(layer), view.of(self.targets[layer], layer)
            own, wanted = (directions(features, self._floors[layer]) for features in pair)
            if layer in self._gains:
                own, wanted = (self._gains[layer] * features for features in (own, wanted))
            found.append(squared_error(own, wanted))
        return found

    def value(self, total: Sums) -> Tensor:
        from stylepipe.nst.statistics import weighted

        means = [t / self.targets[n][0, 0].numel() for t, n in zip(total, self.layers, strict=True)]
        return weighted(means, list(self.shares.values()))
