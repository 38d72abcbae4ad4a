"""Styles as users write them: ``STYLE[:WEIGHT]``."""

from __future__ import annotations

from collections.abc import Sequence

from stylepipe.components import StyleRef, Stylizer
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


def asked_styles(stylizer: Stylizer) -> list[StyleRef]:
    """The styles the user asked for. Raises UsageError unless the stylizer can take them."""
    styles, caps = parse_styles(stylizer.options.style), stylizer.caps
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
    stylizer.check(styles)
    return styles
