"""Style transfer by optimizing the picture itself.

Gatys, Ecker, Bethge, "Image Style Transfer Using Convolutional Neural Networks" (2016); regions
and several styles after Gatys et al., "Controlling Perceptual Factors in Neural Style Transfer"
(2017).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from math import ceil
from typing import Any

import torch
from torch import Tensor

from stylepipe.memory import trim_allocator
from stylepipe.types import Guide

from .budget import Footprint, NotEnoughMemory
from .encoders import Encoder
from .lpips import check_calibrated
from .margin import Margin
from .matting import affine_smoothed
from .objective import STRIP, Objective, Regions, TiledEncoder
from .optimize import MIN_HISTORY, Size, Step, history, optimize, resize, size_of, sizes
from .paintings import Painting, area, check_regions, in_colors_of, recolored
from .recipe import Recipe
from .statistics import mix, stack
from .terms import (
    ContentTerm,
    FeatureTerm,
    PaintingInputs,
    PhotoInputs,
    PictureTerm,
    Room,
    Statistics,
    StatisticTerm,
    StyleTerm,
)
from .terms.photorealism import Photorealism
from .terms.smooth import OutOfRange, TotalVariation

SMALLEST_TILE = 256
BYTES_PER_PHOTO_PIXEL = 18
"""Bytes by pixel of the photo: 12, and the caller's, of photo and result in integers."""
BYTES_PER_PIXEL = 92
"""Bytes by pixel held of the picture while it is painted: itself, gradient and mean (12 each), what
to go back to (12), and what the heap keeps of the size before (44, measured at 24 megapixels)."""
OPTIMIZER_BYTES_PER_PIXEL = {"adam": 24, "adamw": 36, "lbfgs": 340, "sgd": 0}
"""And by the optimizer: moments; the start too; the least history of steps and gradients, what it
makes of them on its way, and the best picture."""
COPIES = 2
"""Of a guide and a target, in addition to the caller's: one extended by the margin, and one in the
size to paint."""
TRUSTED = 0.5
"""Trust from which on a frame begins with nothing but what was painted before."""
BYTES_PER_STRIP_PIXEL = 120
"""Bytes by pixel of a strip, on which the terms of the pixels are evaluated."""
BYTES_PER_PAINTING_PIXEL = 48
"""Bytes by pixel of a painting: itself in its size, and on the way to it."""
MIN_SIDE = 16
"""Pixels below which a picture is too small to have a style."""


@dataclass(frozen=True)
class _Learned:
    """What the paintings teach for one size of the photo."""

    terms: list[StyleTerm]
    targets: list[Statistics]
    """Of those that are terms of statistics."""
    roughness: float
    """See PhotoInputs."""

    @property
    def statistic_terms(self) -> list[StatisticTerm]:
        return [term for term in self.terms if isinstance(term, StatisticTerm)]

    @property
    def nbytes(self) -> int:
        tensors = sum(t.nbytes for target in self.targets for t in target)
        # The terms hold about three times as much that they derive from their targets.
        return 4 * tensors + sum(term.held for term in self.terms)


class Gatys:
    """Paints photos after some paintings, whose statistics it keeps from photo to photo.

    memory: bytes the work may take; larger pictures are cut into tiles, with the same result.
    calibration: layer -> C, of the perceptual term, see stylepipe.nst.lpips; none: all are 1.
    Raises ValueError for unknown layers, for layers without calibrated weights where there are
    some, and for paintings that are too small or none.
    """

    def __init__(
        self,
        encoder: Encoder,
        paintings: Sequence[Painting],
        recipe: Recipe,
        memory: int,
        calibration: Mapping[str, Tensor] | None = None,
    ) -> None:
        encoder.check([*recipe.content_layers, *recipe.style_layers, *recipe.perceptual_layers])
        if not paintings:
            raise ValueError("there is no painting to learn from")
        self.encoder, self.paintings, self.recipe = encoder, list(paintings), recipe
        self.memory, self.calibration = memory, dict(calibration or {})
        if self.calibration:
            check_calibrated(recipe.perceptual_layers, self.calibration)
        self._learned: OrderedDict[tuple[Size, bool], _Learned] = OrderedDict()
        for number, painting in enumerate(self.paintings, start=1):
            which = f"painting {number}" if len(self.paintings) > 1 else "a painting"
            self._check_size(which, painting.picture)

    def paint(
        self,
        photo: Tensor,
        *,
        regions: Tensor | None = None,
        start: Tensor | None = None,
        seed: int = 0,
        on_step: Callable[[Step], None] | None = None,
        guide: Guide | None = None,
        target: Tensor | None = None,
    ) -> Tensor:
        """photo: N 3 H W in [0,1]; N is 1 where the recipe's colors are the photo's. regions:
        1 K H W in [0,1], how far a pixel belongs to each; or None. start: 1 3 h w, overrides the
        recipe's init. on_step: called after each step. guide: what the frame before implies, of
        the photo's size; where it is trusted, the picture continues from it, in guided_steps.
        target: N 3 h w in [0,1], scaled to the photo's size; what the term of this name compares
        with.
        Returns N 3 H W in [0,1]. Raises Diverged; NotEnoughMemory, before anything is painted; or
        ValueError for regions that do not fit and for a photo that is too small.
        """
        self._check_size("a picture", photo)
        paintings = self._colored(photo)
        check_regions(paintings, regions)
        if self.recipe.strength == 0:
            return photo.clone()
        if guide is not None and not guide.trust.any():
            guide = None
        margin = Margin.around(*size_of(photo))
        if len(photo) > 1 and self.recipe.match_colors != "no":
            raise ValueError("colors of the photo are given to one photo at a time, not to a batch")
        shown = size_of(photo)
        height, width = margin.outer
        given = self._beside(photo, regions, guide, target)
        # Checked before all the smaller sizes; messages name the size that the user knows.
        tight = self._tile(margin.outer, len(photo), _count(regions), given, shown) is not None
        first = -(-self._least * max(height, width) // min(height, width))
        stages = sizes(height, width, max(self.recipe.first_side, first))
        if not self.recipe.first_side:
            stages = stages[-1:]
        if regions is not None:
            regions = margin.extend(regions)
        if guide is not None:
            guide = Guide(margin.extend(guide.warped), margin.extend(guide.trust))
        if target is not None:
            target = margin.extend(resize(target, shown))

        # Of a large picture no copy is held that is not needed: the first is the optimizer's own,
        # and the photo is extended anew for each size.
        def begin() -> Tensor:
            if start is None:
                return self._start(resize(margin.extend(photo), stages[0]), paintings, seed)
            first = resize(margin.extend(resize(start, shown)), stages[0])
            return first.expand(len(photo), -1, -1, -1)

        def build(size: Size) -> Objective:
            small = margin.extend(photo)
            if size != margin.outer:
                small = resize(small, size)
            return self._objective(small, given, paintings, regions, guide, target)

        def build_in_tight_memory(size: Size) -> Objective:
            trim_allocator()  # of what the size before has left
            objective = build(size)
            trim_allocator()
            return objective

        builder = build_in_tight_memory if tight else build

        def report(step: Step) -> None:
            assert on_step is not None
            size = margin.inside(step.size)
            on_step(replace(step, size=size, picture=lambda: margin.cut(step.picture())))

        def continued(picture: Tensor) -> Tensor:
            assert guide is not None
            warped, trust = (resize(t, size_of(picture)) for t in (guide.warped, guide.trust))
            return torch.lerp(picture, warped, (trust / TRUSTED).clamp_(max=1.0))

        callback = None if on_step is None else report
        loop, enter = self.recipe.loop, None
        if guide is not None:
            loop, enter = self.recipe.guided_loop, continued
        painted = margin.cut(optimize(begin(), stages, builder, loop, callback, enter))
        radius = self.recipe.photorealistic_smoothing
        if radius and self.recipe.weights[Photorealism.name]:
            painted = affine_smoothed(painted, photo, radius)
        return painted

    def objective(
        self, photo: Tensor, regions: Tensor | None = None, target: Tensor | None = None
    ) -> Objective:
        """The objective at the photo's own size, to judge pictures by. target: as in paint()."""
        self._check_size("a picture", photo)
        paintings = self._colored(photo)
        check_regions(paintings, regions)
        given = self._beside(photo, regions, None, target)
        return self._objective(photo, given, paintings, regions, None, target)

    def changed(self, recipe: Recipe | None = None, memory: int | None = None) -> Gatys:
        """The same with another recipe or memory; it has to look at the paintings again."""
        recipe, memory = recipe or self.recipe, self.memory if memory is None else memory
        return Gatys(self.encoder, self.paintings, recipe, memory, self.calibration)

    @cached_property
    def _wanted(self) -> list[tuple[type[FeatureTerm], dict[str, float], float]]:
        """The classes of terms on features, with their layers and weights."""
        recipe = self.recipe
        return [
            (term, dict(term.of_layers(getattr(recipe, term.layers_option), self.encoder)), weight)
            for term, weight in recipe.terms(FeatureTerm)
        ]

    def _of(self, kind: type[Any]) -> list[tuple[type[Any], dict[str, float], float]]:
        return [wanted for wanted in self._wanted if issubclass(wanted[0], kind)]

    def _layers(self, kind: type[Any] = FeatureTerm) -> list[str]:
        """The encoder's layers that the terms of a kind read."""
        return list(dict.fromkeys(chain.from_iterable(layers for _, layers, _ in self._of(kind))))

    @cached_property
    def _least(self) -> int:
        """Pixels that a side needs, of a photo and of a painting."""
        net = self.encoder
        return max(MIN_SIDE, *(term.least_side(net, layers) for term, layers, _ in self._wanted))

    def _check_size(self, what: str, picture: Tensor) -> None:
        height, width = picture.shape[-2:]
        if min(height, width) < self._least:
            raise ValueError(
                f"{what} of {width}x{height} pixels is too small for {self.encoder.title} and "
                f"these layers: each side needs {self._least} or more"
            )

    def _colored(self, photo: Tensor) -> list[Painting]:
        if self.recipe.match_colors == "no":
            return self.paintings
        # With the photo's colors the painting is another each time.
        self._learned.clear()
        return recolored(self.paintings, photo[:1], self.recipe.match_colors)

    def _start(self, photo: Tensor, paintings: Sequence[Painting], seed: int) -> Tensor:
        init = self.recipe.init
        if init == "content":
            return photo
        if init == "gray":
            return torch.full_like(photo, 0.5)
        if init == "noise":
            # Drawn on the CPU: the same bytes on every device.
            generator = torch.Generator().manual_seed(seed)
            noise = torch.randn(photo.shape, generator=generator).to(photo)
            return (0.5 + 0.1 * noise).clamp(0.0, 1.0)
        return torch.lerp(photo, in_colors_of(paintings, photo), self.recipe.strength)

    def _objective(
        self,
        small: Tensor,
        given: int,
        paintings: Sequence[Painting],
        regions: Tensor | None,
        guide: Guide | None,
        target: Tensor | None,
    ) -> Objective:
        """small: the photo in the size to paint. given: see _beside. regions, guide, target: of any
        size.
        """
        recipe, size = self.recipe, size_of(small)
        carried = None if regions is None else self._carried(area(regions, size))
        tile = self._tile(size, len(small), _count(regions), given)
        tiled_encoder = TiledEncoder(self.encoder, (), tile)
        content = self._of(ContentTerm)
        maps = tiled_encoder.maps(small, self._layers(ContentTerm))
        if guide is not None:
            guide = Guide(resize(guide.warped, size), resize(guide.trust, size))
        if target is not None:
            target = resize(target, size)
        learned = self._learn(size, paintings, carried is not None)
        inputs = PhotoInputs(
            recipe, small, maps, guide, target, self.calibration, learned.roughness
        )
        self._aim(learned, tiled_encoder, small, carried)
        features: list[FeatureTerm] = [
            *(term.build(inputs, layers, weight) for term, layers, weight in content),
            *learned.terms,
        ]
        pixels = [term.build(inputs, weight) for term, weight in recipe.terms(PictureTerm)]
        relative = recipe.loss_scale == "relative"
        # The others keep to the range by themselves, and papers print no such term.
        if recipe.loop.optimizer == "lbfgs" and relative:
            pixels.append(OutOfRange())
        return Objective(
            self.encoder, features, pixels, regions=carried, tile=tile, relative=relative
        )

    def _learn(self, size: Size, paintings: Sequence[Painting], divided: bool) -> _Learned:
        """What the paintings teach for a size: kept, as the next photo may have the same."""
        key = (size, divided)
        if key not in self._learned:
            self._learned[key] = self._taught(size, paintings, divided)
            # Photos may be of thousands of sizes.
            while len(self._learned) > 1 and self._held() > self.memory // 8:
                self._learned.popitem(last=False)
        self._learned.move_to_end(key)
        return self._learned[key]

    def _held(self) -> int:
        return sum(learned.nbytes for learned in self._learned.values())

    def _taught(self, size: Size, paintings: Sequence[Painting], divided: bool) -> _Learned:
        pictures = [resize(p.picture, self._style_size(p, size)) for p in paintings]
        encoders = [
            TiledEncoder(self.encoder, (), self._style_tile(size_of(p), _count(painting.regions)))
            for p, painting in zip(pictures, paintings, strict=True)
        ]
        carried = [
            self._carried(area(painting.regions, size_of(picture)))
            if divided and painting.regions is not None
            else None
            for painting, picture in zip(paintings, pictures, strict=True)
        ]

        def maps(layers: Iterable[str], side: int | None = None) -> list[dict[str, Tensor]]:
            shown = pictures
            if side is not None:
                coarse = (min(size[0], side), min(size[1], side))
                shown = [resize(p.picture, self._style_size(p, coarse)) for p in paintings]
            return [v.maps(p, list(layers)) for v, p in zip(encoders, shown, strict=True)]

        serves = [own or (index if divided else 0) for index, own in enumerate(carried)]
        inputs = PaintingInputs(self.recipe, maps, serves, [p.weight for p in paintings])
        built = [term.build(inputs, layers, weight) for term, layers, weight in self._of(StyleTerm)]
        learned = _Learned(built, [], self._roughness(pictures, [p.weight for p in paintings]))
        terms = learned.statistic_terms
        found: list[list[Statistics]] = []
        for tiled_encoder, picture, own in zip(encoders, pictures, carried, strict=True):
            sums = tiled_encoder.measure(picture, terms, own) if terms else []
            found.append([t.statistics(s) for t, s in zip(terms, sums, strict=True)])
        # Without regions of their own the k-th painting serves the k-th region.
        apart = divided and paintings[0].regions is None
        learned.targets[:] = [
            stack([f[i] for f in found])
            if apart
            else mix([(f[i], p.weight) for f, p in zip(found, paintings, strict=True)])
            for i in range(len(terms))
        ]
        return learned

    def _roughness(self, pictures: Sequence[Tensor], shares: Sequence[float]) -> float:
        measure = TotalVariation(power=self.recipe.tv_power)
        found = [float(measure.value(p)) * share for p, share in zip(pictures, shares, strict=True)]
        return sum(found) / sum(shares)

    def _aim(
        self, learned: _Learned, tiled_encoder: TiledEncoder, small: Tensor, carried: Regions | None
    ) -> None:
        """Give the terms the statistics to reach: the paintings', or on the way to them."""
        targets, share, terms = learned.targets, self.recipe.strength, learned.statistic_terms
        if share < 1 and terms:
            sums = tiled_encoder.measure(small, terms, carried)
            targets = [
                mix([(term.statistics(own), 1.0 - share), (target, share)])
                for term, own, target in zip(terms, sums, targets, strict=True)
            ]
        for term, target in zip(terms, targets, strict=True):
            term.aim(target)

    def _style_size(self, painting: Painting, size: Size) -> Size:
        return painting.size_for(size, self.recipe.style_scale, self._least)

    def _carried(self, region_masks: Tensor) -> Regions:
        return self.encoder.propagate(
            region_masks, list(self.recipe.style_layers), self.recipe.border
        )

    def _beside(
        self,
        photo: Tensor,
        regions: Tensor | None = None,
        guide: Guide | None = None,
        target: Tensor | None = None,
    ) -> int:
        """Bytes of what is given, which are held whatever the size to paint."""
        pixels = len(photo) * photo.shape[2] * photo.shape[3]
        copied = [] if guide is None else [guide.warped, guide.trust]
        copied += [] if target is None else [target]
        copies = COPIES * 4 * pixels * sum(tensor.shape[1] for tensor in copied)
        held = [*copied, *([] if regions is None else [regions])]
        return BYTES_PER_PHOTO_PIXEL * pixels + copies + sum(tensor.nbytes for tensor in held)

    def _tile(
        self, size: Size, pictures: int, regions: int, given: int, shown: Size | None = None
    ) -> int | None:
        """The side of tiles that this many pictures fit into the memory with in this size; None
        where they need not be cut. given: see _beside. shown: the size that messages name. Raises
        NotEnoughMemory.
        """
        recipe, foot = self.recipe, self._footprint
        held: float = BYTES_PER_PIXEL + OPTIMIZER_BYTES_PER_PIXEL[recipe.loop.optimizer]
        held += foot.nbytes(self._layers(ContentTerm))
        held += sum(term.bytes_per_pixel for term, _ in recipe.terms(PictureTerm))
        if recipe.loop.optimizer == "lbfgs":
            values = 3 * pictures * size[0] * size[1]
            held += 24 * (history(values) - MIN_HISTORY)
        try:
            return self._cut(size, pictures * held, pictures, regions, shown or size, given)
        except NotEnoughMemory as error:
            if recipe.loop.optimizer != "lbfgs":
                raise
            words = f"{error}, or take the optimizer adam, which needs far less"
            raise NotEnoughMemory(words, error.needed) from None

    def _style_tile(self, size: Size, regions: int) -> int | None:
        """As _tile, for a painting: nothing of it is held but what it teaches."""
        whole = [layers for term, layers, _ in self._of(StyleTerm) if term.whole_maps]
        held = self._footprint.nbytes(dict.fromkeys(chain.from_iterable(whole)))
        return self._cut(size, BYTES_PER_PAINTING_PIXEL + held, 1, regions, size)

    def _cut(
        self,
        size: Size,
        held: float,
        pictures: int,
        regions: int,
        shown: Size,
        beside: int = 0,
    ) -> int | None:
        """held: bytes by pixel of whatever is not cut. beside: bytes of what has another size."""
        height, width = size
        if regions:
            held += 4 * regions * (1 + self._footprint.positions())
        fixed = beside + ceil(height * width * held) + self._of_terms(size, max(1, regions))
        fixed += BYTES_PER_STRIP_PIXEL * min(pictures * height * width, STRIP)
        each = pictures * self._footprint.per_pixel
        spare = self.memory - fixed
        if height * width * each <= spare:
            return None
        pixels = f"{shown[1]}x{shown[0]} pixels"
        if not self.encoder.tileable:
            needed = fixed + ceil(height * width * each)
            raise NotEnoughMemory(
                f"{self.encoder.title} sees the picture as a whole, and {pixels} do not fit into "
                f"the memory, for they take {_mib(needed)}: make the picture "
                "smaller, allow more memory, or take another encoder",
                needed,
            )
        extra = max(term.extra for term, _, _ in self._wanted)
        around = 2 * TiledEncoder(self.encoder, self._layers(), SMALLEST_TILE, extra).margin
        least = min(SMALLEST_TILE + around, height) * min(SMALLEST_TILE + around, width)
        needed = fixed + ceil(least * each)
        if needed > self.memory:
            raise NotEnoughMemory(
                f"to paint {pixels} takes {_mib(needed)} of memory, even in tiles, "
                f"and {_mib(self.memory)} are allowed: make the picture smaller, or allow more",
                needed,
            )
        return max(int((spare / each) ** 0.5) - around, SMALLEST_TILE)

    def _of_terms(self, size: Size, regions: int) -> int:
        """Bytes that the terms take besides maps: matrices, and the paintings' patches."""
        sizes = (self._style_size(p, size) for p in self.paintings)
        style_pixels = sum(height * width for height, width in sizes)
        maps = self._footprint.maps
        room = Room(self.recipe, maps, size[0] * size[1], style_pixels, regions)
        return sum(term.nbytes(layers, room) for term, layers, _ in self._wanted)

    @cached_property
    def _footprint(self) -> Footprint:
        return Footprint(self.encoder, self._layers())


def _count(regions: Tensor | None) -> int:
    return 0 if regions is None else regions.shape[1]


def _mib(size: int) -> str:
    """Rounded up, so that it suffices."""
    return f"{-(-size >> 20)} MiB"
