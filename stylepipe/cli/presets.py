"""``stylepipe presets``: list, show and validate presets."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from stylepipe.cli.app import app_of
from stylepipe.cli.output import complain, print_json, print_table
from stylepipe.errors import StylepipeError
from stylepipe.named_regions import TABLE
from stylepipe.presets import Value, available, draft, explain, find, load, tables_of, user_folder
from stylepipe.stdio import printable


@click.group("presets", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """List, show and validate presets. A preset is a TOML file; yours are found by name in
    the folder that `stylepipe presets where` prints."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_presets)


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def list_presets(ctx: click.Context, as_json: bool = False) -> None:
    """List the presets that can be called by name."""
    rows = []
    tables = tables_of(app_of(ctx).plugins)
    for name, (origin, path) in sorted(available(app_of(ctx).plugins).items()):
        try:
            description = load(path, tables).description
        except StylepipeError as error:
            description = f"broken: {error}"
        rows.append((name, origin, description))
    if as_json:
        print_json([dict(zip(("name", "origin", "description"), row, strict=True)) for row in rows])
    else:
        print_table(rows, ("PRESET", "FROM", "DESCRIPTION"))


@command.command("show")
@click.argument("preset", metavar="NAME|FILE")
@click.option("--resolved", is_flag=True, help="Every setting, and where each value comes from.")
@click.option("--json", "as_json", is_flag=True, help="The resolved settings as JSON.")
@click.pass_context
def show(ctx: click.Context, preset: str, resolved: bool, as_json: bool) -> None:
    """Print a preset's file; with --resolved all its settings, as TOML that can be saved."""
    plugins = app_of(ctx).plugins
    if not resolved and not as_json:
        click.echo(find(plugins, preset).read_text(encoding="utf-8", errors="replace").rstrip())
        return
    explained = explain(plugins, preset, env=os.environ)
    if as_json:
        print_json({t: {k: vars(v) for k, v in keys.items()} for t, keys in explained.items()})
        return
    for name, region in explained.pop(TABLE, {}).items():
        header = f"{TABLE}.{json.dumps(name, ensure_ascii=False)}"
        explained[header] = {k: Value(v, region.origin) for k, v in region.value.items()}
    for number, (table, keys) in enumerate(explained.items()):
        click.echo(f"{chr(10) if number else ''}[{table}]")
        lines = [(_toml(key, value.value), value.origin) for key, value in keys.items()]
        width = min(max(len(line) for line, _ in lines), 40)
        for line, origin in lines:
            click.echo(f"{line:<{width}}  # {origin}")


def _toml(key: str, value: Any) -> str:
    """``key = value``; a comment where TOML or a preset has no word for it."""
    if value is None:
        return f"# {key} is not set"
    if "@" in key or (key == "use" and isinstance(value, list)):
        return f"# {key} = {json.dumps(value, ensure_ascii=False)}"
    return f"{key} = {json.dumps(value, ensure_ascii=False)}"


@command.command("validate")
@click.argument(
    "files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path)
)
@click.pass_context
def validate(ctx: click.Context, files: tuple[Path, ...]) -> int:
    """Check preset files: syntax, tables, components, keys and values."""
    code = 0
    for path in files:
        try:
            draft(app_of(ctx).plugins, path).settings()
        except StylepipeError as error:
            complain(str(error))
            code = error.exit_code
        else:
            click.echo(f"{printable(str(path))}: ok")
    return code


@command.command("where")
def where() -> None:
    """Print the folder where your own presets are found by name."""
    click.echo(user_folder())
