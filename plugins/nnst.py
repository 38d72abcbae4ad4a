"""The ``nnst`` stylizer: each spot is painted like the painting's spot most like it.

See stylepipe.nst.neighbors for the method and its source.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from stylepipe import (
    Caps,
    Item,
    StyleRef,
    Stylizer,
    UsageError,
    hookimpl,
    option,
)
from stylepipe.nst.names import VggName
from stylepipe.nst.recipe import NeighborRecipe
from stylepipe.stylizers import PaintingOptions, PaintingStylizer, working_memory

if TYPE_CHECKING:
    import torch

    from stylepipe.nst.neighbors import Neighbors


class NnstOptions(PaintingOptions):
    encoder: Literal["auto", VggName] = option("auto", "Network that judges the pictures.")
    content: float = option(
        NeighborRecipe.content,
        "Part of the photo in what is looked for in the painting: 0 paints most freely, 1 keeps "
        "most.",
        min=0,
        max=1,
    )
    steps: int = option(NeighborRecipe.steps, "Steps of the optimizer, in each size.", min=2)
    matches: int = option(
        NeighborRecipe.matches, "How often neighbors are looked for, in each size.", min=1
    )
    first_side: int = option(
        NeighborRecipe.first_side, "Long side of the smallest size worked on.", min=16
    )
    max_side: int = option(
        NeighborRecipe.max_side,
        "Long side of the largest size worked on; a larger photo's picture is enlarged from it.",
        min=64,
    )
    turned: bool = option(
        NeighborRecipe.turned, "Use the painting turned by 90, 180 and 270 degrees too."
    )
    border: Literal["simple"] = option(
        NeighborRecipe.border, "A spot belongs to the region that covers most of it."
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
    gradients = True
    _painter: Neighbors | None = None

    def prepare(self, styles: Sequence[StyleRef]) -> None:
        """Read the paintings and the regions, open the encoder. Raises UsageError, SetupError."""
        from stylepipe.nst.neighbors import Neighbors

        options = self.options
        paintings = self.read_paintings(styles)
        encoder = self.open_encoder()  # last: it may have to be fetched
        try:
            recipe = options.into(NeighborRecipe)
            self._painter = Neighbors(encoder, paintings, recipe, working_memory(self._context))
        except ValueError as error:
            raise UsageError(str(error)) from error

    def paint(
        self, photo: torch.Tensor, regions: torch.Tensor | None, item: Item, frame: int
    ) -> torch.Tensor:
        from stylepipe.nst.budget import NotEnoughMemory

        assert self._painter is not None, "prepare() comes before stylize()"
        try:
            return self._painter.paint(photo, regions, self.report_step)
        except NotEnoughMemory as error:
            raise NotEnoughMemory(f"{error}, by --max-side", error.needed) from error

    def close(self) -> None:
        super().close()
        self._painter = None


@hookimpl
def stylepipe_components() -> Iterable[type[Stylizer]]:
    return [NnstStylizer]
