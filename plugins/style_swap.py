"""The ``style-swap`` stylizer: each patch of the photo gives way to the painting's most similar."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from stylepipe import (
    Caps,
    Component,
    StyleRef,
    UsageError,
    full_range_dtype,
    hookimpl,
    native_bf16,
    option,
    parse_style,
)
from stylepipe.nst.names import SwapScale
from stylepipe.nst.recipes import recipe_help, recipes_of
from stylepipe.nst.training.options import DecoderOptions
from stylepipe.restyling import RestyleOptions, RestyleStylizer

from .decoding import DECODERS, DecoderTraining, DecoderTrainingOptions

if TYPE_CHECKING:
    import torch

    from stylepipe.nst.encoders import Encoder
    from stylepipe.nst.inverses import FeatureInverter
    from stylepipe.nst.restyle import FeatureTransform
    from stylepipe.nst.training.decoder import Mix

LAYER = "relu3_1"
_RECIPES = recipes_of("style-swap")


class SwapOptions(RestyleOptions):
    recipes = _RECIPES

    recipe: str | None = option(None, recipe_help("style-swap"), choices=tuple(_RECIPES))
    layer: str = option(LAYER, "Layer whose patches are swapped.", metavar="LAYER")
    patch_size: int = option(3, "Side of the patches, in features.", min=1, max=15)
    patch_stride: int = option(1, "Steps between the photo's patches, in features.", min=1, max=15)
    blend: Literal["pool", "mix"] = option(
        "pool",
        "Several styles: look for each patch in all of them, or mix their results by weight.",
    )
    exact: bool = option(
        False, "Compare patches in full precision where the job's is half; hardly visible."
    )
    steps: int = option(
        0, "Find the picture by this many steps of optimization; 0: by the decoder.",
        min=0,
    )  # fmt: skip
    loss_scale: SwapScale = option(
        "relative", "Scale of the optimization's losses: relative to the features, or plain sums.",
        only_if={"steps": True},
    )  # fmt: skip
    learning_rate: float = option(
        0.02, "Step size of the optimization.", min=1e-6, only_if={"steps": True}
    )
    tv_weight: float = option(
        0.5, "Weight of smoothness in the optimization.", min=0, only_if={"steps": True}
    )

    def check(self) -> None:
        super().check()
        weights = {parse_style(text).weight for text in self.style}
        if self.blend == "pool" and len(weights) > 1:
            raise UsageError(
                "patches are looked for in all styles alike, so weights mean nothing; leave them "
                "out, or pass --blend mix"
            )
        if self.patch_stride > self.patch_size:
            raise UsageError(
                f"patches of side {self.patch_size} every {self.patch_stride} features leave "
                "holes; make --patch-stride no larger than --patch-size"
            )
        if self.steps and self.decoder is not None:
            raise UsageError(
                "--steps finds the picture without a decoder; leave out --decoder or --steps"
            )
        if self.decodes() and self.decoder is None and self.layer != LAYER:
            raise UsageError(
                f"the decoder in the package is of {LAYER}; for {self.layer} train one (stylepipe "
                f"train style-swap --layers {self.layer}) and pass it as --decoder FILE, or find "
                "the picture without one by --steps 100"
            )

    def decodes(self) -> bool:
        return not self.steps

    def needs_decoder(self) -> bool:
        return self.decodes() and super().needs_decoder()


class SwapStylizer(RestyleStylizer):
    """Any painting at once: swaps patches of features for the painting's own (Chen, Schmidt)."""

    name = "style-swap"
    Options = SwapOptions
    options: SwapOptions
    caps = Caps(strength="native", regions="native", min_side=64)
    decoder_file = DECODERS / "style-swap.safetensors"

    def assign(self, styles: Sequence[StyleRef], regions: Sequence[str] | None) -> list[int]:
        options = self.options
        if options.blend == "mix" and regions is not None and not options.style_regions:
            raise UsageError("each region is painted by one style: there is none to --blend with")
        return super().assign(styles, regions)

    def transform(self) -> FeatureTransform:
        from stylepipe.nst.restyle import PatchSwap

        options, context = self.options, self._context
        return PatchSwap(
            options.patch_size,
            options.patch_stride,
            pooled=options.blend == "pool",
            # Emulated, bfloat16 is many times slower than float32.
            fast=(
                not options.exact
                and full_range_dtype(context.device).itemsize == 2
                and native_bf16(context.device.torch)
            ),
        )

    def layers(self, decoders: Iterable[str]) -> list[str]:
        known = list(decoders)
        if self.options.layer not in known:
            raise UsageError(
                f"no decoder of the layer {self.options.layer!r}; there is {', '.join(known)}"
            )
        return [self.options.layer]

    def inverses(self, encoder: Encoder) -> dict[str, FeatureInverter]:
        options = self.options
        if not options.steps:
            return super().inverses(encoder)
        from stylepipe.nst.inverses import OptimizationInverter
        from stylepipe.nst.recipe import LoopOptions

        loop = options.into(LoopOptions)
        try:
            found = OptimizationInverter(
                encoder, options.layer, loop, options.tv_weight, self.report_step,
                options.loss_scale,
            )  # fmt: skip
        except ValueError as error:
            raise UsageError(str(error)) from error
        return {options.layer: found}


@dataclass(frozen=True)
class SwapDecoderOptions(DecoderOptions):
    copies: float = 0.5


class SwapTrainingOptions(DecoderTrainingOptions, run=SwapDecoderOptions):
    """Options of ``stylepipe train style-swap``."""

    patch_size: int = option(3, "Side of the patches, in features.", min=1, max=15)


class SwapTraining(DecoderTraining):
    """Train a decoder for the style-swap stylizer, for relu3_1."""

    name = "style-swap"
    Options = SwapTrainingOptions
    options: SwapTrainingOptions
    decodes = (LAYER,)
    layer_flag = "--layer"

    def mix(self) -> Mix:
        import torch

        from stylepipe.nst.swap import StylePatches
        from stylepipe.nst.training.decoder import Mix

        side = self.options.patch_size

        def swap(content: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
            rows = [
                StylePatches([s[None]], side).swap(c[None])
                for c, s in zip(content, style, strict=True)
            ]
            return torch.cat(rows)

        return Mix(f"swap of {side}x{side}", swap)


@hookimpl
def stylepipe_components() -> Iterable[type[Component]]:
    return [SwapStylizer, SwapTraining]
