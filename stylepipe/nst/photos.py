"""Pictures for training: read, crop, scale and flip; the same again for the same seed."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

CACHE_BYTES = 1 << 30
GRID, FEW, FLAT = 64, 8, 0.9
"""Sampled on a grid of so many positions a side, a picture in which so few colors cover more than
this part is a mask or a flat drawing. Photos stay below 0.7, even on a white background."""
Read = Callable[[Path], NDArray[np.uint8]]
"""Reads a picture as H W 3, sRGB, upright. Raises UnreadablePicture."""


class UnreadablePicture(ValueError):
    """A picture that cannot be read; the sentence names it."""


def scale_to(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Scale H W 3 so that its short side has `side` pixels."""
    h, w = picture.shape[:2]
    factor = side / min(h, w)
    size = (max(side, round(w * factor)), max(side, round(h * factor)))
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return cv2.resize(picture, size, interpolation=method)  # type: ignore[return-value]


def is_flat(picture: NDArray[np.uint8]) -> bool:
    """Whether H W 3 is a mask, a label map or a flat drawing rather than a photo."""
    sampled = cv2.resize(picture, (GRID, GRID), interpolation=cv2.INTER_NEAREST)
    _, counts = np.unique(sampled.reshape(-1, 3), axis=0, return_counts=True)
    return bool(np.sort(counts)[-FEW:].sum() > FLAT * GRID**2)


def to_tensor(picture: NDArray[np.uint8]) -> Tensor:
    """H W 3 in 0..255 -> 3 H W in [0,1]."""
    return torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1).float() / 255.0


def load_picture(read: Read, path: Path, side: int, trim: float = 0.0) -> Tensor:
    """A picture as 1 3 H W in [0,1], scaled down to a short side of `side` if it is larger.

    trim: the part of each side to cut off first. Raises UnreadablePicture.
    """
    picture = read(path)
    top, left = (round(trim * s) for s in picture.shape[:2])
    picture = picture[top : picture.shape[0] - top, left : picture.shape[1] - left]
    if min(picture.shape[:2]) > side:
        picture = scale_to(picture, side)
    return to_tensor(picture)[None]


def picture_identities(paths: Sequence[Path]) -> list[tuple[str, int]]:
    """What identifies the pictures of a training: their sizes, and their paths below their common
    folder, which may move.
    """
    real = [path.resolve() for path in paths]
    common = Path(os.path.commonpath([path.parent for path in real]))
    return [(path.relative_to(common).as_posix(), path.stat().st_size) for path in real]


@dataclass
class _Cache:
    """Pictures in memory, which the photos of several seeds share, with their sum in bytes."""

    pictures: dict[Path, NDArray[np.uint8]] = field(default_factory=dict)
    nbytes: int = 0


class Photos:
    """An endless supply of batches of square crops; step n's batch is a function of the seed.

    A crop comes from a photo scaled so that its short side is `size` to `zoom * size` pixels.
    color_jitter: the part of the crops that get other colors (see recolored). flat: whether masks
    and flat drawings count too: of a crop of one color a network can only make one flat field,
    which a training takes for its collapse. Photos are read at once while they fit in memory, the
    rest when they are drawn. warnings: a sentence for each photo left out. Raises ValueError where
    none serves.
    """

    def __init__(
        self,
        read: Read,
        paths: Sequence[Path],
        size: int,
        zoom: float,
        seed: int,
        color_jitter: float = 0.0,
        flat: bool = False,
    ) -> None:
        self._read = read
        self._flat = flat
        self.size = size
        self.zoom = zoom
        self.seed = seed
        self.color_jitter = color_jitter
        self.warnings: list[str] = []
        self.paths: list[Path] = []
        self._cache = _Cache()
        self._unfit: set[Path] = set()
        if not paths:
            raise ValueError("no photos to train on")
        for path in sorted(paths):
            if self._cache.nbytes >= CACHE_BYTES or self._picture(path) is not None:
                self.paths.append(path)
        if not self.paths:
            raise ValueError(f"none of the {len(paths)} photos serves: {self.warnings[0]}")

    def reseeded(self, seed: int) -> Photos:
        """The same photos, kept in memory once, in the batches of another seed."""
        other = copy.copy(self)
        other.seed = seed
        return other

    def share_warnings(self, other: Photos) -> None:
        """Share one list of warnings with others, in chronological order."""
        other.warnings += self.warnings
        self.warnings = other.warnings

    def _picture(self, path: Path) -> NDArray[np.uint8] | None:
        """The photo, no larger than needed; kept in memory while there is room. None, and a
        warning, where it cannot be read or is none."""
        if path in self._cache.pictures:
            return self._cache.pictures[path]
        if path in self._unfit:
            return None
        try:
            picture = self._read(path)
        except UnreadablePicture as error:
            self.warnings.append(str(error))
            self._unfit.add(path)
            return None
        if not self._flat and is_flat(picture):
            self.warnings.append(f"{path} is left out: a mask or a flat drawing, not a photo")
            self._unfit.add(path)
            return None
        largest = round(self.size * self.zoom)
        if min(picture.shape[:2]) > largest:
            picture = scale_to(picture, largest)
        if self._cache.nbytes < CACHE_BYTES:
            self._cache.pictures[path] = picture
            self._cache.nbytes += picture.nbytes
        return picture

    def batch(self, step: int, count: int) -> Tensor:
        """Batch number `step`: count 3 size size in [0,1].

        Raises FileNotFoundError where no photo serves any more.
        """
        rng = np.random.default_rng((self.seed, 0, step))
        return torch.stack([self._crop(rng) for _ in range(count)])

    def _crop(self, rng: np.random.Generator) -> Tensor:
        picture = None
        while picture is None:
            if self._unfit.issuperset(self.paths):
                raise FileNotFoundError(f"no photo serves any more: {self.warnings[-1]}")
            picture = self._picture(self.paths[int(rng.integers(len(self.paths)))])
        h, w = picture.shape[:2]
        # Cut first, then scale: the cost is that of the crop, not of the photo.
        side = min(h, w) / float(rng.uniform(1.0, self.zoom))
        cut = max(1, round(side))
        top, left = int(rng.integers(h - cut + 1)), int(rng.integers(w - cut + 1))
        crop = picture[top : top + cut, left : left + cut]
        crop = scale_to(crop, self.size) if cut != self.size else crop
        if rng.random() < 0.5:
            crop = crop[:, ::-1]
        result = to_tensor(crop)
        return recolored(result, rng) if rng.random() < self.color_jitter else result


def recolored(picture: Tensor, rng: np.random.Generator) -> Tensor:
    """A picture 3 H W in [0,1] with 0.5 to 3 times its saturation, every third time with its
    channels swapped too. Photos hold few of the colors that a user's pictures will show.
    """
    gray = picture.mean(dim=0, keepdim=True)
    picture = (gray + float(rng.uniform(0.5, 3.0)) * (picture - gray)).clamp(0.0, 1.0)
    if rng.random() < 1 / 3:
        picture = picture[torch.from_numpy(rng.permutation(3))]
    return picture


def write_grid(path: Path, rows: Sequence[Sequence[Tensor]]) -> None:
    """Write rows of pictures (1 3 H W each; one shape within a row) as one PNG."""
    width = max(sum(p.shape[3] for p in row) for row in rows)
    strips = []
    for row in rows:
        joined = torch.cat(list(row), dim=3)[0].clamp(0.0, 1.0)
        strip = (joined * 255.0).round().byte().permute(1, 2, 0).contiguous().numpy()
        strips.append(np.pad(strip, ((0, 0), (0, width - strip.shape[1]), (0, 0))))
    ok, data = cv2.imencode(".png", cv2.cvtColor(np.concatenate(strips), cv2.COLOR_RGB2BGR))
    if not ok:
        raise ValueError(f"cannot encode {path}")
    path.write_bytes(data.tobytes())
