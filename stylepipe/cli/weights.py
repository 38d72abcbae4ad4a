"""``stylepipe weights``: networks made by others, and their verified copies on this machine."""

from __future__ import annotations

import click

from stylepipe.cli.output import print_json, print_table
from stylepipe.weights import KNOWN, cache_folder, fetch, known


@click.group("weights", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """List and fetch the weights of networks made by others.

    The bundled styles need none of them; training and slower stylizers do, and fetch what they
    need. STYLEPIPE_CACHE names another folder to keep them in.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_weights)


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="As JSON, with address and digest.")
def list_weights(as_json: bool = False) -> None:
    """List the weights that can be fetched, and which are here."""
    if as_json:
        print_json(
            [{**vars(w), "path": w.path, "fetched": w.path.is_file()} for w in KNOWN.values()]
        )
        return
    rows = [
        (
            w.name,
            "fetched" if w.path.is_file() else "-",
            f"{w.megabytes} MB",
            w.license,
            w.summary,
        )
        for w in KNOWN.values()
    ]
    print_table(rows, ("WEIGHTS", "HERE", "SIZE", "LICENSE", "WHAT"))


@command.command("fetch")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def fetch_weights(names: tuple[str, ...]) -> None:
    """Download weights, check them, and print their paths."""
    for weights in [known(name) for name in names]:
        click.echo(fetch(weights))


@command.command("path")
@click.argument("name", required=False)
def path(name: str | None) -> None:
    """Print the folder of the cache, or where the weights NAME lie or will lie."""
    click.echo(known(name).path if name else cache_folder())
