"""From source frames to painted frames: everything that happens on the device."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any

import cv2
import numpy as np
import torch
from torch.nn.functional import interpolate

from stylepipe import color, composite, guard
from stylepipe.components import Masker, Temporal, Warmup
from stylepipe.device import Device
from stylepipe.errors import ItemError, UsageError
from stylepipe.fill import fill_transparent
from stylepipe.job import Settings
from stylepipe.ladder import run_within_memory
from stylepipe.media.enlarge import enlarged
from stylepipe.styles import parse_styles
from stylepipe.temporal.steady import REACH, Steadier
from stylepipe.temporal.warp import warp
from stylepipe.tensors import to_pixels, to_tensor
from stylepipe.types import Batch, Frame, Guide, Item, Painted

_STEADY = 0.8
"""How steady mattes are where the user does not say: the flicker of noise falls to a third, and a
moving edge does not trail."""


@dataclass(frozen=True)
class Cover:
    """Where frames are painted."""

    planes: torch.Tensor
    """NKHW in [0, 1]: a plane for each region that is painted, or one; as the options shaped it."""
    regions: tuple[str, ...] = ()
    """The names of the planes, in the order of the styles."""
    matte: torch.Tensor | None = None
    """N1HW in [0, 1]: what the planes cover as they were found, where the masker finds mattes."""

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""
        return self.planes.nbytes + (0 if self.matte is None else self.matte.nbytes)


class Painter:
    """Stylizes frames, and does what the stylizer's capabilities leave to the engine."""

    def __init__(self, settings: Settings, device: Device) -> None:
        self._stylizer, self._masker = settings.stylizer, settings.masker
        self._styles = parse_styles(settings.stylizer.options.style)
        self._device = device
        self.temporal: Temporal | None = settings.temporal
        self.scale = self._stylizer.caps.scale
        """How many times as wide and high as sources results are."""
        self._steadier = _steadier(settings.masker)
        self.warmup = _warmup(settings, REACH if self._steadier else 0)
        """Frames before a frame that its result depends on, beside the result before it."""
        regional = self._masker is not None and self._masker.regions is not None
        self._composites = self._masker is not None and (
            regional or self._stylizer.caps.masks == "blend"
        )

    def reset(self, item: Item) -> None:
        """Another item or scene begins."""
        self._stylizer.reset(item)
        if self._masker is not None:
            self._masker.reset(item)
        if self._steadier is not None:
            self._steadier.reset()

    def paint(self, item: Item, frames: Sequence[Frame]) -> list[Frame]:
        """Return the painted frames, which keep alpha, time, metadata and integer type.

        Pixels where the mask is 0 are the source's, bit for bit. Raises ItemError.
        """
        return [finish(painted) for painted in self.stylize(item, frames)]

    @torch.no_grad()
    def stylize(
        self,
        item: Item,
        frames: Sequence[Frame],
        guide: Guide | None = None,
        cover: Cover | None = None,
    ) -> list[Painted]:
        """The frames as the stylizer paints them, not yet laid over the source by the mask.

        ``guide`` and ``cover`` are for one frame of a film; without a cover the masker is asked.
        Raises ItemError.
        """
        stylizer = self._stylizer
        options, caps = stylizer.options, stylizer.caps
        opaque = [fill_transparent(frame) for frame in frames]
        images = to_tensor(opaque, self._device.torch)
        cover = cover or self._found(images, item, frames)
        planes, regions = (cover.planes, cover.regions) if cover else (None, ())
        shares = composite.shares(planes) if regions and planes is not None else planes
        native = guide if caps.temporal == "native" else None
        batch = Batch(images, item, shares, native, frames[0].index, regions)
        painted = run_within_memory(stylizer, batch).float().clamp(0, 1)
        sources = [enlarged(frame, caps.scale) for frame in frames]
        if caps.scale > 1 and (options.strength < 1 or options.keep_colors):
            images = to_tensor([enlarged(f, caps.scale) for f in opaque], self._device.torch)
        if caps.strength == "blend" and options.strength < 1:
            painted = composite.apply_strength(images, painted, options.strength)
        if options.keep_colors:
            painted = color.keep_colors(images, painted)
        if self.temporal is not None and guide is not None and caps.temporal == "blend":
            blended = self.temporal.blend(painted, guide)
            painted = guard.blended(blended, painted, self.temporal)
        pixels = to_pixels(painted, frames[0].pixels.dtype)
        parts = zip(sources, pixels, self._masks(cover), strict=False)
        return [Painted(source, result, *masks) for source, result, masks in parts]

    def masked(self, frame: Frame, pixels: np.ndarray, cover: Cover | None) -> Painted:
        """The frame with pixels that were not painted by :meth:`stylize`, or later changed."""
        return Painted(
            enlarged(frame, self._stylizer.caps.scale), pixels, *next(self._masks(cover))
        )

    @torch.no_grad()
    def cover(self, item: Item, frame: Frame) -> Cover | None:
        """Where the next frame of a film is painted; None without a masker.

        To be asked once for each frame, in order: the masks of the frames before it steady its
        own. Raises ItemError.
        """
        images = to_tensor([fill_transparent(frame)], self._device.torch)
        return self._found(images, item, [frame], self._steadier)

    def _masks(self, cover: Cover | None) -> Iterator[tuple[np.ndarray | None, ...]]:
        """The mask and the matte of each frame, HxW as large as results, for the engine to
        composite by; none, without end, where it does not.
        """
        if cover is None or not self._composites:
            yield from repeat(())
            return
        scale, (height, width) = self._stylizer.caps.scale, cover.planes.shape[2:]
        size = scale * height, scale * width
        masks = _resized(composite.coverage(cover.planes), size)[:, 0].cpu().numpy()
        mattes: Iterable[np.ndarray | None] = repeat(None, len(masks))
        if cover.matte is not None:
            mattes = _resized(cover.matte, size)[:, 0].cpu().numpy()
        yield from zip(masks, mattes, strict=True)

    @torch.no_grad()
    def guide(
        self, item: Item, motion: Any, source: Frame, result: Frame, cover: Cover | None
    ) -> Guide | None:
        """The guide to a frame from the one before it: its source, its result as written, and its
        cover; without one the masker is asked.
        """
        assert self.temporal is not None
        caps = self._stylizer.caps
        if caps.temporal == "native" and caps.scale > 1:  # a batch is of one size
            size = source.pixels.shape[1::-1]
            small = cv2.resize(result.pixels, size, interpolation=cv2.INTER_AREA)
            result = replace(result, pixels=small)
        guide = self.temporal.guide(motion, result, self._device.torch)
        guide = guard.guide(guide, result.pixels.shape[:2], self.temporal)
        if guide is None:
            return None
        if caps.temporal == "native":
            before, after = (to_tensor([frame], self._device.torch) for frame in (source, result))
            guide = replace(guide, source=before, result=after)
        if self._composites:
            # Where the result shows the photo there is nothing painted to continue from.
            cover = cover or self._found(to_tensor([source], self._device.torch), item, [source])
            assert cover is not None
            covered = _resized(composite.coverage(cover.planes), guide.trust.shape[2:])
            if guide.flow is not None:
                flow = guide.flow[0].permute(1, 2, 0).cpu().numpy()
                covered = torch.from_numpy(warp(covered[0, 0].cpu().numpy(), flow))[None, None]
            guide = replace(guide, trust=guide.trust * covered.to(guide.trust))
        return guide

    def _found(
        self,
        images: torch.Tensor,
        item: Item,
        frames: Sequence[Frame],
        steadier: Steadier | None = None,
    ) -> Cover | None:
        """Ask the masker; ``steadier`` is for one frame of a film. Raises ItemError."""
        masker = self._masker
        if masker is None:
            return None
        regions, painted = self._regions(masker, item)
        shape = (len(frames), len(regions) or 1, *images.shape[2:])
        mask = guard.mask(masker.mask(Batch(images, item), frames), shape, masker).float()
        if steadier is not None:
            found = steadier.steadied(frames[0], mask[0].clamp(0, 1).cpu().numpy())
            mask = torch.from_numpy(found)[None].to(mask.device)
        if regions:
            mask = mask[:, painted]
        options, matte = masker.options, None
        if masker.matte:
            matte = composite.coverage(1 - mask if options.invert else mask).clamp(0, 1)
        planes = composite.prepare_mask(mask, options)
        return Cover(planes, tuple(regions[index] for index in painted), matte)

    def _regions(self, masker: Masker, item: Item) -> tuple[Sequence[str], list[int]]:
        """The regions of an item, and the numbers of those that are painted. Raises ItemError."""
        if masker.regions is None:
            return (), []
        regions = masker.regions_of(item)
        if not regions:
            raise ItemError(f"masker {masker.name!r} names no regions")
        try:
            return regions, self._stylizer.assign(self._styles, regions)
        except UsageError as error:
            raise ItemError(str(error)) from error


def finish(painted: Painted) -> Frame:
    """The result: what was painted, laid over the source by the mask."""
    frame, pixels = painted.frame, painted.pixels
    if painted.mask is not None:
        pixels = composite.composite(frame.pixels, pixels, painted.mask, painted.matte)
    return replace(frame, pixels=pixels)


class Copier:
    """Stands in for a Painter where ``strength`` is 0, so that no network is loaded, or run."""

    temporal: Temporal | None = None
    warmup: Warmup = 0

    def __init__(self, scale: int = 1) -> None:
        """``scale``: results are as many times as large as with any other strength."""
        self._scale = scale

    def reset(self, item: Item) -> None:
        """Another item begins."""

    def paint(self, item: Item, frames: Sequence[Frame]) -> list[Frame]:
        """Return the source frames, bit for bit where ``scale`` is 1."""
        return [enlarged(frame, self._scale) for frame in frames]


def _resized(planes: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Planes NCHW of another height and width."""
    if planes.shape[2:] == tuple(size):
        return planes
    return interpolate(planes, tuple(size), mode="bilinear", align_corners=False)


def _steadier(masker: Masker | None) -> Steadier | None:
    """What steadies the masks of films, if they are to be."""
    if masker is None:
        return None
    amount = masker.options.steady
    if amount is None:
        amount = _STEADY if masker.matte else 0
    return Steadier(amount) if amount > 0 else None


def _warmup(settings: Settings, steadied: int) -> Warmup:
    """``steadied``: from how many frames before it a mask is steadied."""
    caps, temporal = settings.stylizer.caps, settings.temporal
    masker_warmup = settings.masker.warmup if settings.masker else 0
    mask_warmup = masker_warmup + steadied
    if caps.warmup == "shot" or temporal is None:
        return caps.warmup if caps.warmup == "shot" else max(caps.warmup, mask_warmup)
    # A state that results lead back into depends on all of them: only the last one is at hand.
    circular = temporal.mode == "guide" and caps.temporal == "native" and caps.warmup
    if temporal.mode == "shot" or circular:
        return "shot"
    if temporal.mode == "guide" and mask_warmup:
        mask_warmup += 1  # the guide asks where the frame before was painted
    warmup = max(caps.warmup, mask_warmup)
    return warmup + (temporal.lookahead if temporal.mode == "filter" else 0)
