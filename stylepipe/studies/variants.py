"""Variants of settings: every combination of the values that a user wants to see."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylepipe.errors import UsageError, suggest

if TYPE_CHECKING:
    from stylepipe.components import Training
    from stylepipe.job import Settings

Tables = dict[str, dict[str, Any]]
TRAIN = "train"
"""The table of a training's options, which no preset has."""
_PLAIN = ("style", "train.style", "use", "preset")
"""Dimensions whose values speak for themselves in a label."""
MOST = 2000
"""Variants of a study; more are a mistake in what was typed, or more than anyone looks at."""


@dataclass(frozen=True)
class Dimension:
    """One option, and the values that it takes in turn."""

    table: str
    key: str
    values: tuple[Any, ...]
    """Texts as typed, or lists of them."""

    @property
    def name(self) -> str:
        """How labels and columns call it: ``strength`` of the stylizer, ``mask.feather``."""
        return self.key if self.table == "stylizer" else f"{self.table}.{self.key}"


@dataclass(frozen=True)
class Variant:
    """One combination of values."""

    values: dict[str, str]
    """The value of each dimension, as it is shown, by the dimension's name."""
    tables: Tables
    """The overrides of a preset that it stands for."""

    @property
    def label(self) -> str:
        """What a caption says of it."""
        return ", ".join(
            value if name in _PLAIN else f"{name} {value}" for name, value in self.values.items()
        )

    @property
    def trained(self) -> Variant:
        """What of it is trained: the options of a training alone."""
        own = {name: v for name, v in self.values.items() if name.startswith(f"{TRAIN}.")}
        return Variant(own, {TRAIN: self.tables.get(TRAIN, {})})


@dataclass(frozen=True)
class Trial:
    """A variant, and what is run for it."""

    variant: Variant
    settings: Settings
    """Where something is trained first, they do not name its file yet."""
    training: Training | None = None
    """What is trained first, into ``options.output``."""
    with_file: Callable[[], Settings] | None = None
    """The settings that name the file, once it is there."""


def file_name(values: Mapping[str, str], identity: Any) -> str:
    """A name that says these values, and is another for another identity, of plain values."""
    words = "_".join(
        Path(value).stem if name in ("style", "train.style") else f"{name}-{value}"
        for name, value in values.items()
    )
    plain = re.sub(r"[^\w.+-]+", "-", words)[:80].strip("-.") or "all"
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return f"{plain}-{digest[:6]}"


def dimension(text: str, known: Collection[str]) -> Dimension:
    """The dimension of ``TABLE.KEY=VALUE,VALUE``; ``[a,b],c`` are a list and a value.

    ``known`` are the tables there are. Raises UsageError for a text that is none.
    """
    path, equals, values = text.partition("=")
    table, dot, key = path.strip().partition(".")
    if not (equals and dot and key and values.strip()):
        raise UsageError(
            f"--vary takes TABLE.KEY=VALUE,VALUE..., such as stylizer.strength=0.5,1, not {text!r}"
        )
    if table not in known:
        raise UsageError(
            f"--vary {text}: unknown table {table!r}{suggest(table, known)}; "
            f"known: {', '.join(known)}"
        )
    found = tuple(_listed(text, values))
    if twice := next((v for i, v in enumerate(found) if v in found[:i]), None):
        raise UsageError(f"--vary {text}: {_shown(twice)} stands there twice")
    return Dimension(table, key.replace("-", "_"), found)


def _listed(text: str, values: str) -> Iterable[Any]:
    """The values between commas; brackets hold a list together."""
    rest = values.strip()
    while rest:
        if rest.startswith("["):
            inner, closed, rest = rest[1:].partition("]")
            if not closed or (rest.strip() and not rest.lstrip().startswith(",")):
                raise UsageError(f"--vary {text}: a list is written [A,B], and closed by ]")
            yield [word.strip() for word in inner.split(",") if word.strip()]
            rest, more = rest.lstrip()[1:].lstrip(), bool(rest.strip())
        else:
            value, comma, rest = rest.partition(",")
            rest, more = rest.lstrip(), bool(comma)
            if not value.strip():
                raise UsageError(f"--vary {text}: nothing stands between two commas")
            yield value.strip()
        if more and not rest:
            raise UsageError(f"--vary {text}: nothing stands behind the last comma")


def grid(dimensions: Sequence[Dimension]) -> list[Variant]:
    """Every combination, the last dimension changing fastest; one variant without dimensions.

    Raises UsageError for a key that is varied twice, or too many variants.
    """
    names = [d.name for d in dimensions]
    if twice := next((name for i, name in enumerate(names) if name in names[:i]), None):
        raise UsageError(f"{twice} is varied twice; put all its values into one --vary")
    count = 1
    for d in dimensions:
        count *= len(d.values)
    if count > MOST:
        raise UsageError(f"these are {count} variants, of at most {MOST}; vary less at a time")
    variants = []
    for values in product(*(d.values for d in dimensions)):
        tables: Tables = {}
        for d, value in zip(dimensions, values, strict=True):
            tables.setdefault(d.table, {})[d.key] = value
        shown = map(_shown, values)
        variants.append(Variant(dict(zip(names, shown, strict=True)), tables))
    return variants


def _shown(value: Any) -> str:
    """As labels show it: files by their names."""
    texts = value if isinstance(value, list) else [str(value)]
    return " + ".join(Path(text).name if "/" in text else text for text in texts)
