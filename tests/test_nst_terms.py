"""The terms: gradients against finite differences, what is zero, what does not depend on size."""

from collections.abc import Callable
from typing import get_args

import pytest
import tinyencoder
import torch
from tinyencoder import STYLE
from torch import Tensor

from stylepipe.nst.encoders import Encoder
from stylepipe.nst.names import StyleDistance
from stylepipe.nst.objective import TiledEncoder
from stylepipe.nst.statistics import mix, stack
from stylepipe.nst.terms import FeatureTerm, PictureTerm, StatisticTerm, View, layer_weights
from stylepipe.nst.terms.content import Content, Perceptual
from stylepipe.nst.terms.histogram import Histogram
from stylepipe.nst.terms.patches import Patches
from stylepipe.nst.terms.smooth import Laplacian, OutOfRange, TotalVariation
from stylepipe.nst.terms.style import Style

KINDS = get_args(StyleDistance)
LAYERS = {"a": 1.0, "b": 3.0}
SHAPES = {"a": (2, 5, 4), "b": (3, 4, 3)}
Maps = dict[str, Tensor]


def maps(seed: int, dtype: torch.dtype = torch.float64, count: int = 1) -> Maps:
    """Features as behind a ReLU: some are zero."""
    generator = torch.Generator().manual_seed(seed)
    return {
        n: (torch.randn(count, *s, generator=generator, dtype=dtype) + 0.5).clamp_min(0)
        for n, s in SHAPES.items()
    }


def regions(dtype: torch.dtype = torch.float64) -> Maps:
    return {n: tinyencoder.halves(s[1], s[2], dtype) for n, s in SHAPES.items()}


def view(features: Maps, region_masks: Maps | None = None) -> View:
    core = {n: (0, f.shape[2], 0, f.shape[3]) for n, f in features.items()}
    return View(features, core, dict.fromkeys(features, (0, 0)), region_masks or {})


def aimed(term: StatisticTerm, target: Maps, region_masks: Maps | None = None) -> StatisticTerm:
    term.aim(term.statistics(term.measure(view(target, region_masks))))
    return term


STATISTICS: dict[str, Callable[[Maps], StatisticTerm]] = {
    **{kind: lambda _, k=kind: Style(LAYERS, 1.0, k) for kind in KINDS},
    "gram-gatys": lambda _: Style(LAYERS, 1.0, "gram", "gatys"),
    "gram-sum": lambda _: Style(LAYERS, 1.0, "gram", "sum"),
    "histogram": lambda style: Histogram([style], LAYERS),
}
TERMS: dict[str, Callable[[Maps], FeatureTerm]] = {
    "content": lambda target: Content(target, LAYERS),
    "perceptual": lambda target: Perceptual(target, LAYERS),
    "patches": lambda target: Patches([(target, 0)], LAYERS, side=3),
    **{n: lambda target, m=make: aimed(m(target), target) for n, make in STATISTICS.items()},
}


# -- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize("weights", [{}, {"a": 0.0}, {"a": 1.0, "b": -1.0}, {"a": float("nan")}])
def test_layer_weights_are_checked(weights: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="not be negative, and not all zero"):
        layer_weights(weights)


def test_unknown_kinds_are_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="known: wasserstein, gram, mean-std"):
        Style(LAYERS, 1.0, "grim")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="power 1 or 2, not 3"):
        TotalVariation(power=3)


def test_a_style_smaller_than_a_patch_is_refused_with_the_layer() -> None:
    small = {"a": torch.rand(1, 3, 2, 9), "b": torch.rand(1, 3, 9, 9)}
    with pytest.raises(ValueError, match="too small for patches of 3x3 features at a"):
        Patches([(small, 0)], LAYERS)


# -- gradients, and zero -----------------------------------------------------------------------


@pytest.mark.parametrize("divided", [False, True], ids=["whole", "regions"])
@pytest.mark.parametrize("name", TERMS)
def test_gradient_is_that_of_finite_differences(name: str, divided: bool) -> None:
    region_masks = regions() if divided else None
    target = maps(1)
    if name in STATISTICS:
        term: FeatureTerm = aimed(STATISTICS[name](target), target, region_masks)
    elif name == "patches" and region_masks is not None:
        term = Patches([(target, region_masks)], LAYERS)
    else:
        term = TERMS[name](target)

    def value(*features: Tensor) -> Tensor:
        found = dict(zip(SHAPES, features, strict=True))
        return term.value(term.measure(view(found, region_masks)))

    # Away from zero, where a length and a deviation have a corner.
    own = [(f + 0.1).requires_grad_() for f in maps(2, count=2).values()]
    assert torch.autograd.gradcheck(value, own, eps=1e-7, atol=1e-5, rtol=1e-4)


PICTURES: dict[str, Callable[[Tensor], PictureTerm]] = {
    "tv 1": lambda _: TotalVariation(power=1),
    "tv 2": lambda _: TotalVariation(power=2),
    "laplacian": lambda photo: Laplacian(photo),
    "laplacian of single pixels": lambda photo: Laplacian(photo, cells=(1,)),
    "range": lambda _: OutOfRange(),
}


@pytest.mark.parametrize("name", PICTURES)
def test_gradient_by_pixels(name: str) -> None:
    torch.manual_seed(0)
    photo, own = torch.rand(2, 1, 3, 12, 13, dtype=torch.float64)
    term = PICTURES[name](photo)
    own = (own * 1.6 - 0.3).requires_grad_()
    assert term.value(own).shape == (1,)
    assert torch.autograd.gradcheck(term.value, [own], eps=1e-7, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", TERMS)
def test_zero_at_the_target_and_only_there(name: str) -> None:
    target = maps(1)
    term = TERMS[name](target)
    there = term.value(term.measure(view(target)))
    elsewhere = term.value(term.measure(view(maps(2))))
    assert float(there.abs().max()) < 1e-3 * float(elsewhere.min())


def test_pixel_terms_are_zero_at_their_targets() -> None:
    photo = tinyencoder.picture(50, 60)
    assert float(Laplacian(photo).value(photo)) == 0
    assert float(Laplacian(photo).value(photo.flip(3))) > 0.1
    assert float(OutOfRange().value(photo)) == 0
    assert float(TotalVariation(power=1).value(torch.full_like(photo, 0.3))) == 0


def test_pictures_of_a_batch_do_not_mix() -> None:
    target, own = maps(1, count=2), maps(2, count=2)
    for name in ("content", "perceptual", "wasserstein", "histogram"):
        make = TERMS[name] if name not in STATISTICS else STATISTICS[name]

        def values(i: slice, make: Callable[[Maps], FeatureTerm] = make) -> Tensor:
            wanted = {n: t[i] for n, t in target.items()}
            term = make(wanted)
            if isinstance(term, StatisticTerm):
                aimed(term, wanted)
            return term.value(term.measure(view({n: o[i] for n, o in own.items()})))

        if name == "histogram":  # its levels are those of one style
            continue
        both = values(slice(None))
        alone = torch.cat([values(slice(0, 1)), values(slice(1, 2))])
        torch.testing.assert_close(both, alone)


# -- scale ---------------------------------------------------------------------------------------


def _tiled(features: Maps, times: int) -> Maps:
    return {n: f.repeat(1, 1, times, times) for n, f in features.items()}


@pytest.mark.parametrize("name", [n for n in TERMS if n not in ("gram-sum", "patches")])
def test_value_is_the_same_for_a_picture_of_more_of_the_same(name: str) -> None:
    target, own = maps(1), maps(2)
    values = []
    for times in (1, 3):
        wanted = _tiled(target, times)
        term = TERMS[name](wanted)
        values.append(float(term.value(term.measure(view(_tiled(own, times))))))
    assert values[1] == pytest.approx(values[0], rel=0.02)


@pytest.mark.parametrize("name", [n for n in TERMS if n not in ("gram-sum", "gram-gatys")])
def test_value_is_the_same_for_an_encoder_of_other_scale(name: str) -> None:
    target, own = maps(1), maps(2)
    values = []
    for scale in (1.0, 50.0):
        term = TERMS[name]({n: t * scale for n, t in target.items()})
        found = term.measure(view({n: o * scale for n, o in own.items()}))
        values.append(float(term.value(found)))
    assert values[1] == pytest.approx(values[0], rel=0.02)


def test_tv_and_laplacian_mean_the_same_at_other_sizes() -> None:
    small = torch.rand(1, 3, 160, 160, generator=torch.Generator().manual_seed(0))
    other = torch.rand(1, 3, 160, 160, generator=torch.Generator().manual_seed(1))
    for power in (1, 2):
        term = TotalVariation(power=power)
        large = small.repeat(1, 1, 3, 3)
        assert float(term.value(large)) == pytest.approx(float(term.value(small)), rel=0.03)
    values = [
        float(Laplacian(small.repeat(1, 1, n, n)).value(other.repeat(1, 1, n, n))) for n in (1, 3)
    ]
    assert values[1] == pytest.approx(values[0], rel=0.2)


def test_the_laplacian_of_a_tiny_picture_falls_back_to_pixels() -> None:
    photo = tinyencoder.picture(9, 40)
    assert float(Laplacian(photo).value(1 - photo)) > 0.1


# -- robust ----------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.0, 0.5])
@pytest.mark.parametrize("name", [*KINDS, "histogram"])
def test_a_flat_painting_is_no_trap(name: str, level: float) -> None:
    net = tinyencoder.encoder()
    tiled_encoder = TiledEncoder(net, list(STYLE))
    flat = torch.full((1, 3, 32, 32), level)
    style = tiled_encoder.maps(flat, list(STYLE))
    term: StatisticTerm = Histogram([style], STYLE)
    if name != "histogram":
        term = Style(STYLE, 1.0, name)  # type: ignore[arg-type]
    (sums,) = tiled_encoder.measure(flat, [term])
    term.aim(term.statistics(sums))
    at_target = abs(float(term.value(sums)))
    (other,) = tiled_encoder.measure(tinyencoder.picture(32, 32), [term])
    value = float(term.value(other))
    assert at_target < 0.05 * value < 500


def test_dark_features_have_a_gradient_of_sensible_size() -> None:
    target = maps(1)
    term = Perceptual(target, LAYERS)
    dark = {n: (1e-9 * torch.ones_like(t)).requires_grad_() for n, t in target.items()}
    term.value(term.measure(view(dark))).sum().backward()
    assert all(float(d.grad.abs().max()) < 100 for d in dark.values() if d.grad is not None)


def test_bfloat16_features_are_added_up_in_float32() -> None:
    target = maps(1, torch.float32)
    half = {n: t.bfloat16() for n, t in target.items()}
    for name, make in TERMS.items():
        term = make({n: h.float() for n, h in half.items()})
        found = term.measure(view(half))
        assert all(f.dtype == torch.float32 for f in found), name
        assert float(term.value(found).abs().max()) < 2e-3, name


@pytest.mark.parametrize("divided", [False, True], ids=["whole", "regions"])
@pytest.mark.parametrize("level", [0.0, 30.0])
def test_sums_of_bfloat16_are_as_good_as_those_of_float32(divided: bool, level: float) -> None:
    """Of channels-last features as the networks make them; also where their variance is small
    beside their mean, which bfloat16 alone would lose.
    """
    generator = torch.Generator().manual_seed(0)
    half = (torch.randn(2, 16, 24, 20, generator=generator) + level).bfloat16()
    half = half.contiguous(memory_format=torch.channels_last)
    region_masks = {"a": tinyencoder.halves(24, 20)} if divided else {}
    slopes: list[Tensor] = []
    found: list[Tensor] = []
    for features in (half.clone(), half.float()):
        features.requires_grad_()
        term = Style({"a": 1.0}, kind="wasserstein")
        _, mean, second = term.statistics(term.measure(view({"a": features}, region_masks)))
        found.append(second - mean[..., :, None] * mean[..., None, :])
        (found[-1] * torch.linspace(-1, 1, 16)).sum().backward()
        found[-1] = found[-1].detach()
        assert features.grad is not None
        slopes.append(features.grad.float())
    assert float((found[0] - found[1]).norm() / found[1].norm()) < 2e-3
    assert torch.linalg.eigvalsh(found[0]).min() > 0.3
    assert float((slopes[0] - slopes[1]).norm() / slopes[1].norm()) < 1e-2


# -- patches -----------------------------------------------------------------------------------


def _patches_by_hand(own: Tensor, style: Tensor) -> float:
    """Li, Wand (2016), eq. 2 and 3, patch by patch."""
    mine, theirs = (torch.nn.functional.unfold(x, 3)[0].T for x in (own, style))
    total = 0.0
    for patch in mine:
        likeness = [float(patch @ t / (patch.norm() * t.norm())) for t in theirs]
        best = theirs[max(range(len(theirs)), key=likeness.__getitem__)]
        total += float((patch - best).square().sum())
    return total / len(mine) / float(theirs.square().sum(dim=1).mean())


def test_patches_by_hand() -> None:
    style, own = maps(1)["a"], maps(2)["a"]
    term = Patches([({"a": style}, 0)], {"a": 1.0})
    value = float(term.value(term.measure(view({"a": own}))))
    assert value == pytest.approx(_patches_by_hand(own, style), rel=1e-6)


def test_slabs_do_not_change_the_value(monkeypatch: pytest.MonkeyPatch) -> None:
    term = Patches([(maps(1), 0)], LAYERS)
    before = float(term.value(term.measure(view(maps(2)))))
    monkeypatch.setattr("stylepipe.nst.patches.SLAB", 1)
    assert float(term.value(term.measure(view(maps(2))))) == pytest.approx(before, rel=1e-12)


def test_of_a_large_style_evenly_chosen_patches_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stylepipe.nst.terms.patches.MAX_PATCHES", 5)
    term = Patches([(maps(1), 0), (maps(2), 0)], LAYERS)
    assert term.held == 2 * 2 * 8 * (18 + 27)
    assert float(term.value(term.measure(view(maps(1))))) > 0.01


def test_a_style_of_more_weight_has_more_of_the_patches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stylepipe.nst.terms.patches.MAX_PATCHES", 4)
    styles = [(maps(1), 0), (maps(2), 1)]
    for shares, wanted in (((3.0, 1.0), 1), ((1.0, 3.0), 3), ((), 2)):
        term = Patches(styles, {"a": 1.0}, shares=shares)
        assert int(term._banks["a"].owner.sum()) == wanted and len(term._banks["a"].owner) == 4


def test_patches_come_from_the_region_of_their_own() -> None:
    """A style of one channel on the left and another on the right; a picture the other way."""
    style = torch.zeros(1, 2, 6, 12, dtype=torch.float64)
    style[:, 0, :, :6], style[:, 1, :, 6:] = 1.0, 1.0
    region_masks = {"a": tinyencoder.halves(6, 12, torch.float64)}
    own = {"a": style.flip(3)}

    def value(term: Patches) -> float:
        return float(term.value(term.measure(view(own, region_masks))))

    anywhere = Patches([({"a": style}, 0)], {"a": 1.0})
    bound = Patches([({"a": style}, region_masks)], {"a": 1.0})
    swapped = Patches([({"a": style}, 1), ({"a": own["a"]}, 0)], {"a": 1.0})
    assert value(bound) > 1.0 > 3 * value(anywhere)
    assert value(swapped) < 0.1


# -- several styles ------------------------------------------------------------------------------


def test_a_mixture_lies_between_and_a_stack_keeps_regions_apart() -> None:
    term = Style(LAYERS, 1.0, "gram")
    one, two = (term.statistics(term.measure(view(maps(seed)))) for seed in (1, 2))
    for mixed, a, b in zip(mix([(one, 1.0), (two, 3.0)]), one, two, strict=True):
        torch.testing.assert_close(mixed, 0.25 * a + 0.75 * b)
    both = stack([one, two])
    assert [len(s[0]) for s in both] == [2] * 6
    region_masks = {n: torch.cat([torch.ones_like(p[:, :1]), torch.zeros_like(p[:, 1:])], 1)
              for n, p in regions().items()}  # fmt: skip
    term.aim(both)
    assert float(term.value(term.measure(view(maps(1), region_masks)))) < 1e-9, (
        "region 2 is not there"
    )
    assert float(term.value(term.measure(view(maps(2), region_masks)))) > 0.01


# Plain sums of a picture without regions are not those of one with them, as printed.
@pytest.mark.parametrize("name", [n for n in STATISTICS if n != "gram-sum"])
def test_a_region_that_the_picture_lacks_does_not_count(name: str) -> None:
    """Whatever its target is, and however many such regions there are."""
    alone = aimed(STATISTICS[name](maps(1)), maps(1))
    wanted = float(alone.value(alone.measure(view(maps(2)))))
    term = STATISTICS[name](maps(1))
    term.aim(stack([term.statistics(term.measure(view(maps(s)))) for s in (1, 3, 4)]))
    region_masks = {n: torch.zeros(1, 3, *s[1:], dtype=torch.float64) for n, s in SHAPES.items()}
    for plane in region_masks.values():
        plane[:, 0] = 1
    assert float(term.value(term.measure(view(maps(2), region_masks)))) == pytest.approx(wanted)


def encoder_in_double() -> Encoder:
    return tinyencoder.encoder(torch.float64)


def test_statistics_of_a_region_are_those_of_its_part_alone() -> None:
    """Inside guides: nothing of the right half counts on the left (Gatys 2017, sec. 4)."""
    net = encoder_in_double()
    left, right = (tinyencoder.picture(48, 48, seed, torch.float64) for seed in (1, 2))
    joined = torch.cat([left, right], dim=3)
    region_masks = net.propagate(tinyencoder.halves(48, 96), list(STYLE), "inside")
    tiled_encoder, term = TiledEncoder(net, list(STYLE)), Style(STYLE, 1.0, "gram")
    mixed = term.statistics(tiled_encoder.measure(joined, [term], region_masks)[0])
    # The same left half beside another neighbor.
    other = torch.cat([left, torch.rand_like(right)], dim=3)
    again = term.statistics(tiled_encoder.measure(other, [term], region_masks)[0])
    for a, b in zip(mixed, again, strict=True):
        torch.testing.assert_close(a[:, 0], b[:, 0])
        if a.ndim > 2:  # but for the number of positions
            assert not torch.allclose(a[:, 1], b[:, 1], rtol=0.01)
