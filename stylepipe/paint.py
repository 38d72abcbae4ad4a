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
from stylepipe.color import from_linear
from stylepipe.components import Masker, Temporal, Warmup
from stylepipe.device import Device
from stylepipe.errors import ItemError, NoMask, UsageError
from stylepipe.fill import fill_transparent
from stylepipe.job import MaskOptions, Settings
from stylepipe.ladder import run_within_memory
from stylepipe.masking import Protection
from stylepipe.media.enlarge import enlarged
from stylepipe.missing import MissingRule
from stylepipe.named_regions import RegionMasker
from stylepipe.styles import parse_styles
from stylepipe.temporal.steady import REACH, Steadier
from stylepipe.temporal.warp import warp
from stylepipe.tensors import to_pixels, to_tensor
from stylepipe.types import Batch, Frame, Guide, Item, Painted

_STEADY = 0.8
"""How steady mattes are where the user does not say: the flicker of noise falls to a third, and a
moving edge does not trail."""

_LEAST_SHOWN = 0.1
"""Below this share what was painted cannot be told from the rounding of results."""


@dataclass(frozen=True)
class Cover:
    """Where frames are painted."""

    planes: torch.Tensor
    """NKHW in [0, 1]: a plane for each region that is painted, or one; as the options shaped it."""
    regions: tuple[str, ...] = ()
    """The names of the planes, in the order of the styles."""
    strengths: tuple[float, ...] = ()
    """How much of the painting shows in each plane; empty where all of it shows."""
    matte: torch.Tensor | None = None
    """N1HW in [0, 1]: what the planes cover as they were found, where the masker finds mattes."""

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""
        return self.planes.nbytes + (0 if self.matte is None else self.matte.nbytes)


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
        protector = settings.protection.masker if settings.protection else None
        self._steadier = _steadier(settings.mask, settings.masker)
        self._protection_steadier = _steadier(settings.mask, protector)
        self.warmup = _warmup(
            settings,
            max(
                _reach(settings.masker, self._steadier),
                _reach(protector, self._protection_steadier),
            ),
        )
        """Frames before a frame that its result depends on, beside the result before it."""
        self._regional = self._masker is not None and self._masker.regions is not None
        self._composites = self._masker is not None and (
            self._regional or self._stylizer.caps.masks == "blend"
        )

    def reset(self, item: Item) -> None:
        """Another item or scene begins."""
        self._stylizer.reset(item)
        protector = self._protection.masker if self._protection else None
        for masker in (self._masker, protector):
            if masker is not None:
                masker.reset(item)
        for steadier in (self._steadier, self._protection_steadier):
            if steadier is not None:
                steadier.reset()

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
        film = cover is not None
        cover = cover or self._found(images, item, frames)
        planes, regions = (cover.planes, cover.regions) if cover else (None, ())
        if planes is not None and self._skips(regions, planes, film):
            kept = [enlarged(frame, self.scale) for frame in frames]
            masks = zip(kept, self._masks(cover), strict=False)
            return [Painted(source, source.pixels.copy(), *own) for source, own in masks]
        shares = composite.shares(planes) if regions and planes is not None else planes
        strength = self._strength(cover, shares)
        native = guide if caps.temporal == "native" else None
        if native is not None and strength is not None:
            native = replace(native, warped=_unmixed(images, native.warped, strength))
        first = frames[0]
        batch = Batch(images, item, shares, native, first.index, regions, first.time)
        painted = run_within_memory(stylizer, batch).float().clamp(0, 1)
        sources = [enlarged(frame, caps.scale) for frame in frames]
        if isinstance(strength, torch.Tensor):
            strength = _resized(strength, painted.shape[2:])
        if caps.scale > 1 and (strength is not None or options.keep_colors):
            images = to_tensor([enlarged(f, caps.scale) for f in opaque], self._device.torch)
        if strength is not None:
            painted = composite.apply_strength(images, painted, strength)
        if options.keep_colors:
            painted = color.keep_colors(images, painted)
        if self.temporal is not None and guide is not None and caps.temporal == "blend":
            blended = self.temporal.blend(painted, guide)
            painted = guard.blended(blended, painted, self.temporal)
        pixels = to_pixels(painted, frames[0].pixels.dtype)
        parts = zip(sources, pixels, self._masks(cover), strict=False)
        return [Painted(source, result, *masks) for source, result, masks in parts]

    def _strength(
        self, cover: Cover | None, shares: torch.Tensor | None
    ) -> float | torch.Tensor | None:
        """How much of the painting the engine mixes with the photo, of each pixel (N1HW) or of all;
        None where it does not.
        """
        if cover and shares is not None and cover.strengths:
            each = shares.new_tensor(cover.strengths)[:, None, None]
            return (shares * each).sum(1, keepdim=True)
        share: float = self._stylizer.options.strength
        return share if self._stylizer.caps.strength == "blend" and share < 1 else None

    def _skips(self, regions: Sequence[str], planes: torch.Tensor, film: bool) -> bool:
        """Whether nothing of a batch is painted, and no other frame depends on what would be."""
        if planes.any() or not self._stylizer.skips_empty:
            return False
        by_itself = not film or (
            self._stylizer.caps.warmup == 0
            and (self.temporal is None or self.temporal.mode == "guide")
        )
        return by_itself or (self._regional and not regions)  # it is an item without a mask

    def masked(self, frame: Frame, pixels: np.ndarray, cover: Cover | None) -> Painted:
        """The frame with pixels that were not painted by :meth:`stylize`, or later changed."""
        return Painted(enlarged(frame, self.scale), pixels, *next(self._masks(cover)))

    @torch.no_grad()
    def cover(self, item: Item, frame: Frame) -> Cover | None:
        """Where the next frame of a film is painted; None without a masker.

        To be asked once for each frame, in order: the masks of the frames before it steady its
        own. Raises ItemError.
        """
        images = to_tensor([fill_transparent(frame)], self._device.torch)
        return self._found(images, item, [frame], film=True)

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
        shown = None
        if self._composites:
            cover = cover or self._found(to_tensor([source], self._device.torch), item, [source])
            assert cover is not None
            shown = composite.coverage(cover.planes)
            if caps.temporal == "native":
                result = _uncovered(result, source, cover)
        guide = self.temporal.guide(motion, result, self._device.torch)
        guide = guard.guide(guide, result.pixels.shape[:2], self.temporal)
        if guide is None:
            return None
        if caps.temporal == "native":
            before, after = (to_tensor([frame], self._device.torch) for frame in (source, result))
            guide = replace(guide, source=before, result=after)
        if shown is not None:
            # Where the result shows the photo there is nothing painted to continue from.
            covered = _resized(shown, guide.trust.shape[2:])
            if guide.flow is not None:
                flow = guide.flow[0].permute(1, 2, 0).cpu().numpy()
                covered = torch.from_numpy(warp(covered[0, 0].cpu().numpy(), flow))[None, None]
            guide = replace(guide, trust=guide.trust * covered.to(guide.trust))
        return guide

    def _found(
        self, images: torch.Tensor, item: Item, frames: Sequence[Frame], film: bool = False
    ) -> Cover | None:
        """Ask the masker; ``film``: for one frame, whose masks are steadied. Raises ItemError."""
        if self._masker is None:
            return None
        batch = Batch(images, item)
        try:
            cover = self._covered(self._masker, batch, frames, film)
        except NoMask as error:
            painted = float(self._missing.paints(item, error))
            cover = Cover(images.new_full((len(frames), 1, *images.shape[2:]), painted))
        if self._protection is not None and cover.planes.any():
            kept = self._kept(self._protection, batch, frames, film)
            cover = replace(cover, planes=cover.planes * (1 - kept.to(cover.planes)))
        return cover

    def _covered(self, masker: Masker, batch: Batch, frames: Sequence[Frame], film: bool) -> Cover:
        """What the masker finds, as the options shape it. Raises NoMask, ItemError."""
        regions, painted = self._regions(masker, batch.item)
        shape = (len(frames), len(regions) or 1, *batch.images.shape[2:])
        mask = guard.mask(masker.mask(batch, frames), shape, masker).float()
        if film and self._steadier is not None:
            mask = _steadied(self._steadier, mask, frames[0])
        if regions:
            mask = mask[:, painted]
        matte = None
        if masker.matte if self._mask.edges == "auto" else self._mask.edges == "matte":
            matte = composite.coverage(1 - mask if self._mask.invert else mask).clamp(0, 1)
        planes = composite.prepare_mask(mask, self._mask)
        names = tuple(regions[index] for index in painted)
        strengths: tuple[float, ...] = ()
        if isinstance(masker, RegionMasker) and min(masker.strengths) < 1:
            strengths = tuple(masker.strengths[index] for index in painted)
        return Cover(planes, names, strengths, matte)

    def _kept(
        self, protection: Protection, batch: Batch, frames: Sequence[Frame], film: bool
    ) -> torch.Tensor:
        """How much of the photo is protected, N1HW. Raises ItemError."""
        masker = protection.masker
        try:
            kept = masker.mask(batch, frames)
        except NoMask as error:
            return torch.full_like(batch.images[:, :1], not self._missing.paints(batch.item, error))
        if film and self._protection_steadier is not None:
            kept = _steadied(self._protection_steadier, kept.float(), frames[0])
        return protection.amount * kept

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


def _unmixed(
    images: torch.Tensor, mixed: torch.Tensor, strength: float | torch.Tensor
) -> torch.Tensor:
    """What was mixed with the photos, N3HW in [0, 1], by :func:`composite.apply_strength`.

    To continue from the mixture would mix in the photo again and again, until nothing else is left.
    """
    share = torch.as_tensor(strength).clamp_min(_LEAST_SHOWN)
    return (images + (mixed - images) / share).clamp_(0, 1)


def _uncovered(result: Frame, source: Frame, cover: Cover) -> Frame:
    """What was painted, as far as a result tells that shows the photo through a mask."""
    covered = composite.coverage(cover.planes)[0, 0].clamp_min(_LEAST_SHOWN).cpu().numpy()
    through = covered < 1
    if not through.any():
        return result
    light = composite.linear_light(result.white)  # mixed as light is
    photo, seen = light[source.pixels[through]], light[result.pixels[through]]
    painted = photo + (seen - photo) / covered[through][:, None]
    values = from_linear(torch.from_numpy(painted.clip(0, 1))).numpy() * np.float32(result.white)
    pixels = result.pixels.copy()
    pixels[through] = np.rint(values)
    return replace(result, pixels=pixels)


def _steadier(options: MaskOptions, masker: Masker | None) -> Steadier | None:
    """What steadies the masks of films, if they are to be."""
    if masker is None:
        return None
    amount = options.steady
    if amount is None:
        amount = _STEADY if masker.matte else 0
    return Steadier(amount) if amount > 0 else None


def _steadied(steadier: Steadier, mask: torch.Tensor, frame: Frame) -> torch.Tensor:
    """The masks 1KHW of the next frame of a film, steadied."""
    found = steadier.steadied(frame, mask[0].clamp(0, 1).cpu().numpy())
    return torch.from_numpy(found)[None].to(mask.device)


def _reach(masker: Masker | None, steadier: Steadier | None) -> int:
    """From how many frames before it a frame's mask is made."""
    return (masker.warmup if masker else 0) + (REACH if steadier else 0)


def _warmup(settings: Settings, mask_warmup: int) -> Warmup:
    caps, temporal = settings.stylizer.caps, settings.temporal
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
