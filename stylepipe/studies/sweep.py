"""``stylepipe sweep``: a job for each variant, in a folder of its own, and one page of them all.

Each variant is an ordinary run with its journal, so that a sweep that was interrupted continues
where it was, and one with more values adds them. What the page needs beside the results, how long
each picture took, is noted in the folder.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from stylepipe.errors import ItemError, SetupError, UsageError
from stylepipe.inputs import find_items
from stylepipe.job import Job, Settings
from stylepipe.media.containers import FILMS
from stylepipe.nst.files import read_metadata, write_atomically
from stylepipe.pictures import read_picture
from stylepipe.pipeline import run
from stylepipe.report import Report
from stylepipe.sheets import Cell, check_replaceable, contact_sheet, save_sheet, wrapped
from stylepipe.studies import peak
from stylepipe.studies.charts import Points, chart
from stylepipe.studies.curves import FOLDER, curve_charts, curves_of, mean_curves, traced
from stylepipe.studies.measures import Judge, Picture, limited, measured
from stylepipe.studies.page import Figure, Group, page
from stylepipe.studies.variants import Variant
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
    """``seconds`` a picture and ``peak_mib``, as far as they are known."""
    traces: Path | None = None
    """Where its stylizer has left losses, if it was painted here."""
    figures: list[dict[str, float]] = field(default_factory=list)
    """Of each item; empty for one that failed."""
    curves: dict[str, Points] = field(default_factory=dict)
    """Loss and figures by step, means of the items; empty where there are no steps."""

    @property
    def means(self) -> dict[str, float]:
        """Of the items that have them."""
        found: dict[str, list[float]] = {}
        for figures in self.figures:
            for name, value in figures.items():
                found.setdefault(name, []).append(value)
        return {name: sum(values) / len(values) for name, values in found.items()}


def folder_name(variant: Variant) -> str:
    """Says what is in it, and is the same whatever else is varied."""
    words = "_".join(
        f"{Path(value).stem if name == 'style' else f'{name}-{value}'}"
        for name, value in variant.values.items()
    )
    plain = re.sub(r"[^\w.+-]+", "-", words)[:80].strip("-.") or "all"
    digest = hashlib.sha256(json.dumps(variant.tables, sort_keys=True).encode()).hexdigest()
    return f"{plain}-{digest[:6]}"


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
    variants: Sequence[tuple[Variant, Settings]],
    plugins: Plugins,
    log: Callable[[str], None],
    verbose: int = 0,
) -> Iterator[Done]:
    """Run the variants one after the other. A variant that cannot be run at all has that as the
    failure of each item. Raises KeyboardInterrupt where the user stops, UsageError for films, and
    SetupError or UsageError where none of the variants could be run.
    """
    notes, broken = _notes(template.output), 0
    for variant, settings in variants:
        folder = template.output / folder_name(variant)
        output = settings.output
        if output.format is None:  # what JPEG loses is no matter of the variant
            output = replace(output, format="png")
        traces = template.output / FOLDER / folder.name
        own = traced(replace(settings, output=output), traces)
        report = Report(quiet=not verbose, verbose=verbose, bars=False)
        items = find_items(template.inputs, folder, own, template.limit).items
        check_photos(items)
        failures: dict[Path, str] = {}
        known = peak.begin()
        try:
            run(replace(template, output=folder, settings=own), plugins, report)
        except (SetupError, UsageError) as error:
            broken += 1
            if broken == len(variants):
                raise
            failures = {item.source: str(error) for item in items}
        if report.interrupted:
            raise KeyboardInterrupt
        failures |= dict(report.failures)
        if report.frames:
            spent = report.stages.get("model", report.seconds)
            notes[folder.name] = {"seconds": spent / report.frames}
            if known:
                notes[folder.name]["peak_mib"] = peak.mebibytes()
            write_atomically(template.output / NOTES, json.dumps(notes, indent=1).encode())
        for source, why in failures.items():
            log(f"{variant.label or 'all'}: {source}: {why}")
        cost = notes.get(folder.name, {})
        if trained := training_seconds(settings):
            cost = {**cost, "training_seconds": trained}
        yield Done(variant, folder, items, failures, cost, traces)


def training_seconds(settings: Settings) -> float:
    """How long the trainings of the stylizer's files took in all, as far as the files know it; 0
    where none does."""
    total = 0.0
    for file in settings.stylizer.files():
        if file.suffix.lower() == ".safetensors":
            # a file that is missing or damaged is the failure of the run
            with suppress(OSError, ValueError):
                total += float(read_metadata(file).get("seconds", 0))
    return total


def _notes(output: Path) -> dict[str, dict[str, float]]:
    try:
        notes = json.loads((output / NOTES).read_text("utf-8"))
    except (OSError, ValueError):  # none yet, or cut short: seconds are missing from the table
        return {}
    return notes if isinstance(notes, dict) else {}


def measure(done: Done, settings: Settings, judge: Judge, reference: Picture | None) -> None:
    """Add the figures of each result that is a picture, and the curves. Raises OSError."""
    painting = _painting(settings)
    curves = []
    for item in done.items:
        figures: dict[str, float] = {}
        if item.source not in done.failures and not item.folder:
            # a film, for which `stylepipe measure` has figures, or a picture of a few pixels
            with suppress(ItemError):
                result, photo = read_picture(item.output), read_picture(item.source)
                figures = measured(result, photo, judge, painting, reference)
                if done.traces is not None:
                    own = done.traces / item.relative
                    curves.append(curves_of(own, photo, judge, painting))
        done.figures.append(figures)
    done.curves = mean_curves(curves)


def _painting(settings: Settings) -> Picture | None:
    """The painting asked for, if it is one, and in a file."""
    styles = settings.stylizer.options.style
    file = Path(parse_style(styles[0]).name) if len(styles) == 1 else None
    if file is None or not file.is_file():
        return None
    try:
        return read_picture(file)
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
    photos = [_shown(item.source, _SHOWN, "")[0] for item in done[0].items]
    for one in done:
        figures = []
        for item, photo in zip(one.items, photos, strict=True):
            why = one.failures.get(item.source, "")
            result, failure = _shown(item.output, _SHOWN, why)
            figures.append(Figure(item.relative.as_posix(), result, photo, failure))
        groups.append(
            Group(
                one.variant.label or "all", figures, {**one.variant.values, **one.means, **one.cost}
            )
        )
    steps = curve_charts({one.variant.label or "all": one.curves for one in done})
    return page(title, _MARK, note, groups, [*steps, *_charts(done)])


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
        return float(text)
    except ValueError:
        return None
