"""Encoders: fixed networks that map pictures to named feature maps, behind one interface.

`open_encoder` finds one by name, `load_encoder` reads one from a file; `Encoder` says what all of
them do.
"""

from .encoder import IMAGENET_MEAN, IMAGENET_STD, Architecture, Encoder
from .opening import NAMES, POOLINGS, WeightsError, load_encoder, open_encoder, read_tensors
from .vgg import save_encoder, stack_encoder

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "NAMES",
    "POOLINGS",
    "Architecture",
    "Encoder",
    "WeightsError",
    "load_encoder",
    "open_encoder",
    "read_tensors",
    "save_encoder",
    "stack_encoder",
]
