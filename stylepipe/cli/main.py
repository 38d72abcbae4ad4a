"""The program: ``stylepipe VERB ...``. Each verb is a file beside this, imported when called."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

import click
from click.shell_completion import add_completion_class

from stylepipe.cli.app import App, app_of, help_unless_completing, look_ahead, unexpected
from stylepipe.cli.bash import Bash
from stylepipe.cli.flags import close_logs, verbosity_flags
from stylepipe.cli.output import complain, sentence_of
from stylepipe.errors import SetupError, StylepipeError, sentence, suggest
from stylepipe.inhand import watch_crashes
from stylepipe.memory import tune_threads
from stylepipe.startup import heed_ctrl_c, leave_at_ctrl_c
from stylepipe.stdio import note, secure_streams, tell
from stylepipe.verbs import VERBS
from stylepipe.version import __version__


class Cli(click.Group):
    """The verbs, then a command per stylizer, then the commands that plugins add."""

    loaded = False

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in VERBS:
            command = importlib.import_module(f"stylepipe.cli.{cmd_name}").command
            assert isinstance(command, click.Command)
            return command
        self._load(ctx)
        return super().get_command(ctx, cmd_name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        self._load(ctx)
        return [*VERBS, *(n for n in self.commands if n not in VERBS)]

    def _load(self, ctx: click.Context) -> None:
        """Add the commands that come from plugins, once."""
        if self.loaded:
            return
        self.loaded = True
        from stylepipe.cli.run import stylizer_command
        from stylepipe.components import Stylizer

        app = app_of(ctx)
        plugins = app.plugins
        plugins.add_commands(self)
        if not ctx.resilient_parsing:  # while completing, nothing is to be said
            app.warn_of_broken(strict=False)
        for name, cls in plugins.components(Stylizer).items():
            self.commands.setdefault(name, stylizer_command(name, cls))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        own, added = [], []
        for name in self.list_commands(ctx):
            if name in VERBS:
                own.append((name, VERBS[name]))
            elif (command := self.get_command(ctx, name)) and not command.hidden:
                added.append((name, command.get_short_help_str(limit=70)))
        with formatter.section("Commands"):
            formatter.write_dl(own)
        if added:
            with formatter.section("Stylizers and plugin commands"):
                formatter.write_dl(added)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        known = name.startswith("-") or self.get_command(ctx, name) is not None
        if known or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        if os.path.exists(name):  # noqa: PTH110  (pathlib raises on odd names)
            raise click.UsageError(
                f"{name!r} is no command; to stylize it: stylepipe run {name} -o OUTPUT"
            )
        hint = suggest(name, self.list_commands(ctx))
        absent = [r.name for r in app_of(ctx).plugins.records if r.error or r.blocked]
        note = f"; plugins that are broken or blocked: {', '.join(absent)}" if absent else ""
        raise click.UsageError(f"unknown command {name!r}{hint}{note}")

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # Commands may come from plugins, so those are asked for anywhere.
        plugin = [p for p in self.params if p.name == "plugin"]
        values, rest = look_ahead(plugin, args, ctx.resilient_parsing)
        ctx.obj = App(values.get("plugin") or (), args)
        return super().parse_args(ctx, rest or help_unless_completing(ctx))


def make_cli() -> Cli:
    """The command line; its plugin commands are found at the first look."""
    add_completion_class(Bash)

    @click.group(
        cls=Cli,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        epilog="Start with: stylepipe run PHOTOS -o OUTPUT",
    )
    @click.version_option(__version__, "--version", message="stylepipe %(version)s")
    @click.option(
        "--plugin",
        multiple=True,
        metavar="PATH|MODULE",
        help="Load one more plugin; anywhere on the command line, repeatable.",
    )
    def cli(plugin: tuple[str, ...]) -> None:
        """Neural style transfer for photo folders and video."""

    assert isinstance(cli, Cli)
    return cli


def run(args: Sequence[str]) -> int:
    """Run the program; errors are printed to stderr. Returns the exit code."""
    try:
        code = _run(args)
    finally:
        close_logs()
    if (failed := _output_error()) is None:
        return code
    if isinstance(failed, BrokenPipeError):
        # the reader of our output went away, as `head` does: not worth a word
        return code or 1
    if not code:
        code = SetupError.exit_code
        complain(f"standard output cannot be written: {sentence(failed)}")
    return code


def _output_error() -> OSError | None:
    """Why standard output could not be written, if it could not."""
    with suppress(OSError):  # which it remembers
        sys.stdout.flush()
    return getattr(sys.stdout, "failed", None)


def _run(args: Sequence[str]) -> int:
    try:
        result = make_cli().main(list(args), prog_name="stylepipe", standalone_mode=False)
    except click.exceptions.Abort:
        tell("interrupted")
        return 130
    except click.ClickException as error:
        complain(sentence_of(error))
        if isinstance(error, click.UsageError) and error.ctx is not None:
            tell(f"See: {error.ctx.command_path} --help")
        return error.exit_code
    except StylepipeError as error:
        complain(str(error))
        return error.exit_code
    except Exception as error:
        if _output_error() is not None:
            return 0  # and that is reported at the end
        verbose = "verbose" in look_ahead(verbosity_flags(), args)[0]
        if not verbose:
            note(unexpected(error, verbose=True))
        tell(unexpected(error, verbose))
        return 1
    return result if isinstance(result, int) else 0


def _silence_libraries() -> None:
    """Keep libraries from talking of what is an error or a note of ours already."""
    warnings.filterwarnings("ignore", module=r"PIL\.")
    os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1, which prints its settings at each start


def main() -> NoReturn:
    """The console script."""
    code = 130
    with suppress(KeyboardInterrupt):
        heed_ctrl_c()
        secure_streams()
        watch_crashes()
        _silence_libraries()
        tune_threads()
        code = run(sys.argv[1:])
        leave_at_ctrl_c()
    sys.exit(code)
