"""Mask expressions: ``person+!sky``, ``box:10,20,300,200``, ``masks/``.

Terms are joined by ``+``: what any of them covers is painted. ``!`` before a term inverts it. A
term is the name of a masker, with an argument after ``:`` where the masker takes one, or a path.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import ReferenceType, ref

from stylepipe.components import Context, Masker
from stylepipe.errors import UsageError, suggest
from stylepipe.options import Options
from stylepipe.types import Batch, Frame, Info, Item

if TYPE_CHECKING:
    import torch

PATHS = "files"
"""The masker that reads a path."""
DEFAULT_AMOUNT = 0.7
"""How much of the photo ``--protect`` keeps where no amount is given."""


@dataclass(frozen=True)
class Term:
    """One part of an expression."""

    masker: str
    argument: str | None = None
    inverted: bool = False

    @property
    def what(self) -> tuple[str, str | None]:
        """The masker and its argument, inverted or not."""
        return self.masker, self.argument


Make = Callable[[Term], Masker]
"""Makes the masker of a term, not inverted yet."""


@dataclass(frozen=True)
class Protection:
    """What ``--protect`` asks for."""

    masker: Union
    amount: float
    """How much of the photo is kept where its mask is 1, 0 to 1."""


def terms_of(text: str, maskers: Mapping[str, type[Masker]], what: str) -> tuple[Term, ...]:
    """Read an expression; ``what`` names it in messages, such as ``--mask``.

    The name of a masker alone is that masker, whatever files there are; of all else, a path that
    exists is that path. Raises UsageError.
    """
    if text not in maskers and exists(text):
        return (Term(PATHS, text),)
    parts = text.split("+")
    terms, start = [], 0
    while start < len(parts):
        # a path may itself contain a +: the longest one that exists is meant
        ends = range(len(parts), start, -1)
        end = next((e for e in ends if exists(_plain("+".join(parts[start:e])))), start + 1)
        terms.append(_term("+".join(parts[start:end]), text, maskers, what))
        start = end
    return tuple(terms)


def _term(part: str, text: str, maskers: Mapping[str, type[Masker]], what: str) -> Term:
    inverted, plain = part.strip().startswith("!"), _plain(part)
    if not plain:
        raise UsageError(
            f"{what} takes masks joined by +, each a masker or a path, with ! before one to invert "
            f"it, not {text!r}"
        )
    if plain in maskers:
        return Term(plain, None, inverted)
    if exists(plain):
        return Term(PATHS, plain, inverted)
    name, colon, argument = plain.partition(":")
    if not colon or name not in maskers:
        raise UsageError(
            f"{what} {plain!r} is neither a file or folder that exists nor a masker"
            f"{suggest(name, maskers)}; known maskers: {', '.join(maskers) or 'none'}"
        )
    if not maskers[name].argument:
        raise UsageError(f"{what} {plain!r}: masker {name!r} takes no argument; write {name}")
    if not argument:
        raise UsageError(f"{what} {plain!r}: write an argument after the colon, or no colon")
    return Term(name, argument, inverted)


def _plain(part: str) -> str:
    return part.strip().removeprefix("!")


def exists(text: str) -> bool:
    """Whether a text is a path to something; no text raises anything, as pathlib would for some."""
    return os.path.exists(os.path.expanduser(text))  # noqa: PTH110, PTH111


def beside(folder: Path, text: str) -> str:
    """An expression of a preset in ``folder``, in which ``./x`` means a path in that folder."""
    return re.sub(r"(?:(?<=^)|(?<=[+!:]))(?=\.\.?/)", lambda _: f"{folder}/", text)


def amount_of(text: str) -> tuple[str, float]:
    """Read ``EXPRESSION[:AMOUNT]``. Raises UsageError for an amount that is not in [0, 1]."""
    expression, colon, tail = text.rpartition(":")
    try:
        amount = float(tail)
    except ValueError:
        return text, DEFAULT_AMOUNT
    if not colon or exists(text):
        return text, DEFAULT_AMOUNT
    if not 0 <= amount <= 1:
        raise UsageError(
            f"--protect {text!r} would keep {tail} of the photo: the number at the end is how "
            f"much, and an amount is between 0 and 1, as in {expression}:{DEFAULT_AMOUNT}"
        )
    return expression, amount


def masker_of(terms: Sequence[Term], text: str, make: Make) -> Masker:
    """The masker of an expression: the one it names, or a union. Raises UsageError."""
    if len(terms) == 1 and not terms[0].inverted:
        return make(terms[0])
    return union_of(terms, text, make)


def union_of(terms: Sequence[Term], text: str, make: Make) -> Union:
    """The masker of an expression without regions. Raises UsageError."""
    parts = [make(term) for term in terms]
    for part in parts:
        if part.regions is not None:
            raise UsageError(
                f"masker {part.name!r} divides the picture into regions, which can only be the "
                f"whole of --mask, and no part of {text!r}"
            )
    return Union(text, parts, terms)


class Joined(Masker):
    """A masker that asks others."""

    def __init__(self, name: str, parts: Sequence[Masker]) -> None:
        super().__init__(Options.build({}))
        self.name, self.parts = name, parts  # type: ignore[misc]
        self.by_file = any(part.by_file for part in parts)  # type: ignore[misc]
        self.matte = any(part.matte for part in parts)  # type: ignore[misc]
        self.warmup = max((part.warmup for part in parts), default=0)  # type: ignore[misc]

    def files(self) -> Iterable[Path]:
        return [path for part in self.parts for path in part.files()]

    def check(self) -> None:
        for part in self.parts:
            part.check()

    def check_item(self, item: Item, info: Info) -> None:
        for part in self.parts:
            part.check_item(item, info)

    def rehearse(self) -> None:
        for part in self.parts:
            part.rehearse()

    def open(self, context: Context) -> None:
        self._opened = ExitStack()
        for part in self.parts:
            self._opened.callback(part.close)
            part.open(context)

    def reset(self, item: Item) -> None:
        for part in self.parts:
            part.reset(item)

    def close(self) -> None:
        self._opened.close()


class Shared(Joined):
    """A masker that several expressions name: opened once, and asked once a batch."""

    def __init__(self, masker: Masker) -> None:
        super().__init__(masker.name, [masker])
        self.masker, self.regions = masker, masker.regions
        self.plugin = masker.plugin  # type: ignore[misc]
        self._users = 0
        self._asked: tuple[ReferenceType[Batch], torch.Tensor] | None = None
        """The last batch, and the answer."""

    def open(self, context: Context) -> None:
        self._users += 1
        if self._users == 1:
            super().open(context)

    def close(self) -> None:
        self._users -= 1
        if not self._users:
            super().close()

    def mask(self, batch: Batch, frames: Sequence[Frame]) -> torch.Tensor:
        if self._asked is None or self._asked[0]() is not batch:
            self._asked = None
            found = self.masker.mask(batch, frames)
            self._asked = ref(batch, self._forget), found
        return self._asked[1]

    def _forget(self, batch: ReferenceType[Batch]) -> None:
        self._asked = None


class Union(Joined):
    """Several masks as one: the largest of their values, some of them inverted first."""

    def __init__(self, text: str, parts: Sequence[Masker], terms: Sequence[Term]) -> None:
        super().__init__(text, parts)
        self.terms = terms

    def mask(self, batch: Batch, frames: Sequence[Frame]) -> torch.Tensor:
        """The union, N1HW. Raises ItemError, which names the part, for what cannot be a mask."""
        from stylepipe import guard

        count, _, height, width = batch.images.shape
        union = batch.images.new_zeros(count, 1, height, width).float()
        for part, term in zip(self.parts, self.terms, strict=True):
            mask = guard.mask(part.mask(batch, frames), union.shape, part)
            mask = mask.to(union).clamp(0, 1)
            union = union.maximum(1 - mask if term.inverted else mask)
        return union


def say_what_follows(masker: Masker | None, empty: str, full: str) -> None:
    """What a masker that is all of an expression says where it finds nothing, which leaves that
    empty or, inverted, full."""
    parts = masker.parts if isinstance(masker, Union) else [masker] if masker else []
    if len(parts) == 1 and not isinstance(parts[0], Shared):  # that one serves several purposes
        inverted = isinstance(masker, Union) and masker.terms[0].inverted
        parts[0].if_nothing = full if inverted else empty


class Everywhere(Masker):
    """Paints the whole picture."""

    name = "everywhere"

    def __init__(self) -> None:
        super().__init__(Options.build({}))

    def mask(self, batch: Batch, frames: Sequence[Frame]) -> torch.Tensor:
        return batch.images.new_ones(len(frames), 1, *batch.images.shape[2:])


def parts_of(masker: Masker | None) -> list[tuple[Masker, Term]]:
    """The maskers that a masker asks, each with its term."""
    if masker is None:
        return []
    parts, terms = [masker], [Term(masker.name)]
    if isinstance(masker, Union):
        parts, terms = [*masker.parts], [*masker.terms]
    plain = [part.masker if isinstance(part, Shared) else part for part in parts]
    return list(zip(plain, terms, strict=True))
