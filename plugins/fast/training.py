"""``stylepipe train fast``: from paintings and photos to a file of styles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from stylepipe import (
    Context,
    Training,
    TrainingOptions,
    UsageError,
    find_pictures,
    full_range_dtype,
    option,
    read_training_picture,
    run_training,
    suggest,
    user_path,
)
from stylepipe.nst.names import VggName
from stylepipe.nst.recipes import recipe_help, recipes_of
from stylepipe.nst.training.options import StyleOptions

from .bundled import STYLES, NetworkName
from .exemplars import read_exemplars

if TYPE_CHECKING:
    from stylepipe.nst.encoders import Encoder
    from stylepipe.nst.networks import StyleNetwork
    from stylepipe.nst.training.styles import Exemplar, StyleTask, Teacher

_RECIPES = recipes_of("train fast")


class FastTrainingOptions(TrainingOptions, run=StyleOptions):
    """Options of ``stylepipe train fast``."""

    recipes = _RECIPES
    alternatives = ("steps", "epochs", "minutes")

    recipe: str | None = option(None, recipe_help("train fast"), choices=tuple(_RECIPES))
    epochs: float | None = option(
        None, "How often each photo serves, about, instead of --steps.", min=0.01
    )
    style: tuple[Path, ...] = option(
        (), "Painting to learn; repeat for several styles in one file, which can be blended.",
        metavar="IMAGE", short="s",
    )  # fmt: skip
    paintings: Path | None = option(
        None, "Table of paintings to learn, with titles, sizes and weights, instead of --style.",
        metavar="TOML",
    )  # fmt: skip
    only: tuple[str, ...] = option(
        (), "Learn this style of the table alone, instead of all.", metavar="NAME"
    )
    quality: NetworkName = option(
        "quality", "Network: the better one, or one many times cheaper.",
        only_if={"init": ("bundled", "random")},
    )  # fmt: skip
    init: str = option(
        "bundled", "Start from the bundled network, which is quicker, from random weights, or from "
        "a file of the same styles.", metavar="bundled|random|FILE",
    )  # fmt: skip
    guide: Path | None = option(
        None, "File of the same styles, of any network, to imitate as well.", metavar="FILE"
    )
    encoder: Literal["auto", VggName] = option(
        "auto", "Network that judges, if no weights are given: VGG-19 if it was fetched, else the "
        "one in the package.",
    )  # fmt: skip
    encoder_weights: tuple[Path, ...] = option(
        (), "Weights of the network that judges: VGG-16 or VGG-19 of torchvision, or a small "
        "encoder, as safetensors or as a checkpoint of plain tensors; repeat for several judges.",
        metavar="FILE",
    )  # fmt: skip
    content_layers: tuple[str, ...] = option(
        (), "Layers that compare the content; by default relu4_1 or the deepest there is."
    )
    style_layers: tuple[str, ...] = option(
        (), "Layers that compare the style; by default the first of every block."
    )

    def check(self) -> None:
        super().check()
        self.require(*self.style, *([self.guide] if self.guide else []))
        if self.guide is None:
            self.refuse("weighs the pictures of --guide FILE", "guide_weight")
        if self.encoder_weights:
            self.refuse("names a network, and --encoder-weights another", "encoder")
        if self.epochs is not None:
            why = "means nothing beside --epochs, which counts the steps by the photos"
            self.refuse(why, "steps", "minutes")
        if self.only and self.paintings is None:
            raise UsageError("--only picks from a table of paintings: name it with --paintings")
        if self.style and self.paintings:
            raise UsageError("name paintings by --style or by a table --paintings, not by both")
        names = [path.stem for path in self.style]
        for name in names:
            if names.count(name) > 1:
                raise UsageError(f"two paintings would give the style name {name!r}; rename one")


class FastTraining(Training):
    """Train styles for the fast stylizer, from paintings and photos."""

    name = "fast"
    Options = FastTrainingOptions
    options: FastTrainingOptions

    def train(self, context: Context) -> None:
        """Train, or resume training, and write a file of styles."""
        options = self.options
        _check_named(options)
        photos = find_pictures(options.photos, "--photos")
        exemplars = _exemplars(options)
        output = run_training(lambda: _task(options, context, photos, exemplars), options, context)
        style = _styles_in(output, exemplars)[0]
        context.log(f"wrote {output}; use it: stylepipe fast PHOTOS -o OUT --style {style}")

    def stylizer_table(self, file: Path) -> dict[str, list[str]]:
        """All styles that are learned."""
        return {"style": _styles_in(file, _exemplars(self.options))}


def _styles_in(file: Path, exemplars: Sequence[Exemplar]) -> list[str]:
    """As users name the styles of a file."""
    several = len(exemplars) > 1
    return [f"{file}#{e.record.name}" if several else str(file) for e in exemplars]


def _task(
    options: FastTrainingOptions,
    context: Context,
    photos: Sequence[Path],
    exemplars: Sequence[Exemplar],
) -> StyleTask:
    import torch

    from stylepipe.nst.networks import load_styles
    from stylepipe.nst.training.styles import StyleTask

    device = context.device.torch
    run: StyleOptions = options.run_options(context)
    fresh = options.init == "random"
    if options.epochs is not None:
        run = replace(run, steps=ceil(options.epochs * len(photos) / run.batch))
    copies = fresh and run.loss_scale == "relative"  # papers begin with their losses
    run = replace(run, copy_steps=min(run.copy_steps, run.steps // 10) if copies else 0)
    guide = load_styles(options.guide)[0] if options.guide else None
    if guide is not None:
        dtype = full_range_dtype(context.device)
        guide = guide.to(device, dtype).to(memory_format=torch.channels_last)
    teachers = _teachers(options, run.loss_scale == "relative", context)
    net, family = _network(options, len(exemplars), run.seed)
    return StyleTask(
        net.to(device),
        teachers,
        photos,
        exemplars,
        run,
        read=read_training_picture,
        previews=options.preview,
        guide=guide,
        metadata=options.metadata(
            teacher=", ".join(
                [p.name for p in options.encoder_weights] or [teachers[0].encoder.title]
            ),
            data=f"{len(photos)} photos",
            family=family,
        ),
    )


def _check_named(options: FastTrainingOptions) -> None:
    if not options.style and not options.paintings:
        raise UsageError("name a painting to learn: --style IMAGE")


def _exemplars(options: FastTrainingOptions) -> list[Exemplar]:
    from stylepipe.nst.networks import StyleRecord
    from stylepipe.nst.training.styles import Exemplar

    _check_named(options)
    if options.paintings is None:
        return [Exemplar(StyleRecord(path.stem, source=path.name), path) for path in options.style]
    found = read_exemplars(options.paintings)
    names = [exemplar.record.name for exemplar in found]
    for name in options.only:
        if name not in names:
            raise UsageError(f"{options.paintings} has no style {name!r}{suggest(name, names)}")
    return [p for p in found if not options.only or p.record.name in options.only]


def _network(options: FastTrainingOptions, count: int, seed: int) -> tuple[StyleNetwork, str]:
    """The network to start from, and the family of all that come from it."""
    import torch

    from stylepipe.nst.files import tensors_digest
    from stylepipe.nst.networks import SPECS, StyleNetwork, load_styles

    if options.init == "random":
        torch.manual_seed(seed)
        net = StyleNetwork(SPECS[options.quality], count)
        return net, tensors_digest(net.state_dict())[:16]
    path = _start(options.quality) if options.init == "bundled" else user_path(options.init)
    net, _, metadata = load_styles(path)
    if options.init == "bundled":
        net = net.select([0] * count)
    return net, metadata.get("family") or tensors_digest(net.state_dict())[:16]


def _start(quality: str) -> Path:
    """The first bundled file of a network. Raises UsageError where there is none."""
    files = sorted((STYLES / quality).glob("*.safetensors"))
    if not files:
        raise UsageError(f"{STYLES / quality} holds no network; pass --init random")
    return files[0]


def _teachers(options: FastTrainingOptions, relative: bool, context: Context) -> list[Teacher]:
    """relative: whether losses are, for which layers have the shares of the bundled styles."""
    from stylepipe.nst.encoders.vgg import STYLE
    from stylepipe.nst.training.styles import Teacher, standard_teacher

    teachers = []
    for encoder in _encoders(options, context):
        usual = standard_teacher(encoder)
        style = {n: STYLE.get(n, 1.0) if relative else 1.0 for n in options.style_layers}
        content = dict.fromkeys(options.content_layers, 1.0)
        teachers.append(Teacher(encoder, style or usual.style, content or usual.content))
    return teachers


def _encoders(options: FastTrainingOptions, context: Context) -> list[Encoder]:
    from stylepipe.encoders import open_encoder
    from stylepipe.nst.encoders import load_encoder

    device, dtype = context.device.torch, full_range_dtype(context.device)
    if options.encoder_weights:
        return [load_encoder(p, device=device, dtype=dtype) for p in options.encoder_weights]
    return [open_encoder(options.encoder, device=device, dtype=dtype, log=context.log)]
