"""Films in memory, painted as the engine paints them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from stylepipe.components import Stylizer, Temporal
from stylepipe.contracts.base import scene
from stylepipe.types import Frame, Item

DONE = 3
"""Frames of a film that an interrupted run has finished."""
_ITEM = Item(0, Path("in/clip.mp4"), Path("in"), Path("out/clip.mp4"))


def clip(width: int, height: int, deep: bool = False, count: int = 6) -> list[Frame]:
    """Textured frames of one shot, in which everything moves to the right by two pixels a frame."""
    import numpy as np

    pixels = [scene(width, height, time=k) for k in range(count)]
    return [Frame(p.astype(np.uint16) * 257 if deep else p, index=k) for k, p in enumerate(pixels)]


def film(
    stylizer: Stylizer,
    temporal: Temporal | None,
    frames: Sequence[Frame],
    done: int = 0,
    last: Frame | None = None,
) -> list[Frame]:
    """The results of a shot from frame number ``done`` on, as the engine makes them.

    ``last`` is the last of the results that are done.
    """
    from stylepipe.device import pick
    from stylepipe.film import Film, link
    from stylepipe.job import OutputOptions, Settings
    from stylepipe.missing import MissingRule
    from stylepipe.paint import Painter

    settings = Settings("", (), None, stylizer, temporal, (), OutputOptions.build({}))
    painter = Painter(settings, pick("cpu", "full"), MissingRule("fail", print))
    first = 0 if painter.warmup == "shot" else max(0, done - painter.warmup)
    painter.reset(_ITEM)
    made = Film(painter, _ITEM, done, last, 1 << 30, threading.Event())
    previous = frames[first - 1] if first else None
    results: list[Frame] = []
    for frame in frames[first:]:
        results += made.add(frame, link(frame, previous, temporal) if previous else None)
        previous = frame
    return [*results, *made.end_shot()]
