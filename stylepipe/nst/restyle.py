"""Any style at once: encode a photo, transform its features, decode them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import Any, Literal

import torch
from torch import Tensor

from stylepipe.memory import trim_allocator

from . import transforms
from .budget import Footprint, Map, NotEnoughMemory
from .encoders import Encoder
from .inverses import FeatureInverter, of_pass
from .objective import TiledEncoder
from .optimize import resize, size_of
from .paintings import Painting, Size, area, check_regions, recolored
from .recent import Remember, alone
from .recipe import RestyleSettings
from .steady import evened, thumbnail
from .swap import WORKING, StylePatches
from .transforms import (
    SLAB,
    StyleStatistics,
    blended,
    region_moments,
    restyled,
    stacked,
    steadied,
)

ENOUGH = 40
"""Features per channel from which on frames share a covariance. One of fewer features fits only its
own frame: with a mean over eight, the warping error of wct grew by 8 % at 320 pixels."""
KEPT = 8
"""What the paintings teach is kept for other sizes of photos in this part of the memory."""
BYTES_PER_PIXEL = 42
"""Bytes by pixel of the photo: 12; the caller's, of photo and result in integers, 6; and 24 that
the heap keeps of what was freed (measured at six megapixels)."""
SLABS = 6
"""Copies in float32 of a slab of features, while they are moved."""
SMALLEST_TILE, LARGEST_TILE = 256, 2048


@dataclass(frozen=True)
class StyleFeatures:
    """What a painting's features are: maps 1 C h w; weight; region masks 1 K h w or None."""

    maps: Tensor
    weight: float
    region_masks: Tensor | None


class FeatureTransform(ABC):
    """What is done to the features."""

    @abstractmethod
    def learn(self, styles: Iterable[StyleFeatures], apart: bool) -> Any:
        """What the styles teach, of one layer: maps 1 C h w of any sizes, and masks 1 K h w for
        all or none. apart: the k-th style is for the k-th region. styles can be gone through once,
        and each is encoded when it is asked for. Raises ValueError for styles that cannot serve.
        """

    @abstractmethod
    def apply(
        self,
        features: Tensor,
        learnt: Any,
        region_masks: Tensor | None,
        limit: Tensor | None = None,
        remember: Remember = alone,
    ) -> tuple[Tensor, Tensor | None]:
        """The changed features 1 C h w; those given may be overwritten. region_masks: 1 K h w, how
        much each belongs to each region, which sum to 1. Of several levels: with the features comes
        the next one's limit. remember: for films, see recent.Remember. Raises ValueError for
        features that are too few.
        """

    @abstractmethod
    def nbytes(self, learnt: Any) -> int:
        """Bytes of what was learnt."""

    def takes(self, found: Map, pixels: int, style_pixels: int) -> float:
        """Bytes, about, besides the features of the photo and of one painting, while a photo of so
        many pixels is changed after paintings of so many.
        """
        return 4.0 * SLABS * min(SLAB, found.channels * found.positions * pixels)

    def least(self, encoder: Encoder, layer: str) -> int:
        """Pixels that a side needs, of a photo and of a painting."""
        return encoder.least_side(layer)


class MomentTransform(FeatureTransform):
    """Features moved to the styles' statistics: AdaIN, or, with full covariances, WCT."""

    def __init__(self, full: bool, gain: float = 1.0) -> None:
        """gain: the part of MAX_GAIN that contrast is raised by at most."""
        self.full, self.gain = full, gain

    def learn(self, styles: Iterable[StyleFeatures], apart: bool) -> StyleStatistics:
        found = [
            (StyleStatistics.of(region_moments(s.maps, s.region_masks, full=self.full)), s.weight)
            for s in styles
        ]
        return stacked([statistics for statistics, _ in found]) if apart else blended(found)

    def apply(
        self,
        features: Tensor,
        learnt: StyleStatistics,
        region_masks: Tensor | None,
        limit: Tensor | None = None,
        remember: Remember = alone,
    ) -> tuple[Tensor, Tensor | None]:
        own = region_moments(features, region_masks, full=self.full)
        _, channels, height, width = features.shape
        if not self.full or height * width >= ENOUGH * channels:
            own = steadied(remember("own", own))
        if limit is None:
            limit = torch.full_like(own.size, self.gain * transforms.MAX_GAIN)
        return restyled(features, learnt, region_masks, own=own, limit=limit, out=features)

    def nbytes(self, learnt: StyleStatistics) -> int:
        return learnt.nbytes


class PatchSwap(FeatureTransform):
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

    def learn(
        self, styles: Iterable[StyleFeatures], apart: bool
    ) -> list[tuple[StylePatches, float]]:
        styles = list(styles)
        region_masks: list[Tensor | None]
        if apart:
            region_masks = [
                torch.eye(len(styles), device=s.maps.device)[k][:, None, None].expand(
                    -1, *s.maps.shape[2:]
                )
                for k, s in enumerate(styles)
            ]
        else:
            region_masks = [None if s.region_masks is None else s.region_masks[0] for s in styles]
        maps = [s.maps for s in styles]
        if self.pooled or apart:
            return [(self._patches(maps, region_masks), 1.0)]
        total = sum(s.weight for s in styles)
        return [
            (self._patches([m], [p]), s.weight / total)
            for m, p, s in zip(maps, region_masks, styles, strict=True)
        ]

    def least(self, encoder: Encoder, layer: str) -> int:
        """Pixels of the smallest picture's side that holds a patch of this layer's features."""
        return encoder.least_side(layer) + (self.side - 1) * encoder.stride(layer)

    def _patches(
        self, maps: Sequence[Tensor], region_masks: Sequence[Tensor | None]
    ) -> StylePatches:
        divided = None if region_masks[0] is None else region_masks
        precision: Literal["exact", "fast"] = "fast" if self.fast else "exact"
        return StylePatches(maps, self.side, self.stride, regions=divided, precision=precision)

    def nbytes(self, learnt: list[tuple[StylePatches, float]]) -> int:
        return sum(patches.nbytes for patches, _ in learnt)

    def takes(self, found: Map, pixels: int, style_pixels: int) -> float:
        # A feature in float32 takes four bytes. What is compared is held once more, in pieces that
        # overlap; with a stride these are whole patches, and two copies more while they are cut.
        photo, styles = found.positions * pixels, found.positions * style_pixels
        compared = 1.0 if self.stride == 1 else (self.side / self.stride) ** 2
        pieces = (2 if self.fast else 4) * 1.1 * compared
        cut = 0.0 if self.stride == 1 else 8 * compared
        of_patch = 4 * self.side**2 + 64  # where it lies, what is known of it
        # First the maps of all paintings but one, and their pixels twice.
        learning = styles * (found.channels * (8 + max(cut, cut / 2 + pieces)) + of_patch)
        learning += 4 * found.channels * max(0.0, styles - photo)
        # Then their pixels once; of the photo pixels, what was found, and a copy or sum of that.
        swapping = styles * (found.channels * (4 + pieces) + of_patch)
        swapping += photo * (found.channels * (12 + cut) + of_patch)
        return WORKING + max(learning, swapping)

    def apply(
        self,
        features: Tensor,
        learnt: list[tuple[StylePatches, float]],
        region_masks: Tensor | None,
        limit: Tensor | None = None,
        remember: Remember = alone,
    ) -> tuple[Tensor, Tensor | None]:
        regions = None if region_masks is None else region_masks[0]
        parts = (
            patches.swap(features, regions, partial(remember, number)).mul_(weight)
            for number, (patches, weight) in enumerate(learnt)
        )
        result = next(parts).contiguous()
        for part in parts:
            result += part
        return result, None


class Restyler:
    """Paints photos after any paintings, whose features it keeps from photo to photo.

    inverses: layer -> the way back from it; the layers are changed one after the other, in this
    order.
    memory: bytes the work may take; larger pictures are encoded and decoded in tiles, with the
    same result, but a layer's features are held whole. Raises ValueError for unknown layers, no
    painting or one that is too small.
    """

    def __init__(
        self,
        encoder: Encoder,
        inverses: Mapping[str, FeatureInverter],
        transform: FeatureTransform,
        paintings: Sequence[Painting],
        settings: RestyleSettings,
        memory: int,
    ) -> None:
        encoder.check(inverses)
        if not paintings:
            raise ValueError("there is no painting to learn from")
        self.encoder, self.inverses, self.transform = encoder, dict(inverses), transform
        self.paintings, self.settings = list(paintings), settings
        self.memory = memory
        self._deepest = max(inverses, key=list(encoder.windows).index)
        above = encoder.down_to(self._deepest)
        self._footprint = Footprint(encoder, list(dict.fromkeys([*above, self._deepest])))
        self._least = max(transform.least(encoder, layer) for layer in inverses)
        self._learnt: OrderedDict[tuple[str, Size, bool], Any] = OrderedDict()
        for number, painting in enumerate(self.paintings, start=1):
            which = f"painting {number}" if len(self.paintings) > 1 else "a painting"
            self._check_size(which, painting.picture)

    @torch.no_grad()
    def paint(
        self, photo: Tensor, regions: Tensor | None = None, remember: Remember = alone
    ) -> Tensor:
        """photo: 1 3 H W in [0,1]. regions: 1 K H W in [0,1], how far a pixel belongs to each.
        remember: for films, which would pulse by the statistics of each frame alone; see
        recent.Remember.
        Returns 1 3 H W in [0,1]; with strength 0 the photo itself. Raises NotEnoughMemory, before
        anything is painted; Diverged where the way back does; ValueError for regions that do not
        fit and for a photo that is too small.
        """
        self._check_size("a picture", photo)
        check_regions(self.paintings, regions)
        if self.settings.strength == 0:
            return photo.clone()
        tile = self._tile(photo, regions)
        paintings = self._colored(photo, remember)
        exposures = remember("exposure", thumbnail(photo))
        result = photo = evened(photo, exposures, self.settings.strength)
        limit: Tensor | None = None
        for layer, inverse in self.inverses.items():
            # Patch numbers and moments depend on whether there are regions.
            own = _under(remember, (layer, regions is None))
            result, limit = self._passed(
                result, layer, inverse, paintings, regions, limit, tile, own
            )
            if tile < max(size_of(photo)):
                trim_allocator()  # the next level's tiles have other sizes
        return result

    def _passed(
        self,
        picture: Tensor,
        layer: str,
        inverse: FeatureInverter,
        paintings: Sequence[Painting],
        regions: Tensor | None,
        limit: Tensor | None,
        tile: int,
        remember: Remember,
    ) -> tuple[Tensor, Tensor | None]:
        size, share = size_of(picture), self.settings.strength
        learnt = self._learn(layer, size, paintings, regions is not None, tile)
        maps = self._encoded(picture, layer, tile)
        if tile < max(size):
            trim_allocator()
        region_masks = None
        if regions is not None:
            region_masks = self.encoder.propagate(regions, [layer], "simple")[layer]
            region_masks /= region_masks.sum(dim=1, keepdim=True).clamp_min_(1e-6)
        returned = 1.0 if self.settings.lossless else 1 - share
        if returned == 0 or inverse.searches:
            changed, limit = self.transform.apply(maps, learnt, region_masks, limit, remember)
            painted = inverse.picture(changed, picture, tile)
            return painted.lerp_(picture, 1 - share), limit
        # What the way back loses of the photo returns as the style goes: strength 0 is the photo,
        # without a jump on the way.
        lost = inverse.picture(maps, picture, tile).neg_().add_(picture)
        changed, limit = self.transform.apply(maps.clone(), learnt, region_masks, limit, remember)
        changed.lerp_(maps, 1 - share)
        del maps
        painted = inverse.picture(changed, picture, tile)
        return painted.add_(lost, alpha=returned).clamp_(0.0, 1.0), limit

    def _encoded(self, picture: Tensor, layer: str, tile: int) -> Tensor:
        return TiledEncoder(self.encoder, (), tile).maps(picture, [layer])[layer]

    def _learn(
        self, layer: str, size: Size, paintings: Sequence[Painting], divided: bool, tile: int
    ) -> Any:
        """What the paintings teach for a size: kept, as the next photo may have the same."""
        key = (layer, size, divided)
        if key not in self._learnt:
            apart = divided and paintings[0].regions is None
            styles = self._styles(layer, size, paintings, divided, tile)
            self._learnt[key] = self.transform.learn(styles, apart)
            # Photos may be of thousands of sizes.
            while len(self._learnt) > 1 and self._held() > self.memory // KEPT:
                self._learnt.popitem(last=False)
        self._learnt.move_to_end(key)
        return self._learnt[key]

    def _styles(
        self, layer: str, size: Size, paintings: Sequence[Painting], divided: bool, tile: int
    ) -> Iterator[StyleFeatures]:
        for painting in paintings:
            own = self._style_size(painting, size)
            region_masks = None
            if divided and painting.regions is not None:
                regions = area(painting.regions, own)
                region_masks = self.encoder.propagate(regions, [layer], self.settings.border)[layer]
            maps = self._encoded(resize(painting.picture, own), layer, tile)
            yield StyleFeatures(maps, painting.weight, region_masks)

    def _style_size(self, painting: Painting, size: Size) -> Size:
        return painting.size_for(size, self.settings.style_scale, self._least)

    def _held(self) -> int:
        return sum(self.transform.nbytes(learnt) for learnt in self._learnt.values())

    def _tile(self, photo: Tensor, regions: Tensor | None) -> int:
        """The side of the tiles with which a photo fits into the memory. Raises NotEnoughMemory."""
        height, width = size = size_of(photo)
        fixed = BYTES_PER_PIXEL * height * width + max(
            self._whole(layer, inverse, size, 0 if regions is None else regions.shape[1])
            for layer, inverse in self.inverses.items()
        )
        fixed += sum(p.picture.nbytes for p in self.paintings)
        if regions is not None:
            fixed += 2 * regions.nbytes  # the caller's, and while they are propagated to a layer
        widest = max(found.nbytes for found in self._footprint.maps.values())
        each = max(of_pass(widest), *(i.tile_bytes_per_pixel for i in self.inverses.values()))
        around = 2 * max(
            max(self.encoder.receptive_radius(layer), inverse.margin)
            for layer, inverse in self.inverses.items()
        )
        spare = self.memory - self.memory // KEPT - fixed
        least = min(SMALLEST_TILE + around, height) * min(SMALLEST_TILE + around, width)
        if least * each > spare:
            needed = ceil((fixed + least * each) * KEPT / (KEPT - 1))
            raise NotEnoughMemory(
                f"to paint {width}x{height} pixels takes {-(-needed >> 20)} MiB of memory, even in "
                f"tiles, and {self.memory >> 20} MiB are allowed: make the picture smaller, or "
                "allow more",
                needed,
            )
        return min(max(int((spare / each) ** 0.5) - around, SMALLEST_TILE), LARGEST_TILE)

    def _whole(self, layer: str, inverse: FeatureInverter, size: Size, regions: int) -> float:
        """Bytes of whatever is not cut, while a layer of a photo of this size is changed."""
        found, pixels = self._footprint.maps[layer], size[0] * size[1]
        sizes = [h * w for h, w in (self._style_size(p, size) for p in self.paintings)]
        region_masks = 4.0 * regions * found.positions
        # A painting, resized, and its features; the photo's, while there are no others.
        learning = max(sizes) * (24 + found.nbytes + 2 * region_masks)
        painting = 12 + inverse.held + found.nbytes + 2 * region_masks
        if (self.settings.strength < 1 or self.settings.lossless) and not inverse.searches:
            painting += 12 + found.nbytes
        return max(learning, pixels * painting) + self.transform.takes(found, pixels, sum(sizes))

    def _colored(self, photo: Tensor, remember: Remember) -> list[Painting]:
        if self.settings.match_colors == "no":
            return self.paintings
        # With the photo's colors the painting is another each time.
        self._learnt.clear()
        return recolored(self.paintings, photo, self.settings.match_colors, remember)

    def _check_size(self, what: str, picture: Tensor) -> None:
        height, width = picture.shape[-2:]
        if min(height, width) < self._least:
            raise ValueError(
                f"{what} of {width}x{height} pixels is too small for {self._deepest} of "
                f"{self.encoder.title}: each side needs {self._least} or more; take a larger "
                "picture, or a shallower layer"
            )


def _under(remember: Remember, whose: tuple[Any, ...]) -> Remember:
    return lambda key, found: remember((*whose, key), found)
