"""Transparency, strength and masks."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stylepipe.composite import apply_strength, composite, fill_transparent, prepare_mask
from stylepipe.types import Frame


def noise(h, w, seed=0, dtype=np.uint8):
    rng = np.random.default_rng(seed)
    return rng.integers(0, np.iinfo(dtype).max, (h, w, 3), dtype, endpoint=True)


# -- transparent pixels ------------------------------------------------------------------


def test_pictures_without_transparency_come_back_as_they_are():
    for frame in (
        Frame(noise(5, 6)),
        Frame(noise(5, 6), np.full((5, 6), 255, np.uint8)),
        Frame(noise(5, 6), np.zeros((5, 6), np.uint8)),  # nothing visible to extend
    ):
        assert fill_transparent(frame) is frame


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_hidden_colors_vanish_and_visible_ones_stay(dtype):
    white = np.iinfo(dtype).max
    pixels = np.zeros((300, 90, 3), dtype)
    pixels[..., 1] = white  # hidden green
    alpha = np.zeros((300, 90), dtype)
    alpha[100:200, 30:60] = white
    pixels[100:200, 30:60] = (white, white // 2, 0)
    frame = Frame(pixels, alpha, index=7)
    filled = fill_transparent(frame)
    assert filled.index == 7 and filled.pixels.dtype == dtype and filled.alpha is alpha
    spread = np.abs(filled.pixels.astype(int) - (white, white // 2, 0))
    assert spread.max() <= white // 255
    assert (frame.pixels[0, 0] == (0, white, 0)).all()  # the input is not written to


def test_the_fill_is_near_what_it_lies_beside():
    pixels = np.zeros((64, 120, 3), np.uint8)
    pixels[:, :40], pixels[:, 80:] = (200, 0, 0), (0, 0, 200)
    alpha = np.full((64, 120), 255, np.uint8)
    alpha[:, 40:80] = 0
    row = fill_transparent(Frame(pixels, alpha)).pixels[32].astype(int)
    assert row[42, 0] > 150 and row[42, 2] < 50
    assert row[77, 2] > 150 and row[77, 0] < 50
    assert np.abs(np.diff(row[40:80], axis=0)).max() < 40  # no step in between


def test_visible_colors_are_kept_and_faint_ones_mixed():
    alpha = np.array([[255, 40, 14, 0]], np.uint8).repeat(16, axis=0)
    pixels = np.zeros((16, 4, 3), np.uint8)
    pixels[:, 0], pixels[:, 1:] = 100, 200
    row = fill_transparent(Frame(pixels, alpha)).pixels[8, :, 0]
    assert row[0] == 100 and row[1] == 200
    assert row[3] < row[2] < 200


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (300, 1), (257, 5), (2, 600)])
def test_one_visible_pixel_colors_all(size):
    pixels, alpha = noise(*size), np.zeros(size, np.uint8)
    alpha[-1, -1] = 255
    expected = np.broadcast_to(pixels[-1, -1], pixels.shape)
    np.testing.assert_array_equal(fill_transparent(Frame(pixels, alpha)).pixels, expected)


# -- strength ----------------------------------------------------------------------------


def test_strength_goes_from_the_photo_to_the_painting():
    images, painted = torch.rand(1, 3, 4, 4), torch.rand(1, 3, 4, 4)
    assert torch.equal(apply_strength(images, painted, 0), images)
    assert torch.equal(apply_strength(images, painted, 1), painted)
    torch.testing.assert_close(apply_strength(images, painted, 0.5), (images + painted) / 2)


# -- compositing ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_mask_0_is_the_source_and_mask_1_the_painting_bit_for_bit(dtype):
    source, painted = noise(20, 30, 1, dtype), noise(20, 30, 2, dtype)
    mask = np.random.default_rng(0).random((20, 30)).astype(np.float32)
    mask[:, :10], mask[:, 20:] = 0, 1
    result = composite(source, painted, mask)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result[:, :10], source[:, :10])
    np.testing.assert_array_equal(result[:, 20:], painted[:, 20:])
    between = source + (painted.astype(float) - source) * mask[..., None]
    assert np.abs(result - between)[:, 10:20].max() < 0.51


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 65535), st.integers(0, 65535), st.floats(0, 1, width=32))
def test_a_mixture_lies_between_its_parts(below, above, share):
    source, painted = (np.full((1, 1, 3), v, np.uint16) for v in (below, above))
    value = composite(source, painted, np.full((1, 1), share, np.float32))[0, 0, 0]
    assert min(below, above) <= value <= max(below, above)


def test_the_parts_are_not_written_to():
    source, painted = noise(4, 4, 1), noise(4, 4, 2)
    copies = source.copy(), painted.copy()
    composite(source, painted, np.full((4, 4), 0.5, np.float32))
    np.testing.assert_array_equal((source, painted), copies)


# -- preparing masks -----------------------------------------------------------------------


def step(h=40, w=60):
    mask = torch.zeros(1, 1, h, w)
    mask[..., w // 2 :] = 1
    return mask


def test_a_plain_mask_is_left_alone_and_inverted_on_demand():
    mask = step()
    assert torch.equal(prepare_mask(mask, False, 0), mask)
    assert torch.equal(prepare_mask(mask, True, 0), 1 - mask)


@pytest.mark.parametrize("feather", [1, 2, 5, 8, 20])
def test_the_edge_is_as_soft_as_asked_and_no_softer(feather):
    row = prepare_mask(step(), False, feather)[0, 0, 20]
    soft = (row > 0) & (row < 1)
    assert abs(int(soft.sum()) - feather) <= 1
    assert (row.diff() >= 0).all()
    center = (torch.arange(60)[soft].float().mean() + 0.5).item()
    assert center == pytest.approx(30, abs=0.5)  # the edge stays where it was
    assert (row[: 30 - feather // 2 - 1] == 0).all() and (row[30 + feather // 2 + 1 :] == 1).all()


def test_feathering_does_not_fade_at_the_pictures_border():
    whole = prepare_mask(torch.ones(1, 1, 9, 9), False, 30)
    assert torch.equal(whole, torch.ones(1, 1, 9, 9))


def test_masks_of_a_batch_are_feathered_each_for_itself():
    masks = torch.cat([step(), 1 - step()])
    both = prepare_mask(masks, False, 6)
    assert both.shape == masks.shape
    torch.testing.assert_close(both[0], prepare_mask(step(), False, 6)[0])


def test_values_out_of_range_are_clamped():
    wild = torch.tensor([-1.0, 0.25, 3.0]).view(1, 1, 1, 3)
    assert prepare_mask(wild, False, 0).flatten().tolist() == [0, 0.25, 1]
