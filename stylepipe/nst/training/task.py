"""What a training run is about: a model, its data, its objective. The loop does the rest."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .options import RunOptions

Rows = tuple[Tensor, ...]
"""A batch: tensors of as many rows each, so that workers can share it."""


@dataclass(frozen=True)
class Measurement:
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
        its own. Raises OSError where there is nothing to read any more.
        """

    @abstractmethod
    def measure(self, model: nn.Module, rows: Rows, step: int) -> Measurement:
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
        """Prepare the model of a run that does not resume from a checkpoint."""

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
