"""What a term of the objective is: something that can be summed over the tiles of a picture.

A term does not see the picture as a whole. It *measures* what it sees (sums over positions), the
measurements of all tiles are added, and the *value* follows from the sum. For terms of statistics
this is exact, not an approximation: the gradient of a tile is that of the whole picture.

A new loss is one file: a class that derives from ContentTerm, StyleTerm, StatisticTerm or
PictureTerm, with ``@register`` (see registry). Modules of terms import torch inside functions, for
names, defaults and help texts are asked for before anything is computed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

if TYPE_CHECKING:
    from torch import Tensor

    from stylepipe.nst.budget import Map
    from stylepipe.nst.encoders import Encoder
    from stylepipe.nst.names import LossScale, StyleDistance
    from stylepipe.types import Guide

Sums = list["Tensor"]
"""Sums over positions; of the same shapes whatever the size of the tile."""
Statistics = list["Tensor"]
"""Means over positions, each N K ...: what a picture's regions are like, whatever their size."""
Box = tuple[int, int, int, int]
"""top, bottom, left, right."""


@dataclass(frozen=True)
class View:
    """The features of a picture, or of one tile of it with its surroundings."""

    features: Mapping[str, Tensor]
    """Layer -> N C h w, surroundings included."""
    core: Mapping[str, Box]
    """Layer -> the part that belongs to the tile, in positions of the whole map."""
    corner: Mapping[str, tuple[int, int]]
    """Layer -> where the features' first position lies in the whole map: row, column."""
    regions: Mapping[str, Tensor] = field(default_factory=dict)
    """Layer -> N K H W in [0,1], of the whole map: how far a position belongs to each region.
    Without an entry there is one region, the picture."""

    def inner(self, layer: str) -> Tensor:
        """The features of the tile itself, N C h w."""
        top, bottom, left, right = self.core[layer]
        row, column = self.corner[layer]
        return self.features[layer][..., top - row : bottom - row, left - column : right - column]

    def region_masks(self, layer: str) -> Tensor | None:
        """The regions of the tile itself, N K h w; None for one region."""
        if layer not in self.regions:
            return None
        top, bottom, left, right = self.core[layer]
        return self.regions[layer][..., top:bottom, left:right]

    def of(self, whole: Tensor, layer: str) -> Tensor:
        """The tile's own part of a map of the whole picture."""
        top, bottom, left, right = self.core[layer]
        return whole[..., top:bottom, left:right]


class Asked(Protocol):
    """What terms read of a recipe."""

    @property
    def strength(self) -> float: ...
    @property
    def tv_power(self) -> int: ...
    @property
    def style_loss(self) -> StyleDistance: ...
    @property
    def loss_scale(self) -> LossScale: ...


@dataclass(frozen=True)
class PhotoInputs:
    """What terms of the content, and of the pixels, are made from."""

    recipe: Asked
    photo: Tensor
    """N 3 H W, in the size to paint."""
    maps: Mapping[str, Tensor]
    """Content layer -> N C h w, its features; none if no term of the content is wanted."""
    guide: Guide | None = None
    """What was painted before, in the photo's size; None for a photo, and a film's first frame."""
    target: Tensor | None = None
    """N 3 H W, what the picture should look like, in the photo's size; None for nothing."""
    calibration: Mapping[str, Tensor] = field(default_factory=dict)
    """Layer -> C, the calibrated weights of a perceptual distance; none: all are 1."""
    roughness: float | None = None
    """Total variation of the paintings, see recipe.tv_power, in the size in which they serve."""


@dataclass(frozen=True)
class PaintingInputs:
    """What terms of the style are made from, for photos of one size."""

    recipe: Asked
    maps: Callable[..., list[dict[str, Tensor]]]
    """maps(layers, side=None): of each painting, in the size in which it serves, layer -> 1 C h w;
    as for a photo of `side` pixels at most."""
    regions: Sequence[Mapping[str, Tensor] | int]
    """What each painting may be used for: one region of the photo, or, by layer, its own regions
    1 K h w."""
    shares: Sequence[float]
    """Of the paintings, of any sum."""


@dataclass(frozen=True)
class Room:
    """What the memory that a term takes depends on."""

    recipe: Asked
    maps: Mapping[str, Map]
    """Of the encoder's layers, by pixel."""
    pixels: int
    """Of the photo."""
    style_pixels: int
    """Of all paintings."""
    regions: int


class Term(ABC):
    """A part of the objective. weight scales its value."""

    name: ClassVar[str]
    """What tables of losses call it."""
    default: ClassVar[float] = 0.0
    """Its weight where none is given."""
    help: ClassVar[str] = ""
    """Of the option, in a sentence."""
    scales: ClassVar[tuple[LossScale, ...]] = ("relative",)
    """The loss scales it is defined at."""
    only_if: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    """Other options without which its weight means nothing, as ``option`` takes them."""
    weight: float

    @classmethod
    def option(cls) -> str:
        """The name of the option that is its weight; by default ``NAME_weight``."""
        return f"{cls.name}_weight"


class FeatureTerm(Term):
    """A term on the features of an encoder; layers are those it reads.

    At the scale ``relative`` every value is relative to its target's size, so that a weight means
    the same for every encoder, layer and picture size.
    """

    layers_option: ClassVar[str]
    """The option, and the recipe's field, that names its layers."""
    layers: tuple[str, ...]
    extra = 0
    """Features that it looks at beyond the tile, below and right."""

    @abstractmethod
    def measure(self, view: View) -> Sums:
        """Sums over the positions of the tile, one tensor or more with N first."""

    @abstractmethod
    def value(self, total: Sums) -> Tensor:
        """The value, N, of the sum of all tiles' measurements."""

    def judged(self, total: Sums) -> Tensor:
        """The value again, to report: exact where :meth:`value` approximates to be fast."""
        return self.value(total)

    @classmethod
    def of_layers(cls, layers: Mapping[str, float], encoder: Encoder) -> Mapping[str, float]:
        """Those of the recipe's layers that it is for, with their shares; by default all."""
        return layers

    @classmethod
    def least_side(cls, encoder: Encoder, layers: Mapping[str, float]) -> int:
        """Pixels that a side needs, of a photo and of a painting."""
        return max(map(encoder.least_side, layers))

    @classmethod
    def nbytes(cls, layers: Mapping[str, float], room: Room) -> int:
        """Bytes that it takes in addition to the photo's maps; by default none that count."""
        return 0


class ContentTerm(FeatureTerm):
    """A term that compares with the photo."""

    layers_option = "content_layers"

    @classmethod
    @abstractmethod
    def build(cls, inputs: PhotoInputs, layers: Mapping[str, float], weight: float) -> Self:
        """The term for a photo."""


class StyleTerm(FeatureTerm):
    """A term that compares with paintings: it is kept for all photos of a size."""

    layers_option = "style_layers"
    whole_maps: ClassVar[bool] = False
    """Whether it is made from the paintings' maps as they are, and not from sums over them."""
    held: int = 0
    """Bytes of what it keeps of the paintings."""

    @classmethod
    @abstractmethod
    def build(cls, inputs: PaintingInputs, layers: Mapping[str, float], weight: float) -> Self:
        """The term for photos of a size. Raises ValueError for paintings that cannot serve."""


class StatisticTerm(StyleTerm):
    """A term that compares statistics of the features, region by region, with a style's."""

    @abstractmethod
    def statistics(self, total: Sums) -> Statistics:
        """The statistics of a picture from its summed measurements."""

    @abstractmethod
    def aim(self, target: Statistics) -> None:
        """Set what to reach; before value() is asked for."""


@dataclass(frozen=True)
class Strip:
    """Some rows of a picture, with rows around them."""

    pixels: Tensor
    """N 3 h W, surroundings included."""
    top: int
    """The picture's row that the pixels begin with."""
    rows: tuple[int, int]
    """The strip's own rows of the picture: first, and first after them."""
    height: int
    """Of the picture."""

    def own(self, above: int = 0, below: int = 0) -> Tensor:
        """The strip's own rows, and this many more on either side, or all that the picture has."""
        first, last = max(self.rows[0] - above, 0), min(self.rows[1] + below, self.height)
        return self.pixels[..., first - self.top : last - self.top, :]


class PictureTerm(Term):
    """A term on the pixels alone: a mean or a sum, so that strips add up to its value."""

    grid = 1
    """Strips begin at multiples of so many rows, and show as many around their own."""
    bytes_per_pixel: ClassVar[int] = 0
    """Of memory that it holds, by pixel of the photo."""

    @classmethod
    @abstractmethod
    def build(cls, inputs: PhotoInputs, weight: float) -> Self:
        """The term for a photo."""

    @abstractmethod
    def part(self, strip: Strip) -> Tensor:
        """What a strip's own rows add to the value, N."""

    def value(self, picture: Tensor) -> Tensor:
        """The value, N, of a picture N 3 H W."""
        height = picture.shape[-2]
        return self.part(Strip(picture, 0, (0, height), height))


def layer_weights(weights: Mapping[str, float], scale: LossScale = "relative") -> dict[str, float]:
    """Scaled to sum 1 where losses are relative. Raises ValueError for none, negative ones, or
    zeros alone.
    """
    if not weights or any(not w >= 0 for w in weights.values()) or not sum(weights.values()) > 0:
        raise ValueError(f"layer weights must not be negative, and not all zero: {dict(weights)}")
    total = sum(weights.values()) if scale == "relative" else 1.0
    return {layer: weight / total for layer, weight in weights.items() if weight > 0}
