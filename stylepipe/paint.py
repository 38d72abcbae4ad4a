"""From source frames to painted frames: everything that happens on the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import repeat
from typing import Any

import cv2
import numpy as np
import torch
from torch.nn.functional import interpolate

from stylepipe import color, composite, guard
from stylepipe.components import Caps, Masker, Temporal, Warmup
from stylepipe.device import Device
from stylepipe.errors import ItemError, NoMask, UsageError
from stylepipe.job import Settings
from stylepipe.ladder import run_within_memory
from stylepipe.masking import Protection
from stylepipe.media.enlarge import enlarged
from stylepipe.missing import MissingRule
from stylepipe.styles import parse_styles
from stylepipe.temporal.warp import warp
from stylepipe.tensors import to_pixels, to_tensor
from stylepipe.types import Batch, Frame, Guide, Item, Painted


class Painter:
    """Stylizes frames, and does what the stylizer's capabilities leave to the engine."""

    def __init__(self, settings: Settings, device: Device, missing: MissingRule) -> None:
        """``missing`` decides on items without a mask."""
        self._stylizer, self._masker = settings.stylizer, settings.masker
        self._mask, self._protection, self._missing = settings.mask, settings.protection, missing
        self._styles = parse_styles(settings.stylizer.options.style)
        self._device = device
        self.temporal: Temporal | None = settings.temporal
        self.scale = self._stylizer.caps.scale
        """How many times as wide and high as sources results are."""
        self.warmup = _warmup(settings.stylizer.caps, settings.temporal)
        """Frames before a frame that its result depends on, beside the result before it."""
        self._regional = self._masker is not None and self._masker.regions is not None
        self._composites = self._masker is not None and (
            self._regional or self._stylizer.caps.masks == "blend"
        )

    def reset(self, item: Item) -> None:
        """Another item or scene begins."""
        self._stylizer.reset(item)

    def paint(self, item: Item, frames: Sequence[Frame]) -> list[Frame]:
        """Return the painted frames, which keep alpha, time, metadata and integer type.

        Pixels where the mask is 0 are the source's, bit for bit. Raises ItemError.
        """
        return [finish(painted) for painted in self.stylize(item, frames)]

    @torch.no_grad()
    def stylize(
        self, item: Item, frames: Sequence[Frame], guide: Guide | None = None
    ) -> list[Painted]:
        """The frames as the stylizer paints them, not yet laid over the source by the mask.

        ``guide`` is for one frame of a film. Raises ItemError.
        """
        stylizer = self._stylizer
        options, caps = stylizer.options, stylizer.caps
        opaque = [composite.fill_transparent(frame) for frame in frames]
        images = to_tensor(opaque, self._device.torch)
        regions, planes = self._planes(images, item, frames)
        if planes is not None and self._skips(regions, planes):
            return [self._untouched(frame) for frame in frames]
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
        covers = self._covers(planes) or repeat(None, len(frames))
        return [Painted(*parts) for parts in zip(sources, pixels, covers, strict=True)]

    def _skips(self, regions: Sequence[str], planes: torch.Tensor) -> bool:
        """Whether nothing of a batch is painted, and no other frame depends on what would be."""
        if planes.any():
            return False
        by_itself = self._stylizer.caps.warmup == 0 and (
            self.temporal is None or self.temporal.mode == "guide"
        )
        return by_itself or (self._regional and not regions)  # it is an item without a mask

    def _untouched(self, frame: Frame) -> Painted:
        source = enlarged(frame, self.scale)
        return Painted(source, source.pixels.copy())

    @torch.no_grad()
    def masked(self, item: Item, frame: Frame, pixels: np.ndarray) -> Painted:
        """The frame with pixels that were not painted by :meth:`stylize`, or later changed."""
        _, planes = self._planes(to_tensor([frame], self._device.torch), item, [frame])
        return Painted(enlarged(frame, self._stylizer.caps.scale), pixels, *self._covers(planes))

    def _covers(self, planes: torch.Tensor | None) -> list[np.ndarray]:
        """How much of each pixel is painted, HxW as large as results, for the engine to composite
        by; none where it does not.
        """
        if planes is None or not self._composites:
            return []
        scale, (height, width) = self._stylizer.caps.scale, planes.shape[2:]
        covered = _resized(composite.coverage(planes).float(), (scale * height, scale * width))
        return list(covered[:, 0].cpu().numpy())

    @torch.no_grad()
    def guide(self, item: Item, motion: Any, source: Frame, result: Frame) -> Guide | None:
        """The guide to a frame from the one before it: its source, and its result as written."""
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
            _, planes = self._planes(to_tensor([source], self._device.torch), item, [source])
            assert planes is not None
            covered = _resized(composite.coverage(planes).float(), guide.trust.shape[2:])
            if guide.flow is not None:
                flow = guide.flow[0].permute(1, 2, 0).cpu().numpy()
                covered = torch.from_numpy(warp(covered[0, 0].cpu().numpy(), flow))[None, None]
            guide = replace(guide, trust=guide.trust * covered.to(guide.trust))
        return guide

    def _planes(
        self, images: torch.Tensor, item: Item, frames: Sequence[Frame]
    ) -> tuple[tuple[str, ...], torch.Tensor | None]:
        """The regions that are painted, in the order of the styles, and their planes NKHW; without
        regions no names, and one plane, or none without a masker. Raises ItemError."""
        if self._masker is None:
            return (), None
        batch = Batch(images, item)
        regions: tuple[str, ...] = ()
        try:
            regions, planes = self._found(self._masker, batch, frames)
        except NoMask as error:
            painted = float(self._missing.paints(item, error))
            planes = images.new_full((len(frames), 1, *images.shape[2:]), painted)
        if self._protection is not None and planes.any():
            planes = self._protected(self._protection, planes, batch, frames)
        return regions, planes

    def _protected(
        self, protection: Protection, planes: torch.Tensor, batch: Batch, frames: Sequence[Frame]
    ) -> torch.Tensor:
        """The planes, less painted where the photo is protected. Raises ItemError."""
        try:
            kept = protection.masker.mask(batch, frames)
        except NoMask as error:
            return planes * float(self._missing.paints(batch.item, error))
        return planes * (1 - protection.amount * kept.to(planes))

    def _found(
        self, masker: Masker, batch: Batch, frames: Sequence[Frame]
    ) -> tuple[tuple[str, ...], torch.Tensor]:
        """The regions and planes that the masker finds. Raises NoMask, ItemError."""
        regions, painted = self._regions(masker, batch.item)
        shape = (len(frames), len(regions) or 1, *batch.images.shape[2:])
        mask = guard.mask(masker.mask(batch, frames), shape, masker)
        if regions:
            mask = mask[:, painted]
        planes = composite.prepare_mask(mask, self._mask.invert, self._mask.feather)
        return tuple(regions[index] for index in painted), planes

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
        pixels = composite.composite(frame.pixels, pixels, painted.mask)
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


def _warmup(caps: Caps, temporal: Temporal | None) -> Warmup:
    if caps.warmup == "shot" or temporal is None:
        return caps.warmup
    # A state that results lead back into depends on all of them: only the last one is at hand.
    circular = temporal.mode == "guide" and caps.temporal == "native" and caps.warmup
    if temporal.mode == "shot" or circular:
        return "shot"
    return caps.warmup + (temporal.lookahead if temporal.mode == "filter" else 0)
