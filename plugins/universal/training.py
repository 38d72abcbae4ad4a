"""``stylepipe train universal``: from photos and many paintings to a network for any painting."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stylepipe import (
    Context,
    SetupError,
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
from stylepipe.nst.training.options import UniversalOptions

if TYPE_CHECKING:
    from stylepipe.nst.training.universal import UniversalTask
    from stylepipe.nst.universal import UniversalNetwork

NETWORK = Path(__file__).with_name("universal.safetensors")
"""The network in the package."""


class UniversalTrainingOptions(TrainingOptions, run=UniversalOptions):
    """Options of ``stylepipe train universal``."""

    paintings: tuple[Path, ...] = option(
        (), "Folder of varied paintings, or a painting, to train on; a few dozen.",
        metavar="PATH",
    )  # fmt: skip
    init: str = option(
        "bundled", "Start from the network in the package, from random weights, or from a file.",
        metavar="bundled|random|FILE",
    )  # fmt: skip
    encoder: VggName = option("compact", "Network that judges.")
    encoder_weights: Path | None = option(
        None, "Its weights: safetensors, or a checkpoint of torchvision.", metavar="FILE"
    )

    def check(self) -> None:
        super().check()
        self.require(*self.paintings)
        if self.encoder_weights is not None:
            self.require(self.encoder_weights)


class UniversalTraining(Training):
    """Train the universal stylizer's network, on the paintings that it is to be good at."""

    name = "universal"
    Options = UniversalTrainingOptions
    options: UniversalTrainingOptions

    def train(self, context: Context) -> None:
        """Train, or resume training, and write the network."""
        options = self.options
        photos = find_pictures(options.photos, "--photos")
        paintings = find_pictures(options.paintings, "--paintings")
        output = run_training(lambda: _task(options, context, photos, paintings), options, context)
        context.log(
            f"wrote {output}; use it: stylepipe universal PHOTOS -o OUT --style PAINTING "
            f"--network {output}"
        )

    def stylizer_table(self, file: Path) -> dict[str, str]:
        """The network."""
        return {"network": str(file)}


def _task(
    options: UniversalTrainingOptions,
    context: Context,
    photos: Sequence[Path],
    paintings: Sequence[Path],
) -> UniversalTask:
    from stylepipe.encoders import open_encoder
    from stylepipe.nst.training.universal import UniversalTask

    run: UniversalOptions = options.run_options(context)
    device = context.device.torch
    encoder = open_encoder(
        options.encoder,
        options.encoder_weights,
        device=device,
        dtype=full_range_dtype(context.device),
        log=context.log,
    )
    return UniversalTask(
        _network(options, run.seed).to(device),
        encoder,
        photos,
        paintings,
        run,
        read=read_training_picture,
        previews=options.preview,
        metadata=options.metadata(
            teacher=encoder.title, data=f"{len(photos)} photos, {len(paintings)} paintings"
        ),
    )


def _network(options: UniversalTrainingOptions, seed: int) -> UniversalNetwork:
    import torch

    from stylepipe.nst.universal import UniversalNetwork, UniversalSpec, load_universal

    if options.init == "random":
        torch.manual_seed(seed)
        return UniversalNetwork(UniversalSpec())
    bundled = options.init == "bundled"
    path = NETWORK if bundled else user_path(options.init)
    try:
        return load_universal(path)[0].requires_grad_(True)
    except (ValueError, OSError) as error:
        if bundled:
            raise SetupError(f"{error}; install stylepipe again") from error
        raise UsageError(f"--init is bundled, random or a file: {error}") from error
