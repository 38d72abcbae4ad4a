"""The bundled looks: each is computed, from the colors of a table to what becomes of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch

    from stylepipe.nst.tables import Table


class Look(NamedTuple):
    """A bundled look."""

    title: str
    change: Callable[[torch.Tensor], torch.Tensor]
    """Oklab ...x3 from Oklab ...x3."""


def table(name: str) -> Table:
    """The table of a look."""
    from stylepipe.nst.oklab import oklab, srgb
    from stylepipe.nst.tables import Table, grid

    return Table(srgb(LOOKS[name].change(oklab(grid()))))


def _contrast(light: torch.Tensor, amount: float) -> torch.Tensor:
    """An S-shaped curve through 0, 0.5 and 1; it rises for amounts of up to 1."""
    smooth: torch.Tensor = light**2 * (3 - 2 * light)
    return light + amount * (smooth - light)


def _toned(
    lab: torch.Tensor,
    light: torch.Tensor,
    chroma: float,
    shadows: tuple[float, float],
    lights: tuple[float, float],
) -> torch.Tensor:
    """Lightness ``light``, so much of the chroma, and tints (a, b) of shadows and of lights.

    Tints fade towards black and white, which they would turn gray.
    """
    import torch

    where = lab[..., :1].clamp(0, 1)
    body = 4 * where * (1 - where)
    dark, bright = (lab.new_tensor(tint) for tint in (shadows, lights))
    tint = torch.lerp(dark, bright, where**2 * (3 - 2 * where)) * body
    return torch.cat([light, chroma * lab[..., 1:] + tint], -1)


def _golden_hour(lab: torch.Tensor) -> torch.Tensor:
    return _toned(lab, lab[..., :1] ** 0.95, 1.05, (0.012, 0.0), (0.022, 0.055))


def _teal_orange(lab: torch.Tensor) -> torch.Tensor:
    return _toned(lab, _contrast(lab[..., :1], 0.25), 1.1, (-0.03, -0.035), (0.022, 0.035))


def _faded_film(lab: torch.Tensor) -> torch.Tensor:
    return _toned(lab, 0.18 + 0.76 * lab[..., :1], 0.7, (-0.008, -0.014), (0.006, 0.016))


def _noir(lab: torch.Tensor) -> torch.Tensor:
    return _toned(lab, _contrast(lab[..., :1], 0.7), 0.0, (0.0, 0.0), (0.0, 0.0))


LOOKS = {
    "golden-hour": Look("Low sun: warm lights, soft shadows", _golden_hour),
    "teal-orange": Look("Cinema: teal shadows, orange lights", _teal_orange),
    "faded-film": Look("An old print: lifted blacks, pale colors", _faded_film),
    "noir": Look("Black and white, with deep contrast", _noir),
}
