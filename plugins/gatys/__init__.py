"""The ``gatys`` stylizer: the picture itself is optimized, step by step.

Slow beside a trained network, but any painting serves at once, and every wish can be expressed:
see stylepipe.nst.gatys for the method and its sources.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from stylepipe import (
    Batch,
    Caps,
    Context,
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

from ..paintings import PaintingStylizer, given_picture, too_large, working_memory
from .options import GatysOptions

if TYPE_CHECKING:
    import torch

    from stylepipe import Job
    from stylepipe.nst.gatys import Gatys
    from stylepipe.nst.optimize import Step

LEAST_MEMORY = 64 << 20
"""Bytes below which there is no use in smaller tiles."""


class GatysStylizer(PaintingStylizer):
    """Optimizes each picture towards any painting; minutes a photo, the finest control."""

    name = "gatys"
    Options = GatysOptions
    options: GatysOptions
    caps = Caps(
        strength="native", regions="native", min_side=64
    )  # three patches of the deepest layer
    _mask_key = ""
    """Changes with what says where to paint."""
    _sources: Mapping[str, Path] = MappingProxyType({})
    """The job's files by their paths below the input root."""

    def expect(self, items: Sequence[Item], masker: Masker | None) -> None:
        """Learn of the job's items. Raises UsageError for a report that would replace one, or a
        mask."""
        self.options.check_items(items)
        if masker is not None:
            self.options.check_files(masker.files())
            self._mask_key = options_digest(masker.options, masker.files())
        self._sources = {item.relative.as_posix(): item.source for item in items}

    def open(self, context: Context) -> None:
        from .trace import Aside

        self._context = context
        self._painter: Gatys | None = None
        self._aside = Aside(context.log)

    def prepare(self, styles: Sequence[StyleRef]) -> None:
        """Read the paintings and the regions, open the encoder, check that all fits together.

        Raises UsageError or SetupError.
        """
        from stylepipe.nst.gatys import Gatys

        from .trace import check_outputs
        from .tuning import read_found, settings_key

        options = self.options
        check_outputs(options)
        self._key = digest(settings_key(options, self.files()), self._mask_key)
        found = None
        if options.found is not None:
            found = read_found(options.found, self._key, self._sources, options.searched)
        paintings = self.read_paintings(styles)
        self._start = None
        if options.start is not None:
            self._start = given_picture(options.start, self._context)
        encoder = self.open_encoder(options.pooling)  # last: it may have to be fetched
        recipe = options.recipe(encoder)
        try:
            changes: dict[str, Any] = dict(found or {})
            recipe = replace(recipe, **changes)
            self._painter = Gatys(encoder, paintings, recipe, working_memory(self._context))
        except ValueError as error:
            raise UsageError(str(error)) from error
        if found:
            flags = " ".join(f"{_flag(name)} {value:g}" for name, value in found.items())
            self._context.log(f"tuned: {flags}, as {options.found} has it")
        self._tuned = options.tune is None or found is not None

    def stylize(self, batch: Batch) -> torch.Tensor:
        import torch

        painted = []
        # Gradients are needed here, whatever the caller has switched off.
        with torch.inference_mode(False):
            for index, image in enumerate(batch.images):
                photo = image[None].clone() if image.is_inference() else image[None]
                painted.append(self._paint(photo, batch, index))
            return torch.cat(painted) if len(painted) > 1 else painted[0]

    def _paint(self, photo: torch.Tensor, batch: Batch, index: int) -> torch.Tensor:
        regions = self.regions_of(batch, index)
        if self._painter is not None:
            self.tell_scale(photo, self._painter.paintings)
        while True:
            painted = self._attempt(photo, regions, batch.item, batch.first + index)
            if painted is not None:
                return painted

    def _attempt(
        self, photo: torch.Tensor, regions: torch.Tensor | None, item: Item, frame: int
    ) -> torch.Tensor | None:
        """None if memory did not suffice; by then the painter is one that takes half as much."""
        import torch

        from stylepipe.nst.budget import NotEnoughMemory
        from stylepipe.nst.gatys import Gatys
        from stylepipe.nst.optimize import Diverged

        from .trace import Trace

        assert self._painter is not None, "prepare() comes before stylize()"
        try:
            if not self._tuned:
                self._tune(photo, regions, item, frame)
            with Trace(self.options, item, frame, self._aside) as trace:

                def on_step(step: Step) -> None:
                    trace(step)
                    self._tell(step)

                return self._painter.paint(
                    photo,
                    regions=regions,
                    start=None if self._start is None else fitted(self._start, photo),
                    seed=self.options.seed,
                    on_step=on_step,
                )
        except NotEnoughMemory as error:
            raise too_large(error, photo) from error
        except (Diverged, ValueError) as error:
            raise ItemError(str(error)) from error
        except (RuntimeError, MemoryError) as error:
            smaller = self._painter.memory // 2
            if smaller < LEAST_MEMORY or not is_out_of_memory(error):
                raise
        # Not above: until there the error holds all tensors of the attempt.
        old, self._painter = self._painter, None
        if photo.is_cuda:
            torch.cuda.empty_cache()
        self._context.log(f"out of memory; going on with {smaller >> 20} MiB")
        # For the photos that follow too: to run out of memory again would cost minutes again.
        self._painter = Gatys(old.encoder, old.paintings, old.recipe, smaller)
        return None

    def _tell(self, step: Step) -> None:
        terms = " ".join(f"{name} {value:.3f}" for name, value in step.terms.items())
        height, width = step.size
        self._context.progress(step.number / step.steps, f"{width}x{height} {terms}")

    def _tune(
        self, photo: torch.Tensor, regions: torch.Tensor | None, item: Item, frame: int
    ) -> None:
        """Search the best weights on the first photo, keep them, and go on with them.

        Raises ItemError in the middle of a film, SetupError if they cannot be kept.
        """
        from stylepipe.nst.gatys import Gatys
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
            old.encoder, old.paintings, old.recipe, photo, regions,
            memory=old.memory, vary=options.searched, seed=options.seed,
            progress=self._context.progress,
        )  # fmt: skip
        best = candidates[0]
        keep_found(options.found, self._key, item, best, options.searched)
        self._aside.picture(options.tune, sheet(photo, candidates))
        self._context.log(
            f"tuned: {best.title} (score {best.score:.3f}, lower is better); "
            f"{len(candidates)} candidates in {options.tune}"
        )
        self._painter = Gatys(old.encoder, old.paintings, best.recipe(old.recipe), old.memory)
        self._tuned = True

    def close(self) -> None:
        self._painter = None


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


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
    return [GatysStylizer]


@hookimpl
def stylepipe_job_start(job: Job, items: Sequence[Item]) -> None:
    """Refuse reports that would replace a photo or a result, of whichever item."""
    stylizer = job.settings.stylizer
    if isinstance(stylizer, GatysStylizer):
        stylizer.expect(items, job.settings.masker)
