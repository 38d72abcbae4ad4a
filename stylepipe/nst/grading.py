"""The colors of one picture for another, as a smooth table: optimal transport, then a fit.

Samples of the photo are moved, in Oklab, until they are distributed as those of the reference
(sliced transport: Rabin et al. 2012; Bonneel et al. 2015). Each color would then move on its
own, and neighbors might part: skies would band, noise would grow. So a smooth function is fitted to
the ways, B-splines with a thin-plate penalty, and no slope of the table exceeds a limit. Where the
photo has no colors, the function tends to change nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch.nn.functional import adaptive_avg_pool2d

from stylepipe.nst.oklab import oklab, srgb
from stylepipe.nst.tables import POINTS, Table, grid

SAMPLES = 8192
"""Colors that stand for a picture."""
STEEPEST = 3.0
"""How many times as far apart two close colors may be in the result, along each edge of the table:
noise grows no more than that."""
_SIDE = 160
"""A picture's samples are those of one as large: single noisy pixels do not count."""
_BINS = 20
"""Samples that share a cell of a grid of so many a side are one observation of the fit."""
_CELLS = 6
"""Cells of the splines along each edge."""
_ROUNDS, _BASES = 16, 4
_SMOOTH = 3e-4
"""Weight of the splines' bending, where all observations together weigh 1."""
_PULL = 1e-3
"""Weight of each coefficient's way from 0."""
_DARK, _MUCH = 0.04, 0.1
"""Colors below _DARK are black; a photo of which they are so large a part has much of it."""
_LIFT = 2.0
"""How far colors may get from a black that is held, over how far they were: less than STEEPEST."""
_NEAR_TURNS, _WIDE_TURNS = 100, 12
"""To make a table gentle it is smoothed in so many turns where it is steep, and then everywhere, in
each turn twice as widely as in the one before; few pictures need any of the latter."""


def samples(picture: torch.Tensor, alpha: torch.Tensor | None = None) -> torch.Tensor:
    """SAMPLES colors, N3 in sRGB, that are distributed as those of ``picture``, 3HW in [0, 1].

    ``alpha``, 1HW in [0, 1]: what is transparent does not count. A picture of which nothing can be
    seen has none: N is 0.
    """
    height, width = picture.shape[1:]
    shrink = max(1.0, (height * width) ** 0.5 / _SIDE)
    size = max(1, round(height / shrink)), max(1, round(width / shrink))
    if alpha is None:
        colors = adaptive_avg_pool2d(picture, size).flatten(1).T
    else:
        weight = adaptive_avg_pool2d(alpha, size)
        known = weight[0] > 0.5
        colors = (adaptive_avg_pool2d(picture * alpha, size) / weight.clamp_min(1e-6))[:, known].T
    return _spread(colors, SAMPLES)


def blend(parts: Sequence[tuple[torch.Tensor, float]]) -> torch.Tensor:
    """SAMPLES colors of several pictures, each with as many as its weight says; they sum to 1."""
    counts = [round(weight * SAMPLES) for _, weight in parts]
    counts[0] += SAMPLES - sum(counts)
    return torch.cat([_spread(part, n) for (part, _), n in zip(parts, counts, strict=True)])


def fitted_table(photo: torch.Tensor, reference: torch.Tensor) -> Table:
    """The table that gives colors distributed as ``photo`` the distribution of ``reference``.

    Both are SAMPLES x 3 colors in sRGB, of :func:`samples` or :func:`blend`. The table is on the
    CPU, whatever they are on, and the same for the same samples.
    """
    photo, reference = photo.cpu().float(), reference.cpu().float()
    start = oklab(photo)
    ways = _transported(start, oklab(reference)) - start
    black = _black(photo, start, ways)
    colors, ways, weights = _observed(photo, ways)
    return _fit(colors.double(), ways.double(), weights.double(), black)


def _spread(colors: torch.Tensor, count: int) -> torch.Tensor:
    """``count`` of the colors N3, evenly."""
    if not len(colors):
        return colors
    steps = torch.arange(count, device=colors.device)
    return colors[steps * len(colors) // count]


def _transported(start: torch.Tensor, goal: torch.Tensor) -> torch.Tensor:
    """Where the points ``start`` N3 go, which end distributed as ``goal`` N3.

    Along one direction the best transport is to meet rank by rank; the mean over a few directions
    is a step.
    """
    generator = torch.Generator().manual_seed(0)
    points = start.clone()
    for _ in range(_ROUNDS):
        bases = torch.linalg.qr(torch.randn(_BASES, 3, 3, generator=generator)).Q
        axes = bases.transpose(0, 1).reshape(3, -1)
        here, order = (points @ axes).sort(0)
        there = (goal @ axes).sort(0).values
        steps = torch.empty_like(here).scatter_(0, order, there - here)
        points += steps @ axes.T / _BASES
    return points


def _black(photo: torch.Tensor, start: torch.Tensor, ways: torch.Tensor) -> torch.Tensor | None:
    """What becomes of black, 3 in sRGB, where the photo has much of it; None where it has little.

    Most of it counts, not the mean: a few samples that are moved far would tint a black background.
    """
    dark = photo.amax(1) < _DARK
    if dark.float().mean() < _MUCH:
        return None
    return srgb((start[dark] + ways[dark]).median(0).values)


def _observed(
    photo: torch.Tensor, ways: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Mean colors P3, their mean ways P3 and weights P that sum to 1.

    Weights grow slower than areas do, so that a large sky does not outvote a small face.
    """
    cells = (photo * _BINS).long().clamp_(max=_BINS - 1)
    keys = (cells[:, 0] * _BINS + cells[:, 1]) * _BINS + cells[:, 2]
    found, member, counts = torch.unique(keys, return_inverse=True, return_counts=True)
    sums = torch.zeros(len(found), 6).index_add_(0, member, torch.cat([photo, ways], 1))
    means = sums / counts[:, None]
    weights = counts.float().sqrt()
    return means[:, :3], means[:, 3:], weights / weights.sum()


def _fit(
    colors: torch.Tensor, ways: torch.Tensor, weights: torch.Tensor, black: torch.Tensor | None
) -> Table:
    """The smooth table nearest to the ways P3 of the colors P3, by their weights P.

    ``black``: what becomes of black, in sRGB, or None if nothing is known of it.
    """
    red, green, blue = (_splines(colors[:, c]) for c in range(3))
    basis = torch.einsum("pi,pj,pk->pkji", red, green, blue).flatten(1)
    normal = basis.T @ (basis * weights[:, None]) + _SMOOTH * _bending()
    normal.diagonal().add_(_PULL)
    found = torch.linalg.solve(normal, basis.T @ (ways * weights[:, None]))
    size = _CELLS + 3
    nodes = _splines(torch.linspace(0, 1, POINTS, dtype=torch.float64))
    way = torch.einsum("bk,gj,ri,kjic->bgrc", nodes, nodes, nodes, found.view(size, size, size, 3))
    return Table(_gentle(srgb(oklab(grid().double()) + way).float(), black))


def _gentle(values: torch.Tensor, black: torch.Tensor | None = None) -> torch.Tensor:
    """The table, smoothed where a slope is too steep or a lighter gray darker than another.

    Splines are smooth; the ends of what sRGB can show, and Oklab near black, are not.
    """
    plain = grid(len(values))
    values = _held(values, plain, black)
    way = values - plain
    for turn in range(_NEAR_TURNS + _WIDE_TURNS):
        steep = _steep(plain + way).float()
        if not steep.any():
            break
        wide = turn - _NEAR_TURNS
        where = _blurred(steep) if wide < 0 else 1.0
        smooth = _blurred(way, 1 << max(0, wide))
        way = _held(plain + way + where * (smooth - way), plain, black) - plain
    return plain + way


def _held(values: torch.Tensor, plain: torch.Tensor, black: torch.Tensor | None) -> torch.Tensor:
    """The table, whose dark colors are brought as near to ``black`` as _LIFT says."""
    if black is None:
        return values
    away = values - black
    most = _LIFT * plain.norm(dim=-1, keepdim=True)
    share: torch.Tensor = (most / away.norm(dim=-1, keepdim=True).clamp_min(1e-6)).clamp_max(1)
    return black + away * share


def _steep(values: torch.Tensor) -> torch.Tensor:
    """The points, n n n 1, on either side of a step that must not be."""
    n = len(values)
    steep = torch.zeros(n, n, n, 1, dtype=torch.bool)
    for axis in range(3):
        found = values.diff(dim=axis).norm(dim=-1, keepdim=True) > STEEPEST / (n - 1)
        steep.narrow(axis, 0, n - 1).logical_or_(found)
        steep.narrow(axis, 1, n - 1).logical_or_(found)
    gray = torch.arange(n)
    falling = oklab(values[gray, gray, gray])[:, :1].diff(dim=0) < -1e-5
    steep[gray[1:], gray[1:], gray[1:]] |= falling
    steep[gray[:-1], gray[:-1], gray[:-1]] |= falling
    return steep


def _blurred(values: torch.Tensor, turns: int = 1) -> torch.Tensor:
    """n n n C, each point mixed with its neighbors along each axis, 1 2 1, so many times."""
    n = len(values)
    once = torch.eye(n) / 2
    for step in (-1, 1):
        once[torch.arange(n), (torch.arange(n) + step).clamp(0, n - 1)] += 0.25
    mixed = torch.linalg.matrix_power(once, turns)
    for _ in range(3):  # the axis in front becomes the last of the three
        values = torch.einsum("ix,xyzc->yzic", mixed, values)
    return values


def _splines(x: torch.Tensor) -> torch.Tensor:
    """The cubic B-splines at x in [0, 1], P: P x (_CELLS + 3)."""
    place = x * _CELLS
    cell = place.long().clamp_(max=_CELLS - 1)
    t = place - cell
    parts = [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
    basis = x.new_zeros(len(x), _CELLS + 3)
    return basis.scatter_(1, cell[:, None] + torch.arange(4), torch.stack(parts, 1) / 6)


@lru_cache(maxsize=1)
def _bending() -> torch.Tensor:
    """The thin-plate energy of the splines' coefficients, as a matrix; flat ones have none."""
    one = torch.eye(_CELLS + 3, dtype=torch.float64)
    first, second = one.diff(dim=0), one.diff(n=2, dim=0)
    plain, slope, bend = one, first.T @ first, second.T @ second

    def together(*axes: torch.Tensor) -> torch.Tensor:
        return torch.kron(torch.kron(axes[0], axes[1]), axes[2])

    straight = (
        together(bend, plain, plain) + together(plain, bend, plain) + together(plain, plain, bend)
    )
    twisted = (
        together(slope, slope, plain)
        + together(slope, plain, slope)
        + together(plain, slope, slope)
    )
    return straight + 2 * twisted
