"""``stylepipe train STYLIZER``: flags from the stylizer's TrainOptions."""

from __future__ import annotations

from typing import Any

import click

from stylepipe.cli.app import app_of, help_unless_completing
from stylepipe.cli.flags import add_flags, given, machine_flags, talk_flags
from stylepipe.components import Stylizer
from stylepipe.errors import suggest


class Train(click.Group):
    """One command for each stylizer that can be trained."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        stylizers = app_of(ctx).plugins.components(Stylizer)
        return [name for name, cls in stylizers.items() if cls.caps.trainable]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        return _command(cmd_name, app_of(ctx).plugins.components(Stylizer)[cmd_name])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args or help_unless_completing(ctx))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = self.list_commands(ctx)
        if args[0] not in known and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise click.UsageError(
                f"no trainable stylizer {args[0]!r}{suggest(args[0], known)}; "
                f"known: {', '.join(known) or 'none'}",
                ctx,
            )
        return super().resolve_command(ctx, args)


def _command(name: str, cls: type[Stylizer]) -> click.Command:
    engine = [*machine_flags(), *talk_flags()]
    own = {opt for p in engine for opt in p.opts}
    flags = add_flags(cls.TrainOptions.specs(), "train", {*own, "--help", "-h"})

    def train(**values: Any) -> None:
        options = cls.TrainOptions.build(given(flags, values).get("train", {}))

        from stylepipe.components import Context
        from stylepipe.device import pick, tune_allocator
        from stylepipe.memory import available_memory
        from stylepipe.report import Report

        tune_allocator()
        report = Report(quiet=values["quiet"], verbose=values["verbose"])
        memory = values["memory"] or available_memory() // 2
        device = pick(values["device"], values["precision"])
        cls.train(options, Context(device, memory, report.log))

    summary = f"Train a style for the stylizer {name}."
    # the engine's names are fixed, so its options are made first; the help shows them last
    return click.Command(name, callback=train, params=[*flags, *engine], help=summary)


@click.group("train", cls=Train)
def command() -> None:
    """Train a style of your own, for a stylizer that can learn."""
