"""Room around a picture while it is optimized, cut off in the end."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

MARGIN_SHARE = 0.025
"""Of the long side: enough at the smallest size, where a pixel is many in the end."""
MIN_MARGIN = 8


@dataclass(frozen=True)
class Margin:
    """Pixels that pictures are extended by, by reflection.

    Padding makes a network see other features at a picture's border than inside; an optimizer
    pays for that with a frame of garish pixels, which so lies outside of what is kept.
    """

    height: int
    width: int
    pixels: int

    @classmethod
    def around(cls, height: int, width: int) -> Margin:
        """The margin that a picture of this size needs, as far as it can be reflected."""
        wanted = max(MIN_MARGIN, round(MARGIN_SHARE * max(height, width)))
        return cls(height, width, min(wanted, height - 1, width - 1))

    @property
    def outer(self) -> tuple[int, int]:
        """Height and width of what is extended."""
        return self.height + 2 * self.pixels, self.width + 2 * self.pixels

    def extend(self, picture: Tensor) -> Tensor:
        """N C H W of the picture's size -> N C H+2p W+2p."""
        p = self.pixels
        return F.pad(picture, (p, p, p, p), mode="reflect")

    def inside(self, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width of what is kept of an extended picture in some size."""
        rows, columns = self._edges(*size)
        return size[0] - 2 * rows, size[1] - 2 * columns

    def cut(self, picture: Tensor) -> Tensor:
        """What is kept of an extended picture in some size, N C h w."""
        height, width = picture.shape[-2:]
        rows, columns = self._edges(height, width)
        return picture[..., rows : height - rows, columns : width - columns]

    def _edges(self, height: int, width: int) -> tuple[int, int]:
        rows = round(self.pixels * height / (self.height + 2 * self.pixels))
        return rows, round(self.pixels * width / (self.width + 2 * self.pixels))
