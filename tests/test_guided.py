"""Guided filters against their definition, written down pixel by pixel."""

import numpy as np
import pytest
import tinyencoder
import torch
from torch import Tensor

from stylepipe.nst import guided
from stylepipe.nst.guided import (
    apply_affine,
    box_mean,
    fast_guided_filter,
    guided_filter,
    local_affine,
)

GUIDE = tinyencoder.picture(13, 17, 1)
TARGET = torch.cat([tinyencoder.picture(13, 17, 2), GUIDE[:, :1] ** 2], dim=1)


def windows(height: int, width: int, radius: int) -> list[tuple[slice, slice]]:
    """The squares around all pixels, row by row, cut off at the borders."""
    return [
        (slice(max(y - radius, 0), y + radius + 1), slice(max(x - radius, 0), x + radius + 1))
        for y in range(height)
        for x in range(width)
    ]


def naive(guide: Tensor, target: Tensor, radius: int, eps: float) -> np.ndarray:
    """He, Sun, Tang (2010), eq. 14 to 16, of pictures 1 C H W: C H W."""
    p, t = (x[0].double().numpy() for x in (guide, target))
    _, height, width = p.shape
    found = []
    for rows, columns in windows(height, width, radius):
        near, wanted = (x[:, rows, columns].reshape(len(x), -1) for x in (p, t))
        spread = np.cov(near, bias=True) + eps * np.eye(3)
        both = (near - near.mean(1, keepdims=True)) @ wanted.T / near.shape[1]
        slope = np.linalg.solve(spread, both)
        offset = wanted.mean(1) - slope.T @ near.mean(1)
        found.append(np.vstack([slope, offset]))
    functions = np.array(found).reshape(height, width, 4, -1)
    result = np.empty_like(t)
    for index, (rows, columns) in enumerate(windows(height, width, radius)):
        y, x = divmod(index, width)
        mean = functions[rows, columns].mean(axis=(0, 1))
        result[:, y, x] = p[:, y, x] @ mean[:3] + mean[3]
    return result


@pytest.mark.parametrize("radius", [0, 1, 4, 40])
def test_box_mean_is_the_mean_of_what_lies_inside(radius: int) -> None:
    found = box_mean(TARGET, radius)[0].numpy()
    for index, (rows, columns) in enumerate(windows(13, 17, radius)):
        y, x = divmod(index, 17)
        mean = TARGET[0, :, rows, columns].mean(dim=(1, 2)).numpy()
        assert np.abs(found[:, y, x] - mean).max() < 1e-6


def test_box_mean_is_exact_far_along_a_long_row() -> None:
    row = torch.full((1, 1, 1, 200_000), 0.7)
    assert (box_mean(row, 2) - 0.7).abs().max() < 1e-6


@pytest.mark.parametrize("radius, eps", [(1, 1e-2), (3, 1e-4), (30, 1e-3)])
def test_the_filter_does_what_its_definition_says(radius: int, eps: float) -> None:
    found = guided_filter(GUIDE, TARGET, radius, eps)[0].numpy()
    assert np.abs(found - naive(GUIDE, TARGET, radius, eps)).max() < 2e-4


def test_pieces_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    guide, target = tinyencoder.picture(50, 61, 1), tinyencoder.picture(50, 61, 2)[:, :1]
    whole = guided_filter(guide, target, 3, 1e-3)
    fast = fast_guided_filter(guide, target, 8, 1e-3)
    monkeypatch.setattr(guided, "TILE", 16)
    monkeypatch.setattr(guided, "STRIP", 200)
    assert (guided_filter(guide, target, 3, 1e-3) - whole).abs().max() < 1e-5
    assert (fast_guided_filter(guide, target, 8, 1e-3) - fast).abs().max() < 1e-5


def test_a_blurred_mask_gets_the_edge_of_the_photo() -> None:
    photo = torch.zeros(1, 3, 64, 96)
    photo[..., 41:] = torch.tensor([0.9, 0.5, 0.2]).view(1, 3, 1, 1)
    mask = (photo[:, :1] > 0).float()
    soft = box_mean(mask, 6)
    for found in (
        guided_filter(photo, soft, 12, 1e-4),
        fast_guided_filter(photo, soft, 12, 1e-4),
        fast_guided_filter(photo, torch.nn.functional.avg_pool2d(soft, 8), 12, 1e-4),
    ):
        steps = found.diff(dim=3)[0, 0]
        assert (steps.argmax(dim=1) == 40).all()
        assert steps[:, 40].min() > 3 * soft.diff(dim=3).max()


def test_the_fast_filter_without_a_step_is_the_filter() -> None:
    exact = guided_filter(GUIDE, TARGET, 3, 1e-3)
    assert torch.equal(fast_guided_filter(GUIDE, TARGET, 3, 1e-3, step=1), exact)


def test_the_fast_filter_is_near_the_filter() -> None:
    guide, target = tinyencoder.picture(80, 96, 1), tinyencoder.picture(80, 96, 2)
    exact = guided_filter(guide, target, 16, 1e-2)
    near = fast_guided_filter(guide, target, 16, 1e-2)
    assert (near - exact).abs().mean() < 0.1 * (target - exact).abs().mean()


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (200, 2)])
def test_any_size_serves(size: tuple[int, int]) -> None:
    guide, target = torch.rand(2, 3, *size), torch.full((2, 1, *size), 0.3)
    for found in (
        guided_filter(guide, target, 5, 1e-3),
        fast_guided_filter(guide, target, 5, 1e-3),
    ):
        assert (found - 0.3).abs().max() < 1e-6


def test_functions_of_a_copy_serve_the_photo() -> None:
    photo = tinyencoder.picture(64, 80, 4)
    small = torch.nn.functional.interpolate(photo, (16, 20), mode="area")
    functions = local_affine(small, 0.5 * small + 0.2, 2, 1e-8)
    assert (apply_affine(functions, photo) - (0.5 * photo + 0.2)).abs().max() < 1e-3


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="a radius is 0 or more, not -1"):
        box_mean(GUIDE, -1)
    with pytest.raises(ValueError, match="radius must be 0 or more"):
        guided_filter(GUIDE, TARGET, -1, 1e-3)
    with pytest.raises(ValueError, match="eps above 0"):
        guided_filter(GUIDE, TARGET, 1, 0.0)
    with pytest.raises(ValueError, match="does not fit"):
        guided_filter(GUIDE[:, :1], TARGET, 1, 1e-3)
    with pytest.raises(ValueError, match="does not fit"):
        guided_filter(GUIDE, TARGET[..., 1:], 1, 1e-3)
    with pytest.raises(ValueError, match="a step is 1 or more"):
        fast_guided_filter(GUIDE, TARGET, 1, 1e-3, step=0)
