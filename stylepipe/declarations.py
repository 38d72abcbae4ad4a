"""Checks what a plugin declares when it is registered: a mistake breaks that plugin alone.

Raises TypeError, in one sentence, which the plugin's record keeps.
"""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Iterator
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from stylepipe import hookspecs
from stylepipe.components import Caps, Component, Masker, Reader, Stylizer, Temporal, Writer
from stylepipe.errors import UsageError, suggest
from stylepipe.job import ENGINE, TABLES
from stylepipe.options import Options, OptionSpec, convert
from stylepipe.texts import shown
from stylepipe.types import Kind
from stylepipe.verbs import VERBS

HOOKS = tuple(name for name in vars(hookspecs) if name.startswith("stylepipe_"))
NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
"""Names of components: they become commands, flags and keys of presets."""
_SUFFIX = re.compile(r"\.[a-z0-9]+/?")
_KEY = re.compile(r"[a-z][a-z0-9_]*")
_METHODS = {
    "reader": ("probe", "frames"),
    "masker": ("mask",),
    "stylizer": ("stylize",),
    "flow": ("flow",),
    "writer": ("open_sink",),
    "training": ("train",),
}
"""What a component of each stage must define itself; a temporal method by its mode."""
_TEMPORAL_METHODS = {"guide": ("motion", "guide"), "filter": ("filter",), "shot": ("paint_shot",)}
_AT_LEAST_1 = ("batch", "min_side", "max_styles", "scale")
"""Numbers of Caps that cannot be 0; none can be negative."""


def check_hooks(plugin: object) -> None:
    """Refuse functions that look like hooks and would never be called."""
    for name, value in vars(plugin).items() if hasattr(plugin, "__dict__") else ():
        if name.startswith("stylepipe_") and inspect.isroutine(value):
            if hasattr(value, "stylepipe_impl"):
                continue
            if name in HOOKS:
                raise TypeError(f"{name} is not marked with @stylepipe.hookimpl")
            raise TypeError(f"unknown hook {name!r}{suggest(name, HOOKS)}")
    if not any(hasattr(getattr(plugin, name, None), "stylepipe_impl") for name in dir(plugin)):
        raise TypeError(
            "it has no hook: return component classes, or an empty list, from a function "
            "stylepipe_components marked with @stylepipe.hookimpl"
        )


def check_component(cls: type[Component], stage: str, base: type[Component]) -> None:
    """Refuse a component of ``stage`` that the engine could not use, or not list."""
    name = getattr(cls, "name", None)
    if not name:
        raise TypeError(f"component {cls.__qualname__} has no name")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise TypeError(
            f"component {cls.__qualname__} is named {shown(name)}; names are lower case, their "
            "words joined by '-'"
        )
    who = f"{stage} {name!r}"
    if name == "none":
        raise TypeError(f"{who}: 'none' means that no component is used; choose another name")
    if issubclass(cls, Stylizer) and name in VERBS:
        raise TypeError(f"{who}: stylepipe {name} is a command already; choose another name")
    for method in _TEMPORAL_METHODS[cls.mode] if issubclass(cls, Temporal) else _METHODS[stage]:
        if getattr(cls, method) is getattr(base, method):
            raise TypeError(f"{who} does not define {method}()")
        if not callable(getattr(cls, method)):
            raise TypeError(f"{who}: {method} is not a method")
    if issubclass(cls, (Reader, Writer)):
        _check_files(cls, who)
    if issubclass(cls, Stylizer):
        _check_caps(cls.caps, who)
    if issubclass(cls, Masker) and (type(cls.warmup) is not int or cls.warmup < 0):
        raise TypeError(f"{who}: warmup is a number of frames, not {shown(cls.warmup)}")
    if not (isinstance(cls.Options, type) and issubclass(cls.Options, base.Options)):
        raise TypeError(
            f"the Options of component {name!r} must derive from stylepipe."
            f"{base.Options.__name__}, whose values the engine uses"
        )
    engine = {
        spec.name
        for table, owner in TABLES.items()
        if issubclass(cls, owner) and table in ENGINE
        for spec in ENGINE[table].specs()
    }
    check_options(cls.Options, who, engine)
    try:
        options = cls.Options.build({})
    except UsageError:
        return  # the user must give some
    made = cls(options)
    if getattr(made, "options", None) is not options:
        raise TypeError(f"{who}: its __init__ must call super().__init__(options)")


def check_options(cls: type[Options], who: str, reserved: set[str] | None = None) -> None:
    """Refuse declarations of options that no flag, preset or help page could be made from."""
    letters: dict[str, str] = {}
    for spec in cls.specs():
        try:
            _check_option(spec, reserved or set())
            if spec.short and letters.setdefault(spec.short, spec.name) != spec.name:
                raise TypeError(f"-{spec.short} means {letters[spec.short]!r} already")
        except (TypeError, UsageError) as error:
            raise TypeError(f"{who}: option {spec.name!r}: {error}") from None


def _check_option(spec: OptionSpec, reserved: set[str]) -> None:
    if not _KEY.fullmatch(spec.name):
        raise TypeError("its name must be lower case, without a leading '_'")
    if spec.name in {"use", *reserved}:
        raise TypeError("its name is a key of the engine; choose another")
    if not (isinstance(spec.help, str) and spec.help.strip()):
        raise TypeError("its help must say what it does")
    if spec.short is not None and not re.fullmatch("[a-zA-Z]", str(spec.short)):
        raise TypeError(f"short is one letter, not {shown(spec.short)}")
    if not isinstance(spec.choices, tuple) or any(type(c) is not spec.kind for c in spec.choices):
        raise TypeError(f"choices are a tuple of {spec.kind.__name__}, not {shown(spec.choices)}")
    for bound in (spec.min, spec.max):
        if bound is not None and (spec.kind not in (int, float) or type(bound) not in (int, float)):
            raise TypeError(f"min and max are numbers, for numbers, not {shown(bound)}")
    if spec.min is not None and spec.max is not None and spec.min > spec.max:
        raise TypeError(f"min {spec.min} lies above max {spec.max}")
    if spec.repeatable and not isinstance(spec.default, (tuple, type(None))):
        raise TypeError(f"it is repeatable, so its default is a tuple, not {shown(spec.default)}")
    try:
        convert(spec, spec.default)
    except UsageError as error:
        raise TypeError(f"its default does not fit: {error}") from None


def _check_files(cls: type[Reader] | type[Writer], who: str) -> None:
    kinds = get_args(Kind)
    kind, patterns = getattr(cls, "kind", None), getattr(cls, "patterns", None)
    if kind not in kinds:
        raise TypeError(f"{who}: kind is {' or '.join(map(repr, kinds))}, not {shown(kind)}")
    folders = issubclass(cls, Reader) and cls.claims is not Reader.claims
    if not isinstance(patterns, (tuple, list)) or not (patterns or folders):
        raise TypeError(f"{who}: patterns is a tuple such as ('.jpg',), not {shown(patterns)}")
    for suffix in patterns:
        if not (isinstance(suffix, str) and _SUFFIX.fullmatch(suffix)):
            raise TypeError(f"{who}: patterns are lower-case suffixes such as '.jpg', not "
                            f"{shown(suffix)}")  # fmt: skip


def _check_caps(caps: Any, who: str) -> None:
    if not isinstance(caps, Caps):
        raise TypeError(f"{who}: caps is a stylepipe.Caps, not {shown(caps)}")
    for field, hint in get_type_hints(Caps).items():
        value = getattr(caps, field)
        least = 1 if field in _AT_LEAST_1 else 0
        if not _fits(value, hint) or (type(value) in (int, float) and value < least):
            wanted = " or ".join(_words(hint, least))
            raise TypeError(f"{who}: caps.{field} is {wanted}, not {shown(value)}")


def _fits(value: Any, hint: Any) -> bool:
    if get_origin(hint) in (Union, types.UnionType):
        return any(_fits(value, part) for part in get_args(hint))
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    return type(value) is hint or (hint is float and type(value) is int)


def _words(hint: Any, least: int) -> Iterator[str]:
    if get_origin(hint) in (Union, types.UnionType):
        for part in get_args(hint):
            yield from _words(part, least)
    elif get_origin(hint) is Literal:
        yield from map(repr, get_args(hint))
    elif hint is bool:
        yield "True or False"
    else:
        yield "None" if hint is type(None) else f"a number of at least {least}"
