"""Styles as users write them: ``STYLE[:WEIGHT]``."""

from __future__ import annotations

from collections.abc import Sequence

from stylepipe.components import StyleRef
from stylepipe.errors import UsageError


def parse_style(text: str) -> StyleRef:
    """Read ``STYLE[:WEIGHT]``. Raises UsageError for a weight that is not positive."""
    name, colon, tail = text.rpartition(":")
    try:
        weight = float(tail)
    except ValueError:
        return StyleRef(text, 1.0)
    if not colon or not name:
        return StyleRef(text, 1.0)
    if not 0 < weight < float("inf"):
        raise UsageError(f"the weight of style {name!r} must be positive, not {tail}")
    return StyleRef(name, weight)


def parse_styles(texts: Sequence[str]) -> list[StyleRef]:
    """Read several styles; their weights are scaled to sum to 1."""
    styles = [parse_style(text) for text in texts]
    total = sum(style.weight for style in styles)
    return [StyleRef(style.name, style.weight / total) for style in styles]
