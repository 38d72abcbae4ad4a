"""The image loop: sizes, carried moments, averages, early ends, explosions."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any, cast

import pytest
import tinyencoder
import torch
from torch import Tensor

from stylepipe.nst.objective import Objective
from stylepipe.nst.optimize import (
    LONGEST,
    WINDOW,
    Diverged,
    Size,
    Step,
    history,
    optimize,
    resize,
    sizes,
)
from stylepipe.nst.recipe import LoopOptions

START = torch.full((1, 3, 8, 10), 0.5)


class Bowl:
    """Mean of curvature * (x - target)^2: a quadratic, with curvatures of very different sizes."""

    seen: Tensor

    def __init__(self, scale: float = 1.0, *, relative: bool = True) -> None:
        self.scale, self.relative, self.calls = scale, relative, 0
        self.weight = scale if relative else 1.0

    def __call__(
        self, picture: Tensor, out: Tensor | None = None
    ) -> tuple[dict[str, Tensor], Tensor]:
        self.calls, self.seen = self.calls + 1, picture
        target = tinyencoder.picture(*picture.shape[-2:], seed=1) * 0.6 + 0.2
        curvature = self.scale * torch.logspace(-2, 0, picture.numel()).view(picture.shape)
        error = picture.detach() - target
        value = (curvature * error.square()).flatten(1).mean(dim=1)
        return {"bowl": value}, 2 * curvature * error / picture.numel()


class Faulty(Bowl):
    """Breaks in some calls, by a function."""

    def __init__(self, fault: Callable[[int, Tensor], float], **size: Any) -> None:
        super().__init__(**size)
        self.fault = fault

    def __call__(
        self, picture: Tensor, out: Tensor | None = None
    ) -> tuple[dict[str, Tensor], Tensor]:
        values, gradient = super().__call__(picture)
        factor = self.fault(self.calls, picture)
        return {"bowl": values["bowl"] * factor}, gradient * factor


def run(
    objective: Bowl,
    stages: list[Size] | None = None,
    on_step: Callable[[Step], None] | None = None,
    **options: Any,
) -> Tensor:
    return optimize(
        START,
        stages or [(8, 10)],
        lambda size: cast(Objective, objective),
        LoopOptions(**options),
        on_step,
    )


def loss(picture: Tensor) -> float:
    return float(Bowl()(picture)[0]["bowl"].mean())


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": 0}, "steps must be 1 or more"),
        ({"optimizer": "rmsprop"}, "known: adam, adamw, lbfgs, sgd"),
        ({"schedule": "step"}, "known: cosine, constant"),
        ({"learning_rate": -1.0}, "rate must be positive"),
        ({"average": 1.0}, "average must be"),
        ({"tolerance": -0.1}, "tolerance must be"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        LoopOptions(**options)


# -- sizes ---------------------------------------------------------------------------------------


def test_sizes_grow_to_the_full_one_and_keep_its_shape() -> None:
    found = sizes(600, 900, 128)
    assert found[-1] == (600, 900) and max(found[0]) == pytest.approx(159, abs=1)
    for (h, w), (taller, wider) in pairwise(found):
        assert wider / w == pytest.approx(2**0.5, rel=0.02)
        assert taller / h == pytest.approx(2**0.5, rel=0.02)
    assert sizes(600, 900, 0) == sizes(600, 900, 900) == [(600, 900)]
    assert sizes(1, 4000, 100)[0][0] == 1


# -- each optimizer ------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "lbfgs"])
def test_the_loss_falls_and_the_result_is_a_picture(optimizer: str) -> None:
    result = run(Bowl(), optimizer=optimizer, steps=60)
    assert loss(result) < 0.05 * loss(START)
    assert float(result.min()) >= 0 and float(result.max()) <= 1


def test_adamw_is_drawn_to_where_it_began_and_not_to_black() -> None:
    """From 0.5 toward targets on both sides of it: less far than Adam, on each."""
    target = tinyencoder.picture(8, 10, seed=1) * 0.6 + 0.2
    adam, adamw = (
        run(Bowl(), optimizer=name, steps=100, schedule="constant") for name in ("adam", "adamw")
    )
    nearer = (adamw - 0.5).abs() < (adam - 0.5).abs()
    for side in (target < 0.4, target > 0.6):
        assert float(nearer[side].float().mean()) > 0.9


def test_lbfgs_beats_adam_on_a_quadratic() -> None:
    results = {name: loss(run(Bowl(), optimizer=name, steps=40)) for name in ("adam", "lbfgs")}
    assert results["lbfgs"] < 0.5 * results["adam"]


def test_a_step_of_lbfgs_goes_no_further_than_the_longest() -> None:
    pictures = [START]
    run(Bowl(), optimizer="lbfgs", learning_rate=40.0, steps=20,
        on_step=lambda step: pictures.append(step.picture().clone()))  # fmt: skip
    lengths = [float((b - a).abs().mean()) for a, b in pairwise(pictures)]
    assert 0.5 * LONGEST < max(lengths) <= 1.001 * LONGEST


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_tiny_losses_are_optimized_as_well_as_large_ones(optimizer: str) -> None:
    large = run(Bowl(), optimizer=optimizer, steps=40)
    tiny = run(Bowl(1e-6), optimizer=optimizer, steps=40)
    assert loss(tiny) < 0.05 * loss(START)
    if optimizer == "adam":
        torch.testing.assert_close(tiny, large, atol=2e-3, rtol=0)


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_printed_losses_are_optimized_whatever_their_size(optimizer: str) -> None:
    """Sums over a large picture are so large that squares of their gradients are infinite."""
    for scale in (1e-9, 1e22):
        result = run(Bowl(scale, relative=False), [(5, 6), (8, 10)], optimizer=optimizer, steps=60)
        assert loss(result) < 0.05 * loss(START)


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs", "sgd"])
def test_small_printed_losses_explode_too(optimizer: str) -> None:
    rising = Faulty(lambda call, _: 1e6 if call > 5 else 1.0, scale=1e-9, relative=False)
    with pytest.raises(Diverged, match="the loss exploded 5 times, at last in step 6"):
        run(rising, optimizer=optimizer, steps=9)


def test_same_bytes_again() -> None:
    for name in ("adam", "lbfgs"):
        assert torch.equal(
            run(Bowl(), [(5, 6), (8, 10)], optimizer=name, steps=20),
            run(Bowl(), [(5, 6), (8, 10)], optimizer=name, steps=20),
        )


# -- from size to size ---------------------------------------------------------------------------


def test_moments_are_carried_to_the_next_size() -> None:
    """Without them Adam's first step at the new size would be a full one everywhere."""

    def first_change(stages: list[Size]) -> float:
        pictures: list[Tensor] = []
        run(
            Bowl(), stages, lambda step: pictures.append(step.picture()),
            steps=30 * len(stages), average=0.0, schedule="constant",
        )  # fmt: skip
        before, after = pictures[-31:-29] if len(stages) > 1 else (START, pictures[0])
        return float((after - resize(before, (8, 10))).abs().mean())

    assert first_change([(8, 10)]) == pytest.approx(0.02, rel=0.05)
    assert first_change([(8, 10), (8, 10)]) < 0.012
    assert first_change([(4, 5), (8, 10)]) < 0.015


def test_steps_are_numbered_over_all_sizes() -> None:
    seen: list[tuple[int, Size]] = []
    run(Bowl(), [(4, 5), (6, 7), (8, 10)], lambda s: seen.append((s.number, s.size)), steps=11)
    assert [number for number, _ in seen] == list(range(1, 12))
    assert [size for _, size in seen] == [(4, 5)] * 3 + [(6, 7)] * 3 + [(8, 10)] * 5


def test_fewer_steps_than_sizes_all_go_to_the_last() -> None:
    seen: list[tuple[int, Size]] = []
    result = run(
        Bowl(), [(4, 5), (6, 7), (8, 10)], lambda s: seen.append((s.number, s.size)), steps=2
    )
    assert seen == [(1, (8, 10)), (2, (8, 10))] and result.shape == START.shape


# -- mean, tolerance -----------------------------------------------------------------------------


def test_the_mean_of_the_iterates_is_returned() -> None:
    pictures: list[Tensor] = []
    plain = run(
        Bowl(), on_step=lambda s: pictures.append(s.picture()),
        steps=40, average=0.0, schedule="constant",
    )  # fmt: skip
    torch.testing.assert_close(plain, pictures[-1])
    decay = 0.8
    weights = torch.tensor([decay**k for k in range(39, -1, -1)])
    wanted = sum(w * p for w, p in zip(weights / weights.sum(), pictures, strict=True))
    found = run(Bowl(), steps=40, average=decay, schedule="constant")
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


def test_the_schedule_quiets_the_end() -> None:
    def last_change(schedule: str) -> float:
        pictures: list[Tensor] = []
        run(
            Bowl(), on_step=lambda s: pictures.append(s.picture()),
            steps=30, average=0.0, learning_rate=0.1, schedule=schedule,
        )  # fmt: skip
        return float((pictures[-1] - pictures[-2]).abs().mean())

    assert last_change("cosine") < 0.5 * last_change("constant")


def test_tolerance_ends_early_and_the_last_step_has_the_last_number() -> None:
    numbers: list[int] = []
    bowl = Bowl()
    run(bowl, [(4, 5), (8, 10)], lambda s: numbers.append(s.number), steps=2000, tolerance=0.05)
    assert bowl.calls == len(numbers) < 1000
    assert numbers[-1] == 2000 and 1000 in numbers, "the progress reaches its end"
    assert numbers == sorted(set(numbers))
    endless = Bowl()
    run(endless, steps=300)
    assert endless.calls == 300


# -- explosions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e9])
def test_a_single_bad_step_is_rolled_back(optimizer: str, value: float) -> None:
    numbers: list[int] = []
    bowl = Faulty(lambda call, _: value if call == 33 else 1.0)
    result = run(bowl, on_step=lambda s: numbers.append(s.number), optimizer=optimizer, steps=80)
    # L-BFGS looks at its last picture too.
    assert numbers == list(range(1, 81)) and bowl.calls == 81 + (optimizer == "lbfgs")
    assert loss(result) < 0.2 * loss(START)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e9])
def test_a_bad_last_step_of_lbfgs_is_not_the_result(value: float) -> None:
    """Nothing comes after it that would show what it led to."""
    bowl = Bowl()

    def spoil(step: Step) -> None:
        if step.number == 30:
            bowl.seen.data.fill_(value)

    result = run(bowl, on_step=spoil, optimizer="lbfgs", steps=30)
    assert loss(result) < 0.05 * loss(START)
    assert float(result.min()) >= 0 and float(result.max()) <= 1


def test_a_step_asks_the_device_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many terms there are: each question waits for all that was computed."""
    asked: list[str] = []
    for name in ("__float__", "__bool__", "tolist"):
        ask = getattr(Tensor, name)

        def noted(self: Tensor, name: str = name, ask: Any = ask) -> Any:
            asked.append(name)
            return ask(self)

        monkeypatch.setattr(Tensor, name, noted)

    class Many(Bowl):
        def __call__(
            self, picture: Tensor, out: Tensor | None = None
        ) -> tuple[dict[str, Tensor], Tensor]:
            values, gradient = super().__call__(picture)
            return {f"bowl {i}": values["bowl"] / 8 for i in range(8)}, gradient

    run(Many(), steps=5)
    assert asked == ["tolist"] * 5


def test_too_large_a_rate_is_made_smaller_until_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """A steep wall around the start: L-BFGS jumps beyond it at the rate it is given."""
    monkeypatch.setattr("stylepipe.nst.optimize.LONGEST", float("inf"))
    result = run(Bowl(), optimizer="lbfgs", learning_rate=40.0, steps=100)
    assert loss(result) < 0.2 * loss(START)


def test_the_picture_gone_back_to_is_sound() -> None:
    """The step before an explosion has a fine loss, but leads to a picture that has not."""
    bowl = Faulty(lambda call, x: 1e9 if call > WINDOW and bool((x > 0.85).all()) else 1.0)

    def spoil(step: Step) -> None:
        if step.number == WINDOW:
            bowl.seen.data.fill_(0.9)

    result = run(bowl, on_step=spoil, steps=60)
    assert loss(result) < 0.5 * loss(START)


def test_what_explodes_again_and_again_is_an_error() -> None:
    for value in (float("nan"), float("inf")):
        with pytest.raises(Diverged, match=r"exploded 5 times, at last in step 1; take a smaller"):
            run(Faulty(lambda call, _, v=value: v), steps=50)  # type: ignore[misc]
    with pytest.raises(Diverged, match="at last in step 7"):
        run(Faulty(lambda call, _: 1.0 if call < 7 else float("nan")), steps=50)


def test_a_start_that_is_nearly_perfect_does_not_explode() -> None:
    """A hundred times next to nothing is still next to nothing."""
    target = tinyencoder.picture(8, 10, seed=1) * 0.6 + 0.2
    result = optimize(
        target + 1e-6,
        [(8, 10)],
        lambda size: cast(Objective, Bowl()),
        LoopOptions(steps=20, average=0.0),
    )
    assert loss(result) < 1e-3


def test_what_is_remembered_fits_the_picture() -> None:
    assert history(3 * 500 * 500) == 100
    assert 10 < history(3 * 1600 * 1200) < 100
    assert history(3 * 6000 * 4000) == 10
