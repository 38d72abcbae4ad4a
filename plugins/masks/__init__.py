"""Where masks come from: files, transparency, boxes, lightness, motion, label maps, networks."""

from __future__ import annotations

import stylepipe
from stylepipe import hookimpl

from .box import BoxMasker
from .classes import ClassesMasker
from .files import AlphaMasker, FilesMasker, FilesOptions
from .grabcut import GrabCutMasker
from .labels import LabelsMasker
from .luminance import LuminanceMasker
from .motion import MotionMasker

__all__ = [
    "AlphaMasker",
    "BoxMasker",
    "ClassesMasker",
    "FilesMasker",
    "FilesOptions",
    "GrabCutMasker",
    "LabelsMasker",
    "LuminanceMasker",
    "MotionMasker",
]


@hookimpl
def stylepipe_components() -> list[type[stylepipe.Component]]:
    return [
        FilesMasker,
        AlphaMasker,
        BoxMasker,
        GrabCutMasker,
        LuminanceMasker,
        MotionMasker,
        LabelsMasker,
        ClassesMasker,
    ]
