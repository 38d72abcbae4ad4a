"""A plugin of hooks alone: a note beside each result, and a list of all of them at the end.

stylepipe run PHOTOS -o OUT --plugin credits.py --credits-author "Ada"
"""

from stylepipe import Options, UsageError, hookimpl, option


class CreditsOptions(Options):
    author: str = option("", "Who is named in the notes.", metavar="NAME")
    most: int = option(1000, "Refuse jobs with more inputs.", min=1)


@hookimpl
def stylepipe_options():
    return CreditsOptions


@hookimpl
def stylepipe_job_start(job, items):
    most = job.settings.plugins["credits"].most
    if len(items) > most:
        raise UsageError(f"{len(items)} inputs are more than {most}; use --limit {most}")


@hookimpl
def stylepipe_item_done(job, item, outcome):
    if outcome.status == "done" and not job.dry_run:
        style = ", ".join(job.settings.stylizer.options.style) or job.settings.stylizer.name
        author = job.settings.plugins["credits"].author
        line = f"{item.source.name}, painted in {style}" + (f" by {author}" if author else "")
        note = item.output.with_name(item.output.name + ".txt")
        note.write_text(line + "\n", encoding="utf-8")


@hookimpl
def stylepipe_job_done(job, report):
    if not job.dry_run and report.counts["done"]:
        lines = [f"{status}: {count}" for status, count in sorted(report.counts.items())]
        folder = job.output if job.output.is_dir() else job.output.parent
        (folder / "credits.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
