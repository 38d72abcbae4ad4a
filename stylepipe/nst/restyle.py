"""Any style at once: encode a photo, change its features, decode them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from .encoders import Encoder
from .inverses import Inverse
from .objective import Viewer
from .optimise import resize, size_of
from .paintings import Painting, Size, area, check_regions, recoloured
from .swap import StylePatches
from .transforms import Look, blended, moments, restyled, stacked

KEPT = 4
"""Sizes of photos for which it is kept what the paintings teach."""
PER_PIXEL = 1200
"""Bytes that encoding or decoding a pixel takes, of the tile in hand."""
SMALLEST_TILE, LARGEST_TILE = 256, 2048


@dataclass(frozen=True)
class Style:
    """What a painting's features are: maps 1 C h w; weight; planes 1 K h w or None."""

    maps: Tensor
    weight: float
    planes: Tensor | None


class Change(ABC):
    """What is done to the features."""

    @abstractmethod
    def learn(self, styles: Sequence[Style], apart: bool) -> Any:
        """What the styles teach. apart: the k-th style is for the k-th region."""

    @abstractmethod
    def apply(
        self, features: Tensor, learnt: Any, planes: Tensor | None, inner: Tensor | None
    ) -> Tensor:
        """The changed features 1 C h w. planes: 1 K h w, how much each belongs to each region,
        which sum to 1; inner: those that see nothing beyond their region's border.
        """


class Moved(Change):
    """Features moved to the styles' statistics: AdaIN, or, with full covariances, WCT."""

    def __init__(self, full: bool) -> None:
        self.full = full

    def learn(self, styles: Sequence[Style], apart: bool) -> Look:
        looks = [Look.of(moments(s.maps, s.planes, full=self.full)) for s in styles]
        if apart:
            return stacked(looks)
        return blended([(look, s.weight) for look, s in zip(looks, styles, strict=True)])

    def apply(
        self, features: Tensor, learnt: Look, planes: Tensor | None, inner: Tensor | None
    ) -> Tensor:
        return restyled(features, learnt, planes, inner)


class Swapped(Change):
    """Patches of features replaced by the most similar ones of the styles: style-swap.

    Chen, Schmidt, "Fast Patch-based Style Transfer of Arbitrary Style" (2016), section 3.1. side,
    stride: of the patches, in features. pooled: each patch is looked for in all paintings;
    otherwise the paintings' results are blended by their weights. fast: compare in bfloat16.
    """

    def __init__(
        self, side: int = 3, stride: int = 1, *, pooled: bool = True, fast: bool = False
    ) -> None:
        self.side, self.stride = side, stride
        self.pooled, self.fast = pooled, fast

    def learn(self, styles: Sequence[Style], apart: bool) -> list[tuple[StylePatches, float]]:
        planes: list[Tensor | None]
        if apart:
            planes = [
                torch.eye(len(styles), device=s.maps.device)[k][:, None, None].expand(
                    -1, *s.maps.shape[2:]
                )
                for k, s in enumerate(styles)
            ]
        else:
            planes = [None if s.planes is None else s.planes[0] for s in styles]
        maps = [s.maps for s in styles]
        if self.pooled or apart:
            return [(self._patches(maps, planes), 1.0)]
        total = sum(s.weight for s in styles)
        return [
            (self._patches([m], [p]), s.weight / total)
            for m, p, s in zip(maps, planes, styles, strict=True)
        ]

    def least(self, encoder: Encoder, layer: str) -> int:
        """Pixels of the smallest picture's side that holds a patch of this layer's features."""
        return encoder.least_side(layer) + (self.side - 1) * encoder.stride(layer)

    def _patches(self, maps: Sequence[Tensor], planes: Sequence[Tensor | None]) -> StylePatches:
        divided = None if planes[0] is None else planes
        precision: Literal["exact", "fast"] = "fast" if self.fast else "exact"
        return StylePatches(maps, self.side, self.stride, regions=divided, precision=precision)

    def apply(
        self,
        features: Tensor,
        learnt: list[tuple[StylePatches, float]],
        planes: Tensor | None,
        inner: Tensor | None,
    ) -> Tensor:
        regions = None if planes is None else planes[0]
        parts = [w * p.swap(features, regions) for p, w in learnt]
        return torch.stack(parts).sum(dim=0)


@dataclass(frozen=True)
class Manner:
    """How photos are restyled. strength: 0 (the photo) to 1. style_scale: size of the painting
    relative to the photo. colors: ``linear`` or ``histogram`` first give the painting the photo's
    colours. border: what counts of a region, see Encoder.carry. Raise ValueError out of range.
    """

    strength: float = 1.0
    style_scale: float = 1.0
    colors: Literal["style", "linear", "histogram"] = "style"
    border: Literal["inside", "feather", "simple"] = "feather"

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise ValueError(f"strength must be between 0 and 1, got {self.strength}")
        if not self.style_scale > 0:
            raise ValueError(f"style_scale must be positive, got {self.style_scale}")


class Restyler:
    """Paints photos after any paintings, whose features it keeps from photo to photo.

    inverses: layer -> the way back from it; the layers are changed one after the other, in this
    order.
    memory: bytes for the tile in hand; larger pictures are cut, with the same result. Raise
    ValueError for no painting or one that is too small.
    """

    def __init__(
        self,
        encoder: Encoder,
        inverses: Mapping[str, Inverse],
        change: Change,
        paintings: Sequence[Painting],
        manner: Manner,
        memory: int,
    ) -> None:
        encoder.check(inverses)
        if not paintings:
            raise ValueError("there is no painting to learn from")
        self.encoder, self.inverses, self.change = encoder, dict(inverses), change
        self.paintings, self.manner = list(paintings), manner
        side = int((memory / PER_PIXEL) ** 0.5)
        self.tile = min(max(side, SMALLEST_TILE), LARGEST_TILE)
        self._least = max(encoder.least_side(layer) for layer in inverses)
        self._learnt: OrderedDict[tuple[str, Size, bool], Any] = OrderedDict()
        for number, painting in enumerate(self.paintings, start=1):
            which = f"painting {number}" if len(self.paintings) > 1 else "a painting"
            self._check_size(which, painting.picture)

    @torch.no_grad()
    def paint(self, photo: Tensor, regions: Tensor | None = None) -> Tensor:
        """photo: 1 3 H W in [0,1]. regions: 1 K H W in [0,1], how far a pixel belongs to each.
        Returns 1 3 H W in [0,1]; with strength 0 the photo itself. Raise ValueError for regions
        that do not fit and for a photo that is too small.
        """
        self._check_size("a picture", photo)
        check_regions(self.paintings, regions)
        if self.manner.strength == 0:
            return photo.clone()
        paintings = self._coloured(photo)
        result = photo
        for layer, inverse in self.inverses.items():
            result = self._passed(result, layer, inverse, paintings, regions)
        return result

    def _passed(
        self,
        picture: Tensor,
        layer: str,
        inverse: Inverse,
        paintings: Sequence[Painting],
        regions: Tensor | None,
    ) -> Tensor:
        size, share = size_of(picture), self.manner.strength
        maps = self._encoded(picture, layer)
        planes, inner = self._carried(regions, layer)
        changed = self.change.apply(
            maps, self._learn(layer, size, paintings, regions is not None), planes, inner
        )
        if share < 1:
            changed = torch.lerp(maps, changed, share)
        painted = inverse.picture(changed, picture, self.tile)
        if share < 1 and not inverse.lossless:
            # What the way back loses of the photo returns as the style goes: strength 0 is the
            # photo, without a jump on the way.
            lost = picture - inverse.picture(maps, picture, self.tile)
            painted = painted.add_(lost, alpha=1 - share).clamp_(0.0, 1.0)
        return painted

    def _encoded(self, picture: Tensor, layer: str) -> Tensor:
        return Viewer(self.encoder, (), self.tile).maps(picture, [layer])[layer]

    def _carried(self, regions: Tensor | None, layer: str) -> tuple[Tensor | None, Tensor | None]:
        if regions is None:
            return None, None
        planes = self.encoder.carry(regions, [layer], "simple")[layer]
        planes = planes / planes.sum(dim=1, keepdim=True).clamp_min(1e-6)
        return planes, self.encoder.carry(regions, [layer], self.manner.border)[layer]

    def _learn(self, layer: str, size: Size, paintings: Sequence[Painting], divided: bool) -> Any:
        """What the paintings teach for a size: kept, as the next photo may have the same."""
        key = (layer, size, divided)
        if key not in self._learnt:
            styles = []
            for painting in paintings:
                own = painting.size_for(size, self.manner.style_scale, self._least)
                maps = self._encoded(resize(painting.picture, own), layer)
                planes = None
                if divided and painting.regions is not None:
                    _, planes = self._carried(area(painting.regions, own), layer)
                styles.append(Style(maps, painting.weight, planes))
            apart = divided and paintings[0].regions is None
            self._learnt[key] = self.change.learn(styles, apart)
            while len(self._learnt) > KEPT * len(self.inverses):
                self._learnt.popitem(last=False)
        self._learnt.move_to_end(key)
        return self._learnt[key]

    def _coloured(self, photo: Tensor) -> list[Painting]:
        if self.manner.colors == "style":
            return self.paintings
        # With the photo's colours the painting is another each time.
        self._learnt.clear()
        return recoloured(self.paintings, photo, self.manner.colors)

    def _check_size(self, what: str, picture: Tensor) -> None:
        height, width = picture.shape[-2:]
        if min(height, width) < self._least:
            raise ValueError(
                f"{what} of {width}x{height} pixels is too small for {self.encoder.title} and "
                f"this layer: each side needs {self._least} or more"
            )
