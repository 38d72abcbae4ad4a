"""The terms of the image objective, a family a file. Each file in here is found by itself.

Importing them does not import torch.
"""

from importlib import import_module
from pkgutil import iter_modules

from .base import (
    ContentTerm,
    FeatureTerm,
    PaintingInputs,
    PhotoInputs,
    PictureTerm,
    Room,
    Statistics,
    StatisticTerm,
    Strip,
    StyleTerm,
    Sums,
    Term,
    View,
    layer_weights,
)
from .registry import losses, register

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = [
    "ContentTerm",
    "FeatureTerm",
    "PaintingInputs",
    "PhotoInputs",
    "PictureTerm",
    "Room",
    "StatisticTerm",
    "Statistics",
    "Strip",
    "StyleTerm",
    "Sums",
    "Term",
    "View",
    "layer_weights",
    "losses",
    "register",
]
