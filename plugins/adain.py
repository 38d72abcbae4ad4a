"""The ``adain`` stylizer: a painting's colors and textures in one pass, from any painting."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stylepipe import Caps, Component, UsageError, hookimpl
from stylepipe.nst.training.options import DecoderOptions
from stylepipe.restyling import RestyleOptions, RestyleStylizer

from .decoding import DECODERS, DecoderTraining, DecoderTrainingOptions

if TYPE_CHECKING:
    from stylepipe.nst.restyle import FeatureTransform
    from stylepipe.nst.training.decoder import Mix


class AdainStylizer(RestyleStylizer):
    """Any painting at once: takes over the mean and deviation of each feature (AdaIN)."""

    name = "adain"
    Options = RestyleOptions
    caps = Caps(strength="native", regions="native", min_side=64)
    decoder_file = DECODERS / "adain.safetensors"

    def transform(self) -> FeatureTransform:
        from stylepipe.nst.restyle import MomentTransform

        return MomentTransform(full=False)

    def layers(self, decoders: Iterable[str]) -> list[str]:
        found = list(decoders)
        if len(found) > 1:
            raise UsageError(
                f"adain changes one layer, and {self.options.decoder} has decoders of "
                f"{', '.join(found)}: take a decoder from stylepipe train adain"
            )
        return found


@dataclass(frozen=True)
class AdainDecoderOptions(DecoderOptions):
    style_weight: float = 0.4
    temporal_consistency_weight: float = 5.0


class AdainTrainingOptions(DecoderTrainingOptions, run=AdainDecoderOptions):
    """Options of ``stylepipe train adain``."""


class AdainTraining(DecoderTraining):
    """Train a decoder for the adain stylizer, for relu4_1."""

    name = "adain"
    Options = AdainTrainingOptions
    decodes = ("relu4_1",)

    def mix(self) -> Mix:
        from stylepipe.nst.training.decoder import Mix
        from stylepipe.nst.transforms import adain

        return Mix("adain, gains limited", adain)


@hookimpl
def stylepipe_components() -> Iterable[type[Component]]:
    return [AdainStylizer, AdainTraining]
