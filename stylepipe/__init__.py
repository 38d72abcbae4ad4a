"""stylepipe: neural style transfer for photo folders and video, as a pipeline of plugins.

These are the public names; a plugin needs no others. Importing them does not import torch.
"""

from stylepipe.api import convert
from stylepipe.components import (
    Caps,
    Component,
    Context,
    Flow,
    FlowOptions,
    Masker,
    MaskOptions,
    Reader,
    Sink,
    StyleInfo,
    StyleRef,
    Stylizer,
    StylizerOptions,
    Writer,
)
from stylepipe.errors import (
    ItemError,
    NoInputError,
    SetupError,
    StylepipeError,
    UsageError,
    suggest,
)
from stylepipe.hookspecs import hookimpl
from stylepipe.options import Options, option
from stylepipe.styles import parse_style
from stylepipe.types import Batch, Frame, Guide, Info, Item, Meta, Outcome
from stylepipe.version import __version__

__all__ = [
    "Batch",
    "Caps",
    "Component",
    "Context",
    "Flow",
    "FlowOptions",
    "Frame",
    "Guide",
    "Info",
    "Item",
    "ItemError",
    "MaskOptions",
    "Masker",
    "Meta",
    "NoInputError",
    "Options",
    "Outcome",
    "Reader",
    "SetupError",
    "Sink",
    "StyleInfo",
    "StyleRef",
    "StylepipeError",
    "Stylizer",
    "StylizerOptions",
    "UsageError",
    "Writer",
    "__version__",
    "convert",
    "hookimpl",
    "option",
    "parse_style",
    "suggest",
]
