"""Options that would change nothing beside the others are refused, whoever declares them."""

from pathlib import Path
from typing import Any, Literal

import pytest

from stylepipe import Options, UsageError, option
from stylepipe.cli.flags import add_flags
from stylepipe.components import Component
from stylepipe.options import OptionSpec
from stylepipe.plugins import STAGES, Plugins


class Drawing(Options):
    init: Literal["content", "noise"] = option("content", "Start.")
    optimizer: Literal["adam", "adamw", "lbfgs"] = option("adam", "Optimizer.")
    trace: Path | None = option(None, "Folder.")
    tv_weight: float = option(0.0, "Weight.", min=0)
    edge_weight: float = option(0.0, "Weight.", min=0)
    power: Literal[1, 2] = option(2, "Power.", only_if={"tv_weight": True, "edge_weight": True})
    seed: int = option(0, "Seed.", only_if={"init": "noise"})
    average: float = option(0.9, "Mean.", only_if={"optimizer": ("adam", "adamw")})
    every: int = option(0, "Steps.", only_if={"trace": True})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"seed": 1}, "--seed needs --init noise,"),
        ({"average": 0, "optimizer": "lbfgs"}, "--average needs --optimizer adam or adamw,"),
        ({"every": 3}, "--every needs --trace,"),
        ({"power": 1}, "--power needs --tv-weight or --edge-weight,"),
    ],
)
def test_an_option_of_a_mode_that_is_off_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        Drawing.build(values)
    assert "or leave" in str(caught.value)


@pytest.mark.parametrize(
    "values",
    [
        {"seed": 1, "init": "noise"},
        {"seed": 0},
        {"average": 0.9, "optimizer": "lbfgs"},
        {"average": 0, "optimizer": "adamw"},
        {"every": "3", "trace": "losses"},
        {"power": 1, "edge_weight": "0.5"},
        {"power": "2"},
    ],
)
def test_in_its_mode_or_at_its_default_it_passes(values: dict[str, Any]) -> None:
    assert Drawing.build(values)


def test_help_tells_what_an_option_needs() -> None:
    flags = {flag.spec.name: flag for flag in add_flags(Drawing.specs(), "stylizer", set())}
    assert "needs --optimizer adam or adamw" in (flags["average"].help or "")
    assert flags["power"].metavar == "1|2"
    assert flags["init"].metavar == "content|noise"


def test_words_and_numbers_of_a_literal_are_the_choices() -> None:
    assert Drawing.build({"power": "1", "tv_weight": 1}).power == 1
    with pytest.raises(UsageError, match="power cannot be 3; choose one of: 1, 2"):
        Drawing.build({"power": 3})
    with pytest.raises(UsageError, match=r"init cannot be 'nose' \(did you mean 'noise'\?\)"):
        Drawing.build({"init": "nose"})


def test_depending_on_what_is_no_option_is_a_mistake() -> None:
    class Wrong(Options):
        seed: int = option(0, "Seed.", only_if={"int": "noise"})

    with pytest.raises(TypeError, match="'seed' depends on 'int', which is not an option"):
        Wrong.specs()


def dependent() -> list[Any]:
    plugins = Plugins()
    return [
        pytest.param(cls, spec, id=f"{cls.name}-{spec.name}")
        for base in STAGES.values()
        for cls in plugins.components(base).values()
        for spec in cls.Options.specs()
        if spec.only_if
    ]


def another(spec: OptionSpec) -> Any:
    """A value that is not the default."""
    if spec.choices:
        return next(choice for choice in spec.choices if choice != spec.default)
    if spec.kind is bool:
        return not spec.default
    if spec.kind in (int, float):
        return spec.max if spec.max not in (None, spec.default) else (spec.default or 0) + 1
    return "relu1_1"


@pytest.mark.parametrize(("component", "spec"), dependent())
def test_each_is_refused_where_its_mode_is_off(
    component: type[Component], spec: OptionSpec, tmp_path: Path
) -> None:
    off: dict[str, Any] = {}
    for name, wanted in spec.only_if.items():
        (other,) = [s for s in component.Options.specs() if s.name == name]
        if wanted is True:
            off[name] = None if other.optional else 0
        else:
            off[name] = next(
                c
                for c in other.choices or (other.default, "own.safetensors")
                if c not in (wanted if isinstance(wanted, tuple) else (wanted,))
            )
    with pytest.raises(UsageError, match=f"{spec.flag} needs {spec.condition}, without which"):
        component.Options.build({**off, spec.name: another(spec)})
