"""Settings of style transfer, with their defaults. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from .names import (
    Border,
    ColorMatch,
    LossScale,
    Optimizer,
    Schedule,
    Start,
    StyleDistance,
)
from .terms import ContentTerm, StyleTerm, losses

TUNABLE = ("content_weight", "tv_weight", "strength")
"""What tune.search may vary."""
GUIDED_SHARE = 0.2
"""Part of the steps that a frame takes which continues from the one before."""


@dataclass(frozen=True)
class LoopOptions:
    """How to optimize.

    steps: over all sizes. optimizer: adam; adamw, whose decay pulls not to black but to the picture
    that each size began with; lbfgs; sgd, gradient descent without momentum, by the gradient of the
    loss, times the number of the picture's values where losses are relative. learning_rate: None
    takes the optimizer's own.
    schedule: of the rate within the last size. average: decay of the running mean of the iterates
    (Polyak, Juditsky 1992), 0 for none; L-BFGS has none. tolerance: move on to the next size, or
    end, when the loss fell by less than this part of itself in 20 steps; 0: never.
    Raises ValueError for values out of range.
    """

    steps: int = 400
    optimizer: Optimizer = "adam"
    learning_rate: float | None = None
    schedule: Schedule = "cosine"
    average: float = 0.99
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps must be 1 or more, got {self.steps}")
        _check_word("optimizer", self.optimizer, Optimizer)
        _check_word("schedule", self.schedule, Schedule)
        if self.learning_rate is not None and not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}")
        if not 0 <= self.average < 1:
            raise ValueError(f"average must be at least 0 and below 1, got {self.average}")
        if not 0 <= self.tolerance < 1:
            raise ValueError(f"tolerance must be at least 0 and below 1, got {self.tolerance}")


@dataclass(frozen=True, kw_only=True)
class StyleUse:
    """How paintings serve as the style.

    style_scale: size of the painting relative to the picture. match_colors: ``linear`` or
    ``histogram`` first give the painting the photo's colors. border: what counts of a region, see
    Encoder.propagate. Raises ValueError for values out of range.
    """

    style_scale: float = 1.0
    match_colors: ColorMatch = "no"
    border: Border = "feather"

    def __post_init__(self) -> None:
        if not self.style_scale > 0:
            raise ValueError(f"style_scale must be positive, got {self.style_scale}")
        _check_word("match_colors", self.match_colors, ColorMatch)
        _check_word("border", self.border, Border)


@dataclass(frozen=True, kw_only=True)
class RestyleSettings(StyleUse):
    """How photos are restyled in one pass. strength: 0 (the photo) to 1. lossless: what the way
    back loses of the photo is added again, as it is with little strength; a photo that is its own
    style then stays as it is. Raises ValueError for values out of range.
    """

    strength: float = 1.0
    lossless: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_share("strength", self.strength)


@dataclass(frozen=True, kw_only=True)
class NeighborRecipe(StyleUse):
    """How to paint by nearest neighbors.

    content: part of the photo in what is looked for, 0 to 1; the rest is the picture so far.
    steps: of the optimizer, in each size. matches: how often neighbors are looked for, in each
    size. first_side, max_side: long sides of the smallest and the largest size worked on; a
    larger photo's picture is enlarged from the latter. turned: whether the painting serves turned
    by 90, 180 and 270 degrees too. A spot belongs to the region that covers most of it, whatever
    `border` says. Raises ValueError for values out of range.
    """

    content: float = 0.5
    steps: int = 80
    matches: int = 2
    first_side: int = 64
    max_side: int = 1024
    turned: bool = True
    border: Literal["simple"] = "simple"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_share("content", self.content)
        if self.steps < 1 or not 1 <= self.matches <= self.steps:
            raise ValueError(
                f"steps and matches must be 1 or more, and matches no more than steps, got "
                f"{self.steps} and {self.matches}"
            )
        if min(self.first_side, self.max_side) < 1:
            raise ValueError("first_side and max_side must be 1 or more")


@dataclass(frozen=True)
class Recipe(StyleUse):
    """What an optimized picture should be like.

    content_layers, style_layers, perceptual_layers: layer -> share; no perceptual_layers: the
    encoder's. loss_scale: ``relative`` scales losses to their targets' sizes, and shares of
    layers to sum 1, so that weights mean the same for every encoder, picture and painting;
    ``gatys`` and ``sum`` take both as printed, see LossScale. weights: of terms by name; those
    not named have their default, 0 leaves one out. strength: how far the style's statistics are
    to be reached, from the photo's own (0: nothing changes) to the painting's (1). first_side:
    long side of the smallest size worked on, 0 for the full size alone. init: where to start:
    ``style`` is the photo in the painting's colors. The weight of tv means another thing at
    another size, for it acts on the pixels themselves. photorealistic_smoothing: with the term
    photorealistic the result ends in affine maps of the photo, smoothed over this radius; 0 for
    none: see matting.affine_smoothed.
    guided_steps: instead of loop.steps, for frames of a film that continue from the one before;
    None: a share of them, GUIDED_SHARE.
    Raises ValueError for values out of range, for unknown terms, and for those that the scale does
    not have.
    """

    content_layers: Mapping[str, float]
    style_layers: Mapping[str, float]
    weights: Mapping[str, float] = field(default_factory=dict)
    style_loss: StyleDistance = "wasserstein"
    loss_scale: LossScale = "relative"
    tv_power: Literal[1, 2] = 2
    strength: float = 1.0
    first_side: int = 128
    init: Start = "style"
    loop: LoopOptions = field(default_factory=LoopOptions)
    photorealistic_smoothing: int = 15
    guided_steps: int | None = None
    perceptual_layers: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        known = {term.name: term.default for term in losses()}
        for name, value in self.weights.items():
            if name not in known:
                raise ValueError(f"no loss {name!r}; known: {', '.join(known)}")
            if not 0 <= value < float("inf"):
                raise ValueError(f"the weight of {name} must be 0 or more, and finite, got {value}")
        object.__setattr__(self, "weights", known | dict(self.weights))
        if not self.terms(ContentTerm) and not self.terms(StyleTerm):
            raise ValueError("all weights are zero: there is nothing to paint toward")
        check_scale(self.loss_scale, self.weights, self.style_loss)
        _check_share("strength", self.strength)
        _check_word("init", self.init, Start)
        if self.photorealistic_smoothing < 0:
            raise ValueError(
                f"photorealistic_smoothing must be 0 or more, got {self.photorealistic_smoothing}"
            )
        if self.guided_steps is not None and self.guided_steps < 1:
            raise ValueError(f"guided_steps must be 1 or more, got {self.guided_steps}")

    @property
    def guided_loop(self) -> LoopOptions:
        """How to optimize a frame that continues from the one before."""
        steps = self.guided_steps or max(1, round(GUIDED_SHARE * self.loop.steps))
        return replace(self.loop, steps=steps)

    def terms(self, kind: type[Any]) -> list[tuple[type[Any], float]]:
        """The classes of terms of a kind that are wanted, with their weights."""
        weights = self.weights
        return [(term, weights[term.name]) for term in losses(kind) if weights[term.name] > 0]


def check_scale(scale: LossScale, weights: Mapping[str, float], style_loss: StyleDistance) -> None:
    """Raises ValueError for a loss that has a weight, and is not defined at this scale."""
    _check_word("loss_scale", scale, LossScale)
    if scale == "relative":
        return
    if weights.get("style") and style_loss != "gram":
        raise ValueError(
            f"the style loss {style_loss} has no loss scale {scale}: take the style loss gram, or "
            "the loss scale relative"
        )
    for term in losses():
        if weights.get(term.name) and scale not in term.scales:
            raise ValueError(
                f"the loss {term.name} has no loss scale {scale}: give it no weight, or take the "
                "loss scale relative"
            )


def _check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be between 0 and 1, got {value}")


def _check_word(name: str, value: str, known: Any) -> None:
    if value not in get_args(known):
        raise ValueError(f"no {name} {value!r}; known: {', '.join(get_args(known))}")
