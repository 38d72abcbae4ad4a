"""The photo's colors under the painting's strokes; linear light."""

from __future__ import annotations

import torch

_LUMA = (0.299, 0.587, 0.114)  # Rec. 601, as in YIQ
_CONTRAST = (0.7, 1.25)
"""How far the painting's contrast may be changed to meet the photo's: more burns out the lights."""


def keep_colors(images: torch.Tensor, painted: torch.Tensor) -> torch.Tensor:
    """Give ``painted`` the colors of ``images``: both, and the result, are N3HW in [0, 1].

    Luminance comes from the painting, chrominance from the photo, in YIQ (Gatys et al.,
    "Preserving Color in Neural Artistic Style Transfer", 2016, sec. 3.2). The painting's luminance
    is first given the photo's mean and, within limits, its contrast, so that a dark style does not
    make the photo dull. Colors that do not exist at the new luminance lose saturation, not hue.
    """
    light = _luma(images)
    strokes = _matched(_luma(painted), light).clamp_(0, 1)
    chroma = images - light
    most, least = chroma.amax(1, keepdim=True), chroma.amin(1, keepdim=True)
    room = torch.minimum((1 - strokes) / most.clamp_min(1e-6), strokes / -least.clamp_max(-1e-6))
    return chroma.mul_(room.clamp_(max=1)).add_(strokes)


def to_linear(values: torch.Tensor) -> torch.Tensor:
    """The linear intensities, in [0, 1], of sRGB values in [0, 1] (IEC 61966-2-1)."""
    curve = ((values + 0.055) / 1.055) ** 2.4
    return torch.where(values <= 0.04045, values / 12.92, curve)


def from_linear(light: torch.Tensor) -> torch.Tensor:
    """The sRGB values, in [0, 1], of linear intensities in [0, 1]."""
    curve = 1.055 * light ** (1 / 2.4) - 0.055
    return torch.where(light <= 0.0031308, light * 12.92, curve)


def _luma(images: torch.Tensor) -> torch.Tensor:
    red, green, blue = images[:, :1], images[:, 1:2], images[:, 2:]
    return _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue


def _matched(luma: torch.Tensor, model: torch.Tensor) -> torch.Tensor:
    area = (2, 3)
    spread, wanted = (
        x.std(area, correction=0, keepdim=True).clamp_min(1e-4) for x in (luma, model)
    )
    gain = (wanted / spread).clamp(*_CONTRAST)
    return (luma - luma.mean(area, keepdim=True)) * gain + model.mean(area, keepdim=True)
