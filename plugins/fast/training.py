"""``stylepipe train fast``: from paintings and photos to a file of styles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stylepipe import (
    Context,
    ItemError,
    Options,
    SetupError,
    StylepipeError,
    UsageError,
    __version__,
    option,
)
from stylepipe.device import Device, native_bf16
from stylepipe.weights import KNOWN, fetch, known

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from stylepipe.nst.encoders import Encoder
    from stylepipe.nst.networks import StyleNetwork
    from stylepipe.nst.train import Painting, Progress, Teacher, Trainer

PICTURES = (
    ".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif", ".heic", ".heif",
)  # fmt: skip
MOST_PIXELS = 300_000_000


class TrainOptions(Options):
    """What ``stylepipe train fast`` can be told."""

    photos: tuple[Path, ...] = option(
        (), "Folder of varied photos, or a photo, to practise on; some hundreds.", metavar="PATH"
    )
    style: tuple[Path, ...] = option(
        (), "Painting to learn; repeat for several styles in one file, which can be blended.",
        metavar="IMAGE", short="s",
    )  # fmt: skip
    output: Path | None = option(
        None, "File of styles to write, NAME.safetensors.", metavar="FILE", short="o"
    )
    quality: str = option(
        "quality", "Network: the better one, or one many times cheaper.",
        choices=("quality", "light"),
    )  # fmt: skip
    init: str = option(
        "bundled", "Start from the bundled network, which is quicker, or from random weights.",
        choices=("bundled", "random"),
    )  # fmt: skip
    encoder: str = option(
        "vgg19", "Network that judges; fetched once (about 500 MB) if no weights are given.",
        choices=tuple(KNOWN),
    )  # fmt: skip
    encoder_weights: Path | None = option(
        None, "Weights of the network that judges: VGG-16 or VGG-19 of torchvision, or a small "
        "encoder, as safetensors or as a checkpoint of plain tensors.", metavar="FILE",
    )  # fmt: skip
    content_layers: tuple[str, ...] = option(("relu4_1",), "Layers that compare the content.")
    style_layers: tuple[str, ...] = option(
        ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"), "Layers that compare the style."
    )
    content_weight: float = option(0.4, "Weight of the content.", min=0)
    style_weight: float = option(1.0, "Weight of the style.", min=0)
    tv_weight: float = option(1.0, "Weight of smoothness (total variation).", min=0)
    style_size: int = option(
        480, "Short side in pixels to which a painting is scaled: sets the size of strokes.", min=32
    )
    steps: int = option(8000, "Steps of the optimiser.", min=1)
    batch: int = option(4, "Photos a step.", min=1)
    size: int = option(256, "Side in pixels of the pieces of photos.", min=64)
    learning_rate: float = option(1e-3, "Learning rate at its highest.", min=1e-7, max=1)
    seed: int = option(0, "The same seed gives the same result.", min=0)
    preview: tuple[Path, ...] = option(
        (), "Photo to paint from time to time; by default the first three.", metavar="IMAGE"
    )
    preview_every: int = option(500, "Steps between previews.", min=1)
    checkpoint_every: int = option(200, "Steps between checkpoints.", min=1)
    restart: bool = option(
        False, "Begin anew instead of going on from the last checkpoint; replace --output."
    )
    license: str = option("", "Licence of the styles, to be kept in the file.", metavar="TEXT")

    def check(self) -> None:
        if self.output is not None and self.output.suffix.lower() != ".safetensors":
            raise UsageError(f"--output must end in .safetensors, unlike {self.output}")
        for path in (*self.style, *self.photos, *self.preview):
            if not path.exists():
                raise UsageError(f"there is no {path}")
        names = [path.stem for path in self.style]
        for name in names:
            if names.count(name) > 1:
                raise UsageError(f"two paintings would give the style name {name!r}; rename one")


def train(options: TrainOptions, context: Context, start: Path) -> None:
    """Train, or go on training, and write ``options.output``.

    start: the bundled network. Checkpoints, the log and previews lie in ``NAME.training`` beside
    the output. Raises UsageError; SetupError if the encoder cannot be fetched or files cannot be
    written; StylepipeError if the training comes to nothing.
    """
    if not options.style:
        raise UsageError("name a painting to learn: --style IMAGE")
    if options.output is None:
        raise UsageError("say where the styles go: --output NAME.safetensors")
    photos = _pictures(options.photos)

    from stylepipe.nst.train import CHECKPOINT, CheckpointError, Trainer, TrainingFailed
    from stylepipe.nst.train import TrainOptions as Plan

    folder = options.output.with_suffix(".training")
    if options.output.exists() and not (folder / CHECKPOINT).exists() and not options.restart:
        raise UsageError(
            f"{options.output} is there already, and not from this training; choose another "
            "--output, or pass --restart to replace it"
        )

    device = context.device
    workers = min(_threads(), options.batch) if device.type == "cpu" else 1
    try:
        plan = Plan(
            steps=options.steps,
            batch=options.batch,
            size=options.size,
            learning_rate=options.learning_rate,
            content_weight=options.content_weight,
            style_weight=options.style_weight,
            tv_weight=options.tv_weight,
            style_side=options.style_size,
            seed=options.seed,
            copy_steps=min(300, options.steps // 10) if options.init == "random" else 0,
            precision="bfloat16" if _half(device) else "float32",
            workers=workers,
            preview_every=options.preview_every,
            checkpoint_every=options.checkpoint_every,
        )
        trainer = Trainer(
            _network(options, start).to(device.torch),
            [_teacher(options, context)],
            photos,
            _paintings(options),
            plan,
            folder,
            read=read_picture,
            previews=options.preview,
            metadata={
                "teacher": (options.encoder_weights or known(options.encoder).path).name,
                "data": f"{len(photos)} photos",
                **({"licence": options.license} if options.license else {}),
                "stylepipe_version": __version__,
            },
        )
    except (ValueError, FileNotFoundError) as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        raise SetupError(f"the training cannot begin: {error}") from error
    for warning in trainer.warnings:
        context.log(f"warning: {warning}")
    try:
        if options.restart:
            trainer.clear()
        _run(trainer, options, context).replace(options.output)
    except CheckpointError as error:
        raise UsageError(f"{error}; pass --restart to begin anew") from error
    except TrainingFailed as error:
        raise StylepipeError(f"the training failed: {error}") from error
    except OSError as error:
        raise SetupError(f"the training cannot go on: {error}") from error
    one = f"{options.output}#{options.style[0].stem}" if len(options.style) > 1 else options.output
    context.log(f"wrote {options.output}; use it: stylepipe fast PHOTOS -o OUT --style {one}")


def _pictures(paths: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        inside = path.rglob("*") if path.is_dir() else [path]
        found += [p for p in inside if p.suffix.lower() in PICTURES]
    if not found:
        where = ", ".join(str(p) for p in paths)
        raise UsageError(
            f"no photo in {where}" if paths else "name a folder of photos: --photos DIR"
        )
    return sorted(set(found))


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Read a photo or painting as the engine reads it: H W 3, sRGB, upright, on white.

    Raises ValueError where it cannot be read.
    """
    import numpy as np

    from stylepipe.media import decode

    try:
        if decode.probe(path, MOST_PIXELS) is None:
            raise ItemError("it moves: only still pictures can be learned from")
        frame = decode.read(path, MOST_PIXELS)
    except ItemError as error:
        raise ValueError(f"cannot read {path}: {error}") from error
    pixels, alpha = _eight(frame.pixels), frame.alpha
    if alpha is not None:
        cover = _eight(alpha)[..., None].astype(np.float32) / 255
        pixels = (pixels * cover + 255 * (1 - cover) + 0.5).astype(np.uint8)
    return np.ascontiguousarray(pixels)


def _eight(values: NDArray[np.uint8 | np.uint16]) -> NDArray[np.uint8]:
    return (values >> 8 if values.dtype.itemsize == 2 else values).astype("uint8", copy=False)


def _half(device: Device) -> bool:
    """Whether to train in bfloat16; float16, which CUDA prefers, has too small a range."""
    half = device.dtype.itemsize == 2
    return half and (device.type != "cuda" or native_bf16(device.torch))


def _threads() -> int:
    import torch

    return torch.get_num_threads()


def _network(options: TrainOptions, start: Path) -> StyleNetwork:
    import torch

    from stylepipe.nst.networks import SPECS, StyleNetwork, load_styles

    count = len(options.style)
    if options.init == "bundled":
        return load_styles(start)[0].select([0] * count)
    torch.manual_seed(options.seed)
    return StyleNetwork(SPECS[options.quality], count)


def _paintings(options: TrainOptions) -> list[Painting]:
    from stylepipe.nst.networks import StyleRecord
    from stylepipe.nst.train import Painting

    return [Painting(StyleRecord(path.stem, source=path.name), path) for path in options.style]


def _teacher(options: TrainOptions, context: Context) -> Teacher:
    from stylepipe.nst.train import STYLE_LAYERS, Teacher

    encoder = _encoder(options, context)
    return Teacher(
        encoder,
        {layer: STYLE_LAYERS.get(layer, 1.0) for layer in options.style_layers},
        dict.fromkeys(options.content_layers, 1.0),
    )


def _encoder(options: TrainOptions, context: Context) -> Encoder:
    import torch

    from stylepipe.nst.encoders import load_encoder

    try:
        path = options.encoder_weights or fetch(known(options.encoder))
    except SetupError as error:
        raise SetupError(f"{error}; or name a file with --encoder-weights") from error
    dtype = torch.bfloat16 if _half(context.device) else torch.float32
    return load_encoder(path, dtype=dtype, device=context.device.torch)


def _run(trainer: Trainer, options: TrainOptions, context: Context) -> Path:
    from tqdm import tqdm

    if trainer.checkpoint.exists():
        context.log(f"going on from {trainer.checkpoint}")
    told, taken = len(trainer.warnings), 0
    with tqdm(total=options.steps, unit="step", disable=None) as bar:

        def show(progress: Progress) -> None:
            nonlocal taken
            taken += 1
            bar.set_postfix_str(f"loss {progress.terms['loss']:.3f}", refresh=False)
            bar.update(progress.step - bar.n)

        try:
            result = trainer.run(show)
        except KeyboardInterrupt:
            context.log(f"stopped at step {trainer.step}; the same command goes on from there")
            raise
    for warning in trainer.warnings[told:]:
        context.log(f"warning: {warning}")
    if not taken:
        context.log("already trained; pass --restart to train anew")
    return result
