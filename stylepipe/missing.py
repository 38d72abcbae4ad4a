"""What happens to items without a mask: ``--mask-missing paint|keep|fail``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Literal

from stylepipe.components import Component
from stylepipe.errors import NoMask
from stylepipe.types import Info, Item

Rule = Literal["paint", "keep", "fail"]
_DONE = {"paint": "painted whole", "keep": "kept as it is"}


class MissingRule:
    """The rule of a job, which reports each item it settles once. Any thread may ask it."""

    def __init__(self, rule: Rule, log: Callable[[str], None]) -> None:
        self._rule, self._log = rule, log
        self._reported: set[Item] = set()
        self._lock = threading.Lock()

    def check(self, components: Iterable[Component], item: Item, info: Info) -> None:
        """Ask each of them whether the item can be done. Raises ItemError."""
        for component in components:
            try:
                component.check_item(item, info)
            except NoMask as error:
                self.paints(item, error)

    def paints(self, item: Item, error: NoMask) -> bool:
        """Whether all of an item without a mask is painted, or none. Raises NoMask if it fails."""
        if self._rule == "fail":
            raise NoMask(
                f"{error}; --mask-missing paint paints all of such a picture, keep keeps it"
            ) from error
        with self._lock:
            known = item in self._reported
            self._reported.add(item)
        if not known:
            done = _DONE[self._rule]
            self._log(f"{item.source}: has no mask: {done} (--mask-missing {self._rule})")
        return self._rule == "paint"
