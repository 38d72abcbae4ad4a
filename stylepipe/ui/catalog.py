"""What the page offers: presets, stylizers and their styles, and masks."""

from __future__ import annotations

import base64
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from stylepipe.components import Masker, StyleRef, Stylizer, Temporal
from stylepipe.errors import StylepipeError
from stylepipe.presets import available, load, tables_of
from stylepipe.ui.choice import STEADY

if TYPE_CHECKING:
    from collections.abc import Callable

    from stylepipe.plugins import Plugins

_DOT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4//8/AAX+Av4N70a4AAAAAElFTkSuQmCC"
)
"""A PNG of one pixel."""
_FIRST = "fast"
"""The first stylizer of the list."""


def catalog(plugins: Plugins, log: Callable[[str], None]) -> dict[str, Any]:
    """All choices, as plain values; broken ones are logged and left out."""
    found = sorted(plugins.components(Stylizer).values(), key=lambda cls: cls.name)
    found.sort(key=lambda cls: cls.name != _FIRST)
    with TemporaryDirectory() as folder:
        painting = Path(folder, "painting.png")
        painting.write_bytes(_DOT)
        stylizers = [_stylizer(cls, painting) for cls in found if _is_offered(cls)]
    return {
        "presets": _presets(plugins, log),
        "stylizers": stylizers,
        "masks": [
            {"name": name, "summary": _summary(cls)}
            for name, cls in plugins.components(Masker).items()
            if cls.matte  # found in the picture itself, without further input
        ],
        "steady": STEADY in plugins.components(Temporal),
    }


def _presets(plugins: Plugins, log: Callable[[str], None]) -> list[dict[str, str]]:
    found = []
    for name, (_, path) in sorted(available(plugins).items(), key=lambda p: p[0] != "default"):
        try:
            found.append({"name": name, "description": load(path, tables_of(plugins)).description})
        except StylepipeError as error:
            log(f"preset {name} is left out: {error}")
    return found


def _stylizer(cls: type[Stylizer], painting: Path) -> dict[str, Any]:
    return {
        "name": cls.name,
        "summary": _summary(cls),
        "needs_style": cls.caps.needs_style,
        "takes_paintings": _accepts(cls, [StyleRef(str(painting), 1.0)]),
        "styles": [{"name": style.name, "title": style.title} for style in cls.styles()],
        "options": {
            spec.name: {"min": spec.min, "max": spec.max, "default": spec.default}
            for spec in cls.Options.specs()
            if spec.name in ("strength", "style_scale", "keep_colors")
        },
    }


def _is_offered(cls: type[Stylizer]) -> bool:
    """Whether the stylizer needs nothing but a style: the page gives it no other files."""
    files = any(spec.kind is Path for spec in cls.Options.specs())
    return cls.caps.needs_style or (_accepts(cls, []) and not files)


def _accepts(cls: type[Stylizer], styles: list[StyleRef]) -> bool:
    try:
        cls(cls.Options.build({})).check(styles)
    except StylepipeError:
        return False
    return True


def _summary(cls: type[Stylizer] | type[Masker]) -> str:
    return (cls.__doc__ or cls.name).strip().splitlines()[0]
