"""A job and its settings: what is asked for, as values. Whoever runs it brings the plugins."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from stylepipe.components import Component, Flow, Masker, PixelLimit, Reader, Stylizer, Writer
from stylepipe.damage import Rule
from stylepipe.errors import UsageError, suggest
from stylepipe.options import Options, option
from stylepipe.pictures import MAX_PIXELS
from stylepipe.places import LONGEST_NAME

TABLES: dict[str, type[Component]] = {
    "input": Reader,
    "mask": Masker,
    "stylizer": Stylizer,
    "temporal": Flow,
    "output": Writer,
}
SHARED = ("input", "output")
"""Tables whose keys go to every component that has them, unless ``use`` picks one."""
DEFAULT = {"mask": "files", "temporal": "dis"}
"""The component meant where a table has options and names none."""

_NAME_SAMPLE: dict[str, Any] = {
    "stem": "photo",
    "suffix": "jpg",
    "style": "style",
    "stylizer": "fast",
    "preset": "default",
    "index": 1,
}


class InputOptions(Options):
    """The keys of ``[input]`` that belong to the engine and not to a reader."""

    on_damage: Rule = option(
        "warn",
        "Damaged photos and films: warn paints what decodes and says what is missing, fail "
        "refuses them, skip leaves them out; each is counted, and the exit code is 1.",
        affects_output=False,
    )


class OutputOptions(Options):
    """The keys of ``[output]`` that belong to the engine and not to a writer."""

    name: str = option(
        "{stem}",
        "Name of each output, made of {stem}, {suffix} (the source's), {style}, {stylizer}, "
        "{preset} and {index:04d}; its own suffix is added.",
        metavar="TEMPLATE",
    )
    format: str | None = option(
        None,
        "File format of the outputs, such as png or mp4; unset: each source's own.",
        metavar="SUFFIX",
    )

    def check(self) -> None:
        """Raises UsageError for a template that names no file."""
        if len(self.name) > LONGEST_NAME:
            raise UsageError(f"name has {len(self.name)} characters, of {LONGEST_NAME} allowed")
        if re.search(r"%\d*d", self.name):
            raise UsageError(f"name {self.name!r} numbers nothing; write {{index:04d}} for %04d")
        fields = ", ".join("{" + f + "}" for f in _NAME_SAMPLE)
        try:
            for _, name, spec, _ in string.Formatter().parse(self.name):
                if name is None:
                    continue
                if "{" in (spec or ""):
                    raise ValueError("a field inside a field")
                if any(int(number) > LONGEST_NAME for number in re.findall(r"\d+", spec or "")):
                    raise ValueError(f"a field wider than {LONGEST_NAME} characters")
                if name not in _NAME_SAMPLE:
                    hint = suggest(name, _NAME_SAMPLE)
                    raise UsageError(f"name {self.name!r} has {{{name}}}{hint}; known: {fields}")
            sample = Path(self.name.format(**_NAME_SAMPLE))
        except ValueError as e:
            raise UsageError(f"name {self.name!r} is no template: {e}") from None
        if not sample.name or sample.is_absolute() or ".." in sample.parts:
            raise UsageError(f"name {self.name!r} must stay inside the output folder")
        if self.format is not None:
            object.__setattr__(self, "format", self.format.lower().lstrip("."))

    @property
    def numbered(self) -> bool:
        """Whether names tell an input's number, which changes when others come or go."""
        return any(name == "index" for _, name, _, _ in string.Formatter().parse(self.name))


ENGINE: dict[str, type[Options]] = {"input": InputOptions, "output": OutputOptions}
"""The engine's own keys by table."""


@dataclass(frozen=True)
class Settings:
    """A preset resolved to components, made but not opened."""

    preset: str
    readers: tuple[Reader, ...]
    masker: Masker | None
    stylizer: Stylizer
    flow: Flow | None
    writers: tuple[Writer, ...]
    output: OutputOptions
    input: InputOptions = field(default_factory=lambda: InputOptions.build({}))

    @property
    def max_pixels(self) -> int:
        """The limit of the readers of pictures: the smallest, where a plugin's has its own."""
        limits = [r.options.max_pixels for r in self.readers if isinstance(r.options, PixelLimit)]
        return min(limits, default=MAX_PIXELS)

    def describe(self) -> dict[str, dict[str, Any]]:
        """Every setting as plain values by table; equal settings give equal descriptions.

        ``use`` is the component's name, a list of names for ``input`` and ``output``. Where two
        readers or writers differ in an option of one name, its key is ``option@component``.
        """
        single = {"mask": self.masker, "stylizer": self.stylizer, "temporal": self.flow}
        described: dict[str, dict[str, Any]] = {
            table: {"use": c.name, **c.options.values()} if c else {"use": "none"}
            for table, c in single.items()
        }
        described["input"] = _describe_shared(self.readers, self.input.values())
        described["output"] = _describe_shared(self.writers, self.output.values())
        return {table: described[table] for table in TABLES}


def _describe_shared(parts: Sequence[Component], engine: dict[str, Any]) -> dict[str, Any]:
    options = [(c.name, c.options.values()) for c in parts]
    plain: dict[str, Any] = {"use": [name for name, _ in options], **engine}
    for key in dict.fromkeys(key for _, values in options for key in values):
        different = [(name, values[key]) for name, values in options if key in values]
        if all(value == different[0][1] for _, value in different):
            plain[key] = different[0][1]
        else:
            plain |= {f"{key}@{name}": value for name, value in different}
    return plain


@dataclass(frozen=True)
class Job:
    """What is to be done: settings, inputs, an output, and how to treat what is there."""

    inputs: tuple[Path, ...]
    output: Path
    """A folder; or a file, if there is one input file and the suffix can be written."""
    settings: Settings
    device: str = "auto"
    precision: str = "auto"
    memory: int | None = None
    """Bytes of working memory; None takes half of what is free."""
    on_error: Literal["skip", "abort"] = "skip"
    overwrite: bool = False
    """Replace outputs that other settings, other sources or other programs made."""
    redo: bool = False
    """Do everything anew, whatever is there."""
    skip_existing: bool = False
    limit: int | None = None
    dry_run: bool = False
