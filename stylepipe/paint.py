"""From source frames to painted frames: everything that happens on the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from stylepipe import color, composite
from stylepipe.components import Masker, Stylizer
from stylepipe.device import Device, run_within_memory
from stylepipe.errors import ItemError, UsageError
from stylepipe.job import Settings
from stylepipe.styles import parse_styles
from stylepipe.temporal.guide import Motion, TemporalGuide
from stylepipe.temporal.warp import enlarge, warp
from stylepipe.tensors import to_pixels, to_tensor
from stylepipe.types import Batch, Frame, Guide, Item


@dataclass(frozen=True)
class PreviousFrame:
    """What came before a frame of a video."""

    motion: Motion
    """From the frame back to ``source``."""
    source: Frame
    result: Frame


class Painter:
    """Stylizes frames and does for a stylizer what its capabilities say it does not do itself."""

    def __init__(self, settings: Settings, device: Device, guide: TemporalGuide | None) -> None:
        self._stylizer, self._masker = settings.stylizer, settings.masker
        self._styles = parse_styles(settings.stylizer.options.style)
        self._device, self._guide = device, guide
        regional = self._masker is not None and self._masker.regions is not None
        self._composites = self._masker is not None and (
            regional or self._stylizer.caps.masks == "blend"
        )

    def reset(self, item: Item) -> None:
        """Another item begins."""
        self._stylizer.reset(item)

    @torch.no_grad()
    def paint(
        self, item: Item, frames: Sequence[Frame], before: PreviousFrame | None = None
    ) -> list[Frame]:
        """Return the painted frames, which keep alpha, time, metadata and integer type.

        ``before`` is what came before the one frame of a guided video. Pixels where the mask is 0
        are the source's, bit for bit. Raises ItemError.
        """
        stylizer = self._stylizer
        options, caps = stylizer.options, stylizer.caps
        guide = None if before is None else self._guided(item, before)
        opaque = [composite.fill_transparent(frame) for frame in frames]
        images = to_tensor(opaque, self._device.torch)
        regions, planes = self._planes(images, item, frames)
        shares = composite.shares(planes) if regions and planes is not None else planes
        batch = Batch(images, item, shares, guide, frames[0].index, regions)
        painted = run_within_memory(stylizer, batch)
        painted = _checked(painted, images, stylizer).clamp(0, 1)
        if caps.strength == "blend" and options.strength < 1:
            painted = composite.apply_strength(images, painted, options.strength)
        if options.keep_colors:
            painted = color.keep_colors(images, painted)
        if self._guide is not None and guide is not None and caps.temporal == "blend":
            painted = self._guide.apply(painted, guide)
        pixels = to_pixels(painted, frames[0].pixels.dtype)
        if planes is not None and self._composites:
            covered = composite.coverage(planes)[:, 0].cpu().numpy()
            pixels = [
                composite.composite(frame.pixels, p, plane)
                for frame, p, plane in zip(frames, pixels, covered, strict=True)
            ]
        return [replace(f, pixels=p) for f, p in zip(frames, pixels, strict=True)]

    def _guided(self, item: Item, before: PreviousFrame) -> Guide | None:
        assert self._guide is not None
        guide = self._guide.guide(before.motion, before.result.pixels, self._device.torch)
        if guide is None:  # a scene cut
            self._stylizer.reset(item)
        elif self._composites:
            # Where the result shows the photo there is nothing painted to go on with.
            images = to_tensor([before.source], self._device.torch)
            _, planes = self._planes(images, item, [before.source])
            assert planes is not None
            plane = composite.coverage(planes)[0, 0].cpu().numpy()
            flow = enlarge(before.motion.flow, plane.shape[1], plane.shape[0])
            moved = torch.from_numpy(warp(plane, flow))[None, None]
            guide = replace(guide, trust=guide.trust * moved.to(guide.trust))
        return guide

    def _planes(
        self, images: torch.Tensor, item: Item, frames: Sequence[Frame]
    ) -> tuple[tuple[str, ...], torch.Tensor | None]:
        """The regions that are painted, in the order of the styles, and their planes NKHW; without
        regions no names, and one plane, or none without a masker. Raises ItemError."""
        masker = self._masker
        if masker is None:
            return (), None
        regions, painted = self._regions(masker, item)
        mask = masker.mask(Batch(images, item), frames)
        expected = (len(frames), len(regions) or 1, *images.shape[2:])
        if tuple(mask.shape) != expected:
            raise ItemError(
                f"masker {masker.name!r} returned {tuple(mask.shape)} where {expected} was needed"
            )
        if regions:
            mask = mask[:, painted]
        planes = composite.prepare_mask(mask, masker.options.invert, masker.options.feather)
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


class Copier:
    """Stands in for a Painter where ``strength`` is 0, so that no network is loaded, or run."""

    def reset(self, item: Item) -> None:
        """Another item begins."""

    def paint(
        self, item: Item, frames: Sequence[Frame], before: PreviousFrame | None = None
    ) -> list[Frame]:
        """Return the source frames, bit for bit."""
        return list(frames)


def _checked(painted: torch.Tensor, images: torch.Tensor, stylizer: Stylizer) -> torch.Tensor:
    """Refuse what no writer could hold, with the name of the plugin's component."""
    if painted.shape != images.shape:
        raise ItemError(
            f"stylizer {stylizer.name!r} returned {tuple(painted.shape)} for a batch of "
            f"{tuple(images.shape)}; it must keep the shape"
        )
    if not bool(painted.sum().isfinite()):  # one pass; any NaN or infinity survives the sum
        raise ItemError(
            f"stylizer {stylizer.name!r} returned values that are not numbers; try --precision full"
        )
    return painted.float()
