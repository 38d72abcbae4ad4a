"""The sum of the terms and its gradient, of a picture as a whole or tile by tile."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import lcm

import torch
from torch import Tensor

from stylepipe.tiling import tiles

from .encoders import Encoder
from .terms.base import Box, FeatureTerm, PictureTerm, Strip, Sums, View

Regions = Mapping[str, Tensor]
STRIP = 1 << 19
"""Pixels for which the terms on pixels alone are evaluated at once."""


@dataclass(frozen=True)
class Part:
    """A tile in pixels: its own part and the window around it that decides its features."""

    core: Box
    window: Box


class TiledEncoder:
    """Shows the features of a picture, in one piece or in tiles that see enough around them.

    tile: side of the tiles in pixels; None for one piece. Tiles begin at multiples of the deepest
    layer's stride, so that each feature is the very one of the whole picture, but for rounding.
    extra: features beyond the tile that are looked at, see FeatureTerm.
    """

    def __init__(
        self,
        encoder: Encoder,
        layers: Sequence[str],
        tile: int | None = None,
        extra: int = 0,
    ) -> None:
        encoder.check(layers)
        self.encoder, self.layers, self.tile = encoder, tuple(dict.fromkeys(layers)), tile
        self._strides = {layer: encoder.stride(layer) for layer in self.layers}
        self._grid = max(self._strides.values(), default=1)
        self.margin = 0
        """Pixels that a tile sees on each side of it."""
        if tile is not None:
            receptive_radius = max(
                (encoder.receptive_radius(layer) for layer in self.layers), default=0
            )
            self.margin = -(-(receptive_radius + extra * self._grid) // self._grid) * self._grid

    def parts(self, height: int, width: int) -> Iterator[Part]:
        """The tiles of a picture."""
        if self.tile is None or max(height, width) <= self.tile:
            whole = (0, height, 0, width)
            yield Part(whole, whole)
            return
        grid = self._grid
        cells = max(1, self.tile // grid)
        margin = self.margin // grid
        for tile in tiles(-(-height // grid), -(-width // grid), cells, margin):
            yield Part(
                _pixels(tile.core, grid, height, width), _pixels(tile.window, grid, height, width)
            )

    def encode(self, picture: Tensor, part: Part, regions: Regions | None = None) -> View:
        """Encode a tile. picture: N 3 H W, or its window alone where a gradient is wanted."""
        top, bottom, left, right = part.window
        if picture.shape[-2:] != (bottom - top, right - left):
            picture = picture[..., top:bottom, left:right]
        features = self.encoder(picture, self.layers) if self.layers else {}
        core, corner = {}, {}
        for layer, found in features.items():
            stride = self._strides[layer]
            row, column = top // stride, left // stride
            corner[layer] = (row, column)
            core[layer] = (
                part.core[0] // stride,
                _end(part.core[1], bottom, row + found.shape[-2], stride),
                part.core[2] // stride,
                _end(part.core[3], right, column + found.shape[-1], stride),
            )
        return View(features, core, corner, dict(regions or {}))

    @torch.no_grad()
    def maps(self, picture: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """The features of the whole picture at some layers, in the encoder's number type."""
        layers = list(dict.fromkeys(layers))
        if not layers:
            return {}
        tiled_encoder = TiledEncoder(self.encoder, layers, self.tile)
        found: dict[str, Tensor] = {}
        for part in tiled_encoder.parts(picture.shape[-2], picture.shape[-1]):
            view = tiled_encoder.encode(picture, part)
            for layer in layers:
                piece = view.inner(layer)
                if layer not in found:
                    sides = [self.encoder.side(layer, n) for n in picture.shape[-2:]]
                    found[layer] = piece.new_empty(*piece.shape[:2], *sides)
                top, bottom, left, right = view.core[layer]
                found[layer][..., top:bottom, left:right] = piece
        return found

    @torch.no_grad()
    def measure(
        self, picture: Tensor, terms: Sequence[FeatureTerm], regions: Regions | None = None
    ) -> list[Sums]:
        """What each term measures on the whole picture."""
        layers = list(chain.from_iterable(term.layers for term in terms))
        extra = max((term.extra for term in terms), default=0)
        tiled_encoder = TiledEncoder(self.encoder, layers, self.tile, extra)
        total: list[Sums] = []
        for part in tiled_encoder.parts(picture.shape[-2], picture.shape[-1]):
            view = tiled_encoder.encode(picture, part, regions)
            total = _added(total, [term.measure(view) for term in terms])
        return total


class Objective:
    """Values and gradient of the weighted sum of terms, for a batch of independent pictures.

    regions: layer -> N K H W or 1 K H W, see View.regions. tile: see TiledEncoder. relative:
    whether losses are relative to their targets: about 1 for any picture.
    """

    def __init__(
        self,
        encoder: Encoder,
        features: Sequence[FeatureTerm],
        pixels: Sequence[PictureTerm] = (),
        *,
        regions: Regions | None = None,
        tile: int | None = None,
        relative: bool = True,
    ) -> None:
        self.relative = relative
        self.features = [term for term in features if term.weight > 0]
        self.pixels = [term for term in pixels if term.weight > 0]
        if not self.features and not self.pixels:
            raise ValueError("all weights are zero: there is nothing to optimize")
        layers = list(chain.from_iterable(term.layers for term in self.features))
        extra = max((term.extra for term in self.features), default=0)
        self.tiled_encoder = TiledEncoder(encoder, layers, tile, extra)
        self.regions = regions
        self.weight = sum(t.weight for t in self.features) + sum(t.weight for t in self.pixels)
        """About the value of a picture that has nothing to do with the targets."""

    def __call__(
        self, picture: Tensor, out: Tensor | None = None
    ) -> tuple[dict[str, Tensor], Tensor]:
        """picture: N 3 H W in float32 or finer. Returns the weighted value N of each term, and the
        gradient of their sum, N 3 H W, written to `out` if it is given.
        """
        if out is None:
            gradient = torch.zeros_like(picture, memory_format=torch.contiguous_format)
        else:
            gradient = out.zero_()
        with torch.enable_grad():
            return self._evaluate(picture.detach(), gradient), gradient

    @torch.no_grad()
    def judge(self, picture: Tensor) -> dict[str, Tensor]:
        """The weighted value N of each term, exact even where optimizing approximates."""
        values: dict[str, Tensor] = {}
        for top, bottom, rows in self._strips(picture):
            strip = Strip(picture[..., top:bottom, :], top, rows, picture.shape[-2])
            for term in self.pixels:
                value = term.weight * term.part(strip)
                values[term.name] = value + values.get(term.name, 0.0)
        parts = self.tiled_encoder.parts(picture.shape[-2], picture.shape[-1])
        sums = self._summed(picture, parts)
        judged = {
            term.name: term.weight * term.judged(found)
            for term, found in zip(self.features, sums, strict=True)
        }
        return judged | values

    def _evaluate(self, picture: Tensor, gradient: Tensor) -> dict[str, Tensor]:
        """The values; the gradient is added to `gradient`."""
        parts = list(self.tiled_encoder.parts(picture.shape[-2], picture.shape[-1]))
        values = self._of_pixels(picture, gradient)
        if not self.features:
            return values
        if len(parts) == 1:
            leaf = picture.detach().requires_grad_()
            measured = self._measure(leaf, parts[0])
            found, total = self._valued(measured)
            gradient += torch.autograd.grad(total, leaf)[0]
            return found | values
        # The derivative of the values by the sums over all tiles first, then tile by tile that of
        # the sums by the pixels: only one tile's features are held at any time.
        with torch.no_grad():
            sums = self._summed(picture, parts)
        leaves = [[t.detach().requires_grad_() for t in measured] for measured in sums]
        found, total = self._valued(leaves)
        flat = list(chain.from_iterable(leaves))
        slopes = torch.autograd.grad(total, flat, allow_unused=True, materialize_grads=True)
        for part in parts:
            top, bottom, left, right = part.window
            leaf = picture[..., top:bottom, left:right].detach().clone().requires_grad_()
            own = list(chain.from_iterable(self._measure(leaf, part)))
            # Counts of positions have no gradient.
            pairs = [(o, s) for o, s in zip(own, slopes, strict=True) if o.requires_grad]
            (share,) = torch.autograd.grad([o for o, _ in pairs], leaf, [s for _, s in pairs])
            gradient[..., top:bottom, left:right] += share
        return found | values

    def _of_pixels(self, picture: Tensor, gradient: Tensor) -> dict[str, Tensor]:
        values: dict[str, Tensor] = {}
        for top, bottom, rows in self._strips(picture):
            leaf = picture[..., top:bottom, :].detach().requires_grad_()
            strip = Strip(leaf, top, rows, picture.shape[-2])
            found = {term.name: term.weight * term.part(strip) for term in self.pixels}
            total = torch.stack(list(found.values())).sum()
            gradient[..., top:bottom, :] += torch.autograd.grad(total, leaf)[0]
            for name, value in found.items():
                values[name] = value.detach() + values.get(name, 0.0)
        return values

    def _strips(self, picture: Tensor) -> Iterator[tuple[int, int, tuple[int, int]]]:
        """First row and end of what a strip shows, and its own rows."""
        if not self.pixels:
            return
        (height, width), pictures = picture.shape[-2:], len(picture)
        grid = lcm(*(term.grid for term in self.pixels))
        step = max(1, STRIP // (width * pictures * grid)) * grid
        for first in range(0, height, step):
            last = min(first + step, height)
            yield max(first - grid, 0), min(last + grid, height), (first, last)

    def _measure(self, picture: Tensor, part: Part) -> list[Sums]:
        view = self.tiled_encoder.encode(picture, part, self.regions)
        return [term.measure(view) for term in self.features]

    def _summed(self, picture: Tensor, parts: Iterable[Part]) -> list[Sums]:
        sums: list[Sums] = []
        for part in parts:
            sums = _added(sums, self._measure(picture, part))
        return sums

    def _valued(self, measured: Sequence[Sums]) -> tuple[dict[str, Tensor], Tensor]:
        values = {
            term.name: term.weight * term.value(found)
            for term, found in zip(self.features, measured, strict=True)
        }
        total = torch.stack(list(values.values())).sum()
        return {name: value.detach() for name, value in values.items()}, total


def _added(total: list[Sums], more: list[Sums]) -> list[Sums]:
    if not total:
        return more
    return [[a + b for a, b in zip(x, y, strict=True)] for x, y in zip(total, more, strict=True)]


def _pixels(cells: Box, grid: int, height: int, width: int) -> Box:
    top, bottom, left, right = (c * grid for c in cells)
    return top, min(bottom, height), left, min(right, width)


def _end(core: int, window: int, found: int, stride: int) -> int:
    """Where a tile's own features end: at its core's end, or where the picture's do."""
    return found if core == window else core // stride
