"""What every training command shares: its flags, its bar, its errors. No plugin of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from stylepipe import (
    Context,
    ItemError,
    Options,
    SetupError,
    StylepipeError,
    UsageError,
    option,
)
from stylepipe.encoders import halved

if TYPE_CHECKING:
    from stylepipe.nst.training.loop import Progress, Trainer
    from stylepipe.nst.training.task import RunOptions, Task

    R = TypeVar("R", bound=RunOptions)

PICTURES = (
    ".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif", ".heic", ".heif",
)  # fmt: skip


class TrainFlags(Options):
    """Flags of every ``stylepipe train`` command."""

    photos: tuple[Path, ...] = option(
        (), "Folder of varied photos, or a photo, to practise on; some hundreds.", metavar="PATH"
    )
    output: Path | None = option(
        None, "File to write, NAME.safetensors.", metavar="FILE", short="o"
    )
    steps: int = option(8000, "Steps of the optimizer.", min=1)
    minutes: float | None = option(None, "Follow the clock instead of counting steps.", min=0.01)
    batch: int = option(4, "Photos a step.", min=1)
    size: int = option(256, "Side in pixels of the pieces of photos.", min=64)
    color_jitter: float = option(
        0.5, "Part of the pieces that get stronger, weaker or other colors.", min=0, max=1
    )
    learning_rate: float = option(1e-3, "Learning rate at its highest.", min=1e-7, max=1)
    seed: int = option(0, "The same seed gives the same result, on the CPU.", min=0)
    preview: tuple[Path, ...] = option(
        (), "Photo to show from time to time; by default the first three.", metavar="IMAGE"
    )
    preview_every: int = option(500, "Steps between previews.", min=1)
    checkpoint_every: int = option(200, "Steps between checkpoints.", min=1)
    restart: bool = option(
        False, "Begin anew instead of going on from the last checkpoint; replace --output."
    )
    license: str = option("", "Licence of the result, to be kept in the file.", metavar="TEXT")

    def check(self) -> None:
        if self.output is not None and self.output.suffix.lower() != ".safetensors":
            raise UsageError(f"--output must end in .safetensors, unlike {self.output}")
        check_paths(*self.photos, *self.preview)


def check_paths(*paths: Path) -> None:
    """Raise UsageError for one that is not there."""
    for path in paths:
        if not path.exists():
            raise UsageError(f"there is no {path}")


def pictures(paths: Sequence[Path], flag: str) -> list[Path]:
    """The pictures of these folders and files. Raise UsageError where there are none."""
    found: list[Path] = []
    for path in paths:
        inside = path.rglob("*") if path.is_dir() else [path]
        found += [p for p in inside if p.suffix.lower() in PICTURES]
    if not found:
        where = ", ".join(str(p) for p in paths)
        raise UsageError(
            f"no picture in {where}" if paths else f"name a folder of pictures: {flag} DIR"
        )
    return sorted(set(found))


def plan(kind: type[R], flags: TrainFlags, context: Context, **more: Any) -> R:
    """The options of a run: flags of the same names, and what follows from the device."""
    own = {f.name: getattr(flags, f.name) for f in fields(kind) if hasattr(flags, f.name)}
    workers = min(_threads(), flags.batch) if context.device.type == "cpu" else 1
    precision = "bfloat16" if halved(context) else "float32"
    return kind(**{**own, "workers": workers, "precision": precision, **more})


def _threads() -> int:
    import torch

    return torch.get_num_threads()


def train(make: Callable[[], Task], flags: TrainFlags, context: Context) -> Path:
    """Train, or go on training, what ``make`` makes, and write ``flags.output``; return it.

    Checkpoints, the log and previews lie in ``NAME.training`` beside the output. Raises
    UsageError; SetupError if files cannot be read or written; StylepipeError if the training
    comes to nothing.
    """
    from stylepipe.nst.training.loop import CHECKPOINT, CheckpointError, Trainer, TrainingFailed

    output = flags.output
    if output is None:
        raise UsageError("say where the result goes: --output NAME.safetensors")
    folder = output.with_suffix(".training")
    if output.exists() and not (folder / CHECKPOINT).exists() and not flags.restart:
        raise UsageError(
            f"{output} is there already, and not from this training; choose another --output, or "
            "pass --restart to replace it"
        )
    try:
        trainer = Trainer(make(), folder)
    except (ValueError, FileNotFoundError, ItemError) as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        raise SetupError(f"the training cannot begin: {error}") from error
    for warning in trainer.task.warnings:
        context.log(f"warning: {warning}")
    try:
        if flags.restart:
            trainer.clear()
        _run(trainer, context).replace(output)
    except CheckpointError as error:
        raise UsageError(f"{error}; pass --restart to begin anew") from error
    except TrainingFailed as error:
        raise StylepipeError(f"the training failed: {error}") from error
    except OSError as error:
        raise SetupError(f"the training cannot go on: {error}") from error
    return output


def _run(trainer: Trainer, context: Context) -> Path:
    from tqdm import tqdm

    if trainer.checkpoint.exists():
        context.log(f"going on from {trainer.checkpoint}")
    elif trainer.task.opening:
        context.log(trainer.task.opening)
    told, taken = len(trainer.task.warnings), 0
    steps = None if trainer.options.minutes else trainer.options.steps
    with tqdm(total=steps, unit="step", disable=None) as bar:

        def show(progress: Progress) -> None:
            nonlocal taken
            taken += 1
            share = f"{progress.fraction:.0%} " if steps is None else ""
            bar.set_postfix_str(f"{share}loss {progress.terms['loss']:.3f}", refresh=False)
            bar.update(progress.step - bar.n)

        try:
            result = trainer.run(show)
        except KeyboardInterrupt:
            if trainer.checkpoint.exists():
                context.log(f"stopped at step {trainer.step}; the same command goes on from there")
            else:
                context.log("stopped before the first step; the same command begins anew")
            raise
    for warning in trainer.task.warnings[told:]:
        context.log(f"warning: {warning}")
    if not taken:
        context.log("already trained; pass --restart to train anew")
    return result
