"""``stylepipe compare``: stylizers, presets and finished folders side by side, on one page."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stylepipe.cli.app import app_of
from stylepipe.cli.flags import LoggedCommand, machine_flags, verbosity_flags
from stylepipe.cli.judged import judge_options
from stylepipe.cli.run import parse_sets
from stylepipe.cli.varied import finished, painted, say_unless
from stylepipe.components import Stylizer
from stylepipe.errors import UsageError, suggest
from stylepipe.job import Job
from stylepipe.presets import available, is_path, resolve, tables_of
from stylepipe.verbs import VERBS

if TYPE_CHECKING:
    from stylepipe.plugins import Plugins
    from stylepipe.studies.variants import Tables, Trial

HELP = f"""\
{VERBS["compare"]}

WHAT is a stylizer, a preset, or a folder of results by any program, which have the names of the
photos; ./NAME is always a folder or a file. Stylizers and presets paint into folders below the
output.

\b
Examples:
  stylepipe compare adain wct photo --photo photo.jpg --style painting.jpg -o study
  stylepipe compare painted/ others/ --photo photos -o study
"""


@click.command("compare", cls=LoggedCommand, help=HELP, short_help=VERBS["compare"])
@click.argument("what", nargs=-1, required=True, metavar="WHAT...")
@click.option(
    "--photo",
    "photos",
    multiple=True,
    required=True,
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="A photo, or a folder of them; repeatable.",
)
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The folder of the comparison.",
)
@click.option(
    "-s",
    "--style",
    "styles",
    multiple=True,
    metavar="STYLE",
    help="The style for all of them, as for run; repeat to blend.  [default: the preset's]",
)
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="TABLE.KEY=VALUE",
    help="Set any key for all of them; repeatable.",
)
@judge_options
@click.option("--overwrite", is_flag=True, help="Replace results that other settings made.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N inputs.")
@click.pass_context
def command(
    ctx: click.Context,
    what: tuple[str, ...],
    photos: tuple[Path, ...],
    output: Path,
    styles: tuple[str, ...],
    sets: tuple[str, ...],
    calibration: Path | None,
    judge_weights: Path | None,
    overwrite: bool,
    limit: int | None,
    device: str,
    precision: str,
    memory: int | None,
    verbose: int,
    quiet: bool,
) -> int:
    app = app_of(ctx)
    app.warn_of_broken()
    from stylepipe.inputs import find_items
    from stylepipe.memory import tune_allocator
    from stylepipe.studies.finished import taken
    from stylepipe.studies.judging import open_judge
    from stylepipe.studies.sweep import check_output, check_photos, measure, painting_of

    check_output(output)
    named = {*app.plugins.components(Stylizer), *available(app.plugins)}
    meant = [word if word in named else Path(word) for word in what]
    if twice := next((w for i, w in enumerate(meant) if w in meant[:i]), None):
        raise UsageError(f"{twice} is given twice")
    folders = [word for word in what if word not in named and Path(word).is_dir()]
    over = parse_sets(sets, known=tables_of(app.plugins))
    if styles:
        if "style" in over.get("stylizer", ()):
            raise UsageError("--style and stylizer.style mean the same; leave one out")
        over.setdefault("stylizer", {})["style"] = list(styles)
    trials = [_trial(app.plugins, word, over) for word in what if word not in folders]
    plain = trials[0].settings if trials else resolve(app.plugins, "default", over, os.environ)
    job = Job(
        inputs=photos,
        output=output,
        settings=plain,
        device=device,
        precision=precision,
        memory=memory,
        overwrite=overwrite,
        limit=limit,
    )
    items = find_items(photos, output / "none", plain, limit).items
    check_photos(items)
    there = {folder: taken(Path(folder), items) for folder in folders}
    log = say_unless(quiet)
    tune_allocator()
    start = time.perf_counter()
    judge = open_judge(calibration, judge_weights)
    for one in there.values():
        one.painting = painting_of(plain)
        measure(one, judge, None)
    done = painted(job, trials, app.plugins, judge, None, log, verbose, quiet)
    if done is None:
        return 130
    remaining = iter(done)
    columns = [there[word] if word in there else next(remaining) for word in what]
    return finished(output, columns, "Comparison", judge, log, start)


command.params += [*machine_flags(), *verbosity_flags()]


def _trial(plugins: Plugins, word: str, over: Tables) -> Trial:
    """The variant of a stylizer or a preset. Raises UsageError for a word that is neither."""
    from stylepipe.studies.variants import Trial, Variant

    stylizers, presets = plugins.components(Stylizer), available(plugins)
    known = [*stylizers, *presets]
    if word in stylizers:
        if "use" in over.get("stylizer", ()):
            raise UsageError(f"stylizer.use is set by {word}; leave it out")
        tables = {**over, "stylizer": {**over.get("stylizer", {}), "use": word}}
        made = resolve(plugins, "default", tables, os.environ)
    elif is_path(word) or word in presets:
        tables = {**over, "preset": {"name": word}}  # this distinguishes variants
        made = resolve(plugins, word, over, os.environ)
    else:
        raise UsageError(
            f"{word!r} is no stylizer, no preset and no folder{suggest(word, known)}; "
            f"known: {', '.join(known)}"
        )
    return Trial(Variant({"what": word}, tables), made)
