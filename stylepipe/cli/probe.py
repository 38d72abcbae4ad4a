"""``stylepipe probe``: what the readers see in a file, and what a run would make of it."""

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
from stylepipe.errors import ItemError, NoInputError, UsageError
from stylepipe.inputs import find_items, probe, readers_for
from stylepipe.job import Settings
from stylepipe.patterns import Pattern, no_match
from stylepipe.places import is_several
from stylepipe.plan import choose_writer
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
    metavar="TABLE.KEY=VALUE",
    help="Set an option of reading or writing, such as input.fps=25 for numbered frames, or "
    "output.codec=libx265; repeatable.",
)
@click.option(
    "--format",
    metavar="SUFFIX",
    help="Say what would become of a film in this format, as of run --format.  [default: its own]",
)
@click.option(
    "-o",
    "--output",
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="The same of run -o PATH; nothing is written.",
)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def command(
    ctx: click.Context,
    files: tuple[Path, ...],
    sets: tuple[str, ...],
    format: str | None,
    output: Path | None,
    as_json: bool,
) -> int:
    """Say what is in photos and videos, without decoding all of them.

    Of a film also what a run would make of each of its streams: which is painted, copied, converted
    or left out, as its writer finds by writing one picture.

    Damage is reported as far as it shows in the headers. The exit code is then 1, and where a film
    could not be written.
    """
    app = app_of(ctx)
    app.warn_of_broken()
    found: list[dict[str, Any]] = []
    failed = False
    damages: list[str] = []
    tables = parse_sets(sets)
    if format is not None:
        tables.setdefault("output", {})["format"] = format
    settings = draft(app.plugins, "default", tables, os.environ).settings()
    if sample := settings.input.sample:
        raise UsageError(
            f"{sample.flag} chooses frames to paint, and probe paints none; leave it out"
        )
    with Opener(device="cpu", log=_say, damaged=damages.append) as opener:
        opener.open(settings.readers)
        for path in files:
            damages.clear()
            try:
                facts = _facts(path, settings, output)
            except (ItemError, NoInputError) as error:
                failed = True
                complain(f"{path}: {error}")
                continue
            failed |= "error" in facts.get("result", {})
            if damages:
                failed = True
                facts["damage"] = "; ".join(damages)
            found.append(facts)
            if not as_json:
                click.echo(click.style(printable(str(path)), bold=True))
                plain = {k: v for k, v in facts.items() if k not in ("path", "result")}
                print_table([(f"  {k}", _words(v)) for k, v in plain.items()])
                _print_result(facts.get("result"))
    if as_json:
        print_json(found)
    return ItemError.exit_code if failed else 0


def _say(line: str) -> None:
    tell(printable(line))


def _facts(path: Path, settings: Settings, output: Path | None) -> dict[str, Any]:
    """What is in a file, and of a film what becomes of it. Raises ItemError, NoInputError."""
    readers = settings.readers
    # what raises nothing for a name that no disk holds
    if not os.path.exists(path) and not is_several(path):  # noqa: PTH110
        raise NoInputError(no_match(path) if Pattern.of(path.name) else "no such file")
    claimed = not is_several(path) or bool(readers_for(path, readers))
    reader, info = probe(path, readers) if claimed else _unclaimed(path, readers)
    facts = {"path": str(path), "reader": reader.name, **_plain(info)}
    if info.kind == "video" and claimed:
        facts["result"] = _result(path, info, settings, output)
    return facts


def _result(path: Path, info: Info, settings: Settings, output: Path | None) -> dict[str, Any]:
    """What a run would make of a film, or why it could not."""
    # Without a name only the suffix counts, as in a folder that is not there yet.
    place = output or path.absolute().with_name(".stylepipe-probe")
    found = find_items([path], place, settings)
    item, notes = found.items[0], list[str]()
    result: dict[str, Any] = {"format": item.pattern}
    try:
        if why := found.refused.get(0):
            raise ItemError(why)
        writer = choose_writer(item, info, settings)
        fates = writer.forecast(item, info, notes.append)
    except ItemError as error:
        return {**result, "error": str(error)}
    told = [{k: v for k, v in vars(fate).items() if v not in ("", None)} for fate in fates]
    return {**result, "writer": writer.name, "parts": told, "notes": notes}


def _print_result(result: dict[str, Any] | None) -> None:
    if result is None:
        return
    if "error" in result:
        click.echo(f"  as {result['format']}: cannot be written: {printable(result['error'])}")
        return
    click.echo(f"  as {result['format']}, by the writer {result['writer']}:")
    print_table(
        [
            (f"    {part.get('stream', '')}", part["part"], part["action"], part.get("words", ""))
            for part in result["parts"]
        ]
    )
    for note in result["notes"]:
        click.echo(f"    {printable(note)}")


def _unclaimed(path: Path, readers: Sequence[Reader]) -> tuple[Reader, Info]:
    """What a reader of folders says of one that no run would give it, as its rate is not known."""
    for reader in readers:
        if not reader.patterns and (info := reader.probe(path)):
            tell(f"{printable(str(path))}: a film with --fps RATE; without, each is a photo")
            return reader, info
    raise NoInputError("is a folder without numbered frames; name the files in it")


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
