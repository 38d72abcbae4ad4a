"""Style by its nearest patches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .base import FeatureTerm, Measured, View, exact, layer_weights, weighted

SLAB = 32 << 20
"""Bytes of similarities held at once."""
MAX_PATCHES = 8192
"""Patches of the styles kept for a layer; of more, evenly chosen ones: they overlap anyway."""


class Patches(FeatureTerm):
    """Squared distance of every patch of features to the style's patch most like it.

    Li, Wand, "Combining Markov Random Fields and Convolutional Neural Networks for Image
    Synthesis" (2016), eq. 2 and 3: most like by normalized cross-correlation. Over the mean square
    of the style's patches. styles: for each its features, layer -> 1 C H W, and what they may be
    used for: one region of the picture, or, by layer, the regions 1 K H W of the style itself.
    shares: how much of MOST each style may have, of any sum; without them all have as much.
    Raise ValueError where a style's map is smaller than a patch.
    """

    name = "patches"

    def __init__(
        self,
        styles: Sequence[tuple[Mapping[str, Tensor], Mapping[str, Tensor] | int]],
        layers: Mapping[str, float],
        weight: float = 1.0,
        side: int = 3,
        shares: Sequence[float] = (),
    ) -> None:
        self.weight, self.side, self.shares = weight, side, layer_weights(layers)
        self.layers = tuple(self.shares)
        self.extra = side - 1
        shares = shares or [1.0] * len(styles)
        most = [max(1, int(MAX_PATCHES * share / sum(shares))) for share in shares]
        self._banks = {
            layer: _Bank(
                [
                    _cut_out(f[layer], r, layer, side, m)
                    for (f, r), m in zip(styles, most, strict=True)
                ]
            )
            for layer in self.layers
        }

    @property
    def nbytes(self) -> int:
        """Memory that the styles' patches take."""
        return sum(bank.unit.nbytes for bank in self._banks.values())

    def measure(self, view: View) -> Measured:
        """For each layer: number of patches N, sum of squared distances N."""
        found: Measured = []
        for layer in self.layers:
            features, owner = self._own(view, layer)
            bank = self._banks[layer]
            height, width = (s + 1 - self.side for s in features.shape[-2:])
            if min(height, width) < 1:  # the picture ends within a patch
                found += [features.new_zeros(len(features)), 0.0 * features.sum(dim=(1, 2, 3))]
                continue
            count = torch.full_like(features[:, 0, 0, 0], height * width)
            errors = [self._error(f, o, bank) for f, o in zip(features, owner, strict=True)]
            found += [count, torch.stack(errors) / bank.square]
        return found

    def value(self, total: Measured) -> Tensor:
        means = [total[2 * i + 1] / total[2 * i].clamp_min(1.0) for i in range(len(self.layers))]
        return weighted(means, list(self.shares.values()))

    def _own(self, view: View, layer: str) -> tuple[Tensor, Tensor]:
        """Features N C h w of the patches that begin in the tile, and their regions N h w."""
        top, bottom, left, right = view.core[layer]
        row, column = view.corner[layer]
        extra = self.side - 1  # from the surroundings, or less at the picture's end
        whole = view.features[layer]
        cut = whole[..., top - row : bottom - row + extra, left - column : right - column + extra]
        if layer not in view.regions:
            return exact(cut), torch.zeros_like(cut[:, 0], dtype=torch.long)
        region_masks = view.regions[layer][..., top : bottom + extra, left : right + extra]
        return exact(cut), region_masks.argmax(dim=1).expand(len(cut), -1, -1)

    def _error(self, features: Tensor, owner: Tensor, bank: _Bank) -> Tensor:
        """Sum over all patches of features C h w.

        Where patches overlap, the sum of squared distances to all of them is the squared distance
        to their mean, times their number, and a constant: no patch is held for the gradient.
        """
        with torch.no_grad():
            nearest = self._nearest(features, owner, bank)
            mean, count = torch.zeros_like(features), torch.zeros_like(features[:1])
            for place, piece in self._pieces(nearest, bank):
                mean[place] += piece
                count[place] += 1.0
            mean /= count
            apart = [(p - mean[place]).square().sum() for place, p in self._pieces(nearest, bank)]
        return (count * (features - mean).square()).sum() + torch.stack(apart).sum()

    def _nearest(self, features: Tensor, owner: Tensor, bank: _Bank) -> Tensor:
        """Index of the bank's patch most like each patch, h w."""
        height, width = (s + 1 - self.side for s in features.shape[-2:])
        half = self.side // 2
        owner = owner[half : half + height, half : half + width]
        rows = max(1, SLAB // (width * len(bank.unit) * bank.unit.element_size()))
        found = []
        for top in range(0, height, rows):
            strip = features[:, top : top + rows + self.side - 1]
            # The length of a patch does not change which of the bank's is most like it.
            likeness = F.unfold(strip[None], self.side)[0].T @ bank.unit.T
            if bank.divided:
                own = owner[top : top + rows].flatten()
                # A region that has no patches of its own may take any.
                fits = (own[:, None] == bank.owner) | ~torch.isin(own, bank.owner)[:, None]
                likeness.masked_fill_(~fits, -torch.inf)
            found.append(likeness.argmax(dim=1))
        return torch.cat(found).view(height, width)

    def _pieces(self, nearest: Tensor, bank: _Bank) -> Iterator[tuple[tuple[slice, ...], Tensor]]:
        """For each place in a patch: where it lies in the map, and the bank's features C h w."""
        height, width = nearest.shape
        for index in range(self.side**2):
            row, column = divmod(index, self.side)
            place = (slice(None), slice(row, row + height), slice(column, column + width))
            yield place, (bank.unit[:, index :: self.side**2] * bank.length)[nearest].movedim(2, 0)


class _Bank:
    """The styles' patches of a layer."""

    def __init__(self, styles: Sequence[tuple[Tensor, Tensor]]) -> None:
        patches = torch.cat([p for p, _ in styles])
        self.length = torch.linalg.vector_norm(patches, dim=1, keepdim=True).clamp_min(1e-8)
        self.square = self.length.square().mean()
        self.unit = patches / self.length
        self.owner = torch.cat([o for _, o in styles])
        self.divided = bool((self.owner != self.owner[0]).any())


def _cut_out(
    features: Tensor, region: Mapping[str, Tensor] | int, layer: str, side: int, most: int
) -> tuple[Tensor, Tensor]:
    """Patches P (C side side) of a style's features 1 C H W, and the region of each, P."""
    found = exact(features.detach()[0])
    height, width = (s + 1 - side for s in found.shape[-2:])
    if min(height, width) < 1:
        raise ValueError(
            f"the style is too small for patches of {side}x{side} features at {layer}: take a "
            "larger picture or a shallower layer"
        )
    count = min(height * width, most)
    places = torch.linspace(0, height * width - 1, count, device=found.device).round().long()
    rows, columns = places // width, places % width
    patches = found.unfold(1, side, 1).unfold(2, side, 1)[:, rows, columns].movedim(1, 0)
    if isinstance(region, int):
        owner = torch.full((count,), region, device=found.device)
    else:
        owner = region[layer][0, :, rows + side // 2, columns + side // 2].argmax(dim=0)
    return patches.flatten(1), owner
