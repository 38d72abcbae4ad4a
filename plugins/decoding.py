"""Training of decoders: what the stylizers share that have one. No plugin."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stylepipe import Context, UsageError, __version__, option, read_picture
from stylepipe.encoders import halved
from stylepipe.nst.recipe import VggName
from stylepipe.restyling import BUNDLED_FOR

from .training import TrainFlags, check_paths, pictures, plan
from .training import train as run

if TYPE_CHECKING:
    from stylepipe.nst.decoders import Decoder
    from stylepipe.nst.encoders import Encoder
    from stylepipe.nst.training.decoder import DecoderTask, Mix


class DecoderFlags(TrainFlags):
    """Flags of every command that trains decoders."""

    paintings: tuple[Path, ...] = option(
        (), "Folder of varied paintings, or a painting, to practise on; some dozens.",
        metavar="PATH",
    )  # fmt: skip
    encoder: VggName = option(BUNDLED_FOR, "Network whose features are decoded.")
    encoder_weights: Path | None = option(
        None, "Its weights: safetensors, or a checkpoint of torchvision.", metavar="FILE"
    )
    layers: tuple[str, ...] = option((), "Layer to decode.", metavar="LAYER")
    init: str = option(
        "random", "Start from random weights, from the decoder in the package, or from a file.",
        metavar="random|bundled|FILE",
    )  # fmt: skip
    widen: float = option(
        1.0,
        "Channels of a fresh decoder, over the encoder's; the last blocks have 64 and 32 at least.",
        min=0.25,
        max=8,
    )
    batch: int = option(8, "Photos a step.", min=1)
    size: int = option(192, "Side in pixels of the pieces of photos.", min=64)
    color_jitter: float = option(
        0.3, "Part of the pieces that get stronger, weaker or other colors.", min=0, max=1
    )
    reconstruction_weight: float = option(1.0, "Weight of the pixels of these.", min=0)
    feature_weight: float = option(1.0, "Weight of what the encoder sees in the result.", min=0)
    tv_weight: float = option(0.1, "Weight of smoothness (total variation).", min=0)

    def check(self) -> None:
        super().check()
        check_paths(*self.paintings)
        if self.encoder_weights is not None:
            check_paths(self.encoder_weights)


class MixFlags(DecoderFlags):
    """Flags of those whose features a style is mixed into."""

    copies: float = option(
        0.25, "Part of the rows that are decoded without any style.", min=0, max=1
    )
    style_weight: float = option(0.0, "Weight of the painting's style.", min=0)
    temporal_consistency_weight: float = option(
        0.0, "Weight of staying the same when the photo moves a little: for films.", min=0
    )


def train_decoders(
    flags: DecoderFlags,
    context: Context,
    *,
    name: str,
    layers: Sequence[str],
    mix: Mix | None,
    bundled: Path,
    layer_flag: str | None = None,
) -> None:
    """Train, or go on training, decoders for the stylizer of that name, and write them.

    layers: those by default. mix: None for plain inverses, which need no paintings. bundled: the
    file in the package. layer_flag: how the stylizer is told of other layers, if it has to be.
    Raises UsageError; SetupError if files cannot be read or written; StylepipeError if the
    training comes to nothing.
    """
    photos = pictures(flags.photos, "--photos")
    needed = mix is not None or flags.paintings
    paintings = pictures(flags.paintings, "--paintings") if needed else []
    output = run(
        lambda: _task(flags, context, photos, paintings, flags.layers or layers, mix, bundled),
        flags,
        context,
    )
    more = f" --encoder {flags.encoder}" if flags.encoder != BUNDLED_FOR else ""
    if flags.encoder_weights:
        more += f" --encoder-weights {flags.encoder_weights}"
    if layer_flag and flags.layers:
        more += "".join(f" {layer_flag} {layer}" for layer in flags.layers)
    context.log(
        f"wrote {output}; use it: stylepipe {name} PHOTOS -o OUT --style PAINTING{more} "
        f"--decoder {output}"
    )


def _task(
    flags: DecoderFlags,
    context: Context,
    photos: Sequence[Path],
    paintings: Sequence[Path],
    layers: Sequence[str],
    mix: Mix | None,
    bundled: Path,
) -> DecoderTask:
    import torch

    from stylepipe.encoders import open_encoder
    from stylepipe.nst.training.decoder import DecoderOptions, DecoderTask

    encoder = open_encoder(
        flags.encoder,
        flags.encoder_weights,
        device=context.device.torch,
        dtype=torch.bfloat16 if halved(context) else torch.float32,
        log=context.log,
    )
    decoders = _decoders(flags, encoder, layers, bundled)
    return DecoderTask(
        {layer: decoder.to(context.device.torch) for layer, decoder in decoders.items()},
        encoder,
        photos,
        paintings,
        plan(DecoderOptions, flags, context, **({"copies": 1.0} if mix is None else {})),
        mix=mix,
        read=read_picture,
        previews=flags.preview,
        metadata={
            "data": f"{len(photos)} photos, {len(paintings)} paintings",
            **({"licence": flags.license} if flags.license else {}),
            "stylepipe_version": __version__,
        },
    )


def _decoders(
    flags: DecoderFlags, encoder: Encoder, layers: Sequence[str], bundled: Path
) -> dict[str, Decoder]:
    import torch

    from stylepipe.nst.decoders import load_decoders, mirror

    if flags.init == "random":
        torch.manual_seed(flags.seed)
        return {layer: mirror(encoder, layer, flags.widen) for layer in layers}
    path = bundled if flags.init == "bundled" else Path(flags.init).expanduser()
    file = load_decoders(path)
    file.check(encoder, path)
    missing = [layer for layer in layers if layer not in file.decoders]
    if missing:
        raise UsageError(
            f"{path} has no decoder of {missing[0]}; it has {', '.join(file.decoders)}"
        )
    return {layer: file.decoders[layer].requires_grad_(True) for layer in layers}
