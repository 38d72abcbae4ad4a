"""Training of decoders, shared by adain, wct and style-swap. Not a plugin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

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
    user_path,
)
from stylepipe.nst.names import VggName
from stylepipe.restyling import BUNDLED_FOR

if TYPE_CHECKING:
    from stylepipe.nst.decoders import Decoder
    from stylepipe.nst.encoders import Encoder
    from stylepipe.nst.training.decoder import DecoderTask, Mix
    from stylepipe.nst.training.options import DecoderOptions

DECODERS = Path(__file__).with_name("decoders")
"""Holds the decoders in the package, a file for each stylizer, of its name."""


class DecoderTrainingOptions(TrainingOptions):
    """Options of every command that trains decoders; each names the settings of its run."""

    paintings: tuple[Path, ...] = option(
        (), "Folder of varied paintings, or a painting, to train on; a few dozen.",
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
        only_if={"init": "random"},
    )

    def check(self) -> None:
        super().check()
        self.require(*self.paintings)
        if self.encoder_weights is not None:
            self.require(self.encoder_weights)
        if self.init != "random" and self.values().get("guess"):
            self.refuse("is for a fresh decoder, without --init", "guess")
        if self.values().get("copies") == 0:
            self.refuse("weighs what --copies 0 leaves out", "reconstruction_weight")


class DecoderTraining(Training):
    """Trains decoders for the stylizer of the same name."""

    Options: ClassVar[type[DecoderTrainingOptions]]
    options: DecoderTrainingOptions
    decodes: ClassVar[Sequence[str]]
    """Layers that are decoded by default."""
    layer_flag: ClassVar[str | None] = None
    """The stylizer's flag for other layers, if it needs one."""

    def mix(self) -> Mix | None:
        """How styles are mixed in; None for plain inverses, which need no paintings."""
        raise NotImplementedError

    def train(self, context: Context) -> None:
        """Train, or resume training, and write a file of decoders."""
        options = self.options
        photos = find_pictures(options.photos, "--photos")
        needed = self.mix() is not None or options.paintings
        paintings = find_pictures(options.paintings, "--paintings") if needed else []
        output = run_training(lambda: self._task(context, photos, paintings), options, context)
        more = f" --encoder {options.encoder}" if options.encoder != BUNDLED_FOR else ""
        if options.encoder_weights:
            more += f" --encoder-weights {options.encoder_weights}"
        if self.layer_flag and options.layers:
            more += "".join(f" {self.layer_flag} {layer}" for layer in options.layers)
        context.log(
            f"wrote {output}; use it: stylepipe {self.name} PHOTOS -o OUT --style PAINTING{more} "
            f"--decoder {output}"
        )

    def stylizer_table(self, file: Path) -> dict[str, Any]:
        """The decoder, and the encoder and layers that it is for."""
        options = self.options
        table: dict[str, Any] = {"decoder": str(file)}
        if options.encoder != BUNDLED_FOR:
            table["encoder"] = options.encoder
        if options.encoder_weights is not None:
            table["encoder_weights"] = str(options.encoder_weights)
        if self.layer_flag and options.layers:
            first, *others = options.layers
            table[self.layer_flag.removeprefix("--")] = [first, *others] if others else first
        return table

    def _task(
        self, context: Context, photos: Sequence[Path], paintings: Sequence[Path]
    ) -> DecoderTask:
        from stylepipe.encoders import open_encoder
        from stylepipe.nst.training.decoder import DecoderTask

        options, device = self.options, context.device.torch
        run: DecoderOptions = options.run_options(context)
        encoder = open_encoder(
            options.encoder,
            options.encoder_weights,
            device=device,
            dtype=full_range_dtype(context.device),
            log=context.log,
        )
        if options.init != "random":
            run = replace(run, guess=0)
        decoders = self._decoders(encoder, run.seed)
        return DecoderTask(
            {layer: decoder.to(device) for layer, decoder in decoders.items()},
            encoder,
            photos,
            paintings,
            run,
            mix=self.mix(),
            read=read_training_picture,
            previews=options.preview,
            metadata=options.metadata(data=f"{len(photos)} photos, {len(paintings)} paintings"),
        )

    def _decoders(self, encoder: Encoder, seed: int) -> dict[str, Decoder]:
        import torch

        from stylepipe.nst.decoders import load_decoders, mirror

        options = self.options
        layers = options.layers or self.decodes
        if options.init == "random":
            torch.manual_seed(seed)
            return {layer: mirror(encoder, layer, options.widen) for layer in layers}
        bundled = DECODERS / f"{self.name}.safetensors"
        path = bundled if options.init == "bundled" else user_path(options.init)
        file = load_decoders(path)
        file.check(encoder, path)
        missing = [layer for layer in layers if layer not in file.decoders]
        if missing:
            raise UsageError(
                f"{path} has no decoder of {missing[0]}; it has {', '.join(file.decoders)}"
            )
        return {layer: file.decoders[layer].requires_grad_(True) for layer in layers}
