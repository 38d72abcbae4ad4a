"""Pictures in two inks: one for the shadows, one for the lights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stylepipe import (
    Batch,
    Caps,
    Context,
    Stylizer,
    StylizerOptions,
    UsageError,
    hookimpl,
    option,
)

if TYPE_CHECKING:
    import torch


class DuotoneOptions(StylizerOptions):
    shadows: str = option("#12324f", "Ink of the dark parts.", metavar="#RRGGBB")
    lights: str = option("#ffe3b0", "Ink of the light parts.", metavar="#RRGGBB")
    contrast: float = option(1.2, "1 keeps the picture's contrast.", min=0.1, max=10)

    def check(self) -> None:
        """Refuse what is no color as soon as the options are read, with one clear sentence."""
        for ink in (self.shadows, self.lights):
            rgb(ink)


def rgb(ink: str) -> tuple[float, float, float]:
    """``#RRGGBB`` as three numbers in [0, 1]. Raises UsageError for anything else."""
    digits = ink.removeprefix("#")
    try:
        red, green, blue = bytes.fromhex(digits)
    except ValueError:
        raise UsageError(f"{ink!r} is no color; write it as #RRGGBB, such as #12324f") from None
    return red / 255, green / 255, blue / 255


class Duotone(Stylizer):
    """Two inks: the picture's lightness goes from one to the other."""

    name = "duotone"
    Options = DuotoneOptions
    caps = Caps(needs_style=False, batch=16)

    def open(self, context: Context) -> None:
        """Called once per job; here a plugin with weights would load them."""
        import torch

        inks = torch.tensor([rgb(self.options.shadows), rgb(self.options.lights)])
        self._inks = inks.to(context.device.torch)[:, None, :, None, None]
        self._luma = torch.tensor([0.2126, 0.7152, 0.0722], device=context.device.torch)

    def stylize(self, batch: Batch) -> torch.Tensor:
        """Return N3HW for N3HW, both in [0, 1]."""
        light = (batch.images * self._luma[:, None, None]).sum(1, keepdim=True)
        light = ((light - 0.5) * self.options.contrast + 0.5).clamp(0, 1)
        shadows, lights = self._inks
        return shadows + (lights - shadows) * light


@hookimpl
def stylepipe_components() -> list[type[Stylizer]]:
    return [Duotone]


@hookimpl
def stylepipe_presets() -> list[Path]:
    return [Path(__file__).with_name("presets")]
