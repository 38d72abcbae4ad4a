"""The public API is what tests/public_api.txt says, name by name.

``python tests/test_public_api.py`` writes the file anew after a change that is meant.
"""

import difflib
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import stylepipe
import stylepipe.testing

HERE = Path(__file__).resolve().parent
SNAPSHOT = HERE / "public_api.txt"
PAGES = ("stylizers", "masks", "films", "nst", "weights")
"""Pages of docs/reference; what they document is public."""


def described() -> Iterator[str]:
    """A line for every public name, attribute and method, with its signature."""
    for name in stylepipe.__all__:
        yield from _lines(f"stylepipe.{name}", getattr(stylepipe, name))
    for page in PAGES:
        for name in documented(page):
            module, _, last = name.rpartition(".")
            yield from _lines(name, getattr(importlib.import_module(module), last))
    for name in stylepipe.testing.__all__:
        yield from _lines(f"stylepipe.testing.{name}", getattr(stylepipe.testing, name))


def documented(page: str) -> list[str]:
    """The names that a page of docs/reference describes."""
    text = (HERE.parent / "docs" / "reference" / f"{page}.md").read_text(encoding="utf-8")
    found = re.findall(r"^\.\. auto(?:class|function):: (\S+)", text, re.MULTILINE)
    for module, names in re.findall(r"^\.\. automodule:: (\S+)\n   :members: (.+)", text, re.M):
        found += [f"{module}.{name}" for name in names.split(", ")]
    return found


def _lines(name: str, value: Any) -> Iterator[str]:
    if not inspect.isclass(value):
        yield f"{name}{_signature(value)}"
        return
    bases = [b.__name__ for b in value.__bases__ if b is not object]
    yield f"class {name}{_signature(value)}" + (f" [{', '.join(bases)}]" if bases else "")
    members = {**inspect.get_annotations(value), **vars(value)}
    # the checks of a contract are no names to call: they may be refined at any time
    for key in sorted(k for k in members if not k.startswith(("_", "test_"))):
        member = vars(value).get(key)
        if isinstance(member, property):
            yield f"  {name}.{key} (property)"
        elif isinstance(member, (classmethod, staticmethod)):
            yield f"  {name}.{key}{_signature(member.__func__)} ({type(member).__name__})"
        else:
            yield f"  {name}.{key}{_signature(member)}"


def _signature(value: Any) -> str:
    if not inspect.isfunction(value) and not inspect.isclass(value):
        return ""
    try:
        signature = str(inspect.signature(value))
    except ValueError:  # of exceptions, which take anything
        return ""
    # addresses and ways to write defaults differ from run to run and from Python to Python
    return re.sub(r"<(?:function (\w+) at )?[^<>]*>", lambda m: m[1] or "...", signature)


def snapshot() -> str:
    """What the file should hold."""
    return "\n".join(described()) + "\n"


def test_public_api_is_as_recorded():
    recorded, present = SNAPSHOT.read_text(encoding="utf-8"), snapshot()
    difference = "\n".join(
        difflib.unified_diff(
            recorded.splitlines(), present.splitlines(), "recorded", "present", "", "", 0, ""
        )
    )
    assert recorded == present, (
        "the public API has changed; if this is meant, run `python tests/test_public_api.py`, "
        f"and tell CHANGELOG.md:\n{difference}"
    )


def test_a_change_is_seen():
    def painted(array, strength=1.0):
        """As somebody might add it."""

    assert list(_lines("stylepipe.painted", painted)) == ["stylepipe.painted(array, strength=1.0)"]
    lines = list(_lines("stylepipe.Sink", stylepipe.Sink))
    assert "  stylepipe.Sink.write(self, frame: 'Frame') -> 'None'" in lines


if __name__ == "__main__":
    SNAPSHOT.write_text(snapshot(), encoding="utf-8")
