"""Runs a style network for one fixed blend of styles: quickly, and in bounded memory.

What makes it quicker than ``StyleNetwork.forward``, which it equals up to rounding:

* Every map is made and read in slabs of rows that stay in the processor's cache. Instance norm
  needs the statistics of the whole map, so they are summed over the slabs, and a map is normalized
  when the next layer reads it. There is no seam because there is no tile: each number is the one
  that the whole picture gives.
* Maps too large to be kept are made twice, once for their statistics and once for the next layer.
* Nearest upsampling and a 3x3 convolution are four 2x2 convolutions, one for each phase of the
  result: 4/9 of the work. The last convolution reads those phases as channels.
* Half precision where the processor multiplies it natively, channels-last, ReLU on the bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, unflatten

from stylepipe.memory import is_out_of_memory
from stylepipe.nst.networks import NORM_EPS, ConvNorm, Residual, StyleNetwork, pad
from stylepipe.nst.norms import channel_moments

CACHED = 8 * 2**20
"""Bytes of a slab on the CPU: a share of the last-level cache."""
SMALLEST_SLAB = 2**17
SMALL = 64
"""Pictures with a side below this many pixels go through ``StyleNetwork.forward``."""
_BITS = {2: torch.int16, 4: torch.int32}


class StyleEngine:
    """A style network made ready for one blend of styles on one device.

    weights: one number per style of the network; they sum to 1. dtype: what convolutions compute
    in. memory: bytes of working memory to stay within, as far as the picture's size allows.
    """

    def __init__(
        self,
        net: StyleNetwork,
        weights: Tensor,
        device: torch.device,
        dtype: torch.dtype,
        memory: int,
    ) -> None:
        self._net = net.to(device=device, dtype=torch.float32).eval()
        self._weights = weights.to(device=device, dtype=torch.float32)
        self._like = torch.empty(0, device=device, dtype=dtype)
        self._memory = _within(memory, device)
        self._slab = CACHED if device.type == "cpu" else self._memory // 16
        with torch.no_grad():
            self._prepare()

    def _prepare(self) -> None:
        net, spec = self._net, self._net.spec
        norms = iter(net.fold(self._weights))
        fold = spec.unshuffle
        # 8-bit photos times 255, less 128, are exact in bfloat16. The network wants
        # (x - 0.5) * 4: the constant between the two does not survive the norm.
        stem = net.stem.conv.weight * (4 / 255)
        stem = unflatten(stem, 1, (3, fold, fold)).permute(0, 2, 3, 1, 4, 5).flatten(1, 3)
        self._stem = self._layer(stem, *next(norms))
        self._down = [
            self._layer(cast(ConvNorm, d).conv.weight, *next(norms), stride=2) for d in net.down
        ]
        self._blocks = [
            (
                self._layer(cast(Residual, b).first.conv.weight, *next(norms)),
                self._layer(cast(Residual, b).second.conv.weight, *next(norms)),
            )
            for b in net.blocks
        ]
        self._up = [
            self._layer(_phases(cast(ConvNorm, u).conv.weight), *next(norms)) for u in net.up
        ]
        assert net.head.bias is not None
        self._head = self._ready(_blocked(net.head.weight, fold))
        bias = net.head.bias.view(3, fold, fold).permute(1, 2, 0)
        self._bias = self._ready(bias.repeat(2, 2, 1).flatten())

    def _layer(self, weight: Tensor, gamma: Tensor, beta: Tensor, stride: int = 1) -> _Layer:
        return _Layer(self._ready(weight), gamma.clone(), beta.clone(), stride)

    def _ready(self, weight: Tensor) -> Tensor:
        layout = torch.channels_last if weight.ndim == 4 else torch.contiguous_format
        return weight.detach().to(self._like.dtype).contiguous(memory_format=layout)

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """images: N3HW, float32 in [0, 1], any size. Returns the same shape, not clamped.

        A picture is NaN all over if any number on the way to it was not finite.
        """
        if not self._up or min(images.shape[-2:]) < SMALL:
            result: Tensor = self._net(images, self._weights.expand(len(images), -1))
            return result
        results = [self._paint(image[None]) for image in images]
        return results[0] if len(results) == 1 else torch.cat(results)

    def _paint(self, image: Tensor) -> Tensor:
        """1 3 H W: with all maps kept if memory allows, else without; then in smaller slabs."""
        height, width = image.shape[-2:]
        multiple = self._net.spec.multiple
        image = pad(image, 0, -width % multiple, 0, -height % multiple)
        keep = self._large(image) <= self._memory * 0.75
        slab = self._slab
        while True:
            try:
                return self._paint_slabs(image, keep, slab)[..., :height, :width]
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or (not keep and slab < SMALLEST_SLAB):
                    raise
            if image.is_cuda:
                torch.cuda.empty_cache()
            keep, slab = False, slab // 4

    def _paint_slabs(self, image: Tensor, keep: bool, slab: int) -> Tensor:
        """keep: whether to keep the two largest maps. All others are half their size or less."""
        source: _Rows = _Input(image, self._net.spec.unshuffle, self._like)
        for i, layer in enumerate((self._stem, *self._down)):
            source = self._convolve(source, layer, slab, keep or i > 0)
        trunk = _Map(source.values, source.shape, self._like, slab, source.sound)
        del source
        for first, second in self._blocks:
            trunk.add(self._convolve(self._convolve(trunk, first, slab), second, slab))
        source = trunk
        del trunk
        for layer in self._up[:-1]:
            source = self._upsample(source, layer, slab)
        source = self._upsample_phases(source, self._up[-1], slab, keep)
        return self._finish(source, image)

    def _large(self, image: Tensor) -> int:
        """Bytes of the largest map and of the one beside it."""
        spec = self._net.spec
        positions = image.shape[-2] * image.shape[-1] // spec.unshuffle**2
        return positions * (spec.widths[0] + spec.widths[1] // 4) * self._like.itemsize

    def _convolve(self, source: _Rows, layer: _Layer, slab: int, keep: bool = True) -> _Map:
        stride, (outputs, _, kernel, _) = layer.stride, layer.weight.shape
        height, width = source.shape[1:]

        def make(a: int, b: int) -> Tensor:
            x = source.padded(a * stride, b * stride, kernel // 2)
            return F.conv2d(x, layer.weight, stride=stride)

        shape = (outputs, height // stride, width // stride)
        return _Map(make, shape, self._like, slab, source.sound, layer.norm, keep=keep)

    def _upsample(self, source: _Rows, layer: _Layer, slab: int) -> _Map:
        height, width = source.shape[1:]
        outputs = layer.weight.shape[0] // 4

        def make(a: int, b: int) -> Tensor:
            rows = (b - a) // 2
            phases = F.conv2d(source.padded(a // 2, b // 2, 1, _EDGE), layer.weight)
            out = _empty(phases, outputs, b - a, 2 * width)
            grid = unflatten(unflatten(out, 2, (rows, 2)), 4, (width, 2))
            for y, x, phase in _each(phases):
                grid[:, :, :, y, :, x] = phase[:, :, y : y + rows, x : x + width]
            return out

        shape = (outputs, 2 * height, 2 * width)
        return _Map(make, shape, self._like, slab, source.sound, layer.norm, multiple=2)

    def _upsample_phases(self, source: _Rows, layer: _Layer, slab: int, keep: bool) -> _Map:
        """As _upsample, but leaves the four phases of the result side by side as channels."""
        height, width = source.shape[1:]

        def make(a: int, b: int) -> Tensor:
            phases = F.conv2d(source.padded(a, b, 1, _EDGE), layer.weight)
            out = _empty(phases, phases.shape[1], b - a, width)
            for (y, x, phase), (_, _, target) in zip(_each(phases), _each(out), strict=True):
                target.copy_(phase[:, :, y : y + b - a, x : x + width])
            return out

        shape = (layer.weight.shape[0], height, width)
        return _Map(make, shape, self._like, slab, source.sound, layer.norm, keep=keep, phases=4)

    def _finish(self, source: _Map, image: Tensor) -> Tensor:
        side = 2 * self._net.spec.unshuffle
        out = torch.empty_like(image, memory_format=torch.channels_last)
        height, width = source.shape[1:]
        grid = unflatten(unflatten(out, 2, (height, side)), 4, (width, side))
        p = self._head.shape[-1] // 2
        for a, b in source.slabs:
            y = F.conv2d(source.padded(a, b, p, _PHASED), self._head, self._bias)
            # Channels are (row in block, column in block, color).
            grid[:, :, a:b] = unflatten(y, 1, (side, side, 3)).permute(0, 3, 4, 1, 5, 2)
        # The only time that the processor waits for the device.
        return out if bool(source.sound) else out.fill_(float("nan"))


def _within(memory: int, device: torch.device) -> int:
    """As many of the bytes as the device has free."""
    return min(memory, torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else memory


@dataclass(frozen=True)
class _Layer:
    weight: Tensor
    gamma: Tensor
    beta: Tensor
    stride: int

    @property
    def norm(self) -> tuple[Tensor, Tensor]:
        return self.gamma, self.beta


@dataclass(frozen=True)
class _Mirror:
    """How a map continues beyond its first and last row (or column).

    Entry -j is entry j - first, and entry n-1+j is entry n-1-j+last: 0 mirrors around the
    outermost entry, 1 around its outer edge.
    """

    first: int
    last: int

    def extend(self, x: Tensor, dim: int, p: int, low: bool = True, high: bool = True) -> None:
        """Fill the p outermost entries of a padded tensor."""
        n = x.shape[dim]
        if low:
            x.narrow(dim, 0, p).copy_(x.narrow(dim, p + 1 - self.first, p).flip(dim))
        if high:
            x.narrow(dim, n - p, p).copy_(x.narrow(dim, n - 1 - 2 * p + self.last, p).flip(dim))


_REFLECT = (_Mirror(0, 0),)
# The reflection of a map upsampled by two, seen before the upsampling, or on its even and odd rows.
_EDGE = (_Mirror(1, 1),)
_PHASED = (_Mirror(0, 1), _Mirror(1, 0))
_Mirrors = tuple[_Mirror, ...]


class _Rows:
    """Something whose rows can be read, with what lies beyond its borders."""

    shape: tuple[int, int, int]
    sound: Tensor
    """Whether all numbers up to here are finite; ReLU on the bits turns some NaN into zero."""
    _like: Tensor
    """Number type and device of the rows."""

    def values(self, a: int, b: int) -> Tensor:
        """Rows a to b as the next layer sees them."""
        out = _empty(self._like, self.shape[0], b - a, self.shape[2])
        self._write(a, b, out)
        return out

    def padded(self, a: int, b: int, p: int, mirrors: _Mirrors = _REFLECT) -> Tensor:
        """Rows a to b with p more rows and columns on each side.

        Two mirrors stand for a map of four phases, (even, odd) rows by (even, odd) columns.
        """
        channels, height, width = self.shape
        out = _empty(self._like, channels, b - a + 2 * p, width + 2 * p)
        low, high = max(a - p, 0), min(b + p, height)
        start = low - (a - p)
        self._write(low, high, out[:, :, start : start + high - low, p : p + width])
        n = len(mirrors)
        grid = unflatten(out, 1, (n, n, channels // n**2))
        for i, mirror in enumerate(mirrors):
            mirror.extend(grid[:, :, i], 4, p)
        for i, mirror in enumerate(mirrors):
            mirror.extend(grid[:, i], 3, p, low=a == 0, high=b == height)
        return out

    def _write(self, a: int, b: int, out: Tensor) -> None:
        raise NotImplementedError


class _Input(_Rows):
    """The picture as the stem reads it: blocks of pixels folded into channels, -128 to 127."""

    def __init__(self, image: Tensor, fold: int, like: Tensor) -> None:
        self._image, self._fold, self._like = image, fold, like
        self.sound = torch.ones((), dtype=torch.bool, device=like.device)
        self.shape = (3 * fold**2, image.shape[2] // fold, image.shape[3] // fold)

    def _write(self, a: int, b: int, out: Tensor) -> None:
        fold = self._fold
        x = self._image[:, :, a * fold : b * fold] * 255.0 - 128.0
        x = unflatten(unflatten(x, 2, (b - a, fold)), 4, (-1, fold))
        unflatten(out, 1, (fold, fold, 3)).copy_(x.permute(0, 3, 5, 1, 2, 4))


class _Map(_Rows):
    """A feature map made in slabs of rows: normalized and rectified when read, if it has a norm.

    make: (a, b) -> 1 x C x (b-a) x W, the raw rows. sound: of what they are made from.
    norm: gain and shift of each channel.
    keep: False makes the rows anew each time they are read. phases: groups of channels that share
    their statistics. multiple: of rows in a slab.
    """

    def __init__(
        self,
        make: Callable[[int, int], Tensor],
        shape: tuple[int, int, int],
        like: Tensor,
        slab: int,
        sound: Tensor,
        norm: tuple[Tensor, Tensor] | None = None,
        *,
        keep: bool = True,
        phases: int = 1,
        multiple: int = 1,
    ) -> None:
        self.shape, self.sound, self._like = shape, sound, like
        channels, height, width = shape
        self.slabs = _slabs(height, slab // (channels * width * like.itemsize), multiple)
        self._parts: list[Tensor] | None = [] if keep else None
        self._make = None if keep else make
        self._norm: tuple[Tensor, ...] | None = None
        moments: list[tuple[int, Tensor, Tensor]] = []
        for a, b in self.slabs:
            part = make(a, b)
            if norm:
                moments.append((b - a, *channel_moments(part)))
            if self._parts is not None:
                self._parts.append(part)
            del part
        if norm:
            values = (*_combined(moments, phases), *norm)
            self.sound = sound & torch.stack(values).isfinite().all()
            self._norm = values if phases == 1 else tuple(v.repeat(phases) for v in values)

    def add(self, change: _Map) -> None:
        """Add the normalized, not rectified, values of a map of the same shape."""
        assert self._parts is not None and change._parts is not None
        self.sound = self.sound & change.sound
        for part, other in zip(self._parts, change._parts, strict=True):
            part.add_(change._normal(other))

    def _normal(self, part: Tensor) -> Tensor:
        assert self._norm is not None
        mean, var, gamma, beta = self._norm
        return F.batch_norm(part, mean, var, gamma, beta, training=False, eps=NORM_EPS)

    def _pieces(self, a: int, b: int) -> Iterator[tuple[int, Tensor]]:
        """Rows a to b: (how far below a, raw rows)."""
        if self._parts is None:
            assert self._make is not None
            yield 0, self._make(a, b)
            return
        for (start, end), part in zip(self.slabs, self._parts, strict=True):
            low, high = max(a, start), min(b, end)
            if low < high:
                yield low - a, part[:, :, low - start : high - start]

    def _write(self, a: int, b: int, out: Tensor) -> None:
        for row, piece in self._pieces(a, b):
            target = out[:, :, row : row + piece.shape[2]]
            if self._norm is None:
                target.copy_(piece)
            else:
                # A float below zero is an integer below zero: ReLU at the speed of a copy.
                bits = _BITS[piece.itemsize]
                torch.clamp_min(self._normal(piece).view(bits), 0, out=target.view(bits))


def _slabs(height: int, rows: int, multiple: int) -> list[tuple[int, int]]:
    """Cut rows into slabs of about one size; none has less than 8 rows if the map has as many."""
    units = height // multiple
    least = -(-8 // multiple)
    count = max(1, min(units // least, round(height / max(rows, 1))))
    edges = [units * i // count * multiple for i in range(count + 1)]
    return list(pairwise(edges))


def _combined(moments: list[tuple[int, Tensor, Tensor]], phases: int) -> tuple[Tensor, Tensor]:
    """Mean and variance of the union of the slabs and phases (Chan 1979)."""
    device = moments[0][1].device
    place = torch.device("cpu") if device.type == "mps" else device  # MPS has no float64
    rows = torch.tensor([n for n, _, _ in moments], dtype=torch.float64)
    share = (rows / rows.sum() / phases).to(place)[:, None, None]
    means, variances = (
        unflatten(torch.stack(values).to(place).double(), 1, (phases, -1))
        for values in ([m for _, m, _ in moments], [v for _, _, v in moments])
    )
    mean = (share * means).sum((0, 1))
    var = (share * (variances + (means - mean) ** 2)).sum((0, 1))
    return mean.float().to(device), var.float().to(device)


def _empty(like: Tensor, channels: int, height: int, width: int) -> Tensor:
    shape = (1, channels, height, width)
    return torch.empty(
        shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last
    )


def _each(phases: Tensor) -> Iterator[tuple[int, int, Tensor]]:
    """The four phases of a map that holds them as channels: (row, column, map)."""
    for i, phase in enumerate(phases.chunk(4, dim=1)):
        yield i // 2, i % 2, phase


def _phases(weight: Tensor) -> Tensor:
    """A 3x3 convolution after nearest upsampling by two, as 2x2 convolutions before it.

    weight: O x I x 3 x 3. Returns 4*O x I x 2 x 2; phase (y, x) of the result is at its own
    outputs shifted by (y, x).
    """

    def halves(w: Tensor, dim: int) -> tuple[Tensor, Tensor]:
        a, b, c = w.unbind(dim)
        return torch.stack((a, b + c), dim), torch.stack((a + b, c), dim)

    return torch.cat([w for rows in halves(weight, 2) for w in halves(rows, 3)])


def _blocked(weight: Tensor, fold: int) -> Tensor:
    """The last convolution, reading 2x2 blocks as channels and writing whole blocks of pixels.

    weight: 3*fold^2 x I x k x k. Returns 3*(2*fold)^2 x 4*I x m x m; the outputs are ordered
    (row in block, column in block, color), the inputs (row, column, channel).
    """
    inputs, r = weight.shape[1], weight.shape[-1] // 2
    receptive_radius = -(-r // 2)
    source = unflatten(weight, 0, (3, fold, fold)).permute(1, 2, 0, 3, 4, 5)
    side = 2 * receptive_radius + 1
    out = weight.new_zeros(2, fold, 2, fold, 3, 2, 2, inputs, side, side)
    for y in (0, 1):
        for x in (0, 1):
            for dy in range(-r, r + 1):
                for dx in range(-r, r + 1):
                    row, column = (y + dy) // 2 + receptive_radius, (x + dx) // 2 + receptive_radius
                    tap = source[..., dy + r, dx + r]
                    out[y, :, x, :, :, (y + dy) % 2, (x + dx) % 2, :, row, column] = tap
    return out.flatten(5, 7).flatten(0, 4)
