"""Which terms there are: each registers itself, and with that has an option and a column."""

from __future__ import annotations

from typing import Any, TypeVar

from .base import ContentTerm, FeatureTerm, StyleTerm, Term

T = TypeVar("T", bound=type[Term])
_REGISTERED: dict[str, type[Term]] = {}


def register(term: T) -> T:
    """Make a class of terms known; a decorator. Raise ValueError for a name that is taken."""
    known = _REGISTERED.get(term.name)
    if known is not None and known.__qualname__ != term.__qualname__:
        raise ValueError(f"two losses are named {term.name!r}: {known} and {term}; rename one")
    if not term.name.isidentifier():
        raise ValueError(f"a loss cannot be named {term.name!r}: take letters, digits and _")
    _REGISTERED[term.name] = term
    return term


def losses(kind: type[Any] = Term) -> list[type[Any]]:
    """The classes of terms of a kind: those of the content, of the style, of the pixels; of each
    first the ones in use by default.
    """
    kinds = (ContentTerm, StyleTerm, FeatureTerm)

    def place(term: type[Term]) -> tuple[int, bool, str]:
        stage = next((i for i, k in enumerate(kinds) if issubclass(term, k)), len(kinds))
        return stage, not term.default, term.name

    found = sorted(_REGISTERED.values(), key=place)
    return [term for term in found if issubclass(term, kind)]
