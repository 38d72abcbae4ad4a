"""Distances as they are reported; gradient descent; the perceptual distance."""

import pytest
import tinyencoder
import torch
from torch import Tensor

from stylepipe.nst.encoders import stack_encoder
from stylepipe.nst.gatys import Gatys
from stylepipe.nst.losses import exact_squared_wasserstein
from stylepipe.nst.optimize import Step
from stylepipe.nst.paintings import Painting
from stylepipe.nst.photos import to_tensor
from stylepipe.nst.recipe import LoopOptions, Recipe
from stylepipe.nst.terms.content import Perceptual
from stylepipe.studies.measures import Judge

NONE = {"content": 0.0, "tv": 0.0, "style": 1.0}
PAINTING = tinyencoder.picture(48, 48, 2)


def gatys(recipe: Recipe) -> Gatys:
    return Gatys(tinyencoder.encoder(), [Painting(PAINTING)], recipe, 1 << 30)


def test_a_painting_is_at_distance_0_from_itself_where_it_is_judged() -> None:
    objective = gatys(Recipe({}, tinyencoder.STYLE, NONE)).objective(PAINTING)
    judged = float(objective.judge(PAINTING)["style"])
    assert judged < 1e-6 < float(objective(PAINTING)[0]["style"]), "the iteration leaves a rest"
    other = tinyencoder.picture(48, 48, 3)
    near, fast = float(objective.judge(other)["style"]), float(objective(other)[0]["style"])
    assert near == pytest.approx(fast, rel=0.2, abs=0.02)


def test_the_exact_distance_of_normal_distributions() -> None:
    """Of diagonal covariances: |m - n|^2 + sum of (sqrt a - sqrt b)^2; also of no full rank."""
    a, b = torch.tensor([[4.0, 9.0, 0.0], [1.0, 16.0, 0.0]])
    mean, other = torch.tensor([[1.0, 2.0, 3.0], [1.0, 0.0, 3.0]])
    found = exact_squared_wasserstein(mean, a.diag(), other, b.diag())
    assert float(found) == pytest.approx(4 + 1 + 1, rel=1e-12)
    turn, _ = torch.linalg.qr(torch.rand(3, 3, generator=torch.Generator().manual_seed(0)).double())
    turned = [turn @ c.diag().double() @ turn.T for c in (a, b)]
    again = exact_squared_wasserstein(
        turn @ mean.double(), turned[0], turn @ other.double(), turned[1]
    )
    assert float(again) == pytest.approx(6, abs=1e-6)


@pytest.mark.parametrize("scale", ["relative", "gatys"])
def test_gradient_descent_descends(scale: str) -> None:
    """Of printed losses the step is the rate times the gradient, and nothing else."""
    rate = None if scale == "relative" else 1e-4
    loop = LoopOptions(12, "sgd", rate, "constant", average=0.0)
    recipe = Recipe(
        {"relu2_1": 1.0}, tinyencoder.STYLE, {"content": 0.1, "tv": 0.0}, style_loss="gram",
        loss_scale=scale, init="content", first_side=0, loop=loop,  # type: ignore[arg-type]
    )  # fmt: skip
    losses: list[float] = []
    pictures: list[Tensor] = []

    def keep(step: Step) -> None:
        losses.append(step.loss)
        pictures.append(step.picture())

    photo = 0.2 + 0.6 * tinyencoder.picture(48, 48, 1)
    painter = gatys(recipe)
    painter.paint(photo, on_step=keep)
    assert losses[-1] < losses[0]
    if scale == "gatys":
        _, gradient = painter.objective(photo)(photo)
        torch.testing.assert_close(pictures[0], photo - 1e-4 * gradient, rtol=0, atol=1e-6)


def test_perceptual_is_lpips_with_and_without_its_weights() -> None:
    net, photo, x = tinyencoder.encoder(), PAINTING, tinyencoder.picture(48, 48, 4)
    layers = {"relu1_1": 1.0, "relu2_1": 1.0}
    own, wanted = net(x, layers), net(photo, layers)
    weights = {
        n: torch.rand(c, generator=torch.Generator().manual_seed(c))
        for n, c in (("relu1_1", 6), ("relu2_1", 8))
    }
    for calibration in (None, weights):
        printed = 0.0
        for n in layers:
            a, b = (
                f[n] / (f[n].square().sum(1, keepdim=True).sqrt() + 1e-10) for f in (own, wanted)
            )
            gain = torch.ones(a.shape[1]) if calibration is None else calibration[n]
            printed += float(((a - b).square() * gain[:, None, None]).sum(1).mean())
        recipe = Recipe({}, {}, {**NONE, "style": 0.0, "perceptual": 1.0}, perceptual_layers=layers)
        painter = Gatys(net, [Painting(photo)], recipe, 1 << 30, calibration)
        found = float(painter.objective(photo)(x)[0][Perceptual.name])
        assert found == pytest.approx(printed, rel=1e-3), "but for nearly dark places"


def test_layers_without_calibrated_weights_are_refused() -> None:
    recipe = Recipe({}, {}, {**NONE, "perceptual": 1.0}, perceptual_layers={"relu2_1": 1.0})
    with pytest.raises(ValueError, match="relu2_1 has no calibrated weights; relu1_1 have some"):
        Gatys(
            tinyencoder.encoder(), [Painting(PAINTING)], recipe, 1 << 30, {"relu1_1": torch.ones(6)}
        )


def test_a_judge_compares_the_layers_of_lpips_as_the_term_does() -> None:
    """Not those for style."""
    convolutions, inputs = {}, 3
    generator = torch.Generator().manual_seed(0)
    for name in ("relu1_1", "relu1_2", "relu2_1", "relu2_2"):
        weight = torch.randn(6, inputs, 3, 3, generator=generator) * (2 / (9 * inputs)) ** 0.5
        convolutions[name], inputs = (weight, torch.full((6,), 0.05)), 6
    net = stack_encoder(convolutions)
    own, photo = (tinyencoder.picture(48, 48, seed) for seed in (4, 5))
    pixels = [(p[0] * 255).round().byte().permute(1, 2, 0).numpy() for p in (own, photo)]
    assert list(net.default_perceptual) == ["relu1_2", "relu2_2"]
    recipe = Recipe({}, {"relu1_1": 1.0}, {**NONE, "style": 0.0, "perceptual": 1.0})
    shown = [to_tensor(p)[None] for p in pixels]
    term = Gatys(net, [Painting(photo)], recipe, 1 << 30).objective(shown[1])(shown[0])[0]
    found = Judge(net).perceptual(*pixels)
    assert found == pytest.approx(float(term[Perceptual.name]), rel=1e-2)


def test_a_judge_takes_calibrated_weights() -> None:
    net, channels = tinyencoder.encoder(), tinyencoder.CHANNELS
    own, other = (
        (tinyencoder.picture(48, 48, seed)[0] * 255).byte().permute(1, 2, 0).numpy()
        for seed in (4, 5)
    )
    plain = Judge(net).perceptual(own, other)
    ones = Judge(net, {n: torch.ones(c) for n, c in channels.items()}).perceptual(own, other)
    half = {"relu2_1": torch.full((8,), 0.5)}
    assert ones == pytest.approx(plain, rel=1e-6)
    assert 0 < Judge(net, half).perceptual(own, other) < plain / 2
