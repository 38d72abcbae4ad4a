"""The ``nnst`` stylizer: each spot is painted like the painting's spot most like it.

See stylepipe.nst.neighbors for the method and its source.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from stylepipe import (
    Batch,
    Caps,
    Context,
    ItemError,
    StyleRef,
    Stylizer,
    UsageError,
    hookimpl,
    option,
)

from .paintings import PaintingOptions, PaintingStylizer, too_large, working_memory

if TYPE_CHECKING:
    import torch

    from stylepipe.nst.neighbors import Neighbors
    from stylepipe.nst.optimize import Step


class NnstOptions(PaintingOptions):
    content: float = option(
        0.5,
        "Part of the photo in what is looked for in the painting: 0 paints most freely, 1 keeps "
        "most.",
        min=0,
        max=1,
    )
    steps: int = option(80, "Steps of the optimizer, in each size.", min=2)
    matches: int = option(2, "How often neighbors are looked for, in each size.", min=1)
    first_side: int = option(64, "Long side of the smallest size worked on.", min=16)
    max_side: int = option(
        1024,
        "Long side of the largest size worked on; a larger photo's picture is enlarged from it.",
        min=64,
    )
    turned: bool = option(True, "Use the painting turned by 90, 180 and 270 degrees too.")
    border: str = option(
        "simple",
        "A spot belongs to the region that covers most of it.",
        choices=("simple",),
    )

    def check(self) -> None:
        super().check()
        if self.matches > self.steps:
            raise UsageError(
                f"--matches {self.matches} is more than --steps {self.steps}: there is at most one "
                "search a step"
            )


class NnstStylizer(PaintingStylizer):
    """Paints each spot like the painting's most similar one; whole motifs, minutes a photo."""

    name = "nnst"
    Options = NnstOptions
    options: NnstOptions
    caps = Caps(regions="native", min_side=64)

    def open(self, context: Context) -> None:
        self._context = context
        self._painter: Neighbors | None = None

    def prepare(self, styles: Sequence[StyleRef]) -> None:
        """Read the paintings and the regions, open the encoder. Raises UsageError, SetupError."""
        from stylepipe.nst.neighbors import NeighborRecipe, Neighbors

        options = self.options
        paintings = self.read_paintings(styles)
        encoder = self.open_encoder()  # last: it may have to be fetched
        try:
            recipe = NeighborRecipe(
                content=options.content,
                steps=options.steps,
                matches=options.matches,
                first_side=options.first_side,
                max_side=options.max_side,
                style_scale=options.style_scale,
                turned=options.turned,
                colors="style" if options.match_colors == "no" else options.match_colors,  # type: ignore[arg-type]
            )
            self._painter = Neighbors(encoder, paintings, recipe, working_memory(self._context))
        except ValueError as error:
            raise UsageError(str(error)) from error

    def stylize(self, batch: Batch) -> torch.Tensor:
        import torch

        painted = []
        # Gradients are needed here, whatever the caller has switched off.
        with torch.inference_mode(False):
            for index, image in enumerate(batch.images):
                photo = image[None].clone() if image.is_inference() else image[None]
                painted.append(self._paint(photo, self.regions_of(batch, index)))
            return torch.cat(painted) if len(painted) > 1 else painted[0]

    def _paint(self, photo: torch.Tensor, regions: torch.Tensor | None) -> torch.Tensor:
        from stylepipe.nst.budget import NotEnoughMemory

        assert self._painter is not None, "prepare() comes before stylize()"
        self.tell_scale(photo, self._painter.paintings)
        try:
            return self._painter.paint(photo, regions, self._tell)
        except NotEnoughMemory as error:
            raise too_large(error, photo) from error
        except ValueError as error:
            raise ItemError(str(error)) from error

    def _tell(self, step: Step) -> None:
        height, width = step.size
        self._context.progress(
            step.number / step.steps, f"{width}x{height} distance {step.terms['distance']:.3f}"
        )

    def close(self) -> None:
        self._painter = None


@hookimpl
def stylepipe_components() -> Iterable[type[Stylizer]]:
    return [NnstStylizer]
