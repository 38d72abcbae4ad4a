"""The terms of the image objective, one file a family."""

from .base import FeatureTerm, PictureTerm, StatisticTerm, Strip, View, mix, stack
from .content import Content, Perceptual
from .histogram import Histogram
from .patches import Patches
from .smooth import Laplacian, OutOfRange, TotalVariation
from .style import KINDS, Style

__all__ = [
    "KINDS",
    "Content",
    "FeatureTerm",
    "Histogram",
    "Laplacian",
    "OutOfRange",
    "Patches",
    "Perceptual",
    "PictureTerm",
    "StatisticTerm",
    "Strip",
    "Style",
    "TotalVariation",
    "View",
    "mix",
    "stack",
]
