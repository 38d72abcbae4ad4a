"""From source frames to painted frames: everything that happens on the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from stylepipe import color, composite, guard
from stylepipe.device import Device, run_within_memory
from stylepipe.job import Settings
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
        self._device, self._guide = device, guide

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
        mask = self._mask(images, item, frames)
        batch = Batch(images, item, mask, guide, frames[0].index)
        painted = run_within_memory(stylizer, batch).float().clamp(0, 1)
        if caps.strength == "blend" and options.strength < 1:
            painted = composite.apply_strength(images, painted, options.strength)
        if options.keep_colors:
            painted = color.keep_colors(images, painted)
        if self._guide is not None and guide is not None and caps.temporal == "blend":
            painted = self._guide.apply(painted, guide)
        pixels = to_pixels(painted, frames[0].pixels.dtype)
        if batch.masks is not None and caps.masks == "blend":
            planes = batch.masks[:, 0].float().cpu().numpy()
            pixels = [
                composite.composite(frame.pixels, p, plane)
                for frame, p, plane in zip(frames, pixels, planes, strict=True)
            ]
        return [replace(f, pixels=p) for f, p in zip(frames, pixels, strict=True)]

    def _guided(self, item: Item, before: PreviousFrame) -> Guide | None:
        assert self._guide is not None
        guide = self._guide.guide(before.motion, before.result.pixels, self._device.torch)
        if guide is None:  # a scene cut
            self._stylizer.reset(item)
        elif self._masker is not None and self._stylizer.caps.masks == "blend":
            # Where the result shows the photo there is nothing painted to go on with.
            images = to_tensor([before.source], self._device.torch)
            mask = self._mask(images, item, [before.source])
            assert mask is not None
            plane = mask[0, 0].cpu().numpy()
            flow = enlarge(before.motion.flow, plane.shape[1], plane.shape[0])
            moved = torch.from_numpy(warp(plane, flow))[None, None]
            guide = replace(guide, trust=guide.trust * moved.to(guide.trust))
        return guide

    def _mask(
        self, images: torch.Tensor, item: Item, frames: Sequence[Frame]
    ) -> torch.Tensor | None:
        if self._masker is None:
            return None
        shape = (len(frames), 1, *images.shape[2:])
        mask = guard.mask(self._masker.mask(Batch(images, item), frames), shape, self._masker)
        options = self._masker.options
        return composite.prepare_mask(mask, options.invert, options.feather)


class Copier:
    """Stands in for a Painter where ``strength`` is 0, so that no network is loaded, or run."""

    def reset(self, item: Item) -> None:
        """Another item begins."""

    def paint(
        self, item: Item, frames: Sequence[Frame], before: PreviousFrame | None = None
    ) -> list[Frame]:
        """Return the source frames, bit for bit."""
        return list(frames)
