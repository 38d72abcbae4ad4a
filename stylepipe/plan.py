"""What is known of an item before it is painted, for the run and for its rehearsal alike."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from stylepipe.components import Component, Context, Reader, Writer
from stylepipe.damage import Damaged
from stylepipe.errors import ItemError, SetupError, UsageError
from stylepipe.inhand import InHand
from stylepipe.inputs import Found, probe, readers_for, writer_for
from stylepipe.journal import Journal
from stylepipe.memory import available_memory
from stylepipe.places import check_result
from stylepipe.types import Info, Item, Kind, Outcome

if TYPE_CHECKING:
    from stylepipe.device import Device
    from stylepipe.job import Job, Settings

_NAMES: dict[Kind, str] = {"image": "photo", "video": "film"}
_WAYS = "pass --overwrite to replace it, --skip-existing to keep it, or choose another --output"


@dataclass(frozen=True)
class Plan:
    """How each item ends, or that it is to be done."""

    items: Sequence[Item]
    known: Mapping[int, Outcome]
    """By its index, how an item ends that need not, or cannot, be done."""
    stories: Mapping[int, str]
    """By the index of one to be done, what it did to an earlier run: it comes last, by itself."""
    complete: Collection[int]
    """The indexes of items whose result is there."""

    @property
    def todo(self) -> list[Item]:
        """The items to be done."""
        return [item for item in self.items if item.index not in self.known]

    def up_to_failure(self) -> Plan:
        """The same plan, ended by the first item that is known to fail."""
        for position, item in enumerate(self.items):
            if item.index in self.known and self.known[item.index].status == "failed":
                return replace(self, items=self.items[: position + 1])
        return self


def decide(job: Job, found: Found, journal: Journal, hands: InHand) -> Plan:
    """Say of each item how it ends, or that it is to be done, from what is there already.

    Raises UsageError if the job as a whole is refused.
    """
    known = {index: Outcome("failed", why) for index, why in found.refused.items()}
    items = [item for item in found.items if item.index not in known]
    if job.settings.output.numbered and (renamed := journal.renamed(items)):
        item, before = renamed
        raise UsageError(
            f"{{index}} in --name counts the inputs, and some came or went: {item.source} was "
            f"{before} and would be {item.output.name} now; name results by {{stem}}, or choose "
            "another --output"
        )
    complete: set[int] = set()
    if not job.redo:
        kept, complete = _kept(job, items, journal)
        known |= kept
    stories: dict[int, str] = {}
    for item in items:
        if item.index not in known and (deaths := hands.deaths(item)):
            if why := deaths.verdict(job.memory):
                known[item.index] = Outcome("failed", why)
            else:
                stories[item.index] = deaths.story()
    return Plan(found.items, known, stories, complete)


def _kept(job: Job, items: Sequence[Item], journal: Journal) -> tuple[dict[int, Outcome], set[int]]:
    """How the items end whose result, or something in its place, is there; whose result it is."""
    states = {item.index: journal.state(item) for item in items}
    there = [item for item in items if states[item.index] == "other"]
    more = f" (and {len(there) - 1} more)" if len(there) > 1 else ""
    ours = {"complete", "stale"} & set(states.values())
    if there and not (ours or job.overwrite or job.skip_existing):
        raise UsageError(
            f"{there[0].output} exists and was not made from this source by these settings, but by "
            f"others{more}; {_WAYS}"
        )
    kept: dict[int, Outcome] = {}
    for item in items:
        state = states[item.index]
        if state == "complete":
            kept[item.index] = _already_done(journal.damage(item), job.settings.input.on_damage)
        elif state != "absent" and job.skip_existing:
            kept[item.index] = Outcome("skipped", "exists")
        elif state in ("foreign", "other") and not job.overwrite:
            kept[item.index] = Outcome(
                "failed",
                f"{item.output} exists and was not made from this source by these settings; "
                f"{_WAYS}",
            )
    return kept, {index for index, state in states.items() if state == "complete"}


def _already_done(damage: str, rule: str) -> Outcome:
    """What is told of a result of an earlier run: that its source is damaged, each time anew."""
    if damage and rule == "fail":
        return Outcome("failed", f"{damage} (an earlier run painted the rest)", damage=damage)
    return Outcome("skipped", "already done", damage=damage)


def painting(settings: Settings) -> list[Component]:
    """Who paints: nobody where ``strength`` is 0, and pictures are copied as they are."""
    chosen = (settings.masker, settings.flow, settings.stylizer)
    return [c for c in chosen if c is not None and settings.stylizer.options.strength != 0]


def begin(item: Item, settings: Settings) -> tuple[Reader, Info, Writer]:
    """Who reads and who writes the item, and what is in it.

    Raises ItemError where it is seen already that it cannot be done: unreadable, no mask for it,
    nowhere to write to.
    """
    check_result(item)
    reader, info = probe(item.source, settings.readers)
    writer = writer_for(info.kind, item.output, settings.writers)
    if writer is None:
        raise ItemError(
            f"a {_NAMES[info.kind]} cannot be written as {item.output.suffix}; give its result "
            "one of these suffixes, in --output or by --format: "
            + " ".join(_able(item, info, settings))
        )
    for component in (*painting(settings), writer):
        component.check_item(item, info)
    return reader, info, writer


def _able(item: Item, info: Info, settings: Settings) -> Iterator[str]:
    """The suffixes under which the item's result can be written."""
    for writer in settings.writers:
        for suffix in writer.patterns if writer.kind == info.kind else ():
            with suppress(ItemError):
                writer.check_item(replace(item, output=item.output.with_suffix(suffix)), info)
                yield suffix


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
    readers: Iterable[Reader], stack: ExitStack, log: Callable[[str], None], damaged: Damaged
) -> None:
    """Open readers for a look at files; what they find ``damaged`` hears."""
    for reader in readers:
        stack.callback(reader.close)
        reader.open(_LateContext(log, damaged))


def check_used(
    items: Sequence[Item], settings: Settings, hands: InHand, log: Callable[[str], None]
) -> None:
    """Tell of options that change nothing, as no item is of the kind they are for.

    Raises UsageError where a flow was chosen and nothing moves.
    """
    given: dict[Kind, set[str]] = {"image": set(), "video": set()}
    parts: list[Reader | Writer] = [*settings.readers, *settings.writers]
    for part in parts:
        given[part.kind] |= part.options.given()
    both = given["image"] & given["video"]
    needed: dict[Kind, set[str]] = {kind: names - both for kind, names in given.items()}
    wanted = {kind for kind, names in needed.items() if names}
    flow = settings.flow
    if flow is not None:
        wanted.add("video")
    there = _kinds(wanted, items, settings, hands)
    if flow is not None and "video" not in there:
        raise UsageError(
            f"--temporal {flow.name} holds the frames of a film together, and no input is a film; "
            "pass --temporal none, or first make numbered frames a film: "
            "ffmpeg -framerate 25 -i %04d.png film.mkv"
        )
    for kind in (kind for kind in needed if kind in wanted - there):
        flags = " and ".join(f"--{name.replace('_', '-')}" for name in sorted(needed[kind]))
        log(f"without effect, as no input is a {_NAMES[kind]}: {flags}")


def _kinds(
    wanted: Collection[Kind], items: Sequence[Item], settings: Settings, hands: InHand
) -> set[Kind]:
    """Which of the ``wanted`` kinds are there; only files whose suffix does not tell are opened.

    One on which a run died may be of any kind: it is not looked at before its turn.
    """
    claims = [{r.kind for r in readers_for(item.source, settings.readers)} for item in items]
    there = {kind for kind in wanted if {kind} in claims}
    for item, kinds in zip(items, claims, strict=True):
        if there.issuperset(wanted):
            break
        if not (kinds & set(wanted)) - there:
            continue
        if hands.deaths(item):
            there |= kinds
            continue
        try:
            with hands.hold("reading", item):
                there.add(probe(item.source, settings.readers)[1].kind)
        except (SetupError, UsageError, KeyboardInterrupt):
            raise
        except BaseException:  # a codec or plugin may raise anything for one file
            continue  # what is wrong with it is told in its turn
    return there
