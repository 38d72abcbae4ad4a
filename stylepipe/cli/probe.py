"""``stylepipe probe``: what the readers see in a file."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from stylepipe.cli.app import app_of
from stylepipe.cli.output import complain, print_json, print_table
from stylepipe.cli.run import parse_sets
from stylepipe.components import Reader
from stylepipe.errors import ItemError, NoInputError
from stylepipe.inputs import probe, readers_for
from stylepipe.places import is_folder
from stylepipe.presets import draft
from stylepipe.session import Opener
from stylepipe.stdio import printable, tell
from stylepipe.types import Info


@click.command("probe")
@click.argument(
    "files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path)
)
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="input.KEY=VALUE",
    help="Set an option of reading, such as input.frame_rate=25 for folders of numbered frames; "
    "repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def command(
    ctx: click.Context, files: tuple[Path, ...], sets: tuple[str, ...], as_json: bool
) -> int:
    """Say what is in photos and videos, without decoding all of them.

    Damage is reported as far as it shows in the headers; the exit code is then 1.
    """
    app = app_of(ctx)
    app.warn_of_broken()
    found: list[dict[str, Any]] = []
    failed = False
    damages: list[str] = []
    readers = draft(app.plugins, "default", parse_sets(sets), os.environ).settings().readers
    with Opener(device="cpu", log=_say, damaged=damages.append) as opener:
        opener.open(readers)
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


def _say(line: str) -> None:
    tell(printable(line))


def _facts(path: Path, readers: Sequence[Reader]) -> dict[str, Any]:
    if is_folder(path) and not readers_for(path, readers):
        raise NoInputError(
            "is a folder; name the files in it, or pass --set input.frame_rate=25 if it holds the "
            "numbered frames of a film"
        )
    if not os.path.exists(path):  # noqa: PTH110 (raises nothing)
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
