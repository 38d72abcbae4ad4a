"""``stylepipe run`` and the command of each stylizer: the flags follow the chosen components."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from stylepipe.cli.app import app_of, help_unless_completing, look_ahead
from stylepipe.cli.flags import (
    Flag,
    LoggedCommand,
    add_flags,
    given,
    machine_flags,
    verbosity_flags,
)
from stylepipe.cli.output import sentence_of
from stylepipe.components import Component, Flow, Masker, Stylizer
from stylepipe.errors import SetupError, StylepipeError, UsageError, sentence, suggest
from stylepipe.job import DEFAULT, DEFAULT_FLOW, ENGINE, TABLES, Job, option_keys
from stylepipe.masking import DEFAULT_AMOUNT
from stylepipe.named_regions import NO_REGIONS, REST
from stylepipe.options import OptionSpec

if TYPE_CHECKING:
    from stylepipe.plugins import Plugins
    from stylepipe.presets import Draft, Value
    from stylepipe.report import Report

Tables = dict[str, dict[str, Any]]

EXAMPLES = """\
\b
Examples:
  stylepipe run photos -o painted
  stylepipe run photos -o painted --style great-wave --strength 0.7
  stylepipe run clip.mp4 -o clip_painted.mp4 --preset video-smooth
  stylepipe run photos -o painted --preset background --mask masks/

\b
Run the same command again to resume an interrupted job.
The flags follow the preset: stylepipe run --preset video-smooth --help
"""

SECTIONS = {
    "stylizer": "Style",
    "mask": "Mask: where to paint",
    "temporal": "Video without flicker",
    "input": "Reading",
    "output": "Writing",
}


class RunCommand(LoggedCommand):
    """A command whose flags are made once the preset and the plugins are known."""

    def __init__(self, name: str, stylizer: str | None, help: str, short_help: str) -> None:
        super().__init__(
            name,
            callback=_run,
            params=_engine_flags(),
            help=help,
            short_help=short_help,
        )
        self.stylizer = stylizer
        self.fixed = len(self.params)

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **more: Any,
    ) -> click.Context:
        with _reported_as_event("--json" in args):
            return super().make_context(info_name, args, parent, **more)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        plugins = app_of(ctx).plugins
        del self.params[self.fixed :]
        try:
            known = self._choose(plugins, args)
        except StylepipeError:
            if not ctx.resilient_parsing:
                raise
            return super().parse_args(ctx, args)  # the rest can still be completed
        flags = component_flags(known.components, known.values, plugins, self.params)
        self.params += [flag for flag in flags if self.takes(flag)]
        try:
            rest = super().parse_args(ctx, args or help_unless_completing(ctx))
        except click.NoSuchOption as error:
            if owner := self._owner(error.option_name, known.components, plugins):
                raise UsageError(f"{error.option_name} is {owner}") from error
            raise
        if not ctx.resilient_parsing:
            ctx.params["known"] = known.over(plugins, self._overrides(plugins, ctx.params))
        for name in [n for n in ctx.params if "__" in n]:
            del ctx.params[name]
        return rest

    def takes(self, flag: click.Parameter) -> bool:
        """Whether the command has this flag of a component."""
        return True

    def _owner(
        self, form: str, chosen: Mapping[str, Sequence[type[Component]]], plugins: Plugins
    ) -> str | None:
        """Which other component has this flag, and what to do about it; None if none has it."""
        for table in ("stylizer", "temporal"):
            for cls in plugins.components(TABLES[table]).values():
                alone = {**dict.fromkeys(TABLES, ()), table: (cls,)}
                flags = component_flags(alone, {}, plugins, ())
                own = [f for f in flags if isinstance(f, Flag) and f.table == table]
                if any(form in (*f.opts, *f.secondary_opts) for f in own if self.takes(f)):
                    ours = chosen[table][0].name if chosen[table] else "none"
                    way = f"pass --{table} {cls.name}" if table == "temporal" else f"use {cls.name}"
                    return f"an option of {cls.name}, and {table} is {ours}; leave it out, or {way}"
        return None

    def prepared(self, job: Job) -> Job:
        """The job to run in place of the requested one. Raises UsageError."""
        return job

    def finished(self, job: Job, report: Report) -> None:
        """Called after the job has run."""

    def _choose(self, plugins: Plugins, args: Sequence[str]) -> Draft:
        """The components that preset, environment and arguments choose, before their flags are
        known. The flags of all possible components tell which words are values."""
        from stylepipe.presets import draft

        every = {table: list(plugins.components(base).values()) for table, base in TABLES.items()}
        every["temporal"] += plugins.components(Flow).values()
        others = component_flags(every, {}, plugins, self.params)
        values, _ = look_ahead([*self.params, *others], args)
        choices = {
            name: values.get(name) for name in ("set", "mask", "protect", "region", "temporal")
        }
        tables = self._overrides(plugins, choices)
        if flow := values.get("temporal__flow"):
            tables.setdefault("temporal", {}).setdefault("flow", flow)
        return draft(plugins, values.get("preset", "default"), tables, os.environ)

    def _overrides(self, plugins: Plugins, values: dict[str, Any]) -> Tables:
        from stylepipe.presets import tables_of

        tables = given(self.params, values)
        if self.stylizer:
            tables.setdefault("stylizer", {})["use"] = self.stylizer
        if values.get("mask"):
            tables.setdefault("mask", {})["use"] = values["mask"]
        if values.get("protect"):
            tables.setdefault("mask", {})["protect"] = values["protect"]
        for text in values.get("region") or ():
            if text == NO_REGIONS:
                tables.setdefault("region", {})[text] = True
                continue
            name, equals, how = text.partition("=")
            if not (name and equals):
                raise UsageError(
                    "--region takes NAME=STYLE, NAME=STYLE:STRENGTH or NAME=keep, not "
                    f"{text!r}; or none, which drops the regions of a preset"
                )
            if name in tables.get("region", {}):
                raise UsageError(f"--region names {name!r} twice; leave one out")
            tables.setdefault("region", {})[name] = how
        if values.get("regions"):
            tables.setdefault("mask", {})["regions"] = values["regions"]
        if values.get("temporal"):
            tables.setdefault("temporal", {})["use"] = values["temporal"]
        sets = parse_sets(values.get("set") or (), self.params, tables_of(plugins))
        for table, keys in sets.items():
            tables[table] = {**tables.get(table, {}), **keys}
        return tables

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {t: [] for t in (*SECTIONS, "")}
        for param in self.get_params(ctx):
            table = getattr(param, "table", _TABLE_OF.get(param.name or "", ""))
            if isinstance(param, click.Option) and (record := param.get_help_record(ctx)):
                sections.setdefault(table, []).append(record)
        for table, records in sections.items():
            if records:
                with formatter.section(SECTIONS.get(table, f"Plugin {table}" if table else "Job")):
                    formatter.write_dl(records)


_TABLE_OF = {
    "mask": "mask",
    "protect": "mask",
    "region": "mask",
    "regions": "mask",
    "temporal": "temporal",
}


def component_flags(
    components: Mapping[str, Sequence[type[Component]]],
    values: Mapping[str, Mapping[str, Value]],
    plugins: Plugins,
    params: Sequence[click.Parameter],
) -> list[click.Parameter]:
    """The flags of components by table, and of the default one where a table has none.

    ``values`` are the defaults that the help shows; names of ``params`` are not used again.
    """
    taken = {opt for p in params for opt in (*p.opts, *p.secondary_opts)} | {"--help", "-h"}
    flags: list[click.Parameter] = []
    for table in ("stylizer", "output", "input", "mask", "temporal"):
        classes = components[table]
        if not classes and table in DEFAULT:
            classes = _usual(plugins, table)
        shown = {key: v.value for key, v in values.get(table, {}).items()}
        styles = partial(_style_names, classes)
        if table in ENGINE:
            # --feather alone would not say of what, and --protect always exists
            own = [s for s in ENGINE[table].specs() if (table, s.name) != ("mask", "protect")]
            flags += add_flags(own, table, taken, shown, prefixed=table == "mask")
        flags += add_flags(_union(classes), table, taken, shown, table in DEFAULT, styles)
    for table, options in plugins.options().items():
        shown = {key: v.value for key, v in values.get(table, {}).items()}
        flags += add_flags(options.specs(), table, taken, shown, prefixed=True)
    return flags


def _usual(plugins: Plugins, table: str) -> tuple[type[Component], ...]:
    """The components whose flags a table has while none is chosen."""
    usual = [plugins.components(TABLES[table]).get(DEFAULT[table])]
    if table == "temporal":
        usual.append(plugins.components(Flow).get(DEFAULT_FLOW))
    return tuple(cls for cls in usual if cls)


def _style_names(classes: Sequence[type[Component]]) -> list[str]:
    try:
        return [s.name for cls in classes if issubclass(cls, Stylizer) for s in cls.styles()]
    except StylepipeError:  # damaged files are reported by the job, not by the shell
        return []


def _union(classes: Sequence[type[Component]]) -> list[OptionSpec]:
    specs: dict[str, OptionSpec] = {}
    for keys in option_keys(classes):
        for key, spec in keys.items():
            specs.setdefault(key, replace(spec, name=key))
    return list(specs.values())


def parse_sets(
    sets: Sequence[str],
    params: Sequence[click.Parameter] = (),
    known: Collection[str] = tuple(TABLES),
) -> Tables:
    """The tables of ``table.key=value`` texts. A repeatable key that comes twice is a list."""
    repeatable = {
        (p.table, p.spec.name) for p in params if isinstance(p, Flag) and p.spec.repeatable
    }
    tables: Tables = {}
    for text in sets:
        path, equals, value = text.partition("=")
        table, dot, key = path.strip().partition(".")
        key = key if table == "region" else key.replace("-", "_")
        if not (equals and dot and key):
            raise UsageError(
                f"--set takes TABLE.KEY=VALUE, such as stylizer.strength=0.7, not {text!r}"
            )
        if table not in known:
            raise UsageError(
                f"--set {text}: unknown table {table!r}{suggest(table, known)}; "
                f"known: {', '.join(known)}"
            )
        keys = tables.setdefault(table, {})
        if (table, key) in repeatable:
            keys[key] = [*keys.get(key, []), value]
        else:
            keys[key] = value
    return tables


def _complete_presets(
    ctx: click.Context, param: click.Parameter, start: str
) -> list[CompletionItem]:
    from stylepipe.presets import available

    names = [n for n in sorted(available(app_of(ctx).plugins)) if n.startswith(start)]
    return [CompletionItem(n) for n in names] or [CompletionItem(start, type="file")]


def _complete_masks(ctx: click.Context, param: click.Parameter, start: str) -> list[CompletionItem]:
    """Maskers, after everything up to the last + or !; paths if none begins like that."""
    word = re.split(r"[+!]", start)[-1]
    before = start[: len(start) - len(word)]
    names = [n for n in sorted(app_of(ctx).plugins.components(Masker)) if n.startswith(word)]
    return [CompletionItem(before + n) for n in names] or [CompletionItem(start, type="file")]


def _complete_regions(
    ctx: click.Context, param: click.Parameter, start: str
) -> list[CompletionItem]:
    """A mask, rest or none; after the = a bundled style, keep, or the path of a style."""
    name, equals, style = start.partition("=")
    if not equals:
        names = [w for w in (REST, NO_REGIONS) if w.startswith(start)]
        found = _complete_masks(ctx, param, start)
        masks = [item for item in found if item.type == "plain"]
        return [*map(CompletionItem, names), *masks] or found
    words = ["keep", *(style.name for cls in _stylizers(ctx) for style in cls.styles())]
    found = [CompletionItem(f"{name}={w}") for w in dict.fromkeys(words) if w.startswith(style)]
    return found or [CompletionItem(start, type="file")]


def _stylizers(ctx: click.Context) -> list[type[Stylizer]]:
    """The stylizer of a command, or all of them where a preset chooses."""
    command = ctx.command
    known = app_of(ctx).plugins.components(Stylizer)
    own = command.stylizer if isinstance(command, RunCommand) else None
    return [known[own]] if own in known else [*known.values()]


def _engine_flags() -> list[click.Parameter]:
    option = click.Option
    return [
        click.Argument(
            ["inputs"], nargs=-1, required=True, metavar="INPUT...", type=click.Path(path_type=Path)
        ),
        option(
            ["-o", "--output"],
            required=True,
            metavar="PATH",
            type=click.Path(path_type=Path),
            help="A folder for the results, or the file for a single input.",
        ),
        option(
            ["-p", "--preset"],
            default="default",
            metavar="NAME|FILE",
            shell_complete=_complete_presets,
            help="What to do and how: see stylepipe presets.  [default: default]",
        ),
        option(
            ["--set"],
            multiple=True,
            metavar="TABLE.KEY=VALUE",
            help="Set any key of the preset, such as stylizer.strength=0.7; repeatable.",
        ),
        option(
            ["--mask"],
            metavar="EXPRESSION",
            shell_complete=_complete_masks,
            help="Paint only where the mask is white: a picture, a folder of pictures named like "
            "the photos, a masker (./NAME is a path), or none. Several are joined by +; ! before "
            "one inverts it, as in 'masks/+!alpha'.",
        ),
        option(
            ["--protect"],
            metavar="EXPRESSION[:AMOUNT]",
            shell_complete=_complete_masks,
            help="Keep this much of the photo, 0 to 1, where the mask is white.  [default amount: "
            f"{DEFAULT_AMOUNT}]",
        ),
        option(
            ["--region"],
            multiple=True,
            metavar="NAME=keep|STYLE[:STRENGTH]",
            shell_complete=_complete_regions,
            help="Paint what a mask shows in its own style and strength, or keep it, as in "
            "'!alpha=keep'; repeatable. Where regions overlap the first one wins, and rest is "
            "what none of them covers. none drops the regions of a preset.",
        ),
        option(
            ["--regions"],
            metavar="PATH",
            help="Paint each region in its own style: a map, which is a picture with one flat "
            "color per region, or a folder of maps named like the photos. The first --style paints "
            "the darkest region, and so on; or name colors: --style STYLE@#0000ff.",
        ),
        option(
            ["--temporal"],
            metavar="NAME",
            help="Temporal method that keeps the frames of a video alike, or none.",
        ),
        *machine_flags(),
        option(
            ["-n", "--dry-run"],
            is_flag=True,
            help="Look at each input, report what would be done and what would fail, do nothing.",
        ),
        option(
            ["--overwrite"],
            is_flag=True,
            help="Replace outputs that other settings, sources or programs made; what this job "
            "has done already stays.",
        ),
        option(["--redo"], is_flag=True, help="Do everything again, whatever is there."),
        option(
            ["--skip-existing"],
            is_flag=True,
            help="Leave every output that exists as it is, whatever made it.",
        ),
        option(
            ["--limit"], type=click.IntRange(min=1), metavar="N", help="Only the first N inputs."
        ),
        option(
            ["--on-error"],
            type=click.Choice(["skip", "abort"]),
            default="skip",
            help="What to do after a broken input.  [default: skip]",
        ),
        option(
            ["--report", "page"],
            metavar="FILE.html",
            type=click.Path(path_type=Path),
            help="Write a page that shows each result with a slider over its source.",
        ),
        option(["--json"], is_flag=True, help="Print events to stdout, one JSON object per line."),
        option(
            ["--plugin"],
            multiple=True,
            metavar="PATH|MODULE",
            help="Load one more plugin; repeatable.",
        ),
        *verbosity_flags(),
    ]


@contextmanager
def _reported_as_event(events: bool) -> Iterator[None]:
    """If the job ends before it starts, its events end like those of any job."""
    try:
        yield
    except click.exceptions.Exit:  # --help
        raise
    except BaseException as error:
        if events:
            from stylepipe.report import Report

            reported: BaseException = error
            if isinstance(error, click.ClickException):
                reported = UsageError(sentence_of(error))
            Report(json=True, quiet=True).job_failed(reported)
        raise


@click.pass_context
def _run(
    ctx: click.Context,
    /,
    *,
    inputs: tuple[Path, ...],
    output: Path,
    known: Draft,
    device: str,
    precision: str,
    memory: int | None,
    on_error: Any,
    overwrite: bool,
    redo: bool,
    skip_existing: bool,
    limit: int | None,
    dry_run: bool,
    json: bool,
    page: Path | None,
    verbose: int,
    quiet: bool,
    **seen: Any,
) -> int:
    app, command = app_of(ctx), ctx.command
    assert isinstance(command, RunCommand)
    with _reported_as_event(json):
        app.warn_of_broken()
        job = Job(
            inputs=inputs,
            output=output,
            settings=known.settings(),
            device=device,
            precision=precision,
            memory=memory,
            on_error=on_error,
            overwrite=overwrite,
            redo=redo,
            skip_existing=skip_existing,
            limit=limit,
            dry_run=dry_run,
        )
        job = command.prepared(job)
        if page is not None:
            _check_page(page, dry_run)

    from stylepipe.memory import tune_allocator
    from stylepipe.pipeline import run
    from stylepipe.report import Report

    tune_allocator()
    report = run(job, app.plugins, Report(json=json, quiet=quiet, verbose=verbose))
    command.finished(job, report)
    if page is not None:
        _write_page(page, job, report)
    return report.exit_code


def _check_page(page: Path, dry_run: bool) -> None:
    from stylepipe.studies.job_page import check_page

    if dry_run:
        raise UsageError("--report shows what was painted, and --dry-run paints nothing")
    check_page(page)


def _write_page(page: Path, job: Job, report: Report) -> None:
    """Raises SetupError."""
    from stylepipe.studies.job_page import A_PAGE, write_pages

    if report.interrupted:
        report.log(f"{page} will be written when the job is done")
        return
    try:
        pages = write_pages(page, job, report)
    except (OSError, UsageError) as error:
        raise SetupError(f"only the report could not be written: {sentence(error)}") from error
    more = f" and {len(pages) - 1} more, {A_PAGE} items each" if len(pages) > 1 else ""
    report.log(f"before and after: {page}{more}")


def stylizer_command(name: str, cls: type[Stylizer]) -> click.Command:
    """The command of one stylizer: ``run`` with that stylizer chosen."""
    summary = (cls.__doc__ or f"Stylize with {name}.").strip().splitlines()[0]
    text = f"{summary}\n\nThe same as stylepipe run with [stylizer] use = {name!r}."
    return RunCommand(name, name, text, summary)


command = RunCommand(
    "run",
    None,
    f"Stylize photos, folders of photos and videos.\n\n{EXAMPLES}",
    "Stylize photos, folders of photos and videos.",
)
