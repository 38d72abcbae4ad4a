"""Cuts large pictures into tiles, and puts what was made of them together without a seam."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Tile:
    """A part of a picture: ``core`` is kept, ``window`` is what must be seen to make it.

    Both are (top, bottom, left, right) in pixels of the picture.
    """

    core: tuple[int, int, int, int]
    window: tuple[int, int, int, int]

    @property
    def inside(self) -> tuple[slice, slice]:
        """The core's rows and columns, counted from the window's corner."""
        (top, bottom, left, right), (y, _, x, _) = self.core, self.window
        return slice(top - y, bottom - y), slice(left - x, right - x)


def tiles(height: int, width: int, side: int, receptive_radius: int) -> Iterator[Tile]:
    """Cover a picture with tiles whose cores are at most ``side`` pixels wide and high.

    The cores neither overlap nor leave a gap. Windows are ``reach`` pixels larger on each side but
    end where the picture ends, so that whatever happens at its border happens there only. Raises
    ValueError unless height, width and side are positive and reach is not negative.
    """
    if min(height, width, side) < 1 or receptive_radius < 0:
        raise ValueError(
            f"cannot tile {width}x{height} by {side} with a receptive radius of {receptive_radius}"
        )
    for top, bottom in _cuts(height, side):
        for left, right in _cuts(width, side):
            window = (
                max(top - receptive_radius, 0),
                min(bottom + receptive_radius, height),
                max(left - receptive_radius, 0),
                min(right + receptive_radius, width),
            )
            yield Tile((top, bottom, left, right), window)


def _cuts(length: int, side: int) -> list[tuple[int, int]]:
    count = -(-length // side)
    return [(length * i // count, length * (i + 1) // count) for i in range(count)]
