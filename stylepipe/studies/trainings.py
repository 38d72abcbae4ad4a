"""What ``stylepipe sweep --train`` trains: a file for each combination of a training's options.

Each is an ordinary training with its checkpoint, so that a sweep that was interrupted continues in
the middle of it. However many variants are painted by a file, it is trained once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stylepipe.components import Context, Training
from stylepipe.errors import UsageError
from stylepipe.job import Job
from stylepipe.memory import available_memory
from stylepipe.nst.files import read_metadata
from stylepipe.nst.training.log import LOG, read_seconds, read_terms
from stylepipe.studies.charts import Points
from stylepipe.studies.variants import TRAIN, Variant, file_name
from stylepipe.training import AGAIN, OtherTraining, TrainingOptions, work_folder

FOLDER = "trained"
"""In the folder of a study: the files, and what their trainings leave."""
_OWN = ("output", "restart")
"""Options that a sweep sets by itself."""


@dataclass(frozen=True)
class Plan:
    """What a sweep trains. Raises UsageError for what it cannot train, or has no photos for."""

    kind: type[Training]
    folder: Path
    """Of the files."""
    constant: Mapping[str, Any]
    """Plain values of the options that do not vary."""

    def __post_init__(self) -> None:
        if not issubclass(self.kind.Options, TrainingOptions):
            raise UsageError(
                f"the training {self.kind.name} does not resume as those of stylepipe do, and so "
                f"is none for a sweep; run stylepipe train {self.kind.name} for each value, and "
                "name the files by --style"
            )

    @property
    def learns_style(self) -> bool:
        """Whether it is trained for a painting; others are for any."""
        return any(spec.name == "style" for spec in self.kind.Options.specs())

    def training(self, variant: Variant) -> Training:
        """The training of a variant, whose options name its file. Raises UsageError."""
        varied = variant.trained
        values = {**self.constant, **varied.tables[TRAIN]}
        for name in _OWN:
            if name in values:
                raise UsageError(f"{TRAIN}.{name} is chosen by the sweep; leave it out")
        if not values.get("photos"):
            raise UsageError(f"name photos to train {self.kind.name} on: --train-photos FOLDER")
        name = file_name({"": self.kind.name, **varied.values}, [self.kind.name, values])
        output = self.folder / f"{name}.safetensors"
        try:
            options = self.kind.Options.build({**values, "output": str(output)}, "option")
        except UsageError as error:
            raise UsageError(f"[{TRAIN}] {_as_keys(str(error), self.kind)}") from error
        return self.kind(options)

    def stylizer_table(self, training: Training) -> dict[str, Any]:
        """What ``[stylizer]`` needs to paint by a training's file. Raises UsageError."""
        try:
            table = training.stylizer_table(training.options.output)
        except UsageError as error:
            raise UsageError(f"[{TRAIN}] {_as_keys(str(error), self.kind)}") from error
        if table is None:
            raise UsageError(
                f"the training {self.kind.name} does not say how a stylizer paints by its file, "
                f"and so is none for a sweep; run stylepipe train {self.kind.name} by itself"
            )
        if len(table.get("style", ())) > 1:
            raise UsageError(
                f"{training.options.output.stem} would learn several styles in one file, and a "
                f"sweep paints by one: name each by --style, or vary {TRAIN}.only"
            )
        return {"use": self.kind.name, **table}


class Trained:
    """Trains what the variants of a job need, each file once."""

    def __init__(self, job: Job, log: Callable[[str], None], bars: bool) -> None:
        """``log`` is told what trainings say. ``bars``: whether they may show a progress bar."""
        self._job, self._log, self._bars = job, log, bars
        self._failures: dict[Path, Exception | None] = {}

    def train(self, training: Training) -> None:
        """Train, or resume, or see that all is done. Raises whatever the training does, for the
        same file the same error again."""
        file: Path = training.options.output
        if file not in self._failures:
            self._failures[file] = self._attempt(training)
        if (failure := self._failures[file]) is not None:
            raise failure

    def _attempt(self, training: Training) -> Exception | None:
        try:
            try:
                self._run(training)
            except OtherTraining as error:
                if not self._job.overwrite:
                    raise UsageError(f"{error.why}; pass --overwrite to train again") from error
                self._run(type(training)(replace(training.options, restart=True)))
        except UsageError as error:
            return UsageError(_as_keys(str(error), type(training)))
        except Exception as error:
            return error
        return None

    def _run(self, training: Training) -> None:
        from stylepipe.device import pick

        file = training.options.output

        def say(line: str) -> None:
            self._log(f"{file.stem}: {line.removesuffix(AGAIN)}")

        device = pick(self._job.device, self._job.precision)
        memory = self._job.memory or available_memory() // 2
        training.train(Context(device, memory, say, bars=self._bars))


def _as_keys(text: str, kind: type[Training]) -> str:
    """What a training says of its flags, in the words of a sweep: ``train.steps`` for ``--steps``,
    and ``train.style`` for what may as well be ``--style``."""
    known = {spec.flag: f"{TRAIN}.{spec.name}" for spec in kind.Options.specs()}
    return re.sub(r"--[a-z][a-z-]*", lambda found: known.get(found[0], found[0]), text)


def learned(training: Training) -> dict[str, Points]:
    """Loss and terms by step, as far as it came; empty before its first step. Raises OSError."""
    log = _log(training.options.output)
    return {**read_terms(log)} if log.is_file() else {}


def painting_of(training: Training) -> Path | None:
    """The painting that it learns, if it is one."""
    styles: tuple[Path, ...] = getattr(training.options, "style", ())
    return styles[0] if len(styles) == 1 else None


def seconds(file: Path) -> float:
    """How long the training of a file took, by the file itself or else by the log beside it; 0
    where neither says it."""
    # a file that is missing or damaged is the failure of the run
    with suppress(OSError, ValueError):
        if "seconds" in (facts := read_metadata(file)):
            return float(facts["seconds"])
    with suppress(OSError):
        return read_seconds(_log(file))
    return 0.0


def _log(file: Path) -> Path:
    return work_folder(file) / LOG
