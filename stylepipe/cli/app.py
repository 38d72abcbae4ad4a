"""What all commands share: the plugins, loaded once and only when a command needs them."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import click

from stylepipe.errors import SetupError
from stylepipe.stdio import printable, tell

if TYPE_CHECKING:
    from stylepipe.plugins import PluginRecord, Plugins


class App:
    """One invocation of the program."""

    def __init__(self, asked: Sequence[str] = ()) -> None:
        self.asked = tuple(dict.fromkeys(asked))
        """Plugins asked for by ``--plugin``."""
        self._told: list[PluginRecord] = []

    @cached_property
    def plugins(self) -> Plugins:
        """All plugins, the broken ones among its records."""
        from stylepipe.plugins import Plugins

        return Plugins(self.asked, os.environ)

    def warn_of_broken(self, strict: bool = True) -> None:
        """Name each broken plugin on stderr, once. Where ``strict``, raises SetupError for one
        that was asked for by ``--plugin``."""
        for record in self.plugins.records:
            if not record.error:
                continue
            if strict and record.origin in self.asked:
                raise SetupError(f"plugin {record.origin} cannot be loaded: {record.reason}")
            if record not in self._told:
                self._told.append(record)
                why = f"plugin {record.name} is broken: {record.reason} (see stylepipe plugins)"
                tell(printable(f"warning: {why}"))


def app_of(ctx: click.Context) -> App:
    """The App of the running invocation."""
    app = ctx.find_object(App)
    assert app is not None
    return app


def help_unless_completing(ctx: click.Context) -> list[str]:
    """Arguments to take where none were given: a bare command asks for its help."""
    return [] if ctx.resilient_parsing else ["--help"]


def split_plugins(args: Sequence[str]) -> tuple[list[str], list[str]]:
    """Take ``--plugin X`` out, wherever it stands: commands may come from those plugins."""
    asked: list[str] = []
    rest: list[str] = []
    words = iter(args)
    for word in words:
        if word == "--":
            return asked, [*rest, word, *words]
        value = next(words, None) if word == "--plugin" else None
        if value is not None:
            asked.append(value)
        elif word.startswith("--plugin="):
            asked.append(word.partition("=")[2])
        else:
            rest.append(word)
    return asked, rest


def peek(args: Iterable[str], names: set[str], short: str = "", flags: str = "nvqh") -> list[str]:
    """Values given to an option, before the options are known well enough to parse them.

    ``names`` are its long forms, ``short`` its letter, ``flags`` the letters that take no value.
    """
    found: list[str] = []
    waiting = False
    for arg in args:
        if waiting:
            found.append(arg)
            waiting = False
        elif arg == "--":
            break
        elif arg.startswith("--"):
            name, equals, value = arg.partition("=")
            if name in names and equals:
                found.append(value)
            waiting = name in names and not equals
        elif arg.startswith("-") and short:
            rest = arg[1:].lstrip(flags)
            if rest.startswith(short):
                value = rest[1:].removeprefix("=")
                waiting = not value
                found.extend([value] if value else [])
    return found


def unexpected(error: BaseException, verbose: bool) -> str:
    """What to print for an error that is a mistake of the program or of a plugin."""
    if verbose:
        lines = "".join(traceback.format_exception(error)).splitlines()
        return "\n".join(map(printable, lines))
    what = f"{type(error).__name__}: {error}".strip().splitlines()[0]
    return printable(
        f"error: unexpected {what}; run the same command with -v for the traceback, and report it "
        "together with the output of stylepipe doctor"
    )
