"""Pictures drawn over items and paintings, masks and maps of regions: found, read, fitted."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from stylepipe.errors import ItemError, NoMask, UsageError
from stylepipe.patterns import Pattern, frame_number, title
from stylepipe.pictures import PICTURE_SUFFIXES, open_picture
from stylepipe.types import Info, Item

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

_NUMBER = re.compile(r"(.*?)([0-9]{1,18})", re.DOTALL)
_ORIENTATION, _ON_ITS_SIDE = 0x0112, 5
"""The EXIF tag, and the least of its values that mean a quarter turn."""
TOLERANCE = 0.02
"""A picture of another size is scaled if its aspect ratio is this near to what it is laid over."""


class MaskFiles:
    """A picture for all items, or a folder that holds one for each, of the same name and
    sub-folder; for a film it may hold a folder of that name, with pictures of its frames.

    Those are found by the number that their names end in: ``000001.png`` is of the first frame, or
    ``000000.png`` where there is one; of a film of numbered pictures, the number of the picture
    counts.
    """

    def __init__(self, path: Path, what: str) -> None:
        """what: "mask" or the like, for messages. Nothing is looked for yet."""
        self._path, self._what = path, what
        self._stills: dict[Path, Path] | None = None
        self._films: dict[Path, list[Path]] = {}
        """Both by their paths in the folder, without suffix."""
        self._sizes: dict[Path, tuple[int, int]] = {}
        """Width and height, upright, of pictures that were looked at."""
        self._numbers: dict[Path, dict[int, Path]] = {}
        """By the folder of a film, the pictures of its frames."""

    def check(self) -> None:
        """Look for the files, once. Raises UsageError if there are none."""
        if self._path.is_dir():
            if self._stills is None:
                self._index()
        elif not self._path.is_file():
            raise UsageError(
                f"there is no {self._what} at {self._path}; name a picture, or a folder of them"
            )

    def check_item(self, item: Item, info: Info) -> None:
        """Check that there is one for an item, and for each frame of a film whose frames are known,
        and that all are of its proportions. Raises ItemError, or NoMask where there is none at all.
        """
        files = [self.find(item, index, name) for index, name in self._known(item, info)]
        for file in files or (self.given(item) or {}).values() or self.all(item)[:1]:
            self._check_shape(file, info)

    def _known(self, item: Item, info: Info) -> list[tuple[int, str]]:
        """The frames to be painted, as :meth:`find` takes them; none where they are not known."""
        if info.kind != "video":
            return [(0, "")]
        pattern = Pattern.of(info.details.get("sequence", ""))
        if pattern is None:
            # A film that is cut, or has no index, is counted when it is read.
            return [(index, "") for index in info.chosen or range(info.frames or 1)]
        if info.details.get("missing"):
            return []
        first, last = (int(n) for n in info.details["numbers"].split("-"))
        names = [Path(pattern.name(number)).stem for number in range(first, last + 1)]
        return [(index, names[index]) for index in info.chosen or range(len(names))]

    def _check_shape(self, file: Path, info: Info) -> None:
        """Raises ItemError for a picture whose header speaks of other proportions."""
        if file not in self._sizes:
            with opened_header(file, self._what) as picture:
                turned = picture.getexif().get(_ORIENTATION, 1) >= _ON_ITS_SIDE
                self._sizes[file] = picture.size[::-1] if turned else picture.size
        width, height = self._sizes[file]
        check_proportions((height, width), (info.height, info.width), file, self._what)

    def find(self, item: Item, index: int, name: str = "") -> Path:
        """The picture for a frame: its position from 0, and the name that it has as a numbered
        picture. Raises ItemError, or NoMask where the item has none at all."""
        given = self.given(item)
        if given is None:
            return self.all(item)[0]
        number = self.number(item, index, name)
        if number not in given:
            first, *_, last = [*given.values()] * 2
            raise ItemError(
                f"frame {frame_number(index, name)} has no {self._what}; {first.parent} holds "
                f"{len(given)}, {first.name} to {last.name}: draw those that are missing, or pass "
                "--mask-carry"
            )
        return given[number]

    def number(self, item: Item, index: int, name: str = "") -> int:
        """The number that a picture for a frame has. Raises ItemError."""
        given = self.given(item)
        return frame_number(index, name) if given is None or 0 not in given or name else index

    def given(self, item: Item) -> dict[int, Path] | None:
        """Of a film that has pictures for its frames, these by their growing numbers; None where
        one picture is for all. Raises ItemError, or NoMask where the item has none at all."""
        files = self.all(item)
        folder = files[0].parent
        if folder not in [self._path / name for name in _names(item)]:
            return None
        if folder not in self._numbers:
            self._numbers[folder] = _numbered(files, self._what)
        return self._numbers[folder]

    def check_frames(self, item: Item, info: Info) -> None:
        """Raises ItemError for a picture of a frame that a film does not have, be it before
        ``--start`` or after ``--end``."""
        for number, file in (self.given(item) or {}).items():
            self._check_shape(file, info)
            if not self._may_have(item, info, number):
                first = self.number(item, 0)
                there = info.details.get("numbers") or f"{first}-{first + (info.frames or 1) - 1}"
                raise ItemError(
                    f"the {self._what} {file} is of a frame that the film does not have: its "
                    f"frames are numbered {there.replace('-', ' to ')}"
                )

    def _may_have(self, item: Item, info: Info, number: int) -> bool:
        names = Pattern.of(info.details.get("sequence", ""))
        if names is None:
            return info.frames is None or number < self.number(item, 0) + info.frames
        first, last = (int(n) for n in info.details["numbers"].split("-"))
        folder = item.source if item.source.is_dir() else item.source.parent
        return first <= number <= last or (folder / names.name(number)).exists()

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


@contextmanager
def opened_header(file: Path, what: str) -> Iterator[Image]:
    """A mask or the like, of which only the header is wanted. Raises ItemError."""
    from stylepipe.media.opener import opened as opened_file

    try:
        with opened_file(file, sys.maxsize) as found:
            if found is None:
                raise ItemError("it is a film")
            yield found.picture
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
    check_proportions((h, w), size, file, what)
    how = cv2.INTER_AREA if w > width else cv2.INTER_LINEAR
    return cast("NDArray[np.float32]", cv2.resize(plane, (width, height), interpolation=how))


def check_proportions(own: tuple[int, int], size: Sequence[int], file: Path, what: str) -> None:
    """Raises ItemError for a file of h w pixels that cannot be laid over H W."""
    (h, w), (height, width) = own, size
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


def _names(item: Item) -> tuple[Path, Path]:
    """What a picture for an item may be called, without its own suffix: ``photo.jpg``, which
    distinguishes ``photo.jpg.png`` from ``photo.png``, or ``photo``."""
    return item.relative, item.relative.with_name(title(item.source))


def _numbered(files: Sequence[Path], what: str) -> dict[int, Path]:
    """Pictures of frames by the numbers that their names end in. Raises ItemError."""
    found: dict[int, Path] = {}
    first: tuple[str, Path] | None = None
    for file in files:
        parts = _NUMBER.fullmatch(file.stem)
        if parts is None:
            raise ItemError(
                f"the {what} {file} has no number at the end of its name, which says of which "
                "frame it is: 000001 is the first one"
            )
        prefix, number = parts[1], int(parts[2])
        first = first or (prefix, file)
        if prefix != first[0] or number in found:
            other = found.get(number, first[1])
            raise ItemError(
                f"{other} and {file.name} are not of one series of {what}s, with one name and a "
                "number for each frame; move one of them elsewhere"
            )
        found[number] = file
    return dict(sorted(found.items()))


def _alike(one: float, other: float) -> bool:
    return abs(other / one - 1) <= TOLERANCE


def _natural(file: Path) -> list[tuple[int, str]]:
    """Sort key that puts frame 2 before frame 10."""
    parts = re.findall(r"\d+|\D+", str(file))
    return [(int(p), "") if p.isdigit() else (-1, p) for p in parts]
