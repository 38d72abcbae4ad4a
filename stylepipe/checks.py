"""Checks of what components return, below the components themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stylepipe.errors import ItemError
from stylepipe.texts import shown

if TYPE_CHECKING:
    import torch


def named(stage: str, component: Any) -> str:
    """How messages name a component: with the plugin it comes from."""
    owner = f" of plugin {component.plugin}" if component.plugin else ""
    return f"{stage} {component.name!r}{owner}"


def checked_tensor(
    result: Any,
    shape: Sequence[int],
    who: str,
    device: torch.device | None = None,
    why: str = "",
) -> torch.Tensor:
    """A tensor that a component returned.

    Raises ItemError unless it has ``shape``, floating-point numbers, and is on ``device`` where one
    is given; ``why`` explains the shape.
    """
    import torch

    if not isinstance(result, torch.Tensor):
        raise ItemError(f"{who} returned {described(result)}, not a tensor")
    if tuple(result.shape) != tuple(shape):
        raise ItemError(
            f"{who} returned {tuple(result.shape)} where {tuple(shape)} was needed{why}"
        )
    if not result.is_floating_point():
        raise ItemError(f"{who} returned {result.dtype}; return floating point")
    if device is not None and result.device != device:
        raise ItemError(f"{who} returned a tensor on {result.device}, not on {device}")
    return result


def described(value: Any) -> str:
    """What a value is, in words for a message."""
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    return shown(value) if shape is None else f"{tuple(shape)} of {dtype}"
