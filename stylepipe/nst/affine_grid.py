"""A photo's colors changed by affine functions that vary smoothly with place and brightness.

Each cell of a coarse grid over width, height and brightness holds a function from the photo's
colors to those of a picture made from it: Chen et al., "Bilateral Guided Upsampling" (2016). What
it makes of the photo has the photo's edges and no others, at any size.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, unflatten

from .guided import GUIDE, products, slopes

LUMA = (0.299, 0.587, 0.114)
LEVELS = 6
"""Cells along the brightness."""
EPS = 3e-3
"""Variance of a cell's colors below which its slopes are those of a wider part of the picture."""
PRIOR = 0.3
"""Share of a cell's mean number of pixels with which what holds in a wider part counts in it."""
STRIP = 1 << 18
"""Pixels that are changed at once."""


def gather(photo: Tensor, target: Tensor, regions: Tensor | None, cells: int) -> Tensor:
    """What the functions follow from: sums over a photo 1 3 h w and what was made of it, 1 3 h w.

    regions: 1 K h w, how much of a pixel belongs to each, or None for one. cells: along the longer
    side, 1 or more. Returns K 22 LEVELS y x, float64, on the CPU; those of several frames add up.
    """
    height, width = photo.shape[2:]
    longer = max(height, width)
    shape = [1 + round(cells * side / longer) if cells > 1 else 1 for side in (height, width)]
    rows, columns = (
        _tents(side, count).to(photo) for side, count in zip((height, width), shape, strict=True)
    )
    values = torch.cat([torch.ones_like(photo[:, :1]), products(photo, target)], dim=1)
    if regions is not None:
        values = values * regions[0, :, None]  # K 22 h w
    level = _luma(photo).clamp(0, 1) * (LEVELS - 1)
    sums = [
        rows @ (values * (1 - (level - k).abs()).clamp_min(0)) @ columns.T for k in range(LEVELS)
    ]
    return torch.stack(sums, dim=2).cpu().double() / (height * width)


def fit(sums: Tensor, min_gain: float, max_gain: float) -> Tensor:
    """The functions, from sums of :func:`gather`: K 12 LEVELS y x, nine slopes and three offsets.

    min_gain: 0 to 1, the least slope of the result's brightness by the photo's, so that light never
    turns into shadow; with little, shadows may turn into mist. max_gain: 1 or more, the most by
    which any contrast is raised.

    Where few pixels are, or no contrast, a cell is like all cells of its brightness; those are like
    the whole picture, which is like the photo.
    """
    sums = _blurred(sums)
    identity = torch.eye(GUIDE, dtype=sums.dtype).view(1, GUIDE, GUIDE, 1, 1, 1)
    prior = identity, sums.new_zeros(1, GUIDE, 1, 1, 1)
    brightness = sums.sum(dim=(3, 4), keepdim=True)
    whole = brightness.sum(dim=2, keepdim=True)
    total = whole[:, :1]
    for own in (whole, brightness, sums):
        weight = 0 * total if own is whole else PRIOR * total / own[0, 0].numel()
        prior = _fitted(own, prior, weight, min_gain, max_gain)
    found, offsets = prior
    return torch.cat(
        [found.flatten(1, 2), _graded(sums[:, :1], found, offsets, min_gain, max_gain)], dim=1
    )


def apply(functions: Tensor, photo: Tensor, regions: Tensor | None) -> Tensor:
    """What functions K 12 LEVELS y x make of a photo 1 3 H W with regions 1 K H W: 1 3 H W."""
    _, _, height, width = photo.shape
    functions = functions.to(photo)
    across = (torch.arange(width, device=photo.device) + 0.5) * (2 / width) - 1
    result = torch.zeros_like(photo)
    step = max(1, STRIP // width)
    for top in range(0, height, step):
        rows = slice(top, min(top + step, height))
        part = photo[:, :, rows]
        down = torch.arange(rows.start, rows.stop, device=photo.device) + 0.5
        down = (down * (2 / height) - 1)[:, None].expand(-1, width)
        where = torch.stack([across.expand_as(down), down, 2 * _luma(part)[0, 0] - 1], dim=-1)
        for k in range(len(functions)):
            here = F.grid_sample(
                functions[k : k + 1], where[None, None], padding_mode="border", align_corners=True
            )[:, :, 0]
            slope = unflatten(here[:, : GUIDE * GUIDE], 1, (GUIDE, GUIDE))
            changed = (slope * part[:, None]).sum(dim=2) + here[:, GUIDE * GUIDE :]
            if regions is not None:
                changed *= regions[:, k : k + 1, rows]
            result[:, :, rows] += changed
    return result


def _fitted(
    sums: Tensor, prior: tuple[Tensor, Tensor], weight: Tensor, min_gain: float, max_gain: float
) -> tuple[Tensor, Tensor]:
    """Slopes K 3 3 ... and offsets K 3 ... of cells, where so many pixels speak for the prior."""
    slope, offset = prior
    count = sums[:, :1]
    means = sums[:, 1:] / count.clamp_min(1e-12)
    colors, targets = means[:, :GUIDE], means[:, GUIDE : 2 * GUIDE]
    share = count / (count + weight).clamp_min(1e-12)
    expected = (slope * colors[:, None]).sum(dim=2) + offset
    targets = torch.lerp(expected, targets, share)
    slope = slope.expand(*[len(sums), GUIDE, GUIDE], *sums.shape[2:])
    slope = _limited(
        torch.lerp(slope, slopes(means, EPS, slope), share[:, None]), min_gain, max_gain
    )
    return slope, targets - (slope * colors[:, None]).sum(dim=2)


def _limited(slope: Tensor, min_gain: float, max_gain: float) -> Tensor:
    """Slopes K 3 3 ... that raise no contrast by more, and that of brightness by no less."""
    left, gains, right = torch.linalg.svd(slope.movedim((1, 2), (-2, -1)))
    matrices: Tensor = (left * gains.clamp(max=max_gain)[..., None, :]) @ right
    luma = matrices.new_tensor(LUMA)
    lacking = (min_gain - (luma @ matrices).sum(dim=-1)).clamp_min(0)
    return (matrices + lacking[..., None, None] * luma).movedim((-2, -1), (1, 2))


def _graded(
    counts: Tensor, slope: Tensor, offset: Tensor, min_gain: float, max_gain: float
) -> Tensor:
    """The offsets, changed where from cell to cell brightness rises by less or more than allowed.

    The pixels of a place, counts K 1 LEVELS y x, stay as bright as they are in the mean.
    """
    level = torch.linspace(0, 1, LEVELS, dtype=slope.dtype).view(LEVELS, 1, 1)
    luma = slope.new_tensor(LUMA).view(GUIDE, 1, 1, 1)
    found = ((slope.sum(dim=2) * level + offset) * luma).sum(dim=1, keepdim=True)
    rises = (found.diff(dim=2) * (LEVELS - 1)).clamp(min_gain, max_gain) / (LEVELS - 1)
    graded = torch.cat([torch.zeros_like(found[:, :, :1]), rises.cumsum(dim=2)], dim=2)
    weights = counts + 1e-9
    change = graded - found
    change -= (weights * change).sum(dim=2, keepdim=True) / weights.sum(dim=2, keepdim=True)
    return offset + change


def _blurred(sums: Tensor) -> Tensor:
    """Each cell takes part in those beside it, so that functions change smoothly."""
    for dim in (2, 3, 4):
        length = sums.shape[dim]
        padding = [0] * 6
        padding[2 * (4 - dim)] = padding[2 * (4 - dim) + 1] = 1
        padded = F.pad(sums, padding)
        before, own, after = (padded.narrow(dim, start, length) for start in range(3))
        sums = 0.25 * before + 0.5 * own + 0.25 * after
    return sums


def _tents(side: int, count: int) -> Tensor:
    """How much each of ``side`` pixels belongs to each of ``count`` cells: count x side."""
    at = (torch.arange(side) + 0.5) * ((count - 1) / side)
    return (1 - (at[None] - torch.arange(count)[:, None]).abs()).clamp_min(0)


def _luma(picture: Tensor) -> Tensor:
    """Brightness N 1 H W of pictures N 3 H W."""
    return (picture * picture.new_tensor(LUMA).view(1, GUIDE, 1, 1)).sum(dim=1, keepdim=True)
