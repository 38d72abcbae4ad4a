"""Features moved to a style's statistics: the statistics arrive, region by region."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stylepipe.nst.transforms import StyleStatistics, adain, blended, moments, restyled, stacked


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
    style = moments(features(seed + 1, 7, 8), full=full)
    found = moments(restyled(features(seed), StyleStatistics.of(style))[0], full=full)
    assert torch.allclose(found.mean, style.mean, atol=1e-3)
    assert torch.allclose(found.spread, style.spread, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("full", [False, True])
def test_its_own_statistics_change_nothing(full: bool) -> None:
    photo = features(3)
    found, reached = restyled(photo, StyleStatistics.of(moments(photo, full=full)))
    assert torch.allclose(found, photo, atol=1e-4)
    assert torch.allclose(reached, torch.ones_like(reached), atol=1e-4)


def test_adain_is_its_formula() -> None:
    photo, style = features(1), features(2)
    std, mean = style.std((2, 3), correction=0), style.mean((2, 3))
    own_std, own_mean = photo.std((2, 3), correction=0), photo.mean((2, 3))
    wanted = (photo - own_mean[..., None, None]) / own_std[..., None, None]
    wanted = wanted * std[..., None, None] + mean[..., None, None]
    assert torch.allclose(adain(photo, style), wanted, atol=1e-3)


def test_a_blend_lies_between_its_styles() -> None:
    photo = features(1)
    learnt = [StyleStatistics.of(moments(features(s), full=True)) for s in (2, 3)]
    both = restyled(photo, blended([(learnt[0], 1.0), (learnt[1], 3.0)]))[0]
    wanted = 0.25 * restyled(photo, learnt[0])[0] + 0.75 * restyled(photo, learnt[1])[0]
    assert torch.allclose(both, wanted, atol=1e-3)


@pytest.mark.parametrize("full", [False, True])
def test_each_region_gets_its_own_style(full: bool) -> None:
    photo, planes = features(1), torch.zeros(1, 2, 9, 12, dtype=torch.float64)
    planes[:, 0, :, :6], planes[:, 1, :, 6:] = 1, 1
    learnt = [StyleStatistics.of(moments(features(s), full=full)) for s in (2, 3)]
    found = restyled(photo, stacked(learnt), planes)[0]
    for k, half in enumerate((slice(0, 6), slice(6, 12))):
        alone = restyled(photo[..., half], learnt[k])[0]
        assert torch.allclose(found[..., half], alone, atol=1e-8)


def test_a_region_that_the_photo_lacks_harms_nobody() -> None:
    photo, planes = features(1), torch.zeros(1, 2, 9, 12, dtype=torch.float64)
    planes[:, 0] = 1
    learnt = [StyleStatistics.of(moments(features(s), full=True)) for s in (2, 3)]
    found = restyled(photo, stacked(learnt), planes)[0]
    assert torch.allclose(found, restyled(photo, learnt[0])[0], atol=1e-8)


@pytest.mark.parametrize("full", [False, True])
def test_a_little_noise_stays_a_little(full: bool) -> None:
    style, noise = features(2), features(1)
    learnt = StyleStatistics.of(moments(style, full=full))
    deviations = []
    for share in (0.001, 0.01, 0.1, 1.0):
        found, reached = restyled(2.0 + share * noise, learnt)
        deviations.append(float(found.std(dim=(2, 3)).mean() / style.std(dim=(2, 3)).mean()))
        assert float(reached) == pytest.approx(deviations[-1] ** 2, abs=0.1)
    assert deviations[0] < 0.001
    assert deviations[1] < 0.01
    assert deviations[2] > 0.9
    assert 0.99 < deviations[3] < 1.01


@pytest.mark.parametrize("full", [False, True])
def test_a_level_reaches_no_more_than_the_one_before(full: bool) -> None:
    photo, style = features(1), features(2)
    learnt = StyleStatistics.of(moments(style, full=full))
    planes = torch.zeros(1, 2, 9, 12, dtype=torch.float64)
    planes[:, 0, :, :6], planes[:, 1, :, 6:] = 1, 1
    limit = torch.tensor([0.25, 1.0], dtype=torch.float64)
    found, reached = restyled(photo, stacked([learnt, learnt]), planes, limit=limit)
    assert torch.allclose(reached, limit, atol=1e-3)
    total = [moments(f, full=False).spread.sum() for f in (found[..., :6], found[..., 6:], style)]
    assert total[0] / total[2] == pytest.approx(0.25, abs=0.01)
    assert total[1] / total[2] == pytest.approx(1, abs=0.01)
    # What is weak has the most taken from it: the noise, where there is any.
    weak = photo.clone()
    weak[:, 0] /= 10
    alone = restyled(weak, learnt, limit=limit[:1])[0]
    if not full:
        kept = alone.std(dim=(2, 3)) / style.std(dim=(2, 3))
        assert kept[0, 0] < 0.01 * kept[0, 1:].max()


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_slabs_and_the_features_own_memory(
    full: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = features(1).to(dtype)
    one = StyleStatistics.of(moments(features(2).float(), full=full))
    planes = torch.rand(1, 2, 9, 12, generator=torch.Generator().manual_seed(0))
    planes /= planes.sum(dim=1, keepdim=True)
    learnt = stacked([one, StyleStatistics(one.mean + 1, one.root)])
    whole = restyled(photo, learnt, planes)[0]
    known = moments(photo, planes, full=full)
    monkeypatch.setattr("stylepipe.nst.transforms.SLAB", 1)  # a row each
    found = moments(photo, planes, full=full)
    assert torch.allclose(found.mean, known.mean, atol=1e-5)
    assert torch.allclose(found.spread, known.spread, atol=1e-4)
    kept = photo.clone()
    assert torch.allclose(restyled(photo, learnt, planes)[0], whole, rtol=1e-2, atol=1e-3)
    assert torch.equal(photo, kept)
    assert restyled(photo, learnt, planes, out=photo)[0] is photo
    assert torch.allclose(photo, whole, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("full", [False, True])
def test_moments_of_large_values_are_exact(full: bool) -> None:
    values = features(1) + 1e4
    found = moments(values.float(), full=full)
    wanted = moments(values.float().double(), full=full)
    assert torch.allclose(found.spread.double(), wanted.spread, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("full", [False, True])
def test_flat_features_stay_finite(full: bool) -> None:
    flat = torch.full((1, 5, 4, 4), 2.0)
    style = features(2).float()
    learnt = StyleStatistics.of(moments(style, full=full))
    assert restyled(flat, learnt)[0].abs().max() < 1.01 * style.abs().max()
    of_flat = StyleStatistics.of(moments(flat, full=full))
    assert torch.allclose(restyled(features(1).float(), of_flat)[0], flat[..., :1, :1], atol=0.2)
