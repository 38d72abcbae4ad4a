"""The calibrated weights of LPIPS, from the files that its authors publish."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor

from .encoders import Encoder, WeightsError, read_tensors

_CHANNELS = {
    (64, 128, 256, 512, 512): "VGG-16",
    (64, 128, 256, 384, 384, 512, 512): "SqueezeNet 1.1",
    (64, 192, 384, 256, 256): "AlexNet",
}
"""Whose features they weigh: the weights themselves do not say."""


def read_calibration(path: Path, encoder: Encoder) -> dict[str, Tensor]:
    """Layer -> C, weights of the squared differences of unit-length features, on the encoder's
    device: tensors ``lin0.model.1.weight`` (1 C 1 1), ``lin1.model.1.weight`` ... of Zhang et al.,
    "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric" (2018). Of an encoder
    that is cut short, the layers that it has.

    Raises FileNotFoundError; WeightsError for a file of something else, for weights that are
    negative or not finite, and for those of another network than the encoder.
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
    if _CHANNELS[channels] != encoder.title:
        raise WeightsError(
            f"{path}: holds LPIPS' weights for {_CHANNELS[channels]}, and the encoder is "
            f"{encoder.title}: take that encoder, or leave the weights out"
        )
    if not all(bool((w >= 0).all() and w.isfinite().all()) for w in weights):
        raise WeightsError(f"{path}: holds weights that are negative or not finite")
    named = zip(encoder.architecture.perceptual, weights, strict=True)
    return {name: w.to(encoder.mean.device) for name, w in named if name in encoder.layers}


def check_calibrated(layers: Iterable[str], calibration: Mapping[str, Tensor]) -> None:
    """Raises ValueError for a layer that has no calibrated weights."""
    for layer in layers:
        if layer not in calibration:
            raise ValueError(
                f"the layer {layer} has no calibrated weights; {', '.join(calibration)} have some"
            )
