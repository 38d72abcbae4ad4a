"""The objective: tile by tile it has the very values and gradient of the whole picture."""

import pytest
import tinyencoder
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tinyencoder import STYLE
from torch import Tensor

from stylepipe.nst import objective as module
from stylepipe.nst.objective import Objective, TiledEncoder
from stylepipe.nst.terms import FeatureTerm, StatisticTerm
from stylepipe.nst.terms.content import Content, Perceptual
from stylepipe.nst.terms.histogram import Histogram
from stylepipe.nst.terms.patches import Patches
from stylepipe.nst.terms.smooth import Laplacian, OutOfRange, TotalVariation
from stylepipe.nst.terms.style import Style

DOUBLE = torch.float64
NET = tinyencoder.encoder(DOUBLE)


def everything(photo: Tensor, regions: dict[str, Tensor] | None) -> list[FeatureTerm]:
    """Each term, aimed at a painting (with regions: as many as the photo has)."""
    tiled_encoder = TiledEncoder(NET, list(STYLE))
    painting = tinyencoder.picture(41, 52, 9, DOUBLE)
    own = None
    if regions is not None:
        own = NET.propagate(tinyencoder.halves(41, 52, DOUBLE), list(STYLE))
    style = tiled_encoder.maps(painting, list(STYLE))
    maps = tiled_encoder.maps(photo, ["relu2_1", "relu3_1"])
    statistics: list[StatisticTerm] = [
        Style(STYLE, 1.0),
        Style({"relu3_1": 1.0}, 0.5, "gram"),
        Style({"relu2_1": 1.0}, 0.5, "mean-std"),
        Histogram([style], STYLE, 0.3),
    ]
    for number, (term, sums) in enumerate(
        zip(statistics, tiled_encoder.measure(painting, statistics, own), strict=True)
    ):
        term.name = f"{term.name}{number}"
        term.aim(term.statistics(sums))
    return [
        Content(maps, {"relu3_1": 1.0}, 0.4),
        Perceptual(maps, {"relu2_1": 1.0}, 0.2),
        Patches([(style, 0 if own is None else own)], {"relu2_1": 1.0, "relu3_1": 1.0}, 0.7),
        *statistics,
    ]


@settings(max_examples=8, deadline=None, derandomize=True)
@example(height=17, width=19, tile=1, divided=True, seed=0)
@given(
    height=st.integers(17, 70),
    width=st.integers(17, 70),
    tile=st.integers(8, 48),  # smaller ones take long, and are tried on the small picture above
    divided=st.booleans(),
    seed=st.integers(0, 99),
)
def test_tiles_give_the_values_and_the_gradient_of_the_whole(
    height: int, width: int, tile: int, divided: bool, seed: int
) -> None:
    photo, own = (tinyencoder.picture(height, width, s, DOUBLE) for s in (seed, seed + 1))
    regions = None
    if divided:
        regions = NET.propagate(tinyencoder.halves(height, width, DOUBLE), list(STYLE))
    terms = everything(photo, regions)
    pixels = [TotalVariation(0.5), Laplacian(photo, 0.5)]
    whole = Objective(NET, terms, pixels, regions=regions)
    tiled = Objective(NET, terms, pixels, regions=regions, tile=tile)
    values, gradient = whole(own)
    others, found = tiled(own)
    assert list(values) == list(others)
    for name, value in values.items():
        torch.testing.assert_close(others[name], value, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found, gradient, rtol=1e-7, atol=1e-9 * float(gradient.abs().max()))


@pytest.mark.parametrize(("height", "width", "tile"), [(45, 62, 9), (70, 33, 21), (31, 31, 16)])
def test_tiles_see_no_more_than_they_need(height: int, width: int, tile: int) -> None:
    """Without patches, which look further, the margin is the reach alone."""
    photo, own = (tinyencoder.picture(height, width, s, DOUBLE) for s in (1, 2))
    terms = [t for t in everything(photo, None) if not isinstance(t, Patches)]
    whole, tiled = Objective(NET, terms), Objective(NET, terms, tile=tile)
    patches = [t for t in everything(photo, None) if isinstance(t, Patches)]
    assert tiled.tiled_encoder.margin < Objective(NET, patches, tile=tile).tiled_encoder.margin
    assert tiled.tiled_encoder.margin - NET.receptive_radius("relu3_1") < NET.stride("relu3_1")
    (_, gradient), (_, found) = whole(own), tiled(own)
    torch.testing.assert_close(found, gradient, rtol=1e-7, atol=1e-9 * float(gradient.abs().max()))


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(12, 90),
    width=st.integers(12, 60),
    strip=st.integers(1, 2000),
    power=st.integers(1, 2),
    cells=st.sampled_from([(1,), (4,), (4, 16), (3, 2)]),
)
def test_strips_of_terms_on_pixels_give_the_values_and_the_gradient_of_the_whole(
    height: int, width: int, strip: int, power: int, cells: tuple[int, ...]
) -> None:
    photo, own = (tinyencoder.picture(height, width, s, DOUBLE) * 1.5 - 0.2 for s in (1, 2))
    own = torch.cat([own, photo.flip(3)])
    terms = [TotalVariation(0.5, power), Laplacian(photo, 0.5, cells), OutOfRange()]
    values, gradient = Objective(NET, [], terms)(own)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "STRIP", strip)
        others, found = Objective(NET, [], terms)(own)
    for name, value in values.items():
        torch.testing.assert_close(others[name], value)
    torch.testing.assert_close(found, gradient)


def test_tiles_in_float32() -> None:
    net = tinyencoder.encoder()
    own, target = tinyencoder.picture(75, 93), tinyencoder.picture(75, 93, 5)
    tiled_encoder = TiledEncoder(net, list(STYLE))
    style = Style(STYLE)
    style.aim(style.statistics(tiled_encoder.measure(target, [style])[0]))
    terms = [style, Content(tiled_encoder.maps(target, ["relu3_1"]), {"relu3_1": 1.0})]
    values, gradient = Objective(net, terms)(own)
    others, found = Objective(net, terms, tile=32)(own)
    for name, value in values.items():
        torch.testing.assert_close(others[name], value, rtol=1e-4, atol=0)
    assert float((found - gradient).norm() / gradient.norm()) < 1e-3


def test_gradient_is_that_of_finite_differences() -> None:
    photo, own = (tinyencoder.picture(18, 21, s, DOUBLE) for s in (1, 2))
    objective = Objective(NET, everything(photo, None), [TotalVariation(0.5)], tile=8)
    _, gradient = objective(own)
    generator = torch.Generator().manual_seed(0)
    for _ in range(4):
        way = torch.randn(own.shape, generator=generator, dtype=DOUBLE)
        step = 1e-7
        ahead, behind = (
            sum(float(v) for v in objective(own + s * way)[0].values()) for s in (step, -step)
        )
        slope = (ahead - behind) / (2 * step)
        assert float((gradient * way).sum()) == pytest.approx(slope, rel=1e-4)


def test_maps_in_tiles_are_those_of_the_whole() -> None:
    photo = tinyencoder.picture(53, 71, 3, DOUBLE)
    whole = TiledEncoder(NET, list(STYLE)).maps(photo, list(STYLE))
    for tile in (4, 17, 32):
        tiled = TiledEncoder(NET, list(STYLE), tile).maps(photo, list(STYLE))
        for layer in STYLE:
            torch.testing.assert_close(tiled[layer], whole[layer])


def test_weights_scale_and_zero_leaves_out() -> None:
    photo, own = (tinyencoder.picture(20, 24, s, DOUBLE) for s in (1, 2))
    maps = TiledEncoder(NET, ["relu2_1"]).maps(photo, ["relu2_1"])

    def run(weight: float, smooth: float) -> tuple[dict[str, Tensor], Tensor]:
        term = Content(maps, {"relu2_1": 1.0}, weight)
        return Objective(NET, [term], [TotalVariation(smooth)])(own)

    values, gradient = run(1.0, 0.0)
    assert list(values) == ["content"]
    threefold, steeper = run(3.0, 0.0)
    torch.testing.assert_close(threefold["content"], 3 * values["content"])
    torch.testing.assert_close(steeper, 3 * gradient)
    assert list(run(0.0, 1.0)[0]) == ["tv"]
    with pytest.raises(ValueError, match="all weights are zero"):
        run(0.0, 0.0)


@pytest.mark.parametrize("tile", [None, 9])
def test_the_gradient_is_written_where_it_is_wanted(tile: int | None) -> None:
    photo, own = (tinyencoder.picture(20, 24, s, DOUBLE) for s in (1, 2))
    objective = Objective(NET, everything(photo, None), [TotalVariation(0.5)], tile=tile)
    values, gradient = objective(own)
    out = torch.full_like(own, 7.0)
    others, found = objective(own, out)
    assert found is out
    torch.testing.assert_close(found, gradient)
    assert all(bool(others[name] == value) for name, value in values.items())


def test_unknown_layers_are_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"no layer 'relu9_9'.* it has relu1_1, relu2_1, relu3_1"):
        Objective(NET, [Style({"relu9_9": 1.0})])


def test_works_where_gradients_are_switched_off() -> None:
    photo, own = (tinyencoder.picture(20, 24, s, DOUBLE) for s in (1, 2))
    maps = TiledEncoder(NET, ["relu2_1"]).maps(photo, ["relu2_1"])
    with torch.no_grad():
        _, gradient = Objective(NET, [Content(maps, {"relu2_1": 1.0})])(own)
    assert float(gradient.abs().max()) > 0


def test_pictures_of_a_batch_are_independent() -> None:
    photos = tinyencoder.picture(33, 26, 1, DOUBLE, count=2)
    own = tinyencoder.picture(33, 26, 2, DOUBLE, count=2)
    region_masks = NET.propagate(tinyencoder.halves(33, 26, DOUBLE), list(STYLE))
    both, gradient = Objective(
        NET, everything(photos, region_masks), regions=region_masks, tile=16
    )(own)
    for i in range(2):
        alone = Objective(NET, everything(photos[i : i + 1], region_masks), regions=region_masks)
        values, found = alone(own[i : i + 1])
        for name, value in values.items():
            torch.testing.assert_close(both[name][i : i + 1], value)
        torch.testing.assert_close(gradient[i : i + 1], found)
