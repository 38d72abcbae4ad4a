"""Transparency, strength and masks."""

import time

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stylepipe import MaskOptions
from stylepipe.composite import apply_strength, composite, prepare_mask
from stylepipe.fill import fill_transparent
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


def as_light_mixes(source, painted, share):
    """The mixture of two pictures in linear intensities, in float64."""
    white = np.iinfo(source.dtype).max
    below, above = (p.astype(float) / white for p in (source, painted))
    below, above = (
        np.where(p <= 0.04045, p / 12.92, ((p + 0.055) / 1.055) ** 2.4) for p in (below, above)
    )
    light = below * (1 - share) + above * share
    return white * np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


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
    between = as_light_mixes(source, painted, mask[..., None])
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


def shaped(mask, **options):
    return prepare_mask(mask, MaskOptions(**options))


def step(h=40, w=60):
    mask = torch.zeros(1, 1, h, w)
    mask[..., w // 2 :] = 1
    return mask


def test_a_plain_mask_is_left_alone_and_inverted_on_demand():
    mask = step()
    assert torch.equal(shaped(mask), mask)
    assert torch.equal(shaped(mask, invert=True), 1 - mask)


@pytest.mark.parametrize("feather", [1, 2, 5, 8, 20])
def test_the_edge_is_as_soft_as_asked_and_no_softer(feather):
    row = shaped(step(), feather=feather)[0, 0, 20]
    soft = (row > 0) & (row < 1)
    assert abs(int(soft.sum()) - feather) <= 1
    assert (row.diff() >= 0).all()
    center = (torch.arange(60)[soft].float().mean() + 0.5).item()
    assert center == pytest.approx(30, abs=0.5)  # the edge stays where it was
    assert (row[: 30 - feather // 2 - 1] == 0).all() and (row[30 + feather // 2 + 1 :] == 1).all()


def test_feathering_does_not_fade_at_the_pictures_border():
    whole = shaped(torch.ones(1, 1, 9, 9), feather=30)
    assert torch.equal(whole, torch.ones(1, 1, 9, 9))


def test_masks_of_a_batch_are_feathered_each_for_itself():
    masks = torch.cat([step(), 1 - step()])
    both = shaped(masks, feather=6)
    assert both.shape == masks.shape
    torch.testing.assert_close(both[0], shaped(step(), feather=6)[0])


def test_values_out_of_range_are_clamped():
    wild = torch.tensor([-1.0, 0.25, 3.0]).view(1, 1, 1, 3)
    assert shaped(wild).flatten().tolist() == [0, 0.25, 1]


def test_a_threshold_makes_masks_hard():
    soft = torch.tensor([0, 0.2, 0.5, 0.8, 1]).view(1, 1, 1, 5)
    for threshold, hard in (0, [0, 1, 1, 1, 1]), (0.5, [0, 0, 1, 1, 1]), (1, [0, 0, 0, 0, 1]):
        assert shaped(soft, threshold=threshold).flatten().tolist() == hard
    turned = shaped(soft, invert=True, threshold=0.7)
    assert turned.flatten().tolist() == [1, 1, 0, 0, 0], "inverted first"


@pytest.mark.parametrize("radius", [1, 4, 9])
def test_masks_grow_and_shrink_by_a_disk(radius):
    dot = torch.zeros(1, 1, 40, 50)
    dot[..., 20, 25] = 1
    y, x = np.mgrid[:40, :50]
    disk = torch.from_numpy(np.hypot(y - 20, x - 25) <= radius).float()
    assert torch.equal(shaped(dot, grow=radius)[0, 0], disk)
    assert torch.equal(shaped(1 - dot, shrink=radius)[0, 0], 1 - disk)
    both = shaped(dot, grow=radius, shrink=radius)
    assert torch.equal(both, dot), "it grows first, then shrinks"


def test_growing_keeps_edges_as_soft_as_they_are_and_ends_at_the_border():
    ramp = torch.linspace(0, 1, 11).expand(1, 1, 9, 11)
    grown = shaped(ramp, grow=3)
    torch.testing.assert_close(grown[..., :8], ramp[..., 3:], rtol=0, atol=1e-5)
    assert (grown[..., 8:] == 1).all()
    whole = torch.ones(1, 1, 9, 11)
    assert torch.equal(shaped(whole, shrink=30), whole), "what lies beyond is not known"


def test_regions_grow_into_what_none_covers_and_keep_their_border():
    planes = torch.zeros(1, 2, 12, 40)
    planes[:, 0, :, 10:20], planes[:, 1, :, 20:30] = 1, 1
    grown, shrunk = shaped(planes, grow=3)[0, :, 6], shaped(planes, shrink=3)[0, :, 6]
    for rows, left, right in (
        (grown, slice(7, 20), slice(20, 33)),
        (
            shrunk,
            slice(13, 20),
            slice(20, 27),
        ),
    ):
        expected = torch.zeros(2, 40)
        expected[0, left], expected[1, right] = 1, 1
        assert torch.equal(rows, expected)
    soft = torch.tensor([0.5, 0.3]).view(1, 2, 1, 1)
    assert shaped(soft, threshold=0.7).flatten().tolist() == [1, 0], "the larger one gets it"


def test_growing_large_masks_takes_little_time():
    mask = torch.zeros(1, 1, 1000, 1000)
    mask[..., 400:600, 400:600] = 1
    begun = time.process_time()
    assert shaped(mask, grow=100)[0, 0, 500, 300] == 1
    assert time.process_time() - begun < 2  # a kernel of 31417 pixels for each takes minutes


# -- mattes --------------------------------------------------------------------------------


def strands(size=96):
    """A matte of thin strands, of which hardly a pixel is pure, beside a body."""
    large = np.zeros((4 * size, 4 * size), np.uint8)
    large[:, : size + 8] = 255
    for y in range(20, 4 * size, 40):
        cv2.line(large, (size, y), (3 * size, y + 25), 255, 5, cv2.LINE_AA)
    return cv2.resize(large, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def flat(color, size=96):
    return np.full((size, size, 3), color, np.uint8)


def test_no_halo_of_the_old_background_remains_at_a_matte():
    hair, dark, sky, painting = strands(), flat((60, 30, 20)), flat((120, 180, 255)), noise(96, 96)
    photo = np.rint(as_light_mixes(sky, dark, hair[..., None])).astype(np.uint8)
    truth = as_light_mixes(painting, dark, hair[..., None])
    soft = (hair > 0) & (hair < 1)
    plain, clean = (composite(photo, painting, 1 - hair, m) for m in (None, 1 - hair))
    wrong = [np.abs(result - truth)[soft].mean() for result in (plain, clean)]
    assert wrong[1] < wrong[0] / 8, wrong
    assert np.array_equal(plain[~soft], clean[~soft]), "only the edge is changed"
    assert np.array_equal(clean[hair == 1], photo[hair == 1])


def test_where_less_is_painted_than_the_matte_says_the_photo_shows_as_it_is():
    hair, photo = strands(), noise(96, 96, 1)
    protected = composite(photo, flat(200), (1 - hair) * np.float32(0.3), 1 - hair)
    beside = hair == 0
    expected = np.rint(as_light_mixes(photo, flat(200), 0.3))
    np.testing.assert_allclose(protected[beside], expected[beside], atol=1)
    nothing = composite(photo, flat(200), np.zeros_like(hair), 1 - hair)
    assert np.array_equal(nothing, photo)


@pytest.mark.parametrize("size", [(1, 1), (3, 700), (600, 5)])
def test_a_matte_that_is_pure_nowhere_and_odd_sizes_do_no_harm(size):
    photo, matte = noise(*size, 1), np.full(size, 0.5, np.float32)
    result = composite(photo, photo, matte, matte)
    assert result.shape == photo.shape and np.abs(result.astype(int) - photo).mean() < 64
    plain = np.full((*size, 3), 90, np.uint8)
    assert np.abs(composite(plain, plain, matte, matte).astype(int) - 90).max() <= 1
