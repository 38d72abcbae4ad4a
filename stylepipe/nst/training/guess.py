"""First guesses at encoders and decoders: layer by layer, by least squares, before any training."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from stylepipe.nst.decoders import Decoder
from stylepipe.nst.encoders import Encoder, stack_encoder
from stylepipe.nst.networks import pad

RIDGE = 1e-3  # of the mean variance
ROUNDS = 8
GUESS = 1 << 39
"""Steps from here on, which no run reaches, are the pictures to guess from."""


def opening(count: int) -> str:
    """What a training with a guess from so many pictures says that it begins with."""
    return f"a first guess by least squares, from {count} pictures" if count else ""


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
        linear = _widened(_rectified_fit(seen, aim[:, _telling(aim, width)]), width, generator)
        linear = linear / loudness(F.relu(seen @ linear).mean(dim=0))
        weight = linear[:-1].T.reshape(width, channels, 3, 3).contiguous()
        bias = linear[-1]
        maps = [
            F.relu(F.conv2d(F.pad(m, (1, 1, 1, 1), mode="reflect"), weight, bias)) for m in maps
        ]
        shift = 0.5 * weight.sum(dim=(1, 2, 3)) if channels == 3 else torch.zeros_like(bias)
        convolutions[name] = (weight, bias - shift)
        channels = width
    return stack_encoder(convolutions)


@torch.no_grad()
def guess_decoder(
    decoder: Decoder,
    encoder: Encoder,
    pictures: Sequence[Tensor],
    seed: int = 0,
    points: int = 200,
) -> None:
    """Set a decoder's weights so that it walks the encoder's way back: each convolution imitates
    the layer before the one that it undoes, as far as one can go by one convolution at a time, each
    fitted on what those before it make of the pictures; the last one imitates the pictures.

    Channels beyond the encoder's are random. encoder: the one that it decodes. pictures, points:
    see guess_encoder; sides that the poolings divide.
    """
    generator = torch.Generator().manual_seed(seed)
    names = list(decoder.widths)
    seen_by_encoder = [encoder(p, names) for p in pictures]
    maps = [found[decoder.layer].float() for found in seen_by_encoder]
    chain = list(zip(decoder.chain(), decoder.grows, strict=True))
    for (convolution, grows), name in zip(chain, [*reversed(names[:-1]), None], strict=True):
        aims = [
            p if name is None else found[name].float()
            for p, found in zip(pictures, seen_by_encoder, strict=True)
        ]
        if grows:  # it works at half the size of what it is to imitate
            aims = [F.avg_pool2d(aim, 2) for aim in aims]
        windows, wanted = [], []
        for m, aim in zip(maps, aims, strict=True):
            places = _places(m, points, generator)
            windows.append(_windows(m, places))
            wanted.append(_picked(aim, places))
        seen, aim = torch.cat(windows), torch.cat(wanted)
        if name is None:
            linear = _solved(seen, aim)
        else:
            linear = _rectified_fit(seen, aim[:, : convolution.out_channels])
            known = linear.shape[1]
            linear = _widened(linear, convolution.out_channels, generator)
            loud = loudness(F.relu(seen @ linear[:, known:]).mean(dim=0))
            linear[:, known:] *= aim.mean() / loud
        convolution.weight.copy_(linear[:-1].T.reshape(convolution.weight.shape))
        assert convolution.bias is not None
        convolution.bias.copy_(linear[-1])
        maps = [convolution(pad(m, 1, 1, 1, 1)) for m in maps]
        if name is not None:
            maps = [F.relu(m) for m in maps]
        if grows:
            maps = [F.interpolate(m, scale_factor=2, mode="nearest") for m in maps]


def _widened(linear: Tensor, width: int, generator: torch.Generator) -> Tensor:
    """With random columns, without a constant, up to a width."""
    extra = torch.randn(len(linear), max(0, width - linear.shape[1]), generator=generator)
    extra[-1] = 0.0
    return torch.cat([linear, extra.to(linear)], dim=1)


def loudness(mean: Tensor) -> Tensor:
    """What to divide channels of these means C by, so that their means become 1. One that hardly
    ever speaks stays quiet."""
    return mean + 0.02 * mean.mean() + 1e-6


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
                where = _places(maps, points, generator)
                places[name].append(where)
                found[name].append(_picked(maps.float(), where))
    return {name: (places[name], torch.cat(found[name])) for name in layers}


def _places(maps: Tensor, points: int, generator: torch.Generator) -> Tensor:
    """Up to so many places of each of the maps N C h w, drawn without repetition: N P."""
    area = maps.shape[-2] * maps.shape[-1]
    chance = torch.rand(len(maps), area, generator=generator)
    return chance.argsort(dim=1)[:, : min(points, area)].to(maps.device)


def _picked(maps: Tensor, places: Tensor) -> Tensor:
    """Maps N C h w at places N P: N*P C."""
    index = places[:, None].expand(-1, maps.shape[1], -1)
    return maps.flatten(2).gather(2, index).transpose(1, 2).flatten(0, 1)


def _windows(maps: Tensor, places: Tensor) -> Tensor:
    """The 3x3 windows of N C h w around the places N P, and a 1: N*P (9C + 1)."""
    columns = F.unfold(F.pad(maps, (1, 1, 1, 1), mode="reflect"), 3)
    return F.pad(_picked(columns, places), (0, 1), value=1.0)


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


def _factor(seen: Tensor) -> Tensor:
    space = seen.T @ seen / len(seen)
    ridge = RIDGE * space.diagonal().mean() * torch.eye(len(space), device=space.device)
    factor: Tensor = torch.linalg.cholesky(space + ridge)
    return factor


def _solved(seen: Tensor, aim: Tensor) -> Tensor:
    """W for which seen @ W is near aim."""
    linear: Tensor = torch.cholesky_solve(seen.T @ aim / len(seen), _factor(seen))
    return linear


def _rectified_fit(seen: Tensor, aim: Tensor) -> Tensor:
    """W for which relu(seen @ W) is near aim, which is not negative. Where the aim is 0 anything
    below 0 will do: what lies there after a round is the next round's aim.
    """
    factor, wanted = _factor(seen), aim
    for _ in range(ROUNDS):
        linear = torch.cholesky_solve(seen.T @ wanted / len(seen), factor)
        guess = seen @ linear
        wanted = torch.where(aim > 0, aim, guess.clamp(max=0.0))
    return linear
