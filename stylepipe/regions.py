"""Regions for stylizers without support for them: one painting per style, mixed by region."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from stylepipe import guard
from stylepipe.components import Context, Masker, StyleInfo, StyleRef, Stylizer
from stylepipe.errors import UsageError
from stylepipe.job import Settings
from stylepipe.types import Batch, Info, Item

if TYPE_CHECKING:
    import torch


class RegionStylizer(Stylizer):
    """Paints each region by a separate stylizer, all of one kind and with the same options."""

    def __init__(self, kind: Stylizer) -> None:
        super().__init__(kind.options)
        self.name, self.plugin = kind.name, kind.plugin  # type: ignore[misc]
        self.caps = replace(kind.caps, regions="native", max_styles=None)  # type: ignore[misc]
        self._kind = kind
        self._painters: list[Stylizer] = []

    def styles(self) -> Sequence[StyleInfo]:  # type: ignore[override]
        return self._kind.styles()

    def files(self) -> Iterable[Path]:
        return self._kind.files()

    def check(
        self,
        styles: Sequence[StyleRef],
        items: Sequence[Item] = (),
        masker: Masker | None = None,
    ) -> None:
        for style in styles:
            self._kind.check([style], items, masker)

    def rehearse(self) -> None:
        self._kind.rehearse()

    def check_item(self, item: Item, info: Info) -> None:
        self._kind.check_item(item, info)

    def open(self, context: Context) -> None:
        self._context, self._painters = context, []

    def prepare(self, styles: Sequence[StyleRef]) -> None:
        for style in styles:
            painter = type(self._kind)(self.options)
            self._painters.append(painter)
            painter.open(self._context)
            painter.prepare([replace(style, weight=1.0)])

    def reset(self, item: Item) -> None:
        for painter in self._painters:
            painter.reset(item)

    def stylize(self, batch: Batch) -> torch.Tensor:
        """Mix the results, N3HW, by how much of each pixel belongs to each region; as light is."""
        import torch

        from stylepipe.color import from_linear, to_linear

        assert batch.masks is not None, "the engine gives the planes of the regions"
        whole = replace(batch, masks=None, regions=())
        height, width = batch.images.shape[2:]
        size = (self.caps.scale * height, self.caps.scale * width)
        shares = batch.masks
        if self.caps.scale > 1:
            shares = torch.nn.functional.interpolate(shares, size, mode="bilinear")
        mixed = batch.images.new_zeros(len(batch.images), 3, *size)
        border = shares.amax(1) < 1
        light = mixed.new_zeros(int(border.sum()), 3)
        for index, painter in enumerate(self._painters):
            result = guard.painted(painter.stylize(whole), batch.images, painter)
            result, share = result.float().clamp(0, 1), shares[:, index : index + 1]
            mixed.addcmul_(result, share)
            at_border, part = (x.permute(0, 2, 3, 1)[border] for x in (result, share))
            light.addcmul_(to_linear(at_border), part)
        mixed.permute(0, 2, 3, 1)[border] = from_linear(light)
        return mixed

    def close(self) -> None:
        with ExitStack() as stack:
            for painter in self._painters:
                stack.callback(painter.close)


def with_regions(settings: Settings) -> Settings:
    """The settings for painting: with a RegionStylizer where the stylizer needs one.

    Raises UsageError for options that mean nothing with regions.
    """
    masker, stylizer = settings.masker, settings.stylizer
    if masker is None or masker.regions is None:
        return settings
    if masker.options.invert:
        raise UsageError(
            "--mask-invert turns round a mask, and there are regions: leave it out, and give the "
            "styles to the regions that are to be painted (STYLE@REGION)"
        )
    if stylizer.caps.regions == "native":
        return settings
    return replace(settings, stylizer=RegionStylizer(stylizer))
