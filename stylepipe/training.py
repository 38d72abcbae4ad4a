"""Shared by all ``stylepipe train NAME``: options, progress bar, checkpoints, clear errors.

A training in a plugin is a Training component whose ``train`` hands a task to :func:`run_training`;
stylepipe.nst.training has the tasks, their settings, and the loop.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from inspect import get_annotations
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, get_type_hints

from stylepipe.components import Context
from stylepipe.device import full_range_dtype
from stylepipe.errors import ItemError, SetupError, StylepipeError, UsageError
from stylepipe.eta import duration, elapsed
from stylepipe.lock import Lock
from stylepipe.nst.training.options import RunOptions, described
from stylepipe.options import Options, flag_of, option
from stylepipe.pictures import PICTURE_SUFFIXES, read_picture
from stylepipe.stdio import is_terminal, note
from stylepipe.version import __version__

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from stylepipe.nst.training.loop import Progress, Trainer
    from stylepipe.nst.training.task import Task


class TrainingOptions(Options):
    """Options of a training command, for ``Training.Options``.

    A class names the settings of its run, each of which becomes an option of the same name,
    default, help and range, unless the class declares one of this name itself::

        class BlurOptions(TrainingOptions, run=RunOptions):
            radius: int = option(3, "Pixels.", min=1)
    """

    run: ClassVar[type[RunOptions]]
    """The settings of the run."""

    photos: tuple[Path, ...] = option(
        (), "Folder of varied photos, or a photo, to train on; a few hundred.", metavar="PATH"
    )
    output: Path | None = option(
        None, "File to write, NAME.safetensors.", metavar="FILE", short="o"
    )
    preview: tuple[Path, ...] = option(
        (), "Photo to show from time to time; by default the first three.", metavar="IMAGE"
    )
    restart: bool = option(
        False, "Start over instead of resuming from the last checkpoint; replace --output."
    )
    license: str = option("", "License of the result, stored in the file.", metavar="TEXT")

    def __init_subclass__(cls, run: type[RunOptions] | None = None, **kwargs: Any) -> None:
        if run is not None:
            cls.run = run
            declared, types = get_annotations(cls), get_type_hints(run)
            for name, facts in described(run).items():
                if facts["offered"] and name not in declared:
                    bounds = {"min": facts["min"], "max": facts["max"]}
                    cls.__annotations__[name] = types[name]
                    setattr(cls, name, option(getattr(run, name), facts["help"], **bounds))
        super().__init_subclass__(**kwargs)

    def check(self) -> None:
        if self.output is not None and self.output.suffix.lower() != ".safetensors":
            raise UsageError(f"--output must end in .safetensors, unlike {self.output}")
        self.require(*self.photos, *self.preview)
        if self.values().get("minutes") is not None:
            self.refuse("means nothing beside --minutes, which follows the clock", "steps")

    def require(self, *paths: Path) -> None:
        """Raises UsageError for a path that is not there."""
        for path in paths:
            if not path.exists():
                raise UsageError(f"there is no {path}")

    def refuse(self, why: str, *names: str) -> None:
        """Raises UsageError if one of these options was changed, which would not be used here."""
        for name in names:
            if name in self.given():
                raise UsageError(f"{flag_of(name)} {why}; leave it out")

    def metadata(self, **more: str) -> dict[str, str]:
        """The metadata of the result's file, for a task: ``more``, license, version."""
        license = {"licence": self.license} if self.license else {}
        return {**more, **license, "stylepipe_version": __version__}

    def run_options(self, context: Context) -> Any:
        """The settings of the run, of the class ``run``: the options of the same names, and the
        number type and threads that the device asks for. Raises UsageError.
        """
        offered = (name for name, facts in described(self.run).items() if facts["offered"])
        own = {name: getattr(self, name) for name in offered}
        halved = full_range_dtype(context.device).itemsize == 2
        if not halved and context.device.dtype.itemsize == 2:
            context.log("float16 has too small a range to train in: float32 is used")
        try:
            run = self.run(**own, precision="bfloat16" if halved else "float32")
            workers = min(_threads(), run.batch) if context.device.type == "cpu" else 1
            return replace(run, workers=workers)
        except ValueError as error:
            raise UsageError(str(error)) from error


_LINE_EVERY = 60.0
"""Seconds between two lines that say how far a training is."""
AGAIN = "; pass --restart to train again"
"""Follows the line that there is nothing to do."""


class OtherTraining(UsageError):
    """What lies at the output, or its checkpoint, is of another training."""

    def __init__(self, why: str, advice: str) -> None:
        """``why`` alone says nothing of flags."""
        super().__init__(f"{why}; {advice}")
        self.why = why


def work_folder(output: Path) -> Path:
    """Where checkpoints, the log and previews of a training are kept."""
    return output.with_suffix(".training")


def _threads() -> int:
    import torch

    return torch.get_num_threads()


def find_pictures(paths: Sequence[Path], flag: str) -> list[Path]:
    """The pictures of these folders and files. Raises UsageError where there are none."""
    found: list[Path] = []
    for path in paths:
        inside = path.rglob("*") if path.is_dir() else [path]
        found += [p for p in inside if p.suffix.lower() in PICTURE_SUFFIXES and p.is_file()]
    if not found:
        where = ", ".join(str(p) for p in paths)
        raise UsageError(
            f"no picture in {where}" if paths else f"name a folder of pictures: {flag} DIR"
        )
    return sorted(set(found))


def read_training_picture(path: Path) -> NDArray[np.uint8]:
    """Read a picture for a task of stylepipe.nst.training: H W 3, sRGB, upright.

    Raises UnreadablePicture of stylepipe.nst.photos.
    """
    from stylepipe.nst.photos import UnreadablePicture

    try:
        return read_picture(path)
    except ItemError as error:
        raise UnreadablePicture(str(error)) from error


def run_training(make: Callable[[], Task], options: TrainingOptions, context: Context) -> Path:
    """Train the task that ``make`` returns, or resume it; write ``options.output`` and return it.

    How long it took, all runs together, is its string ``seconds``. Without a terminal a line a
    minute says how far it is. Checkpoints, the log and previews are kept in ``NAME.training``
    beside the output. Raises UsageError; SetupError if files cannot be read or written, or another
    training is writing them; StylepipeError if the training fails.
    """
    if options.output is None:
        raise UsageError("say where the result goes: --output NAME.safetensors")
    with _locked(work_folder(options.output)) as folder:
        return _trained(make, options, options.output, folder, context)


@contextmanager
def _locked(folder: Path) -> Iterator[Path]:
    """The work folder, for this training alone. Raises SetupError."""
    try:
        lock = Lock(folder)
    except BlockingIOError:
        raise SetupError(
            f"another training is writing to {folder}; wait for it, or choose another --output"
        ) from None
    except OSError as error:
        raise SetupError(f"the training cannot start: {error}") from error
    try:
        yield folder
    finally:
        lock.release()


def _trained(
    make: Callable[[], Task],
    options: TrainingOptions,
    output: Path,
    folder: Path,
    context: Context,
) -> Path:
    from stylepipe.nst.training.loop import CHECKPOINT, CheckpointError, Trainer, TrainingFailed

    if output.exists() and not (folder / CHECKPOINT).exists() and not options.restart:
        raise OtherTraining(
            f"{output} is there already, and not from this training",
            "choose another --output, or pass --restart to replace it",
        )
    try:
        trainer = Trainer(make(), folder)
    except (ValueError, FileNotFoundError) as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        raise SetupError(f"the training cannot start: {error}") from error
    for warning in trainer.task.warnings:
        context.log(f"warning: {warning}")
    try:
        if options.restart:
            trainer.clear()
        result = _run(trainer, context)
        _keep_seconds(result, trainer.elapsed)
        result.replace(output)
    except CheckpointError as error:
        raise OtherTraining(str(error), "pass --restart to start over") from error
    except TrainingFailed as error:
        raise StylepipeError(f"the training failed: {error}") from error
    except OSError as error:
        raise SetupError(f"the training cannot continue: {error}") from error
    return output


def _keep_seconds(result: Path, seconds: float) -> None:
    """Write into the result how long its training took, for ``stylepipe compare``."""
    from stylepipe.nst.files import add_metadata

    try:
        add_metadata(result, seconds=f"{seconds:.2f}")
    except ValueError as error:
        raise StylepipeError(f"the training failed: {result} is no safetensors file") from error


class Pace:
    """How far a training is, in a line a minute, for those who watch no bar."""

    def __init__(self, steps: int | None) -> None:
        """``steps`` in all; None where a training follows the clock."""
        self._steps = steps
        self._began: tuple[float, float] | None = None
        """When the first step was done, and the share of all that it was."""
        self._told = 0.0

    def line(self, progress: Progress, now: float) -> str | None:
        """What to say after a step; None within a minute of the last line."""
        if self._began is None:
            self._began, self._told = (now, progress.fraction), now
        if now < self._told + _LINE_EVERY:
            return None
        self._told = now
        then, begun = self._began
        of = f" of {self._steps}" if self._steps else ""
        said = f"step {progress.step}{of}, loss {progress.terms['loss']:.3f}"
        if progress.fraction > begun:
            left = (now - then) / (progress.fraction - begun) * (1 - progress.fraction)
            said += f", {duration(left)} left"
        return said


def _run(trainer: Trainer, context: Context) -> Path:
    from tqdm import tqdm

    if trainer.checkpoint.exists():
        context.log(f"resuming from {trainer.checkpoint}")
    elif trainer.task.opening:
        context.log(trainer.task.opening)
    reported, taken = len(trainer.task.warnings), 0
    steps = None if trainer.options.minutes else trainer.options.steps
    pace = Pace(steps)
    hidden = not (context.bars and is_terminal(sys.stderr))
    with tqdm(total=steps, unit="step", disable=hidden) as bar:

        def show(progress: Progress) -> None:
            nonlocal taken
            taken += 1
            share = f"{progress.fraction:.0%} " if steps is None else ""
            bar.set_postfix_str(f"{share}loss {progress.terms['loss']:.3f}", refresh=False)
            bar.update(progress.step - bar.n)
            if line := pace.line(progress, time.monotonic()):
                (context.log if bar.disable else note)(line)

        try:
            result = trainer.run(show)
        except KeyboardInterrupt:
            if trainer.checkpoint.exists():
                context.log(f"stopped at step {trainer.step}; the same command resumes there")
            else:
                context.log("stopped before the first step; the same command starts over")
            raise
    for warning in trainer.task.warnings[reported:]:
        context.log(f"warning: {warning}")
    if taken:
        context.log(f"trained {trainer.step} steps in {elapsed(trainer.elapsed)}")
    else:
        context.log(f"already trained{AGAIN}")
    return result
