"""Shared by ``sheet``, ``sweep`` and ``compare``: a preset, and the settings that vary."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stylepipe.cli.run import parse_sets
from stylepipe.components import Stylizer
from stylepipe.errors import SetupError, UsageError
from stylepipe.eta import elapsed
from stylepipe.presets import draft, tables_of
from stylepipe.stdio import is_terminal, note, printable, tell

if TYPE_CHECKING:
    from stylepipe.job import Job, Settings
    from stylepipe.plugins import Plugins
    from stylepipe.presets import Draft
    from stylepipe.studies.measures import Judge, Picture
    from stylepipe.studies.sweep import Done
    from stylepipe.studies.trainings import Plan
    from stylepipe.studies.variants import Tables, Trial, Variant

Decorated = Callable[..., Any]


def varied_options(command: Decorated) -> Decorated:
    """Add the flags that choose the variants: ``--style``, ``--vary``, ``--preset``, ``--set``."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


_OPTIONS = (
    click.argument(
        "inputs", nargs=-1, required=True, metavar="PHOTO...", type=click.Path(path_type=Path)
    ),
    click.option(
        "-s",
        "--style",
        "styles",
        multiple=True,
        metavar="STYLE",
        help="A style to show: a bundled name or a file; repeatable.  [default: all that are "
        "bundled]",
    ),
    click.option(
        "--vary",
        multiple=True,
        metavar="TABLE.KEY=VALUE,...",
        help="An option and the values to show, such as stylizer.strength=0.5,1; repeatable, for "
        "all combinations. [A,B] is one value that is a list.",
    ),
    click.option(
        "-p", "--preset", default="default", metavar="NAME|FILE", help="What to start from."
    ),
    click.option(
        "--set", "sets", multiple=True, metavar="TABLE.KEY=VALUE", help="Set any key; repeatable."
    ),
)


def variants_of(
    plugins: Plugins,
    preset: str,
    sets: Sequence[str],
    styles: Sequence[str],
    vary: Sequence[str],
    fixed: Tables,
    planned: Callable[[Tables], Plan] | None = None,
) -> list[Trial]:
    """Every combination with its settings; ``fixed`` overrides the preset. ``planned`` says what is
    trained, of the tables of ``--set``; None: nothing is. Raises UsageError."""
    from stylepipe.studies.variants import TRAIN, Dimension, Trial, dimension, grid

    known = tables_of(plugins)
    if planned is not None:
        known.append(TRAIN)
    else:
        _refuse_trainings(TRAIN, {"--vary": vary, "--set": sets})
    over = parse_sets(sets, known=known)
    plan = None if planned is None else planned(over)
    bare = draft(plugins, preset, {}, os.environ)
    constant = {t: v for t, v in over.items() if t != TRAIN}

    def drafted(tables: Tables, origin: str) -> Draft:
        # what varies is chosen before --set: another stylizer drops the keys of the one below
        uses = {t: {"use": keys["use"]} for t, keys in tables.items() if "use" in keys}
        chosen = bare.over(plugins, uses, origin).over(plugins, constant).over(plugins, fixed)
        return chosen.over(plugins, tables, origin)

    # all variants have the same photos, and separate folders
    shown = [table for table in known if table not in ("input", "output")]
    varied = [dimension(text, shown) for text in vary]
    if both := next((d for d in varied if d.key in over.get(d.table, ())), None):
        raise UsageError(f"--vary {both.table}.{both.key}: it is set as well; leave one out")
    table = TRAIN if plan is not None and plan.learns_style else "stylizer"
    if styles:
        if (table, "style") in {(d.table, d.key) for d in varied} or "style" in over.get(table, ()):
            raise UsageError(f"--style and {table}.style mean the same; leave one out")
        varied.insert(0, Dimension(table, "style", tuple([name] for name in styles)))
    elif not vary and plan is None and (all_of := _bundled(drafted({}, "--set"))):
        varied = [Dimension("stylizer", "style", tuple([name] for name in all_of))]
    origin = "--vary" if vary else "--style"
    if plan is not None:
        return [_trained(plugins, plan, drafted, over, v, origin) for v in grid(varied)]
    return [Trial(v, drafted(v.tables, origin).settings()) for v in grid(varied)]


def _refuse_trainings(table: str, flags: Mapping[str, Sequence[str]]) -> None:
    """Raises UsageError for options of a training where nothing is trained."""
    for flag, texts in flags.items():
        if text := next((text for text in texts if text.startswith(f"{table}.")), None):
            raise UsageError(
                f"{flag} {text}: nothing is trained here; stylepipe sweep --train NAME trains a "
                "file for each value"
            )


def _trained(
    plugins: Plugins,
    plan: Plan,
    drafted: Callable[[Tables, str], Draft],
    over: Tables,
    variant: Variant,
    origin: str,
) -> Trial:
    """A variant that is painted by what is trained for it. Raises UsageError."""
    from stylepipe.studies.variants import TRAIN, Trial
    from stylepipe.styles import check_number, parse_style

    training = plan.training(variant)
    table = plan.stylizer_table(training)
    own = {t: v for t, v in variant.tables.items() if t != TRAIN}
    for key in {**over.get("stylizer", {}), **own.get("stylizer", {})}:
        if key in table:
            raise UsageError(f"stylizer.{key} is set by --train {plan.kind.name}; leave it out")
    # the file is not there yet, and whoever is asked may look
    use = {"stylizer": {**own.get("stylizer", {}), "use": table["use"]}}
    before = drafted({**own, **use}, origin)
    settings = before.settings()
    if "style" not in table:  # else it would be missed after hours of training
        check_number(settings.stylizer, [parse_style(s) for s in settings.stylizer.options.style])

    def with_file() -> Settings:
        return before.over(plugins, {"stylizer": table}, "--train").settings()

    return Trial(variant, settings, training, with_file)


def _bundled(base: Draft) -> list[str]:
    """The styles that the stylizer brings along."""
    (cls,) = base.components["stylizer"]
    assert issubclass(cls, Stylizer)
    return [style.name for style in cls.styles()]


def say_unless(quiet: bool) -> Callable[[str], None]:
    """Reports a line, which the file of ``--log`` has in any case."""
    write = note if quiet else tell
    return lambda line: write(printable(line))


def counted(number: int, word: str) -> str:
    """``1 photo``, ``2 photos``."""
    return f"{number} {word}{'s' * (number != 1)}"


def painted(
    job: Job,
    trials: Sequence[Trial],
    plugins: Plugins,
    judge: Judge,
    reference: Picture | None,
    log: Callable[[str], None],
    verbose: int,
    quiet: bool,
) -> list[Done] | None:
    """Run and measure the variants, with a progress bar; None if the user stops, which is
    reported."""
    from tqdm import tqdm

    from stylepipe.studies.sweep import measure, run_variants

    done: list[Done] = []
    runs = run_variants(job, trials, plugins, log, verbose, bars=not quiet)
    hidden = quiet or not is_terminal(sys.stderr)
    try:
        for one in tqdm(runs, total=len(trials), unit="variant", disable=hidden):
            measure(one, judge, reference)
            done.append(one)
    except OSError as error:
        where = error.filename or job.output
        raise SetupError(f"cannot write {where}: {error.strerror or error}") from error
    except KeyboardInterrupt:
        log(f"interrupted; {len(done)} of {counted(len(trials), 'variant')} are done. Run the "
            "same command again to resume")  # fmt: skip
        return None
    return done


def finished(
    output: Path,
    done: Sequence[Done],
    title: str,
    judge: Judge,
    log: Callable[[str], None],
    start: float,
) -> int:
    """Write the page and the other results, and report them. ``start``: when the command began,
    by ``time.perf_counter``. Returns the exit code; raises SetupError."""
    from stylepipe.studies.judging import left_out
    from stylepipe.studies.sweep import forgotten, write_results

    missing, gone = left_out(judge), forgotten(output, done)
    note = f"Judged by {judge.title}, on pictures of at most 512 px."
    try:
        write_results(output, done, title, " ".join([note, *missing]))
    except OSError as error:
        raise SetupError(f"cannot write into {output}: {error.strerror or error}") from error
    for line in missing:
        log(line)
    if gone:
        log(f"no longer on the page, as they were not asked for again: {', '.join(gone)}")
    failed = sum(len(one.failures) for one in done)
    log(
        f"{output / 'index.html'}: {counted(len(done), 'variant')} of "
        f"{counted(len(done[0].items), 'photo')} in {elapsed(time.perf_counter() - start)}"
        + (f", {failed} failed" if failed else "")
    )
    return 1 if failed else 0
