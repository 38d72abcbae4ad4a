"""``help()`` of a public class tells what its fields mean; the source says it once."""

import dataclasses
import inspect
import pydoc

import pytest

import stylepipe
from stylepipe.fieldhelp import show_fields

SHOWN = {
    stylepipe.Job: ("inputs", "settings", "memory", "dry_run"),
    stylepipe.Settings: ("stylizer", "plugins", "writers"),
    stylepipe.Report: ("counts", "failures", "damages", "interrupted", "seconds"),
    stylepipe.Outcome: ("status", "message", "damage"),
    stylepipe.Item: ("source", "output"),
    stylepipe.Caps: ("batch", "masks"),
    stylepipe.Frame: ("pixels", "time_base"),
}


@pytest.mark.parametrize("cls", SHOWN, ids=lambda cls: cls.__name__)
def test_help_tells_the_fields(cls):
    page = pydoc.plain(pydoc.render_doc(cls))
    for name in SHOWN[cls]:
        assert f"\n |  {name}: " in page, name
    assert "\n |      " in page, "each has a text"


def test_what_hooks_are_given_is_documented_field_by_field():
    for cls in (stylepipe.Job, stylepipe.Settings, stylepipe.Outcome, stylepipe.Item):
        for field in dataclasses.fields(cls):
            assert f"\n{field.name}: " in inspect.getdoc(cls), f"{cls.__name__}.{field.name}"


def test_the_summary_stays_the_first_line_and_classes_without_fields_are_left():
    assert inspect.getdoc(stylepipe.Outcome).startswith("How an item ended.\n\nFields:")
    assert inspect.getdoc(stylepipe.UsageError).startswith("The request itself is wrong")
    assert "Fields:" not in inspect.getdoc(stylepipe.UsageError)


def test_a_class_without_source_keeps_its_text():
    made = type("Made", (), {"__doc__": "As it was."})
    show_fields(made)
    assert inspect.getdoc(made) == "As it was."
