"""The ``photo`` stylizer: the look of another photo, in one pass, with every line where it was.

A small copy of the photo is painted as by wct; see stylepipe.nst.affine_grid for what the photo
itself takes over from that.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from stylepipe import Caps, Stylizer, UsageError, hookimpl, option
from stylepipe.nst.recent import Remember, alone
from stylepipe.restyling import RestyleOptions, RestyleStylizer

from .decoding import DECODERS

if TYPE_CHECKING:
    import torch

    from stylepipe.nst.restyle import FeatureTransform

LEVELS = ("relu3_1", "relu2_1", "relu1_1")
"""Without wct's relu4_1, which moves light from where it is in the photo."""
LEAST_SIDE = 64


class PhotoOptions(RestyleOptions):
    cells: int = option(
        12,
        "How far the look is local: parts of the longer side that may be changed each in another "
        "way; 1 changes equal colors alike everywhere.",
        min=1,
        max=64,
    )
    min_gain: float = option(
        0.8,
        "Least part of the photo's contrasts of light that is kept: with less, a misty style may "
        "bring mist.",
        min=0,
        max=1,
    )
    max_gain: float = option(
        2.0,
        "Most by which contrasts are raised, and so the photo's noise; 1 raises none.",
        min=1,
        max=20,
    )
    working_side: int = option(
        512,
        "Long side, in pixels, of the small copy that is compared with the style.",
        min=LEAST_SIDE,
        max=4096,
    )


class PhotoStylizer(RestyleStylizer):
    """Light and colors of another photo; lines stay straight, and films steady (photorealistic)."""

    name = "photo"
    Options = PhotoOptions
    options: PhotoOptions
    caps = Caps(strength="native", regions="native", min_side=LEAST_SIDE)
    decoder_file = DECODERS / "wct.safetensors"
    trained_as = "wct"
    lossless = True

    def transform(self) -> FeatureTransform:
        from stylepipe.nst.restyle import MomentTransform

        # With all of the gain, a sky of 16 bits gets bands.
        return MomentTransform(full=True, gain=0.75)

    def layers(self, decoders: Iterable[str]) -> list[str]:
        known = list(decoders)
        if missing := [layer for layer in LEVELS if layer not in known]:
            raise UsageError(
                f"photo needs decoders of {', '.join(LEVELS)}, and {self.options.decoder} has none "
                f"of {missing[0]}: take a file from stylepipe train wct"
            )
        return list(LEVELS)

    def restyle(
        self, photo: torch.Tensor, regions: torch.Tensor | None, remember: Remember = alone
    ) -> torch.Tensor:
        import torch

        from stylepipe.nst.affine_grid import apply, fit, gather
        from stylepipe.nst.budget import NotEnoughMemory
        from stylepipe.nst.optimize import resize
        from stylepipe.nst.paintings import area
        from stylepipe.nst.steady import evened, thumbnail

        options = self.options
        exposures = remember("exposure", thumbnail(photo))
        photo = evened(photo, exposures, options.strength)
        size = _working_size(photo.shape[2], photo.shape[3], options.working_side)
        small, planes = resize(photo, size), None if regions is None else area(regions, size)
        try:
            target = super().restyle(small, planes)
        except NotEnoughMemory as error:
            raise NotEnoughMemory(f"{error}, by --working-side", error.needed) from error
        sums = gather(small, target, planes, options.cells)
        recent = torch.stack(remember(("sums", regions is None), sums))
        functions = fit(recent.sum(dim=0), options.min_gain, options.max_gain)
        return apply(functions, photo, regions)


def _working_size(height: int, width: int, longest: int) -> tuple[int, int]:
    """The size of the copy that is painted; the encoder needs some pixels of narrow pictures."""
    factor = max(longest / max(height, width), LEAST_SIDE / min(height, width))
    factor = min(1.0, factor)
    return max(1, round(height * factor)), max(1, round(width * factor))


@hookimpl
def stylepipe_components() -> Iterable[type[Stylizer]]:
    return [PhotoStylizer]
