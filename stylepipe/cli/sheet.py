"""``stylepipe sheet``: photos in every style, or in many settings, on one labeled sheet."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from stylepipe.cli.app import app_of
from stylepipe.cli.flags import LoggedCommand, machine_flags, verbosity_flags
from stylepipe.cli.varied import counted, say_unless, variants_of, varied_options
from stylepipe.errors import SetupError, UsageError
from stylepipe.eta import elapsed
from stylepipe.stdio import is_terminal
from stylepipe.verbs import VERBS

HELP = f"""\
{VERBS["sheet"]}

Paints small copies in all bundled styles, or in those named by --style, and writes one labeled
picture, or an HTML page with a slider over each. Strokes are as large as on a picture of that size.

\b
Examples:
  stylepipe sheet photo.jpg -o styles.png
  stylepipe sheet photos -o styles.html --limit 3
  stylepipe sheet photo.jpg -o scream.png --style scream --vary stylizer.strength=0.3,0.6,1
  stylepipe sheet photo.jpg -o any.png --style painting.jpg --vary stylizer.use=adain,wct,photo
"""


@click.command("sheet", cls=LoggedCommand, help=HELP, short_help=VERBS["sheet"])
@varied_options
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The sheet: a .png, .jpg or .html.",
)
@click.option(
    "--size",
    default=384,
    type=click.IntRange(64, 2048),
    metavar="N",
    help="Longest side of a picture on the sheet, and of what is painted.  [default: 384]",
)
@click.option(
    "--limit",
    default=6,
    type=click.IntRange(min=1),
    metavar="N",
    help="Only the first N inputs.  [default: 6]",
)
@click.pass_context
def command(
    ctx: click.Context,
    inputs: tuple[Path, ...],
    output: Path,
    styles: tuple[str, ...],
    vary: tuple[str, ...],
    preset: str,
    sets: tuple[str, ...],
    size: int,
    limit: int,
    device: str,
    precision: str,
    memory: int | None,
    verbose: int,
    quiet: bool,
) -> int:
    app = app_of(ctx)
    app.warn_of_broken()
    from tqdm import tqdm

    from stylepipe.memory import tune_allocator
    from stylepipe.studies.painting import Machine, paintings, read_photos
    from stylepipe.studies.sheet import check_output, write_sheet

    check_output(output)
    # pictures that stand alone have nothing to be steady with
    still = {"temporal": {"use": "none"}}
    trials = variants_of(app.plugins, preset, sets, styles, vary, still)
    for trial in trials:
        if by_file := next((m for m, _ in trial.settings.maskers if m.by_file), None):
            raise UsageError(
                f"the mask {by_file.name!r} is looked up by the name of a file, and a sheet paints "
                "small copies in memory; leave it out, or take one that is found in the picture"
            )

    log = say_unless(quiet)
    tune_allocator()
    start = time.perf_counter()
    photos = read_photos(inputs, output.with_suffix(""), trials[0].settings, size, limit, log)
    machine, hidden = Machine(device, precision, memory), quiet or not is_terminal(sys.stderr)
    rows = paintings(photos, [trial.settings for trial in trials], machine, log, verbose)
    results = list(tqdm(rows, total=len(trials), unit="variant", disable=hidden))
    try:
        write_sheet(output, photos, [trial.variant for trial in trials], results)
    except OSError as error:
        raise SetupError(f"cannot write {output}: {error.strerror or error}") from error
    failed = sum(one.picture is None for row in results for one in row)
    log(
        f"{output}: {counted(len(trials), 'variant')} of {counted(len(photos), 'photo')} in "
        f"{elapsed(time.perf_counter() - start)}" + (f", {failed} failed" if failed else "")
    )
    return 1 if failed else 0


command.params += [*machine_flags(), *verbosity_flags()]
