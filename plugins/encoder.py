"""``stylepipe train encoder``: a compact encoder learns to see what VGG-19 sees."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from stylepipe import Context, Training, __version__, hookimpl, option, read_picture
from stylepipe.encoders import halved

from .training import TrainFlags, check_paths, pictures, plan, train

if TYPE_CHECKING:
    from stylepipe.nst.encoders import Encoder
    from stylepipe.nst.training.encoder import EncoderTask


class EncoderFlags(TrainFlags):
    """What ``stylepipe train encoder`` can be told."""

    batch: int = option(8, "Pictures a step.", min=1)
    size: int = option(144, "Side in pixels of the pieces of pictures.", min=64)
    color_jitter: float = option(
        0.4, "Part of the pieces that get stronger, weaker or other colors.", min=0, max=1
    )
    paintings: tuple[Path, ...] = option(
        (), "Folder of paintings, a quarter of each batch, for an encoder judges these too.",
        metavar="PATH",
    )  # fmt: skip
    learning_rate: float = option(4e-4, "Learning rate at its highest.", min=1e-7, max=1)
    teacher: Literal["vgg19", "vgg16"] = option(
        "vgg19", "Network to learn from; fetched once (about 500 MB) if no weights are given.",
    )  # fmt: skip
    teacher_weights: tuple[Path, ...] = option(
        (), "Weights of a network to learn from, instead; repeat for several, which may each have "
        "some of the layers.", metavar="FILE",
    )  # fmt: skip
    guess: int = option(
        112, "Pictures for a first guess by least squares, layer by layer, which is worth some "
        "thousand steps; 0: random weights.", min=0,
    )  # fmt: skip
    start: Path | None = option(
        None, "Encoder to start from, instead of the guess.", metavar="FILE"
    )

    def check(self) -> None:
        super().check()
        check_paths(*self.paintings)


class EncoderTraining(Training):
    """Train a compact encoder, for gatys --encoder-weights, from a larger one."""

    name = "encoder"
    Options = EncoderFlags

    def train(self, context: Context) -> None:
        """Train, or go on training, and write the encoder."""
        flags: EncoderFlags = self.options
        photos = pictures(flags.photos, "--photos")
        paintings = pictures(flags.paintings, "--paintings") if flags.paintings else []
        output = train(lambda: _task(flags, context, photos, paintings), flags, context)
        context.log(
            f"wrote {output}; use it: stylepipe gatys PHOTOS -o OUT --style PAINTING "
            f"--encoder-weights {output}"
        )


def _task(
    flags: EncoderFlags, context: Context, photos: Sequence[Path], paintings: Sequence[Path]
) -> EncoderTask:
    from stylepipe.nst.training.encoder import EncoderOptions, EncoderTask

    teachers = _teachers(flags, context)
    more = {"paintings": 0.25 if paintings else 0.0} | ({"guess": 0} if flags.start else {})
    return EncoderTask(
        _student(flags).to(context.device.torch),
        teachers,
        photos,
        paintings,
        plan(EncoderOptions, flags, context, **more),
        read=read_picture,
        previews=flags.preview,
        metadata={
            "teacher": ", ".join([p.name for p in flags.teacher_weights] or [teachers[0].title]),
            "data": f"{len(photos)} photos, {len(paintings)} paintings",
            **({"licence": flags.license} if flags.license else {}),
            "stylepipe_version": __version__,
        },
    )


def _student(flags: EncoderFlags) -> Encoder:
    from stylepipe.nst.encoders import load_encoder
    from stylepipe.nst.training.encoder import fresh_encoder

    if flags.start is None:
        return fresh_encoder(flags.seed)
    return load_encoder(flags.start, name="compact")


def _teachers(flags: EncoderFlags, context: Context) -> list[Encoder]:
    import torch

    from stylepipe.encoders import open_encoder
    from stylepipe.nst.encoders import load_encoder

    device, dtype = context.device.torch, torch.bfloat16 if halved(context) else torch.float32
    if flags.teacher_weights:
        return [load_encoder(p, device=device, dtype=dtype) for p in flags.teacher_weights]
    return [open_encoder(flags.teacher, device=device, dtype=dtype, log=context.log)]


@hookimpl
def stylepipe_components() -> Iterable[type[Training]]:
    return [EncoderTraining]
