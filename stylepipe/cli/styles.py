"""``stylepipe styles``: what can be named by ``--style``."""

from __future__ import annotations

import click

from stylepipe.cli.app import app_of
from stylepipe.cli.output import print_json, print_table
from stylepipe.components import Stylizer


@click.command("styles")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List the styles at hand: their name for --style, title, stylizer and licence."""
    stylizers = app_of(ctx).plugins.components(Stylizer)
    found = [(name, style) for name, cls in stylizers.items() for style in cls.styles()]
    if as_json:
        print_json([{"stylizer": name, **vars(style)} for name, style in found])
        return
    rows = [(s.name, name, s.title, s.license) for name, s in found]
    print_table(rows, ("STYLE", "STYLIZER", "TITLE", "LICENCE"))
    if not found:
        click.echo("no style is bundled; train one: stylepipe train --help", err=True)
