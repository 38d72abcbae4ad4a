"""What a job does with damaged files: one rule for photos and films, whoever reads them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from stylepipe.errors import DamageError, sentence
from stylepipe.types import Outcome

Rule = Literal["warn", "fail", "skip"]
_MOST_TOLD = 2
"""Damages of one file that are spelled out."""

Damaged = Callable[[str], None]
"""What readers call for each part that is torn or missing; see :attr:`Context.damaged`."""


def refuse(what: str) -> None:
    """The rule where no job has set one: a damaged file is not read. Raises DamageError."""
    raise DamageError(what)


class DamageRule:
    """Applies the job's rule to what readers report of the file in hand, and remembers it.

    All but :meth:`ended_by` is for the reading thread only, which reads one file after another.
    """

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._told: list[str] = []

    def begin(self) -> None:
        """Another file is in hand."""
        self._told = []

    def damaged(self, what: str) -> None:
        """Take note of damage. Raises DamageError unless what decodes is to be painted."""
        if self.rule == "fail":
            raise DamageError(f"{what} (--on-damage warn paints what is left)")
        if self.rule == "skip":
            raise DamageError(what)
        if what not in self._told:
            self._told.append(what)

    def summary(self) -> str:
        """One line about the file in hand; empty if it is whole."""
        more = len(self._told) - _MOST_TOLD
        return "; ".join(self._told[:_MOST_TOLD]) + (f"; and {more} more" if more > 0 else "")

    def ended_by(self, error: BaseException) -> Outcome:
        """How an item ends by an error: left out where damaged files are to be, else failed."""
        words = sentence(error)
        damage = words if isinstance(error, DamageError) else ""
        left_out = bool(damage) and self.rule == "skip"
        return Outcome("skipped" if left_out else "failed", words, damage=damage)
