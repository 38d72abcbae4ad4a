"""Shared by ``sheet``, ``sweep`` and ``compare``: a preset, and the settings that vary."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
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
    from stylepipe.studies.variants import Tables, Variant

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
) -> list[tuple[Variant, Settings]]:
    """Every combination with its settings; ``fixed`` overrides the preset. Raises UsageError."""
    from stylepipe.studies.variants import Dimension, dimension, grid

    known = tables_of(plugins)
    if training := next((text for text in vary if text.startswith("train.")), None):
        raise UsageError(
            f"--vary {training}: nothing is trained here; train a file for each value with "
            "stylepipe train, and pass the files as --style"
        )
    base = draft(plugins, preset, parse_sets(sets, known=known), os.environ)
    base = base.over(plugins, fixed)
    # all variants have the same photos, and separate folders
    shown = [table for table in known if table not in ("input", "output")]
    varied = [dimension(text, shown) for text in vary]
    names = {(d.table, d.key) for d in varied}
    if styles:
        if ("stylizer", "style") in names:
            raise UsageError("--style and --vary stylizer.style mean the same; leave one out")
        varied.insert(0, Dimension("stylizer", "style", tuple([name] for name in styles)))
    elif not vary and (bundled := [info.name for info in _stylizer(base).styles()]):
        varied = [Dimension("stylizer", "style", tuple([name] for name in bundled))]
    origin = "--vary" if vary else "--style"
    return [(v, base.over(plugins, v.tables, origin).settings()) for v in grid(varied)]


def _stylizer(base: Draft) -> type[Stylizer]:
    (cls,) = base.components["stylizer"]
    assert issubclass(cls, Stylizer)
    return cls


def say_unless(quiet: bool) -> Callable[[str], None]:
    """Reports a line, which the file of ``--log`` has in any case."""
    write = note if quiet else tell
    return lambda line: write(printable(line))


def counted(number: int, word: str) -> str:
    """``1 photo``, ``2 photos``."""
    return f"{number} {word}{'s' * (number != 1)}"


def painted(
    job: Job,
    variants: Sequence[tuple[Variant, Settings]],
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
    runs = zip(variants, run_variants(job, variants, plugins, log, verbose), strict=True)
    hidden = quiet or not is_terminal(sys.stderr)
    try:
        for (_, settings), one in tqdm(runs, total=len(variants), unit="variant", disable=hidden):
            try:
                measure(one, settings, judge, reference)
            except OSError as error:
                raise SetupError(f"cannot write {error.filename}: {error.strerror}") from error
            done.append(one)
    except KeyboardInterrupt:
        log(f"interrupted; {len(done)} of {counted(len(variants), 'variant')} are done. Run the "
            "same command again to resume")  # fmt: skip
        return None
    return done


def finished(
    output: Path,
    done: Sequence[Done],
    title: str,
    judge: str,
    log: Callable[[str], None],
    start: float,
) -> int:
    """Write the page and the other results, and report them. ``start``: when the command began,
    by ``time.perf_counter``. Returns the exit code; raises SetupError."""
    from stylepipe.studies.measures import absent
    from stylepipe.studies.sweep import forgotten, write_results

    missing, gone = absent(), forgotten(output, done)
    note = f"Judged by {judge}, on pictures of at most 512 px."
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
