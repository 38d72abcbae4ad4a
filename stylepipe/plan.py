"""What is known of an item before it is painted, for the run and for its rehearsal alike."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from stylepipe.components import Reader, Writer
from stylepipe.errors import ItemError, SetupError, UsageError
from stylepipe.inhand import InHand
from stylepipe.inputs import Found, probe, readers_for, writer_for
from stylepipe.journal import Entry, Journal, Standing
from stylepipe.missing import MissingRule
from stylepipe.places import check_result, foreign_folder, is_folder
from stylepipe.types import Info, Item, Kind, Outcome

if TYPE_CHECKING:
    from stylepipe.job import Job, Settings

_NAMES: dict[Kind, str] = {"image": "photo", "video": "film"}
KEPT = "exists"
"""Why an item is skipped whose result is there, whoever made it."""
_WAYS = "pass --overwrite to replace it, --skip-existing to keep it, or choose another --output"


@dataclass(frozen=True)
class Plan:
    """How each item ends, or that it is to be done."""

    items: Sequence[Item]
    known: Mapping[int, Outcome]
    """By its index, how an item ends that need not, or cannot, be done."""
    stories: Mapping[int, str]
    """By the index of one to be done, what it did to an earlier run: it comes last, by itself."""
    complete: Sequence[tuple[Item, Entry]]
    """The items whose result is there, and what the journal knows of it."""

    @property
    def todo(self) -> list[Item]:
        """The items to be done."""
        return [item for item in self.items if item.index not in self.known]

    @property
    def together(self) -> list[Item]:
        """Those to be done one after the other."""
        return [item for item in self.todo if item.index not in self.stories]

    @property
    def alone(self) -> list[Item]:
        """Those to be done last, each by itself, as a run died of them."""
        return [item for item in self.todo if item.index in self.stories]

    def up_to_failure(self) -> Plan:
        """The same plan, ended by the first item that is known to fail."""
        for position, item in enumerate(self.items):
            if item.index in self.known and self.known[item.index].status == "failed":
                return replace(self, items=self.items[: position + 1])
        return self


def decide(job: Job, found: Found, journal: Journal, hands: InHand) -> Plan:
    """Decide how each item ends, or that it is to be done, from what is there already.

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
    standings = journal.look(items)
    _refuse_others(job, items, standings)
    stories: dict[int, str] = {}
    complete: list[tuple[Item, Entry]] = []
    for item in items:
        standing = standings[item.index]
        if outcome := _kept(job, item, standing):
            known[item.index] = outcome
            if standing.entry:
                complete.append((item, standing.entry))
        elif deaths := hands.deaths(item):
            if why := deaths.verdict(job.memory):
                known[item.index] = Outcome("failed", why)
            else:
                stories[item.index] = deaths.story()
    return Plan(found.items, known, stories, complete)


def _refuse_others(job: Job, items: Sequence[Item], standings: Mapping[int, Standing]) -> None:
    """Raises UsageError if results of other settings are there, and none of these."""
    states = {standing.state for standing in standings.values()}
    if states & {"complete", "stale"} or job.overwrite or job.redo or job.skip_existing:
        return
    if others := [item for item in items if standings[item.index].state == "other"]:
        more = f" (and {len(others) - 1} more)" if len(others) > 1 else ""
        raise UsageError(
            f"{others[0].output} exists and was not made from this source by these settings, but "
            f"by others{more}; {_WAYS}"
        )


def _kept(job: Job, item: Item, standing: Standing) -> Outcome | None:
    """How an item ends that need not, or cannot, be done for what is there; None if it can."""
    if standing.entry and not job.redo:
        return _already_done(standing.entry.damage, job.settings.input.on_damage)
    if standing.state != "absent" and job.skip_existing:
        return Outcome("skipped", KEPT)
    if standing.state == "foreign" and is_folder(item.output):
        return Outcome("failed", foreign_folder(item))
    if standing.state in ("foreign", "another", "other") and not (job.overwrite or job.redo):
        return Outcome(
            "failed",
            f"{item.output} exists and was not made from this source by these settings; {_WAYS}",
        )
    return None


def _already_done(damage: str, rule: str) -> Outcome:
    """What is reported of a result of an earlier run: each time, that its source is damaged."""
    if damage and rule == "fail":
        return Outcome("failed", f"{damage} (an earlier run painted the rest)", damage=damage)
    return Outcome("skipped", "already done", damage=damage)


def begin(item: Item, settings: Settings, missing: MissingRule) -> tuple[Reader, Info, Writer]:
    """The item's reader, what is in it, and its writer.

    Raises ItemError where it is already clear that it cannot be done: it is unreadable, it has no
    mask and ``missing`` lets it fail, or its result has nowhere to go.
    """
    check_result(item)
    reader, info = probe(item.source, settings.readers, item.page)
    sample = settings.input.sample
    if sample and info.kind == "video":
        if not item.folder:  # an animated picture, which by its name could be a photo
            raise ItemError(
                f"it is animated, and {sample.flag} makes single pictures of it; run it apart, "
                "with --format png/"
            )
        info = sample.of(reader, item, info)
    writer = choose_writer(item, info, settings)
    missing.check(settings.painting, item, info)
    return reader, info, writer


def choose_writer(item: Item, info: Info, settings: Settings) -> Writer:
    """The writer of an item's result. Raises ItemError where none can write it."""
    writer = writer_for(info.kind, item, settings.writers)
    if writer is None:
        raise ItemError(
            f"a {_NAMES[info.kind]} cannot be written as {item.pattern}; give its result one "
            "of these suffixes, in --output or by --format: "
            + " ".join(_able(item, info, settings))
        )
    writer.check_item(item, info.enlarged(settings.stylizer.caps.scale))
    return writer


def _able(item: Item, info: Info, settings: Settings) -> Iterator[str]:
    """The suffixes under which the item's result can be written."""
    result = info.enlarged(settings.stylizer.caps.scale)
    for writer in settings.writers:
        for suffix in writer.patterns if writer.kind == info.kind else ():
            with suppress(ItemError):
                if suffix.endswith("/"):
                    other = replace(item, output=item.output.with_suffix(""), folder=suffix)
                else:
                    other = replace(item, output=item.output.with_suffix(suffix), folder="")
                writer.check_item(other, result)
                yield suffix


def check_used(
    items: Sequence[Item], settings: Settings, hands: InHand, log: Callable[[str], None]
) -> None:
    """Report options that change nothing, as no item is of the kind they apply to.

    Raises UsageError where a temporal method was chosen and nothing moves.
    """
    parts: list[Reader | Writer] = [*settings.readers, *settings.writers]
    idle = _idle(items, settings)
    given: dict[Kind, set[str]] = {"image": set(), "video": set()}
    for part in parts:
        if part not in idle or not _is_for_folders(part):
            given[part.kind] |= part.options.given()
    both = given["image"] & given["video"]
    needed: dict[Kind, set[str]] = {kind: names - both for kind, names in given.items()}
    wanted = {kind for kind, names in needed.items() if names}
    temporal, sample = settings.temporal, settings.input.sample
    if temporal is not None or sample is not None:
        wanted.add("video")
    there = _kinds(wanted, items, settings, hands)
    if temporal is not None and "video" not in there:
        raise UsageError(
            f"--temporal {temporal.name} keeps the frames of a film alike, and no input is a film; "
            "pass --temporal none, or --fps 25 for folders of numbered frames"
        )
    if sample is not None:
        if "video" not in there:
            log(f"without effect, as no input is a film: {sample.flag}")
        elif temporal is not None or settings.stylizer.caps.warmup:
            log(
                f"{sample.flag}: each frame is painted by itself, so how steady the film will be "
                "cannot be judged by them"
            )
    absent = [kind for kind in needed if needed[kind] and kind in wanted - there]
    for kind in absent:
        log(f"without effect, as no input is a {_NAMES[kind]}: {_flags(needed[kind])}")
    used = {name for part in parts if part not in idle for name in part.options.given()}
    used |= {name for kind in absent for name in needed[kind]}
    for part in idle:
        if names := part.options.given() - used:
            does = "read" if isinstance(part, Reader) else "written"
            log(f"without effect, as nothing is {does} by {part.name!r}: {_flags(names)}")


def _flags(names: Collection[str]) -> str:
    return " and ".join(f"--{name.replace('_', '-')}" for name in sorted(names))


def _is_for_folders(part: Reader | Writer) -> bool:
    return all(pattern.endswith("/") for pattern in part.patterns)


def _idle(items: Sequence[Item], settings: Settings) -> list[Reader | Writer]:
    """Readers and writers that get no item, judging by names."""
    reading = [r for item in items for r in readers_for(item.source, settings.readers)]
    patterns = {item.pattern for item in items}
    writing = [w for w in settings.writers if not patterns.isdisjoint(w.patterns)]
    parts: list[Reader | Writer] = [*settings.readers, *settings.writers]
    return [part for part in parts if part not in reading and part not in writing]


def _kinds(
    wanted: Collection[Kind], items: Sequence[Item], settings: Settings, hands: InHand
) -> set[Kind]:
    """Which of the ``wanted`` kinds are there; only files whose suffix leaves it open are opened.

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
                there.add(probe(item.source, settings.readers, item.page)[1].kind)
        except (SetupError, UsageError, KeyboardInterrupt):
            raise
        except BaseException:  # a codec or plugin may raise anything for one file
            continue  # what is wrong with it is reported in its turn
    return there
