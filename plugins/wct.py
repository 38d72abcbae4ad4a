"""The ``wct`` stylizer: whitening and coloring, one or several levels deep."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stylepipe import Caps, Component, UsageError, hookimpl, option, suggest
from stylepipe.nst.training.options import DecoderOptions, setting
from stylepipe.restyling import RestyleOptions, RestyleStylizer

from .decoding import DECODERS, DecoderTraining, DecoderTrainingOptions

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


class WctStylizer(RestyleStylizer):
    """Any painting at once: takes over the covariance of the features, level by level (WCT)."""

    name = "wct"
    Options = WctOptions
    options: WctOptions
    caps = Caps(strength="native", regions="native", min_side=64)
    decoder_file = DECODERS / "wct.safetensors"

    def __init__(self, options: WctOptions) -> None:
        self.means = 1 + len(options.levels)  # each level sees what the one before has made
        super().__init__(options)

    def transform(self) -> FeatureTransform:
        from stylepipe.nst.restyle import MomentTransform

        # With all of the gain, noise of skies begins to show: several levels raise it.
        return MomentTransform(full=True, gain=0.5)

    def layers(self, decoders: Iterable[str]) -> list[str]:
        known = list(decoders)
        for layer in self.options.levels:
            if layer not in known:
                raise UsageError(
                    f"no decoder of the level {layer!r}{suggest(layer, known)}; there are "
                    f"{', '.join(known)}"
                )
        return list(self.options.levels)


@dataclass(frozen=True)
class InverseOptions(DecoderOptions):
    """Without all that has to do with a style, which is mixed in only later."""

    batch: int = 4
    copies: float = setting(1.0, "All of the rows.", offered=False)
    style_weight: float = setting(0.0, "There is no style.", offered=False)
    temporal_consistency_weight: float = setting(0.0, "Not for this one.", offered=False)


class WctTrainingOptions(DecoderTrainingOptions, run=InverseOptions):
    """Options of ``stylepipe train wct``."""


class WctTraining(DecoderTraining):
    """Train decoders for the wct stylizer, one for each level."""

    name = "wct"
    Options = WctTrainingOptions
    decodes = LEVELS
    layer_flag = "--levels"

    def mix(self) -> None:
        return None


@hookimpl
def stylepipe_components() -> Iterable[type[Component]]:
    return [WctStylizer, WctTraining]
