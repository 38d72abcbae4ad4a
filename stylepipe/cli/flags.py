"""Flags made from Options: one flag per option, in sections of the help page."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from stylepipe.cli.app import App, look_ahead
from stylepipe.logfile import LogFile
from stylepipe.memory import parse_size
from stylepipe.options import OptionSpec
from stylepipe.stdio import note, printable
from stylepipe.version import __version__

_logs: list[LogFile] = []
"""Opened by ``--log``; closed at the end of the program."""


class Flag(click.Option):
    """One option of a component. Its text is passed on unchanged to Options, which validates it."""

    def __init__(
        self,
        spec: OptionSpec,
        table: str,
        taken: set[str],
        prefixed: bool,
        help: str,
        words: Callable[[], Iterable[str]],
    ) -> None:
        self.spec, self.table = spec, table
        plain = spec.name.replace("_", "-")
        # the long form with the table's name always works, whatever else the job has
        forms = [_long_form(spec, table)]
        if not prefixed and not {f"--{plain}", f"--no-{plain}"} & taken:
            forms.insert(0, plain)
        self.form = forms[0]
        more: dict[str, Any] = {}
        names = [f"--{form}/--no-{form}" if spec.kind is bool else f"--{form}" for form in forms]
        if spec.short and f"-{spec.short}" not in taken:
            names.append(f"-{spec.short}")
        if spec.kind is not bool:
            more |= {"metavar": _metavar(spec), "multiple": spec.repeatable}
            more["type"] = click.Path() if spec.kind is Path else click.STRING
            more["shell_complete"] = _complete_from(words)
        super().__init__(
            [*names, f"{table.replace('-', '_')}__{spec.name}"],
            default=None,
            help=help,
            **more,
        )
        taken.update(part for name in names for part in name.split("/"))

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        short = "".join(f"{o}, " for o in self.opts if not o.startswith("--"))
        long = f"--[no-]{self.form}" if self.is_bool_flag else f"--{self.form} {self.metavar}"
        return short + long, self.help or ""


def add_flags(
    specs: Iterable[OptionSpec],
    table: str,
    taken: set[str],
    shown: dict[str, Any] | None = None,
    prefixed: bool = False,
    styles: Callable[[], Iterable[str]] = tuple,
) -> list[Flag]:
    """A flag for each option; ``shown`` are defaults for the help that a preset sets.

    ``styles`` completes the option ``style``. A name that is already taken gets the table's name as
    a prefix; ``taken`` grows. If that is taken, too, the option has no flag, only ``--set``.
    """
    flags = []
    for spec in specs:
        if f"--{_long_form(spec, table)}" in taken:
            continue
        default = (shown or {}).get(spec.name, spec.default)
        text = f"{spec.help}{_limits(spec, default)}"
        words = styles if spec.name == "style" else partial(map, str, spec.choices)
        flags.append(Flag(spec, table, taken, prefixed, text, words))
    return flags


def given(flags: Iterable[click.Parameter], values: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What the user set, by table and key."""
    tables: dict[str, dict[str, Any]] = {}
    for flag in flags:
        if isinstance(flag, Flag):
            value = values.get(flag.name or "")
            if value is not None and value != ():
                tables.setdefault(flag.table, {})[flag.spec.name] = value
    return tables


def _long_form(spec: OptionSpec, table: str) -> str:
    return f"{table}-{spec.name}".replace("_", "-")


def _metavar(spec: OptionSpec) -> str:
    if spec.metavar:
        return spec.metavar
    if spec.choices:
        return "|".join(map(str, spec.choices))
    return {int: "N", float: "X", Path: "PATH"}.get(spec.kind, "TEXT")


def _limits(spec: OptionSpec, default: Any) -> str:
    notes = []
    if spec.min is not None and spec.max is not None:
        notes.append(f"{spec.min:g} to {spec.max:g}")
    elif spec.min is not None:
        notes.append(f"at least {spec.min:g}")
    elif spec.max is not None:
        notes.append(f"at most {spec.max:g}")
    if spec.repeatable:
        notes.append("repeatable")
    if spec.only_if:
        notes.append(f"needs {spec.condition}")
    if isinstance(default, (list, tuple)):
        default = ", ".join(str(v) for v in default)
    if default not in (None, ""):
        word = {True: "on", False: "off"}.get(default) if isinstance(default, bool) else default
        notes.append(f"default: {word}")
    return f"  [{'; '.join(notes)}]" if notes else ""


def _complete_from(words: Callable[[], Iterable[str]]) -> Callable[..., list[CompletionItem]]:
    def complete(ctx: click.Context, param: click.Parameter, start: str) -> list[CompletionItem]:
        found = [CompletionItem(word) for word in words() if word.startswith(start)]
        return found or [CompletionItem(start, type="file")]

    return complete


def machine_flags() -> list[click.Parameter]:
    """``--device``, ``--precision`` and ``--memory``, for all commands that use a device."""
    return [
        click.Option(
            ["-d", "--device"],
            default="auto",
            metavar="NAME",
            help="auto, cpu, cuda or cuda:N.  [default: auto]",
        ),
        click.Option(
            ["--precision"],
            default="auto",
            type=click.Choice(["auto", "full", "half"]),
            help="Number type of the model; auto takes the fastest that is safe here.",
        ),
        click.Option(
            ["--memory"],
            type=Bytes(),
            metavar="SIZE",
            help="Limit on working memory, such as 4G.",
        ),
    ]


def verbosity_flags() -> list[click.Parameter]:
    """``--verbose``, ``--quiet`` and ``--log``, for commands that take long."""
    return [
        click.Option(
            ["--log"],
            metavar="FILE",
            type=click.Path(path_type=Path),
            expose_value=False,  # LoggedCommand reads it
            help="Append all messages to this file, with times, in full even with --quiet.",
        ),
        click.Option(["-v", "--verbose"], count=True, help="Print more."),
        click.Option(["-q", "--quiet"], is_flag=True, help="Print errors only."),
    ]


class LoggedCommand(click.Command):
    """A command with :func:`verbosity_flags`. The file of ``--log`` is opened first, so that it
    also has what is wrong with the other flags."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **more: Any,
    ) -> click.Context:
        path = look_ahead([p for p in self.params if p.name == "log"], args)[0].get("log")
        if path is not None and not more.get("resilient_parsing"):
            _logs.append(LogFile(Path(path)))
            app = parent.find_object(App) if parent else None
            note(printable(f"stylepipe {__version__}: {shlex.join(app.words if app else args)}"))
        return super().make_context(info_name, args, parent, **more)


def close_logs() -> None:
    """Close the files of ``--log``."""
    while _logs:
        _logs.pop().close()


class Bytes(click.ParamType):  # type: ignore[type-arg]  # generic in newer click
    """A size such as 512M, 4G or 1.5GiB, in powers of 1024."""

    name = "size"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | None:
        return value if value is None or isinstance(value, int) else parse_size(str(value))
