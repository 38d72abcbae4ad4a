"""The training loop: it resumes exactly, and goes back when a run collapses."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from io import BytesIO
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from stylepipe.device import native_bf16
from stylepipe.nst.files import write_atomically
from stylepipe.nst.photos import write_grid

from .log import LOG, Log
from .options import described
from .task import Rows, Task, replica

CHECKPOINT = "checkpoint.pt"
MAX_ROLLBACKS = 3
MIN_SPREAD = 0.02  # an output that varies less is one gray, black or white field
# Options that change neither the result nor, but for its end, the course of a run. The workers
# of a run are those it began with.
FREE_OPTIONS = ("checkpoint_every", "preview_every", "minutes", "workers")


class TrainingFailed(RuntimeError):
    """The run collapsed to one color or to values that are not finite, again and again, or its
    result cannot be saved."""


class CheckpointError(ValueError):
    """A checkpoint that is damaged, or that another run wrote."""


@dataclass(frozen=True)
class Progress:
    """What a callback receives after each step."""

    step: int
    steps: int
    fraction: float
    terms: dict[str, float]


class Trainer:
    """Trains a task's model in place: run() starts, or resumes from the last checkpoint.

    Files in out_dir: checkpoint.pt, log.csv, preview-*.png and at the end what the task saves.
    On the CPU, with as many threads, a run that was stopped and resumed gives bit for bit the
    weights of an uninterrupted one, unless it follows the clock (options.minutes).
    """

    def __init__(self, task: Task, out_dir: Path) -> None:
        self.task, self.options, self.out_dir = task, task.options, out_dir
        self.model = task.model.train().to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.Adam(task.groups(), lr=self.options.learning_rate)
        self.replicas: list[nn.Module] = []
        self.step = 0
        self.elapsed = 0.0
        self.rollbacks = 0
        self.spreads = [0.5] * len(task.kinds)  # of each kind's last rows, a running mean
        self._settled = True  # False: between two states that a run can resume from
        self.checkpoint = out_dir / CHECKPOINT
        columns = ("step", "seconds", "loss", *task.columns, "gradient", "spread")
        self._log = Log(out_dir / LOG, columns)
        self.identity = self._identity()

    def run(self, on_progress: Callable[[Progress], None] | None = None) -> Path:
        """Train to the end, from the last checkpoint if there is one; return the file saved.

        Ctrl-C writes a checkpoint before it ends the run. Raises TrainingFailed when the run
        collapses and going back does not help, CheckpointError for a checkpoint that does not
        fit, OSError where files cannot be written or no photo can be read any more.
        """
        self.out_dir.mkdir(parents=True, exist_ok=True)
        if self.checkpoint.exists():
            self.load_checkpoint()
        else:
            began = time.monotonic()
            self.task.begin()
            self.elapsed = time.monotonic() - began
            self.save_checkpoint()  # where the first collapse goes back to
        self._make_replicas()
        crew = self.options.workers
        with (
            ThreadPoolExecutor(1) as loader,
            ThreadPoolExecutor(crew, initializer=_single_thread if crew > 1 else None) as workers,
        ):
            try:
                self._train(loader, workers, on_progress)
            except KeyboardInterrupt:
                if self._settled:
                    self.save_checkpoint()
                raise
        self.save_checkpoint()
        try:
            return self.task.save(self.out_dir, self.step)
        except ValueError as error:
            raise TrainingFailed(f"its result cannot be saved: {error}") from error

    def clear(self) -> None:
        """Remove the checkpoint, the log and the previews of an earlier run."""
        for path in (self.checkpoint, self._log.path, *self.out_dir.glob("preview-*.png")):
            path.unlink(missing_ok=True)

    def _train(
        self,
        loader: ThreadPoolExecutor,
        workers: ThreadPoolExecutor,
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        started = time.monotonic() - self.elapsed
        upcoming = loader.submit(self.task.batch, self.step)
        while (fraction := self.fraction()) < 1.0:
            rows = upcoming.result()
            upcoming = loader.submit(self.task.batch, self.step + 1)
            terms = self._train_step(workers, rows, fraction)
            self.elapsed = time.monotonic() - started
            if not _healthy(terms):
                upcoming = self._roll_back(loader, terms)
                continue
            row = {key: f"{value:.6g}" for key, value in terms.items()}
            self._log.append({**row, "step": self.step, "seconds": f"{self.elapsed:.2f}"})
            self._settled = True
            if self.step % self.options.preview_every == 0:
                self.preview()
            if self.step % self.options.checkpoint_every == 0:
                self.save_checkpoint()
            if on_progress is not None:
                on_progress(Progress(self.step, self.options.steps, fraction, terms))

    def fraction(self) -> float:
        """How much of the run is over, 0 to 1: by steps, or by the clock where that is set."""
        if self.options.minutes is not None:
            return min(1.0, self.elapsed / (60.0 * self.options.minutes))
        return min(1.0, self.step / self.options.steps)

    def learning_rate(self, fraction: float) -> float:
        """Linear warm-up, then half a cosine to zero; halved after every roll-back."""
        warmup = self.options.warmup
        if fraction < warmup:
            scale = (fraction + 1e-3) / (warmup + 1e-3)
        else:
            scale = 0.5 + 0.5 * math.cos(math.pi * (fraction - warmup) / (1.0 - warmup))
        return self.options.learning_rate * scale * 0.5**self.rollbacks

    def _make_replicas(self) -> None:
        """One copy of the model a worker; the optimizer's weights stay in float32."""
        dtype = _number_type(self.options.precision, self.task.device)
        while len(self.replicas) < self.options.workers:
            self.replicas.append(replica(self.model, dtype))

    def _train_step(
        self, workers: ThreadPoolExecutor, rows: Rows, fraction: float
    ) -> dict[str, float]:
        count, total = self.options.workers, len(rows[0])
        shares = list(zip(*(_placed(t, self.task.device).chunk(count) for t in rows), strict=True))
        self._copy_weights()
        parts = list(workers.map(self._gradients, self.replicas, shares))
        weights = [len(share[0]) / total for share in shares]
        for index, parameter in enumerate(self.model.parameters()):
            gradients = (w * g[index].float() for w, (g, _, _) in zip(weights, parts, strict=True))
            parameter.grad = torch.stack(list(gradients)).sum(dim=0)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.options.max_gradient)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(fraction) * group["factor"]
        # From here until the step is logged, the state is no one's to save.
        self._settled = False
        if torch.isfinite(norm):
            self.optimizer.step()
        self.step += 1
        terms = {
            key: sum(w * float(t[key]) for w, (_, t, _) in zip(weights, parts, strict=True))
            for key in parts[0][1]
        }
        terms["loss"] = sum(terms.values())
        terms["gradient"] = float(norm)
        self._watch(rows, torch.cat([spread for _, _, spread in parts]).tolist())
        terms["spread"] = min(self.spreads)
        return terms

    def _watch(self, rows: Rows, spreads: Sequence[float]) -> None:
        for kind, spread in zip(self.task.kind(rows), spreads, strict=True):
            self.spreads[kind] = (self.spreads[kind] + spread) / 2

    def _copy_weights(self) -> None:
        with torch.no_grad():
            for copied in self.replicas:
                for own, master in zip(copied.parameters(), self.model.parameters(), strict=True):
                    own.copy_(master)

    def _gradients(
        self, model: nn.Module, rows: Rows
    ) -> tuple[tuple[Tensor, ...], dict[str, Tensor], Tensor]:
        """Of a worker's rows: the gradients, the terms, the spreads."""
        measured = self.task.measure(model, rows, self.step)
        total = torch.stack(list(measured.terms.values())).sum()
        gradients = torch.autograd.grad(total, list(model.parameters()))
        terms = {key: value.detach() for key, value in measured.terms.items()}
        return gradients, terms, measured.spread.detach().cpu()

    def _roll_back(self, loader: ThreadPoolExecutor, terms: dict[str, float]) -> Future[Rows]:
        failed, rollbacks = self.step, self.rollbacks + 1
        if rollbacks > MAX_ROLLBACKS:
            flattest = self.task.kinds[self.spreads.index(min(self.spreads))]
            raise TrainingFailed(
                f"step {failed}: loss {terms['loss']:.4g}, deviation {terms['spread']:.4g} of "
                f"{flattest}, also after {MAX_ROLLBACKS} roll-backs: lower the learning rate, or "
                "the weight of the term that grew in log.csv"
            )
        elapsed = self.elapsed
        self.load_checkpoint()
        self.rollbacks, self.elapsed, self._settled = rollbacks, elapsed, True
        self.save_checkpoint()
        return loader.submit(self.task.batch, self.step)

    def save_checkpoint(self) -> None:
        """Write all that a resumed run needs, atomically."""
        buffer = BytesIO()
        torch.save(
            {
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "step": self.step,
                "elapsed": self.elapsed,
                "rollbacks": self.rollbacks,
                "spreads": self.spreads,
                "workers": self.options.workers,
                "identity": self.identity,
            },
            buffer,
        )
        write_atomically(self.checkpoint, buffer.getvalue())

    def load_checkpoint(self) -> None:
        """Load the state of checkpoint.pt, with as many workers as it was written with, and drop
        what the log holds of later steps. Raises CheckpointError where it is damaged or of a run
        with other options, data or networks.
        """
        try:
            state: dict[str, Any] = torch.load(
                self.checkpoint, map_location=self.task.device, weights_only=True
            )
            other = [key for key, own in self.identity.items() if state["identity"][key] != own]
        except (RuntimeError, EOFError, UnpicklingError, LookupError, TypeError, ValueError) as e:
            raise CheckpointError(f"{self.checkpoint} is damaged, or of another version") from e
        if other:
            raise CheckpointError(f"{self.checkpoint} was made with other {' and '.join(other)}")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.elapsed = state["step"], state["elapsed"]
        self.rollbacks, self.spreads = state["rollbacks"], list(state["spreads"])
        self.options = replace(self.options, workers=state["workers"])
        self._log.trim(self.step)

    def _identity(self) -> dict[str, str]:
        """What makes this run this run: digests of all that its result depends on."""
        kind = type(self.options)
        added = {name for name, facts in described(kind).items() if facts["later"]}
        options = {
            name: value
            for name, value in asdict(self.options).items()
            if name not in FREE_OPTIONS and not (name in added and value == getattr(kind, name))
        }
        texts = {
            key: json.dumps(value)
            for key, value in {"options": options, **self.task.identity()}.items()
        }
        return {key: hashlib.sha256(text.encode()).hexdigest() for key, text in texts.items()}

    def preview(self) -> Path | None:
        """Draw the task's preview as it is now. None where it has nothing to show."""
        self._make_replicas()
        self._copy_weights()
        with torch.no_grad():
            rows = self.task.preview(self.replicas[0])
        if not rows:
            return None
        path = self.out_dir / f"preview-{self.step:06d}.png"
        write_grid(path, rows)
        return path


def _number_type(precision: str, device: torch.device) -> torch.dtype:
    half = native_bf16(device) if precision == "auto" else precision == "bfloat16"
    return torch.bfloat16 if half else torch.float32


def _placed(tensor: Tensor, device: torch.device) -> Tensor:
    form = torch.channels_last if tensor.ndim == 4 else torch.contiguous_format
    return tensor.to(device).contiguous(memory_format=form)


def _single_thread() -> None:
    torch.set_num_threads(1)


def _healthy(terms: dict[str, float]) -> bool:
    return all(map(math.isfinite, terms.values())) and terms["spread"] > MIN_SPREAD
