"""The ``wct`` stylizer: whitening and coloring, one or several levels deep."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from stylepipe import Caps, Context, Stylizer, UsageError, hookimpl, option, suggest
from stylepipe.restyling import RestyleOptions, RestyleStylizer

from .decoding import DecoderFlags, train_decoders

if TYPE_CHECKING:
    from stylepipe.nst.restyle import FeatureTransform

LEVELS = ("relu4_1", "relu3_1", "relu2_1", "relu1_1")
"""Without relu5_1, where the paper begins: it leaves little of the photo."""


class WctOptions(RestyleOptions):
    levels: tuple[str, ...] = option(
        LEVELS,
        "Layer to change; repeat for several, which are changed one after the other.",
        metavar="LAYER",
    )

    def check(self) -> None:
        super().check()
        for layer in self.levels:
            if self.levels.count(layer) > 1:
                raise UsageError(f"the level {layer!r} is named twice")


class WctFlags(DecoderFlags):
    """What ``stylepipe train wct`` can be told."""

    batch: int = option(4, "Photos a step.", min=1)


class WctStylizer(RestyleStylizer):
    """Any painting at once: takes over the covariance of the features, level by level (WCT)."""

    name = "wct"
    Options = WctOptions
    options: WctOptions
    TrainOptions = WctFlags
    caps = Caps(strength="native", trainable=True, min_side=64)
    decoder_file = Path(__file__).with_name("decoders") / "wct.safetensors"

    def transform(self) -> FeatureTransform:
        from stylepipe.nst.restyle import MomentTransform

        return MomentTransform(full=True)

    def layers(self, decoders: Iterable[str]) -> list[str]:
        known = list(decoders)
        for layer in self.options.levels:
            if layer not in known:
                raise UsageError(
                    f"no decoder of the level {layer!r}{suggest(layer, known)}; there are "
                    f"{', '.join(known)}"
                )
        return list(self.options.levels)

    @classmethod
    def train(cls, options: WctFlags, context: Context) -> None:
        """Train a decoder for each level, or go on training them."""
        train_decoders(
            options,
            context,
            name=cls.name,
            layers=LEVELS,
            mix=None,
            bundled=cls.decoder_file,
            layer_flag="--levels",
        )


@hookimpl
def stylepipe_components() -> Iterable[type[Stylizer]]:
    return [WctStylizer]
