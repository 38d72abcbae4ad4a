"""``stylepipe plugins``: what each provides, what is broken, and how to write a new one."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from stylepipe import presets
from stylepipe.cli.app import app_of
from stylepipe.cli.output import print_json
from stylepipe.components import Component
from stylepipe.errors import UsageError
from stylepipe.plugins import STAGES, PluginRecord, stage_of
from stylepipe.scaffold import KINDS, create
from stylepipe.stdio import printable, tell


@click.group("plugins", invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List plugins, where they come from, and what they provide: components, presets, commands,
    options and hooks.

    A broken plugin is listed with its traceback; the others work all the same. The
    variable STYLEPIPE_PLUGINS loads and blocks plugins (mine.py,-duotone), and
    STYLEPIPE_TRACE_PLUGINS=1 prints each call of a hook.
    """
    if ctx.invoked_subcommand is not None:
        if as_json:
            raise UsageError(f"--json is for the list, and not for {ctx.invoked_subcommand}")
        return
    app = app_of(ctx)
    app.plugins.add_commands(click.Group())  # so that broken ones are marked
    if as_json:
        print_json([_facts(record) for record in app.plugins.records])
        return
    for record in app.plugins.records:
        _print(record)


def _print(record: PluginRecord) -> None:
    state = click.style("  BROKEN", fg="red", bold=True) if record.error else ""
    state += "  blocked by STYLEPIPE_PLUGINS" if record.blocked else ""
    name = click.style(printable(record.name), bold=True)
    click.echo(f"{name}  ({printable(record.origin)}){state}")
    for kind, what, summary in _lines(record):
        click.echo(printable(f"    {kind:<9} {what:<14} {summary}".rstrip()))
    if record.error:
        for line in record.error.rstrip().splitlines():
            click.echo(f"    {printable(line)}")


def _lines(record: PluginRecord) -> Iterator[tuple[str, str, str]]:
    for cls in record.components:
        facts = _component(cls)
        yield facts["stage"], facts["name"], facts["summary"]
    for name in _presets(record):
        yield "preset", name, ""
    for name in record.commands:
        yield "command", name, ""
    for spec in record.options.specs() if record.options else ():
        yield "option", spec.name, spec.help
    if record.hooks:
        yield "hooks", ", ".join(record.hooks), ""


def _facts(record: PluginRecord) -> dict[str, Any]:
    return {
        "name": record.name,
        "origin": record.origin,
        "error": record.error,
        "reason": record.reason,
        "blocked": record.blocked,
        "components": [_component(cls) for cls in record.components],
        "presets": _presets(record),
        "commands": record.commands,
        "options": [spec.name for spec in record.options.specs()] if record.options else [],
        "hooks": record.hooks,
    }


def _component(cls: type[Component]) -> dict[str, str]:
    summary = (cls.__doc__ or "").strip().partition("\n")[0]
    return {"stage": stage_of(cls), "name": cls.name, "summary": summary}


def _presets(record: PluginRecord) -> list[str]:
    return sorted(path.stem for folder in record.presets for path in folder.glob("*.toml"))


@command.command("new")
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), required=True, help="What the plugin provides.")
@click.option(
    "-o",
    "--output",
    default=".",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Where to create its folder, stylepipe-NAME.  [default: here]",
)
@click.pass_context
def new(ctx: click.Context, name: str, kind: str, output: Path) -> None:
    """Write an installable plugin to start from: options, a preset, a contract test."""
    plugins = app_of(ctx).plugins
    if name in plugins.components(STAGES[kind]):
        raise UsageError(f"there is a {kind} named {name!r} already; choose another name")
    if name in presets.available(plugins):
        raise UsageError(f"there is a preset named {name!r} already; choose another name")
    folder = create(name, kind, output)
    click.echo(printable(str(folder)))
    # With a separator: pip would take a bare name for one on the package index.
    quoted = shlex.quote(str(folder) if folder.is_absolute() else f"./{folder}")
    tell(f"check it: stylepipe plugins check {quoted}\ninstall it: python -m pip install {quoted}")


@command.command("check")
@click.argument("plugin", metavar="PATH|NAME")
@click.option(
    "--sample",
    "samples",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path, exists=True),
    help="A good file for readers of formats that Pillow and FFmpeg do not write, or a folder for "
    "readers of folders; repeatable.",
)
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="NAME.KEY=VALUE",
    help="An option of a component, for the checks; repeatable.",
)
def check(plugin: str, samples: tuple[Path, ...], sets: tuple[str, ...]) -> int:
    """Check a plugin against all that stylepipe relies on; needs pytest.

    PATH|NAME is a file, a package's or project's folder, a module, or an installed plugin's name.
    Exit code 0: fine; 1: the plugin or a contract is broken; 2: there is no such plugin.
    """
    from stylepipe.check import check_plugin

    done = check_plugin(plugin, samples, sets)
    click.echo("\n".join(map(printable, done.text.splitlines())))
    return 0 if done.fine else 1
