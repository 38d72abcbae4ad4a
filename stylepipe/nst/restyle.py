"""Any style in one pass: encode a photo, change its features, decode them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from .decoders import Decoder
from .encoders import Encoder
from .objective import Viewer
from .optimise import resize, size_of
from .paintings import Painting, Size, area, check_regions
from .palette import matched
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


@dataclass(frozen=True)
class Manner:
    """How photos are restyled. strength: 0 (the photo) to 1. style_scale: size of the painting
    relative to the photo. colors: ``linear`` or ``histogram`` first give the painting the photo's
    colours. border: what counts of a region, see Encoder.carry. Raise ValueError out of range.
    """

    strength: float = 1.0
    style_scale: float = 1.0
    colors: Literal["style", "linear", "histogram"] = "style"
    border: Literal["inside", "feather", "simple"] = "inside"

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise ValueError(f"strength must be between 0 and 1, got {self.strength}")
        if not self.style_scale > 0:
            raise ValueError(f"style_scale must be positive, got {self.style_scale}")


class Restyler:
    """Paints photos after any paintings, whose features it keeps from photo to photo.

    decoders: layer -> its decoder; the layers are changed one after the other, in this order.
    memory: bytes for the tile in hand; larger pictures are cut, with the same result. Raise
    ValueError for no painting or one that is too small.
    """

    def __init__(
        self,
        encoder: Encoder,
        decoders: Mapping[str, Decoder],
        change: Change,
        paintings: Sequence[Painting],
        manner: Manner,
        memory: int,
    ) -> None:
        encoder.check(decoders)
        if not paintings:
            raise ValueError("there is no painting to learn from")
        self.encoder, self.decoders, self.change = encoder, dict(decoders), change
        self.paintings, self.manner = list(paintings), manner
        side = int((memory / PER_PIXEL) ** 0.5)
        self.tile = min(max(side, SMALLEST_TILE), LARGEST_TILE)
        self._least = max(encoder.least_side(layer) for layer in decoders)
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
        for layer, decoder in self.decoders.items():
            result = self._passed(result, layer, decoder, paintings, regions)
        return result

    def _passed(
        self,
        picture: Tensor,
        layer: str,
        decoder: Decoder,
        paintings: Sequence[Painting],
        regions: Tensor | None,
    ) -> Tensor:
        size, share = size_of(picture), self.manner.strength
        maps = self._encoded(picture, layer)
        planes, inner = self._carried(regions, layer)
        changed = self.change.apply(
            maps, self._learn(layer, size, paintings, regions is not None), planes, inner
        )
        if share == 1:
            return self._decoded(decoder, changed, size)
        painted = self._decoded(decoder, torch.lerp(maps, changed, share), size)
        # What the decoder loses of the photo comes back as the style goes: strength 0 is the
        # photo, without a jump on the way.
        lost = picture - self._decoded(decoder, maps, size)
        return painted.add_(lost, alpha=1 - share).clamp_(0.0, 1.0)

    def _encoded(self, picture: Tensor, layer: str) -> Tensor:
        return Viewer(self.encoder, (), self.tile).maps(picture, [layer])[layer]

    def _decoded(self, decoder: Decoder, features: Tensor, size: Size) -> Tensor:
        return decoder.picture(features, *size, tile=self.tile // decoder.scale)

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
            while len(self._learnt) > KEPT * len(self.decoders):
                self._learnt.popitem(last=False)
        self._learnt.move_to_end(key)
        return self._learnt[key]

    def _coloured(self, photo: Tensor) -> list[Painting]:
        if self.manner.colors == "style":
            return self.paintings
        # With the photo's colours the painting is another each time.
        self._learnt.clear()
        return [
            Painting(matched(p.picture, photo, self.manner.colors), p.weight, p.regions)
            for p in self.paintings
        ]

    def _check_size(self, what: str, picture: Tensor) -> None:
        height, width = picture.shape[-2:]
        if min(height, width) < self._least:
            raise ValueError(
                f"{what} of {width}x{height} pixels is too small for {self.encoder.title} and "
                f"this layer: each side needs {self._least} or more"
            )
