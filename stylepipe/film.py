"""A film being painted: what leads from one of its frames to the next."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stylepipe import guard
from stylepipe.checks import named
from stylepipe.components import Temporal
from stylepipe.errors import ItemError
from stylepipe.paint import Cover, Painter, finish
from stylepipe.temporal.scenes import is_cut
from stylepipe.types import Frame, Guide, Item, Painted


class Interrupted(Exception):
    """The user wants to stop: the current shot is abandoned."""


@dataclass(frozen=True)
class Link:
    """How a frame follows from ``source``, the one before it."""

    source: Frame
    cut: bool
    """A new shot begins with the frame."""
    motion: Any = None
    """What the temporal method found."""


def link(frame: Frame, source: Frame, temporal: Temporal | None) -> Link:
    """Compare two source frames. Any thread."""
    cut = is_cut(frame.pixels, source.pixels)
    if cut or temporal is None or temporal.mode != "guide":
        return Link(source, cut)
    return Link(source, cut, temporal.motion(frame, source))


class Film:
    """Paints a film frame by frame; results come out in order, some of them later.

    ``done`` frames are written already and ``last`` is the last of them: what is painted again of
    them, to warm up, is not returned. ``memory``: bytes that the frames of a shot may take.
    """

    def __init__(
        self,
        painter: Painter,
        item: Item,
        done: int,
        last: Frame | None,
        memory: int,
        stopping: threading.Event,
    ) -> None:
        self._painter, self._item, self._memory, self._stopping = painter, item, memory, stopping
        self._temporal = painter.temporal
        self._mode = self._temporal.mode if self._temporal else None
        self._done, self._kept = done, last
        self._previous: Frame | None = None
        """The last result of the shot, as it was written."""
        self._cover: Cover | None = None
        """Where the frame before is painted; None at the start of a shot, and without a masker."""
        self._shot: list[Frame] = []
        self._covers: dict[int, Cover | None] = {}
        """Of the frames of the shot, by their number."""
        self._held = 0
        """Bytes of the shot, of as many results, of the covers and of what the method holds."""
        self._window: list[Painted] = []
        self._due = 0
        """Position in the window of the frame that is filtered next."""

    def add(self, frame: Frame, link: Link | None) -> Iterator[Frame]:
        """Take the next frame; ``link`` is None for the first. Raises ItemError, Interrupted."""
        if link is None or link.cut:
            yield from self.end_shot()
        if link is not None and link.cut:
            self._painter.reset(self._item)
        elif link is not None and frame.index == self._done:
            self._previous = self._kept
        cover = self._painter.cover(self._item, frame)
        if self._mode == "shot":
            self._hold(frame, cover)
            return
        guide = None
        if self._mode == "guide" and link is not None and not link.cut and self._previous:
            guide = self._painter.guide(
                self._item, link.motion, link.source, self._previous, self._cover
            )
        (painted,) = self._painter.stylize(self._item, [frame], guide, cover)
        self._cover = cover
        if self._mode == "filter":
            assert self._temporal is not None
            self._window.append(painted)
            yield from self._filter(self._temporal.lookahead)
        else:
            yield from self._give_out(painted)

    def end_shot(self) -> Iterator[Frame]:
        """No other frame of the shot comes: give out all that waited for one."""
        yield from self._paint_shot()
        yield from self._filter(0)
        self._window, self._due, self._previous, self._cover = [], 0, None, None

    def _give_out(self, painted: Painted) -> Iterator[Frame]:
        result = finish(painted)
        self._previous = self._kept if result.index == self._done - 1 else result
        if result.index >= self._done:
            yield result

    # -- filters -----------------------------------------------------------------------------

    def _filter(self, ahead: int) -> Iterator[Frame]:
        """Filter the frames that have as many as ``ahead`` after them."""
        while self._due < len(self._window) - ahead:
            assert self._temporal is not None
            painted, radius = self._window[self._due], self._temporal.lookahead
            first = max(0, self._due - radius)
            window = self._window[first : self._due + radius + 1]
            pixels = self._temporal.filter(window, self._due - first, self._previous)
            guard.filtered(pixels, painted.frame, self._temporal)
            yield from self._give_out(replace(painted, pixels=pixels))
            self._due += 1
            if self._due > radius:
                del self._window[0]
                self._due -= 1

    # -- shots -------------------------------------------------------------------------------

    def _hold(self, frame: Frame, cover: Cover | None) -> None:
        self._shot.append(frame)
        self._covers[frame.index] = cover
        assert self._temporal is not None
        self._held += (1 + self._painter.scale**2) * frame.nbytes + (cover.nbytes if cover else 0)
        self._held += self._temporal.shot_bytes(frame)
        if self._held > self._memory:
            name, first = self._temporal.name, self._shot[0].number
            raise ItemError(
                f"the shot that begins with frame {first} is too long for --temporal {name}, which "
                f"holds all of it: only {len(self._shot) - 1} frames fit into the memory; pass a "
                "larger --memory, or choose another --temporal"
            )

    def _paint_shot(self) -> Iterator[Frame]:
        frames, self._shot, self._held = self._shot, [], 0
        if not frames:
            return
        assert self._temporal is not None
        results = list(self._temporal.paint_shot(frames, self._paint))
        if len(results) != len(frames):
            who = named("temporal method", self._temporal)
            raise ItemError(
                f"{who} returned {len(results)} pictures for a shot of {len(frames)} frames"
            )
        for frame, pixels in zip(frames, results, strict=True):
            painted = self._painter.masked(frame, pixels, self._covers.pop(frame.index))
            guard.filtered(pixels, painted.frame, self._temporal)
            yield from self._give_out(painted)

    def _paint(self, frame: Frame, guide: Guide | None = None) -> np.ndarray:
        if self._stopping.is_set():
            raise Interrupted
        cover = self._covers[frame.index]
        (painted,) = self._painter.stylize(self._item, [frame], guide, cover)
        return painted.pixels
