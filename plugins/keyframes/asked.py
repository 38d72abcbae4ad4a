"""Keyframes as users ask for them: ``13=painted.png``, ``2.5s=painted.png``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from stylepipe import UsageError, read_cutout, user_path

if TYPE_CHECKING:
    import numpy as np

_ASKED = re.compile(r"(\d{1,9})(\.\d{1,9})?(s?)=(.+)", re.DOTALL)
_ASPECT = 0.01
"""Share by which the proportions of keyframe and film may differ, as rounded sizes do."""


@dataclass(frozen=True)
class Keyframe:
    """A painted frame."""

    when: str
    """As it was written, such as ``13`` or ``2.5s``."""
    path: Path

    @property
    def number(self) -> int | None:
        """Number of the frame, as its exported picture has it; None where a time was given."""
        return None if self.when.endswith("s") else int(self.when)

    @property
    def seconds(self) -> Fraction:
        """Time in the film, where one was given."""
        return Fraction(self.when.removesuffix("s"))

    @cached_property
    def pixels(self) -> tuple[np.ndarray, np.ndarray | None]:
        """HxWx3 and the opacity HxW, uint8; None without one. Raises ItemError."""
        return read_cutout(self.path)


def parse(text: str) -> Keyframe:
    """Read ``FRAME=FILE`` or ``SECONDSs=FILE``. Raises UsageError."""
    found = _ASKED.fullmatch(text.strip())
    if found is None or (found[2] and not found[3]):
        raise UsageError(
            f"--keyframe takes the number of a frame, or a time, and its picture, such as "
            f"13=painted.png or 2.5s=painted.png, not {text!r}"
        )
    whole, part, unit, file = found.groups()
    return Keyframe(f"{int(whole)}{part or ''}{unit}", user_path(file))


def parse_all(texts: Iterable[str]) -> Sequence[Keyframe]:
    """Read several. Raises UsageError, also for two of the same frame."""
    keyframes = [parse(text) for text in texts]
    for place, keyframe in enumerate(keyframes):
        for other in keyframes[:place]:
            if other.when == keyframe.when:
                raise UsageError(
                    f"--keyframe {keyframe.when} is given twice, as {other.path} and as "
                    f"{keyframe.path}; leave one out"
                )
    return keyframes


def misfit(keyframe: Keyframe, width: int, height: int) -> str | None:
    """Why the picture cannot be of a film of this size; None if it can. Raises ItemError."""
    own_height, own_width = keyframe.pixels[0].shape[:2]
    if abs(own_width * height / (own_height * width) - 1) <= _ASPECT:
        return None
    return (
        f"{keyframe.path} has {own_width}x{own_height} pixels and the film {width}x{height}, which "
        "is another shape; crop or paint it in that shape"
    )
