"""Which terms there are: each registers itself, and with that has an option and a column."""

from __future__ import annotations

from inspect import isabstract
from typing import Any, TypeVar

from .base import ContentTerm, PictureTerm, StyleTerm, Term

T = TypeVar("T", bound=type[Term])
_KINDS = (ContentTerm, StyleTerm, PictureTerm)
_REGISTERED: dict[str, type[Term]] = {}


def register(term: T) -> T:
    """Make a class of terms known; a decorator. Raises ValueError for one that cannot serve."""
    if reason := _unfit(term):
        raise ValueError(f"{term.__qualname__} is no loss: {reason}")
    _REGISTERED[term.name] = term
    return term


def _unfit(term: type[Term]) -> str | None:
    name, default = getattr(term, "name", ""), term.default
    if not isinstance(name, str) or not name.isidentifier() or name != name.lower():
        return f"its name must be lower-case letters, digits and _, not {name!r}"
    if not issubclass(term, _KINDS):
        return f"it derives from none of {', '.join(kind.__name__ for kind in _KINDS)}"
    if isabstract(term):
        return f"it lacks {', '.join(sorted(term.__abstractmethods__))}"
    if not isinstance(default, (int, float)) or not 0 <= default < float("inf"):
        return f"its default must be 0 or more, and finite, not {default!r}"
    known = _REGISTERED.get(name, term)
    if (known.__module__, known.__qualname__) != (term.__module__, term.__qualname__):
        return f"the name {name!r} is that of {known.__module__}.{known.__qualname__}"
    return None


def losses(kind: type[Any] = Term) -> list[type[Any]]:
    """The classes of terms of a kind: those of the content, of the style, of the pixels; of each
    first the ones in use by default.
    """

    def place(term: type[Term]) -> tuple[int, bool, str]:
        stage = next(i for i, kind in enumerate(_KINDS) if issubclass(term, kind))
        return stage, not term.default, term.name

    found = sorted(_REGISTERED.values(), key=place)
    return [term for term in found if issubclass(term, kind)]
