"""``stylepipe train encoder``: a compact encoder learns to see what VGG-19 sees."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from stylepipe import (
    Context,
    Training,
    TrainingOptions,
    find_pictures,
    full_range_dtype,
    hookimpl,
    option,
    read_training_picture,
    run_training,
)
from stylepipe.nst.training.options import EncoderOptions

if TYPE_CHECKING:
    from stylepipe.nst.encoders import Encoder
    from stylepipe.nst.training.encoder import EncoderTask


class EncoderTrainingOptions(TrainingOptions, run=EncoderOptions):
    """Options of ``stylepipe train encoder``."""

    paintings: tuple[Path, ...] = option(
        (), "Folder of paintings, a quarter of each batch, for an encoder judges these too.",
        metavar="PATH",
    )  # fmt: skip
    teacher: Literal["vgg19", "vgg16"] = option(
        "vgg19", "Network to learn from; fetched once (about 500 MB) if no weights are given.",
    )  # fmt: skip
    teacher_weights: tuple[Path, ...] = option(
        (), "Weights of a network to learn from, instead; repeat for several, which may each have "
        "some of the layers.", metavar="FILE",
    )  # fmt: skip
    start: Path | None = option(
        None, "Encoder to start from, instead of the guess.", metavar="FILE"
    )

    def check(self) -> None:
        super().check()
        self.require(*self.paintings)
        if self.start is not None:
            self.refuse("makes an encoder to start from, and --start FILE brings one", "guess")
        if self.teacher_weights:
            self.refuse("names a network, and --teacher-weights others", "teacher")


class EncoderTraining(Training):
    """Train a compact encoder, for gatys --encoder-weights, from a larger one."""

    name = "encoder"
    Options = EncoderTrainingOptions
    options: EncoderTrainingOptions

    def train(self, context: Context) -> None:
        """Train, or resume training, and write the encoder."""
        options = self.options
        photos = find_pictures(options.photos, "--photos")
        paintings = find_pictures(options.paintings, "--paintings") if options.paintings else []
        output = run_training(lambda: _task(options, context, photos, paintings), options, context)
        context.log(
            f"wrote {output}; use it: stylepipe gatys PHOTOS -o OUT --style PAINTING "
            f"--encoder-weights {output}"
        )

    def stylizer_table(self, file: Path) -> dict[str, str]:
        """For gatys."""
        return {"use": "gatys", "encoder_weights": str(file)}


def _task(
    options: EncoderTrainingOptions,
    context: Context,
    photos: Sequence[Path],
    paintings: Sequence[Path],
) -> EncoderTask:
    from stylepipe.nst.training.encoder import EncoderTask

    teachers = _teachers(options, context)
    run: EncoderOptions = options.run_options(context)
    run = run if paintings else replace(run, paintings=0.0)
    run = run if options.start is None else replace(run, guess=0)
    return EncoderTask(
        _student(options, run.seed).to(context.device.torch),
        teachers,
        photos,
        paintings,
        run,
        read=read_training_picture,
        previews=options.preview,
        metadata=options.metadata(
            teacher=", ".join([p.name for p in options.teacher_weights] or [teachers[0].title]),
            data=f"{len(photos)} photos, {len(paintings)} paintings",
        ),
    )


def _student(options: EncoderTrainingOptions, seed: int) -> Encoder:
    from stylepipe.nst.encoders import load_encoder
    from stylepipe.nst.training.encoder import fresh_encoder

    if options.start is None:
        return fresh_encoder(seed)
    return load_encoder(options.start, name="compact")


def _teachers(options: EncoderTrainingOptions, context: Context) -> list[Encoder]:
    from stylepipe.encoders import open_encoder
    from stylepipe.nst.encoders import load_encoder

    device, dtype = context.device.torch, full_range_dtype(context.device)
    if options.teacher_weights:
        return [load_encoder(p, device=device, dtype=dtype) for p in options.teacher_weights]
    return [open_encoder(options.teacher, device=device, dtype=dtype, log=context.log)]


@hookimpl
def stylepipe_components() -> Iterable[type[Training]]:
    return [EncoderTraining]
