"""What all commands share: the plugins, loaded once and only when a command needs them."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

from stylepipe.errors import SetupError
from stylepipe.stdio import printable, tell

if TYPE_CHECKING:
    from stylepipe.plugins import PluginRecord, Plugins


class App:
    """One invocation of the program."""

    def __init__(self, asked: Sequence[str] = (), words: Sequence[str] = ()) -> None:
        self.words = tuple(words)
        """All that was typed after the program's name."""
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


def look_ahead(
    params: Iterable[click.Parameter], args: Sequence[str], resilient: bool = True
) -> tuple[dict[str, Any], list[str]]:
    """What the arguments say of some options, while others are not known yet, and the other words.

    They are read by click, and from the same declarations as later. ``resilient``: a mistake ends
    the reading without a word, as it is found again.
    """
    options: list[click.Parameter] = [p for p in params if isinstance(p, click.Option)]
    command = click.Command(None, params=options, add_help_option=False)
    context = click.Context(command, ignore_unknown_options=True, resilient_parsing=resilient)
    words = list(args)
    cut = words.index("--") if "--" in words else len(words)
    values, rest, _ = command.make_parser(context).parse_args(words[:cut])
    return values, [*rest, *words[cut:]]


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
