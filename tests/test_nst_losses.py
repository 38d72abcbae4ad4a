"""The terms of the objective: zero where they must be, the same at every size, with gradients."""

import pytest
import torch
from torch import Tensor

from stylepipe.nst import losses


def features(seed: int = 0, scale: float = 1.0, side: int = 12, channels: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(channels, channels, generator=generator)
    noise = torch.randn(2, channels, side * side, generator=generator)
    return scale * torch.relu(mix @ noise + 0.3).unflatten(2, (side, side))


def wasserstein(value: Tensor, target: Tensor) -> Tensor:
    mean, covariance = losses.moments(target)
    root = losses.sqrtm(losses.regularise(covariance, losses.trace(covariance)), 20)
    return losses.wasserstein_loss(value, mean, covariance, root)


TERMS = {
    "content": losses.content_loss,
    "wasserstein": wasserstein,
}


@pytest.mark.parametrize("name", TERMS)
def test_nothing_to_learn_from_the_target_itself(name: str) -> None:
    value = TERMS[name](features(), features())
    assert value.shape == (2,)
    assert value.abs().max() < 0.02
    assert TERMS[name](features(1), features()).min() > 0.05


@pytest.mark.parametrize("name", TERMS)
def test_a_weight_means_the_same_at_every_scale_of_features(name: str) -> None:
    value = TERMS[name](features(1), features())
    scaled = TERMS[name](features(1, 50.0), features(0, 50.0))
    assert torch.allclose(value, scaled, rtol=1e-3)


@pytest.mark.parametrize("name", TERMS)
def test_a_weight_means_the_same_at_every_size(name: str) -> None:
    value, target = features(1), features()

    def larger(x: Tensor) -> Tensor:
        return x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)

    scaled = TERMS[name](larger(value), larger(target))
    assert torch.allclose(TERMS[name](value, target), scaled, rtol=1e-3)


@pytest.mark.parametrize("name", TERMS)
def test_descending_a_term_approaches_the_target(name: str) -> None:
    """A gradient that is zero, or of the wrong sign, does not pass."""
    value, target = features(1).requires_grad_(), features()
    optimizer = torch.optim.Adam([value], lr=0.05)
    first = TERMS[name](value, target).sum()
    for _ in range(60):
        optimizer.zero_grad()
        TERMS[name](value, target).sum().backward()
        optimizer.step()
    assert TERMS[name](value, target).sum() < 0.3 * first


def test_square_root_of_matrices() -> None:
    root = torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(0))
    matrix = root @ root.transpose(1, 2) + 0.1 * torch.eye(8)
    found = losses.sqrtm(matrix, 20)
    assert torch.allclose(found @ found, matrix, atol=1e-3)


@pytest.mark.parametrize("weakest", [0.1, 1e-9])
def test_the_roots_trace_has_its_exact_gradient(weakest: float) -> None:
    """Also of directions that the iteration does not reach."""
    generator = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(2, 5, 5, generator=generator, dtype=torch.float64)).Q
    sizes = torch.tensor([1.0, 3.0, 0.5, 2.0, weakest], dtype=torch.float64)
    matrix = ((basis * sizes) @ basis.transpose(1, 2)).requires_grad_()
    assert torch.allclose(losses.root_trace(matrix), losses.trace(losses.sqrtm(matrix)))

    def symmetric(x: torch.Tensor) -> torch.Tensor:
        return losses.root_trace((x + x.transpose(1, 2)) / 2)

    assert torch.autograd.gradcheck(symmetric, matrix, rtol=1e-6)


def test_wasserstein_of_known_gaussians() -> None:
    """One channel, deviations a and b, means m and n: (m - n)^2 + (a - b)^2, over b^2."""
    pattern = torch.tensor([-1.0, 1.0]).repeat(32).view(1, 1, 8, 8)
    value = wasserstein(3.0 + 2.0 * pattern, 1.0 + 0.5 * pattern)
    assert value.item() == pytest.approx((4.0 + 1.5**2) / 0.25, rel=1e-2)


def test_an_empty_sky_does_not_explode() -> None:
    flat = torch.full((1, 4, 8, 8), 2.0)
    assert losses.content_loss(flat + 0.1, flat) < 0.2


def test_total_variation_and_range() -> None:
    steps = torch.tensor([[0.0, 1.0], [0.0, 1.0]]).view(1, 1, 2, 2)
    assert losses.total_variation(steps).item() == 1.0
    assert losses.total_variation(torch.ones(1, 3, 4, 4)).item() == 0.0
    assert losses.range_penalty(steps).item() == 0.0
    assert losses.range_penalty(steps * 2.0 - 0.5).item() == pytest.approx(0.25)


def test_tone_follows_the_photos_light_and_not_its_color() -> None:
    light = torch.linspace(0, 1, 32).view(1, 1, 1, 32).expand(1, 3, 32, 32)
    tinted = 0.3 + 0.4 * light * torch.tensor([0.2, 1.0, 0.9]).view(1, 3, 1, 1)
    assert losses.tone_loss(tinted, light).item() < 0.02
    assert losses.tone_loss(1.0 - light, light).item() > 1.9
    flat = torch.full((1, 3, 32, 32), 0.5)
    assert torch.isfinite(losses.tone_loss(flat, flat)).all()


def test_hue_follows_the_photos_colors_and_not_its_light() -> None:
    across = torch.linspace(0, 1, 32).view(1, 1, 1, 32).expand(1, 1, 32, 32)
    photo = torch.cat([across, across.transpose(2, 3), 1.0 - across], dim=1)
    painted = 0.3 + 0.4 * photo - 0.2 * across  # paler, and darker on one side
    assert losses.hue_loss(painted, photo).item() < 0.02
    assert losses.hue_loss(photo.flip(1), photo).item() > 0.9  # red and blue exchanged
    gray = torch.full((1, 3, 32, 32), 0.5)
    assert losses.hue_loss(gray, photo).item() == pytest.approx(1.0)


def test_spikes_cost_only_their_excess() -> None:
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert losses.spike_penalty(x).abs().max() == 0.0
    x[1, 0, 0, 0] = -10.0
    assert losses.spike_penalty(x).tolist() == pytest.approx([0.0, 6.0**2 / 192])
