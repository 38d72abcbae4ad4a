"""``run(job)`` is the whole program: find the items, plan, open the components, stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from stylepipe.components import Context, StyleRef, Stylizer
from stylepipe.damage import DamageRule
from stylepipe.errors import SetupError, UsageError
from stylepipe.fingerprints import settings_fingerprint
from stylepipe.inhand import InHand
from stylepipe.inputs import Found, find_items
from stylepipe.job import Job, Settings
from stylepipe.journal import Journal
from stylepipe.places import obstacle
from stylepipe.plan import Plan, begin, check_used, decide, open_lightly, painting
from stylepipe.styles import parse_styles
from stylepipe.types import Item, Outcome

if TYPE_CHECKING:
    from stylepipe.paint import Copier, Painter
    from stylepipe.plugins import Plugins
    from stylepipe.report import Report
    from stylepipe.stream import Stream
    from stylepipe.temporal.guide import TemporalGuide


def run(job: Job, plugins: Plugins, report: Report) -> Report:
    """Do the job and return the report, which owns the exit code.

    Raises NoInputError, UsageError or SetupError if the job as a whole cannot be done. Items that
    fail are told to the report and to the plugins, in order.
    """
    started = False
    try:
        if job.skip_existing and (job.overwrite or job.redo):
            other = "redo" if job.redo else "overwrite"
            raise UsageError(f"--{other} and --skip-existing contradict each other; choose one")
        found = find_items(job.inputs, job.output, job.settings, job.limit)
        styles = _styles(job.settings.stylizer, found.items)
        fingerprint = settings_fingerprint(job.settings, job.precision)
        journal = Journal(job.output, found.single, fingerprint)
        report.left_out = found.left_out
        plugins.job_start(job, found.items, report.log)
        started = True
        with ExitStack() as stack:
            if job.dry_run:
                _rehearse(job, report, found, journal, stack)
            else:
                _do(job, plugins, report, found, styles, journal, stack)
        report.job_done()
    except BaseException as error:
        report.job_failed(error)
        raise
    finally:
        if started:
            plugins.job_done(job, report, report.log)
    return report


def _rehearse(job: Job, report: Report, found: Found, journal: Journal, stack: ExitStack) -> None:
    """Say how each item would end, as far as a look at it tells."""
    hands = InHand(journal, job.memory)
    plan = decide(job, found, journal, hands)
    rule = DamageRule(job.settings.input.on_damage)
    if plan.todo:
        root = job.output.parent if found.single else job.output
        if reason := obstacle(root):
            raise SetupError(f"cannot write to {root}: {reason}")
        # The processor is always there; asking for others takes as long as importing torch.
        if job.device not in ("auto", "cpu"):
            from stylepipe.device import pick

            pick(job.device, job.precision)
        open_lightly(job.settings.readers, stack, report.log, rule.damaged)
        check_used(found.items, job.settings, hands, report.log)
        for component in painting(job.settings):
            component.rehearse()
    for item in plan.items:
        outcome, story = plan.known.get(item.index), plan.stories.get(item.index, "")
        rule.begin()
        if outcome is None and not story:  # a look may be what the run before died of
            outcome = _look(item, job.settings, rule)
        report.planned(item, outcome, outcome.damage if outcome else rule.summary(), story)


def _look(item: Item, settings: Settings, rule: DamageRule) -> Outcome | None:
    """How the item would fail; None if nothing is seen that speaks against it."""
    try:
        begin(item, settings)
    except (SetupError, UsageError):
        raise
    except Exception as error:  # a codec or plugin may raise anything for one file
        return rule.ended_by(error)
    return None


def _do(
    job: Job,
    plugins: Plugins,
    report: Report,
    found: Found,
    styles: Sequence[StyleRef],
    journal: Journal,
    stack: ExitStack,
) -> None:
    stack.callback(journal.close)
    closed: SetupError | None = None
    try:
        journal.open()
    except SetupError as error:  # no obstacle if all is there already
        closed = error
    hands = InHand(journal, job.memory)
    plan = decide(job, found, journal, hands)
    if job.on_error == "abort":
        plan = plan.up_to_failure()
    if closed is None:
        stack.callback(hands.close)
        _tidy(plan, journal, hands)
    elif plan.todo:
        raise closed
    report.job_start(len(found.items))
    waiting = [(item, plan.known[item.index]) for item in plan.items if item.index in plan.known]

    def tell(item: Item, outcome: Outcome) -> None:
        report.item_done(item, outcome)
        plugins.item_done(job, item, outcome, report.log)

    def tell_in_order(item: Item, outcome: Outcome) -> None:
        hands.settle(item)
        while waiting and waiting[0][0].index < item.index:
            tell(*waiting.pop(0))
        tell(item, outcome)

    stopped = len(plan.items) < len(found.items)
    if plan.todo:
        hands.open()
        if job.redo:
            for item in plan.todo:
                journal.discard(item)
        stream = _opened(job, report, found.items, styles, journal, hands, stack, tell_in_order)
        together = [item for item in plan.todo if item.index not in plan.stories]
        alone = [item for item in plan.todo if item.index in plan.stories]
        for item in alone:
            report.set_aside(item, plan.stories[item.index])
        if hands.trace:
            report.debug(hands.trace)
        stopped |= not stream.run(together, alone)
    for item, outcome in waiting:
        tell(item, outcome)
    if stopped:
        report.log("stopped at the first failure (--on-error abort)")


def _tidy(plan: Plan, journal: Journal, hands: InHand) -> None:
    """Of results that are there, remove what a kill may have left, and note where sources lie."""
    for item in plan.items:
        if item.index in plan.complete:
            with suppress(SetupError):  # all is done: what cannot be removed is in nobody's way
                journal.discard(item)
            journal.confirm(item)
            hands.settle(item)


def _opened(
    job: Job,
    report: Report,
    items: Sequence[Item],
    styles: Sequence[StyleRef],
    journal: Journal,
    hands: InHand,
    stack: ExitStack,
    tell: Callable[[Item, Outcome], None],
) -> Stream:
    """Open all that works on ``items``, for a stream, which tells ``tell`` of each that ends."""
    # torch comes in with these: not before there is something to do
    from stylepipe.device import pick
    from stylepipe.memory import available_memory
    from stylepipe.paint import Copier, Painter
    from stylepipe.stream import Stream

    settings, device = job.settings, pick(job.device, job.precision)
    rule = DamageRule(settings.input.on_damage)
    memory = job.memory or available_memory() // 2
    painters = painting(settings)
    if not painters:
        report.log("strength is 0: nothing is painted, pictures are copied as they are")
    context = Context(
        device, memory, report.log, report.progress, rule.damaged, settings.max_pixels
    )
    for component in (*settings.readers, *settings.writers, *painters):
        stack.callback(component.close)
        component.open(context)
    check_used(items, settings, hands, report.log)
    guide: TemporalGuide | None = None
    painter: Painter | Copier = Copier()
    if painters:
        settings.stylizer.prepare(styles)
        if settings.flow is not None:
            from stylepipe.temporal.guide import TemporalGuide

            guide = TemporalGuide(settings.flow, settings.flow.options.blend)
        painter = Painter(settings, device, guide)
    abort = job.on_error == "abort"
    return Stream(
        settings, painter, guide, device, memory, journal, hands, report, tell, abort, rule
    )


def _styles(stylizer: Stylizer, items: Sequence[Item]) -> list[StyleRef]:
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
    stylizer.check(styles, items)
    return styles
