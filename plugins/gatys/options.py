"""The options of ``gatys``, and the recipe that they describe."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from stylepipe import Item, UsageError, option, user_path
from stylepipe.nst.names import LossScale, Optimizer, Pooling, Schedule, Start, StyleDistance
from stylepipe.nst.recipe import TUNABLE, LoopOptions, Recipe, check_scale
from stylepipe.nst.recipes import recipe_help, recipes_of
from stylepipe.nst.terms import ContentTerm, FeatureTerm, StyleTerm, Term, losses
from stylepipe.stylizers import PaintingOptions

if TYPE_CHECKING:
    from stylepipe.nst.encoders import Encoder

STARTS = get_args(Start)
LAYERS = {
    "content_layers": "the encoder's",
    "style_layers": "the encoder's",
    "perceptual_layers": "those of LPIPS, or else the encoder's for style",
}
"""Options that name layers -> their default, in words."""
_STEPPING = {"optimizer": ("adam", "adamw", "sgd")}
_RECIPES = recipes_of("gatys")


class GatysBase(PaintingOptions):
    """All options except those of the losses: see gatys_options."""

    recipes = _RECIPES

    recipe: str | None = option(None, recipe_help("gatys"), choices=tuple(_RECIPES))
    steps: int = option(LoopOptions.steps, "Steps of the optimizer, over all sizes.", min=1)
    guided_steps: int | None = option(
        None,
        "Steps for frames of a film that continue from the one before, as temporal methods make "
        "them; unset: a fifth of --steps.",
        min=1,
    )
    pooling: Pooling = option("max", "How the network shrinks its maps.")
    style_loss: StyleDistance = option(
        Recipe.style_loss, "Distance of the features' statistics.", only_if={"style_weight": True}
    )
    loss_scale: LossScale = option(
        Recipe.loss_scale,
        "Scale of all losses, and so of their weights: relative to the photo and the painting; "
        "gatys, content and gram as in Gatys 2016, eq. 1 and 4, and all others plain sums; or sum, "
        "plain sums, for a painting about as large as the photo (with regions each Gram matrix is "
        "over its region's size). Shares of layers are then taken as given. Perceptual is LPIPS at "
        "every scale; wasserstein, mean-std, histogram and patches are always relative.",
    )
    tv_power: Literal[1, 2] = option(
        Recipe.tv_power,
        "Smoothness by squared (2) or absolute (1) differences.",
        only_if={"tv_weight": True},
    )
    init: str = option(
        Recipe.init,
        f"Where to start: {', '.join(STARTS)} (the first: the photo in the painting's colors), or "
        "a picture file, of which the middle in the photo's proportions is taken.",
    )
    first_side: int = option(
        Recipe.first_side, "Long side of the smallest size worked on; 0: only the full size.", min=0
    )
    photorealistic_smoothing: int = option(
        Recipe.photorealistic_smoothing,
        "In the end the photo's colors are mapped, by affine maps fitted over this radius; in "
        "pixels of a photo 700 wide or high; 0: the picture stays as optimized.",
        min=0,
        max=100,
        only_if={"photorealistic": True},
    )
    optimizer: Optimizer = option(
        LoopOptions.optimizer, "Optimizer; sgd is gradient descent without momentum."
    )
    learning_rate: float | None = option(
        LoopOptions.learning_rate, "Step size; by default the optimizer's own.", min=1e-12
    )
    schedule: Schedule = option(LoopOptions.schedule, "Of the step size.", only_if=_STEPPING)
    average: float = option(
        LoopOptions.average,
        "Decay of the mean of the last pictures; 0: none.",
        min=0,
        max=0.9999,
        only_if=_STEPPING,
    )
    tolerance: float = option(
        LoopOptions.tolerance,
        "End when 20 steps lower the loss by less than this part of it; 0: never.",
        min=0,
        max=1,
    )
    target: Path | None = option(
        None,
        "Picture that the result should look like, such as another stylizer's, in the photo's "
        "proportions; it is scaled to the photo's size. For one photo.",
        metavar="FILE",
    )
    perceptual_calibration: Path | None = option(
        None,
        "Calibrated weights of LPIPS for the encoder, VGG-16 or SqueezeNet 1.1, as its authors "
        "publish them (lin0.model.1.weight ...); without them all weights are 1.",
        metavar="FILE",
        only_if={"perceptual_weight": True},
    )
    seed: int = option(0, "Of --init noise.", min=0, only_if={"init": "noise"})
    tune: Path | None = option(
        None,
        "Search for those of --content-weight, --tv-weight and --strength that are not given, on a "
        "small copy of the first photo or frame. Candidates are written to this file as a sheet, "
        "and what was found beside it (.json), which a resumed run uses; without it, it searches "
        "again.",
        metavar="FILE",
    )
    trace: Path | None = option(
        None,
        "Folder for the losses of each photo, and of a film's first frame: by step, as a table and "
        "a plot, and of the result, for which wasserstein is computed exactly.",
        metavar="FOLDER",
        affects_output=False,
    )
    save_every: int = option(
        0,
        "Also write the picture to --trace every so many steps.",
        min=0,
        affects_output=False,
        only_if={"trace": True},
    )
    preview: Path | None = option(
        None, "Picture file to rewrite while painting.", metavar="FILE", affects_output=False
    )

    def check(self) -> None:
        super().check()
        if not any(
            self.weights[term.name] for kind in (ContentTerm, StyleTerm) for term in losses(kind)
        ):
            raise UsageError("all weights are zero: there is nothing to paint toward")
        if self.init not in STARTS and not user_path(self.init).is_file():
            raise UsageError(
                f"no start {self.init!r}: neither {', '.join(STARTS)} nor a picture file"
            )
        for name in LAYERS:
            shares(vars(self)[name])
        try:
            check_scale(self.loss_scale, self.weights, self.style_loss)
        except ValueError as error:
            raise UsageError(str(error)) from error
        if self.optimizer == "sgd" and self.loss_scale != "relative" and not self.learning_rate:
            raise UsageError(
                f"--optimizer sgd with --loss-scale {self.loss_scale} needs --learning-rate: the "
                "gradient is as large as the losses; 1e-9 is a start"
            )
        for flag, path in (
            ("--target", self.target), ("--perceptual-calibration", self.perceptual_calibration)
        ):  # fmt: skip
            if path is not None and not path.is_file():
                raise UsageError(f"there is no {flag} {path}")
        if self.tune is not None and not self.searched:
            raise UsageError(
                "--tune has nothing to search: --content-weight, --tv-weight and --strength are "
                "all given"
            )
        if self.tune and self.loss_scale != "relative" and {*self.searched} - {"strength"}:
            raise UsageError(
                f"--tune tries weights of relative losses, and --loss-scale is {self.loss_scale}: "
                "give --content-weight and --tv-weight, so that only --strength is searched, or "
                "leave out --loss-scale"
            )
        self.check_files(self.inputs())
        if self.tune and self.preview and _real(self.tune) == _real(self.preview):
            raise UsageError(f"--tune and --preview are both {self.tune}; choose another name")

    def check_files(self, files: Iterable[Path]) -> None:
        """Raises UsageError for a report that would replace what the job reads."""
        read = [_real(path) for path in files]
        for flag, path in self.reports():
            real = _real(path)
            for file in read:
                inside = file.is_dir() and file in real.parents
                if real == file or inside:
                    raise UsageError(
                        f"{flag} {path} would replace what the job reads from {file}; "
                        "choose another name"
                    )

    def check_items(self, items: Sequence[Item]) -> None:
        """Raises UsageError for a report that would replace a source or a result, and for several
        photos beside one target."""
        if self.target is not None and len(items) > 1:
            raise UsageError(
                f"--target {self.target} is for one photo, and there are {len(items)} inputs; "
                "paint them one by one"
            )
        reports = {_real(path): (flag, path) for flag, path in self.reports()}
        for item in items if reports else ():
            for file, what in ((item.source, "the input"), (item.output, "the result")):
                real = _real(file)
                flag, path = reports.get(real, ("", None))
                trace = self.trace_of(item)
                if trace is not None and _real(trace) == real:
                    flag, path = "--trace", self.trace
                if flag:
                    raise UsageError(
                        f"{flag} {path} would replace {what} {file}; choose another name"
                    )

    def reports(self) -> list[tuple[str, Path]]:
        """What is written beside the results, with the flags."""
        given = [("--tune", self.tune), ("--tune", self.found), ("--preview", self.preview)]
        given.append(("--trace", self.trace))
        return [(flag, path) for flag, path in given if path is not None]

    @property
    def found(self) -> Path | None:
        """Where the numbers that --tune found are kept."""
        return None if self.tune is None else self.tune.with_suffix(".json")

    @property
    def searched(self) -> list[str]:
        """The options that --tune may change: those left at their defaults."""
        return [name for name in TUNABLE if name not in self.given()]

    def trace_of(self, item: Item) -> Path | None:
        """The item's own folder; with its suffix: photo.jpg and photo.png may lie side by side."""
        return None if self.trace is None else self.trace / item.relative

    @property
    def start(self) -> Path | None:
        """The picture file to start from, if it is one."""
        return None if self.init in STARTS else user_path(self.init)

    def inputs(self) -> list[Path]:
        own = (self.start, self.target, self.perceptual_calibration)
        return [*super().inputs(), *(path for path in own if path is not None)]

    @property
    def weights(self) -> dict[str, float]:
        """The weights of the losses by their names."""
        return {term.name: getattr(self, term.option(), term.default) for term in losses()}

    def recipe_for(self, encoder: Encoder) -> Recipe:
        """What these options ask of an encoder. Raises UsageError for layers it does not have."""
        layers = {name: shares(vars(self)[name]) for name in LAYERS}
        printed = _RECIPES.get(str(self.recipe), {})
        for name, asked in layers.items():
            try:
                encoder.check(asked)
            except ValueError as error:
                by_recipe = vars(self)[name] == printed.get(name)
                why = f" (--recipe {self.recipe} asks for it)" if by_recipe else ""
                raise UsageError(f"{error}{why}") from error
        layers["content_layers"] = layers["content_layers"] or encoder.default_content
        layers["style_layers"] = layers["style_layers"] or encoder.default_style
        try:
            return self.into(
                Recipe,
                **layers,
                weights=self.weights,
                init="content" if self.start else self.init,
                loop=self.into(LoopOptions),
            )
        except ValueError as error:
            raise UsageError(str(error)) from error


def gatys_options() -> type[GatysBase]:
    """The options with a weight for each loss that is registered by now."""
    return _with(tuple(losses()))


def __getattr__(name: str) -> Any:
    """The class by its own name, by which other processes look it up."""
    if name == "GatysOptions":
        return gatys_options()
    raise AttributeError(name)


@cache
def _with(terms: tuple[type[Term], ...]) -> type[GatysBase]:
    own: dict[str, Any] = {
        term.option(): option(term.default, term.help, min=0, only_if=term.only_if)
        for term in terms
    }
    kinds: dict[str, Any] = dict.fromkeys(own, float)
    reading = [term for term in terms if issubclass(term, FeatureTerm)]
    for name, default in LAYERS.items():
        kinds[name] = tuple[str, ...]
        own[name] = option(
            (),
            f"Layer, with an optional share; repeat for several. By default {default}.",
            metavar="LAYER[:SHARE]",
            only_if={term.option(): True for term in reading if term.layers_option == name},
        )
    return type("GatysOptions", (GatysBase,), {"__annotations__": kinds, **own})


def _real(path: Path | str) -> Path:
    return Path(os.path.realpath(user_path(path)))


def shares(texts: Sequence[str]) -> dict[str, float]:
    """LAYER -> SHARE of ``LAYER[:SHARE]``. Raises UsageError for a share that is not positive."""
    found: dict[str, float] = {}
    for text in texts:
        layer, colon, share = text.partition(":")
        if layer in found:
            raise UsageError(f"the layer {layer!r} is named twice")
        try:
            found[layer] = float(share) if colon else 1.0
        except ValueError:
            raise UsageError(f"the share of layer {layer!r} is not a number: {share!r}") from None
        if not 0 < found[layer] < float("inf"):
            raise UsageError(f"the share of layer {layer!r} must be positive, not {share}")
    return found
