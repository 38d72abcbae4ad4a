"""The ``gatys`` stylizer: the picture itself is optimized, step by step.

Slow beside a trained network, but any painting serves at once, and everything can be adjusted:
see stylepipe.nst.gatys for the method and its sources.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from stylepipe import (
    Batch,
    Caps,
    Context,
    Guide,
    Item,
    ItemError,
    Masker,
    StyleRef,
    Stylizer,
    UsageError,
    digest,
    hookimpl,
    is_out_of_memory,
    options_digest,
)
from stylepipe.nst.names import Pooling
from stylepipe.nst.recipe import TUNABLE
from stylepipe.stylizers import PaintingStylizer, given_picture, working_memory

from .options import LAYERS, GatysBase, gatys_options

if TYPE_CHECKING:
    import torch

    from stylepipe.nst.encoders import Encoder
    from stylepipe.nst.gatys import Gatys
    from stylepipe.nst.optimize import Step

MIN_MEMORY = 64 << 20
"""Bytes below which there is no use in smaller tiles."""


class GatysStylizer(PaintingStylizer):
    """Optimizes each picture toward any painting; minutes a photo, the finest control."""

    name = "gatys"
    Options = gatys_options()
    options: GatysBase
    # Three patches of the deepest layer.
    caps = Caps(strength="native", regions="native", temporal="native", min_side=64)
    for_encoder = (*LAYERS, "pooling", "perceptual_calibration")
    guided_options = ("guided_steps", "temporal_weight")
    gradients = True
    _mask_key = ""
    """Changes with what says where to paint."""
    _sources: Mapping[str, Path] = MappingProxyType({})
    """The job's files by their paths below the input root."""

    def check(
        self,
        styles: Sequence[StyleRef],
        items: Sequence[Item] = (),
        masker: Masker | None = None,
    ) -> None:
        """Also refuses reports that would replace a photo, a mask or a result."""
        super().check(styles, items, masker)
        self.options.check_items(items)
        if masker is not None:
            self.options.check_files(masker.files())
            self._mask_key = options_digest(masker.options, masker.files())
        self._sources = {item.relative.as_posix(): item.source for item in items}

    @property
    def pooling(self) -> Pooling:
        return self.options.pooling

    def check_encoder(self, encoder: Encoder) -> None:
        from stylepipe.nst.lpips import check_calibrated

        recipe = self.options.recipe_for(encoder)
        if calibration := self._read_calibration(encoder):
            try:
                check_calibrated(recipe.perceptual_layers, calibration)
            except ValueError as error:
                raise UsageError(str(error)) from error

    def _read_calibration(self, encoder: Encoder) -> dict[str, torch.Tensor]:
        from stylepipe.nst.lpips import read_calibration

        path = self.options.perceptual_calibration
        try:
            return {} if path is None else read_calibration(path, encoder)
        except (ValueError, FileNotFoundError) as error:
            raise UsageError(str(error)) from error

    def open(self, context: Context) -> None:
        from .trace import SideFiles

        super().open(context)
        self._painter: Gatys | None = None
        self._side_files = SideFiles(context.log)

    def prepare(self, styles: Sequence[StyleRef]) -> None:
        """Read the paintings and the regions, open the encoder, check that all fits together.

        Raises UsageError or SetupError.
        """
        from stylepipe.nst.gatys import Gatys
        from stylepipe.nst.tune import varied

        from .trace import check_outputs
        from .tuning import read_found, settings_key

        options = self.options
        check_outputs(options)
        self._key = digest(settings_key(options, self.files()), self._mask_key)
        found = None
        if options.found is not None:
            found = read_found(options.found, self._key, self._sources, options.searched)
        paintings = self.read_paintings(styles)
        self._start, self._target = (
            None if path is None else given_picture(path, self._context)
            for path in (options.start, options.target)
        )
        encoder = self.open_encoder()  # last: it may have to be fetched
        recipe = options.recipe_for(encoder)
        calibration = self._read_calibration(encoder)
        try:
            if found:
                recipe = varied(recipe, found)
            memory = working_memory(self._context)
            self._painter = Gatys(encoder, paintings, recipe, memory, calibration)
        except ValueError as error:
            raise UsageError(str(error)) from error
        if found:
            self._context.log(f"tuned: {_flags(found)}, as {options.found} has it")
        self._tuned = options.tune is None or found is not None

    def stylize(self, batch: Batch) -> torch.Tensor:
        if self.options.target is not None and batch.time is not None:
            raise ItemError("--target is for one photo, and this is a film")
        return super().stylize(batch)

    def paint(
        self, photo: torch.Tensor, regions: torch.Tensor | None, item: Item, frame: int
    ) -> torch.Tensor:
        return self.paint_guided(photo, regions, item, frame, None)

    def paint_guided(
        self,
        photo: torch.Tensor,
        regions: torch.Tensor | None,
        item: Item,
        frame: int,
        guide: Guide | None,
    ) -> torch.Tensor:
        while True:
            painted = self._attempt(photo, regions, item, frame, guide)
            if painted is not None:
                return painted

    def _attempt(
        self,
        photo: torch.Tensor,
        regions: torch.Tensor | None,
        item: Item,
        frame: int,
        guide: Guide | None,
    ) -> torch.Tensor | None:
        """None if memory did not suffice; the painter then takes half as much."""
        import torch

        from .trace import Trace

        assert self._painter is not None, "prepare() comes before stylize()"
        start = None if self._start is None else fitted(self._start, photo)
        target = self._target_of(photo)
        try:
            if not self._tuned:
                self._tune(photo, regions, start, target, item, frame)
            with Trace(self.options, item, frame, self._side_files) as trace:

                def on_step(step: Step) -> None:
                    trace(step)
                    self.report_step(step)

                painter = self._painter
                painted = painter.paint(
                    photo, regions=regions, start=start, seed=self.options.seed,
                    on_step=on_step, guide=guide, target=target,
                )  # fmt: skip
                trace.judge(lambda: painter.objective(photo, regions, target).judge(painted))
                return painted
        except (RuntimeError, MemoryError) as error:
            smaller = self._painter.memory // 2
            if smaller < MIN_MEMORY or not is_out_of_memory(error):
                raise
        # Not above: until there the error holds all tensors of the attempt.
        old, self._painter = self._painter, None
        if photo.is_cuda:
            torch.cuda.empty_cache()
        self._context.log(f"out of memory; continuing with {smaller >> 20} MiB")
        # For the photos that follow too: to run out of memory again would cost minutes again.
        self._painter = old.changed(memory=smaller)
        return None

    def _target_of(self, photo: torch.Tensor) -> torch.Tensor | None:
        """What the photo should look like. Raises ItemError for one of other proportions."""
        if self._target is None:
            return None
        (h, w), (height, width) = self._target.shape[2:], photo.shape[2:]
        if abs(h * width / w - height) > 1 and abs(w * height / h - width) > 1:
            raise ItemError(
                f"--target {self.options.target} has {w}x{h} pixels, other proportions than the "
                f"photo's {width}x{height}; cut it to fit"
            )
        return self._target.expand(len(photo), -1, -1, -1)

    def _tune(
        self,
        photo: torch.Tensor,
        regions: torch.Tensor | None,
        start: torch.Tensor | None,
        target: torch.Tensor | None,
        item: Item,
        frame: int,
    ) -> None:
        """Search the best weights on the first photo, keep them, and paint with them.

        Raises ItemError in the middle of a film, SetupError if they cannot be kept.
        """
        from stylepipe.nst.tune import search, sheet

        from .tuning import keep_found

        options = self.options
        assert self._painter is not None and options.tune is not None and options.found is not None
        if frame:
            raise ItemError(
                f"its first {frame} frames are painted, but what --tune found for them is not in "
                f"{options.found} any more; pass the flags that it printed instead of --tune"
            )
        old = self._painter
        candidates = search(
            old, photo, regions, start=start, target=target,
            vary=options.searched, seed=options.seed, progress=self._context.progress,
        )  # fmt: skip
        best = candidates[0]
        keep_found(options.found, self._key, item, best, options.searched)
        self._side_files.picture(options.tune, sheet(photo, candidates))
        flags = _flags({name: getattr(best, name) for name in TUNABLE})
        self._context.log(
            f"tuned: {flags} (score {best.score:.3f}, lower is better); "
            f"{len(candidates)} candidates in {options.tune}"
        )
        self._painter = old.changed(best.recipe(old.recipe))
        self._tuned = True

    def close(self) -> None:
        super().close()
        self._painter = None


def _flags(values: Mapping[str, float]) -> str:
    return " ".join(f"--{name.replace('_', '-')} {value:g}" for name, value in values.items())


def fitted(start: torch.Tensor, photo: torch.Tensor) -> torch.Tensor:
    """The middle of a picture 1 3 h w in the proportions of a photo N 3 H W, N times."""
    (h, w), (height, width) = start.shape[2:], photo.shape[2:]
    rows = max(1, min(h, round(w * height / width)))
    columns = max(1, min(w, round(h * width / height)))
    top, left = (h - rows) // 2, (w - columns) // 2
    middle = start[:, :, top : top + rows, left : left + columns]
    return middle.expand(len(photo), -1, -1, -1)


@hookimpl
def stylepipe_components() -> Iterable[type[Stylizer]]:
    # All plugins are loaded by now: losses that others have registered are options, too.
    GatysStylizer.Options = gatys_options()
    return [GatysStylizer]
