"""The SVG charts of a page: one figure against a number that was varied."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

Points = Sequence[tuple[float, float]]
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 420, 260, 58, 12, 28, 40
_COLORS = ("#3778bf", "#c4572b", "#3b8f4f", "#8a5fb0", "#b08a1e", "#4a9aa0", "#b5487c", "#777777")
_DASHES = ("none", "7 3", "2 3")
"""With the colors, no two lines of a chart look alike to those who see few colors."""
_DOTTED = 24
"""Points of a line at most that have a dot each."""


def chart(title: str, across: str, lines: Mapping[str, Points], log: bool | None = None) -> str:
    """An SVG of a line for each name, and a legend whose entries bring theirs out. ``log``: whether
    the axis is logarithmic, which its label says; None: where the number spans a factor of 20 or
    more, and is positive."""
    xs = sorted({x for points in lines.values() for x, _ in points})
    ys = [y for points in lines.values() for _, y in points]
    if log is None:
        log = min(xs) > 0 and max(xs) / min(xs) >= 20
    place_x = _scale(xs[0], xs[-1], _LEFT, _WIDTH - _RIGHT, log)
    low, high = min(0.0, *ys), max(ys)
    place_y = _scale(low, high, _HEIGHT - _BOTTOM, _TOP, False)
    parts = [f'<text x="{_LEFT}" y="16" class="title">{escape(title)}</text>']
    for y in _ticks(low, high):
        at = place_y(y)
        parts.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}" class="grid"/>'
            f'<text x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{y:.3g}</text>'
        )
    for x in xs if len(xs) <= 7 else [xs[0], xs[len(xs) // 2], xs[-1]]:
        parts.append(
            f'<text x="{place_x(x):.1f}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle">'
            f"{x:g}</text>"
        )
    label = escape(f"{across} (logarithmic)" if log else across)
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{_HEIGHT - 6}" text-anchor="middle">{label}</text>')
    for number, (name, points) in enumerate(lines.items()):
        color, dashes = _COLORS[number % len(_COLORS)], _DASHES[number % len(_DASHES)]
        path = " ".join(f"{place_x(x):.1f},{place_y(y):.1f}" for x, y in sorted(points))
        dots = sorted(points) if len(points) <= _DOTTED else ()
        parts.append(
            f'<g class="line"><polyline points="{path}" fill="none" stroke="{color}" '
            f'stroke-width="2" stroke-dasharray="{dashes}"/>'
            + "".join(
                f'<circle cx="{place_x(x):.1f}" cy="{place_y(y):.1f}" r="3" fill="{color}">'
                f"<title>{escape(name)}: {y:.4g} at {x:g}</title></circle>"
                for x, y in dots
            )
            + "</g>"
        )
    legend = "".join(
        f'<li tabindex="0"><svg viewBox="0 0 26 8" aria-hidden="true"><line x1="0" x2="26" y1="4" '
        f'y2="4" stroke="{_COLORS[n % len(_COLORS)]}" stroke-width="3" '
        f'stroke-dasharray="{_DASHES[n % len(_DASHES)]}"/></svg>{escape(name)}</li>'
        for n, name in enumerate(lines)
        if len(lines) > 1
    )
    told = "; ".join(_told(name, across, sorted(points)) for name, points in lines.items())
    svg = (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(f"{title}. {told}")}">{"".join(parts)}</svg>'
    )
    return f'<div class="chart">{svg}<ul>{legend}</ul></div>'


def _told(name: str, across: str, points: Points) -> str:
    """The line in words, for those who hear the page."""
    (x, y), (last_x, last_y) = points[0], points[-1]
    return f"{name}: {y:.4g} at {across} {x:g}, {last_y:.4g} at {across} {last_x:g}"


def _scale(
    low: float, high: float, start: float, end: float, log: bool
) -> Callable[[float], float]:
    first, last = (math.log(low), math.log(high)) if log else (low, high)
    span = (last - first) or 1.0

    def place(value: float) -> float:
        return start + (end - start) * ((math.log(value) if log else value) - first) / span

    return place


def _ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers between the two."""
    span = (high - low) or 1.0
    step = 10 ** math.floor(math.log10(span / 3))
    step *= next(f for f in (1, 2, 5, 10) if span / (step * f) <= 5)
    first = math.ceil(low / step - 1e-9)
    return [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]
