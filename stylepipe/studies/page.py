"""One HTML page of pictures and figures, which opens from disk without a network.

Everything is in the file: pictures as data, a style sheet that follows the reader's light or dark
setting, and a small script, without which the page still shows all results.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files

import numpy as np
from PIL import Image

_QUALITY = 88
Photos = dict[str, int]
"""The photos of a page, each with its number, as each is in the file only once."""


@dataclass(frozen=True)
class Figure:
    """A result beside its photo, or why there is none."""

    caption: str
    result: np.ndarray | None
    """HxWx3 of uint8."""
    photo: np.ndarray | None = None
    """The same size; None: there is nothing to compare with."""
    failure: str = ""


@dataclass(frozen=True)
class Group:
    """A variant and its results."""

    title: str
    figures: Sequence[Figure]
    values: Mapping[str, str | float] = field(default_factory=dict)
    """Its row of the table, by column."""


def page(
    title: str, mark: str, note: str, groups: Sequence[Group], charts: Sequence[str] = ()
) -> str:
    """The page as HTML. The table has a column for each value of any group; ``charts`` are pieces
    of HTML that follow it. ``mark``, near the beginning, identifies the page."""
    photos: Photos = {}
    if all(len(group.figures) == 1 for group in groups):
        one = [figure_html(g.figures[0], photos, f"v{n}", g.title) for n, g in enumerate(groups)]
        sections = [f'<div class="figures">{"".join(one)}</div>']
    else:
        sections = [_section(number, group, photos) for number, group in enumerate(groups)]
    rules = "".join(
        f".p{number} {{ background-image: url({data}) }}\n" for data, number in photos.items()
    )
    drawn = f'<div class="charts">{"".join(charts)}</div>' if charts else ""
    body = [_table(groups), *sections, drawn]
    return opening(title, mark, note, rules) + "\n".join(filter(None, body)) + CLOSING


def opening(title: str, mark: str, note: str, rules: str = "") -> str:
    """The page up to its content; ``rules`` are added to its style sheet."""
    style = (files("stylepipe.studies") / "page.css").read_text("utf-8") + rules
    return _OPENING.format(title=escape(title), mark=escape(mark), note=escape(note), style=style)


_OPENING = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="generator" content="{mark}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; \
style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<header>
<h1>{title}</h1>
<p>{note}</p>
</header>
<main>
"""
CLOSING = f"""
</main>
<script>
{(files("stylepipe.studies") / "page.js").read_text("utf-8")}</script>
</body>
</html>
"""
"""The page after its content."""


_NUMBER = ' class="number"'


def _table(groups: Sequence[Group]) -> str:
    columns = list(dict.fromkeys(key for group in groups for key in group.values))
    if not columns:
        return ""
    numbers = {k for group in groups for k, v in group.values.items() if not isinstance(v, str)}
    head = "".join(
        f'<th scope="col"{_NUMBER if c in numbers else ""}>'
        f'<button type="button">{escape(c.replace("_", " "))}</button></th>'
        for c in columns
    )
    lines = []
    for number, group in enumerate(groups):
        cells = [_entry(group.values.get(c, "")) for c in columns]
        first = f'<th scope="row"><a href="#v{number}">{escape(group.title)}</a></th>'
        lines.append(f"<tr>{first}{''.join(cells)}</tr>")
    return (
        '<div class="wide"><table><caption>Click a heading to sort.</caption><thead><tr>'
        f'<th scope="col"><button type="button">variant</button></th>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _entry(value: str | float) -> str:
    if isinstance(value, str):
        return f"<td>{escape(value)}</td>"
    exact = repr(float(value)).replace("inf", "Infinity")  # as JavaScript reads it
    return f'<td class="number" data-value="{exact}">{value:.4g}</td>'


def _section(number: int, group: Group, photos: Photos) -> str:
    figures = "".join(figure_html(figure, photos) for figure in group.figures)
    return (
        f'<section id="v{number}"><h2>{escape(group.title)}</h2>'
        f'<div class="figures">{figures}</div></section>'
    )


def figure_html(
    figure: Figure,
    photos: Photos | None = None,
    anchor: str = "",
    title: str = "",
    link: str = "",
) -> str:
    """One figure. ``photos``: those of the page, which are in its style sheet; None puts the photo
    here. ``title`` replaces the caption of the only figure of a group. ``link`` leads to the
    result."""
    text = escape(title or figure.caption)
    there = link and figure.result is not None
    caption = f'<a href="{escape(link)}">{text}</a>' if there else text
    caption = f"<figcaption>{caption}</figcaption>"
    start = f'<figure id="{anchor}"' if anchor else "<figure"
    if figure.result is None:
        return f'{start} class="failed"><p>{escape(figure.failure)}</p>{caption}</figure>'
    height, width = figure.result.shape[:2]
    start += f' style="--shape: {width / height:.3f}"'
    size = f'width="{width}" height="{height}"'
    shown = f'<img src="{_data(figure.result)}" {size} alt="{text}">'
    slider = ""
    if figure.photo is not None:
        data = _data(figure.photo)
        if photos is None:
            shown += f'<img class="before" src="{data}" alt="">'
        else:
            shown += f'<div class="before p{photos.setdefault(data, len(photos))}"></div>'
        label = f"how much of the photo shows: {text}"
        slider = f'<input type="range" min="0" max="100" value="0" aria-label="{label}">'
    return f'{start}><div class="pair">{shown}</div>{slider}{caption}</figure>'


def _data(picture: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
