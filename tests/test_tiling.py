"""Tiles cover a picture exactly once and see as far as they are told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylepipe.tiling import tiles


@given(
    height=st.integers(1, 60), width=st.integers(1, 60),
    side=st.integers(1, 70), receptive_radius=st.integers(0, 20),
)  # fmt: skip
def test_every_pixel_is_in_one_core(
    height: int, width: int, side: int, receptive_radius: int
) -> None:
    seen = [[0] * width for _ in range(height)]
    for tile in tiles(height, width, side, receptive_radius):
        top, bottom, left, right = tile.core
        y0, y1, x0, x1 = tile.window
        assert bottom - top <= side and right - left <= side
        assert (y0, x0) == (max(top - receptive_radius, 0), max(left - receptive_radius, 0))
        assert (y1, x1) == (
            min(bottom + receptive_radius, height),
            min(right + receptive_radius, width),
        )
        rows, columns = tile.inside
        assert (y0 + rows.start, y0 + rows.stop) == (top, bottom)
        assert (x0 + columns.start, x0 + columns.stop) == (left, right)
        for y in range(top, bottom):
            for x in range(left, right):
                seen[y][x] += 1
    assert seen == [[1] * width for _ in range(height)]


@pytest.mark.parametrize("size", [(0, 4, 2, 0), (4, 4, 0, 0), (4, 4, 2, -1)])
def test_nonsense_is_refused(size: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="cannot tile"):
        list(tiles(*size))
