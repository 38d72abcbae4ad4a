"""Color-coded label maps, as other programs and data sets have them, with a legend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from stylepipe import (
    Context,
    Frame,
    Info,
    Item,
    ItemError,
    Options,
    UsageError,
    option,
    suggest,
)
from stylepipe.mask_files import MaskFiles, fitted, opened

from .carried import HELP, Drawn
from .legend import SUFFIXES, legend_files, read_legend
from .planes import PlaneMasker

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NO_CLASS = "none"
"""Name in a legend of what belongs to no class."""
_WHAT = "label map"
_NEAR = 48
"""How far, in 8-bit steps of red, green and blue together, JPEG moves the color of an area."""
_AT_ONCE = 1 << 20
"""Pixels of a map that are looked at at once."""
_CORE = 9
"""Side of the square, in pixels, that an area must hold somewhere: soft edges are thinner."""


class LabelsOptions(Options):
    maps: Path | None = option(
        None,
        "Label map for all pictures, or folder with a map for each, named as for masks.",
        metavar="PATH",
    )
    legend: tuple[str, ...] = option(
        (),
        "The classes of the colors: NAME=#rrggbb, or a TOML or CSV file of names and colors; "
        "unset: legend.toml or legend.csv beside the maps.",
        metavar="NAME=#RRGGBB|FILE",
    )
    classes: tuple[str, ...] = option(
        (),
        "Paint these classes together, such as sky,tree; unset: each class of the legend is a "
        "region.",
        metavar="NAME,...",
    )
    carry: bool = option(False, HELP, only_if={"maps": True})

    def chosen(self) -> list[str]:
        """The names in ``classes``, which may be joined by commas."""
        return [name.strip() for text in self.classes for name in text.split(",") if name.strip()]


class LabelsMasker(PlaneMasker):
    """The classes of color-coded label maps, such as labels:maps with a legend, as regions."""

    name = "labels"
    argument: ClassVar[str] = "maps"
    by_file = True
    nothing = "none of the classes is in its label map"
    Options: ClassVar[type[Options]] = LabelsOptions

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._maps: Drawn | None = None
        if options.maps is not None:
            self._maps = Drawn(MaskFiles(options.maps, _WHAT), _WHAT, self._groups, options.carry)
        if options.carry:
            self.warmup = 1  # type: ignore[misc]  # frames come one by one
        self._legend: Mapping[str, int] = {}
        self.regions: Sequence[str] | None = None if options.chosen() else ()

    def files(self) -> Iterable[Path]:
        return [*super().files(), *legend_files(self._texts())]

    def _texts(self) -> Sequence[str]:
        """What the legend is read from: what was given, else the file beside the maps."""
        if self.options.legend or self.options.maps is None:
            return tuple(self.options.legend)
        maps = self.options.maps
        folder = maps if maps.is_dir() else maps.parent
        beside = [folder / f"legend{suffix}" for suffix in SUFFIXES]
        return [str(path) for path in beside if path.is_file()][:1]

    def check(self) -> None:
        """Raises UsageError where maps or legend are missing or cannot be right."""
        if self._maps is None:
            raise UsageError("the mask 'labels' needs label maps: --mask labels --mask-maps FOLDER")
        self._maps.files.check()
        if not self._texts():
            raise UsageError(
                "label maps need a legend, which names their colors: --mask-legend sky=#0080ff for "
                "each class, --mask-legend FILE, or legend.toml beside the maps"
            )
        self._legend = read_legend(self._texts())
        classes = [name for name in self._legend if name != NO_CLASS]
        for name in self.options.chosen():
            if name not in self._legend:
                raise UsageError(
                    f"no class {name!r} in the legend{suggest(name, self._legend)}; there are "
                    f"{', '.join(self._legend)}"
                )
        if self.regions is None:
            return
        from stylepipe.region_maps import MAX_REGIONS

        if not classes or len(classes) > MAX_REGIONS:
            raise UsageError(
                f"the legend has {len(classes)} classes, and 1 to {MAX_REGIONS} can be regions; "
                "choose some to be painted together, as in --mask-classes sky,tree"
            )
        self.regions = classes

    def check_item(self, item: Item, info: Info) -> None:
        """Raises ItemError where the item has no map."""
        assert self._maps is not None
        self._maps.check_item(item, info)

    def open(self, context: Context) -> None:
        super().open(context)
        self.check()
        self._max_pixels = context.max_pixels
        assert self._maps is not None
        self._maps.open(context)
        self._indices = lru_cache(maxsize=1)(self._read)  # the frames of a film may share a file

    def close(self) -> None:
        if self._maps is not None:
            self._maps.close()

    def planes(self, item: Item, frame: Frame) -> NDArray[np.float32]:
        assert self._maps is not None
        return self._maps.planes(item, frame)

    def _groups(self, file: Path, item: Item, frame: Frame) -> NDArray[np.float32]:
        """The classes in a map, those of each region together, K H W in the size of the frame."""
        import numpy as np

        indices, names = self._indices(file), list(self._legend)
        groups: list[list[str]] = [[name] for name in self.regions or ()]
        groups = groups or [self.options.chosen()]
        size = frame.pixels.shape[:2]
        planes = np.empty((len(groups), *size), np.float32)
        for plane, group in zip(planes, groups, strict=True):
            wanted = np.isin(range(len(names)), [names.index(n) for n in group])
            plane[:] = fitted(wanted.astype(np.float32)[indices], size, file, _WHAT)
        return planes

    def _read(self, file: Path) -> NDArray[np.unsignedinteger[Any]]:
        from stylepipe.region_maps import rgb_of

        with opened(file, self._max_pixels, _WHAT) as picture:
            return label_indices(rgb_of(picture), self._legend, file)


def label_indices(
    pixels: NDArray[np.uint8], legend: Mapping[str, int], file: Path
) -> NDArray[np.unsignedinteger[Any]]:
    """For each pixel, H W, which color of the legend it has, from a map H W 3.

    Colors that JPEG moved a little are taken for the nearest one. What is unlike all of them, as
    soft edges are, belongs to the area beside it: halfway between two colors may lie a third.
    Raises ItemError for areas of a color that the legend does not have.
    """
    import numpy as np

    kind = np.min_scalar_type(len(legend))
    unsure = kind.type(len(legend))
    """What stands where no color of the legend does."""
    found = np.empty(pixels.shape[:2], kind)
    rows = max(1, _AT_ONCE // pixels.shape[1])
    for top in range(0, len(pixels), rows):
        strip = slice(top, top + rows)
        found[strip] = _nearest(pixels[strip], legend, unsure)
    if not (found == unsure).any():
        return found
    _refuse_areas(found == unsure, pixels, legend, file)
    settled = np.empty_like(found)
    for top in range(0, len(pixels), rows):
        # What is unsure is thin, so what settles it lies near.
        first, stop = max(0, top - _CORE), top + rows
        settled[top:stop] = _filled(found[first : stop + _CORE], unsure)[top - first :][:rows]
    return settled


def _channels(legend: Mapping[str, int]) -> NDArray[np.int64]:
    """The colors of a legend, K 3."""
    import numpy as np

    return np.array([[c >> 16, c >> 8 & 255, c & 255] for c in legend.values()], np.int64)


def _nearest(
    pixels: NDArray[np.uint8], legend: Mapping[str, int], unsure: np.unsignedinteger[Any]
) -> NDArray[np.unsignedinteger[Any]]:
    """The number of the color in the legend nearest to each pixel of H W 3; ``unsure`` where none
    is near."""
    import numpy as np

    from stylepipe.region_maps import packed

    # Each color once: a large map has many pixels, but few colors.
    colors, place = np.unique(packed(pixels), return_inverse=True)
    own = np.stack([colors >> 16, colors >> 8 & 255, colors & 255], axis=1).astype(np.int64)
    far = ((own[:, None] - _channels(legend)) ** 2).sum(axis=2)
    numbers = far.argmin(axis=1).astype(unsure.dtype)
    numbers[far.min(axis=1) > _NEAR**2] = unsure
    nearest: NDArray[np.unsignedinteger[Any]] = numbers[place].reshape(pixels.shape[:2])
    return nearest


def _refuse_areas(
    unsure: NDArray[np.bool_], pixels: NDArray[np.uint8], legend: Mapping[str, int], file: Path
) -> None:
    """Raises ItemError where the unsure pixels fill an area, or all of the map."""
    import cv2
    import numpy as np

    from stylepipe.region_maps import packed

    side = min(_CORE, *unsure.shape)
    # Border pixels are not eroded from outside: an area may well lie there.
    area = cv2.erode(unsure.astype(np.uint8), np.ones((side, side), np.uint8)).astype(bool)
    if not area.any() and not unsure.all():
        return
    among, counts = np.unique(packed(pixels[area if area.any() else unsure]), return_counts=True)
    color = int(among[counts.argmax()])
    own = np.array([color >> 16, color >> 8 & 255, color & 255])
    name = list(legend)[int(((_channels(legend) - own) ** 2).sum(axis=1).argmin())]
    raise ItemError(
        f"the label map {file} has areas in #{color:06x}, which the legend does not name; add "
        f"a class for it, or is it {name}, #{legend[name]:06x}?"
    )


def _filled(
    numbers: NDArray[np.unsignedinteger[Any]], unsure: np.unsignedinteger[Any]
) -> NDArray[np.unsignedinteger[Any]]:
    """Numbers H W, in which those that are unsure become those of the nearest sure pixel."""
    import cv2
    import numpy as np

    open_ = numbers == unsure
    if not open_.any():
        return numbers
    _, owners = cv2.distanceTransformWithLabels(
        open_.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    of_owner = np.zeros(int(owners.max()) + 1, numbers.dtype)
    of_owner[owners[~open_]] = numbers[~open_]
    filled: NDArray[np.unsignedinteger[Any]] = of_owner[owners]
    return filled
