"""The colors of one picture given to another."""

import pytest
import tinyencoder
import torch
from torch import Tensor

from stylepipe.nst import palette
from stylepipe.nst.palette import matched


def moments(picture: Tensor) -> tuple[Tensor, Tensor]:
    flat = picture[0].flatten(1).double()
    return flat.mean(dim=1), torch.cov(flat)


def photo() -> Tensor:
    """Dark, with warm lights."""
    return tinyencoder.picture(60, 80, 1) * torch.tensor([0.6, 0.4, 0.3])[:, None, None] + 0.1


def painting() -> Tensor:
    """Bright and blue."""
    return tinyencoder.picture(50, 50, 2) * torch.tensor([0.2, 0.4, 0.6])[:, None, None] + 0.35


def test_an_unknown_way_is_refused() -> None:
    with pytest.raises(ValueError, match="'linear' or by 'histogram', not 'magic'"):
        matched(photo(), painting(), "magic")


def test_linear_gives_mean_and_covariance() -> None:
    result = matched(painting(), photo(), "linear")
    assert result.shape == painting().shape
    for own, wanted in zip(moments(result), moments(photo()), strict=True):
        torch.testing.assert_close(own, wanted, atol=3e-3, rtol=0)


def test_large_pictures_are_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = matched(painting(), photo(), "linear")
    monkeypatch.setattr(palette, "PART", 333)
    torch.testing.assert_close(matched(painting(), photo(), "linear"), whole)


def test_histogram_gives_each_channel_its_values() -> None:
    result = matched(painting(), photo(), "histogram")
    for own, wanted in zip(result[0], photo()[0], strict=True):
        places = torch.linspace(0.01, 0.99, 30)
        torch.testing.assert_close(
            own.flatten().quantile(places), wanted.flatten().quantile(places), atol=0.01, rtol=0
        )


@pytest.mark.parametrize("how", ["linear", "histogram"])
def test_what_has_the_colors_already_stays(how: str) -> None:
    torch.testing.assert_close(matched(photo(), photo(), how), photo(), atol=0.01, rtol=0)


@pytest.mark.parametrize("how", ["linear", "histogram"])
def test_the_drawing_stays(how: str) -> None:
    """Brighter pixels stay brighter: only colors change."""
    gray = tinyencoder.picture(40, 40, 3).mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)
    result = matched(gray, photo(), how)
    order = gray[0, 0].flatten().argsort()
    assert bool((result[0].sum(dim=0).flatten()[order].diff() > -1e-3).all())


def test_a_flat_picture_takes_the_mean_and_stays_flat() -> None:
    flat = torch.full((1, 3, 9, 9), 0.5)
    for how in ("linear", "histogram"):
        result = matched(flat, photo(), how)
        assert float(result.flatten(2).std(dim=2).max()) < 1e-4
        torch.testing.assert_close(
            result.mean(dim=(2, 3)), photo().mean(dim=(2, 3)), atol=0.01, rtol=0
        )


def test_a_flat_model_makes_all_flat() -> None:
    model = torch.tensor([0.2, 0.5, 0.7]).view(1, 3, 1, 1).expand(-1, -1, 9, 9)
    for how in ("linear", "histogram"):
        result = matched(photo(), model, how)
        torch.testing.assert_close(result, model[..., :1, :1].expand_as(result), atol=0.02, rtol=0)


def test_half_of_a_picture_that_is_flat_takes_the_middle_of_its_half() -> None:
    half = tinyencoder.picture(40, 40, 4) * 0.5
    half[..., 20:] = 1.0
    ramp = torch.linspace(0, 1, 1600).view(1, 1, 40, 40).expand(-1, 3, -1, -1)
    result = matched(half, ramp, "histogram")
    assert float(result[..., 20:].mean()) == pytest.approx(0.75, abs=0.01)
    assert float(result[..., :20].mean()) == pytest.approx(0.25, abs=0.02)
