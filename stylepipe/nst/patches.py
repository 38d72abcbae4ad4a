"""Patches of features, and which of a style's are most like them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .losses import exact

SLAB = 32 << 20
"""Bytes of similarities held at once."""


class PatchBank:
    """The styles' patches of a layer, and what is like them.

    styles: of each the patches P (C side side), and the region that each may serve, P: see cut_out.
    """

    def __init__(self, styles: Sequence[tuple[Tensor, Tensor]], side: int) -> None:
        self.side = side
        patches = torch.cat([p for p, _ in styles])
        self.length = torch.linalg.vector_norm(patches, dim=1, keepdim=True).clamp_min(1e-8)
        self.square = self.length.square().mean()
        self.unit = patches / self.length
        self.owner = torch.cat([o for _, o in styles])
        self.divided = bool((self.owner != self.owner[0]).any())

    def errors(self, features: Tensor, owner: Tensor) -> Tensor:
        """Of features N C h w, whose positions belong to the regions N h w: N, the sum over all
        patches of the squared distance to the patch most like it.
        """
        return torch.stack([self._error(f, o) for f, o in zip(features, owner, strict=True)])

    def _error(self, features: Tensor, owner: Tensor) -> Tensor:
        """Of one picture's features C h w.

        Where patches overlap, the sum of squared distances to all of them is the squared distance
        to their mean, times their number, and a constant: no patch is held for the gradient.
        """
        with torch.no_grad():
            nearest = self._nearest(features, owner)
            mean, count = torch.zeros_like(features), torch.zeros_like(features[:1])
            for place, piece in self._pieces(nearest):
                mean[place] += piece
                count[place] += 1.0
            mean /= count
            apart = [(p - mean[place]).square().sum() for place, p in self._pieces(nearest)]
        return (count * (features - mean).square()).sum() + torch.stack(apart).sum()

    def _nearest(self, features: Tensor, owner: Tensor) -> Tensor:
        """Index of the styles' patch most like each patch, h w."""
        height, width = (s + 1 - self.side for s in features.shape[-2:])
        half = self.side // 2
        owner = owner[half : half + height, half : half + width]
        rows = max(1, SLAB // (width * len(self.unit) * self.unit.element_size()))
        found = []
        for top in range(0, height, rows):
            strip = features[:, top : top + rows + self.side - 1]
            # The length of a patch does not change which of the styles' is most like it.
            likeness = F.unfold(strip[None], self.side)[0].T @ self.unit.T
            if self.divided:
                own = owner[top : top + rows].flatten()
                # A region that has no patches of its own may take any.
                fits = (own[:, None] == self.owner) | ~torch.isin(own, self.owner)[:, None]
                likeness.masked_fill_(~fits, -torch.inf)
            found.append(likeness.argmax(dim=1))
        return torch.cat(found).view(height, width)

    def _pieces(self, nearest: Tensor) -> Iterator[tuple[tuple[slice, ...], Tensor]]:
        """For each place in a patch: where it lies in the map, and the styles' features C h w."""
        height, width = nearest.shape
        for index in range(self.side**2):
            row, column = divmod(index, self.side)
            place = (slice(None), slice(row, row + height), slice(column, column + width))
            yield place, (self.unit[:, index :: self.side**2] * self.length)[nearest].movedim(2, 0)


def cut_out(
    features: Tensor, region: Tensor | int, layer: str, side: int, most: int
) -> tuple[Tensor, Tensor]:
    """Patches P (C side side) of a style's features 1 C H W, and the region of each, P: one for
    all, or that of the regions 1 K H W. Raises ValueError where the map is smaller than a patch.
    """
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
        owner = region[0, :, rows + side // 2, columns + side // 2].argmax(dim=0)
    return patches.flatten(1), owner
