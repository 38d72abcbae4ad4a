"""A job and its settings, as plain values; plugins are passed separately to whatever runs it."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from stylepipe.components import (
    Component,
    Flow,
    Masker,
    PixelLimit,
    Reader,
    Stylizer,
    Temporal,
    Writer,
)
from stylepipe.damage import Rule
from stylepipe.errors import UsageError, suggest
from stylepipe.masking import Protection, Term, parts_of
from stylepipe.named_regions import TABLE, Region
from stylepipe.options import Options, OptionSpec, option
from stylepipe.places import LONGEST_NAME
from stylepipe.sampling import Sample
from stylepipe.types import MAX_PIXELS

TABLES: dict[str, type[Component]] = {
    "input": Reader,
    "mask": Masker,
    "stylizer": Stylizer,
    "temporal": Temporal,
    "output": Writer,
}
PRESET_KEYS = ("description", "extends")
"""Keys of a preset that stand outside its tables."""
SHARED = ("input", "output")
"""Tables whose keys go to every component that has them, unless ``use`` picks one."""
DEFAULT = {"mask": "files", "temporal": "warp"}
"""The component meant where a table has options and names none."""
DEFAULT_FLOW = "dis"
"""The optical flow of a temporal method that uses one."""

_NAME_SAMPLE: dict[str, Any] = {
    "stem": "photo",
    "suffix": "jpg",
    "style": "style",
    "stylizer": "fast",
    "preset": "default",
    "index": 1,
    "page": 1,
}


class InputOptions(Options):
    """The keys of ``[input]`` that belong to the engine and not to a reader."""

    on_damage: Rule = option(
        "warn",
        "Damaged photos and films: warn paints what decodes and says what is missing, fail "
        "refuses them, skip leaves them out; each is counted, and the exit code is 1.",
        affects_output=False,
    )
    # Names of results tell these two apart, so that photos painted beside stay good for a full run.
    frames: int | None = option(
        None,
        "Try: paint only so many frames of each film, evenly spread, as single pictures in a "
        "folder, with a sheet that shows them beside the source; photos are painted as always.",
        min=1, affects_output=False,
    )  # fmt: skip
    every: str | None = option(
        None, "Try: the same, with one frame every so many seconds (2s) or frames (50).",
        metavar="TIME|N", affects_output=False,
    )  # fmt: skip

    def check(self) -> None:
        """Raises UsageError for what is no distance, and for both ways to choose frames."""
        if self.frames is not None and self.every is not None:
            raise UsageError("frames and every both say which frames to try; leave one out")
        _ = self.sample

    @property
    def sample(self) -> Sample | None:
        """Which frames of films are painted, as single pictures; None: all, as films."""
        if self.every is not None:
            return Sample.every(self.every)
        return Sample(count=self.frames) if self.frames is not None else None


class MaskOptions(Options):
    """The keys of ``[mask]`` that belong to the engine: what is done with masks of any masker."""

    invert: bool = option(False, "Paint where the mask is black instead of where it is white.")
    threshold: float | None = option(
        None, "Make the mask hard: what is at least so white is painted, the rest is not.",
        min=0, max=1,
    )  # fmt: skip
    grow: int = option(0, "Grow the mask by so many pixels on all sides.", min=0, max=500)
    shrink: int = option(0, "Then shrink it by so many pixels on all sides.", min=0, max=500)
    feather: float = option(0.0, "Soften the mask's edge over this many pixels.", min=0, max=1000)
    steady: float | None = option(
        None, "Films: how much masks are averaged with those of up to 4 frames before, along the "
        "motion; unset: 0.8 for masks that are found in the picture with soft edges, else 0.",
        min=0, max=1,
    )  # fmt: skip
    edges: Literal["auto", "blend", "matte"] = option(
        "auto",
        "What soft edges of the mask mean: blend mixes painting and photo there; matte takes "
        "pixels for partly covered, as by hair, and leaves no halo of what was behind; auto is "
        "matte where the mask is found in the picture.",
    )
    missing: Literal["paint", "keep", "fail"] = option(
        "fail",
        "Inputs that have no mask: paint paints the whole picture, keep keeps the photo, fail "
        "reports them.",
    )
    protect: str | None = option(
        None,
        "Keep so much of the photo, 0 to 1 (0.7 if unset), where this mask is white, such "
        "as faces:0.5; or none.",
        metavar="EXPRESSION[:AMOUNT]",
    )

    def shaping(self) -> set[str]:
        """The keys that shape a mask and are not left at their defaults."""
        return self.given() - {"missing", "protect"}


class OutputOptions(Options):
    """The keys of ``[output]`` that belong to the engine and not to a writer."""

    name: str = option(
        "{stem}",
        "Name of each output, made of {stem}, {suffix} (the source's), {style}, {stylizer}, "
        "{preset}, {index:04d} and {page}; its own suffix is added.",
        metavar="TEMPLATE",
    )
    format: str | None = option(
        None,
        "File format of the outputs, such as png or mp4, or png/ (also frames:png) for folders of "
        "numbered frames made from films; unset: each source's own.",
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
            wanted = self.format.lower()
            if wanted.startswith("frames:"):  # another name of png/
                wanted = wanted.removeprefix("frames:").rstrip("/") + "/"
            object.__setattr__(self, "format", wanted.lstrip("."))

    @property
    def numbered(self) -> bool:
        """Whether names contain an input's number, which changes when others come or go."""
        return self.has_field("index")

    def has_field(self, field: str) -> bool:
        """Whether the template has a field of this name."""
        return any(name == field for _, name, _, _ in string.Formatter().parse(self.name))


class TemporalOptions(Options):
    """The keys of ``[temporal]`` that belong to the engine and not to a temporal method."""

    flow: str = option(DEFAULT_FLOW, "Optical flow that the temporal method uses.", metavar="NAME")


ENGINE: dict[str, type[Options]] = {
    "input": InputOptions,
    "mask": MaskOptions,
    "temporal": TemporalOptions,
    "output": OutputOptions,
}
"""The engine's own keys by table."""


def option_keys(classes: Sequence[type[Component]]) -> list[dict[str, OptionSpec]]:
    """The options of each component of a table by key, which is the option's name.

    ``[temporal]`` holds a method and the flow it uses, ``[mask]`` any number of maskers: where one
    before has an option of that name, the key is ``flow_NAME``, or ``MASKER_NAME``.
    """
    found: list[dict[str, OptionSpec]] = []
    for cls in classes:
        specs = {spec.name: spec for spec in cls.Options.specs()}
        if issubclass(cls, (Flow, Masker)):
            taken = {key for keys in found for key in keys}
            mine = "flow" if issubclass(cls, Flow) else cls.name.replace("-", "_")
            specs = {f"{mine}_{key}" if key in taken else key: s for key, s in specs.items()}
        found.append(specs)
    return found


@dataclass(frozen=True)
class Settings:
    """A preset resolved to components, made but not opened."""

    preset: str
    """Its name, or that of its file."""
    readers: tuple[Reader, ...]
    """In the order in which they are asked."""
    masker: Masker | None
    """None paints everywhere."""
    stylizer: Stylizer
    """Its ``options`` are those the user chose, as of all the others."""
    temporal: Temporal | None
    """None paints each frame of a video separately."""
    writers: tuple[Writer, ...]
    """In the order in which they are asked."""
    output: OutputOptions
    """The engine's own keys of ``[output]``: ``name`` and ``format``."""
    mask: MaskOptions = field(default_factory=lambda: MaskOptions.build({}))
    """The engine's own keys of ``[mask]``: what is done with masks."""
    protection: Protection | None = None
    """Where the photo is kept in part, and how much of it."""
    regions: tuple[Region, ...] = ()
    """Parts of the picture that are painted each in its own way; ``masker`` is None then."""
    input: InputOptions = field(default_factory=lambda: InputOptions.build({}))
    """The engine's own keys of ``[input]``: ``on_damage``, ``frames`` and ``every``."""
    plugins: Mapping[str, Options] = field(default_factory=dict)
    """By the plugin's name, the values of what ``stylepipe_options`` of its hooks declares."""

    @property
    def painting(self) -> list[Component]:
        """Who paints: nobody where ``strength`` is 0, and pictures are copied as they are."""
        protects = self.protection.masker if self.protection else None
        chosen = (self.masker, protects, self.flow, self.temporal, self.stylizer)
        return [c for c in chosen if c is not None and self.stylizer.options.strength != 0]

    @property
    def maskers(self) -> list[tuple[Masker, Term]]:
        """All maskers that are asked, each with its term of an expression."""
        protects = self.protection.masker if self.protection else None
        regional = (region.masker for region in self.regions)
        return [part for m in (self.masker, protects, *regional) for part in parts_of(m)]

    @property
    def flow(self) -> Flow | None:
        """The optical flow that the temporal method uses, if it uses one."""
        return self.temporal.flow if self.temporal else None

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
        single = {"stylizer": self.stylizer, "temporal": self.temporal}
        described: dict[str, dict[str, Any]] = {
            table: {"use": c.name, **c.options.values()} if c else {"use": "none"}
            for table, c in single.items()
        }
        described["mask"] = {"use": self.masker.name if self.masker else "none"}
        if self.maskers:
            described["mask"] |= self.mask.values() | self._describe_maskers()
        if self.temporal and self.flow:
            keys = option_keys((type(self.temporal), type(self.flow)))[1]
            values = self.flow.options.values()
            described["temporal"] |= {"flow": self.flow.name}
            described["temporal"] |= {key: values[spec.name] for key, spec in keys.items()}
        described["input"] = _describe_shared(self.readers, self.input.values())
        described["output"] = _describe_shared(self.writers, self.output.values())
        plugins = {name: options.values() for name, options in self.plugins.items()}
        regions = {TABLE: {region.name: region.describe() for region in self.regions}}
        tables = {table: described[table] for table in TABLES}
        return tables | (regions if self.regions else {}) | plugins

    def _describe_maskers(self) -> dict[str, Any]:
        """The options of the maskers by key, without arguments that expressions give."""
        classes = list(dict.fromkeys(type(masker) for masker, _ in self.maskers))
        described: dict[str, Any] = {}
        for cls, keys in zip(classes, option_keys(classes), strict=True):
            for masker, term in self.maskers:
                if type(masker) is cls:
                    values = masker.options.values()
                    given = cls.argument if term.argument else ""
                    described |= {k: values[s.name] for k, s in keys.items() if s.name != given}
        return described


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
    """What is to be done: settings, inputs, an output, and how to treat what is there.

    Raises UsageError for a value that means nothing.
    """

    inputs: tuple[Path, ...]
    """Files and folders, as the user named them."""
    output: Path
    """A folder; or a file, if there is one input file and the suffix can be written."""
    settings: Settings
    """The components and their options."""
    device: str = "auto"
    """``auto``, ``cpu``, ``cuda`` or ``cuda:N``."""
    precision: str = "auto"
    """``auto``, ``full`` or ``half``: the number type of the model."""
    memory: int | None = None
    """Bytes of working memory; None takes half of what is free."""
    on_error: Literal["skip", "abort"] = "skip"
    """What happens after an item fails: the next one is done, or the job ends."""
    overwrite: bool = False
    """Replace outputs that other settings, other sources or other programs made."""
    redo: bool = False
    """Do everything again, whatever is there."""
    skip_existing: bool = False
    """Leave every output that exists as it is, whatever made it."""
    limit: int | None = None
    """Only so many inputs, the first ones; None takes all."""
    dry_run: bool = False
    """Look at each input and say what would be done; do nothing."""

    def __post_init__(self) -> None:
        if self.on_error not in ("skip", "abort"):
            raise UsageError(f"on_error is skip or abort, not {self.on_error!r}")
        if self.limit is not None and self.limit < 1:
            raise UsageError(f"limit is at least 1, or None for all inputs, not {self.limit}")
