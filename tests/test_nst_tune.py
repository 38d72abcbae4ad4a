"""The search for weights: what is tried, how it is judged, the sheet."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
import tinyencoder
import torch
from tinyencoder import STYLE
from torch import Tensor

from stylepipe.nst import tune
from stylepipe.nst.gatys import Gatys
from stylepipe.nst.optimize import resize
from stylepipe.nst.paintings import Painting
from stylepipe.nst.recipe import TUNABLE, LoopOptions, Recipe
from stylepipe.nst.tune import CONTENT, SMOOTH, Candidate, search, sheet

PHOTO = tinyencoder.picture(60, 80, 1)
PAINTING = 1 - tinyencoder.picture(60, 48, 2) ** 2


def recipe(**changes: object) -> Recipe:
    weights = {n.removesuffix("_weight"): changes.pop(n) for n in [*changes] if "_weight" in n}
    base: dict[str, object] = {
        "weights": weights,
        "content_layers": {"relu3_1": 1.0}, "style_layers": STYLE, "first_side": 0,
        "loop": LoopOptions(steps=500, learning_rate=0.05),
    }  # fmt: skip
    return Recipe(**(base | changes))  # type: ignore[arg-type]


def painter(
    paintings: Sequence[Painting] = (Painting(PAINTING),),
    calibration: Mapping[str, Tensor] | None = None,
    **changes: object,
) -> Gatys:
    return Gatys(tinyencoder.encoder(), paintings, recipe(**changes), 1 << 30, calibration)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tune, "SIDE", 30)
    monkeypatch.setattr(tune, "STEPS", 3)


def test_the_grid_is_tried_small_and_the_best_comes_first() -> None:
    shares: list[float] = []
    candidates = search(
        painter(strength=0.8), PHOTO, None, progress=lambda share, text: shares.append(share)
    )
    tried = {(c.content_weight, c.tv_weight, round(c.strength, 6)) for c in candidates}
    grid = {(c, s, 0.8) for c in CONTENT for s in SMOOTH}
    best = min((c for c in candidates if c.strength == 0.8), key=lambda c: c.score)
    assert tried == grid | {(best.content_weight, best.tv_weight, 0.56)}
    assert len(candidates) == len(tried) == len(shares)
    assert shares == sorted(shares) and shares[-1] == 1.0
    scores = [c.score for c in candidates]
    assert scores == sorted(scores) and all(math.isfinite(s) for s in scores)
    assert all(c.picture.shape == (1, 3, 30, 40) for c in candidates)


@pytest.mark.parametrize(
    ("vary", "count"), [(["content_weight"], 4), (["tv_weight"], 2), (["strength"], 2)]
)
def test_what_is_not_to_vary_stays(vary: list[str], count: int) -> None:
    given = {"strength": 0.8, "content_weight": 0.77, "tv_weight": 0.55}
    shares: list[float] = []
    found = search(
        painter(**given), PHOTO, None,
        vary=vary, progress=lambda share, text: shares.append(share),
    )  # fmt: skip
    assert len(found) == count and shares[-1] == 1.0
    for name in TUNABLE:
        values = {getattr(c, name) for c in found}
        assert (values == {given[name]}) == (name not in vary)


def test_the_score_weighs_content_against_style() -> None:
    judge = tune._Judge(painter(strength=0.3), PHOTO, None)
    content, style = judge(PHOTO)
    assert content == pytest.approx(0, abs=1e-6) and style == pytest.approx(1, rel=1e-4)
    loop = LoopOptions(steps=15, learning_rate=0.05)
    painted = painter(loop=loop, tv_weight=0.02).paint(PHOTO)
    content, style = judge(painted)
    assert content > 0.01 and style < 0.5
    assert Candidate(1, 1, 1, PHOTO, 0.5, 0.2).score == pytest.approx(1.5 * 1.2)


def test_a_candidate_makes_a_recipe() -> None:
    choice = Candidate(0.25, 8.0, 0.7, PHOTO, 0.1, 0.2)
    made = choice.recipe(recipe(style_weight=3.0))
    assert [made.weights[name] for name in ("content", "tv", "style")] == [0.25, 8, 3]
    assert made.strength == 0.7
    assert made.loop.steps == 500, "the search is short, the painting is not"


def test_regions_are_searched_too() -> None:
    region_masks = tinyencoder.halves(60, 80)
    both = painter(paintings=[Painting(PAINTING), Painting(PAINTING.flip(1))])
    assert len(search(both, PHOTO, region_masks)) == len(CONTENT) * len(SMOOTH) + 1


def test_candidates_are_painted_as_the_photo_will_be() -> None:
    """With the same start, target and calibrated weights."""
    weights = {"perceptual_weight": 5.0, "target_weight": 5.0}
    calibration = {"relu2_1": torch.rand(8, generator=torch.Generator().manual_seed(0))}
    calibrated = painter(**weights, perceptual_layers={"relu2_1": 1.0}, calibration=calibration)
    other = tinyencoder.picture(60, 80, 5)
    given: dict[str, Tensor] = {"start": other, "target": other}
    best = search(calibrated, PHOTO, None, vary=["tv_weight"], **given)[0]
    loop = replace(calibrated.recipe.loop, steps=tune.STEPS)
    same = calibrated.changed(replace(best.recipe(calibrated.recipe), loop=loop))
    small = resize(PHOTO, best.picture.shape[2:])
    assert torch.equal(same.paint(small, **given), best.picture)
    assert not torch.equal(same.paint(small), best.picture)
    plain = Gatys(same.encoder, same.paintings, same.recipe, same.memory)
    assert not torch.equal(plain.paint(small, **given), best.picture)


def test_the_sheet_shows_the_photo_and_then_all_candidates() -> None:
    pictures = [torch.full((1, 3, 6, 8), k / 10) for k in range(1, 5)]
    candidates = [Candidate(1, 1, 1, p, 0, 0) for p in pictures]
    board = sheet(torch.zeros(1, 3, 12, 16), candidates)
    row = 6 + tune.LABEL
    assert board.shape == (1, 3, 2 * row, 24)
    cells = [float(board[0, 0, 3 + row * (k // 3), 4 + 8 * (k % 3)]) for k in range(6)]
    assert cells == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4, 1.0])


def test_candidates_are_labeled_by_their_values() -> None:
    one = Candidate(0.25, 8.0, 0.7, torch.zeros(1, 3, 20, 192), 0.1, 0.2)
    assert one.label == "content-weight 0.25\ntv-weight 8, strength 0.7\nscore 1.320"
    other = Candidate(0.6, 8.0, 0.7, one.picture, 0.1, 0.2)
    below = sheet(PHOTO, [one, other])[0, 0, 20 : 20 + tune.LABEL]
    first, second = below[:, 192:384], below[:, 384:]
    assert first.min() < 0.5 < first.max() and not torch.equal(first, second)
    assert (first[:, -3:] == 1).all(), "it fits"
