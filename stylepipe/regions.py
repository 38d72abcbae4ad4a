"""Regions for stylizers without support for them: one painting per style, mixed by region."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from stylepipe import guard
from stylepipe.components import (
    Caps,
    Context,
    Masker,
    StyleInfo,
    StyleRef,
    Stylizer,
    StylizerOptions,
)
from stylepipe.errors import UsageError
from stylepipe.job import Settings
from stylepipe.masking import Everywhere
from stylepipe.named_regions import RegionMasker, labels
from stylepipe.styles import check_number, parse_styles
from stylepipe.types import Batch, Info, Item

if TYPE_CHECKING:
    import torch


class RegionStylizer(Stylizer):
    """Paints each region by a separate stylizer, of one kind or each of its own."""

    def __init__(self, kind: Stylizer, own: Sequence[Stylizer] = ()) -> None:
        """``own``: the stylizers of the regions, in their order, each with its styles in its
        options; without them each of the job's styles is painted by one like ``kind``.
        """
        super().__init__(StylizerOptions.build({}) if own else kind.options)
        self.name, self.plugin = kind.name, kind.plugin  # type: ignore[misc]
        self.caps = _caps(own) if own else replace(kind.caps, regions="native", max_styles=None)  # type: ignore[misc]
        self._kind, self._own = kind, own
        self._painters: list[Stylizer] = []
        self._painter_of: list[int] = []
        """The number of the painter of each region: regions painted alike share one."""

    def styles(self) -> Sequence[StyleInfo]:  # type: ignore[override]
        return self._kind.styles()

    def files(self) -> Iterable[Path]:
        return [path for kind in self._kinds for path in kind.files()]

    @property
    def _kinds(self) -> Sequence[Stylizer]:
        return self._own or [self._kind]

    def check(
        self,
        styles: Sequence[StyleRef],
        items: Sequence[Item] = (),
        masker: Masker | None = None,
    ) -> None:
        for own in self._own:
            mine = parse_styles(own.options.style)
            check_number(own, mine)
            own.check(mine, items, None)
            own.assign(mine, None)
        for style in styles:
            self._kind.check([style], items, masker)

    def assign(self, styles: Sequence[StyleRef], regions: Sequence[str] | None) -> list[int]:
        if self._own:
            return list(range(len(regions or ())))
        return super().assign(styles, regions)

    def rehearse(self) -> None:
        for kind in self._kinds:
            kind.rehearse()

    def check_item(self, item: Item, info: Info) -> None:
        for kind in self._kinds:
            kind.check_item(item, info)

    def open(self, context: Context) -> None:
        self._context, self._painters, self._painter_of = context, [], []

    def prepare(self, styles: Sequence[StyleRef]) -> None:
        kinds: list[tuple[Stylizer, list[StyleRef]]] = [
            (own, parse_styles(own.options.style)) for own in self._own
        ] or [(self._kind, [replace(style, weight=1.0, region="")]) for style in styles]
        makers = [(type(kind), kind.options, given) for kind, given in kinds]
        for number, (maker, (kind, given)) in enumerate(zip(makers, kinds, strict=True)):
            if (first := makers.index(maker)) < number:
                self._painter_of.append(self._painter_of[first])
                continue
            painter = kind if self._own else type(kind)(kind.options)
            self._painter_of.append(len(self._painters))
            self._painters.append(painter)
            painter.open(self._context)
            painter.prepare(given)

    def reset(self, item: Item) -> None:
        for painter in self._painters:
            painter.reset(item)

    def stylize(self, batch: Batch) -> torch.Tensor:
        """Mix the results, N3HW, by how much of each pixel belongs to each region; as light is.

        What paints nowhere in the batch is not asked, unless later frames depend on it.
        """
        import torch

        from stylepipe.color import from_linear, keep_colors, to_linear

        assert batch.masks is not None, "the engine gives the planes of the regions"
        whole = replace(batch, masks=None, regions=())
        height, width = batch.images.shape[2:]
        size = (self.caps.scale * height, self.caps.scale * width)
        of = torch.tensor(self._painter_of, device=batch.masks.device)
        shares = batch.masks.new_zeros(len(batch.masks), len(self._painters), height, width)
        shares.index_add_(1, of, batch.masks)
        present = shares.amax((0, 2, 3)).tolist()
        parts = shares
        if self.caps.scale > 1:
            shares = torch.nn.functional.interpolate(shares, size, mode="bilinear")
        mixed = batch.images.new_zeros(len(batch.images), 3, *size)
        border = shares.amax(1) < 1
        light = mixed.new_zeros(int(border.sum()), 3)
        for index, painter in enumerate(self._painters):
            if not present[index] and painter.caps.warmup == 0:
                continue
            own = whole
            if batch.guide is not None:  # elsewhere the result was painted by others
                trust = batch.guide.trust * parts[:, index : index + 1]
                own = replace(whole, guide=replace(batch.guide, trust=trust))
            result = guard.painted(painter.stylize(own), batch.images, painter)
            result = result.float().clamp(0, 1)
            if self._own and painter.options.keep_colors:
                result = keep_colors(_enlarged(batch.images, size), result)
            share = shares[:, index : index + 1]
            mixed.addcmul_(result, share)
            at_border, part = (x.permute(0, 2, 3, 1)[border] for x in (result, share))
            light.addcmul_(to_linear(at_border), part)
        mixed.permute(0, 2, 3, 1)[border] = from_linear(light)
        return mixed

    def close(self) -> None:
        with ExitStack() as stack:
            for painter in self._painters:
                stack.callback(painter.close)


def _enlarged(images: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    from torch.nn.functional import interpolate

    if images.shape[2:] == size:
        return images
    return interpolate(images, size, mode="bicubic", align_corners=False).clamp(0, 1)


def _caps(own: Sequence[Stylizer]) -> Caps:
    """What several stylizers can do together. Raises UsageError if their results differ in size."""
    caps = [stylizer.caps for stylizer in own]
    if len({c.scale for c in caps}) > 1:
        sizes = ", ".join(f"{s.name} makes it {s.caps.scale} times as large" for s in own)
        raise UsageError(f"the regions of a picture must be of one scale, but {sizes}")
    shot = any(c.warmup == "shot" for c in caps)
    guided = all(c.temporal == "native" for c in caps)
    return Caps(
        needs_style=False,
        regions="native",
        strength="native",
        temporal="native" if guided else "blend",
        warmup="shot" if shot else max(c.warmup for c in caps if c.warmup != "shot"),
        batch=min(c.batch for c in caps),
        min_side=max(c.min_side for c in caps),
        tileable=all(c.tileable for c in caps),
        receptive_radius=max(c.receptive_radius for c in caps),
        scale=caps[0].scale,
    )


def _with_named_regions(settings: Settings) -> Settings:
    """The settings with a masker of the named regions, and a stylizer that paints them."""
    painted = [region for region in settings.regions if region.stylizer]
    stylizers = [region.stylizer for region in painted if region.stylizer]
    styles = [parse_styles(stylizer.options.style) for stylizer in stylizers]
    if at := next((s.region for some in styles for s in some if s.region), None):
        raise UsageError(f"the styles of regions are for them alone: leave out @{at}")
    masker = RegionMasker(settings.regions)
    first = stylizers[0]
    plain = [replace(stylizer.options, style=()) for stylizer in stylizers]
    alike = all(type(s) is type(first) for s in stylizers) and all(o == plain[0] for o in plain)
    if alike and all(len(some) == 1 for some in styles):
        texts = [
            f"{one.name}@{label}" for (one,), label in zip(styles, labels(painted), strict=True)
        ]
        stylizer: Stylizer = type(first)(replace(first.options, style=tuple(texts)))
    else:
        stylizer = RegionStylizer(first, stylizers)
    return replace(settings, masker=masker, stylizer=stylizer)


def with_regions(settings: Settings) -> Settings:
    """The settings for painting: with a RegionStylizer where the stylizer needs one.

    Raises UsageError for options that mean nothing with regions.
    """
    if settings.regions:
        settings = _with_named_regions(settings)
    masker, stylizer = settings.masker, settings.stylizer
    if masker is None and settings.protection:
        settings = replace(settings, masker=Everywhere())
    if masker is None or masker.regions is None:
        return settings
    if settings.mask.missing == "paint":
        raise UsageError(
            "--mask-missing paint does not say in which style, as there are regions; pass keep or "
            "fail"
        )
    if settings.mask.invert:
        raise UsageError(
            "--mask-invert inverts a mask, and there are regions: leave it out, and give the "
            "styles to the regions that are to be painted (STYLE@REGION, or --region NAME=STYLE)"
        )
    if stylizer.caps.regions == "native":
        return settings
    return replace(settings, stylizer=RegionStylizer(stylizer))
