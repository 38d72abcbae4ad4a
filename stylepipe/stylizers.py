"""Base classes of stylizers that take their style from paintings; plugins may use them as well.

Derive options from PaintingOptions, the stylizer from PaintingStylizer. These handle styles,
regions of photos and paintings, encoders, dry runs, memory and errors; a subclass only paints.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import nullcontext
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from stylepipe.components import Context, StyleRef, Stylizer, StylizerOptions
from stylepipe.device import full_range_dtype
from stylepipe.encoders import absent_weights, open_encoder
from stylepipe.errors import ItemError, SetupError, UsageError
from stylepipe.nst.names import Border, ColorMatch, EncoderName, Pooling
from stylepipe.nst.recipe import StyleUse
from stylepipe.options import option
from stylepipe.paths import user_path
from stylepipe.pictures import read_picture
from stylepipe.styles import parse_style
from stylepipe.types import Batch, Guide, Item

if TYPE_CHECKING:
    import torch

    from stylepipe.nst.budget import NotEnoughMemory
    from stylepipe.nst.encoders import Encoder
    from stylepipe.nst.optimize import Step
    from stylepipe.nst.paintings import Painting

RESERVED_MEMORY = 768 << 20
"""Bytes of the job's memory for the program and the engine, not for the work on a picture."""
USABLE_MEMORY = 0.6
"""Share of the job's memory for the work on a picture where RESERVED_MEMORY would leave less."""


class PaintingOptions(StylizerOptions):
    """Options that mean the same wherever paintings are the style."""

    encoder: EncoderName = option("auto", "Network that judges the pictures.")
    encoder_weights: Path | None = option(
        None, "Its weights: safetensors, or a checkpoint of torchvision.", metavar="FILE"
    )
    style_scale: float = option(
        StyleUse.style_scale,
        "Size of the painting, and so of its strokes, relative to the photo; never larger than the "
        "painting's file.",
        min=0.05,
        max=8,
    )
    match_colors: ColorMatch = option(
        StyleUse.match_colors, "First give the painting the photo's colors."
    )
    style_regions: tuple[Path, ...] = option(
        (),
        "Map of the painting's regions in the colors of --regions; repeat for each --style. Each "
        "region is then painted after those of its color, and styles are blended.",
        metavar="FILE",
    )
    border: Border = option(
        StyleUse.border,
        "Features at a region's border: weigh them by how much they see of it, leave out those "
        "that see beyond it, or ignore the matter. Needs regions.",
    )

    def check(self) -> None:
        if self.encoder_weights is not None and not self.encoder_weights.is_file():
            raise UsageError(f"no such weights file: {self.encoder_weights}")
        for path in self.style_regions:
            if not path.is_file():
                raise UsageError(f"there is no map of the style's regions at {path}")

    def paintings(self) -> list[str]:
        """The paintings' files as they were written."""
        return [parse_style(text).name for text in self.style]

    def inputs(self) -> list[Path]:
        """The files that the job reads besides its photos."""
        files = [self.encoder_weights] if self.encoder_weights else []
        return [*files, *self.style_regions, *map(user_path, self.paintings())]


class PaintingStylizer(Stylizer):
    """Reads paintings and the maps of their regions."""

    options: PaintingOptions
    for_encoder: ClassVar[Collection[str]] = ()
    """Options that only the encoder can check."""
    gradients: ClassVar[bool] = False
    """Whether :meth:`paint` needs gradients, whatever the caller has switched off."""
    _context: Context
    _paintings: list[Painting]
    _style_regions: Sequence[str] = ()
    """The regions of the paintings, once those are read, by name and in order."""

    def files(self) -> Iterable[Path]:
        files = self.options.inputs()
        if self.options.encoder == "auto" and self.options.encoder_weights is None:
            from stylepipe.weights import KNOWN

            # Fetched in the middle of a film, it would change how the rest is painted.
            files.append(KNOWN["vgg19"].path)
        return files

    def assign(self, styles: Sequence[StyleRef], regions: Sequence[str] | None) -> list[int]:
        maps = self.options.style_regions
        if regions is None and "border" in self.options.given():
            raise UsageError("--border is for regions, and there are none; leave it out")
        if not maps:
            return super().assign(styles, regions)
        if regions is None:
            raise UsageError("--style-regions needs --regions, the regions of the photos")
        if named := next((style.region for style in styles if style.region), None):
            raise UsageError(
                f"--style-regions says which part of a style is for what region; leave out @{named}"
            )
        if len(maps) != len(styles):
            raise UsageError(
                f"there are {len(styles)} styles and {len(maps)} maps of style regions: give one "
                "--style-regions for each --style"
            )
        known = self._style_regions
        if unknown := next((name for name in regions if known and name not in known), None):
            raise UsageError(
                f"the region of color {unknown} is missing in the style's regions, which have "
                f"{', '.join(known)}"
            )
        return list(range(len(regions)))

    def rehearse(self) -> None:
        options = self.options
        if reason := absent_weights(options.encoder, options.encoder_weights):
            raise SetupError(reason)
        if options.given() & {"encoder_weights", *self.for_encoder}:
            self.check_encoder(
                open_encoder(options.encoder, options.encoder_weights, pooling=self.pooling)
            )

    def open(self, context: Context) -> None:
        self._context = context

    @property
    def pooling(self) -> Pooling:
        """How the encoder shrinks its maps."""
        return "max"

    def check_encoder(self, encoder: Encoder) -> None:
        """Raises UsageError or SetupError if the options do not fit the encoder."""

    def open_encoder(self) -> Encoder:
        """The encoder of the options, where the job computes. Raises UsageError, SetupError."""
        options, device = self.options, self._context.device
        return open_encoder(
            options.encoder,
            options.encoder_weights,
            pooling=self.pooling,
            device=device.torch,
            dtype=full_range_dtype(device),
            log=self._context.log,
        )

    def read_paintings(self, styles: Sequence[StyleRef]) -> list[Painting]:
        """The paintings, with their regions if the options name any. Raises UsageError."""
        from stylepipe.nst.paintings import Painting

        self._names = [ref.name for ref in styles]
        self._too_small: set[str] = set()
        pictures = [given_picture(ref.path, self._context) for ref in styles]
        region_masks = self._region_masks(pictures) if self.options.style_regions else None
        self._paintings = [
            Painting(picture, ref.weight, None if region_masks is None else region_masks[index])
            for index, (picture, ref) in enumerate(zip(pictures, styles, strict=True))
        ]
        return self._paintings

    def _region_masks(self, pictures: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """The regions 1 K H W of each painting. Raises UsageError."""
        import torch

        from stylepipe.region_maps import region_names, region_planes

        maps, limit = self.options.style_regions, self._context.max_pixels
        try:
            names = region_names(maps, limit)
            for path in maps:
                if missing := [n for n in names if n not in region_names([path], limit)]:
                    raise UsageError(
                        f"the region of color {missing[0]} is missing in {path}: the maps of all "
                        "styles must have the same regions"
                    )
            self._style_regions = names
            planes = [
                region_planes(path, names, picture.shape[2:], limit)
                for path, picture in zip(maps, pictures, strict=True)
            ]
        except ItemError as error:
            raise UsageError(str(error)) from error
        return [torch.from_numpy(p)[None].to(pictures[0]) for p in planes]

    def stylize(self, batch: Batch) -> torch.Tensor:
        import torch

        from stylepipe.nst.budget import NotEnoughMemory
        from stylepipe.nst.optimize import Diverged

        painted = []
        with torch.inference_mode(False) if self.gradients else nullcontext():
            for index, image in enumerate(batch.images):
                copied = self.gradients and image.is_inference()
                photo = image[None].clone() if copied else image[None]
                self.report_scale(photo, self._paintings)
                regions = self.regions_of(batch, index)
                given = photo, regions, batch.item, batch.first + index
                try:
                    if batch.guide is None:
                        painted.append(self.paint(*given))
                    else:
                        painted.append(self.paint_guided(*given, _guide_of(batch.guide, index)))
                except NotEnoughMemory as error:
                    raise too_large(error, photo) from error
                except (Diverged, ValueError) as error:
                    raise ItemError(str(error)) from error
            return torch.cat(painted) if len(painted) > 1 else painted[0]

    def paint(
        self, photo: torch.Tensor, regions: torch.Tensor | None, item: Item, frame: int
    ) -> torch.Tensor:
        """Paint a photo, 1 3 H W in [0,1], with its regions 1 K H W or None; ``frame`` is its
        number in the item. Returns 1 3 H W. Raises ItemError, Diverged, NotEnoughMemory or
        ValueError for one that cannot be painted.
        """
        raise NotImplementedError

    def paint_guided(
        self,
        photo: torch.Tensor,
        regions: torch.Tensor | None,
        item: Item,
        frame: int,
        guide: Guide,
    ) -> torch.Tensor:
        """:meth:`paint` for a frame of a film that has a guide, of the photo's size; to be defined
        where the caps say ``temporal="native"``.
        """
        raise NotImplementedError

    def close(self) -> None:
        self._paintings = []

    def report_step(self, step: Step) -> None:
        """Report the progress of an optimization."""
        height, width = step.size
        terms = " ".join(f"{name} {value:.3f}" for name, value in step.terms.items())
        self._context.progress(step.number / step.steps, f"{width}x{height} {terms}")

    def regions_of(self, batch: Batch, index: int) -> torch.Tensor | None:
        """The regions 1 K H W of a photo of the batch, in the order of the styles' regions; None
        without regions."""
        if not batch.regions or batch.masks is None:
            return None
        planes = batch.masks[index : index + 1]
        if not self._style_regions:
            return planes
        ordered = planes.new_zeros(1, len(self._style_regions), *planes.shape[2:])
        ordered[:, [self._style_regions.index(name) for name in batch.regions]] = planes
        return ordered

    def report_scale(self, photo: torch.Tensor, paintings: Sequence[Painting]) -> None:
        """Report once for each painting that it is too small for --style-scale."""
        scale = self.options.style_scale
        if scale == 1.0:  # no size was asked for
            return
        for name, painting in zip(self._names, paintings, strict=True):
            (height, width), (own_height, own_width) = photo.shape[2:], painting.picture.shape[2:]
            most = ((own_height * own_width) / (height * width)) ** 0.5
            if scale > most and name not in self._too_small:
                self._too_small.add(name)
                self._context.log(
                    f"the painting {name} has {own_width}x{own_height} pixels: for this photo it "
                    f"serves as --style-scale {most:.2f}, not {scale:g}"
                )


def _guide_of(guide: Guide, index: int) -> Guide:
    """One frame's guide, of tensors that may be used where gradients are computed."""
    warped, trust = (t[index : index + 1] for t in (guide.warped, guide.trust))
    return Guide(*(t.clone() if t.is_inference() else t for t in (warped, trust)))


def working_memory(context: Context) -> int:
    """Bytes for the work on one picture, where it takes place."""
    memory = context.memory
    if context.device.type == "cuda":
        import torch

        # The engine only knows the host's memory.
        memory = min(memory, torch.cuda.mem_get_info(context.device.torch)[0])
    return max(memory - RESERVED_MEMORY, int(memory * USABLE_MEMORY))


def job_memory(needed: int) -> int:
    """The job's memory that leaves this many bytes for the work on a picture, in whole MiB."""
    return ceil(min(needed + RESERVED_MEMORY, needed / USABLE_MEMORY) / 2**20) << 20


def too_large(error: NotEnoughMemory, photo: torch.Tensor) -> ItemError:
    """The error for a photo that does not fit, with the --memory that would suffice."""
    # A GPU's memory is what it is.
    flag = "" if photo.is_cuda else f" (--memory {job_memory(error.needed) >> 20}M)"
    return ItemError(f"{error}{flag}")


def given_picture(path: Path, context: Context) -> torch.Tensor:
    """A picture file that is part of the request, as 1 3 H W in [0,1]. Raises UsageError."""
    import torch

    try:
        pixels = torch.from_numpy(read_picture(path, context.max_pixels))
    except ItemError as error:
        raise UsageError(str(error)) from error
    return pixels.to(context.device.torch).permute(2, 0, 1)[None].float() / 255.0
