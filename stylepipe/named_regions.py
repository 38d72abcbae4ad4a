"""Regions that masks name: ``--region person=keep --region rest=great-wave:0.8``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from stylepipe.components import Stylizer
from stylepipe.errors import UsageError
from stylepipe.masking import Joined, Union, exists
from stylepipe.texts import shown
from stylepipe.types import Batch, Frame

if TYPE_CHECKING:
    import torch

TABLE = "region"
"""The table of presets that holds a table for each region."""
REST = "rest"
"""The region of all that is in no other."""
NO_REGIONS = "none"
"""In the table, it drops the regions of weaker layers."""


@dataclass(frozen=True)
class Region:
    """A region, and how it is painted."""

    name: str
    expression: str
    """The mask that says where it is, or ``rest``."""
    masker: Union | None
    """None: it is what no other region covers."""
    stylizer: Stylizer | None
    """With its styles in its options, and strength 1; None: the photo is kept."""
    strength: float
    """How much of the painting shows, 0 to 1."""

    def describe(self) -> dict[str, Any]:
        """The region as plain values, as a preset has them."""
        if self.stylizer is None:
            return {"mask": self.expression, "keep": True}
        options = self.stylizer.options.values() | {"strength": self.strength}
        return {"mask": self.expression, "use": self.stylizer.name, **options}


def keys_of(name: str, value: Any) -> dict[str, Any]:
    """The keys of a region from its table, or from ``keep`` or ``STYLE[:STRENGTH]``.

    Raises UsageError.
    """
    if isinstance(value, Mapping):
        keys = {key.replace("-", "_"): v for key, v in value.items()}
    else:
        keys = _keys_of_text(name, value)
    keep = keys.pop("keep", False)
    if not isinstance(keep, bool):
        raise UsageError(f"keep of region {name!r} is true or false, not {shown(keep)}")
    if keep:
        if others := sorted(keys.keys() - {"mask"}):
            raise UsageError(f"region {name!r} is kept, so it has no {others[0]}: leave one out")
        return {**keys, "keep": True}
    return keys


def _keys_of_text(name: str, text: Any) -> dict[str, Any]:
    if not isinstance(text, str) or not text:
        raise UsageError(
            f"region {name!r} has no style: write {name}=STYLE, {name}=STYLE:STRENGTH or "
            f"{name}=keep, not {shown(text)}"
        )
    style, colon, tail = text.rpartition(":")
    try:
        strength = float(tail)
    except ValueError:
        style, colon = text, ""
    if not colon or not style or exists(text):
        return {"keep": True} if text == "keep" else {"style": text}
    if style == "keep":
        raise UsageError(f"region {name!r} is kept, so it has no strength: write {name}=keep")
    return {"style": style, "strength": checked_strength(name, strength)}


def checked_strength(name: str, strength: float) -> float:
    """The strength of a region. Raises UsageError if it is not in [0, 1]."""
    if not 0 <= strength <= 1:
        raise UsageError(f"the strength of region {name!r} is between 0 and 1, not {strength:g}")
    return strength


def labels(regions: Sequence[Region]) -> tuple[str, ...]:
    """Names of regions for ``STYLE@REGION``, which takes letters, digits, ``-``, ``_``, ``#``."""
    found: list[str] = []
    for region in regions:
        plain = re.sub(r"[^\w#-]+", "-", region.name)
        numbered = (f"{plain}-{number}" for number in count(2))
        found.append(plain if plain not in found else next(n for n in numbered if n not in found))
    return tuple(found)


class RegionMasker(Joined):
    """The planes of the regions that are painted; of those that overlap the first one wins."""

    def __init__(self, regions: Sequence[Region]) -> None:
        super().__init__("regions", [region.masker for region in regions if region.masker])
        self._all = sorted(regions, key=lambda region: region.masker is None)
        self._painted = [region for region in regions if region.stylizer]
        self.regions = labels(self._painted)
        self.strengths = tuple(region.strength for region in self._painted)
        """How much of the painting shows in each of ``regions``; the engine mixes by it."""

    def mask(self, batch: Batch, frames: Sequence[Frame]) -> torch.Tensor:
        """NKHW: what each region has of what those before it leave; nothing where it has no
        strength."""
        from stylepipe import guard

        number, _, height, width = batch.images.shape
        left = batch.images.new_ones(number, 1, height, width).float()
        planes = left.new_zeros(number, len(self._painted), height, width)
        for region in self._all:
            plane = left
            if region.masker is not None:
                found = guard.mask(region.masker.mask(batch, frames), left.shape, region.masker)
                plane = left * found.to(left).clamp(0, 1)
            left = left - plane
            if region.stylizer and region.strength:
                planes[:, self._painted.index(region)] = plane[:, 0]
        return planes
