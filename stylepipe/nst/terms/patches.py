"""Style by its nearest patches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import TYPE_CHECKING, Self

from .base import PaintingInputs, Room, StyleTerm, Sums, View, layer_weights
from .registry import register

if TYPE_CHECKING:
    from torch import Tensor

    from stylepipe.nst.encoders import Encoder

SIDE = 3
"""Of a patch, in features."""
STRIDE = 8
"""Patches are compared where a feature stands for so many pixels or more: on finer maps they hold
no motif, and their number, which counts squared, is out of reach."""
MAX_PATCHES = 8192
"""Patches of the styles kept for a layer; of more, evenly chosen ones: they overlap anyway."""


@register
class Patches(StyleTerm):
    """Squared distance of every patch of features to the style's patch most like it.

    Li, Wand, "Combining Markov Random Fields and Convolutional Neural Networks for Image
    Synthesis" (2016), eq. 2 and 3: most like by normalized cross-correlation. Over the mean square
    of the style's patches. styles: for each its features, layer -> 1 C H W, and what they may be
    used for: one region of the picture, or, by layer, the regions 1 K H W of the style itself.
    shares: how much of MAX_PATCHES each style may have, of any sum; without them all have as much.
    Raises ValueError where a style's map is smaller than a patch.
    """

    name = "patches"
    help = (
        "Weight of nearest patches of features (MRF): 0.5 brings out motifs, such as whorls, that "
        "more style weight seldom does, in 1.5 to 1.7 times the time at 256 pixels."
    )
    extra = SIDE - 1
    whole_maps = True

    def __init__(
        self,
        styles: Sequence[tuple[Mapping[str, Tensor], Mapping[str, Tensor] | int]],
        layers: Mapping[str, float],
        weight: float = 1.0,
        side: int = SIDE,
        shares: Sequence[float] = (),
    ) -> None:
        from stylepipe.nst.patches import PatchBank, cut_out

        self.weight, self.side, self.shares = weight, side, layer_weights(layers)
        self.layers = tuple(self.shares)
        self.extra = side - 1
        shares = shares or [1.0] * len(styles)
        most = [max(1, int(MAX_PATCHES * share / sum(shares))) for share in shares]
        self._banks = {
            layer: PatchBank(
                [
                    cut_out(f[layer], r if isinstance(r, int) else r[layer], layer, side, m)
                    for (f, r), m in zip(styles, most, strict=True)
                ],
                side,
            )
            for layer in self.layers
        }
        self.held = sum(bank.unit.nbytes for bank in self._banks.values())

    @classmethod
    def build(cls, inputs: PaintingInputs, layers: Mapping[str, float], weight: float) -> Self:
        styles = list(zip(inputs.maps(layers), inputs.regions, strict=True))
        return cls(styles, layers, weight * inputs.recipe.strength, shares=inputs.shares)

    @classmethod
    def of_layers(cls, layers: Mapping[str, float], encoder: Encoder) -> Mapping[str, float]:
        """The coarse ones; of layers that are all too fine, the coarsest."""
        found = {n: w for n, w in layers.items() if encoder.stride(n) >= STRIDE}
        coarsest = max(layers, key=encoder.stride)
        return found or {coarsest: layers[coarsest]}

    @classmethod
    def least_side(cls, encoder: Encoder, layers: Mapping[str, float]) -> int:
        return max(encoder.least_side(n) + (SIDE - 1) * encoder.stride(n) for n in layers)

    @classmethod
    def nbytes(cls, layers: Mapping[str, float], room: Room) -> int:
        from stylepipe.nst.patches import SLAB

        found = 0
        for own in (room.maps[n] for n in layers):
            patches = min(MAX_PATCHES, ceil(room.style_pixels * own.positions))
            # Twice while they are made; then beside what is like them.
            found += 2 * 4 * patches * SIDE**2 * own.channels
            found += min(2 * SLAB, 8 * patches * ceil(room.pixels * own.positions))
        return found

    def measure(self, view: View) -> Sums:
        """For each layer: number of patches N, sum of squared distances N."""
        found: Sums = []
        for layer in self.layers:
            features, owner = self._own(view, layer)
            bank = self._banks[layer]
            height, width = (s + 1 - self.side for s in features.shape[-2:])
            if min(height, width) < 1:  # the picture ends within a patch
                found += [features.new_zeros(len(features)), 0.0 * features.sum(dim=(1, 2, 3))]
            else:
                count = features.new_full((len(features),), height * width)
                found += [count, bank.errors(features, owner) / bank.square]
        return found

    def value(self, total: Sums) -> Tensor:
        from stylepipe.nst.statistics import weighted

        means = [total[2 * i + 1] / total[2 * i].clamp_min(1.0) for i in range(len(self.layers))]
        return weighted(means, list(self.shares.values()))

    def _own(self, view: View, layer: str) -> tuple[Tensor, Tensor]:
        """Features N C h w of the patches that begin in the tile, and their regions N h w."""
        from stylepipe.nst.losses import exact

        top, bottom, left, right = view.core[layer]
        row, column = view.corner[layer]
        extra = self.side - 1  # from the surroundings, or less at the picture's end
        whole = view.features[layer]
        cut = whole[..., top - row : bottom - row + extra, left - column : right - column + extra]
        if layer not in view.regions:
            return exact(cut), cut[:, 0].new_zeros(cut[:, 0].shape).long()
        region_masks = view.regions[layer][..., top : bottom + extra, left : right + extra]
        return exact(cut), region_masks.argmax(dim=1).expand(len(cut), -1, -1)
