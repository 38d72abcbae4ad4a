"""The ``adain`` stylizer: a painting's colors and textures in one pass, from any painting."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from stylepipe import Caps, Context, Stylizer, UsageError, hookimpl, option
from stylepipe.restyling import RestyleOptions, RestyleStylizer

from .decoding import MixFlags, train_decoders

if TYPE_CHECKING:
    from stylepipe.nst.restyle import FeatureTransform


class AdainFlags(MixFlags):
    """What ``stylepipe train adain`` can be told."""

    style_weight: float = option(0.4, "Weight of the painting's style.", min=0)
    temporal_consistency_weight: float = option(
        5.0, "Weight of staying the same when the photo moves a little: for films.", min=0
    )


class AdainStylizer(RestyleStylizer):
    """Any painting at once: takes over the mean and deviation of each feature (AdaIN)."""

    name = "adain"
    Options = RestyleOptions
    TrainOptions = AdainFlags
    caps = Caps(strength="native", trainable=True, min_side=64)
    decoder_file = Path(__file__).with_name("decoders") / "adain.safetensors"

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

    @classmethod
    def train(cls, options: AdainFlags, context: Context) -> None:
        """Train a decoder for relu4_1, or go on training it."""
        from stylepipe.nst.training.decoder import Mix
        from stylepipe.nst.transforms import adain

        train_decoders(
            options,
            context,
            name=cls.name,
            layers=["relu4_1"],
            mix=Mix("adain, gains limited", adain),
            bundled=cls.decoder_file,
        )


@hookimpl
def stylepipe_components() -> Iterable[type[Stylizer]]:
    return [AdainStylizer]
