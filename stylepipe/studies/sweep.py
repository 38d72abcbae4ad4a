"""``stylepipe sweep``: a job for each variant, in a folder of its own, and one page of them all.

Each variant is an ordinary run with its journal, so that a sweep that was interrupted continues
where it was, and one with more values adds them. What the page needs beside the results, how long
each picture took, is noted in the folder.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from stylepipe.errors import ItemError, SetupError, UsageError
from stylepipe.inputs import find_items
from stylepipe.job import Job, Settings
from stylepipe.media.containers import FILMS
from stylepipe.nst.files import write_atomically
from stylepipe.pictures import read_picture
from stylepipe.pipeline import run
from stylepipe.report import Report
from stylepipe.sheets import Cell, check_replaceable, contact_sheet, save_sheet, wrapped
from stylepipe.stdio import printable, tell
from stylepipe.studies import peak, trainings
from stylepipe.studies.charts import Points, chart
from stylepipe.studies.curves import FOLDER, curve_charts, curves_of, mean_curves, traced
from stylepipe.studies.failures import reason
from stylepipe.studies.measures import Judge, Picture, limited, measured
from stylepipe.studies.page import Figure, Group, page
from stylepipe.studies.variants import Trial, Variant, file_name
from stylepipe.styles import parse_style
from stylepipe.types import Item

if TYPE_CHECKING:
    from stylepipe.plugins import Plugins

NOTES = "sweep.json"
"""Seconds a picture of each variant, and the most memory that the process held while it was
painted, by the name of its folder."""
_MARK = "made by stylepipe sweep"
_SHOWN, _THUMBNAIL = 720, 320
"""Longest sides of pictures on the page, and on the sheet."""


@dataclass
class Done:
    """One variant, after its run."""

    variant: Variant
    folder: Path
    items: list[Item]
    failures: Mapping[Path, str]
    cost: dict[str, float]
    """``seconds`` a picture, ``peak_mib`` and ``training_seconds``, as far as they are known."""
    painting: Path | None = None
    """What it was painted after, if that is one painting."""
    traces: Path | None = None
    """Where its stylizer has left losses, if it was painted here."""
    figures: list[dict[str, float]] = field(default_factory=list)
    """Of each item; empty for one that failed."""
    curves: dict[str, Points] = field(default_factory=dict)
    """Loss and figures by step, means of the items; empty where there are no steps."""
    learned: dict[str, Points] = field(default_factory=dict)
    """Loss and terms by step of its training; empty where nothing was trained for it."""

    @property
    def means(self) -> dict[str, float]:
        """Of the items that have them."""
        found: dict[str, list[float]] = {}
        for figures in self.figures:
            for name, value in figures.items():
                found.setdefault(name, []).append(value)
        return {name: sum(values) / len(values) for name, values in found.items()}


def check_output(output: Path) -> None:
    """Raises UsageError where the page would replace something that is not ours."""
    if output.is_file():
        raise UsageError(f"{output} is a file; name a folder for the sweep")
    check_replaceable(output / "index.html", _MARK, "page")
    check_replaceable(output / "sheet.jpg", _MARK, "sheet")


def check_photos(items: Sequence[Item]) -> None:
    """Raises UsageError for a film among them."""
    for item in items:
        if item.source.suffix.lower() in FILMS:
            raise UsageError(
                f"{item.source} is a film, and photos are compared here; try settings on a film by "
                "stylepipe run --frames 6, or take frames out by run --format png/"
            )


def run_variants(
    template: Job,
    trials: Sequence[Trial],
    plugins: Plugins,
    log: Callable[[str], None],
    verbose: int = 0,
    bars: bool = True,
) -> Iterator[Done]:
    """Run the variants one after the other, each after its training, if it has one, which may show
    a progress bar with ``bars``.

    A variant that cannot be run at all has that as the failure of each item. Raises
    KeyboardInterrupt where the user stops, UsageError for films, and SetupError or UsageError where
    none of the variants could be run, or the disk is full.
    """
    notes, broken, stopped = _notes(template.output), 0, False
    trained = trainings.Trained(template, log, bars)
    for trial in trials:
        if stopped:  # while the last photo of a variant was painted, which is whole therefore
            raise KeyboardInterrupt
        variant, settings = trial.variant, trial.settings
        folder = template.output / file_name(variant.values, variant.tables)
        traces = template.output / FOLDER / folder.name
        shown = _as_painted(settings, traces)
        items = find_items(template.inputs, folder, shown, template.limit).items
        check_photos(items)
        report = Report(quiet=not verbose, verbose=verbose, bars=False)
        failures: dict[Path, str] = {}
        try:
            if trial.training is not None and trial.with_file is not None:
                trained.train(trial.training)
                settings = trial.with_file()
            known = peak.begin()
            own = replace(template, output=folder, settings=_as_painted(settings, traces))
            run(own, plugins, report)
        except Exception as error:  # a plugin may raise anything for one variant
            why = reason(error, settings, verbose, filter(None, [trial.training]))
            broken += isinstance(error, SetupError | UsageError)
            if broken == len(trials):
                raise
            tell(printable(f"{variant.label or 'all'}: {why}"))
            failures = {item.source: why for item in items}
        if report.interrupted:
            raise KeyboardInterrupt
        stopped = report.stopping.is_set()
        for source, why in report.failures:
            log(f"{variant.label or 'all'}: {source}: {why}")
        failures |= dict(report.failures)
        if report.frames:
            spent = report.stages.get("model", report.seconds)
            notes[folder.name] = {"seconds": spent / report.frames}
            if known:
                notes[folder.name]["peak_mib"] = peak.mebibytes()
            write_atomically(template.output / NOTES, json.dumps(notes, indent=1).encode())
        done = Done(variant, folder, items, failures, dict(notes.get(folder.name, {})))
        files = _files_of(settings)
        done.painting, done.traces = painting_of(settings), traces
        if trial.training is not None:
            files.append(trial.training.options.output)
            done.painting = trainings.painting_of(trial.training) or done.painting
            done.learned = trainings.learned(trial.training)
        if seconds := sum(map(trainings.seconds, dict.fromkeys(files))):
            done.cost["training_seconds"] = seconds
        yield done


def _as_painted(settings: Settings, traces: Path) -> Settings:
    """The settings of a variant, which leave traces for its curves."""
    output = settings.output
    if output.format is None:  # what JPEG loses is no matter of the variant
        output = replace(output, format="png")
    return traced(replace(settings, output=output), traces)


def _files_of(settings: Settings) -> list[Path]:
    """What may have been trained of the files that a variant is painted by."""
    stylizers = [settings.stylizer, *(r.stylizer for r in settings.regions if r.stylizer)]
    files = (file for stylizer in stylizers for file in stylizer.files())
    return [file for file in files if file.suffix.lower() == ".safetensors"]


def _notes(output: Path) -> dict[str, dict[str, float]]:
    try:
        notes = json.loads((output / NOTES).read_text("utf-8"))
    except (OSError, ValueError):  # none yet, or cut short: seconds are missing from the table
        return {}
    return notes if isinstance(notes, dict) else {}


def measure(done: Done, judge: Judge, reference: Picture | None) -> None:
    """Add the figures of each result that is a picture, and the curves. Raises OSError."""
    painting = _read_painting(done.painting)
    curves = []
    for item in done.items:
        figures: dict[str, float] = {}
        if item.source not in done.failures and not item.folder:
            with suppress(ItemError):  # a film, for which `stylepipe measure` has figures
                result, photo = read_picture(item.output), read_picture(item.source)
                figures = measured(result, photo, judge, painting, reference)
                if done.traces is not None:
                    own = done.traces / item.relative
                    curves.append(curves_of(own, photo, judge, painting))
        done.figures.append(figures)
    done.curves = mean_curves(curves)


def painting_of(settings: Settings) -> Path | None:
    """The file of the style asked for, if it is one, and in a file."""
    styles = settings.stylizer.options.style
    file = Path(parse_style(styles[0]).name) if len(styles) == 1 else None
    return file if file is not None and file.is_file() else None


def _read_painting(file: Path | None) -> Picture | None:
    try:
        return None if file is None else read_picture(file)
    except ItemError:  # a network
        return None


def forgotten(output: Path, done: Sequence[Done]) -> list[str]:
    """Folders of an earlier page that are none of these variants'; they stay where they are."""
    try:
        lines = json.loads((output / "table.json").read_text("utf-8"))
        names = [str(line["folder"]) for line in lines]
    except (OSError, ValueError, TypeError, KeyError):  # no earlier page, or not one of ours
        return []
    now = {one.folder.name for one in done}
    return [name for name in names if name not in now]


def write_results(output: Path, done: Sequence[Done], title: str, note: str) -> None:
    """Write index.html, sheet.jpg, table.csv and table.json. Raises OSError."""
    output.mkdir(parents=True, exist_ok=True)
    lines = [
        {
            **one.variant.values,
            **one.means,
            **one.cost,
            "folder": one.folder.name,
            "failed": str(len(one.failures)),
        }
        for one in done
    ]
    columns = list(dict.fromkeys(key for line in lines for key in line))
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(lines)
    write_atomically(output / "table.csv", text.getvalue().encode())
    # JSON has no infinity, which is the PSNR of equal pictures
    plain = [{k: None if v == float("inf") else v for k, v in line.items()} for line in lines]
    write_atomically(output / "table.json", json.dumps(plain, indent=1, allow_nan=False).encode())
    save_sheet(output / "sheet.jpg", contact_sheet(_rows(done), _THUMBNAIL), _MARK)
    write_atomically(output / "index.html", _page(done, title, note).encode())


def _rows(done: Sequence[Done]) -> list[Sequence[Cell]]:
    items = done[0].items
    before = [_cell(item.relative.as_posix(), item.source, "") for item in items]
    painted = [
        [
            _cell(one.variant.label, item.output, one.failures.get(item.source, ""))
            for item in one.items
        ]
        for one in done
    ]
    if len(items) > 1:
        return [before, *painted]
    return wrapped([*before, *(row[0] for row in painted)], min(6, len(done) + 1))


def _cell(caption: str, path: Path, failure: str) -> Cell:
    shown, failure = _shown(path, _THUMBNAIL, failure)
    return Cell(caption, shown, failure)


def _shown(path: Path, side: int, failure: str) -> tuple[Picture | None, str]:
    """The picture of a file, made small; or why there is none."""
    if failure:
        return None, failure
    try:
        return limited(read_picture(path), side), ""
    except ItemError as error:
        return None, str(error)


def _page(done: Sequence[Done], title: str, note: str) -> str:
    groups = []
    incomplete = any(one.failures for one in done)
    photos = [_shown(item.source, _SHOWN, "")[0] for item in done[0].items]
    for one in done:
        figures = []
        for item, photo in zip(one.items, photos, strict=True):
            why = one.failures.get(item.source, "")
            result, failure = _shown(item.output, _SHOWN, why)
            figures.append(Figure(item.relative.as_posix(), result, photo, failure))
        # where some failed, the means are not all of the same photos
        failed: dict[str, float] = {"failed": len(one.failures)} if incomplete else {}
        values: dict[str, str | float] = {**one.variant.values, **failed, **one.means, **one.cost}
        groups.append(Group(one.variant.label or "all", figures, values))
    steps = curve_charts({one.variant.label or "all": one.curves for one in done})
    # variants of one training have one curve
    learned = {one.variant.trained.label or "training": one.learned for one in done if one.learned}
    trained = curve_charts(learned, "of the training")
    return page(title, _MARK, note, groups, [*trained, *steps, *_charts(done)])


def _charts(done: Sequence[Done]) -> list[str]:
    """Each figure against each number that was varied, with a line for each of what else was."""
    charts = []
    for name in done[0].variant.values:
        numbers = [_number(one.variant.values[name]) for one in done]
        if None in numbers or len(set(numbers)) < 2:
            continue
        lines: dict[str, dict[str, list[tuple[float, float]]]] = {}
        for one, number in zip(done, numbers, strict=True):
            others = ", ".join(v for k, v in one.variant.values.items() if k != name)
            for figure, value in {**one.means, **one.cost}.items():
                if number is not None and abs(value) != float("inf"):
                    points = lines.setdefault(figure, {}).setdefault(others or figure, [])
                    points.append((number, value))
        charts += [chart(figure, name, found) for figure, found in lines.items()]
    return charts


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if isfinite(number) else None
