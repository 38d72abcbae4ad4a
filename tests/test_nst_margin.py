"""Room around a picture: extended and cut, at every size the same part remains."""

import pytest
import torch

from stylepipe.nst.margin import MIN_MARGIN, Margin


@pytest.mark.parametrize(("height", "width"), [(64, 64), (481, 321), (3000, 4000), (9, 700)])
def test_what_was_extended_is_cut_off_again(height: int, width: int) -> None:
    margin = Margin.around(height, width)
    picture = torch.rand(1, 1, height, width)
    large = margin.extend(picture)
    assert margin.pixels >= min(MIN_MARGIN, height - 1)
    assert large.shape[-1] == width + 2 * margin.pixels
    assert torch.equal(margin.cut(large), picture)
    assert torch.equal(large[..., margin.pixels - 1, margin.pixels], picture[..., 1, 0])


def test_at_a_smaller_size_the_same_part_remains() -> None:
    margin = Margin.around(400, 600)
    size = 43, 63  # of 430 x 630
    assert margin.inside(size) == tuple(margin.cut(torch.zeros(1, 1, *size)).shape[-2:])
    height, width = margin.inside(size)
    assert abs(height - 40) <= 2 and abs(width - 60) <= 2
