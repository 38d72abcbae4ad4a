"""``stylepipe train NAME``: flags from the TrainOptions of a stylizer, or those of a Training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from stylepipe.cli.app import app_of, help_unless_completing
from stylepipe.cli.flags import add_flags, given, machine_flags, verbosity_flags
from stylepipe.components import Context, Stylizer, Training
from stylepipe.errors import suggest
from stylepipe.options import Options
from stylepipe.plugins import Plugins


class Train(click.Group):
    """One command for each stylizer that can be trained, and for each Training."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_trainable(app_of(ctx).plugins))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = _trainable(app_of(ctx).plugins).get(cmd_name)
        return None if found is None else _command(cmd_name, found)

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


def _trainable(plugins: Plugins) -> dict[str, type[Stylizer] | type[Training]]:
    stylizers = plugins.components(Stylizer).items()
    return {
        **plugins.components(Training),
        **{name: cls for name, cls in stylizers if cls.caps.trainable},
    }


def _command(name: str, cls: type[Stylizer] | type[Training]) -> click.Command:
    kind: type[Options]
    start: Callable[[Any, Context], None]
    if issubclass(cls, Stylizer):
        kind, start, summary = cls.TrainOptions, cls.train, f"Train what {name} paints with."
    else:
        kind, summary = cls.Options, (cls.__doc__ or "").strip().partition("\n")[0]

        def start(options: Any, context: Context) -> None:
            cls(options).train(context)

    engine = [*machine_flags(), *verbosity_flags()]
    own = {opt for p in engine for opt in p.opts}
    flags = add_flags(kind.specs(), "train", {*own, "--help", "-h"})

    def train(**values: Any) -> None:
        options = kind.build(given(flags, values).get("train", {}))

        from stylepipe.device import pick
        from stylepipe.memory import available_memory, tune_allocator
        from stylepipe.report import Report

        tune_allocator()
        report = Report(quiet=values["quiet"], verbose=values["verbose"])
        memory = values["memory"] or available_memory() // 2
        device = pick(values["device"], values["precision"])
        start(options, Context(device, memory, report.log))

    # the engine's names are fixed, so its options are made first; the help shows them last
    return click.Command(name, callback=train, params=[*flags, *engine], help=summary)


@click.group("train", cls=Train)
def command() -> None:
    """Train a style of your own, or a network that stylizers use."""
