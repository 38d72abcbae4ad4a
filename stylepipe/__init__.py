"""stylepipe: neural style transfer for photo folders and video, as a pipeline of plugins.

These are the public names; a plugin needs no others. Importing them does not import torch. Public
as well are stylepipe.stylizers and stylepipe.restyling (what stylizers after paintings share),
stylepipe.encoders (networks that look at pictures, opened for components), stylepipe.mask_files and
stylepipe.region_maps (pictures drawn over photos, and maps of regions), stylepipe.nst (the
mathematics of style transfer, on tensors), stylepipe.temporal (that of films), stylepipe.weights
(files of others, fetched and checked) and stylepipe.testing (test files and contracts). Whatever is
not documented in one of these may change.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

import stylepipe.startup  # before all others  # noqa: F401
from stylepipe.components import (
    Caps,
    Component,
    Context,
    Flow,
    Masker,
    Reader,
    Sink,
    StyleInfo,
    StyleRef,
    Stylizer,
    StylizerOptions,
    Temporal,
    Training,
    Writer,
)
from stylepipe.device import full_range_dtype, native_bf16
from stylepipe.errors import (
    DamageError,
    ItemError,
    NoInputError,
    NoMask,
    SetupError,
    StylepipeError,
    UsageError,
    suggest,
)
from stylepipe.fieldhelp import show_fields as _show_fields
from stylepipe.fingerprints import digest, options_digest, stamp
from stylepipe.hookspecs import hookimpl
from stylepipe.job import Job, Settings
from stylepipe.memory import is_out_of_memory
from stylepipe.options import Options, option
from stylepipe.paths import user_path
from stylepipe.pictures import PICTURE_SUFFIXES, open_picture, read_cutout, read_picture
from stylepipe.report import Report
from stylepipe.styles import parse_style
from stylepipe.texts import read_toml
from stylepipe.training import (
    TrainingOptions,
    find_pictures,
    read_training_picture,
    run_training,
)
from stylepipe.types import (
    Batch,
    Fate,
    Frame,
    Guide,
    Info,
    Item,
    Meta,
    Original,
    Outcome,
    Painted,
    Text,
)
from stylepipe.version import __version__

__all__ = [
    "PICTURE_SUFFIXES",
    "Batch",
    "Caps",
    "Component",
    "Context",
    "DamageError",
    "Fate",
    "Flow",
    "Frame",
    "Guide",
    "Info",
    "Item",
    "ItemError",
    "Job",
    "Masker",
    "Meta",
    "NoInputError",
    "NoMask",
    "Options",
    "Original",
    "Outcome",
    "Painted",
    "Reader",
    "Report",
    "Session",
    "Settings",
    "SetupError",
    "Sink",
    "StyleInfo",
    "StyleRef",
    "StylepipeError",
    "Stylizer",
    "StylizerOptions",
    "Temporal",
    "Text",
    "Training",
    "TrainingOptions",
    "UsageError",
    "Writer",
    "__version__",
    "convert",
    "digest",
    "find_pictures",
    "full_range_dtype",
    "hookimpl",
    "is_out_of_memory",
    "native_bf16",
    "open",
    "open_picture",
    "option",
    "options_digest",
    "parse_style",
    "read_cutout",
    "read_picture",
    "read_toml",
    "read_training_picture",
    "run_training",
    "stamp",
    "suggest",
    "user_path",
]

if TYPE_CHECKING:
    from stylepipe.api import convert, open
    from stylepipe.session import Session

# What does jobs comes with its first use: help and plugins need none of it.
_LATE = {"convert": "stylepipe.api", "open": "stylepipe.api", "Session": "stylepipe.session"}

for _name in __all__:
    if isinstance(globals().get(_name), type):
        _show_fields(globals()[_name])


def __getattr__(name: str) -> object:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(_import_module(_LATE[name]), name)
    if isinstance(value, type):
        _show_fields(value)
    globals()[name] = value
    return value
