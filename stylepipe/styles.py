"""Styles as users write them: ``STYLE[:WEIGHT][@REGION]``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from stylepipe.components import StyleRef, Stylizer
from stylepipe.errors import UsageError
from stylepipe.job import Settings
from stylepipe.types import Item

REGION = re.compile(r"[\w#-]+")
"""Names of regions; none could end the name of a file, which would have a suffix."""


def parse_style(text: str) -> StyleRef:
    """Read ``STYLE[:WEIGHT][@REGION]``. Raises UsageError for a weight that is not positive."""
    style, at, region = text.rpartition("@")
    if not (at and style and REGION.fullmatch(region)):
        style, region = text, ""
    name, colon, tail = style.rpartition(":")
    try:
        weight = float(tail)
    except ValueError:
        return StyleRef(style, 1.0, region)
    if not colon or not name:
        return StyleRef(style, 1.0, region)
    if not 0 < weight < float("inf"):
        raise UsageError(f"the weight of style {name!r} must be positive, not {tail}")
    return StyleRef(name, weight, region)


def parse_styles(texts: Sequence[str]) -> list[StyleRef]:
    """Read several styles; their weights are scaled to sum to 1."""
    styles = [parse_style(text) for text in texts]
    total = sum(style.weight for style in styles)
    return [replace(style, weight=style.weight / total) for style in styles]


def asked_styles(settings: Settings, items: Sequence[Item] = ()) -> list[StyleRef]:
    """The styles the user asked for, checked against what stylizer and regions can take.

    Raises UsageError.
    """
    stylizer, masker = settings.stylizer, settings.masker
    styles = parse_styles(stylizer.options.style)
    check_number(stylizer, styles)
    stylizer.check(styles, items, masker)
    stylizer.assign(styles, None if masker is None else masker.regions)
    if settings.protection and settings.protection.masker in settings.painting:
        settings.protection.masker.check()
    if masker is not None and masker in settings.painting:
        masker.check()
    return styles


def check_number(stylizer: Stylizer, styles: Sequence[StyleRef]) -> None:
    """Raises UsageError where a stylizer needs styles and has none, or has too many."""
    caps = stylizer.caps
    if caps.needs_style and not styles:
        known = ", ".join(s.name for s in stylizer.styles())
        raise UsageError(
            f"stylizer {stylizer.name!r} needs a style; pass --style"
            + (f" with a file or one of: {known}" if known else " with a file")
        )
    if caps.max_styles is not None and len(styles) > caps.max_styles:
        raise UsageError(
            f"stylizer {stylizer.name!r} takes at most {caps.max_styles} "
            f"style{'s' if caps.max_styles != 1 else ''} at once, not {len(styles)}"
        )
