"""``stylepipe train NAME``: a command for each Training, with flags from its Options."""

from __future__ import annotations

from typing import Any

import click

from stylepipe.cli.app import app_of, help_unless_completing
from stylepipe.cli.flags import LoggedCommand, add_flags, given, machine_flags, verbosity_flags
from stylepipe.components import Context, Training
from stylepipe.errors import suggest


class Train(click.Group):
    """One command for each Training."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(app_of(ctx).plugins.components(Training))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = app_of(ctx).plugins.components(Training).get(cmd_name)
        return None if found is None else _command(found)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args or help_unless_completing(ctx))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = self.list_commands(ctx)
        if args[0] not in known and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise click.UsageError(
                f"nothing trainable is called {args[0]!r}{suggest(args[0], known)}; "
                f"known: {', '.join(known) or 'none'}",
                ctx,
            )
        return super().resolve_command(ctx, args)


def _command(cls: type[Training]) -> click.Command:
    # batches have the size that was asked for, whatever the memory
    machine = [flag for flag in machine_flags() if flag.name != "memory"]
    engine = [*machine, *verbosity_flags()]
    own = {opt for p in engine for opt in p.opts}
    flags = add_flags(cls.Options.specs(), "train", {*own, "--help", "-h"})

    def train(**values: Any) -> None:
        options = cls.Options.build(given(flags, values).get("train", {}))

        from stylepipe.device import pick
        from stylepipe.memory import available_memory, tune_allocator
        from stylepipe.report import Report

        tune_allocator()
        report = Report(quiet=values["quiet"], verbose=values["verbose"])
        device = pick(values["device"], values["precision"])
        memory, bars = available_memory() // 2, not values["quiet"]
        cls(options).train(Context(device, memory, report.log, report.progress, bars=bars))

    summary = (cls.__doc__ or "").strip().partition("\n")[0]
    # the engine's names are fixed, so its options are made first; the help shows them last
    return LoggedCommand(cls.name, callback=train, params=[*flags, *engine], help=summary)


@click.group("train", cls=Train)
def command() -> None:
    """Train a style of your own, or a network that stylizers use."""
