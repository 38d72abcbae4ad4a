"""Losses and figures step by step, of stylizers that optimize a picture.

Such a stylizer has the options ``steps``, ``trace`` (a folder, in which each item has one with
``loss.csv``) and ``save_every`` (into it as well: the picture every so many steps, ``00025.png``),
as ``gatys`` has them.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from stylepipe.errors import ItemError
from stylepipe.job import Settings
from stylepipe.nst.files import write_atomically
from stylepipe.pictures import read_picture
from stylepipe.studies.charts import Points, chart
from stylepipe.studies.measures import Judge, Picture, distances, fitted

FOLDER = "curves"
"""In the folder of a study: all of them, a folder for each variant."""
LOSSES, FIGURES = "loss.csv", "figures.csv"
POINTS = 12
"""Pictures of an item that are measured on the way, and so points of a curve of figures."""
_DRAWN = 60
"""Points of a curve of losses as it is drawn; the file has all."""
_TOGETHER, _CHARTS = 8, 5
"""Curves of a chart, and charts of a figure."""


def traced(settings: Settings, folder: Path) -> Settings:
    """The same settings, which leave losses and some pictures in a folder. As they are for a
    stylizer without steps, and where the user has them leave a trace elsewhere."""
    options = settings.stylizer.options
    names = {spec.name for spec in type(options).specs()}
    if not {"steps", "trace", "save_every"} <= names or options.trace is not None:
        return settings
    every = math.ceil(options.steps / POINTS)
    own = replace(options, trace=folder, save_every=every)
    return replace(settings, stylizer=type(settings.stylizer)(own))


def curves_of(
    folder: Path, photo: Picture, judge: Judge, painting: Picture | None
) -> dict[str, Points]:
    """The curves of an item by name, ``loss`` and figures, from its folder; empty without one.

    Pictures on the way are measured once, into ``figures.csv``, and then removed. Raises OSError.
    """
    losses, figures = folder / LOSSES, folder / FIGURES
    if not losses.is_file():
        return {}
    pictures = sorted(folder.glob("[0-9]*.png"))
    measured = figures.is_file() and figures.stat().st_mtime_ns >= losses.stat().st_mtime_ns
    if not measured:
        lines = []
        for file in pictures:
            with suppress(ItemError):  # too small for the encoder, as is the result
                seen = distances(fitted(read_picture(file), photo), photo, judge, painting)
                lines.append({"step": int(file.stem), **seen})
        _write(figures, lines)
    for file in pictures:
        file.unlink()
    return {
        name: points
        for name, points in {**_read(losses, ["loss"]), **_read(figures)}.items()
        if points
    }


def _write(path: Path, lines: Sequence[Mapping[str, float]]) -> None:
    text = io.StringIO()
    table = csv.DictWriter(text, list(lines[0]) if lines else ["step"], lineterminator="\n")
    table.writeheader()
    table.writerows(lines)
    write_atomically(path, text.getvalue().encode())


def _read(path: Path, names: Sequence[str] | None = None) -> dict[str, Points]:
    """Columns of a table against its first, ``step``; all of them unless some are named."""
    with path.open(encoding="utf-8", newline="") as file:
        table = csv.DictReader(file)
        lines = list(table)
    columns = names or [name for name in table.fieldnames or () if name != "step"]
    found = {name: [(float(x["step"]), float(x[name])) for x in lines] for name in columns}
    return {k: [p for p in points if math.isfinite(p[1])] for k, points in found.items()}


def mean_curves(items: Sequence[Mapping[str, Points]]) -> dict[str, Points]:
    """The means over items, at the steps that all of them have."""
    found = [item for item in items if item]
    means: dict[str, Points] = {}
    for name in dict.fromkeys(name for item in found for name in item):
        by_step = [dict(item[name]) for item in found if name in item]
        shared = sorted(set(by_step[0]).intersection(*by_step[1:]))
        means[name] = [(x, sum(one[x] for one in by_step) / len(by_step)) for x in shared]
    return means


def curve_charts(curves: Mapping[str, Mapping[str, Points]], whose: str = "") -> list[str]:
    """A chart for each name of a curve, with a line for each variant (by its label), a few together
    so that they can be told apart. ``whose`` steps they are, for the titles."""
    charts = []
    for name in dict.fromkeys(name for own in curves.values() for name in own):
        lines = {label: _thinned(own[name]) for label, own in curves.items() if name in own}
        labels = list(lines)
        size = math.ceil(len(labels) / math.ceil(len(labels) / _TOGETHER))  # evenly
        for start in range(0, len(labels), size)[:_CHARTS]:
            part = labels[start : start + size]
            title = " ".join(filter(None, [name.replace("_", " "), whose, "by step"]))
            if len(labels) > size:
                title += f", variants {start + 1} to {start + len(part)} of {len(labels)}"
            charts.append(chart(title, "step", {x: lines[x] for x in part}, log=False))
    return charts


def _thinned(points: Points) -> Points:
    step = max(1, math.ceil(len(points) / _DRAWN))
    return [*points[::step], *([points[-1]] if (len(points) - 1) % step else [])]
