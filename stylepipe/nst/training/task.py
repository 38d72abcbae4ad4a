"""What a training run is about: a model, its data, its objective. The loop does the rest."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from stylepipe.device import native_bf16

Rows = tuple[Tensor, ...]
"""A batch: tensors of as many rows each, so that workers can share it."""


@dataclass(frozen=True)
class RunOptions:
    """How to train, whatever is trained. Tasks add their own.

    warmup: the part of the run in which the learning rate rises. max_gradient: norm to which a
    step's gradient is shortened. workers: CPU threads that share each batch. minutes: follow the
    clock instead of counting steps. Raise ValueError for what makes no sense.
    """

    steps: int = 4000
    batch: int = 4
    learning_rate: float = 1e-3
    warmup: float = 0.03
    max_gradient: float = 10.0
    seed: int = 0
    precision: Literal["auto", "bfloat16", "float32"] = "auto"
    workers: int = 1
    minutes: float | None = None
    checkpoint_every: int = 200
    preview_every: int = 500

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "workers", "checkpoint_every", "preview_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")

    def dtype(self, device: torch.device) -> torch.dtype:
        """The number type of the convolutions."""
        half = native_bf16(device) if self.precision == "auto" else self.precision == "bfloat16"
        return torch.bfloat16 if half else torch.float32


@dataclass(frozen=True)
class Measured:
    """What the objective says of some rows.

    terms: name -> a number, the mean over the rows; their sum is minimized. spread: how much each
    row's output varies (N); near 0 it is one flat field, and the run has collapsed.
    """

    terms: dict[str, Tensor]
    spread: Tensor


class Task(ABC):
    """Something to train.

    model: its weights, in float32, on the device to train on. columns: the terms' names, as the
    log orders them. kinds: what the rows of a batch can be, in the user's words: each is watched
    for collapse on its own. warnings: sentences on input that is left out; it may grow.
    opening: what begin() takes its time for, in a few words.
    """

    model: nn.Module
    options: RunOptions
    columns: tuple[str, ...]
    kinds: Sequence[str] = ("the output",)
    warnings: Sequence[str] = ()
    opening: str = ""

    @abstractmethod
    def batch(self, step: int) -> Rows:
        """The rows of a step: a function of the seed and the step alone. Called in a thread of
        its own. Raise OSError where there is nothing to read any more.
        """

    @abstractmethod
    def measure(self, model: nn.Module, rows: Rows, step: int) -> Measured:
        """The objective of some of a step's rows, on the device. model: a replica. Called in
        several threads at once.
        """

    @abstractmethod
    def identity(self) -> Mapping[str, Any]:
        """All that the result depends on besides the options, by what users call it; for JSON."""

    @abstractmethod
    def preview(self, model: nn.Module) -> list[list[Tensor]]:
        """Rows of pictures (1 3 H W, one shape a row) that show how far it is. model: a replica."""

    @abstractmethod
    def save(self, folder: Path, step: int) -> Path:
        """Write what was trained."""

    def begin(self) -> None:  # noqa: B027  (most have nothing to do)
        """Prepare the model of a run that starts, and does not go on from a checkpoint."""

    def groups(self) -> list[dict[str, Any]]:
        """Groups of parameters for the optimizer, with the `factor` of their learning rate."""
        return [{"params": list(self.model.parameters()), "factor": 1.0}]

    def kind(self, rows: Rows) -> Sequence[int]:
        """For each row an index into `kinds`."""
        return [0] * len(rows[0])

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device


def replica(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A copy for one worker: the convolutions compute in `dtype`, the rest as it did."""
    copied = copy.deepcopy(model)
    for module in copied.modules():
        if isinstance(module, nn.Conv2d):
            module.to(dtype)
    return copied
