"""Runs a universal network on pictures of any size, in bounded memory, without a seam.

The network's convolutions see a neighborhood only, so they work on tiles with some room around
them; the statistics of photo and painting are those of the whole picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil

import torch
from torch import Tensor

from stylepipe.tiling import tiles

from .budget import NotEnoughMemory
from .networks import NORM_EPS
from .norms import channel_moments
from .optimize import resize, size_of
from .paintings import Painting, Size
from .recent import Remember, alone
from .steady import averaged
from .universal import UniversalNetwork, moments, whole_fours

CELL = 4
"""Pixels of a side of the picture for one feature."""
LEAST = 64
"""Pixels that a painting's side is not scaled below."""
SMALLEST_TILE, LARGEST_TILE = 64, 512
"""In features."""
BYTES_PER_PIXEL = 42
"""Bytes by pixel of the photo, as for restyle.Restyler."""


class UniversalEngine:
    """A universal network, made ready for one device.

    dtype: what convolutions compute in. memory: bytes that the work may take.
    """

    def __init__(
        self, net: UniversalNetwork, device: torch.device, dtype: torch.dtype, memory: int
    ) -> None:
        net = net.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        for module in net.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.to(dtype)
        self.net, self.memory, self.itemsize = net, memory, dtype.itemsize
        spec = net.spec
        self._room = 2 * spec.blocks + 2
        """Features around a tile: what the blocks of one part of the network see, and the
        convolutions before or after them."""
        # At half of the size: the map that grows, its padded copy, and two results.
        self._by_tile = self.itemsize * (2 * spec.deep + 3 * spec.wide) / 4 + 24

    @torch.no_grad()
    def code(self, paintings: Sequence[Painting], size: Size) -> Tensor:
        """1 x numbers: the mean of the paintings' codes, by their weights. Each painting is seen in
        the photo's size, as far as it has so many pixels. Raises NotEnoughMemory, as paint() does
        for a photo of this size.
        """
        total, tile = sum(p.weight for p in paintings), self._tile(*size)
        codes = [
            self.net.code_of(self._moments(p, size, tile)) * (p.weight / total) for p in paintings
        ]
        return torch.stack(codes).sum(dim=0)

    def _moments(self, painting: Painting, size: Size, tile: int) -> list[tuple[Tensor, Tensor]]:
        """Mean and deviation, 1 C each, of each of the style encoder's maps."""
        picture = whole_fours(resize(painting.picture, painting.size_for(size, 1.0, LEAST)))
        rows, columns = (side // CELL for side in size_of(picture))
        parts, shares = [], []
        for part in tiles(rows, columns, tile, self._room):
            maps = self.net.style(_window(picture, part.window))
            # The first has half of the picture's size.
            inside = [_scaled(part.inside, 1 if index else 2) for index in range(len(maps))]
            parts.append([moments(m[..., i[0], i[1]]) for m, i in zip(maps, inside, strict=True)])
            top, bottom, left, right = part.core
            shares.append((bottom - top) * (right - left) / (rows * columns))
        return [_pooled(own, shares) for own in zip(*parts, strict=True)]

    @torch.no_grad()
    def paint(self, photo: Tensor, code: Tensor, remember: Remember = alone) -> Tensor:
        """photo: 1 3 H W in [0,1]. remember: for films, see recent.Remember. Returns 1 3 H W in
        [0,1]. Raises NotEnoughMemory.
        """
        height, width = size_of(photo)
        style, tile = self.net.read(code), self._tile(height, width)
        picture = whole_fours(photo)
        rows, columns = (side // CELL for side in size_of(picture))

        def seen(top: int, bottom: int, left: int, right: int) -> Tensor:
            found: Tensor = self.net.content(_window(picture, (top, bottom, left, right)))[-1]
            return found

        maps = _tiled(seen, (rows, columns), tile, self._room, 1)
        for index, (aim, stage) in enumerate(
            zip(style.aims, (self.net.begin, self.net.finish), strict=True)
        ):
            source = _restated(maps, aim, remember, index)

            def changed(top: int, bottom: int, left: int, right: int) -> Tensor:
                return stage(source[..., top:bottom, left:right], style)  # noqa: B023

            maps = _tiled(changed, (rows, columns), tile, self._room, CELL if index else 1)
        return maps[..., :height, :width].clamp_(0.0, 1.0)

    def _tile(self, height: int, width: int) -> int:
        """The side of the tiles, in features. Raises NotEnoughMemory."""
        features = self.net.spec.deep * self.itemsize / CELL**2
        fixed = height * width * (BYTES_PER_PIXEL + 2 * features)
        spare = self.memory - fixed
        around = 2 * self._room
        least = min(CELL * (SMALLEST_TILE + around), max(height, width)) ** 2 * self._by_tile
        if least > spare:
            raise NotEnoughMemory(
                f"to paint {width}x{height} pixels takes {ceil(fixed + least) >> 20} MiB of "
                f"memory, even in tiles, and {self.memory >> 20} MiB are allowed: make the "
                "picture smaller, or allow more",
                ceil(fixed + least),
            )
        side = int((spare / self._by_tile) ** 0.5) // CELL - around
        return min(max(side, SMALLEST_TILE), LARGEST_TILE)


def _tiled(
    make: Callable[[int, int, int, int], Tensor], size: Size, tile: int, room: int, scale: int
) -> Tensor:
    """What ``make`` makes of the rows and columns of a window, put together. room: features around
    a tile. scale: pixels of a result's side for one feature of the window's.
    """
    result: Tensor | None = None
    for part in tiles(*size, tile, room):
        found = make(*part.window)
        if result is None:
            if found.shape[2:] == (scale * size[0], scale * size[1]):
                return found
            result = torch.empty(
                (*found.shape[:2], scale * size[0], scale * size[1]),
                dtype=found.dtype,
                device=found.device,
                memory_format=torch.channels_last,
            )
        top, bottom, left, right = (edge * scale for edge in part.core)
        rows, columns = _scaled(part.inside, scale)
        result[..., top:bottom, left:right] = found[..., rows, columns]
    assert result is not None
    return result


def _window(picture: Tensor, window: tuple[int, int, int, int]) -> Tensor:
    """The pixels of a window of features."""
    top, bottom, left, right = (CELL * edge for edge in window)
    return picture[..., top:bottom, left:right]


def _scaled(inside: tuple[slice, slice], scale: int) -> tuple[slice, slice]:
    rows, columns = (slice(s.start * scale, s.stop * scale) for s in inside)
    return rows, columns


def _pooled(
    parts: Sequence[tuple[Tensor, Tensor]], shares: Sequence[float]
) -> tuple[Tensor, Tensor]:
    """Mean and deviation of a whole, from those of its parts, which have these shares in it."""
    if len(parts) == 1:
        return parts[0]
    means, deviations = (torch.stack(values) for values in zip(*parts, strict=True))
    weights = means.new_tensor(shares).view(-1, 1, 1)
    mean = (weights * means).sum(dim=0)
    variance = (weights * (deviations.square() + (means - mean).square())).sum(dim=0)
    return mean, variance.sqrt()


def _restated(maps: Tensor, aim: tuple[Tensor, Tensor], remember: Remember, which: int) -> Tensor:
    """Give features 1 C h w, in place, another mean and deviation, 1 C each. The deviation that
    they had is the mean over a film's last frames: that of each frame alone would make the picture
    pulse.
    """
    mean, variance = channel_moments(maps)
    deviation = (variance + NORM_EPS).sqrt()
    frames = remember(("deviation", which), deviation)
    if len(frames) > 1:
        deviation = averaged(frames)
    gain = aim[1] / deviation[None]
    shift = aim[0] - mean * gain
    gain, shift = (t.to(maps.dtype)[:, :, None, None] for t in (gain, shift))
    return torch.addcmul(shift, maps, gain, out=maps)
