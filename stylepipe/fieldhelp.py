"""Adds the meaning of a class's fields to its ``help()``.

A field is documented once, by the text below it in the source, where readers and documentation
tools look; Python itself forgets that text.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import textwrap
from collections.abc import Iterator


class _HelpWithFields:
    """A docstring that reads the source only when it is asked for."""

    def __init__(self, text: str | None) -> None:
        self._text = text

    def __get__(self, instance: object, owner: type) -> str | None:
        try:
            source = textwrap.dedent(inspect.getsource(owner))
        except (OSError, TypeError):  # the source is not available
            return self._text
        fields = [f"{name}: {kind}\n{meaning}" for name, kind, meaning in _fields(source)]
        if not fields:
            return self._text
        return "\n\n".join([inspect.cleandoc(self._text or ""), "Fields:", *fields]).strip()


def show_fields(cls: type) -> None:
    """Make ``help(cls)`` list the fields that have a text below them."""
    type.__setattr__(cls, "__doc__", _HelpWithFields(cls.__doc__))


def _fields(source: str) -> Iterator[tuple[str, str, str]]:
    """Name, type and meaning of each documented field, also of those made by ``__init__``."""
    (cls,) = ast.parse(source).body
    assert isinstance(cls, ast.ClassDef)
    made = [f for f in cls.body if isinstance(f, ast.FunctionDef) and f.name == "__init__"]
    for body in (cls.body, *(f.body for f in made)):
        for field, text in itertools.pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                name = ast.unparse(field.target).removeprefix("self.")
                if isinstance(text.value, ast.Constant) and not name.startswith("_"):
                    meaning = textwrap.indent(inspect.cleandoc(str(text.value.value)), "    ")
                    yield name, ast.unparse(field.annotation), meaning
