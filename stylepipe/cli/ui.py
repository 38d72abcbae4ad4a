"""``stylepipe ui``: a page in the browser to try things in."""

from __future__ import annotations

import os
from pathlib import Path

import click

from stylepipe.cli.app import app_of
from stylepipe.cli.flags import Bytes, machine_flags
from stylepipe.errors import SetupError
from stylepipe.stdio import printable, tell
from stylepipe.verbs import VERBS

HELP = f"""\
{VERBS["ui"]}

Drop photos or films on the page, choose a style and look at a preview; then queue them, and save
the results. Everything stays on this machine, in one folder. Ctrl-C stops it; the queue continues
with the next start.

\b
Examples:
  stylepipe ui
  stylepipe ui -o holidays --no-browser
"""


@click.command("ui", help=HELP, short_help=VERBS["ui"])
@click.option(
    "-o",
    "--output",
    default="stylepipe-ui",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="The folder of uploads, queue and results.  [default: stylepipe-ui]",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    metavar="N",
    help="The port, which only this machine can reach.  [default: the first free from 8470]",
)
@click.option(
    "--max-upload",
    default="2G",
    type=Bytes(),
    metavar="SIZE",
    help="Refuse files larger than this.  [default: 2G]",
)
@click.option("--no-browser", is_flag=True, help="Print the address only.")
@click.pass_context
def command(
    ctx: click.Context,
    output: Path,
    port: int | None,
    max_upload: int,
    no_browser: bool,
    device: str,
    precision: str,
    memory: int | None,
) -> int:
    app = app_of(ctx)
    app.warn_of_broken()
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise SetupError(
            f"the page needs {error.name}: python -m pip install 'stylepipe[ui]'"
        ) from error
    from stylepipe.memory import tune_allocator
    from stylepipe.paths import user_path
    from stylepipe.ui.serve import serve

    tune_allocator()
    machine = {"device": device, "precision": precision, "memory": memory}
    folder, code = user_path(output), 0
    try:
        over = serve(folder, app.plugins, machine, max_upload, port, not no_browser, _say)
    except KeyboardInterrupt:  # a second one, while it waits for the picture in hand
        over, code = False, 130
    if not over:
        os._exit(code)  # torch aborts if the interpreter ends before a thread that is painting
    return code


def _say(line: str) -> None:
    tell(printable(line))


command.params += machine_flags()
