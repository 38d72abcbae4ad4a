"""Guided filters: give a picture's edges to a mask or another plane computed from it.

He, Sun, Tang, "Guided Image Filtering" (2010), for guides of three channels. Around each pixel the
target is taken for an affine function of the guide's colors, so that its edges become the guide's.
He, Sun, "Fast Guided Filter" (2015): these functions are smooth, so a smaller copy yields them.
"""

from __future__ import annotations

from math import ceil

import torch
import torch.nn.functional as F
from torch import Tensor, unflatten

from stylepipe.tiling import tiles

GUIDE = 3
PAIRS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
"""Of the guide's channels, as their products are listed."""
TILE = 512
"""Side in pixels of what is worked on at once; the results do not depend on it."""
STRIP = 1 << 19
"""Pixels that enlarged functions are applied to at once."""


def box_mean(planes: Tensor, radius: int) -> Tensor:
    """Means of planes N C H W over squares of 2 radius + 1 pixels; at the borders, over what of
    the square lies inside. The time does not depend on the radius. Raises ValueError for a
    negative one.
    """
    if radius < 0:
        raise ValueError(f"a radius is 0 or more, not {radius}")
    if radius == 0:
        return planes
    for dim in (2, 3):
        length = planes.shape[dim]
        at = torch.arange(length, device=planes.device)
        last, first = (at + radius + 1).clamp(max=length), (at - radius).clamp(min=0)
        # Running sums of float32 lose the digits that their differences need.
        sums = planes.cumsum(dim, dtype=_exact(planes))
        sums = torch.cat([torch.zeros_like(sums.narrow(dim, 0, 1)), sums], dim)
        found = sums.index_select(dim, last) - sums.index_select(dim, first)
        counts = (last - first).view(-1, *[1] * (3 - dim))
        planes = (found / counts).to(planes.dtype)
    return planes


def products(guide: Tensor, target: Tensor) -> Tensor:
    """What an affine function is fitted by: guide, target, the guide's PAIRS, and each channel of
    the target times the guide's. guide: N 3 H W; target: N C H W. Returns N (9 + 4 C) H W.
    """
    pairs = [guide[:, i] * guide[:, j] for i, j in PAIRS]
    crosses = (target[:, :, None] * guide[:, None]).flatten(1, 2)
    return torch.cat([guide, target, torch.stack(pairs, dim=1), crosses], dim=1)


def slopes(means: Tensor, eps: float, prior: Tensor | None = None) -> Tensor:
    """The slopes A of the best functions A guide + b, by means of :func:`products`, N (9 + 4 C) ...

    eps: variance below which contrast of the guide counts for little, and A is the prior,
    N C 3 ..., by default 0. Returns N C 3 ....
    """
    channels = (means.shape[1] - 9) // 4
    guide, target, pairs, crosses = torch.split(means, [GUIDE, channels, 6, GUIDE * channels], 1)
    crosses = unflatten(crosses, 1, (channels, GUIDE)) - target[:, :, None] * guide[:, None]
    a, b, c, d, e, f = (pairs[:, n] - guide[:, i] * guide[:, j] for n, (i, j) in enumerate(PAIRS))
    if prior is not None:
        spread = unflatten(torch.stack([a, b, c, b, d, e, c, e, f], dim=1), 1, (GUIDE, GUIDE))
        crosses = crosses - (prior[:, :, :, None] * spread[:, None]).sum(dim=2)
    a, d, f = a + eps, d + eps, f + eps
    # The inverse of a symmetric matrix, written out: for millions of small ones it is the fastest.
    inverse = torch.stack(
        [d * f - e * e, c * e - b * f, b * e - c * d,
         c * e - b * f, a * f - c * c, b * c - a * e,
         b * e - c * d, b * c - a * e, a * d - b * b], dim=1,
    )  # fmt: skip
    inverse = inverse / (a * inverse[:, 0] + b * inverse[:, 1] + c * inverse[:, 2])[:, None]
    inverse = unflatten(inverse, 1, (GUIDE, GUIDE))
    found: Tensor = (crosses[:, :, :, None] * inverse[:, None]).sum(dim=2)
    return found if prior is None else prior + found


def local_affine(
    guide: Tensor, target: Tensor, radius: int, eps: float, weights: Tensor | None = None
) -> Tensor:
    """Around each pixel the affine function of the guide's colors that comes closest to a target.

    guide: N 3 H W in [0,1]; target: N C H W; radius: in pixels, 0 or more; eps: variance, above 0,
    below which contrast of the guide counts as none; weights: N 1 H W above 0, how much each pixel
    of the target counts, by default all alike. Returns N 4C H W: slopes, three by channel of
    the target, then the C offsets, each the mean over the functions that see the pixel. Raises
    ValueError for other sizes or values.
    """
    if guide.shape[1] != GUIDE or guide.shape[2:] != target.shape[2:]:
        raise ValueError(
            f"a guide of {tuple(guide.shape)} does not fit a target of {tuple(target.shape)}"
        )
    if radius < 0 or not eps > 0:
        raise ValueError(f"radius must be 0 or more and eps above 0, not {radius} and {eps}")
    channels, height, width = target.shape[1:]
    result = target.new_empty(len(target), 4 * channels, height, width)
    for tile in tiles(height, width, TILE, 2 * radius):
        top, bottom, left, right = tile.window
        window = (..., slice(top, bottom), slice(left, right))
        # Small variances are differences of large means.
        near, wanted = (x[window].to(_exact(x)) for x in (guide, target))
        if weights is None:
            means = box_mean(products(near, wanted), radius)
        else:
            weight = weights[window].to(_exact(weights))
            means = box_mean(weight * products(near, wanted), radius) / box_mean(weight, radius)
        found = slopes(means, eps)
        offsets = means[:, GUIDE : GUIDE + channels] - (found * means[:, None, :GUIDE]).sum(dim=2)
        smooth = box_mean(torch.cat([found.flatten(1, 2), offsets], dim=1), radius)
        first, last, begin, end = tile.core
        result[..., first:last, begin:end] = smooth[(..., *tile.inside)]
    return result


def apply_affine(coefficients: Tensor, guide: Tensor) -> Tensor:
    """What functions from :func:`local_affine`, N 4C h w, make of a guide N 3 H W: N C H W.

    A guide of another size has them enlarged, linearly: the edges are the guide's all the same.
    """
    height, width = guide.shape[2:]
    channels = coefficients.shape[1] // 4
    result = guide.new_empty(len(guide), channels, height, width)
    step = max(1, STRIP // width)
    for top in range(0, height, step):
        rows = slice(top, min(top + step, height))
        here = _enlarged(coefficients, guide, rows)
        found = unflatten(here[:, : GUIDE * channels], 1, (channels, GUIDE))
        change = (found * guide[:, None, :, rows]).sum(dim=2)
        result[:, :, rows] = change.add_(here[:, GUIDE * channels :])
    return result


def guided_filter(guide: Tensor, target: Tensor, radius: int, eps: float) -> Tensor:
    """The target N C H W with the edges of the guide N 3 H W; see :func:`local_affine`."""
    return apply_affine(local_affine(guide, target, radius, eps), guide)


def fast_guided_filter(
    guide: Tensor, target: Tensor, radius: int, eps: float, step: int = 4
) -> Tensor:
    """Nearly :func:`guided_filter`, from copies ``step`` times smaller, for large pictures.

    radius: in pixels of the guide N 3 H W, which may be larger than the target N C h w; the
    target is brought to the size of the guide's copy.
    """
    if step < 1:
        raise ValueError(f"a step is 1 or more, not {step}")
    size = [ceil(length / step) for length in guide.shape[2:]]
    small = guide if step == 1 else F.interpolate(guide, size, mode="area")
    larger = target.shape[2] > size[0] or target.shape[3] > size[1]
    if larger:
        target = F.interpolate(target, size, mode="area")
    elif list(target.shape[2:]) != size:
        target = F.interpolate(target, size, mode="bilinear", align_corners=False)
    return apply_affine(local_affine(small, target, max(1, round(radius / step)), eps), guide)


def _exact(values: Tensor) -> torch.dtype:
    return torch.float32 if values.device.type == "mps" else torch.float64


def _enlarged(planes: Tensor, guide: Tensor, rows: slice) -> Tensor:
    """Some rows of planes N C h w that are stretched to a guide's size, linearly."""
    if planes.shape[2:] == guide.shape[2:]:
        return planes[:, :, rows]
    for dim, part in ((2, rows), (3, slice(0, guide.shape[3]))):
        own, wanted = planes.shape[dim], guide.shape[dim]
        at = torch.arange(part.start, part.stop, device=planes.device, dtype=planes.dtype)
        at = ((at + 0.5) * (own / wanted) - 0.5).clamp(0, own - 1)
        low = at.long()
        share = (at - low).view(-1, *[1] * (3 - dim))
        below = planes.index_select(dim, low)
        above = planes.index_select(dim, (low + 1).clamp(max=own - 1))
        planes = torch.lerp(below, above, share)
    return planes
