"""Style transfer by nearest neighbors: each spot of the photo is painted like the painting's spot
that is most like it.

Kolkin, Kucera, Paris, Sykora, Shechtman, Shakhnarovich, "Neural Neighbor Style Transfer" (2022),
the variant that optimizes. Departures: a compact encoder in place of VGG-16, layers of equal weight
in a hypercolumn, sizes that end at the photo's own, matches of whole hypercolumns in the last size
too (no "feature splitting"), and no color step after it: colors are the painting's, or, given
beforehand, the photo's (see paintings.recolored).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

import torch
import torch.nn.functional as F
from torch import Tensor

from . import losses
from .budget import Footprint, NotEnoughMemory
from .encoders import Encoder
from .margin import Margin
from .optimize import Size, Step, resize, size_of, sizes
from .paintings import Painting, area, check_regions, in_colors_of, recolored
from .recipe import NeighborRecipe

CELL = 4
"""Side in pixels of what a hypercolumn stands for."""
MAX_COLUMNS = 16384
"""Hypercolumns of the paintings that are compared; of more, evenly chosen ones."""
SLAB = 128 << 20
"""Bytes of likenesses held at once."""
LEVELS = 5
"""Of the pyramid that is optimized: coarse changes of color take one step, not hundreds."""
RATE = 2e-3
"""Step size, on the pyramid."""
RANGE_WEIGHT = 10.0
"""Of values outside [0,1]."""
BYTES_PER_FEATURE = 28
"""Of hypercolumns: themselves, the target, and what their gradient holds, in float32."""
EPS = 1e-8


@dataclass(frozen=True)
class _Bank:
    """The paintings' hypercolumns in one size."""

    gains: tuple[float, ...]
    """By layer: with them all layers' columns are of like length."""
    mean: Tensor
    """C 1."""
    unit: Tensor
    """C Q, less the mean, each of length 1."""
    owner: Tensor
    """Q: the region that a column may serve."""


class Neighbors:
    """Paints photos after some paintings, whose hypercolumns it keeps from photo to photo.

    memory: bytes the work may take. Raises ValueError for paintings that are too small, or none.
    """

    def __init__(
        self, encoder: Encoder, paintings: Sequence[Painting], recipe: NeighborRecipe, memory: int
    ) -> None:
        if not paintings:
            raise ValueError("there is no painting to learn from")
        self.encoder, self.paintings, self.recipe = encoder, list(paintings), recipe
        self.memory = memory
        self.layers = [n for n in encoder.layers if encoder.stride(n) <= 16]
        self._least = max(2 * CELL, *map(encoder.least_side, self.layers))
        self._footprint = Footprint(encoder, self.layers)
        self._banks: dict[tuple[Size, bool], _Bank] = {}
        for painting in self.paintings:
            self._check_size("a painting", painting.picture)

    def paint(
        self,
        photo: Tensor,
        regions: Tensor | None = None,
        on_step: Callable[[Step], None] | None = None,
    ) -> Tensor:
        """photo: 1 3 H W in [0,1]. regions: 1 K H W, how far a pixel belongs to each; or None.
        on_step: called after each step. Returns 1 3 H W in [0,1]. Raises NotEnoughMemory;
        ValueError for a photo that is too small, and for regions that do not fit.
        """
        self._check_size("a picture", photo)
        check_regions(self.paintings, regions)
        paintings = self.paintings
        if self.recipe.match_colors != "no":
            # With the photo's colors the painting is another each time.
            paintings = recolored(paintings, photo, self.recipe.match_colors)
            self._banks.clear()
        shown = size_of(photo)
        factor = min(1.0, self.recipe.max_side / max(shown))
        largest = tuple(max(self._least, round(side * factor)) for side in shown)
        small = resize(photo, (largest[0], largest[1]))
        margin = Margin.around(*size_of(small))
        self._check_memory(margin.outer)
        whole = margin.extend(small)
        region_masks = None if regions is None else margin.extend(area(regions, size_of(small)))
        first = -(-self._least * max(margin.outer) // min(margin.outer))
        stages = sizes(*margin.outer, max(self.recipe.first_side, first), factor=2.0)
        # Those of a photo of another size would only take memory.
        self._banks = {key: bank for key, bank in self._banks.items() if key[0] in stages}
        picture = in_colors_of(paintings, resize(whole, stages[0]))
        for index, size in enumerate(stages):
            scene = resize(whole, size)
            bank = self._bank(size, paintings, region_masks is not None)
            owner = (
                None
                if region_masks is None
                else area(region_masks, _grid(size))[0].argmax(dim=0).flatten()
            )

            def tell(done: int, loss: float, now: Tensor, index: int = index) -> None:
                if on_step is not None:
                    total = len(stages) * self.recipe.steps
                    number = index * self.recipe.steps + done
                    size = margin.inside(size_of(now))
                    kept = Step(number, total, size, {"distance": loss}, lambda: margin.cut(now))
                    on_step(kept)

            picture = self._optimize(resize(picture, size), scene, bank, owner, index == 0, tell)
        return resize(margin.cut(picture), shown)

    def _optimize(
        self,
        start: Tensor,
        scene: Tensor,
        bank: _Bank,
        owner: Tensor | None,
        first: bool,
        tell: Callable[[int, float, Tensor], None],
    ) -> Tensor:
        """One size. scene: the photo in it."""
        recipe, grid = self.recipe, _grid(size_of(scene))
        with torch.no_grad():
            photo = _centered(self._columns(scene, grid, bank.gains))
        levels = [v.requires_grad_() for v in _pyramid(start)]
        optimizer = torch.optim.Adam(levels, lr=RATE)
        target = bank.unit[:, :0]
        rounds = [recipe.steps * k // recipe.matches for k in range(recipe.matches)]
        for done in range(recipe.steps):
            if done in rounds:
                # At the very start there is no picture yet, only the photo in other colors.
                share = 1.0 if first and not done else recipe.content
                with torch.no_grad():
                    own = _centered(self._columns(_folded(levels), grid, bank.gains))
                    target = _nearest(_unit(share * photo + (1.0 - share) * own), bank, owner)
            with torch.enable_grad():
                picture = _folded(levels)
                columns = self._columns(picture, grid, bank.gains) - bank.mean
                distance = (1.0 - (_unit(columns) * target).sum(dim=0)).mean()
                outside = losses.range_penalty(picture).mean()
                total = distance + RANGE_WEIGHT * outside
                gradients = torch.autograd.grad(total, levels)
            for level, gradient in zip(levels, gradients, strict=True):
                level.grad = gradient
            optimizer.step()
            tell(done + 1, float(distance.detach()), picture.detach().clamp(0.0, 1.0))
        return _folded(levels).detach().clamp(0.0, 1.0)

    def _columns(self, picture: Tensor, grid: Size, gains: Sequence[float]) -> Tensor:
        """Hypercolumns C P of a picture 1 3 H W: all layers' features of each cell of the grid.

        Fine maps are averaged over a cell: sampled, most of their features would be seen by nobody,
        and turn to grain.
        """
        found = self.encoder(picture, self.layers)
        parts = []
        for layer, gain in zip(self.layers, gains, strict=True):
            maps = found[layer].float()
            if maps.shape[-2] > grid[0] or maps.shape[-1] > grid[1]:
                maps = F.interpolate(maps, grid, mode="area")
            elif size_of(maps) != grid:
                maps = F.interpolate(maps, grid, mode="bilinear", align_corners=False)
            parts.append(gain * maps[0].flatten(1))
        return torch.cat(parts)

    @torch.no_grad()
    def _bank(self, size: Size, paintings: Sequence[Painting], divided: bool) -> _Bank:
        key = (size, divided)
        if key not in self._banks:
            self._banks[key] = self._learned(size, paintings, divided)
        return self._banks[key]

    def _learned(self, size: Size, paintings: Sequence[Painting], divided: bool) -> _Bank:
        ones = [1.0] * len(self.layers)
        turns = range(4 if self.recipe.turned else 1)
        total = sum(p.weight for p in paintings)
        columns, owners = [], []
        for index, painting in enumerate(paintings):
            picture = resize(
                painting.picture, painting.size_for(size, self.recipe.style_scale, self._least)
            )
            most = max(1, int(MAX_COLUMNS * painting.weight / total) // len(turns))
            for turn in turns:
                turned = torch.rot90(picture, turn, (2, 3))
                grid = _grid(size_of(turned))
                found = self._columns(turned, grid, ones)
                owner = torch.full((found.shape[1],), index if divided else 0, device=found.device)
                if divided and painting.regions is not None:
                    region_masks = torch.rot90(painting.regions, turn, (2, 3))
                    owner = area(region_masks, grid)[0].argmax(dim=0).flatten()
                kept = torch.linspace(
                    0, found.shape[1] - 1, min(most, found.shape[1]), device=found.device
                )
                columns.append(found[:, kept.round().long()])
                owners.append(owner[kept.round().long()])
        bank = torch.cat(columns, dim=1)
        gains, first = [], 0
        for layer in self.layers:
            channels = self._footprint.maps[layer].channels
            rows = bank[first : first + channels]
            gains.append(1.0 / (float(rows.square().sum(dim=0).mean().sqrt()) + EPS))
            rows *= gains[-1]
            first += channels
        mean = bank.mean(dim=1, keepdim=True)
        return _Bank(tuple(gains), mean, _unit(bank - mean), torch.cat(owners))

    def _check_size(self, what: str, picture: Tensor) -> None:
        height, width = size_of(picture)
        if min(height, width) < self._least:
            raise ValueError(
                f"{what} of {width}x{height} pixels is too small for {self.encoder.title}: each "
                f"side needs {self._least} or more"
            )

    def _check_memory(self, size: Size) -> None:
        channels = sum(m.channels for m in self._footprint.maps.values())
        held = self._footprint.per_pixel + BYTES_PER_FEATURE * channels / CELL**2
        banks = 2 * 4 * channels * MAX_COLUMNS
        needed = ceil(size[0] * size[1] * held) + 2 * banks + SLAB
        if needed > self.memory:
            raise NotEnoughMemory(
                f"to paint {size[1]}x{size[0]} pixels takes {-(-needed >> 20)} MiB of memory, and "
                f"{self.memory >> 20} MiB are allowed: allow more, or enlarge the picture "
                "from a smaller size",
                needed,
            )


def _grid(size: Size) -> Size:
    return max(1, size[0] // CELL), max(1, size[1] // CELL)


def _unit(columns: Tensor) -> Tensor:
    unit: Tensor = columns / (torch.linalg.vector_norm(columns, dim=0, keepdim=True) + EPS)
    return unit


def _centered(columns: Tensor) -> Tensor:
    """C P, less their mean, each of length 1."""
    return _unit(columns - columns.mean(dim=1, keepdim=True))


def _nearest(wanted: Tensor, bank: _Bank, owner: Tensor | None) -> Tensor:
    """For each unit column C P the bank's most like it, C P. owner: P, the region of each."""
    rows = max(1, SLAB // (4 * bank.unit.shape[1]))
    found = []
    for first in range(0, wanted.shape[1], rows):
        likeness = wanted[:, first : first + rows].T @ bank.unit
        if owner is not None:
            own = owner[first : first + rows]
            # A region that has no columns of its own may take any.
            fits = (own[:, None] == bank.owner) | ~torch.isin(own, bank.owner)[:, None]
            likeness.masked_fill_(~fits, -torch.inf)
        found.append(likeness.argmax(dim=1))
    return bank.unit[:, torch.cat(found)]


def _pyramid(picture: Tensor) -> list[Tensor]:
    """Laplacian pyramid of N C H W, fine to coarse: `_folded` gives the picture back."""
    found: list[Tensor] = []
    while len(found) < LEVELS and min(size_of(picture)) >= 16:
        height, width = size_of(picture)
        small = F.interpolate(picture, (height // 2, width // 2), mode="bilinear", antialias=True)
        found.append(picture - F.interpolate(small, (height, width), mode="bilinear"))
        picture = small
    return [level.detach().clone() for level in [*found, picture]]


def _folded(levels: Sequence[Tensor]) -> Tensor:
    picture = levels[-1]
    for level in reversed(levels[:-1]):
        picture = level + F.interpolate(picture, size_of(level), mode="bilinear")
    return picture
