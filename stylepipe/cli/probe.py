"""``stylepipe probe``: what the readers see in a file."""

from __future__ import annotations

import dataclasses
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from stylepipe.cli.app import App, app_of
from stylepipe.cli.output import complain, print_json, print_table
from stylepipe.components import Reader
from stylepipe.damage import Damaged
from stylepipe.errors import ItemError, NoInputError
from stylepipe.inputs import probe
from stylepipe.plan import open_lightly
from stylepipe.stdio import printable, tell
from stylepipe.types import Info


@click.command("probe")
@click.argument(
    "files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path)
)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def command(ctx: click.Context, files: tuple[Path, ...], as_json: bool) -> int:
    """Say what is in photos and videos, without decoding all of them.

    Damage is reported as far as it shows in the headers; the exit code is then 1.
    """
    app = app_of(ctx)
    app.warn_of_broken()
    found: list[dict[str, Any]] = []
    failed = False
    damages: list[str] = []
    with ExitStack() as stack:
        readers = _readers(app, stack, damages.append)
        for path in files:
            damages.clear()
            try:
                facts = _facts(path, readers)
            except (ItemError, NoInputError) as error:
                failed = True
                complain(f"{path}: {error}")
                continue
            if damages:
                failed = True
                facts["damage"] = "; ".join(damages)
            found.append(facts)
            if not as_json:
                click.echo(click.style(printable(str(path)), bold=True))
                print_table([(f"  {k}", _words(v)) for k, v in facts.items() if k != "path"])
    if as_json:
        print_json(found)
    return ItemError.exit_code if failed else 0


def _readers(app: App, stack: ExitStack, damaged: Damaged) -> list[Reader]:
    readers = [cls(cls.Options()) for cls in app.plugins.components(Reader).values()]
    open_lightly(readers, stack, lambda line: tell(printable(line)), damaged)
    return readers


def _facts(path: Path, readers: list[Reader]) -> dict[str, Any]:
    if path.is_dir():
        raise NoInputError("is a folder; name the files in it")
    if not path.exists():
        raise NoInputError("no such file")
    reader, info = probe(path, readers)
    return {"path": str(path), "reader": reader.name, **_plain(info)}


def _plain(info: Info) -> dict[str, Any]:
    facts = {f.name: getattr(info, f.name) for f in dataclasses.fields(info)}
    details = facts.pop("details")
    return {k: v for k, v in facts.items() if v is not None} | {
        k: v for k, v in details.items() if k not in facts and v is not None
    }


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
