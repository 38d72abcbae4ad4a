"""A plugin of hooks alone: a note beside each result, and a list of all of them at the end.

stylepipe run PHOTOS -o OUT --plugin credits.py
"""

from stylepipe import UsageError, hookimpl


@hookimpl
def stylepipe_job_start(job, items):
    if len(items) > 1000:
        raise UsageError(f"{len(items)} inputs are more than a day's work here; use --limit 1000")


@hookimpl
def stylepipe_item_done(job, item, outcome):
    if outcome.status == "done" and not job.dry_run:
        note = item.output.with_name(item.output.name + ".txt")
        style = ", ".join(job.settings.stylizer.options.style) or job.settings.stylizer.name
        note.write_text(f"{item.source.name}, painted in {style}\n", encoding="utf-8")


@hookimpl
def stylepipe_job_done(job, report):
    if not job.dry_run and report.counts["done"]:
        lines = [f"{status}: {count}" for status, count in sorted(report.counts.items())]
        folder = job.output if job.output.is_dir() else job.output.parent
        (folder / "credits.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
