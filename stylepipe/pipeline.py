"""``run(job)`` is the whole program: find the items, plan, open the components, stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from stylepipe.components import Context, StyleRef, Stylizer
from stylepipe.damage import DamageRule
from stylepipe.errors import UsageError
from stylepipe.fingerprints import settings_fingerprint
from stylepipe.inputs import find_items
from stylepipe.journal import Journal
from stylepipe.styles import parse_styles
from stylepipe.types import Item, Outcome

if TYPE_CHECKING:
    from stylepipe.plugins import Plugins
    from stylepipe.presets import Settings
    from stylepipe.report import Report
    from stylepipe.temporal.guide import TemporalGuide


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
    skip_existing: bool = False
    limit: int | None = None
    dry_run: bool = False


def run(job: Job, report: Report) -> Report:
    """Do the job and return the report, which owns the exit code.

    Raises NoInputError, UsageError or SetupError if the job as a whole cannot be done. Items that
    fail are told to the report and to the plugins, in order.
    """
    items, single = find_items(job.inputs, job.output, job.settings, job.limit)
    styles = _styles(job.settings.stylizer)
    journal = Journal(job.output, single, settings_fingerprint(job.settings, job.precision))
    job.plugins.job_start(job, items, report.log)
    try:
        if job.dry_run:
            kept = _kept(items, journal, job)
            # The processor is always there; asking for others takes as long as importing torch.
            if len(kept) < len(items) and job.device not in ("auto", "cpu"):
                from stylepipe.device import pick

                pick(job.device, job.precision)
            for item in items:
                report.planned(item, kept[item.index].status if item.index in kept else "do")
        else:
            with ExitStack() as stack:
                stack.callback(journal.close)
                journal.open()
                _do(job, report, items, styles, journal, stack)
            report.job_done()
    except BaseException as error:
        report.job_failed(error)
        raise
    finally:
        job.plugins.job_done(job, report, report.log)
    return report


def _do(
    job: Job,
    report: Report,
    items: Sequence[Item],
    styles: Sequence[StyleRef],
    journal: Journal,
    stack: ExitStack,
) -> None:
    kept = _kept(items, journal, job)
    for item in items:
        if item.index in kept:
            journal.discard(item)  # a kill may have left something behind
    report.job_start(len(items))
    waiting = [(item, kept[item.index]) for item in items if item.index in kept]

    def tell(item: Item, outcome: Outcome) -> None:
        report.item_done(item, outcome)
        job.plugins.item_done(job, item, outcome, report.log)

    def tell_in_order(item: Item, outcome: Outcome) -> None:
        while waiting and waiting[0][0].index < item.index:
            tell(*waiting.pop(0))
        tell(item, outcome)

    todo = [item for item in items if item.index not in kept]
    if todo:
        _stream(job, report, todo, styles, journal, stack, tell_in_order)
    for item, outcome in waiting:
        tell(item, outcome)


def _stream(
    job: Job,
    report: Report,
    items: Sequence[Item],
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
    settings.stylizer.prepare(styles)
    guide: TemporalGuide | None = None
    if settings.flow is not None:
        from stylepipe.temporal.guide import TemporalGuide

        guide = TemporalGuide(settings.flow, settings.flow.options.blend)
    painter = Painter(settings, device, guide)
    abort = job.on_error == "abort"
    stream = Stream(settings, painter, guide, device, memory, journal, report, tell, abort, rule)
    stream.run(items)


def _kept(items: Sequence[Item], journal: Journal, job: Job) -> dict[int, Outcome]:
    """The items whose result is already there. Raises UsageError if one is in the way."""
    states = {item.index: journal.state(item) for item in items}
    foreign = [i for i in items if states[i.index] == "foreign"]
    if foreign and not (job.overwrite or job.skip_existing):
        raise UsageError(
            f"{foreign[0].output} exists and was not made from this source by these settings"
            + (f" (and {len(foreign) - 1} more)" if len(foreign) > 1 else "")
            + "; pass --overwrite to replace, --skip-existing to keep, or choose another --output"
        )
    kept: dict[int, Outcome] = {}
    for item in items:
        state = states[item.index]
        if state == "complete":
            kept[item.index] = _already_done(journal.damage(item), job.settings.input.on_damage)
        elif state != "absent" and job.skip_existing:
            kept[item.index] = Outcome("skipped", "exists")
    return kept


def _already_done(damage: str, rule: str) -> Outcome:
    """What is told of a result of an earlier run: that its source is damaged, each time anew."""
    if damage and rule == "fail":
        return Outcome("failed", f"{damage} (an earlier run painted the rest)", damage=damage)
    return Outcome("skipped", "already done", damage=damage)


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
