"""A first guess at a compact encoder: layer by layer, by least squares, before any training."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from stylepipe.nst.encoders import Encoder, stack_encoder

RIDGE = 1e-3  # of the mean variance
ROUNDS = 8


@torch.no_grad()
def guess_encoder(
    teachers: Sequence[Encoder],
    pictures: Sequence[Tensor],
    widths: dict[str, int],
    seed: int = 0,
    points: int = 200,
) -> Encoder:
    """An encoder whose channels imitate channels of the teachers, as far as one can go by one
    convolution at a time, each fitted on what those before it make of the pictures.

    Of each layer the channels to imitate are those of the first teacher which has the layer that
    explain most of all its channels; where it has fewer than wanted, the rest are random.
    pictures: batches N 3 H W in [0,1]. widths: layer -> channels, shallow first. points: places
    of each picture that count, all of them in layers with fewer. It takes about as long as twenty
    steps of training and is worth some thousand.
    """
    generator = torch.Generator().manual_seed(seed)
    aims = _aims(teachers, pictures, list(widths), points, generator)
    maps, channels, block = [p - 0.5 for p in pictures], 3, "1"
    convolutions: dict[str, tuple[Tensor, Tensor]] = {}
    for name, width in widths.items():
        if name[4] != block:
            block = name[4]
            maps = [F.max_pool2d(m, 2, ceil_mode=True) for m in maps]
        places, aim = aims[name]
        seen = torch.cat([_windows(m, p) for m, p in zip(maps, places, strict=True)])
        solved = _rectified_fit(seen, aim[:, _telling(aim, width)])
        extra = torch.randn(seen.shape[1], max(0, width - solved.shape[1]), generator=generator)
        extra[-1] = 0.0
        linear = torch.cat([solved, extra.to(solved)], dim=1)
        mean = F.relu(seen @ linear).mean(dim=0)
        linear = linear / (mean + 0.02 * mean.mean() + 1e-6)
        weight = linear[:-1].T.reshape(width, channels, 3, 3).contiguous()
        bias = linear[-1]
        maps = [
            F.relu(F.conv2d(F.pad(m, (1, 1, 1, 1), mode="reflect"), weight, bias)) for m in maps
        ]
        shift = 0.5 * weight.sum(dim=(1, 2, 3)) if channels == 3 else torch.zeros_like(bias)
        convolutions[name] = (weight, bias - shift)
        channels = width
    return stack_encoder(convolutions)


def _aims(
    teachers: Sequence[Encoder],
    pictures: Sequence[Tensor],
    layers: Sequence[str],
    points: int,
    generator: torch.Generator,
) -> dict[str, tuple[list[Tensor], Tensor]]:
    """For each layer: places (N P, one tensor a batch), and the features there, N*P C."""
    places: dict[str, list[Tensor]] = {name: [] for name in layers}
    found: dict[str, list[Tensor]] = {name: [] for name in layers}
    for batch in pictures:
        known: set[str] = set()
        for teacher in teachers:
            own = [n for n in layers if n in teacher.layers and n not in known]
            known.update(own)
            for name, maps in teacher(batch, own).items():
                flat = maps.flatten(2).float()
                count = min(points, flat.shape[2])
                chance = torch.rand(len(flat), flat.shape[2], generator=generator)
                where = chance.argsort(dim=1)[:, :count].to(flat.device)
                places[name].append(where)
                index = where[:, None].expand(-1, flat.shape[1], -1)
                found[name].append(flat.gather(2, index).transpose(1, 2).flatten(0, 1))
    return {name: (places[name], torch.cat(found[name])) for name in layers}


def _windows(maps: Tensor, places: Tensor) -> Tensor:
    """The 3x3 windows of N C h w around the places N P, and a 1: N*P (9C + 1)."""
    columns = F.unfold(F.pad(maps, (1, 1, 1, 1), mode="reflect"), 3)
    index = places[:, None].expand(-1, columns.shape[1], -1)
    flat = columns.gather(2, index).transpose(1, 2).flatten(0, 1)
    return F.pad(flat, (0, 1), value=1.0)


def _telling(features: Tensor, count: int) -> list[int]:
    """Indices of the `count` channels (or all) of P C that together explain most of the variance
    of all: forward selection, each time the one that takes most of what is left.
    """
    centered = features - features.mean(dim=0)
    # On the CPU: MPS has no float64, and so small a matrix is as fast here.
    left = (centered.T @ centered / len(centered)).cpu().double()
    floor = 1e-6 * left.diagonal().mean()
    picked: list[int] = []
    for _ in range(min(count, features.shape[1])):
        gain = left.square().sum(dim=0) / (left.diagonal() + floor)
        gain[picked] = -1.0
        best = int(gain.argmax())
        picked.append(best)
        row = left[best]
        left = left - torch.outer(row, row) / (row[best] + floor)
    return picked


def _rectified_fit(seen: Tensor, aim: Tensor) -> Tensor:
    """W for which relu(seen @ W) is near aim, which is not negative. Where the aim is 0 anything
    below 0 will do: what lies there after a round is the next round's aim.
    """
    space = seen.T @ seen / len(seen)
    ridge = RIDGE * space.diagonal().mean() * torch.eye(len(space), device=space.device)
    factor = torch.linalg.cholesky(space + ridge)
    wanted = aim
    for _ in range(ROUNDS):
        linear = torch.cholesky_solve(seen.T @ wanted / len(seen), factor)
        guess = seen @ linear
        wanted = torch.where(aim > 0, aim, guess.clamp(max=0.0))
    return linear
