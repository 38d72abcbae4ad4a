"""The ladder that a batch goes down when memory does not suffice: fewer frames, smaller tiles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from stylepipe import guard
from stylepipe.components import Stylizer
from stylepipe.errors import ItemError
from stylepipe.memory import is_out_of_memory
from stylepipe.tiling import tiles
from stylepipe.types import Batch, Guide

SMALLEST_TILE = 128
"""Pixels; a picture that cannot be painted in tiles of this side is given up."""


def run_within_memory(stylizer: Stylizer, batch: Batch) -> torch.Tensor:
    """Stylize a batch, in smaller and smaller pieces as long as memory does not suffice.

    First fewer frames at once; then, if the stylizer's caps say tileable, tiles that see
    ``receptive_radius`` pixels around them, so that no seam appears. Pictures below
    ``caps.min_side`` are extended by reflection, and cut back. Returns N3HW, ``caps.scale`` times
    as large as the batch. Raises ItemError when the smallest piece is too large, or a result has
    another size.
    """
    result = _attempt(stylizer, batch)
    if result is not None:
        return result
    if len(batch.images) > 1:
        half = len(batch.images) // 2
        parts = (_part(batch, frames=slice(None, half)), _part(batch, frames=slice(half, None)))
        return torch.cat([run_within_memory(stylizer, part) for part in parts])
    height, width = batch.images.shape[2:]
    side = max(height, width) // 2
    while stylizer.caps.tileable and side >= SMALLEST_TILE:
        result = _tiled(stylizer, batch, side)
        if result is not None:
            return result
        side //= 2
    raise ItemError(
        f"not enough memory to paint {width}x{height} pixels with {stylizer.name!r} on "
        f"{batch.images.device}; make the picture smaller or use another device"
    )


def _attempt(stylizer: Stylizer, batch: Batch) -> torch.Tensor | None:
    """None if memory did not suffice; by then all that was allocated is free again."""
    scale, (height, width) = stylizer.caps.scale, batch.images.shape[2:]
    extended = _extended(batch, stylizer.caps.min_side)
    try:
        result = stylizer.stylize(extended)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    else:
        result = guard.painted(result, extended.images, stylizer)
        return result[:, :, : scale * height, : scale * width]
    if batch.images.is_cuda:
        torch.cuda.empty_cache()
    return None


def _tiled(stylizer: Stylizer, batch: Batch, side: int) -> torch.Tensor | None:
    scale, (count, channels, height, width) = stylizer.caps.scale, batch.images.shape
    out = batch.images.new_empty(count, channels, scale * height, scale * width)
    for tile in tiles(height, width, side, stylizer.caps.receptive_radius):
        y0, y1, x0, x1 = tile.window
        painted = _attempt(stylizer, _part(batch, rows=slice(y0, y1), columns=slice(x0, x1)))
        if painted is None:
            return None
        top, bottom, left, right = (scale * side for side in tile.core)
        rows, columns = (slice(scale * s.start, scale * s.stop) for s in tile.inside)
        out[:, :, top:bottom, left:right] = painted[:, :, rows, columns]
    return out


def _part(
    batch: Batch,
    frames: slice = slice(None),
    rows: slice = slice(None),
    columns: slice = slice(None),
) -> Batch:
    part = _mapped(batch, lambda x: x[frames, :, rows, columns])
    return replace(part, first=batch.first + (frames.start or 0))


def _extended(batch: Batch, side: int) -> Batch:
    """Extend right and down by reflection until no side is shorter than ``side``."""
    height, width = batch.images.shape[2:]
    if min(height, width) >= side:
        return batch
    rows, columns = _reflected(height, side), _reflected(width, side)
    return _mapped(batch, lambda x: x[:, :, rows][:, :, :, columns])


def _reflected(length: int, side: int) -> list[int]:
    """Indices 0 1 2 .. 2 1 0 1 .. of as many entries as are needed."""
    period = max(2 * length - 2, 1)
    positions = (i % period for i in range(max(length, side)))
    return [min(i, period - i) if period > 1 else 0 for i in positions]


def _mapped(batch: Batch, change: Callable[[torch.Tensor], torch.Tensor]) -> Batch:
    """The batch with every tensor in it changed alike: images, masks and guide."""

    def changed(values: Batch | Guide) -> dict[str, Any]:
        return {k: change(v) for k, v in vars(values).items() if isinstance(v, torch.Tensor)}

    guide = batch.guide and replace(batch.guide, **changed(batch.guide))
    return replace(batch, **changed(batch), guide=guide)
