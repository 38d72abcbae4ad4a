"""Style by its nearest patches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .base import FeatureTerm, Measured, View, layer_weights, weighted

SLAB = 32 << 20
"""Bytes of similarities held at once."""


class Patches(FeatureTerm):
    """Squared distance of every patch of features to the style's patch most like it.

    Li, Wand, "Combining Markov Random Fields and Convolutional Neural Networks for Image
    Synthesis" (2016), eq. 2 and 3: most like by normalised cross-correlation. Over the mean square
    of the style's patches. styles: for each its features, layer -> 1 C H W, and what they may be
    used for: one region of the picture, or, by layer, the regions 1 K H W of the style itself.
    """

    name = "patches"

    def __init__(
        self,
        styles: Sequence[tuple[Mapping[str, Tensor], Mapping[str, Tensor] | int]],
        layers: Mapping[str, float],
        weight: float = 1.0,
        side: int = 3,
    ) -> None:
        self.weight, self.side, self.shares = weight, side, layer_weights(layers)
        self.layers = tuple(self.shares)
        self._bank: dict[str, tuple[Tensor, Tensor, Tensor]] = {}
        for layer in self.layers:
            patches, owners = [], []
            for features, region in styles:
                found = features[layer].detach().float()
                if min(found.shape[-2:]) < side:
                    raise ValueError(
                        f"the style is too small for patches of {side} at {layer}: take a larger "
                        "picture or a shallower layer"
                    )
                patches.append(F.unfold(found, side)[0].T)
                if isinstance(region, int):
                    owner = torch.full((len(patches[-1]),), region, device=found.device)
                else:
                    owner = _centres(region[layer], side)[0].flatten(1).argmax(dim=0)
                owners.append(owner)
            bank = torch.cat(patches)
            self._bank[layer] = (bank, F.normalize(bank, dim=1), torch.cat(owners))

    def measure(self, view: View) -> Measured:
        """For each layer: number of patches N, sum of squared distances N."""
        found: Measured = []
        for layer in self.layers:
            own, owner = self._own_patches(view, layer)
            bank, unit, bank_owner = self._bank[layer]
            count = torch.full((len(own),), own.shape[1], device=own.device, dtype=torch.float32)
            with torch.no_grad():
                nearest = torch.stack(
                    [_nearest(p, o, unit, bank_owner) for p, o in zip(own, owner, strict=True)]
                )
            errors = (own - bank[nearest]).square().sum(dim=(1, 2))
            found += [count, errors / bank.square().sum(dim=1).mean().clamp_min(1e-8)]
        return found

    def _own_patches(self, view: View, layer: str) -> tuple[Tensor, Tensor]:
        """Patches whose corner lies in the tile: N P (C side side), and their regions N P."""
        top, bottom, left, right = view.core[layer]
        row, column = view.corner[layer]
        extra = self.side - 1  # from the surroundings, or less at the picture's end
        whole = view.features[layer]
        cut = whole[..., top - row : bottom - row + extra, left - column : right - column + extra]
        patches = F.unfold(cut.float(), self.side).transpose(1, 2)
        if layer in view.regions:
            planes = view.regions[layer][..., top : bottom + extra, left : right + extra]
            owner = _centres(planes, self.side).flatten(2).argmax(dim=1)
            owner = owner.expand(len(patches), -1)
        else:
            owner = torch.zeros(patches.shape[:2], dtype=torch.long, device=patches.device)
        return patches, owner

    def value(self, total: Measured) -> Tensor:
        means = [total[2 * i + 1] / total[2 * i] for i in range(len(self.layers))]
        return weighted(means, list(self.shares.values()))


def _centres(planes: Tensor, side: int) -> Tensor:
    """The regions at the centres of all patches, N K h w."""
    edge, rest = side // 2, side - 1 - side // 2
    return planes[..., edge : planes.shape[-2] - rest, edge : planes.shape[-1] - rest]


def _nearest(patches: Tensor, owner: Tensor, unit: Tensor, bank_owner: Tensor) -> Tensor:
    """Index of the bank's patch most like each patch, among those of the same region: P."""
    found = torch.empty(len(patches), dtype=torch.long, device=patches.device)
    rows = max(1, SLAB // (4 * len(unit)))
    for region in set(owner.tolist()):
        mine, theirs = (owner == region).nonzero()[:, 0], (bank_owner == region).nonzero()[:, 0]
        if len(theirs) == 0:
            theirs = torch.arange(len(unit), device=unit.device)
        # The length of a patch does not change which of the bank's is most like it.
        for part in mine.split(rows):
            found[part] = theirs[(patches[part] @ unit[theirs].T).argmax(dim=1)]
    return found
