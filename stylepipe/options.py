"""One Options class per component: it validates, and serves preset keys, flags and help.

Those of a stylizer derive from StylizerOptions::

    class Options(stylepipe.StylizerOptions):
        steps: int = option(300, "Iterations of the optimizer.", min=1)
        init: Literal["content", "noise"] = option("content", "Where it starts.")
        seed: int = option(0, "Of the noise.", only_if={"init": "noise"})

Field types may be ``bool``, ``int``, ``float``, ``str``, ``pathlib.Path``, ``Literal`` of some
words or whole numbers, any of these ``| None``, and ``tuple[T, ...]`` for options that can be
repeated.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, dataclass_transform

from stylepipe.errors import UsageError, suggest
from stylepipe.paths import user_path
from stylepipe.texts import shown

D = TypeVar("D")


@dataclasses.dataclass(frozen=True)
class OptionSpec:
    """Everything a flag, a preset key or a help page needs to know about one option."""

    name: str
    """Python name; flags replace ``_`` by ``-``."""
    kind: type
    """bool, int, float, str or Path."""
    default: Any
    help: str
    repeatable: bool = False
    optional: bool = False
    """None is allowed."""
    min: float | None = None
    max: float | None = None
    choices: tuple[Any, ...] = ()
    metavar: str | None = None
    short: str | None = None
    """One-letter flag, without the dash."""
    affects_output: bool = True
    """Whether results depend on it; those that stay the same stay finished when it changes."""
    only_if: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Other options, of which one must have the value, or one of the values, for this one to mean
    anything; True: any value but none, zero and empty."""

    @property
    def flag(self) -> str:
        """How the command line spells it."""
        return flag_of(self.name)

    @property
    def condition(self) -> str:
        """``only_if`` as flags: ``--optimizer adam or adamw``."""
        words = (
            " ".join([flag_of(name), *([] if wanted is True else [" or ".join(_wanted(wanted))])])
            for name, wanted in self.only_if.items()
        )
        return " or ".join(words)


def flag_of(name: str) -> str:
    """The flag of an option: ``--style-scale`` of ``style_scale``."""
    return f"--{name.replace('_', '-')}"


def _wanted(wanted: Any) -> list[str]:
    return [str(v) for v in (wanted if isinstance(wanted, tuple) else (wanted,))]


def option(
    default: Any,
    help: str,
    *,
    min: float | None = None,
    max: float | None = None,
    choices: tuple[str, ...] = (),
    metavar: str | None = None,
    short: str | None = None,
    affects_output: bool = True,
    only_if: Mapping[str, Any] | None = None,
) -> Any:
    """Declare one option of an Options class. ``min`` and ``max`` are inclusive.

    ``choices``: for values that are known only when the program runs; others are a ``Literal``.
    ``affects_output``: False where results do not depend on it, as on a file to report to.
    ``only_if``: what else must be set for it to mean anything, such as ``{"init": "noise"}``,
    ``{"optimizer": ("adam", "adamw")}`` or ``{"trace": True}`` (anything but none, zero and empty);
    of several options one suffices. Without that, any value but the default is refused.
    """
    details = {
        "help": help,
        "min": min,
        "max": max,
        "choices": choices,
        "metavar": metavar,
        "short": short,
        "affects_output": affects_output,
        "only_if": dict(only_if or {}),
    }
    return dataclasses.field(default=default, metadata={"option": details})


@dataclasses.dataclass(frozen=True, kw_only=True)
@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(option,))
class Options:
    """Base class of a component's options; subclasses become frozen keyword-only dataclasses.

    Raises UsageError, with one sentence, for an unknown key, a value out of its range, or an option
    that would change nothing beside the others.
    """

    recipes: typing.ClassVar[Mapping[str, Mapping[str, Any]]] = types.MappingProxyType({})
    """By name: option -> value, which the option ``recipe`` sets where nothing else does; a class
    with recipes declares that option, as ``str | None``."""
    alternatives: typing.ClassVar[tuple[str, ...]] = ()
    """Options of which one that is given replaces all that a recipe sets."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        dataclasses.dataclass(frozen=True, kw_only=True)(cls)
        if cls.recipes:
            cls.__init__ = _with_recipe(cls.__init__)  # type: ignore[method-assign]

    def __post_init__(self) -> None:
        for spec in self.specs():
            object.__setattr__(self, spec.name, convert(spec, getattr(self, spec.name)))
        for spec in self.specs():
            self._check_used(spec)
        self.check()

    def _check_used(self, spec: OptionSpec) -> None:
        if getattr(self, spec.name) == spec.default or _used(spec, vars(self)):
            return
        raise UsageError(
            f"{spec.flag} needs {spec.condition}, without which it changes nothing; "
            f"add that, or leave {spec.flag} out"
        )

    def check(self) -> None:
        """Override to refuse combinations of values: raise UsageError."""

    @classmethod
    def _of_recipe(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """What the recipe adds, less what would change nothing beside the other options."""
        chosen = cls.recipes.get(str(given.get("recipe")), {})
        known = {spec.name: spec for spec in cls.specs()}
        values = {name: spec.default for name, spec in known.items()}
        for name, value in {**chosen, **given}.items():
            if name in known:
                values[name] = convert(known[name], value)
        decided = set(given)
        if not decided.isdisjoint(cls.alternatives):
            decided.update(cls.alternatives)
        return {
            name: value
            for name, value in chosen.items()
            if name not in decided and _used(known[name], values)
        }

    @classmethod
    def specs(cls) -> tuple[OptionSpec, ...]:
        """The options in the order they were declared, those of base classes first."""
        known: tuple[OptionSpec, ...] | None = cls.__dict__.get("_specs")
        if known is None:
            known = cls._read_specs()
            cls._specs = known  # type: ignore[attr-defined]  # reading type hints is slow
        return known

    @classmethod
    def _read_specs(cls) -> tuple[OptionSpec, ...]:
        hints = typing.get_type_hints(cls)
        specs = tuple(_spec(f, hints[f.name]) for f in dataclasses.fields(cls))
        for spec in specs:
            for name in spec.only_if:
                if name not in hints:
                    raise TypeError(
                        f"option {spec.name!r} depends on {name!r}, which is not an option"
                    )
        for recipe, settings in cls.recipes.items():
            for name in settings:
                if name not in hints:
                    raise TypeError(f"recipe {recipe!r} sets {name!r}, which is not an option")
        return specs

    @classmethod
    def build(cls, values: Mapping[str, Any], where: str = "option") -> typing.Self:
        """Make the options from plain values (from TOML, flags or ``--set``).

        Keys may be written with ``-`` or ``_``; strings are converted to the declared type.
        """
        names = [s.name for s in cls.specs()]
        clean = {key.replace("-", "_"): value for key, value in values.items()}
        for key in clean:
            if key not in names:
                known = ", ".join(names) or "none"
                raise UsageError(f"unknown {where} {key!r}{suggest(key, names)}; known: {known}")
        return cls(**clean)

    def into(self, kind: type[D], **more: Any) -> D:
        """A dataclass made of the options that have its fields' names, and of ``more``."""
        names = {s.name for s in self.specs()}
        own = {f.name: getattr(self, f.name) for f in dataclasses.fields(kind) if f.name in names}  # type: ignore[arg-type]
        return kind(**{**own, **more})

    def given(self) -> set[str]:
        """The names of the options that are not left at their defaults."""
        return {s.name for s in self.specs() if getattr(self, s.name) != s.default}

    def printed(self) -> set[str]:
        """The names of the options that have the values of the chosen recipe."""
        chosen = self.recipes.get(str(getattr(self, "recipe", None)), {})
        return {name for name, value in chosen.items() if getattr(self, name) == value}

    def values(self) -> dict[str, Any]:
        """The options as plain values that JSON and TOML can hold."""
        return {s.name: _plain(getattr(self, s.name)) for s in self.specs()}


def _with_recipe(init: Any) -> Any:
    @functools.wraps(init)
    def filled(self: Options, **given: Any) -> None:
        init(self, **(self._of_recipe(given) | given))

    return filled


def _used(spec: OptionSpec, values: Mapping[str, Any]) -> bool:
    """Whether an option means something beside these values."""
    return not spec.only_if or any(
        bool(values[name]) if wanted is True else str(values[name]) in _wanted(wanted)
        for name, wanted in spec.only_if.items()
    )


def _spec(f: dataclasses.Field[Any], hint: Any) -> OptionSpec:
    if "option" not in f.metadata:
        raise TypeError(f"declare {f.name!r} with option(default, help)")
    declared, optional, repeatable = hint, False, False
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        args = [a for a in typing.get_args(hint) if a is not type(None)]
        optional, hint = len(args) < len(typing.get_args(hint)), args[0]
        if len(args) > 1:
            raise TypeError(f"option {f.name!r} has type {declared}, which no flag can express")
    if typing.get_origin(hint) is tuple and typing.get_args(hint)[1:] == (...,):
        repeatable, hint = True, typing.get_args(hint)[0]
    details = dict(f.metadata["option"])
    if typing.get_origin(hint) is typing.Literal:
        details["choices"] = typing.get_args(hint)
        hint = type(details["choices"][0])
    if hint not in (bool, int, float, str, Path):
        raise TypeError(f"option {f.name!r} has type {declared}, which no flag can express")
    return OptionSpec(f.name, hint, f.default, repeatable=repeatable, optional=optional, **details)


def convert(spec: OptionSpec, value: Any) -> Any:
    """The value of one option from a plain value. Raises UsageError that names the option."""
    if value is None:
        if spec.optional:
            return None
        raise UsageError(f"{spec.name} needs a value")
    if spec.repeatable:
        items = value if isinstance(value, (list, tuple)) else [value]
        return tuple(_convert_one(spec, v) for v in items)
    return _convert_one(spec, value)


def _convert_one(spec: OptionSpec, value: Any) -> Any:
    try:
        converted = _CONVERT[spec.kind](value)
    except OverflowError:  # even its text may be too long to show
        raise UsageError(f"{spec.name} is not a number of sensible size") from None
    except (TypeError, ValueError):
        wanted = {bool: "true or false", int: "a whole number", float: "a number"}
        what = wanted.get(spec.kind, "text")
        raise UsageError(f"{spec.name} takes {what}, not {shown(value)}") from None
    if spec.choices and converted not in spec.choices:
        words = [str(choice) for choice in spec.choices]
        known, hint = ", ".join(words), suggest(str(converted), words)
        raise UsageError(f"{spec.name} cannot be {shown(converted)}{hint}; choose one of: {known}")
    if spec.kind in (int, float):
        if not math.isfinite(converted):
            raise UsageError(f"{spec.name} must be finite, not {converted}")
        low, high = spec.min, spec.max
        if (low is not None and converted < low) or (high is not None and converted > high):
            bounds = f"at least {low}" if high is None else f"at most {high}"
            if low is not None and high is not None:
                bounds = f"between {low} and {high}"
            raise UsageError(f"{spec.name} must be {bounds}, not {converted}")
    return converted


def _to_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    words = {"true": True, "yes": True, "on": True, "1": True}
    words |= {"false": False, "no": False, "off": False, "0": False}
    if str(value).lower() not in words:
        raise ValueError
    return words[str(value).lower()]


def _to_int(value: Any) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError
    number = int(value)
    if not -(2**63) <= number < 2**63:
        raise OverflowError
    return number


def _to_float(value: Any) -> float:
    if isinstance(value, bool):
        raise ValueError
    return float(value)


def _to_str(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float, os.PathLike)):
        raise ValueError  # also the dates of TOML
    return str(value)


def _to_path(value: Any) -> Path:
    return user_path(_to_str(value))


_CONVERT: dict[type, Any] = {
    bool: _to_bool,
    int: _to_int,
    float: _to_float,
    str: _to_str,
    Path: _to_path,
}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    return str(value) if isinstance(value, Path) else value
