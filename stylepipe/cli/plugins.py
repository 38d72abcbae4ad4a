"""``stylepipe plugins``: who brings what, and what is broken."""

from __future__ import annotations

import textwrap
from typing import Any

import click

from stylepipe.cli.app import app_of
from stylepipe.cli.output import print_json
from stylepipe.components import Component
from stylepipe.plugins import STAGES, stage_of
from stylepipe.stdio import printable


@click.command("plugins")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List plugins, where they come from, and the components they bring.

    A plugin that cannot be loaded is listed with its traceback; the others work all the same.
    """
    plugins = app_of(ctx).plugins
    brought: dict[str, list[type[Component]]] = {}
    for base in STAGES.values():
        for cls in plugins.components(base).values():
            brought.setdefault(plugins.owner(cls), []).append(cls)
    if as_json:
        print_json(
            [
                {**vars(r), "components": [_facts(c) for c in brought.get(r.name, [])]}
                for r in plugins.records
            ]
        )
        return
    for record in plugins.records:
        broken = click.style("  BROKEN", fg="red", bold=True) if record.error else ""
        name = click.style(printable(record.name), bold=True)
        click.echo(f"{name}  ({printable(record.origin)}){broken}")
        for cls in brought.get(record.name, []):
            facts = _facts(cls)
            click.echo(f"    {facts['stage']:<9} {cls.name:<14} {facts['summary']}")
        if record.error:
            lines = map(printable, record.error.rstrip().splitlines())
            click.echo(textwrap.indent("\n".join(lines), "    "))


def _facts(cls: type[Component]) -> dict[str, Any]:
    summary = (cls.__doc__ or "").strip().partition("\n")[0]
    return {"stage": stage_of(cls), "name": cls.name, "summary": summary}
