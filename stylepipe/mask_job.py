"""A job that writes its masks instead of paintings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylepipe import guard
from stylepipe.components import Caps, Masker, Stylizer, StylizerOptions
from stylepipe.errors import ItemError, UsageError
from stylepipe.job import Job, MaskOptions, OutputOptions, Settings
from stylepipe.masking import Joined
from stylepipe.media.masks import MaskFramesWriter, MaskWriter
from stylepipe.options import Options, option
from stylepipe.places import place_of
from stylepipe.regions import with_regions
from stylepipe.types import Batch, Frame, Item

if TYPE_CHECKING:
    import torch

NO_REGION = "none"
"""Name in a legend of what no region has."""
_LEGEND_HEAD = "# The colors of these maps, as stylepipe masks wrote them.\n"
_PALETTE = (
    "#e6194b", "#3cb44b", "#4363d8", "#ffe119", "#f58231", "#42d4f4", "#f032e6", "#bfef45",
    "#fabed4", "#469990", "#dcbeff", "#9a6324", "#fffac8", "#800000", "#aaffc3", "#000075",
)  # fmt: skip
"""Colors that are easily distinguished, for as many regions as a map may have."""


class _MapOptions(Options):
    made_by: tuple[str, ...] = option((), "The settings of a map's maskers: others, other maps.")


class RegionMap(Joined):
    """The regions of a masker as one plane: the number of the first that has most of a pixel, in
    255ths; 0 where most of it belongs to none."""

    def __init__(self, masker: Masker, made_by: Sequence[str] = ()) -> None:
        """``made_by``: the settings of the masker, and of those that it asks."""
        super().__init__(masker.name, [masker])
        self.options = _MapOptions.build({"made_by": list(made_by)})
        self._masker, self.plugin = masker, masker.plugin  # type: ignore[misc]

    def legend(self) -> dict[str, str]:
        """The colors ``#rrggbb`` by name that all pictures share, of what has no region first.

        Empty where the regions differ from picture to picture. Raises UsageError where there are
        too many of them.
        """
        names = self._masker.regions or ()
        if len(names) > len(_PALETTE):
            raise UsageError(
                f"masker {self._masker.name!r} has {len(names)} regions, of {len(_PALETTE)} that a "
                "map can hold"
            )
        shared = {NO_REGION: "#000000", **dict(zip(names, _PALETTE, strict=False))}
        return shared if names else {}

    def colors(self, item: Item) -> dict[str, str]:
        """The color ``#rrggbb`` of each region of an item by name, of what has none before them.

        Regions that differ from picture to picture must be named by their colors. Raises ItemError.
        """
        if shared := self.legend():
            return shared
        names = self._masker.regions_of(item)
        if not all(re.fullmatch("#[0-9a-f]{6}", name) for name in names):
            raise ItemError(
                f"masker {self._masker.name!r} has other regions in each picture, which one legend "
                "cannot name"
            )
        free = next(color for color in ("#000000", "#ffffff", *_PALETTE) if color not in names)
        return {NO_REGION: free, **{name: name for name in names}}

    def files(self) -> Iterable[Path]:
        """Those of the masker, and its code: a plugin's may change."""
        return [*self._masker.files(), Path(inspect.getfile(type(self._masker)))]

    def mask(self, batch: Batch, frames: Sequence[Frame]) -> torch.Tensor:
        import torch

        shape = (len(frames), len(self._masker.regions_of(batch.item)), *batch.images.shape[2:])
        planes = guard.mask(self._masker.mask(batch, frames), shape, self._masker)
        rest = 1 - planes.sum(1, keepdim=True)
        return torch.cat([rest, planes], 1).argmax(1, keepdim=True).float() / 255


class MaskPicture(Stylizer):
    """Paints the mask itself: white where a stylizer would paint, or each region in a color."""

    name = "masks"
    skips_empty = False
    caps = Caps(needs_style=False, masks="native", batch=8)

    def __init__(self, regions: RegionMap | None) -> None:
        super().__init__(StylizerOptions.build({}))
        self._regions = regions

    def stylize(self, batch: Batch) -> torch.Tensor:
        import torch

        assert batch.masks is not None
        if self._regions is None:
            return batch.masks.expand_as(batch.images)
        colors = [bytes.fromhex(c[1:]) for c in self._regions.colors(batch.item).values()]
        table = torch.tensor([list(c) for c in colors], device=batch.images.device)
        numbers = (batch.masks[:, 0] * 255).round().long()
        return table[numbers].permute(0, 3, 1, 2).float() / 255


def _made_by(settings: Settings) -> list[str]:
    """What a map depends on beside the files that its maskers name."""
    regions = [f"{r.name}={r.expression} {r.stylizer is None}" for r in settings.regions]
    for masker, term in settings.maskers:
        values = masker.options.values().items()
        regions += [f"{term} { {k: v for k, v in values if not isinstance(v, Path)} }"]
    return regions


def _legend(job: Job) -> tuple[Path, str]:
    """The file that names the colors of the job's maps, beside them, and its content.

    Without content where there is nothing to name.
    """
    single = job.output.suffix.lower() == ".png"
    folder = place_of(job.output).parent if single else job.output
    masker = job.settings.masker
    colors = masker.legend() if isinstance(masker, RegionMap) else {}
    lines = [f'"{name}" = "{color}"\n' for name, color in colors.items()]
    return folder / "legend.toml", "".join([_LEGEND_HEAD, *lines]) if lines else ""


def check_legend(job: Job) -> None:
    """Raises UsageError where the legend would replace a file that is not ours."""
    path, _ = _legend(job)
    if not isinstance(job.settings.masker, RegionMap) or not path.exists():
        return
    if not path.is_file() or not path.read_text("utf-8", "replace").startswith(_LEGEND_HEAD):
        raise UsageError(
            f"the legend would replace {path}, which is another file; move it, or choose another "
            "--output"
        )


def write_legend(job: Job) -> Path | None:
    """Write the names of the regions beside their maps; None where there are none to write."""
    path, content = _legend(job)
    if not content or not path.parent.is_dir():
        return None
    path.write_text(content, encoding="utf-8")
    return path


def mask_job(job: Job) -> Job:
    """The job that writes the masks of ``job``: gray PNG, or maps of its regions in flat colors.

    Films become folders of them. Raises UsageError where there is no mask, or one cannot be written
    as requested.
    """
    # A map says where a region is, whatever its strength.
    whole = tuple(replace(region, strength=1.0) for region in job.settings.regions)
    settings = with_regions(replace(job.settings, regions=whole))
    if settings.masker is None:
        raise UsageError(
            "there is no mask to write: pass --mask, --protect, --region or --regions, or a preset "
            "with a mask"
        )
    masker, output, shape = settings.masker, settings.output, settings.mask
    regions = None
    if masker.regions is not None:
        if settings.protection is not None:
            raise UsageError(
                "--protect keeps a part of the photo in all regions, and a map of them cannot show "
                "it: pass --protect none here, and protect in the run that paints by the map"
            )
        if soft := shape.shaping():
            flags = " and ".join(f"--mask-{name}" for name in sorted(soft))
            raise UsageError(
                f"{flags} softens regions, and a map of them has hard borders: leave it out here, "
                "and pass it to the run that paints by the map"
            )
        masker = regions = RegionMap(masker, _made_by(job.settings))
        # Its plane holds numbers of regions, which mean nothing between two of them.
        shape = MaskOptions.build({"missing": shape.missing, "steady": 0})
    known: Options = MaskWriter.Options.build({})
    written: list[Any] = [kind(known, regions is None) for kind in (MaskWriter, MaskFramesWriter)]
    return replace(
        job,
        settings=replace(
            settings,
            masker=masker,
            mask=shape,
            regions=(),
            stylizer=MaskPicture(regions),
            temporal=None,
            writers=tuple(written),
            output=OutputOptions.build(
                {
                    "name": output.name,
                    "format": output.format if output.format in ("png", "png/") else None,
                }
            ),
        ),
    )
