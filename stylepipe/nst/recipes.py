"""Recipes: what papers print, as values of options. Imports no torch.

Recipes are declared here alone; help texts, the documentation and the commands read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

FIVE = tuple(f"relu{block}_1:0.2" for block in range(1, 6))
JOHNSON = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")


@dataclass(frozen=True)
class Printed:
    """What a paper prints.

    name: of the recipe. command: whose options it sets: ``gatys``, ``train fast``. paper: its
    authors and title. settings: option -> value. note: what it leaves open, and what differs.
    """

    name: str
    command: str
    paper: str
    settings: Mapping[str, Any]
    note: str


_OF_JOHNSON: Mapping[str, Any] = MappingProxyType(
    {
        "loss_scale": "johnson",
        "style_loss": "gram",
        "content_layers": ("relu2_2",),
        "style_layers": JOHNSON,
        "tone_weight": 0.0,
        "hue_weight": 0.0,
        "spike_weight": 0.0,
        "color_jitter": 0.0,
        "init": "random",
        "size": 256,
        "style_size": 256,
        "batch": 4,
    }
)


def _wang(name: str, style_weight: float) -> Printed:
    return Printed(
        name,
        "train fast",
        "Wang, Yu, Wang, Xie, Comparative Analysis of Different Methods in Neural Style Transfer",
        {
            **_OF_JOHNSON,
            "content_weight": 1.0,
            "style_weight": style_weight,
            "tv_weight": 0.01,
            "learning_rate": 2e-3,
            "epochs": 5.0,
        },
        "it uses VGG-19; layers and smoothness, which it does not print, are those of johnson2016",
    )


RECIPES = (
    Printed(
        "gatys2015",
        "gatys",
        "Gatys, Ecker, Bethge, A Neural Algorithm of Artistic Style (2015)",
        {
            "loss_scale": "gatys",
            "style_loss": "gram",
            "content_layers": ("relu4_2",),
            "style_layers": FIVE,
            "content_weight": 1e-3,
            "style_weight": 1.0,
            "tv_weight": 0.0,
            "pooling": "average",
            "init": "noise",
            "first_side": 0,
            "optimizer": "lbfgs",
        },
        "it uses VGG-19; L-BFGS is printed in the authors' paper of 2016, the number of steps in "
        "neither",
    ),
    Printed(
        "chen2016",
        "style-swap",
        "Chen, Schmidt, Fast Patch-based Style Transfer of Arbitrary Style (2016)",
        {
            "loss_scale": "sum",
            "layer": "relu3_1",
            "patch_size": 3,
            "patch_stride": 1,
            "steps": 100,
            "tv_weight": 1e-6,
        },
        "eq. 4, by optimization; it uses VGG-19; step size and number of steps are ours; "
        "0 steps take the decoder, the paper's inverse network",
    ),
    Printed(
        "johnson2016",
        "train fast",
        "Johnson, Alahi, Fei-Fei, Perceptual Losses for Real-Time Style Transfer and "
        "Super-Resolution (2016)",
        {
            **_OF_JOHNSON,
            "content_weight": 1.0,
            "style_weight": 5.0,
            "tv_weight": 1e-6,
            "learning_rate": 1e-3,
            "steps": 40000,
        },
        "it uses VGG-16, and one learning rate throughout, where ours rises and falls; the weights "
        "of content and style, and the size of the painting, there of its long side, are those of "
        "the authors' code; smoothness has the least of the printed weights, 1e-6",
    ),
    _wang("wang-style-1", 3.0),
    _wang("wang-style-2", 15.0),
)


def recipes_of(command: str) -> dict[str, Mapping[str, Any]]:
    """The settings of the recipes of a command, by their names."""
    return {printed.name: printed.settings for printed in RECIPES if printed.command == command}


def recipe_help(command: str) -> str:
    """The help of a command's option ``recipe``: its recipes, and what they leave open."""
    listed = "; ".join(f"{p.name}: {p.paper} ({p.note})" for p in RECIPES if p.command == command)
    return f"Use the settings that a paper prints; options that are given win. {listed}."
