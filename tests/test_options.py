"""One Options class validates, and serves preset keys, flags and help."""

import dataclasses
import json
from datetime import date
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stylepipe import Options, UsageError, option


class Base(Options):
    steps: int = option(300, "Iterations.", min=1, max=1000)


class Full(Base):
    lr: float = option(0.5, "Rate.", min=0)
    free: int = option(0, "No bounds.")
    init: str = option("content", "Start.", choices=("content", "noise"))
    fast: bool = option(False, "Hurry.")
    file: Path | None = option(None, "A file.")
    style: tuple[str, ...] = option((), "Styles.", short="s", metavar="STYLE")
    layers: tuple[int, ...] = option((1, 2), "Layers.", min=1)


def test_defaults_and_order_base_class_first():
    names = [s.name for s in Full.specs()]
    assert names == ["steps", "lr", "free", "init", "fast", "file", "style", "layers"]
    assert Full().values() == {
        "steps": 300, "lr": 0.5, "free": 0, "init": "content", "fast": False, "file": None,
        "style": [], "layers": [1, 2],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("key", "given_value", "kept"),
    [
        ("steps", "20", 20),
        ("steps", 20.0, 20),
        ("lr", "1e-3", 0.001),
        ("lr", 2, 2.0),
        ("init", "noise", "noise"),
        ("fast", "yes", True),
        ("fast", "OFF", False),
        ("fast", 1, True),
        ("file", "a/b.png", Path("a/b.png")),
        ("file", None, None),
        ("style", "one", ("one",)),
        ("style", ["one", "two"], ("one", "two")),
        ("layers", ["3", 4], (3, 4)),
    ],
)
def test_text_and_plain_values_are_converted(key, given_value, kept):
    value = getattr(Full.build({key: given_value}), key)
    assert value == kept and type(value) is type(kept)


def test_home_folder_is_expanded(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Full(file="~/x").file == tmp_path / "x"


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("steps", "many", "steps takes a whole number, not 'many'"),
        ("steps", 1.5, "steps takes a whole number"),
        ("steps", True, "steps takes a whole number, not True"),
        ("steps", 0, "steps must be between 1 and 1000, not 0"),
        ("steps", None, "steps needs a value"),
        ("steps", [1], "steps takes a whole number"),
        ("lr", -0.1, "lr must be at least 0"),
        ("lr", "nan", "lr must be finite"),
        ("lr", float("inf"), "lr must be finite"),
        ("lr", True, "lr takes a number"),
        ("fast", "maybe", "fast takes true or false, not 'maybe'"),
        ("init", "nois", "did you mean 'noise'.*choose one of: content, noise"),
        ("init", ["noise"], "init takes text"),
        ("file", {}, "file takes text"),
        ("layers", [1, 0], "layers must be at least 1"),
        ("layers", date(2026, 1, 2), "layers takes a whole number"),
        ("layers", {"a": 1}, "layers takes a whole number"),
        ("style", date(2026, 1, 2), "style takes text"),
        ("style", {"a": 1}, "style takes text"),
    ],
)
def test_bad_values_get_a_sentence_that_names_the_option(key, value, words):
    with pytest.raises(UsageError, match=words):
        Full.build({key: value})


@pytest.mark.parametrize("digits", [400, 5000])  # Python writes out no more than 4300
@pytest.mark.parametrize("key", ["steps", "free", "lr"])
def test_numbers_beyond_all_bounds_get_a_sentence_too(key, digits):
    with pytest.raises(UsageError, match=f"{key} is not a number of sensible size"):
        Full.build({key: 10**digits})


def test_unknown_key_suggests_the_nearest_and_lists_all():
    with pytest.raises(UsageError, match=r"unknown option 'step' \(did you mean 'steps'\?\)") as e:
        Full.build({"step": 3})
    assert "layers" in str(e.value)


def test_keys_may_be_written_with_dashes():
    class Two(Options):
        tv_weight: float = option(0.0, "TV.")

    assert Two.build({"tv-weight": 2}).tv_weight == 2.0


def test_values_are_checked_when_constructed_directly_too():
    with pytest.raises(UsageError, match="steps must be"):
        Full(steps=-1)


def test_a_check_of_combinations_sees_converted_values():
    class Range(Options):
        low: int = option(0, "Low.")
        high: int = option(9, "High.")

        def check(self):
            if self.low > self.high:
                raise UsageError("low lies above high")

    assert Range.build({"low": "3"}).low == 3
    with pytest.raises(UsageError, match="above"):
        Range.build({"low": "10"})


def test_options_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Full().steps = 3


def test_an_author_is_told_of_a_field_that_no_flag_can_express():
    class Wrong(Options):
        table: dict = option(None, "No.")

    class Bare(Options):
        steps: int = 3

    with pytest.raises(TypeError, match=r"table.*which no flag can express"):
        Wrong.specs()
    with pytest.raises(TypeError, match="declare 'steps' with option"):
        Bare.specs()


def test_a_component_without_options_has_none():
    assert Options.specs() == () and Options().values() == {}
    with pytest.raises(UsageError, match="known: none"):
        Options.build({"x": 1})


@settings(max_examples=40)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "steps": st.integers(1, 1000),
            "lr": st.floats(0, 1e6),
            "init": st.sampled_from(["content", "noise"]),
            "fast": st.booleans(),
            "style": st.lists(st.text()),
            "layers": st.lists(st.integers(1, 9)),
        },
    )
)
def test_values_survive_json_and_back(values):
    options = Full.build(values)
    again = Full.build(json.loads(json.dumps(options.values())))
    assert again == options


class Printed(Options):
    recipes: ClassVar = {"slow": {"steps": 9, "seed": 3, "layers": ("a:1",)}}
    alternatives = ("steps", "epochs")

    recipe: str | None = option(None, "A paper.", choices=("slow",))
    steps: int = option(1, "Steps.")
    epochs: float | None = option(None, "Or epochs.")
    init: str = option("noise", "Start.")
    seed: int = option(0, "Of the noise.", only_if={"init": "noise"})
    layers: tuple[str, ...] = option((), "Layers.")


def test_a_recipe_sets_what_nothing_else_sets():
    found = Printed(recipe="slow")
    assert (found.steps, found.seed, found.layers) == (9, 3, ("a:1",))
    assert Printed(recipe="slow", steps=1).steps == 1, "also where that is the default"
    assert Printed(recipe="slow", epochs=2).steps == 1, "an alternative"
    assert Printed(recipe="slow", init="gray").seed == 0, "what would change nothing"
    assert Printed.build(json.loads(json.dumps(found.values()))) == found
    assert dataclasses.replace(found, seed=0).seed == 0
    with pytest.raises(UsageError, match=r"recipe cannot be 'slw'.*did you mean 'slow'"):
        Printed(recipe="slw")


def test_an_author_is_shown_a_recipe_that_sets_no_option():
    class Wrong(Options):
        recipes: ClassVar = {"slow": {"stepps": 9}}

        recipe: str | None = option(None, "A paper.", choices=("slow",))

    with pytest.raises(TypeError, match="recipe 'slow' sets 'stepps', which is not an option"):
        Wrong(recipe="slow")


def test_a_dataclass_takes_the_options_of_its_names():
    @dataclasses.dataclass
    class Plan:
        steps: int
        lr: float = 0.1
        shape: str = "round"

    assert Full(steps=7, fast=True).into(Plan, shape="flat") == Plan(7, 0.5, "flat")
    with pytest.raises(TypeError):
        Base().into(Plan, size=3)
