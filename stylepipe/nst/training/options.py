"""How to train: every setting once, with its default, its meaning and its range. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_origin, get_type_hints

from stylepipe.nst.names import StyleDistance, TrainingScale

Precision = Literal["auto", "bfloat16", "float32"]
"""Number types of the convolutions; auto is bfloat16 where that is native."""


def setting(
    default: Any,
    help: str,
    *,
    min: float | None = None,
    max: float | None = None,
    offered: bool = True,
    later: bool = False,
) -> Any:
    """A field of a class below, with its inclusive range.

    offered: whether command lines and forms have it; the others are for programs. later: whether
    there are checkpoints from before it was added: at its default a run is that of such a one.
    """
    facts = {"help": help, "min": min, "max": max, "offered": offered, "later": later}
    return field(default=default, metadata=facts)


def described(kind: type[RunOptions]) -> dict[str, Mapping[str, Any]]:
    """What setting() says of each field; a class that changes only a default inherits it."""
    found: dict[str, Mapping[str, Any]] = {}
    for base in reversed(kind.__mro__):
        declared = base.__dict__.get("__dataclass_fields__", {}).values()
        found |= {f.name: f.metadata for f in declared if f.metadata}
    return found


@dataclass(frozen=True)
class RunOptions:
    """How to train, whatever is trained; each kind of network adds its own.

    Weights of loss terms are relative to each target's size: see losses. Raises ValueError for a
    value out of its range.
    """

    steps: int = setting(8000, "Steps of the optimizer.", min=1)
    batch: int = setting(4, "Pictures a step.", min=1)
    learning_rate: float = setting(1e-3, "Learning rate at its highest.", min=1e-7, max=1)
    warmup: float = setting(
        0.03, "Part of the run in which the learning rate rises.", min=0, max=0.99, offered=False
    )
    max_gradient: float = setting(
        10.0, "Norm to which a step's gradient is shortened.", min=0, offered=False
    )
    seed: int = setting(0, "The same seed gives the same result, on the CPU.", min=0)
    precision: Precision = setting("auto", "Number type of the convolutions.", offered=False)  # noqa: RUF009
    workers: int = setting(1, "CPU threads that share each batch.", min=1, offered=False)
    minutes: float | None = setting(None, "Follow the clock instead of counting steps.", min=0.01)
    checkpoint_every: int = setting(200, "Steps between checkpoints.", min=1)
    preview_every: int = setting(500, "Steps between previews.", min=1)

    def __post_init__(self) -> None:
        for name, facts in described(type(self)).items():
            value, low, high = getattr(self, name), facts["min"], facts["max"]
            if value is None or (low is None and high is None):
                continue
            if not (low is None or value >= low) or not (high is None or value <= high):
                bounds = f"{low:g} or more" if high is None else f"between {low:g} and {high:g}"
                raise ValueError(f"{name} must be {bounds}, got {value}")
        for name, kind in get_type_hints(type(self)).items():
            if get_origin(kind) is Literal and getattr(self, name) not in get_args(kind):
                known = ", ".join(get_args(kind))
                raise ValueError(f"{name} must be one of {known}, got {getattr(self, name)!r}")


# Not in a common base: a checkpoint identifies its run by the settings in their order.
def _zoom() -> Any:
    help = "Pieces come from pictures of size to zoom * size pixels."
    return setting(2.0, help, min=1, offered=False)


def _color_jitter(part: float) -> Any:
    help = "Part of the pieces that get stronger, weaker or other colors."
    return setting(part, help, min=0, max=1)


def _guess(count: int) -> Any:
    help = (
        "Pictures for a first guess by least squares, layer by layer, which is worth some thousand "
        "steps; 0: random weights."
    )
    return setting(count, help, min=0)


def _range_weight() -> Any:
    return setting(10.0, "Weight of values out of range.", min=0, offered=False)


@dataclass(frozen=True)
class StyleOptions(RunOptions):
    """How to train styles."""

    size: int = setting(256, "Side in pixels of the pieces of photos.", min=32)
    copy_steps: int = setting(
        300,
        "So many steps first teach a fresh network to copy its input in the colors of the "
        "painting, the quickest way to a sound start.",
        min=0,
        offered=False,
    )
    style_loss: StyleDistance = setting(  # noqa: RUF009
        "wasserstein", "Distance of the features' statistics.", later=True
    )
    loss_scale: TrainingScale = setting(  # noqa: RUF009
        "relative",
        "Scale of the losses, and so of their weights: relative to the photo and the painting; or "
        "johnson, content and gram as in Johnson 2016, eq. 2 and 4, and smoothness a plain sum, "
        "without losses for tone, hue and spikes.",
        later=True,
    )
    content_weight: float = setting(0.8, "Weight of the content.", min=0)
    style_weight: float = setting(1.0, "Weight of the style.", min=0)
    tone_weight: float = setting(1.0, "Weight of the photo's light and dark.", min=0)
    hue_weight: float = setting(0.5, "Weight of the photo's warm and cold.", min=0)
    tv_weight: float = setting(1.0, "Weight of smoothness (total variation).", min=0)
    range_weight: float = _range_weight()
    spike_weight: float = setting(2.0, "Weight against glassy bubbles.", min=0)
    guide_weight: float = setting(1.0, "Weight of the guide's pictures.", min=0)
    consistency_weight: float = setting(
        0.0,
        "Weight of temporal consistency: a photo that moves, with noise, gives the picture, moved. "
        "For films; twice the network's work.",
        min=0,
    )
    zoom: float = _zoom()
    color_jitter: float = _color_jitter(0.5)
    style_size: int = setting(
        480, "Short side in pixels to which a painting is scaled: sets the size of strokes.", min=32
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss_scale == "relative":
            return
        if self.style_loss != "gram":
            raise ValueError(
                f"the style loss {self.style_loss} has no loss scale johnson: take the style loss "
                "gram, or the loss scale relative"
            )
        ours = [n for n in ("tone", "hue", "spike") if getattr(self, f"{n}_weight")]
        if ours:
            raise ValueError(
                f"the loss scale johnson has no {ours[0]}_weight: tone_weight, hue_weight and "
                "spike_weight must be 0"
            )


@dataclass(frozen=True)
class DecoderOptions(RunOptions):
    """How to train decoders."""

    batch: int = 8
    size: int = setting(192, "Side in pixels of the pieces of photos.", min=64)
    zoom: float = _zoom()
    color_jitter: float = _color_jitter(0.3)
    copies: float = setting(
        0.25, "Part of the rows that are decoded without any style.", min=0, max=1
    )
    reconstruction_weight: float = setting(
        1.0, "Weight of the pixels of rows without style.", min=0
    )
    feature_weight: float = setting(1.0, "Weight of what the encoder sees in the result.", min=0)
    style_weight: float = setting(0.0, "Weight of the painting's style.", min=0)
    temporal_consistency_weight: float = setting(
        0.0, "Weight of staying the same when the photo moves a little: for films.", min=0
    )
    tv_weight: float = setting(0.1, "Weight of smoothness (total variation).", min=0)
    range_weight: float = _range_weight()
    guess: int = _guess(96)


@dataclass(frozen=True)
class UniversalOptions(RunOptions):
    """How to train the universal network."""

    max_gradient: float = 20.0
    size: int = setting(208, "Side in pixels of the pieces of pictures.", min=64)
    zoom: float = _zoom()
    color_jitter: float = _color_jitter(0.3)
    style_jitter: float = setting(
        0.5, "Part of the pieces of paintings that get other colors.", min=0, max=1, offered=False
    )
    photo_styles: float = setting(
        0.25, "Part of the pictures that are painted after another photo.", min=0, max=1
    )
    content_weight: float = setting(0.5, "Weight of the content.", min=0)
    style_weight: float = setting(1.0, "Weight of the style.", min=0)
    example_weight: float = setting(
        1.0, "Weight of the pictures of a painter to imitate.", min=0, offered=False
    )
    consistency_weight: float = setting(
        3.0,
        "Weight of temporal consistency: a photo that moves, with noise, gives the picture, moved.",
        min=0,
    )
    tv_weight: float = setting(0.3, "Weight of smoothness (total variation).", min=0)
    range_weight: float = _range_weight()


@dataclass(frozen=True)
class EncoderOptions(RunOptions):
    """How to train a compact encoder."""

    batch: int = 8
    learning_rate: float = 4e-4
    warmup: float = 0.04
    max_gradient: float = 50.0
    size: int = setting(144, "Side in pixels of the pieces of pictures.", min=64)
    zoom: float = _zoom()
    color_jitter: float = _color_jitter(0.4)
    paintings: float = setting(
        0.25, "Part of each batch that shows paintings.", min=0, max=1, offered=False
    )
    disturbed: float = setting(
        0.45,
        "Part of the pieces with noise or another piece mixed in, because an encoder sees "
        "unfinished pictures too.",
        min=0,
        max=1,
        offered=False,
    )
    points: int = setting(
        500, "Places compared in layers that have more of them.", min=1, offered=False
    )
    guess: int = _guess(112)
