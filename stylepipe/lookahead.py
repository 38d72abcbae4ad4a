"""Reading an item once more, for components that look at other frames than the one in hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction

from stylepipe import guard
from stylepipe.components import Context, Reader
from stylepipe.inputs import probe
from stylepipe.types import Frame, Item


def read_again(
    item: Item, start: int, readers: Sequence[Reader], context: Context
) -> Iterator[Frame]:
    """Yield the frames of an item from number ``start``, the very ones that are painted.

    ``readers`` are those of the job, which stay untouched: they are in use in another thread.
    Raises ItemError.
    """
    with ExitStack() as stack:
        own = [type(reader)(reader.options) for reader in readers]
        for reader in own:
            stack.callback(reader.close)
            reader.open(context)
        reader, info = probe(item.source, own, item.page)
        after: Fraction | None = None
        for index, frame in enumerate(reader.frames(item, info, start), start):
            yield guard.frame(frame, index, after, info, reader)
            after = frame.time
