"""Pictures drawn over items and paintings, masks and maps of regions: found, read, fitted."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from stylepipe.errors import ItemError, NoMask, UsageError
from stylepipe.patterns import title
from stylepipe.pictures import PICTURE_SUFFIXES, open_picture
from stylepipe.types import Item

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

TOLERANCE = 0.02
"""A picture of another size is scaled if its aspect ratio is this near to what it is laid over."""


class MaskFiles:
    """A picture for all items, or a folder that holds one for each, of the same name and
    sub-folder; for a film it may hold a folder of that name, with a picture for each frame."""

    def __init__(self, path: Path, what: str) -> None:
        """what: "mask" or the like, for messages. Nothing is looked for yet."""
        self._path, self._what = path, what
        self._stills: dict[Path, Path] | None = None
        self._films: dict[Path, list[Path]] = {}
        """Both by their paths in the folder, without suffix."""

    def check(self) -> None:
        """Look for the files, once. Raises UsageError if there are none."""
        if self._path.is_dir():
            if self._stills is None:
                self._index()
        elif not self._path.is_file():
            raise UsageError(
                f"there is no {self._what} at {self._path}; name a picture, or a folder of them"
            )

    def find(self, item: Item, index: int) -> Path:
        """The picture for a frame, counted from 0. Raises ItemError."""
        files = self.all(item)
        if files[0].parent in [self._path / name for name in _names(item)]:  # one a frame
            if index >= len(files):
                raise ItemError(
                    f"frame {index + 1} has no {self._what}; {files[0].parent} holds {len(files)}"
                )
            return files[index]
        return files[0]

    def all(self, item: Item) -> tuple[Path, ...]:
        """The picture for all frames of an item, or those of its frames. Raises NoMask."""
        self.check()
        if self._stills is None:
            return (self._path,)
        names = _names(item)
        for name in names:
            if name in self._stills:
                return (self._stills[name],)
        for name in names:
            if name in self._films:
                return tuple(self._films[name])
        full, bare = (self._path / name for name in names)
        raise NoMask(f"it has no {self._what}; looked for {full}.*, {bare}.* and the folder {bare}")

    def _index(self) -> None:
        files: list[Path] = []
        for folder, folders, names in os.walk(self._path):
            folders[:] = [name for name in folders if not name.startswith(".")]
            found = [name for name in names if not name.startswith(".")]
            files += [Path(folder, n) for n in found if Path(n).suffix.lower() in PICTURE_SUFFIXES]
        if not files:
            raise UsageError(
                f"the folder {self._path} holds no pictures, of which each could be a {self._what} "
                f"({' '.join(PICTURE_SUFFIXES)})"
            )
        self._stills = {}
        for file in sorted(files, key=_natural):
            name = file.relative_to(self._path).with_suffix("")
            self._stills.setdefault(name, file)
            self._films.setdefault(name.parent, []).append(file)


@contextmanager
def opened(file: Path, max_pixels: int, what: str) -> Iterator[Image]:
    """A mask or the like, upright. Raises ItemError if it cannot be read, or is too large."""
    from PIL import ImageOps

    try:
        with open_picture(file, max_pixels) as picture:
            yield ImageOps.exif_transpose(picture)
    except ItemError as error:
        raise ItemError(f"the {what} {file} cannot be read: {error}") from error


def fitted(
    plane: NDArray[np.float32], size: Sequence[int], file: Path, what: str
) -> NDArray[np.float32]:
    """A plane h w of a file in the size H W of what it is laid over. Raises ItemError if their
    proportions differ."""
    import cv2

    (h, w), (height, width) = plane.shape, size
    if (h, w) == (height, width):
        return plane
    if not _alike(w / h, width / height):
        reason = (
            f"the {what} {file} is {w}x{h}, but the picture {width}x{height}: it must have the "
            "picture's size, or at least its proportions"
        )
        if _alike(h / w, width / height):
            reason += (
                "; it lies on its side, as if drawn over a photo that is shown turned by its EXIF "
                "orientation: turn it by 90 degrees"
            )
        raise ItemError(reason)
    how = cv2.INTER_AREA if w > width else cv2.INTER_LINEAR
    return cast("NDArray[np.float32]", cv2.resize(plane, (width, height), interpolation=how))


def _names(item: Item) -> tuple[Path, Path]:
    """What a picture for an item may be called, without its own suffix: ``photo.jpg``, which
    distinguishes ``photo.jpg.png`` from ``photo.png``, or ``photo``."""
    return item.relative, item.relative.with_name(title(item.source))


def _alike(one: float, other: float) -> bool:
    return abs(other / one - 1) <= TOLERANCE


def _natural(file: Path) -> list[tuple[int, str]]:
    """Sort key that puts frame 2 before frame 10."""
    parts = re.findall(r"\d+|\D+", str(file))
    return [(int(p), "") if p.isdigit() else (-1, p) for p in parts]
