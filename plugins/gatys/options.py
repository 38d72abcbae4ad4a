"""The options of ``gatys``, and the recipe that they describe."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stylepipe import Item, UsageError, option

from ..paintings import PaintingOptions

if TYPE_CHECKING:
    from stylepipe.nst.encoders import Encoder
    from stylepipe.nst.gatys import Recipe

ENCODERS = (
    *("auto", "compact", "vgg19", "vgg16"),
    *("squeezenet", "resnet50", "densenet121", "vit-b-16"),
)
STARTS = ("style", "content", "noise", "gray")
TUNED = ("content_weight", "tv_weight", "strength")
_LAYERS = "Layer, with an optional share; repeat for several. By default the encoder's."


class GatysOptions(PaintingOptions):
    steps: int = option(300, "Steps of the optimizer, over all sizes.", min=1)
    encoder: str = option("auto", "Network that judges the picture.", choices=ENCODERS)
    pooling: str = option(
        "max", "How the network shrinks its maps.", choices=("max", "average", "l2")
    )
    content_weight: float = option(0.4, "Weight of the photo's content (alpha).", min=0)
    style_weight: float = option(1.0, "Weight of the painting's style (beta).", min=0)
    tv_weight: float = option(1.0, "Weight of smoothness (gamma).", min=0)
    content_layers: tuple[str, ...] = option((), _LAYERS, metavar="LAYER[:SHARE]")
    style_layers: tuple[str, ...] = option((), _LAYERS, metavar="LAYER[:SHARE]")
    style_loss: str = option(
        "wasserstein",
        "Distance of the features' statistics.",
        choices=("wasserstein", "gram", "mean-std"),
    )
    gram_scale: str = option(
        "relative",
        "Scale of the error of gram: over the painting's, as Gatys prints it, or plain sums.",
        choices=("relative", "gatys", "sum"),
    )
    perceptual_weight: float = option(0.0, "Weight of LPIPS-like content.", min=0)
    histogram_weight: float = option(0.0, "Weight of the features' histograms.", min=0)
    patches_weight: float = option(
        0.0,
        "Weight of nearest patches of features (MRF): 0.5 brings out motifs, such as whorls, that "
        "more style weight seldom does, in 1.5 to 1.7 times the time at 256 pixels.",
        min=0,
    )
    laplacian_weight: float = option(0.0, "Weight of the photo's edges (Laplacian).", min=0)
    tv_power: int = option(
        2, "Smoothness by squared (2) or absolute (1) differences.", min=1, max=2
    )
    init: str = option(
        "style",
        f"Where to start: {', '.join(STARTS)} (the first: the photo in the painting's colors), or "
        "a picture file, of which the middle in the photo's proportions is taken.",
    )
    first_side: int = option(
        128, "Long side of the smallest size worked on; 0: only the full size.", min=0
    )
    optimizer: str = option("adam", "Optimizer.", choices=("adam", "adamw", "lbfgs"))
    learning_rate: float | None = option(None, "Its step size; by default its own.", min=1e-6)
    schedule: str = option("cosine", "Of the step size.", choices=("cosine", "constant"))
    average: float = option(
        0.99, "Decay of the mean of the last pictures; 0: none.", min=0, max=0.9999
    )
    tolerance: float = option(
        0.0,
        "End when 20 steps lower the loss by less than this part of it; 0: never.",
        min=0,
        max=1,
    )
    seed: int = option(0, "Of --init noise.", min=0)
    tune: Path | None = option(
        None,
        "Search those of --content-weight, --tv-weight and --strength that are not given, on the "
        "first photo or frame, small; write the candidates as a sheet to this file, and what was "
        "found beside it (.json), where a run that goes on finds it; without that file it searches "
        "anew.",
        metavar="FILE",
    )
    trace: Path | None = option(
        None,
        "Folder for the losses of each photo, and of a film's first frame, as a table and a plot.",
        metavar="FOLDER",
        affects_output=False,
    )
    save_every: int = option(
        0, "Into --trace as well: the picture every so many steps.", min=0, affects_output=False
    )
    preview: Path | None = option(
        None, "Picture file to be rewritten as it goes.", metavar="FILE", affects_output=False
    )

    def check(self) -> None:
        super().check()
        weights = (
            *(self.content_weight, self.style_weight, self.perceptual_weight),
            *(self.histogram_weight, self.patches_weight),
        )
        if not any(weights):
            raise UsageError("all weights are zero: there is nothing to paint towards")
        if self.save_every and self.trace is None:
            raise UsageError("--save-every needs --trace, the folder for the pictures")
        if self.init not in STARTS and not Path(self.init).expanduser().is_file():
            raise UsageError(
                f"no start {self.init!r}: neither {', '.join(STARTS)} nor a picture file"
            )
        for layers in (self.content_layers, self.style_layers):
            shares(layers, {})
        if self.tune is not None and not self.searched:
            raise UsageError(
                "--tune has nothing to search: --content-weight, --tv-weight and --strength are "
                "all given"
            )
        self.check_files(self.inputs())
        if self.tune and self.preview and _real(self.tune) == _real(self.preview):
            raise UsageError(f"--tune and --preview are both {self.tune}; choose another name")

    def check_files(self, files: Iterable[Path]) -> None:
        """Raise UsageError for a report that would replace what the job reads."""
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
        """Raise UsageError for a report that would replace a source or a result."""
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
        """The options that --tune may change: those left alone."""
        defaults = {spec.name: spec.default for spec in self.specs()}
        return [name for name in TUNED if getattr(self, name) == defaults[name]]

    def trace_of(self, item: Item) -> Path | None:
        """The item's own folder; with its suffix: photo.jpg and photo.png may lie side by side."""
        return None if self.trace is None else self.trace / item.relative

    @property
    def start(self) -> Path | None:
        """The picture file to start from, if it is one."""
        return None if self.init in STARTS else Path(self.init).expanduser()

    def inputs(self) -> list[Path]:
        return [*super().inputs(), *([self.start] if self.start else [])]

    def recipe(self, encoder: Encoder) -> Recipe:
        """What these options ask of an encoder. Raises UsageError for layers it does not have."""
        from stylepipe.nst.gatys import Recipe
        from stylepipe.nst.optimize import LoopOptions

        content = shares(self.content_layers, encoder.default_content)
        style = shares(self.style_layers, encoder.default_style)
        try:
            encoder.check([*content, *style])
        except ValueError as error:
            raise UsageError(str(error)) from error
        return Recipe(
            content_layers=content,
            style_layers=style,
            content_weight=self.content_weight,
            style_weight=self.style_weight,
            style_loss=self.style_loss,  # type: ignore[arg-type]
            gram_scale=self.gram_scale,  # type: ignore[arg-type]
            perceptual_weight=self.perceptual_weight,
            histogram_weight=self.histogram_weight,
            patches_weight=self.patches_weight,
            tv_weight=self.tv_weight,
            tv_power=self.tv_power,
            laplacian_weight=self.laplacian_weight,
            strength=self.strength,
            style_scale=self.style_scale,
            first_side=self.first_side,
            init="content" if self.start else self.init,  # type: ignore[arg-type]
            colors="style" if self.match_colors == "no" else self.match_colors,  # type: ignore
            border=self.border,  # type: ignore[arg-type]
            loop=LoopOptions(
                steps=self.steps,
                optimizer=self.optimizer,  # type: ignore[arg-type]
                rate=self.learning_rate,
                schedule=self.schedule,  # type: ignore[arg-type]
                average=self.average,
                tolerance=self.tolerance,
            ),
        )


def _real(path: Path | str) -> Path:
    return Path(os.path.realpath(Path(path).expanduser()))


def shares(texts: Sequence[str], default: Mapping[str, float]) -> dict[str, float]:
    """Read ``LAYER[:SHARE]``. Raises UsageError for a share that is not positive."""
    if not texts:
        return dict(default)
    found: dict[str, float] = {}
    for text in texts:
        layer, colon, share = text.partition(":")
        if layer in found:
            raise UsageError(f"the layer {layer!r} is named twice")
        try:
            found[layer] = float(share) if colon else 1.0
        except ValueError:
            raise UsageError(f"the share of layer {layer!r} is no number: {share!r}") from None
        if not 0 < found[layer] < float("inf"):
            raise UsageError(f"the share of layer {layer!r} must be positive, not {share}")
    return found
