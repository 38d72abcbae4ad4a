"""Keeping the photo's colors."""

import colorsys

import pytest
import torch

from stylepipe.color import keep_colors

LUMA = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)


def luma(images):
    return (images * LUMA).sum(1)


def photo(seed=0, h=24, w=30):
    return torch.rand(1, 3, h, w, generator=torch.Generator().manual_seed(seed))


def test_a_photo_painted_as_itself_stays_itself():
    images = photo()
    torch.testing.assert_close(keep_colors(images, images), images, atol=1e-5, rtol=0)


def test_hue_is_the_photos_and_light_and_shade_the_paintings():
    images = torch.tensor([0.7, 0.3, 0.2]).view(1, 3, 1, 1).expand(1, 3, 8, 8).clone()
    images[..., 4:] = torch.tensor([0.2, 0.4, 0.8]).view(1, 3, 1, 1)
    painted = photo(3, 8, 8)
    result = keep_colors(images, painted)
    for x, y in [(0, 0), (3, 5), (6, 1), (7, 7)]:
        hue, saturation, _ = colorsys.rgb_to_hsv(*result[0, :, y, x].tolist())
        if saturation > 0.02:
            expected = colorsys.rgb_to_hsv(*images[0, :, y, x].tolist())[0]
            assert hue == pytest.approx(expected, abs=0.01)
    together = torch.stack([luma(result).flatten(), luma(painted).flatten()])
    assert torch.corrcoef(together)[0, 1] > 0.99


def test_a_gray_photo_gives_a_gray_painting():
    gray = photo().mean(1, keepdim=True).expand(1, 3, -1, -1)
    result = keep_colors(gray, photo(1))
    assert (result.amax(1) - result.amin(1)).max() < 1e-5


def test_a_dark_flat_painting_does_not_dull_a_bright_photo():
    images = photo() * 0.5 + 0.4
    painted = photo(1) * 0.1
    result = keep_colors(images, painted)
    assert abs(luma(result).mean() - luma(images).mean()) < 0.01
    assert luma(result).std() > 1.2 * luma(painted).std()


def test_colors_stay_in_range_and_the_inputs_as_they_were():
    images, painted = photo().round(), photo(1).round()
    before = images.clone(), painted.clone()
    result = keep_colors(images, painted)
    assert result.min() >= -1e-5 and result.max() <= 1 + 1e-5
    torch.testing.assert_close((images, painted), before, atol=0, rtol=0)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_single_pixels_and_flat_pictures(value):
    flat = torch.full((2, 3, 1, 1), value)
    result = keep_colors(flat, torch.full_like(flat, 0.3))
    torch.testing.assert_close(result, flat, atol=1e-5, rtol=0)


def test_each_picture_of_a_batch_stands_for_itself():
    images, painted = torch.cat([photo(0), photo(1) * 0.2]), torch.cat([photo(2), photo(3)])
    together = keep_colors(images, painted)
    for i in range(2):
        alone = keep_colors(images[i : i + 1], painted[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone)
