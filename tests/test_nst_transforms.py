"""Features moved to a style's statistics: the statistics arrive, region by region."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stylepipe.nst.transforms import (
    MAX_GAIN,
    StyleStatistics,
    adain,
    blended,
    region_moments,
    restyled,
    stacked,
)


def features(seed: int, height: int = 9, width: int = 12, channels: int = 5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(channels, channels, generator=generator, dtype=torch.float64)
    mix = 0.3 * mix + 2 * torch.eye(channels)
    noise = torch.randn(channels, height * width, generator=generator, dtype=torch.float64)
    shift = torch.randn(channels, 1, generator=generator, dtype=torch.float64)
    return (mix @ noise + 3 * shift).view(1, channels, height, width)


@pytest.mark.parametrize("full", [False, True])
@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000))
def test_the_result_has_the_styles_moments(full: bool, seed: int) -> None:
    style = region_moments(features(seed + 1, 7, 8), full=full)
    found = region_moments(restyled(features(seed), StyleStatistics.of(style))[0], full=full)
    assert torch.allclose(found.mean, style.mean, atol=1e-3)
    assert torch.allclose(found.spread, style.spread, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("full", [False, True])
def test_its_own_statistics_change_nothing(full: bool) -> None:
    photo = features(3)
    found, left = restyled(photo, StyleStatistics.of(region_moments(photo, full=full)))
    assert torch.allclose(found, photo, atol=1e-4)
    assert left.tolist() == pytest.approx([MAX_GAIN])  # none was needed


def test_adain_is_its_formula() -> None:
    photo, style = features(1), features(2)
    std, mean = style.std((2, 3), correction=0), style.mean((2, 3))
    own_std, own_mean = photo.std((2, 3), correction=0), photo.mean((2, 3))
    wanted = (photo - own_mean[..., None, None]) / own_std[..., None, None]
    wanted = wanted * std[..., None, None] + mean[..., None, None]
    assert torch.allclose(adain(photo, style), wanted, atol=1e-3)


def test_a_blend_lies_between_its_styles() -> None:
    photo = features(1)
    learnt = [StyleStatistics.of(region_moments(features(s), full=True)) for s in (2, 3)]
    both = restyled(photo, blended([(learnt[0], 1.0), (learnt[1], 3.0)]))[0]
    wanted = 0.25 * restyled(photo, learnt[0])[0] + 0.75 * restyled(photo, learnt[1])[0]
    assert torch.allclose(both, wanted, atol=1e-3)


@pytest.mark.parametrize("full", [False, True])
def test_each_region_gets_its_own_style(full: bool) -> None:
    photo, region_masks = features(1), torch.zeros(1, 2, 9, 12, dtype=torch.float64)
    region_masks[:, 0, :, :6], region_masks[:, 1, :, 6:] = 1, 1
    learnt = [StyleStatistics.of(region_moments(features(s), full=full)) for s in (2, 3)]
    found = restyled(photo, stacked(learnt), region_masks)[0]
    for k, half in enumerate((slice(0, 6), slice(6, 12))):
        alone = restyled(photo[..., half], learnt[k])[0]
        assert torch.allclose(found[..., half], alone, atol=1e-8)


def test_a_region_that_the_photo_lacks_harms_nobody() -> None:
    photo, region_masks = features(1), torch.zeros(1, 2, 9, 12, dtype=torch.float64)
    region_masks[:, 0] = 1
    learnt = [StyleStatistics.of(region_moments(features(s), full=True)) for s in (2, 3)]
    found = restyled(photo, stacked(learnt), region_masks)[0]
    assert torch.allclose(found, restyled(photo, learnt[0])[0], atol=1e-8)


def contrast(values: torch.Tensor) -> float:
    """The deviation, of all channels together."""
    return float(region_moments(values, full=False).spread.sum().sqrt())


@pytest.mark.parametrize("full", [False, True])
def test_noise_stays_what_it_is(full: bool) -> None:
    style = features(2)
    learnt = StyleStatistics.of(region_moments(style, full=full))
    for share in (0.001, 0.01, 0.1, 1.0):
        photo = 2.0 + share * features(1)
        found, _ = restyled(photo, learnt)
        wanted = photo if share < 0.1 else style
        assert contrast(found) == pytest.approx(contrast(wanted), rel=0.1)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("limit", [None, 3.0, 0.01])
def test_no_contrast_is_lowered_where_the_styles_is_higher(full: bool, limit: float | None) -> None:
    photo, learnt = features(1), StyleStatistics.of(region_moments(features(2), full=full))
    covariance = region_moments(photo, full=True).spread[0]
    # Along which a gain is given: the channels, or the eigenvectors.
    vectors = torch.linalg.eigh(covariance)[1] if full else torch.eye(5, dtype=torch.float64)
    root = learnt.root[0] if full else learnt.root[0].diag()
    wanted = (root @ vectors).square().sum(dim=0)
    given = None if limit is None else torch.tensor([limit], dtype=torch.float64)
    for share in torch.logspace(-4, 1, 30).tolist():
        own = share**2 * (vectors.T @ covariance @ vectors).diag()
        found = contrast(restyled(share * photo, learnt, limit=given)[0])
        assert found > 0.999 * float(torch.minimum(own, wanted).sum().sqrt())


@pytest.mark.parametrize("full", [False, True])
def test_what_a_level_needed_the_next_has_not(full: bool) -> None:
    style, region_masks = features(2), torch.zeros(1, 2, 9, 12, dtype=torch.float64)
    region_masks[:, 0, :, :6], region_masks[:, 1, :, 6:] = 1, 1
    one = StyleStatistics.of(region_moments(style, full=full))
    learnt = stacked([one, one])
    photo = features(1)
    photo[..., :6] *= 0.1
    found, left = restyled(photo, learnt, region_masks)
    assert contrast(found[..., :6]) == pytest.approx(contrast(style), rel=0.1)
    assert 1 < left[0] < 0.2 * MAX_GAIN < 0.7 * MAX_GAIN < left[1]
    # Noise that it has raised so far is not raised once more.
    second, _ = restyled(photo, learnt, region_masks, limit=left)
    assert contrast(second[..., :6]) < 1.5 * contrast(photo[..., :6])
    assert contrast(second[..., 6:]) == pytest.approx(contrast(style), rel=0.01)
    # Nor is noise that it has left as it was.
    none = restyled(0.001 * photo, learnt, region_masks)[1]
    assert none.max() < 0.2


def few() -> torch.Tensor:
    """A small region: its features span few of the directions."""
    return features(1, 4, 4, channels=64)


def halves() -> torch.Tensor:
    """Black beside white: all differences are along one direction."""
    found = features(1, 8, 8, channels=64)
    found[..., :4], found[..., 4:] = found[..., :1, :1], found[..., -1:, -1:]
    return found


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("plain", [few, halves])
def test_missing_directions_are_no_noise(full: bool, plain: Any) -> None:
    learnt = StyleStatistics.of(region_moments(features(2, 20, 20, channels=64), full=full))
    left = restyled(plain(), learnt)[1]
    # The next level is shallower: it has more features, in more directions.
    photo = features(3, 12, 12, channels=64)
    alone = contrast(restyled(photo, learnt)[0])
    assert contrast(restyled(photo, learnt, limit=left)[0]) > 0.99 * alone


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_slabs_and_the_features_own_memory(
    full: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = features(1).to(dtype)
    one = StyleStatistics.of(region_moments(features(2).float(), full=full))
    region_masks = torch.rand(1, 2, 9, 12, generator=torch.Generator().manual_seed(0))
    region_masks /= region_masks.sum(dim=1, keepdim=True)
    learnt = stacked([one, StyleStatistics(one.mean + 1, one.root)])
    whole = restyled(photo, learnt, region_masks)[0]
    known = region_moments(photo, region_masks, full=full)
    monkeypatch.setattr("stylepipe.nst.transforms.SLAB", 1)  # a row each
    found = region_moments(photo, region_masks, full=full)
    assert torch.allclose(found.mean, known.mean, atol=1e-5)
    assert torch.allclose(found.spread, known.spread, atol=1e-4)
    kept = photo.clone()
    assert torch.allclose(restyled(photo, learnt, region_masks)[0], whole, rtol=1e-2, atol=1e-3)
    assert torch.equal(photo, kept)
    assert restyled(photo, learnt, region_masks, out=photo)[0] is photo
    assert torch.allclose(photo, whole, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("full", [False, True])
def test_moments_of_large_values_are_exact(full: bool) -> None:
    values = features(1) + 1e4
    found = region_moments(values.float(), full=full)
    wanted = region_moments(values.float().double(), full=full)
    assert torch.allclose(found.spread.double(), wanted.spread, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("full", [False, True])
def test_flat_features_stay_finite(full: bool) -> None:
    flat = torch.full((1, 5, 4, 4), 2.0)
    style = features(2).float()
    learnt = StyleStatistics.of(region_moments(style, full=full))
    assert restyled(flat, learnt)[0].abs().max() < 1.01 * style.abs().max()
    of_flat = StyleStatistics.of(region_moments(flat, full=full))
    assert torch.allclose(restyled(features(1).float(), of_flat)[0], flat[..., :1, :1], atol=0.2)
