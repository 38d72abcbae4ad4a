"""``stylepipe styles``: what can be named by ``--style``."""

from __future__ import annotations

import click

from stylepipe.cli.app import app_of
from stylepipe.cli.output import complain, print_json, print_table
from stylepipe.components import StyleInfo, Stylizer
from stylepipe.errors import StylepipeError, sentence
from stylepipe.stdio import tell


@click.command("styles")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> int:
    """List the styles at hand: their name for --style, title, stylizer and license."""
    stylizers = app_of(ctx).plugins.components(Stylizer)
    found: list[tuple[str, StyleInfo]] = []
    code = 0
    for name, cls in stylizers.items():
        try:
            found += [(name, style) for style in cls.styles()]
        except Exception as error:  # the styles are the plugin's
            complain(f"stylizer {name}: {sentence(error)}")
            code = getattr(error, "exit_code", StylepipeError.exit_code)
    if as_json:
        print_json([{"stylizer": name, **vars(style)} for name, style in found])
        return code
    rows = [(s.name, name, s.title, s.license) for name, s in found]
    print_table(rows, ("STYLE", "STYLIZER", "TITLE", "LICENSE"))
    if not found and not code:
        tell("no style is bundled; train one: stylepipe train --help")
    return code
