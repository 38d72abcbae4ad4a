"""``run(job)`` is the whole program: find the items, plan, open the components, stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from stylepipe.components import Context, StyleRef, Stylizer
from stylepipe.damage import DamageRule
from stylepipe.errors import DamageError, SetupError, UsageError, sentence
from stylepipe.fingerprints import settings_fingerprint
from stylepipe.inputs import Found, find_items
from stylepipe.journal import Journal
from stylepipe.places import obstacle
from stylepipe.plan import begin, check_used, open_lightly
from stylepipe.styles import parse_styles
from stylepipe.types import Item, Outcome, Status

if TYPE_CHECKING:
    from stylepipe.plugins import Plugins
    from stylepipe.presets import Settings
    from stylepipe.report import Report
    from stylepipe.temporal.guide import TemporalGuide


_WAYS = "pass --overwrite to replace it, --skip-existing to keep it, or choose another --output"
_DONE = "already done"


@dataclass(frozen=True)
class Job:
    """Settings, inputs and an output: all that :func:`run` needs."""

    inputs: tuple[Path, ...]
    output: Path
    """A folder; or a file, if there is one input file and the suffix can be written."""
    settings: Settings
    plugins: Plugins
    device: str = "auto"
    precision: str = "auto"
    memory: int | None = None
    """Bytes of working memory; None takes half of what is free."""
    on_error: Literal["skip", "abort"] = "skip"
    overwrite: bool = False
    """Replace outputs that other settings, other sources or other programs made."""
    redo: bool = False
    """Do everything anew, whatever is there."""
    skip_existing: bool = False
    limit: int | None = None
    dry_run: bool = False


def run(job: Job, report: Report) -> Report:
    """Do the job and return the report, which owns the exit code.

    Raises NoInputError, UsageError or SetupError if the job as a whole cannot be done. Items that
    fail are told to the report and to the plugins, in order.
    """
    found = find_items(job.inputs, job.output, job.settings, job.limit)
    styles = _styles(job.settings.stylizer)
    journal = Journal(job.output, found.single, settings_fingerprint(job.settings, job.precision))
    report.left_out = found.left_out
    job.plugins.job_start(job, found.items, report.log)
    try:
        with ExitStack() as stack:
            if job.dry_run:
                _rehearse(job, report, found, journal, stack)
            else:
                stack.callback(journal.close)
                journal.open()
                _do(job, report, found, styles, journal, stack)
        report.job_done()
    except BaseException as error:
        report.job_failed(error)
        raise
    finally:
        job.plugins.job_done(job, report, report.log)
    return report


def _rehearse(job: Job, report: Report, found: Found, journal: Journal, stack: ExitStack) -> None:
    """Say how each item would end, as far as a look at it tells."""
    root = job.output.parent if found.single else job.output
    if reason := obstacle(root):
        raise SetupError(f"cannot write to {root}: {reason}")
    settled = _settled(found, journal, job)
    rule = DamageRule(job.settings.input.on_damage)  # type: ignore[arg-type]  # one of its choices
    if len(settled) < len(found.items):
        from stylepipe.device import pick

        # The processor is always there; asking for others takes as long as importing torch.
        if job.device not in ("auto", "cpu"):
            pick(job.device, job.precision)
        open_lightly(job.settings.readers, stack, report.log, rule.damaged)
        check_used(found.items, job.settings, report.log)
    for item in found.items:
        outcome = settled.get(item.index)
        rule.begin()
        if outcome is None:
            try:
                begin(item, job.settings)
            except (SetupError, UsageError):
                raise
            except DamageError as error:
                status: Status = "skipped" if rule.rule == "skip" else "failed"
                outcome = Outcome(status, str(error), damage=str(error))
            except Exception as error:  # a codec or plugin may raise anything for one file
                outcome = Outcome("failed", sentence(error))
        report.planned(item, outcome, outcome.damage if outcome else rule.summary())


def _do(
    job: Job,
    report: Report,
    found: Found,
    styles: Sequence[StyleRef],
    journal: Journal,
    stack: ExitStack,
) -> None:
    settled = _settled(found, journal, job)
    items = found.items
    if job.on_error == "abort":
        failed = [index for index, outcome in settled.items() if outcome.status == "failed"]
        items = items[: min(failed, default=len(items)) + 1]
    for item in items:
        outcome = settled.get(item.index)
        if outcome is not None and outcome.status == "skipped":
            journal.discard(item)  # a kill may have left something behind
        if outcome is not None and outcome.message == _DONE:
            journal.confirm(item)
    report.job_start(len(found.items))
    waiting = [(item, settled[item.index]) for item in items if item.index in settled]

    def tell(item: Item, outcome: Outcome) -> None:
        report.item_done(item, outcome)
        job.plugins.item_done(job, item, outcome, report.log)

    def tell_in_order(item: Item, outcome: Outcome) -> None:
        while waiting and waiting[0][0].index < item.index:
            tell(*waiting.pop(0))
        tell(item, outcome)

    todo = [item for item in items if item.index not in settled]
    if job.redo:
        for item in todo:
            journal.discard(item)
    if todo:
        _stream(job, report, found.items, todo, styles, journal, stack, tell_in_order)
    for item, outcome in waiting:
        tell(item, outcome)
    if len(items) < len(found.items):
        report.log("stopped at the first failure (--on-error abort)")


def _stream(
    job: Job,
    report: Report,
    items: Sequence[Item],
    todo: Sequence[Item],
    styles: Sequence[StyleRef],
    journal: Journal,
    stack: ExitStack,
    tell: Callable[[Item, Outcome], None],
) -> None:
    # torch comes in with these: not before there is something to do
    from stylepipe.device import pick
    from stylepipe.memory import available_memory
    from stylepipe.paint import Painter
    from stylepipe.stream import Stream

    settings, device = job.settings, pick(job.device, job.precision)
    rule = DamageRule(settings.input.on_damage)  # type: ignore[arg-type]  # one of its choices
    memory = job.memory or available_memory() // 2
    optional = [c for c in (settings.masker, settings.flow) if c is not None]
    context = Context(
        device, memory, report.log, report.progress, rule.damaged, settings.max_pixels
    )
    for component in (*settings.readers, *settings.writers, *optional, settings.stylizer):
        stack.callback(component.close)
        component.open(context)
    check_used(items, settings, report.log)
    settings.stylizer.prepare(styles)
    guide: TemporalGuide | None = None
    if settings.flow is not None:
        from stylepipe.temporal.guide import TemporalGuide

        guide = TemporalGuide(settings.flow, settings.flow.options.blend)
    painter = Painter(settings, device, guide)
    abort = job.on_error == "abort"
    stream = Stream(settings, painter, guide, device, memory, journal, report, tell, abort, rule)
    stream.run(todo)


def _settled(found: Found, journal: Journal, job: Job) -> dict[int, Outcome]:
    """How the items end that need not, or cannot, be done. Raises UsageError for the whole job."""
    settled = {index: Outcome("failed", why) for index, why in found.refused.items()}
    items = [item for item in found.items if item.index not in settled]
    if job.settings.output.numbered and (renamed := journal.renamed(items)):
        item, before = renamed
        raise UsageError(
            f"{{index}} in --name counts the inputs, and some came or went: {item.source} was "
            f"{before} and would be {item.output.name} now; name results by {{stem}}, or choose "
            "another --output"
        )
    if job.redo:
        return settled
    states = {item.index: journal.state(item) for item in items}
    there = [item for item in items if states[item.index] == "other"]
    more = f" (and {len(there) - 1} more)" if len(there) > 1 else ""
    ours = {"complete", "stale"} & set(states.values())
    if there and not (ours or job.overwrite or job.skip_existing):
        raise UsageError(
            f"{there[0].output} exists and was not made from this source by these settings, but by "
            f"others{more}; {_WAYS}"
        )
    for item in items:
        state = states[item.index]
        if state == "complete":
            settled[item.index] = _already_done(journal.damage(item), job.settings.input.on_damage)
        elif state != "absent" and job.skip_existing:
            settled[item.index] = Outcome("skipped", "exists")
        elif state in ("foreign", "other") and not job.overwrite:
            settled[item.index] = Outcome(
                "failed",
                f"{item.output} exists and was not made from this source by these settings; "
                f"{_WAYS}",
            )
    return settled


def _already_done(damage: str, rule: str) -> Outcome:
    """What is told of a result of an earlier run: that its source is damaged, each time anew."""
    if damage and rule == "fail":
        return Outcome("failed", f"{damage} (an earlier run painted the rest)", damage=damage)
    return Outcome("skipped", _DONE, damage=damage)


def _styles(stylizer: Stylizer) -> list[StyleRef]:
    """The styles the user asked for, checked against what the stylizer can take."""
    styles, caps = parse_styles(stylizer.options.style), stylizer.caps
    if caps.needs_style and not styles:
        known = ", ".join(s.name for s in stylizer.styles())
        raise UsageError(
            f"stylizer {stylizer.name!r} needs a style; pass --style"
            + (f" with a file or one of: {known}" if known else " with a file")
        )
    if caps.max_styles is not None and len(styles) > caps.max_styles:
        raise UsageError(
            f"stylizer {stylizer.name!r} takes at most {caps.max_styles} "
            f"style{'s' if caps.max_styles != 1 else ''} at once, not {len(styles)}"
        )
    stylizer.check(styles)
    return styles
