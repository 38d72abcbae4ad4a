"""Region masks, propagated through a network step by step, so that they fit its feature maps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from stylepipe.nst.names import Border
from stylepipe.spelling import suggest

from .windows import Window


def propagate(
    region_masks: Tensor, windows: Mapping[str, list[Window]], layers: Iterable[str], mode: Border
) -> dict[str, Tensor]:
    """region_masks: N K H W in [0,1]. windows: by layer, shallow first. See Encoder.propagate."""
    if mode not in get_args(Border):
        raise ValueError(
            f"unknown way {mode!r} to propagate masks{suggest(mode, get_args(Border))}; "
            f"there are {', '.join(get_args(Border))}"
        )
    wanted = set(layers)
    found: dict[str, Tensor] = {}
    region_masks = region_masks.float()
    (height, width), now = region_masks.shape[2:], region_masks
    for name, steps in windows.items():
        if len(found) == len(wanted):
            break
        for window in steps:
            height, width = window.size(height), window.size(width)
            if mode == "inside":
                now = window.least_of(now)
            elif mode == "feather":
                now = window.average(now)
        if name not in wanted:
            continue
        if mode == "feather":
            found[name] = now
            continue
        plain = F.adaptive_avg_pool2d(region_masks, (height, width))
        found[name] = plain if mode == "simple" else _or_plain(now, plain)
    return found


def _or_plain(eroded: Tensor, plain: Tensor) -> Tensor:
    """The eroded planes; the plain ones of regions that have less than one feature left."""
    empty = eroded.sum(dim=(2, 3), keepdim=True) < 1.0
    return torch.where(empty, plain, eroded)
