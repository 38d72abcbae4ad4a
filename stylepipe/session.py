"""A session: components opened once and closed always, for files and for pictures in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from stylepipe.components import Component, Context, Reader
from stylepipe.damage import Damaged, DamageRule
from stylepipe.errors import UsageError
from stylepipe.job import MaskOptions, Settings
from stylepipe.memory import available_memory, freed_blocks_kept, tune_threads
from stylepipe.missing import MissingRule
from stylepipe.regions import with_regions
from stylepipe.styles import asked_styles
from stylepipe.types import MAX_PIXELS, Frame, Info, Item

if TYPE_CHECKING:
    from stylepipe.device import Device
    from stylepipe.paint import Copier, Painter

Log = Callable[[str], None]


def _nothing() -> None:
    """Nobody waits for progress."""


def _silent(what: str) -> None:
    """Report nothing."""


_IN_MEMORY = Item(0, Path("picture"), Path(), Path("picture"))
"""The item that stands for a picture in memory."""


class _LateContext(Context):
    """A context that picks the device when a component asks for it: torch takes two seconds."""

    def __init__(self, pick: Callable[[], Device], **known: Any) -> None:
        vars(self).update(known, pick=pick)

    @cached_property
    def device(self) -> Device:
        device: Device = vars(self)["pick"]()
        return device


class Opener:
    """Opens components, and closes each of them at the end of ``with``, whatever happened."""

    def __init__(
        self,
        *,
        log: Log,
        damaged: Damaged,
        device: str = "auto",
        precision: str = "auto",
        memory: int | None = None,
        progress: Callable[[float, str], None] = Context.progress,
        stage: Callable[[str], None] = Context.stage,
        max_pixels: int = MAX_PIXELS,
        readers: Sequence[Reader] = (),
    ) -> None:
        """Nothing is opened yet. ``memory``: bytes; None takes half of what is free.

        ``readers`` are those by which components may look at other frames of an item.
        """
        self.memory = memory or available_memory() // 2
        self._asked = device, precision
        self.at_progress: Callable[[], None] = _nothing
        """Called whenever a component has reported progress, in the thread that did."""

        def progressed(share: float, text: str) -> None:
            progress(share, text)
            self.at_progress()

        self._context = _LateContext(
            lambda: self.device,
            memory=self.memory,
            log=log,
            progress=progressed,
            stage=stage,
            damaged=damaged,
            max_pixels=max_pixels,
            frames=self._frames,
        )
        self._readers = readers
        self._stack = ExitStack()
        self.closed = False

    @cached_property
    def device(self) -> Device:
        """The device that paints. Raises SetupError if it is not there, or UsageError."""
        tune_threads()
        from stylepipe.device import pick

        return pick(*self._asked)

    def _frames(self, item: Item, start: int = 0) -> Iterator[Frame]:
        """The frames of an item once more. Damage is reported by whoever reads it first."""
        from stylepipe.lookahead import read_again

        quiet = Context(self.device, self.memory, _silent, damaged=_silent)
        return read_again(item, start, self._readers, quiet)

    def open(self, components: Sequence[Component]) -> None:
        """Open the components. Raises SetupError or UsageError."""
        for component in components:
            self._stack.callback(component.close)  # even where it cannot be opened
            component.open(self._context)

    def close(self) -> None:
        """Close all that was opened; a second call does nothing."""
        self.closed = True
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class Session(Opener):
    """Settings at work: what paints is opened at the first picture, and closed with the session.

    :func:`stylepipe.open` makes one for pictures in memory, and the pipeline one for files. While
    it is open, memory that painting frees is kept for the next picture; see
    :func:`stylepipe.memory.freed_blocks_kept`, and :func:`stylepipe.memory.tune_threads`.
    """

    def __init__(
        self, settings: Settings, items: Sequence[Item] = (), *, log: Log, **machine: Any
    ) -> None:
        """Raises UsageError if the stylizer cannot take the styles, or work with the temporal
        method; nothing is opened yet.

        ``items`` are those of a job. ``machine``: ``device``, ``precision``, ``memory``,
        ``progress`` and ``stage``, as an Opener takes them.
        """
        self.settings, self._log = with_regions(settings), log
        self.styles = asked_styles(self.settings, items)
        _check_guides(self.settings)
        self.rule = DamageRule(settings.input.on_damage)
        self.missing = MissingRule(settings.mask.missing, log)
        super().__init__(
            log=log,
            damaged=self.rule.damaged,
            max_pixels=settings.max_pixels,
            readers=settings.readers,
            **machine,
        )
        self._turn = threading.Lock()
        self._failure: Exception | None = None
        """Why what paints could not be opened."""

    @cached_property
    def painter(self) -> Painter | Copier:
        """What paints, opened, with the styles loaded. Raises SetupError or UsageError.

        What fails is closed, and not opened again: the same error is raised each time.
        """
        if self._failure is not None:
            raise self._failure
        try:
            return self._opened()
        except Exception as error:
            self._stack.close()
            self._failure = error
            raise

    def _opened(self) -> Painter | Copier:
        device = self.device  # before all that imports torch
        from stylepipe.paint import Copier, Painter

        components = self.settings.painting
        if not components:
            scale = self.settings.stylizer.caps.scale
            done = "copied as they are" if scale == 1 else f"enlarged {scale} times"
            self._log(f"strength is 0: nothing is painted, pictures are {done}")
            return Copier(scale)
        self._stack.enter_context(freed_blocks_kept())
        self.open(components)
        self.settings.stylizer.prepare(self.styles)
        return Painter(self.settings, device, self.missing)

    def prepare(self) -> Self:
        """Open what paints now, not at the first picture; if that fails, everything is closed."""
        try:
            _ = self.painter
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Finish the picture in hand and close all that was opened; a second call does nothing."""
        with self._turn:
            super().close()

    def paint(self, pictures: Any, mask: Any = None) -> Any:
        """Paint a picture, or a list of pictures, in memory; the same kind comes back.

        A picture is an HxWx3 array of uint8 or uint16 (RGB), a PIL picture (RGB, or RGBA, whose
        transparency is kept; L, LA, P and 1 become one of these), an N3HW or 3HW tensor of any
        floating-point type, in [0, 1] (the result has its type and device; it is computed with 16
        bits a channel and without gradients), or a Frame. They are taken as they lie, upright or
        not, and as sRGB. On an accelerator pictures of one size are painted together.

        ``mask``: HxW, booleans, integers from 0 to 255 (uint8) or floats in [0, 1], as large as
        each of the pictures, instead of the preset's masker: 1 is painted, 0 stays as it was.

        May be called from several threads, which then take turns. Raises UsageError for what is no
        such picture or mask, and after :meth:`close`; ItemError if one cannot be painted.
        """
        from stylepipe.arrays import frames_of, plane_of

        several = isinstance(pictures, (list, tuple))
        taken = [frames_of(picture) for picture in (pictures if several else [pictures])]
        frames = [frame for own, _ in taken for frame in own]
        plane = None if mask is None else plane_of(mask, frames)
        with self._turn:
            painted = iter(self._painted(frames, plane))
        results = [restore(list(islice(painted, len(own)))) for own, restore in taken]
        return results if several else results[0]

    def _painted(self, frames: Sequence[Frame], plane: Any) -> list[Frame]:
        if self.closed:
            raise UsageError("this session is closed; open another with stylepipe.open")
        painter, components = self.painter, self.settings.painting
        if plane is not None and components:
            if self.settings.masker is not None and self.settings.masker.regions is not None:
                raise UsageError("mask= takes the place of one mask, but this session has regions")
            from stylepipe.arrays import GivenMask
            from stylepipe.paint import Painter

            own = replace(self.settings, masker=GivenMask(plane), mask=MaskOptions.build({}))
            painter = Painter(own, self.device, self.missing)
            components = own.painting
        results: list[Frame] = []
        for batch in self._batches(frames):
            height, width = batch[0].pixels.shape[:2]
            info = Info("image", "memory", width, height)
            self.missing.check(components, _IN_MEMORY, info)
            painter.reset(_IN_MEMORY)
            results += painter.paint(_IN_MEMORY, batch)
        return results

    def _batches(self, frames: Sequence[Frame]) -> Iterator[list[Frame]]:
        size = 1 if self.device.type == "cpu" else self.settings.stylizer.caps.batch
        for _, alike in groupby(frames, lambda frame: (frame.pixels.shape, frame.pixels.dtype)):
            while batch := list(islice(alike, size)):
                yield batch


def _check_guides(settings: Settings) -> None:
    """Raises UsageError where stylizer and temporal method do not go together, and for options that
    change only frames with a guide where none has one.
    """
    temporal, stylizer = settings.temporal, settings.stylizer
    if temporal is not None and temporal in settings.painting:
        temporal.check(stylizer)
    guides = temporal is not None and temporal.mode != "filter"
    if guides and stylizer.caps.temporal == "native":
        return
    regional = (region.stylizer for region in settings.regions)
    for kind in (stylizer, *(own for own in regional if own is not None)):
        if idle := sorted(kind.options.given() & set(kind.guided_options)):
            flag = f"--{idle[0].replace('_', '-')}"
            raise UsageError(
                f"{flag} is for frames that {kind.name} continues from the one before, and here "
                "there are none; pass --temporal warp, or leave it out"
            )
