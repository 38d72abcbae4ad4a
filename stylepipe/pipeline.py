"""``run(job)`` is the whole program: find the items, plan, open, stream, report."""

from __future__ import annotations

from collections import deque
from contextlib import ExitStack
from typing import TYPE_CHECKING

from stylepipe.errors import SetupError, UsageError
from stylepipe.fingerprints import digest, settings_fingerprint
from stylepipe.inhand import InHand
from stylepipe.inputs import Found, find_items
from stylepipe.job import Job
from stylepipe.journal import Journal
from stylepipe.places import obstacle, place_of
from stylepipe.plan import Plan, begin, check_used, decide
from stylepipe.session import Session
from stylepipe.tryout import check_sheets, tryout, write_sheets
from stylepipe.types import Info, Item, Outcome

if TYPE_CHECKING:
    from stylepipe.plugins import Plugins
    from stylepipe.report import Report


def run(job: Job, plugins: Plugins, report: Report) -> Report:
    """Do the job and return the report, which owns the exit code.

    Raises NoInputError, UsageError or SetupError if the job as a whole cannot be done. Items that
    fail are passed to the report and to the plugins, in order.
    """
    started = False
    try:
        if job.skip_existing and (job.overwrite or job.redo):
            other = "redo" if job.redo else "overwrite"
            raise UsageError(f"--{other} and --skip-existing contradict each other; choose one")
        fingerprint = settings_fingerprint(job.settings, job.precision)
        sample = job.settings.input.sample
        if sample is not None:
            job = tryout(job)
        found = find_items(job.inputs, job.output, job.settings, job.limit)
        if sample is not None:
            check_sheets(found.items)
        session = Session(
            job.settings,
            found.items,
            device=job.device,
            precision=job.precision,
            memory=job.memory,
            log=report.log,
            progress=report.progress,
            stage=report.stage,
        )
        if names := found.items[0].frame_names:
            fingerprint = digest(fingerprint, names)
        journal = Journal(place_of(job.output), found.single, fingerprint)
        report.left_out = found.left_out
        plugins.job_start(job, found.items, report.log)
        started = True
        if job.dry_run:
            _rehearse(job, report, found, journal, session)
        else:
            _do(job, plugins, report, found, journal, session)
            if sample is not None and not report.interrupted:
                write_sheets(job, found.items, report.log)
        done = bool(report.counts["done"] or report.counts["skipped"])
        report.job_done(job.output if done else None)
    except BaseException as error:
        report.job_failed(error)
        raise
    finally:
        if started:
            plugins.job_done(job, report, report.log)
    return report


def _rehearse(job: Job, report: Report, found: Found, journal: Journal, session: Session) -> None:
    """Report how each item would end, as far as a quick look shows."""
    hands = InHand(journal, job.memory)
    plan = decide(job, found, journal, hands)
    with session:
        if plan.todo:
            root = place_of(job.output).parent if found.single else job.output
            if reason := obstacle(root):
                raise SetupError(f"cannot write to {root}: {reason}")
            # The processor is always there; asking for others takes as long as importing torch.
            if job.device not in ("auto", "cpu"):
                from stylepipe.device import pick

                pick(job.device, job.precision)
            session.open(job.settings.readers)
            check_used(found.items, job.settings, hands, report.log)
            for component in session.settings.painting:
                component.rehearse()
        for item in plan.items:
            outcome, story = plan.known.get(item.index), plan.stories.get(item.index, "")
            info: Info | None = None
            session.rule.begin()
            if outcome is None and not story:  # a look may be what the run before died of
                outcome, info = _look(item, session)
            damage = outcome.damage if outcome else session.rule.summary()
            report.planned(item, outcome, damage, story, info)


def _look(item: Item, session: Session) -> tuple[Outcome | None, Info | None]:
    """How the item would fail; or, if nothing is seen that speaks against it, what is in it."""
    try:
        _, info, _ = begin(item, session.settings, session.missing)
    except (SetupError, UsageError, KeyboardInterrupt):
        raise
    except BaseException as error:  # a codec or plugin may raise anything for one file
        return session.rule.ended_by(error), None
    return None, info


def _do(
    job: Job, plugins: Plugins, report: Report, found: Found, journal: Journal, session: Session
) -> None:
    with ExitStack() as stack:
        closed = _open(journal, stack)
        hands = InHand(journal, job.memory)  # now that no other run takes notes there
        plan = _planned(job, found, journal, hands, stack, closed)
        report.job_start(len(found.items))
        known = deque((i, plan.known[i.index]) for i in plan.items if i.index in plan.known)

        def tell(item: Item, outcome: Outcome) -> None:
            report.item_done(item, outcome)
            plugins.item_done(job, item, outcome, report.log)

        def tell_in_order(item: Item, outcome: Outcome) -> None:
            hands.settle(item)
            while known and known[0][0].index < item.index:
                tell(*known.popleft())
            tell(item, outcome)

        stopped = len(plan.items) < len(found.items)
        if plan.todo:
            with session:
                session.open([*job.settings.readers, *job.settings.writers])
                check_used(found.items, job.settings, hands, report.log)
                session.prepare()
                for item in plan.alone:
                    report.set_aside(item, plan.stories[item.index])
                if hands.trace:
                    report.debug(hands.trace)
                from stylepipe.stream import Stream  # after torch, whose threads are tuned first

                abort = job.on_error == "abort"
                stream = Stream(session, journal, hands, report, tell_in_order, abort)
                stopped |= not stream.run(plan.together, plan.alone)
        for item, outcome in known:
            tell(item, outcome)
        if stopped:
            report.log("stopped at the first failure (--on-error abort)")


def _open(journal: Journal, stack: ExitStack) -> SetupError | None:
    """Open the journal until ``stack`` is closed. Returns why it could not be opened, which is no
    obstacle if all results are there already.
    """
    stack.callback(journal.close)
    try:
        journal.open()
    except SetupError as error:
        return error
    return None


def _planned(
    job: Job,
    found: Found,
    journal: Journal,
    hands: InHand,
    stack: ExitStack,
    closed: SetupError | None,
) -> Plan:
    """What is to be done. Raises ``closed``, why the journal is not open, if anything is.

    Until ``stack`` is closed, ``hands`` takes notes. For results that are there, whatever a kill
    may have left is removed, and where their sources are now is noted.
    """
    plan = decide(job, found, journal, hands)
    if job.on_error == "abort":
        plan = plan.up_to_failure()
    if closed is not None:
        if plan.todo:
            raise closed
        return plan
    stack.callback(hands.close)
    for item, entry in plan.complete:
        journal.tidy(item, entry)
        hands.settle(item)
    if plan.todo:
        hands.open()
        for item in plan.todo if job.redo else ():
            journal.discard(item)
    return plan
