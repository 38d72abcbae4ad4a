"""``stylepipe train fast``: from paintings and photos to a file of styles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from stylepipe import Context, UsageError, __version__, option, read_picture, suggest
from stylepipe.encoders import halved
from stylepipe.nst.recipe import VggName

from ..training import PICTURES, TrainFlags, check_paths, pictures, plan
from ..training import train as run
from .bundled import STYLES, NetworkName
from .table import read_paintings

if TYPE_CHECKING:
    from stylepipe.nst.encoders import Encoder
    from stylepipe.nst.networks import StyleNetwork
    from stylepipe.nst.training.styles import Painting, StyleTask, Teacher

__all__ = ["PICTURES", "TrainOptions", "train"]


class TrainOptions(TrainFlags):
    """What ``stylepipe train fast`` can be told."""

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
    content_weight: float = option(0.8, "Weight of the content.", min=0)
    style_weight: float = option(1.0, "Weight of the style.", min=0)
    tone_weight: float = option(1.0, "Weight of the photo's light and dark.", min=0)
    hue_weight: float = option(0.5, "Weight of the photo's warm and cold.", min=0)
    tv_weight: float = option(1.0, "Weight of smoothness (total variation).", min=0)
    spike_weight: float = option(2.0, "Weight against glassy bubbles.", min=0)
    guide_weight: float = option(1.0, "Weight of the guide's pictures.", min=0)
    consistency_weight: float = option(
        0.0,
        "Weight of steadiness: a photo that moves, with noise, gives the picture, moved. For film; "
        "twice the network's work.",
        min=0,
    )
    style_size: int = option(
        480, "Short side in pixels to which a painting is scaled: sets the size of strokes.", min=32
    )

    def check(self) -> None:
        super().check()
        check_paths(*self.style, *([self.guide] if self.guide else []))
        if self.only and self.paintings is None:
            raise UsageError("--only picks from a table of paintings: name it with --paintings")
        if self.style and self.paintings:
            raise UsageError("name paintings by --style or by a table --paintings, not by both")
        names = [path.stem for path in self.style]
        for name in names:
            if names.count(name) > 1:
                raise UsageError(f"two paintings would give the style name {name!r}; rename one")


def train(options: TrainOptions, context: Context) -> None:
    """Train, or go on training, and write ``options.output``.

    Raises UsageError; SetupError if the encoder cannot be fetched or files cannot be read or
    written; StylepipeError if the training comes to nothing.
    """
    if not options.style and not options.paintings:
        raise UsageError("name a painting to learn: --style IMAGE")
    photos = pictures(options.photos, "--photos")
    paintings = _paintings(options)
    output = run(lambda: _task(options, context, photos, paintings), options, context)
    style = f"{output}#{paintings[0].record.name}" if len(paintings) > 1 else str(output)
    context.log(f"wrote {output}; use it: stylepipe fast PHOTOS -o OUT --style {style}")


def _task(
    options: TrainOptions,
    context: Context,
    photos: Sequence[Path],
    paintings: Sequence[Painting],
) -> StyleTask:
    import torch

    from stylepipe.nst.networks import load_styles
    from stylepipe.nst.training.styles import StyleOptions, StyleTask

    device = context.device.torch
    copy_steps = min(300, options.steps // 10) if options.init == "random" else 0
    guide = load_styles(options.guide)[0] if options.guide else None
    if guide is not None:
        half = torch.bfloat16 if halved(context) else torch.float32
        guide = guide.to(device, half).to(memory_format=torch.channels_last)
    teachers = _teachers(options, context)
    net, family = _network(options, len(paintings))
    return StyleTask(
        net.to(device),
        teachers,
        photos,
        paintings,
        plan(StyleOptions, options, context, copy_steps=copy_steps),
        read=read_picture,
        previews=options.preview,
        guide=guide,
        metadata={
            "teacher": ", ".join(
                [p.name for p in options.encoder_weights] or [teachers[0].encoder.title]
            ),
            "data": f"{len(photos)} photos",
            "family": family,
            **({"licence": options.license} if options.license else {}),
            "stylepipe_version": __version__,
        },
    )


def _paintings(options: TrainOptions) -> list[Painting]:
    from stylepipe.nst.networks import StyleRecord
    from stylepipe.nst.training.styles import Painting

    if options.paintings is None:
        return [Painting(StyleRecord(path.stem, source=path.name), path) for path in options.style]
    found = read_paintings(options.paintings)
    names = [painting.record.name for painting in found]
    for name in options.only:
        if name not in names:
            raise UsageError(f"{options.paintings} has no style {name!r}{suggest(name, names)}")
    return [p for p in found if not options.only or p.record.name in options.only]


def _network(options: TrainOptions, count: int) -> tuple[StyleNetwork, str]:
    """The network to start from, and the family of all that come from it."""
    import torch

    from stylepipe.nst.files import tensors_digest
    from stylepipe.nst.networks import SPECS, StyleNetwork, load_styles

    if options.init == "random":
        torch.manual_seed(options.seed)
        net = StyleNetwork(SPECS[options.quality], count)
        return net, tensors_digest(net.state_dict())[:16]
    path = _start(options.quality) if options.init == "bundled" else Path(options.init).expanduser()
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


def _teachers(options: TrainOptions, context: Context) -> list[Teacher]:
    from stylepipe.nst.encoders.vgg import STYLE
    from stylepipe.nst.training.styles import Teacher, standard_teacher

    teachers = []
    for encoder in _encoders(options, context):
        usual = standard_teacher(encoder)
        style = {layer: STYLE.get(layer, 1.0) for layer in options.style_layers}
        content = dict.fromkeys(options.content_layers, 1.0)
        teachers.append(Teacher(encoder, style or usual.style, content or usual.content))
    return teachers


def _encoders(options: TrainOptions, context: Context) -> list[Encoder]:
    import torch

    from stylepipe.encoders import open_encoder
    from stylepipe.nst.encoders import load_encoder

    device, dtype = context.device.torch, torch.bfloat16 if halved(context) else torch.float32
    if options.encoder_weights:
        return [load_encoder(p, device=device, dtype=dtype) for p in options.encoder_weights]
    return [open_encoder(options.encoder, device=device, dtype=dtype, log=context.log)]
