"""What is known of an item before it is painted, for the run and for its rehearsal alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING

from stylepipe.components import Context, Reader, Writer
from stylepipe.damage import Damaged, refuse
from stylepipe.errors import ItemError, UsageError
from stylepipe.inputs import probe, readers_for, writer_for
from stylepipe.memory import available_memory
from stylepipe.places import check_result
from stylepipe.types import Info, Item, Kind

if TYPE_CHECKING:
    from stylepipe.device import Device
    from stylepipe.presets import Settings

_NAMES: dict[Kind, str] = {"image": "photo", "video": "film"}


def begin(item: Item, settings: Settings) -> tuple[Reader, Info, Writer]:
    """Who reads and who writes the item, and what is in it.

    Raises ItemError where it is seen already that it cannot be done: unreadable, no mask for it,
    nowhere to write to.
    """
    check_result(item)
    reader, info = probe(item.source, settings.readers)
    writer = writer_for(info.kind, item.output, settings.writers)
    if writer is None:
        able = [s for w in settings.writers if w.kind == info.kind for s in w.patterns]
        raise ItemError(
            f"cannot write {'a video' if info.kind == 'video' else 'a picture'} as "
            f"{item.output.suffix}; pass --format with one of: {' '.join(able)}"
        )
    for component in (settings.masker, settings.stylizer, writer):
        if component is not None:
            component.check_item(item, info)
    return reader, info, writer


class _LateContext(Context):
    """A context whose device is there when a reader asks for it: torch takes two seconds."""

    def __init__(self, log: Callable[[str], None], damaged: Damaged) -> None:
        memory, quiet = available_memory() // 2, Context.progress
        vars(self).update(memory=memory, log=log, progress=quiet, damaged=damaged)

    @cached_property
    def device(self) -> Device:
        from stylepipe.device import pick

        return pick("cpu")


def open_lightly(
    readers: Iterable[Reader], stack: ExitStack, log: Callable[[str], None],
    damaged: Damaged = refuse,
) -> None:
    """Open readers for a look at files; what they find ``damaged`` hears."""
    for reader in readers:
        stack.callback(reader.close)
        reader.open(_LateContext(log, damaged))


def check_used(items: Sequence[Item], settings: Settings, log: Callable[[str], None]) -> None:
    """Tell of options that change nothing, as no item is of the kind they are for.

    Raises UsageError where a flow was chosen and nothing moves.
    """
    flow = settings.flow
    if flow is not None and not _is_any("video", items, settings):
        raise UsageError(
            f"--temporal {flow.name} holds the frames of a film together, and no input is a film; "
            "pass --temporal none, or first make numbered frames a film: "
            "ffmpeg -framerate 25 -i %04d.png film.mkv"
        )
    given: dict[Kind, set[str]] = {"image": set(), "video": set()}
    parts: list[Reader | Writer] = [*settings.readers, *settings.writers]
    for part in parts:
        given[part.kind] |= part.options.given()
    both = given["image"] & given["video"]
    for kind, names in given.items():
        if names - both and not _is_any(kind, items, settings):
            flags = " and ".join(f"--{name.replace('_', '-')}" for name in sorted(names - both))
            log(f"without effect, as no input is a {_NAMES[kind]}: {flags}")


def _is_any(kind: Kind, items: Sequence[Item], settings: Settings) -> bool:
    """Whether any item is of a kind; only files whose suffix does not tell are opened."""
    claims = [{r.kind for r in readers_for(item.source, settings.readers)} for item in items]
    if {kind} in claims:
        return True
    for item, kinds in zip(items, claims, strict=True):
        try:
            if kind in kinds and probe(item.source, settings.readers)[1].kind == kind:
                return True
        except ItemError:
            continue  # what is wrong with it is told in its turn
    return False
