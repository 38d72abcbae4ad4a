"""What papers print: the losses of recipes, computed here by plain torch from the formulas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tinyencoder
import torch
import torch.nn.functional as F
from stylepipe_plugins.fast.training import FastTrainingOptions
from stylepipe_plugins.gatys.options import GatysOptions
from stylepipe_plugins.style_swap import SwapOptions
from torch import Tensor

from stylepipe import UsageError
from stylepipe.nst.encoders import Encoder, stack_encoder
from stylepipe.nst.gatys import Gatys
from stylepipe.nst.inverses import OptimizationInverter
from stylepipe.nst.networks import LIGHT, StyleNetwork, StyleRecord
from stylepipe.nst.objective import Objective
from stylepipe.nst.paintings import Painting
from stylepipe.nst.recipe import LoopOptions, Recipe
from stylepipe.nst.recipes import RECIPES, recipe_help
from stylepipe.nst.training.options import StyleOptions
from stylepipe.nst.training.styles import Exemplar, StyleTask, Teacher
from stylepipe.plugins import Plugins
from stylepipe.presets import explain
from stylepipe.testing import context

DEEP = (
    *("relu1_1", "relu1_2", "relu2_1", "relu2_2", "relu3_1", "relu3_3"),
    *("relu4_1", "relu4_2", "relu4_3", "relu5_1"),
)


def convolutions() -> dict[str, tuple[Tensor, Tensor]]:
    """Random weights, in float64, of the layers that the recipes name."""
    generator = torch.Generator().manual_seed(0)
    found, inputs = {}, 3
    for name in DEEP:
        weight = torch.randn(5, inputs, 3, 3, generator=generator, dtype=torch.float64)
        found[name] = (weight * (2 / (9 * inputs)) ** 0.5, weight.new_full((5,), 0.05))
        inputs = 5
    return found


@pytest.fixture(scope="module")
def stack() -> dict[str, tuple[Tensor, Tensor]]:
    return convolutions()


def features(
    stack: Mapping[str, tuple[Tensor, Tensor]], x: Tensor, average: bool = False
) -> dict[str, Tensor]:
    """The maps of a picture, by torch's functions alone."""
    found: dict[str, Tensor] = {}
    block = "1"
    for name, (weight, bias) in stack.items():
        if name[4] != block:
            block = name[4]
            x = (
                2 * F.avg_pool2d(x, 2, ceil_mode=True)
                if average
                else F.max_pool2d(x, 2, 2, 0, 1, True)
            )
        x = F.relu(F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), weight, bias))
        found[name] = x
    return found


def gram(maps: Tensor) -> Tensor:
    """G_ij = sum over k of F_ik F_jk."""
    flat = maps[0].flatten(1)
    return flat @ flat.T


def double(height: int, width: int, seed: int) -> Tensor:
    return tinyencoder.picture(height, width, seed).double()


X, PHOTO, PAINTING = double(64, 80, 1), double(64, 80, 2), double(64, 80, 3)


def encoder(stack: dict[str, tuple[Tensor, Tensor]], pooling: str = "max") -> Encoder:
    return stack_encoder(stack, pooling).placed("cpu", torch.float64).double()


def recipe_of(net: Encoder, **options: Any) -> Recipe:
    return GatysOptions(style=("painting.png",), **options).recipe_for(net)


def values(net: Encoder, recipe: Recipe, painting: Tensor = PAINTING) -> dict[str, float]:
    objective = Gatys(net, [Painting(painting)], recipe, 1 << 30).objective(PHOTO)
    return {name: float(value) for name, value in objective(X)[0].items()}


# -- the recipes ---------------------------------------------------------------------------------


def test_gatys2015_is_equations_1_and_4(stack: dict[str, tuple[Tensor, Tensor]]) -> None:
    net = encoder(stack, "average")
    found = values(net, recipe_of(net, recipe="gatys2015"))
    x, photo, painting = (features(stack, p, average=True) for p in (X, PHOTO, PAINTING))
    content = (x["relu4_2"] - photo["relu4_2"]).square().sum() / 2
    style = torch.zeros((), dtype=torch.float64)
    for layer in ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"):
        n, m = x[layer].shape[1], x[layer][0, 0].numel()
        error = (gram(x[layer]) - gram(painting[layer])).square().sum()
        style += 1 / 5 * error / (4 * n**2 * m**2)
    assert set(found) == {"content", "style"}, "and no other term"
    assert found["content"] == pytest.approx(1e-3 * float(content), rel=1e-6)
    assert found["style"] == pytest.approx(float(style), rel=1e-6)


def test_chen2016_is_equation_4(stack: dict[str, tuple[Tensor, Tensor]]) -> None:
    options = SwapOptions(style=("painting.png",), recipe="chen2016")
    net = encoder(stack)
    wanted = features(stack, PAINTING)["relu3_1"]
    inverter = OptimizationInverter(
        net, options.layer, options.into(LoopOptions), options.tv_weight, None, options.loss_scale
    )
    found = {name: float(v) for name, v in inverter.objective(wanted)(X)[0].items()}
    content = (features(stack, X)["relu3_1"] - wanted).square().sum()
    steps = (X[..., 1:] - X[..., :-1], X[..., 1:, :] - X[..., :-1, :])
    tv = sum(float(step.square().sum()) for step in steps)
    assert (options.patch_size, options.patch_stride) == (3, 1)
    assert found == {
        "content": pytest.approx(float(content), rel=1e-6),
        "tv": pytest.approx(1e-6 * tv, rel=1e-6),
    }


@pytest.mark.parametrize(
    ("recipe", "weights"),
    [
        ("johnson2016", (1.0, 5.0, 1e-6)),
        ("wang-style-1", (1.0, 3.0, 0.01)),
        ("wang-style-2", (1.0, 15.0, 0.01)),
    ],
)
def test_johnson2016_and_its_followers_are_equations_2_to_5(
    stack: dict[str, tuple[Tensor, Tensor]], recipe: str, weights: tuple[float, float, float]
) -> None:
    options = FastTrainingOptions(recipe=recipe, style_size=64)
    run: StyleOptions = options.run_options(context())
    net = encoder(stack)
    pixels = (PAINTING[0, :, :, :64] * 255).round().byte()
    teacher = Teacher(
        net, dict.fromkeys(options.style_layers, 1.0), dict.fromkeys(options.content_layers, 1.0)
    )
    task = StyleTask(
        StyleNetwork(LIGHT, 1), [teacher], [Path("photo.png")],
        [Exemplar(StyleRecord("painting"), Path("painting.png"))], replace(run, copy_steps=0),
        read=lambda _: pixels.permute(1, 2, 0).numpy(),
    )  # fmt: skip
    none = torch.zeros(1, dtype=torch.long)
    found = {n: float(v) for n, v in task.terms(PHOTO, X, none, torch.ones(1, 1), 0).items()}
    x, photo = features(stack, X), features(stack, PHOTO)
    painting = features(stack, (pixels[None].float() / 255).double())
    content = (x["relu2_2"] - photo["relu2_2"]).square().mean()
    style = sum(
        (gram(x[n]) / x[n][0].numel() - gram(painting[n]) / painting[n][0].numel()).square().sum()
        for n in ("relu1_2", "relu2_2", "relu3_3", "relu4_3")
    )
    steps = (X[..., 1:] - X[..., :-1], X[..., 1:, :] - X[..., :-1, :])
    tv = sum(float(step.square().sum()) for step in steps)
    printed = {"content": float(content), "style": float(style), "tv": tv}
    for (name, value), weight in zip(printed.items(), weights, strict=True):
        assert found.pop(name) == pytest.approx(weight * value, rel=1e-6), name
    assert not any(found.values()), "and no other term"
    assert (run.size, run.batch) == (256, 4)


# -- scales ----------------------------------------------------------------------------------------

PLAIN = {"style_loss": "gram", "tv_weight": 0.5, "content_layers": ("relu2_1",)}


def test_sums_are_plain_also_for_a_painting_of_another_size(
    stack: dict[str, tuple[Tensor, Tensor]],
) -> None:
    net, small = encoder(stack), double(40, 48, 3)
    layers = ("relu1_1:2", "relu3_1")
    recipe = recipe_of(net, **PLAIN, loss_scale="sum", tv_power=1, style_layers=layers)
    found = values(net, recipe, small)
    x, photo, painting = (features(stack, p) for p in (X, PHOTO, small))
    style = sum(
        share * (gram(x[n]) - gram(painting[n])).square().sum()
        for n, share in (("relu1_1", 2), ("relu3_1", 1))
    )
    steps = (X[..., 1:] - X[..., :-1], X[..., 1:, :] - X[..., :-1, :])
    assert found["style"] == pytest.approx(float(style), rel=1e-6)
    content = (x["relu2_1"] - photo["relu2_1"]).square().sum()
    assert found["content"] == pytest.approx(0.2 * float(content), rel=1e-6)
    assert found["tv"] == pytest.approx(0.5 * sum(float(s.abs().sum()) for s in steps), rel=1e-6)


def test_sums_with_regions_are_over_each_regions_size() -> None:
    """(1/K) sum over k of |G(a_k) / N_a - G(x_k) / N_x|^2, as printed with spatial control."""
    net = stack_encoder({"relu1_1": convolutions()["relu1_1"]}).double()
    options = {**PLAIN, "content_layers": (), "content_weight": 0.0, "style_layers": ("relu1_1",)}
    recipe = replace(recipe_of(net, **options, loss_scale="sum"), border="simple")
    halves = tinyencoder.halves(64, 80).double()
    arts = [Painting(PAINTING), Painting(double(64, 80, 4))]
    found = Gatys(net, arts, recipe, 1 << 30).objective(PHOTO, halves)(X)[0]
    stack = {"relu1_1": convolutions()["relu1_1"]}
    maps = features(stack, X)["relu1_1"]
    error = 0.0
    for part, art in zip((maps[..., :40], maps[..., 40:]), arts, strict=True):
        own = features(stack, art.picture)["relu1_1"]
        grams = [gram(m) / m[0, 0].numel() for m in (part, own)]
        error += float((grams[0] - grams[1]).square().sum()) / 2
    assert float(found["style"]) == pytest.approx(error, rel=1e-6)


@pytest.mark.parametrize("scale", ["gatys", "sum"])
def test_tiles_change_nothing_at_any_scale(
    stack: dict[str, tuple[Tensor, Tensor]], scale: str
) -> None:
    net = encoder(stack)
    extras = {"laplacian_weight": 0.3, "photorealistic": 0.2, "perceptual_weight": 0.1}
    more = {**PLAIN, **extras, "style_layers": ("pool1", "relu2_1", "pool2")}
    recipe = recipe_of(net, **more, loss_scale=scale)
    target = double(64, 80, 5)
    painter = Gatys(net, [Painting(PAINTING)], recipe, 1 << 30)
    whole = painter.objective(PHOTO, target=target)
    cut = Objective(net, whole.features, whole.pixels, tile=16)
    assert len(list(cut.tiled_encoder.parts(64, 80))) > 4
    for one, other in zip(whole(X), cut(X), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=0)
    assert {"target", "tv", "laplacian", "photorealistic", "perceptual"} < set(whole(X)[0])
    judged = whole.judge(X)
    torch.testing.assert_close(judged, whole(X)[0])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"loss_scale": "gatys"}, "the style loss wasserstein has no loss scale gatys: take"),
        ({"loss_scale": "sum", "style_loss": "mean-std"}, "mean-std has no loss scale sum"),
        (
            {"loss_scale": "sum", "style_loss": "gram", "patches_weight": 1},
            "the loss patches has no loss scale sum",
        ),
        ({"recipe": "gatys2015", "histogram_weight": 1}, "histogram has no loss scale gatys"),
        ({"recipe": "gatys2015", "optimizer": "sgd"}, "gatys needs --learning-rate"),
        ({"recipe": "gatys2016"}, "recipe cannot be 'gatys2016'.*gatys2015"),
        ({"recipe": "gatys2015", "style_loss": "wasserstein"}, "has no loss scale gatys"),
    ],
)
def test_what_no_formula_has_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        GatysOptions(style=("a.png",), **options)


def test_a_recipe_names_itself_where_the_encoder_lacks_its_layers() -> None:
    net = tinyencoder.encoder()
    with pytest.raises(UsageError, match=r"no layer 'relu4_2'.*--recipe gatys2015 asks for it"):
        recipe_of(net, recipe="gatys2015")
    with pytest.raises(UsageError, match=r"no layer 'relu9_1'.*pool2$"):
        recipe_of(net, recipe="gatys2015", content_layers=("relu9_1",))


def test_explicit_options_win_over_a_recipe_also_those_of_the_defaults_value() -> None:
    options = GatysOptions(style=("a.png",), recipe="gatys2015", optimizer="adam", steps=7)
    assert (options.optimizer, options.steps, options.init) == ("adam", 7, "noise")
    assert GatysOptions.build(options.values()) == options
    training = FastTrainingOptions(recipe="wang-style-1", steps=8000)
    assert (training.epochs, training.values()["steps"]) == (None, 8000)
    swap = SwapOptions(style=("a.png",), recipe="chen2016", steps=0)
    assert (swap.loss_scale, swap.tv_weight) == ("relative", 0.5), "of the optimization alone"


def test_values_of_a_recipe_are_explained_as_its_own() -> None:
    given = {"use": "gatys", "recipe": "gatys2015", "optimizer": "adam"}
    found = explain(Plugins(), "default", {"stylizer": given})["stylizer"]
    assert (found["init"].value, found["init"].origin) == ("noise", "recipe gatys2015")
    assert found["style_layers"].origin == "recipe gatys2015"
    assert found["tv_power"].origin == "default"
    assert "recipe" not in found["optimizer"].origin and "recipe" not in found["recipe"].origin


def test_every_recipe_is_in_the_help_of_its_command() -> None:
    classes = {
        "gatys": GatysOptions, "style-swap": SwapOptions, "train fast": FastTrainingOptions,
    }  # fmt: skip
    for printed in RECIPES:
        cls = classes[printed.command]
        assert printed.name in cls.recipes and printed.name in recipe_help(printed.command)
        assert set(printed.settings) <= {spec.name for spec in cls.specs()}
