"""The ``universal`` stylizer: one small network that paints after any painting, in one pass.

See stylepipe.nst.universal for the network and its sources.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from stylepipe import (
    Batch,
    Caps,
    Component,
    Context,
    Item,
    SetupError,
    StyleRef,
    Stylizer,
    StylizerOptions,
    UsageError,
    full_range_dtype,
    hookimpl,
    option,
    parse_style,
    user_path,
)
from stylepipe.nst.names import ColorMatch
from stylepipe.nst.recent import Recent
from stylepipe.stylizers import given_picture, too_large, working_memory

from .training import NETWORK, UniversalTraining

if TYPE_CHECKING:
    import torch

    from stylepipe.nst.paintings import Painting
    from stylepipe.nst.universal import UniversalNetwork
    from stylepipe.nst.universal_engine import UniversalEngine

MEANS = 3
"""Means over frames that build on one another: of the exposure, and for each of the two norms."""


class UniversalOptions(StylizerOptions):
    network: Path | None = option(
        None, "Network, from stylepipe train universal; by default the one in the package.",
        metavar="FILE",
    )  # fmt: skip
    style_scale: float = option(
        1.0,
        "Size of the strokes: 2 makes them twice as large, in a quarter of the pixels; 0.5 half as "
        "large, in four times as many.",
        min=0.5,
        max=8,
    )
    match_colors: ColorMatch = option("no", "First give the painting the photo's colors.")
    statistics_frames: int = option(
        8,
        "For films: frames of a shot over which statistics are averaged, so that the whole "
        "picture does not pulse; 1 takes each frame alone.",
        min=1,
        max=64,
    )

    def check(self) -> None:
        if self.network is not None and not self.network.is_file():
            raise UsageError(f"no such network file: {self.network}")


class UniversalStylizer(Stylizer):
    """Any painting at once, by a small network made for that; photos and video, on any machine."""

    name = "universal"
    Options = UniversalOptions
    options: UniversalOptions
    caps = Caps()
    _engine: UniversalEngine | None = None
    _paintings: list[Painting]
    _codes: dict[tuple[int, int], torch.Tensor]

    def __init__(self, options: UniversalOptions) -> None:
        super().__init__(options)
        self._recent = Recent(options.statistics_frames)
        self.caps = replace(self.caps, warmup=MEANS * (options.statistics_frames - 1))  # type: ignore[misc]

    def files(self) -> Iterable[Path]:
        # The network in the package, too: an upgrade would change how a film continues.
        styles = (user_path(parse_style(text).name) for text in self.options.style)
        return [self.options.network or NETWORK, *styles]

    def rehearse(self) -> None:
        if self.options.network is not None:
            self._network()

    def open(self, context: Context) -> None:
        self._context = context

    def prepare(self, styles: Sequence[StyleRef]) -> None:
        """Load the network, and read the paintings. Raises UsageError or SetupError."""
        from stylepipe.nst.paintings import Painting
        from stylepipe.nst.universal_engine import UniversalEngine

        if not styles:
            raise UsageError("name a painting to paint after: --style PAINTING")
        context = self._context
        self._paintings = [Painting(given_picture(r.path, context), r.weight) for r in styles]
        self._codes = {}
        device = context.device
        self._engine = UniversalEngine(
            self._network(), device.torch, full_range_dtype(device), working_memory(context)
        )

    def _network(self) -> UniversalNetwork:
        """The network asked for. Raises UsageError or SetupError."""
        from stylepipe.nst.universal import load_universal

        try:
            return load_universal(self.options.network or NETWORK)[0]
        except (ValueError, OSError) as error:
            if self.options.network is None:
                raise SetupError(f"{error}; install stylepipe again") from error
            raise UsageError(str(error)) from error

    def reset(self, item: Item) -> None:
        self._recent.reset()

    def stylize(self, batch: Batch) -> torch.Tensor:
        import torch

        from stylepipe.nst.budget import NotEnoughMemory

        painted = []
        for index in range(len(batch.images)):
            photo = batch.images[index : index + 1]
            self._recent.begin(batch.first + index)
            try:
                result = self._painted(photo)
            except NotEnoughMemory as error:
                raise too_large(error, photo) from error
            self._recent.keep()
            painted.append(result)
        return torch.cat(painted) if len(painted) > 1 else painted[0]

    def _painted(self, photo: torch.Tensor) -> torch.Tensor:
        """A photo 1 3 H W, with strokes of the size asked for."""
        from stylepipe.nst.steady import evened, thumbnail
        from stylepipe.nst.strokes import rescaled, working_size

        engine, remember, scale = self._engine, self._recent.remember, self.options.style_scale
        assert engine is not None, "prepare() comes before stylize()"
        code = self._code(engine, photo, working_size(photo, scale))
        photo = evened(photo, remember("exposure", thumbnail(photo)), 1.0)
        return rescaled(
            photo, scale, lambda seen: engine.paint(seen.clamp(0.0, 1.0), code, remember)
        )

    def _code(
        self, engine: UniversalEngine, photo: torch.Tensor, size: tuple[int, int]
    ) -> torch.Tensor:
        """What the network takes of the paintings, for a photo that is painted in a size."""
        from stylepipe.nst.paintings import recolored

        match = self.options.match_colors
        if match != "no":  # another painting each time
            colored = recolored(self._paintings, photo, match, self._recent.remember)
            return engine.code(colored, size)
        if size not in self._codes:
            self._codes[size] = engine.code(self._paintings, size)
        return self._codes[size]

    def close(self) -> None:
        self._engine = None
        self._paintings, self._codes = [], {}
        self._recent.reset()


@hookimpl
def stylepipe_components() -> Iterable[type[Component]]:
    return [UniversalStylizer, UniversalTraining]
