"""The ``given`` stylizer: another tool's result, with all that the engine adds to results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stylepipe import (
    Batch,
    Caps,
    Component,
    Context,
    Info,
    Item,
    ItemError,
    Masker,
    StyleRef,
    Stylizer,
    StylizerOptions,
    UsageError,
    hookimpl,
    option,
)

if TYPE_CHECKING:
    import torch

    from stylepipe.companion import Companion


class GivenOptions(StylizerOptions):
    painted: Path | None = option(
        None,
        "What another tool made of the input: a film, or a folder or pattern of numbered frames, "
        "of the same size and length, or a picture; unset: the input itself.",
        metavar="FILE",
    )

    def check(self) -> None:
        from stylepipe.companion import Companion

        if self.painted is not None and not Companion.exists(self.painted):
            raise UsageError(f"there is nothing at {self.painted}, which --painted names")


class GivenStylizer(Stylizer):
    """Another tool's result, or the input itself, with temporal methods, masks and strength."""

    name = "given"
    Options = GivenOptions
    options: GivenOptions
    caps = Caps(needs_style=False)
    _companion: Companion | None = None

    def check(
        self,
        styles: Sequence[StyleRef],
        items: Sequence[Item] = (),
        masker: Masker | None = None,
    ) -> None:
        if styles:
            raise UsageError("given paints nothing, so it takes no style; leave out --style")
        if self.options.painted is not None and len(items) > 1:
            raise UsageError(
                f"--painted {self.options.painted} is the result of one input, and there are "
                f"{len(items)}; run them one by one"
            )

    def check_item(self, item: Item, info: Info) -> None:
        if self.options.painted is not None:
            if info.format == "camera":
                raise ItemError("--painted is the result of a film, and a camera shows none")
            from stylepipe.companion import Companion

            self._companion = Companion(self.options.painted, item, info)

    def open(self, context: Context) -> None:
        self._context = context

    def stylize(self, batch: Batch) -> torch.Tensor:
        if self._companion is None:
            return batch.images.clone()
        import torch

        frame = self._companion.at(batch.time)
        pixels = torch.from_numpy(frame.pixels).to(batch.images.device, torch.float32)
        return (pixels / frame.white).permute(2, 0, 1)[None]

    def close(self) -> None:
        self._companion = None


@hookimpl
def stylepipe_components() -> Iterable[type[Component]]:
    return [GivenStylizer]
