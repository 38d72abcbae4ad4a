"""Oklab, a space in which distances are nearly those that eyes see (Ottosson 2020).

Colors are the last dimension. ``L`` is lightness, 0 black to 1 white; ``a`` goes from green to red,
``b`` from blue to yellow, both 0 for grays and within 0.35 of it for what sRGB can show.
"""

from __future__ import annotations

import torch

_CONES = (
    (0.4122214708, 0.5363325363, 0.0514459929),
    (0.2119034982, 0.6806995451, 0.1073969566),
    (0.0883024619, 0.2817188376, 0.6299787005),
)
_OPPONENTS = (
    (0.2104542553, 0.7936177850, -0.0040720468),
    (1.9779984951, -2.4285922050, 0.4505937099),
    (0.0259040371, 0.7827717662, -0.8086757660),
)
_HALVINGS = 12


def oklab(colors: torch.Tensor) -> torch.Tensor:
    """Oklab ...x3 of sRGB colors ...x3 in [0, 1]."""
    linear = torch.where(colors > 0.04045, ((colors + 0.055) / 1.055) ** 2.4, colors / 12.92)
    cones = linear @ linear.new_tensor(_CONES).T
    return cones.clamp_min(0) ** (1 / 3) @ cones.new_tensor(_OPPONENTS).T


def srgb(lab: torch.Tensor) -> torch.Tensor:
    """sRGB colors ...x3 in [0, 1] of Oklab colors ...x3.

    Those that do not exist in sRGB keep lightness and hue, and lose as much chroma as they must.
    """
    light, chroma = lab[..., :1].clamp(0, 1), lab[..., 1:]
    inside = torch.zeros_like(light)
    step = torch.ones_like(light)
    for _ in range(_HALVINGS):
        linear = _linear(torch.cat([light, chroma * (inside + step)], -1))
        shown = ((linear > -1e-4) & (linear < 1 + 1e-4)).all(-1, keepdim=True)
        inside = torch.where(shown, (inside + step).clamp(max=1), inside)
        step = step / 2
    linear = _linear(torch.cat([light, chroma * inside], -1)).clamp(0, 1)
    bright = 1.055 * linear.clamp_min(1e-6) ** (1 / 2.4) - 0.055
    return torch.where(linear > 0.0031308, bright, 12.92 * linear).clamp(0, 1)


def _linear(lab: torch.Tensor) -> torch.Tensor:
    opponents = torch.linalg.inv(torch.tensor(_OPPONENTS, dtype=torch.float64)).to(lab)
    cones = torch.linalg.inv(torch.tensor(_CONES, dtype=torch.float64)).to(lab)
    linear: torch.Tensor = (lab @ opponents.T) ** 3 @ cones.T
    return linear
