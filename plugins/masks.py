"""Masks from files and from the picture's own transparency."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import stylepipe
from stylepipe import (
    Batch,
    Frame,
    Info,
    Item,
    ItemError,
    Masker,
    MaskOptions,
    Options,
    UsageError,
    hookimpl,
    open_picture,
    option,
)
from stylepipe.proportions import mismatch

if TYPE_CHECKING:
    import numpy as np
    import torch
    from PIL import Image

_SUFFIXES = (
    ".png",
    ".jpg",
    ".jpeg",
    ".webp",
    ".tif",
    ".tiff",
    ".bmp",
    ".gif",
    ".avif",
    ".heic",
    ".heif",
)


class FilesOptions(MaskOptions):
    path: Path | None = option(
        None,
        "Mask for all pictures, or folder with a mask for each: of the same name and sub-folder, "
        "or, for a video, a folder of that name with one mask a frame, from --start on.",
        metavar="PATH",
    )


@dataclass
class _Files:
    """The masks in a folder, by their paths in it without suffix."""

    stills: dict[Path, Path]
    folders: dict[Path, list[Path]]


class FilesMasker(Masker):
    """Masks drawn beforehand: one for all, or one of the same name for each picture."""

    name = "files"
    Options: ClassVar[type[Options]] = FilesOptions

    def __init__(self, options: FilesOptions) -> None:
        super().__init__(options)
        self._files: _Files | None = None

    def open(self, context: stylepipe.Context) -> None:
        """Find the mask files. Raises UsageError if there are none."""
        self._files = self._looked_for()
        self._max_pixels = context.max_pixels
        self._last: tuple[Path, np.ndarray] | None = None

    def check_item(self, item: Item, info: Info) -> None:
        self._find(item, 0)

    def _looked_for(self) -> _Files:
        path = self.options.path
        if path is None:
            raise UsageError(
                "the masks of 'files' need a path: --mask FILE, or --mask FOLDER with masks "
                "named like the pictures"
            )
        if path.is_dir():
            return _indexed(path)
        if not path.is_file():
            raise UsageError(f"there is no mask file or folder {path}")
        return _Files({}, {})

    def mask(self, batch: Batch, frames: Sequence[Frame]) -> torch.Tensor:
        import numpy as np
        import torch

        planes = [self._plane(batch.item, frame) for frame in frames]
        return torch.from_numpy(np.stack(planes))[:, None].to(batch.images.device)

    def _plane(self, item: Item, frame: Frame) -> np.ndarray:
        """The mask of one frame, HxW float32 in [0, 1], at the frame's size. Raises ItemError."""
        file = self._find(item, frame.index)
        if self._last is None or self._last[0] != file:
            # A reader without the limit may have read the frame: a mask of its size is no surprise.
            height, width = frame.pixels.shape[:2]
            self._last = file, _read(file, max(self._max_pixels, width * height))
        return _fitted(self._last[1], frame, file)

    def _find(self, item: Item, index: int) -> Path:
        folder: Path = self.options.path
        if self._files is None:
            self._files = self._looked_for()
        if folder.is_file():
            return folder
        stills, folders = self._files.stills, self._files.folders
        full, bare = item.relative, item.relative.with_suffix("")
        for name in (full, bare):  # photo.jpg.png tells photo.jpg from photo.png
            if name in stills:
                return stills[name]
        if bare not in folders:
            raise ItemError(
                f"it has no mask; looked for {folder / full}.*, {folder / bare}.* and the folder "
                f"{folder / bare}"
            )
        files = folders[bare]
        if index >= len(files):
            raise ItemError(f"frame {index + 1} has no mask; {folder / bare} holds {len(files)}")
        return files[index]


class AlphaMasker(Masker):
    """The picture's own transparency: painted where it is opaque."""

    name = "alpha"

    def mask(self, batch: Batch, frames: Sequence[Frame]) -> torch.Tensor:
        import numpy as np
        import torch

        planes = []
        for frame in frames:
            plane = np.ones(frame.pixels.shape[:2], np.float32)
            if frame.alpha is not None:
                np.divide(frame.alpha, frame.white, out=plane)
            planes.append(plane)
        return torch.from_numpy(np.stack(planes))[:, None].to(batch.images.device)


def _indexed(folder: Path) -> _Files:
    files = [f for f in folder.rglob("*") if f.suffix.lower() in _SUFFIXES and f.is_file()]
    if not files:
        raise UsageError(f"the mask folder {folder} holds no pictures ({' '.join(_SUFFIXES)})")
    found = _Files({}, {})
    for file in sorted(files, key=_natural):
        name = file.relative_to(folder).with_suffix("")
        found.stills.setdefault(name, file)
        found.folders.setdefault(name.parent, []).append(file)
    return found


def _read(file: Path, max_pixels: int) -> np.ndarray:
    """The mask in ``file``, HxW float32 in [0, 1], upright: its transparency, else its lightness.

    Raises ItemError if the file cannot be read, or has more than ``max_pixels``.
    """
    from PIL import ImageOps

    try:
        with open_picture(file, max_pixels) as image:
            return _lightness(ImageOps.exif_transpose(image))
    except ItemError as error:
        raise ItemError(f"the mask {file} cannot be read: {error}") from error


def _lightness(image: Image.Image) -> np.ndarray:
    import numpy as np

    if image.has_transparency_data:
        alpha = np.asarray(image.convert("RGBA").getchannel("A"))
        if alpha.min() < 255:
            return alpha.astype(np.float32) / 255
    if image.mode.startswith("I"):  # 16 bits, in 16 or in 32
        return np.asarray(image).astype(np.float32).clip(0, 65535) / 65535
    if image.mode == "F":
        return np.asarray(image).clip(0, 1)
    return np.asarray(image.convert("L")).astype(np.float32) / 255


def _fitted(mask: np.ndarray, frame: Frame, file: Path) -> np.ndarray:
    import cv2

    (h, w), (height, width) = mask.shape, frame.pixels.shape[:2]
    if (h, w) == (height, width):
        return mask
    if reason := mismatch((h, w), (height, width)):
        raise ItemError(f"the mask {file} {reason}")
    how = cv2.INTER_AREA if w > width else cv2.INTER_LINEAR
    fitted: np.ndarray = cv2.resize(mask, (width, height), interpolation=how)
    return fitted


def _natural(file: Path) -> list[tuple[int, str]]:
    """Sort key that puts frame 2 before frame 10."""
    parts = re.findall(r"\d+|\D+", str(file))
    return [(int(p), "") if p.isdigit() else (-1, p) for p in parts]


@hookimpl
def stylepipe_components() -> list[type[stylepipe.Component]]:
    return [FilesMasker, AlphaMasker]
