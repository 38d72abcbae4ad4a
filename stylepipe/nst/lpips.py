"""The calibrated weights of LPIPS, from the files that its authors publish."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from stylepipe.nst.files import tensors_digest
from stylepipe.nst.names import EncoderName

from .encoders import Encoder, WeightsError, read_tensors

_CHANNELS = {
    (64, 128, 256, 512, 512): "VGG-16",
    (64, 128, 256, 384, 384, 512, 512): "SqueezeNet 1.1",
    (64, 192, 384, 256, 256): "AlexNet",
}
"""Whose features they weigh: the weights themselves do not say."""
ENCODERS: Mapping[str, EncoderName] = {"VGG-16": "vgg16", "SqueezeNet 1.1": "squeezenet"}
"""Those that can be opened, by the networks' titles."""
_VERSIONS = {
    "9153a2043dccf3b525d4f13db916e93ef040548ea923b6f2100de5ebac141a78": "0.1",
    "68f1b1752260e0335c6394983132e210e3ed5c2540e78d239be07671a77130e4": "0.1",
    "718a8b40b0d22f96192d34ab93c0db5c7943558ff6c2407f44812dce2f29b5f4": "0.1",
    "e60d8ee2c0926a5b9ea5353744a0b2d63f81e12b5df5365fbfe1375a034f8619": "0.0",
    "1a1c8db5a561a6810279754ae5f042398fc4cc02b0b8c64d48be743b450da288": "0.0",
    "8a9f071221953c589f32ea6727d04f800af07c3f4d97ef07514bcc3c4e82f687": "0.0",
}
"""By the digest of the tensors, which do not say that either."""


@dataclass(frozen=True)
class Calibration:
    """What is in a file of calibrated weights."""

    network: str
    """The title of the network that they are for."""
    version: str
    """Of LPIPS; ``unknown`` for weights that its authors have not published."""
    weights: Sequence[Tensor]
    """C each, the shallowest layer first."""


def read_published(path: Path) -> Calibration:
    """Tensors ``lin0.model.1.weight`` (1 C 1 1), ``lin1.model.1.weight`` ... of Zhang et al.,
    "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric" (2018).

    Raises FileNotFoundError; WeightsError for a file of something else, and for weights that are
    negative or not finite.
    """
    tensors = read_tensors(path)
    found = {
        int(match[1]): value.flatten().float()
        for key, value in tensors.items()
        if (match := re.fullmatch(r"lin(\d+)\.model\.1\.weight", key))
    }
    weights = [found[index] for index in sorted(found)]
    channels = tuple(map(len, weights))
    if channels not in _CHANNELS or sorted(found) != list(range(len(found))):
        raise WeightsError(
            f"{path}: holds no calibrated weights of LPIPS (lin0.model.1.weight, "
            "lin1.model.1.weight ...) of a network that is known here "
            f"({', '.join(_CHANNELS.values())})"
        )
    if not all(bool((w >= 0).all() and w.isfinite().all()) for w in weights):
        raise WeightsError(f"{path}: holds weights that are negative or not finite")
    version = _VERSIONS.get(tensors_digest(tensors), "unknown")
    return Calibration(_CHANNELS[channels], version, weights)


def read_calibration(path: Path, encoder: Encoder) -> dict[str, Tensor]:
    """Layer -> C, weights of the squared differences of unit-length features, on the encoder's
    device; of an encoder that is cut short, the layers that it has.

    Raises FileNotFoundError; WeightsError as :func:`read_published`, and for weights of another
    network than the encoder.
    """
    found = read_published(path)
    if found.network != encoder.title:
        raise WeightsError(
            f"{path}: holds LPIPS' weights for {found.network}, and the encoder is "
            f"{encoder.title}: take that encoder, or leave the weights out"
        )
    named = zip(encoder.architecture.perceptual, found.weights, strict=True)
    return {name: w.to(encoder.mean.device) for name, w in named if name in encoder.layers}


def check_calibrated(layers: Iterable[str], calibration: Mapping[str, Tensor]) -> None:
    """Raises ValueError for a layer that has no calibrated weights."""
    for layer in layers:
        if layer not in calibration:
            raise ValueError(
                f"the layer {layer} has no calibrated weights; {', '.join(calibration)} have some"
            )
