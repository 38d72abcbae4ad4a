"""``stylepipe sweep``: every combination of settings over photos, measured, on one page."""

from __future__ import annotations

import time
from pathlib import Path

import click

from stylepipe.cli.app import app_of
from stylepipe.cli.flags import LoggedCommand, machine_flags, verbosity_flags
from stylepipe.cli.varied import finished, painted, say_unless, variants_of, varied_options
from stylepipe.errors import ItemError, UsageError
from stylepipe.job import Job
from stylepipe.verbs import VERBS

HELP = f"""\
{VERBS["sweep"]}

Each combination is a separate run in its own folder below the output: run the same command again
to resume, or with more values to add them. index.html shows and sorts all of them; sheet.jpg,
table.csv and table.json hold the same. For stylizers that work in steps (gatys) it plots loss and
distances by step, from the tables below curves/.

\b
Examples:
  stylepipe sweep photo.jpg -o study --style painting.jpg --preset default \\
      --vary stylizer.use=adain,wct --vary stylizer.strength=0.5,1
  stylepipe sweep photos -o study --set stylizer.use=gatys --style painting.jpg \\
      --vary stylizer.steps=50,150 --vary stylizer.content_weight=0.1,0.4
"""


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
    "--reference",
    metavar="FILE",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A picture to compare results with (mse, psnr, ssim, perceptual), instead of each photo.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N inputs.")
@click.option("--overwrite", is_flag=True, help="Replace results that other settings made.")
@click.pass_context
def command(
    ctx: click.Context,
    inputs: tuple[Path, ...],
    output: Path,
    styles: tuple[str, ...],
    vary: tuple[str, ...],
    preset: str,
    sets: tuple[str, ...],
    reference: Path | None,
    limit: int | None,
    overwrite: bool,
    device: str,
    precision: str,
    memory: int | None,
    verbose: int,
    quiet: bool,
) -> int:
    app = app_of(ctx)
    app.warn_of_broken()
    from stylepipe.encoders import open_encoder
    from stylepipe.memory import tune_allocator
    from stylepipe.pictures import read_picture
    from stylepipe.studies.measures import Judge
    from stylepipe.studies.sweep import check_output

    check_output(output)
    variants = variants_of(app.plugins, preset, sets, styles, vary, {})
    try:
        beside = None if reference is None else read_picture(reference)
    except ItemError as error:
        raise UsageError(f"--reference: {error}") from error
    job = Job(
        inputs=inputs,
        output=output,
        settings=variants[0][1],
        device=device,
        precision=precision,
        memory=memory,
        overwrite=overwrite,
        limit=limit,
    )

    log = say_unless(quiet)
    tune_allocator()
    start = time.perf_counter()
    judge = Judge(open_encoder("auto"))
    done = painted(job, variants, app.plugins, judge, beside, log, verbose, quiet)
    if done is None:
        return 130
    return finished(output, done, "Sweep", judge.title, log, start)


command.params += [*machine_flags(), *verbosity_flags()]
