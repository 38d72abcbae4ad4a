"""Masks and regions drawn beforehand, and masks from the picture's own transparency."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import stylepipe
from stylepipe import (
    Batch,
    Frame,
    Info,
    Item,
    Masker,
    Options,
    UsageError,
    option,
)
from stylepipe.mask_files import MaskFiles, fitted, opened

from .carried import HELP, Drawn

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from PIL.Image import Image


class RegionsOptions(Options):
    regions: Path | None = option(
        None,
        "Map of regions, a picture with one flat color a region, for all pictures; or folder with "
        "a map for each, named as for masks.",
        metavar="PATH",
    )
    carry: bool = option(False, HELP, only_if={"regions": True})


class FilesOptions(RegionsOptions):
    path: Path | None = option(
        None,
        "Mask for all pictures, or folder with a mask for each: of the same name and sub-folder, "
        "or, for a video, a folder of that name with masks of its frames: 000001.png is the first, "
        "at --start.",
        metavar="PATH",
    )
    carry: bool = option(False, HELP, only_if={"path": True, "regions": True})


class _RegionsMasker(Masker):
    """A mask of one plane; with a map of regions it is divided into those."""

    Options: ClassVar[type[Options]] = RegionsOptions
    _drawn: Drawn | None = None

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._maps: MaskFiles | None = None
        if options.regions is not None:
            self._maps, self.regions = MaskFiles(options.regions, "map of regions"), ()
            self._drawn = Drawn(self._maps, "map of regions", self._regions_in, options.carry)
        if options.carry:
            self.warmup = 1  # type: ignore[misc]  # frames come one by one

    def _sources(self) -> list[Drawn]:
        """The drawn pictures that the mask is made of."""
        return [self._drawn] if self._drawn else []

    def check(self) -> None:
        for drawn in self._sources():
            drawn.files.check()

    def check_item(self, item: Item, info: Info) -> None:
        for drawn in self._sources():
            drawn.check_item(item, info)

    def open(self, context: stylepipe.Context) -> None:
        """Look for the files. Raises UsageError if there are none."""
        from stylepipe.region_maps import region_names, region_planes

        self.check()
        self._max_pixels = context.max_pixels
        # The frames of a film may share a file.
        self._names = lru_cache(maxsize=1)(region_names)
        self._region_planes = lru_cache(maxsize=1)(region_planes)
        for drawn in self._sources():
            drawn.open(context)

    def close(self) -> None:
        for drawn in self._sources():
            drawn.close()

    def regions_of(self, item: Item) -> Sequence[str]:
        """The colors of the item's map; of a film, those of all its maps."""
        return self._names(self._maps.all(item), self._max_pixels) if self._maps else ()

    def mask(self, batch: Batch, frames: Sequence[Frame]) -> torch.Tensor:
        import numpy as np
        import torch

        planes = [self._planes(batch.item, frame) for frame in frames]
        return torch.from_numpy(np.stack(planes)).to(batch.images.device)

    def _planes(self, item: Item, frame: Frame) -> NDArray[np.float32]:
        """K H W in [0, 1] of one frame, at its size. Raises ItemError."""
        mask = self._plane(item, frame)
        return mask if self._drawn is None else mask * self._drawn.planes(item, frame)

    def _regions_in(self, file: Path, item: Item, frame: Frame) -> NDArray[np.float32]:
        size = frame.pixels.shape[:2]
        return self._region_planes(file, self.regions_of(item), size, self._max_pixels)

    def _plane(self, item: Item, frame: Frame) -> NDArray[np.float32]:
        """The mask without regions, 1 H W in [0, 1]. Raises ItemError."""
        raise NotImplementedError


class FilesMasker(_RegionsMasker):
    """Masks or regions drawn beforehand: a file for all, or one of the same name for each."""

    name = "files"
    argument, by_file = "path", True
    Options: ClassVar[type[Options]] = FilesOptions
    _masks: Drawn | None = None

    def __init__(self, options: FilesOptions) -> None:
        super().__init__(options)
        if options.path is not None:
            files = MaskFiles(options.path, "mask")
            self._masks = Drawn(files, "mask", self._mask_in, options.carry)

    def _sources(self) -> list[Drawn]:
        return [*super()._sources(), *([self._masks] if self._masks else [])]

    def check(self) -> None:
        super().check()
        if not self._sources():
            raise UsageError(
                "the masks of 'files' need a path: --mask FILE, or --mask FOLDER with masks "
                "named like the pictures"
            )

    def open(self, context: stylepipe.Context) -> None:
        super().open(context)
        self._read = lru_cache(maxsize=1)(_read)

    def _plane(self, item: Item, frame: Frame) -> NDArray[np.float32]:
        import numpy as np

        if self._masks is None:
            return np.ones((1, *frame.pixels.shape[:2]), np.float32)
        return self._masks.planes(item, frame)

    def _mask_in(self, file: Path, item: Item, frame: Frame) -> NDArray[np.float32]:
        height, width = size = frame.pixels.shape[:2]
        # A reader without the limit may have read the frame: a mask of its size is no surprise.
        limit = max(self._max_pixels, width * height)
        return self._read(file, size, limit)[None]


class AlphaMasker(_RegionsMasker):
    """The picture's own transparency: painted where it is opaque."""

    name = "alpha"

    def _plane(self, item: Item, frame: Frame) -> NDArray[np.float32]:
        import numpy as np

        plane = np.ones((1, *frame.pixels.shape[:2]), np.float32)
        if frame.alpha is not None:
            np.divide(frame.alpha, frame.white, out=plane[0])
        return plane


def _read(file: Path, size: Sequence[int], max_pixels: int) -> NDArray[np.float32]:
    """The mask in a file, H W in [0, 1], in the given size: its transparency, else its lightness.

    Raises ItemError if the file cannot be read, has more than ``max_pixels``, or does not fit.
    """
    with opened(file, max_pixels, "mask") as picture:
        plane = _lightness(picture)
    return fitted(plane, size, file, "mask")


def _lightness(image: Image) -> NDArray[np.float32]:
    import numpy as np

    white = 255
    if image.mode.startswith("I"):  # 16 bits, in 16 or in 32
        values, white = np.asarray(image), 65535
    elif image.mode == "F":
        values, white = np.asarray(image), 1
    else:
        values = np.asarray(image.convert("L"))
        if image.has_transparency_data:
            alpha = np.asarray(image.convert("RGBA").getchannel("A"))
            values = alpha if alpha.min() < 255 else values
    return values.clip(0, white).astype(np.float32) / np.float32(white)
