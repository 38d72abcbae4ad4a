"""The PNG of ``measure --plot``: what was measured of films, over time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

_WIDTH, _HEIGHT = 1000, 220
"""Pixels of the plotted area of a panel."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 90, 20, 30, 40
_LEGEND = 20
_COLORS = ("#4d4d4d", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Of the curves, in order (Okabe and Ito 2008, which color-blind people can tell apart)."""
_INK, _GRID = "black", "#dddddd"


@dataclass(frozen=True)
class Curve:
    """Values at times in seconds; nan interrupts the line."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Panel:
    """One pair of axes."""

    label: str
    """Of the vertical axis, with its unit."""
    curves: Sequence[Curve]
    """In the order of the colors; the same films in all panels."""


def draw_chart(
    panels: Sequence[Panel], marks: Sequence[float], across: str = "time in s"
) -> Image.Image:
    """The panels one below the other over one axis, with a legend; marks: where films are cut.

    ``across`` says what the axis is.
    """
    names = [curve.name for curve in panels[0].curves]
    top = len(names) * _LEGEND + 10
    height = _TOP + _HEIGHT + _BOTTOM
    size = _LEFT + _WIDTH + _RIGHT, top + len(panels) * height
    chart = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(chart)
    for line, name in enumerate(names):
        y = 10 + line * _LEGEND
        draw.line([(_LEFT, y + 6), (_LEFT + 30, y + 6)], _COLORS[line % len(_COLORS)], 3)
        text = name.encode("ascii", "replace").decode()[-120:]  # what every font has
        draw.text((_LEFT + 40, y), text, _INK)
    times = [t for panel in panels for curve in panel.curves for t, _ in curve.points]
    end = max(times, default=0) or 1
    for number, panel in enumerate(panels):
        _draw_panel(draw, panel, top + number * height + _TOP, marks, end, across)
    return chart


def _draw_panel(
    draw: ImageDraw.ImageDraw,
    panel: Panel,
    top: int,
    marks: Sequence[float],
    end: float,
    across: str,
) -> None:
    values = [v for curve in panel.curves for _, v in curve.points if not math.isnan(v)]
    # from zero, so that heights can be compared; lower only for negative values
    ticks = _ticks(min([0.0, *values]), max([0.0, *values]))
    low, high = ticks[0], ticks[-1]

    def place(time: float, value: float) -> tuple[float, float]:
        return _LEFT + _WIDTH * time / end, top + _HEIGHT * (high - value) / (high - low)

    draw.text((_LEFT, top - 16), panel.label, _INK)
    for tick in ticks:
        (left, y), (right, _) = place(0, tick), place(end, tick)
        draw.line([(left, y), (right, y)], _GRID)
        draw.text((_LEFT - 8, y), f"{tick:.4g}", _INK, anchor="rm")
    for tick in _ticks(0, end):
        if tick <= end:
            x, y = place(tick, low)
            draw.line([(x, y), (x, y + 4)], _INK)
            draw.text((x, y + 6), f"{tick:.4g}", _INK, anchor="ma")
    draw.text((_LEFT + _WIDTH, top + _HEIGHT + 22), across, _INK, anchor="ra")
    for mark in marks:
        (x, bottom), (_, ceiling) = place(mark, low), place(mark, high)
        draw.line([(x, bottom), (x, ceiling)], "#999999")
        draw.text((x + 3, ceiling), "cut", "#777777")
    draw.rectangle([place(0, high), place(end, low)], outline=_INK)
    for k, curve in enumerate(panel.curves):
        for run in _runs(curve.points):
            points = [place(*point) for point in run]
            color = _COLORS[k % len(_COLORS)]
            if len(points) > 1:
                draw.line(points, color, 2)
            for x, y in points if len(points) == 1 else ():
                draw.ellipse([x - 2, y - 2, x + 2, y + 2], color)


def _runs(points: Sequence[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    """The points between gaps."""
    runs: list[list[tuple[float, float]]] = [[]]
    for time, value in points:
        if math.isnan(value):
            runs.append([])
        else:
            runs[-1].append((time, value))
    return [run for run in runs if run]


def _ticks(low: float, high: float) -> list[float]:
    """Round values, evenly spaced, from at most ``low`` to at least ``high``."""
    span = high - low or 1.0
    power = 10.0 ** math.floor(math.log10(span / 5))
    step = next(power * s for s in (1, 2, 5, 10) if power * s >= span / 5)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [n * step for n in range(first, max(last, first + 1) + 1)]
