"""``stylepipe sweep``: every combination of settings over photos, measured, on one page."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from stylepipe.cli.app import app_of
from stylepipe.cli.flags import LoggedCommand, machine_flags, verbosity_flags
from stylepipe.cli.judged import judge_options
from stylepipe.cli.varied import finished, painted, say_unless, variants_of, varied_options
from stylepipe.components import Training
from stylepipe.errors import ItemError, UsageError, suggest
from stylepipe.job import Job
from stylepipe.verbs import VERBS

if TYPE_CHECKING:
    from stylepipe.plugins import Plugins
    from stylepipe.studies.trainings import Plan
    from stylepipe.studies.variants import Tables

HELP = f"""\
{VERBS["sweep"]}

Each combination is a separate run in its own folder below the output: run the same command again
to resume, or with more values to add them. index.html shows and sorts all of them; sheet.jpg,
table.csv and table.json hold the same. For stylizers that work in steps (gatys) it plots loss and
distances by step, from the tables below curves/. With --train it trains a file for each
combination of a training's options, below trained/, and plots their loss and its terms.

\b
Examples:
  stylepipe sweep photo.jpg -o study --style painting.jpg --preset default \\
      --vary stylizer.use=adain,wct --vary stylizer.strength=0.5,1
  stylepipe sweep photos -o study --set stylizer.use=gatys --style painting.jpg \\
      --vary stylizer.steps=50,150 --vary stylizer.content_weight=0.1,0.4
  stylepipe sweep photos -o study --train fast --train-photos many --style painting.jpg \\
      --vary train.style_weight=1,3,10 --set train.steps=200
"""


def _complete_trainings(
    ctx: click.Context, param: click.Parameter, start: str
) -> list[CompletionItem]:
    names = app_of(ctx).plugins.components(Training)
    return [CompletionItem(name) for name in names if name.startswith(start)]


@click.command("sweep", cls=LoggedCommand, help=HELP, short_help=VERBS["sweep"])
@varied_options
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The folder of the study.",
)
@click.option(
    "--train",
    metavar="NAME",
    shell_complete=_complete_trainings,
    help="Train a file for each combination of train.KEY first, and paint by it: see stylepipe "
    "train. A painting that is learned is named by --style.",
)
@click.option(
    "--train-photos",
    "photos",
    multiple=True,
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="With --train: a folder of photos to train on, or a photo; repeatable.",
)
@click.option(
    "--reference",
    metavar="FILE",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A picture to compare results with (mse, psnr, ssim, perceptual), instead of each photo.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N inputs.")
@judge_options
@click.option("--overwrite", is_flag=True, help="Replace results that other settings made.")
@click.pass_context
def command(
    ctx: click.Context,
    inputs: tuple[Path, ...],
    output: Path,
    train: str | None,
    photos: tuple[Path, ...],
    styles: tuple[str, ...],
    vary: tuple[str, ...],
    preset: str,
    sets: tuple[str, ...],
    reference: Path | None,
    limit: int | None,
    calibration: Path | None,
    judge_weights: Path | None,
    overwrite: bool,
    device: str,
    precision: str,
    memory: int | None,
    verbose: int,
    quiet: bool,
) -> int:
    app = app_of(ctx)
    app.warn_of_broken()
    from stylepipe.memory import tune_allocator
    from stylepipe.pictures import read_picture
    from stylepipe.studies.judging import open_judge
    from stylepipe.studies.sweep import check_output

    check_output(output)
    planned = None if train is None else partial(_planned, app.plugins, train, photos, output)
    if planned is None and photos:
        raise UsageError("--train-photos is for --train NAME; leave it out")
    trials = variants_of(app.plugins, preset, sets, styles, vary, {}, planned)
    try:
        beside = None if reference is None else read_picture(reference)
    except ItemError as error:
        raise UsageError(f"--reference: {error}") from error
    job = Job(
        inputs=inputs,
        output=output,
        settings=trials[0].settings,
        device=device,
        precision=precision,
        memory=memory,
        overwrite=overwrite,
        limit=limit,
    )

    log = say_unless(quiet)
    tune_allocator()
    start = time.perf_counter()
    judge = open_judge(calibration, judge_weights)
    done = painted(job, trials, app.plugins, judge, beside, log, verbose, quiet)
    if done is None:
        return 130
    return finished(output, done, "Sweep", judge, log, start)


command.params += [*machine_flags(), *verbosity_flags()]


def _planned(
    plugins: Plugins, name: str, photos: Sequence[Path], output: Path, over: Tables
) -> Plan:
    """What is trained, with the options of ``--set``. Raises UsageError."""
    from stylepipe.studies.trainings import FOLDER, Plan
    from stylepipe.studies.variants import TRAIN

    known = plugins.components(Training)
    if name not in known:
        raise UsageError(
            f"nothing trainable is called {name!r}{suggest(name, known)}; "
            f"known: {', '.join(known) or 'none'}"
        )
    if photos:
        over.setdefault(TRAIN, {})
        if "photos" in over[TRAIN]:
            raise UsageError("--train-photos and --set train.photos mean the same; leave one out")
        over[TRAIN]["photos"] = list(map(str, photos))
    return Plan(known[name], output / FOLDER, over.get(TRAIN, {}))
