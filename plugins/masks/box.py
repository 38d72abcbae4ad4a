"""A rectangle, in pixels or in percent of the picture."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from stylepipe import Frame, Info, Item, ItemError, Options, UsageError, option

from .planes import PlaneMasker

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_NUMBER = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(%?)")
HELP = (
    "X,Y,WIDTH,HEIGHT of the box in pixels from the top left corner, or in percent of the picture: "
    "10%,20%,50%,50%."
)


@dataclass(frozen=True)
class Box:
    """Where a box lies, as it was written; each number may be in percent."""

    text: str
    x: tuple[float, bool]
    y: tuple[float, bool]
    width: tuple[float, bool]
    height: tuple[float, bool]

    @classmethod
    def parse(cls, text: str) -> Box:
        """Raises UsageError if this is not a box, or lies outside any picture."""
        found = [_NUMBER.fullmatch(part.strip()) for part in text.split(",")]
        numbers = [(float(match[1]), bool(match[2])) for match in found if match]
        if len(found) != 4 or len(numbers) != 4:
            raise UsageError(
                f"a box is X,Y,WIDTH,HEIGHT in pixels or percent, such as 10,20,300,200 or "
                f"10%,20%,50%,50%, not {text!r}"
            )
        box = cls(text, *numbers)
        if not (box.width[0] and box.height[0]):
            raise UsageError(f"the box {text} is empty: give it a width and a height")
        for start, length in ((box.x, box.width), (box.y, box.height)):
            if start[1] and start[0] + (length[0] if length[1] else 0) > 100:
                raise UsageError(f"the box {text} reaches beyond 100 % of the picture")
        return box

    def rows_and_columns(self, height: int, width: int) -> tuple[slice, slice]:
        """The pixels of a picture in it. Raises ItemError where it reaches beyond the picture."""
        rows, columns = _span(self.y, self.height, height), _span(self.x, self.width, width)
        if rows.stop > height or columns.stop > width:
            raise ItemError(
                f"the box {self.text} reaches beyond the picture, which is {width}x{height}; write "
                "it in percent for pictures of several sizes"
            )
        return rows, columns


def _span(start: tuple[float, bool], length: tuple[float, bool], side: int) -> slice:
    def pixels(value: tuple[float, bool]) -> float:
        return value[0] * side / 100 if value[1] else value[0]

    first = round(pixels(start))
    stop = max(first + 1, round(pixels(start) + pixels(length)))
    if start[1] and first == side:  # as the last percent of a tiny picture does
        first, stop = side - 1, side
    return slice(first, stop)


class BoxOptions(Options):
    box: str | None = option(None, HELP, metavar="X,Y,W,H")

    def check(self) -> None:
        """Raises UsageError if this is not a box."""
        if self.box is not None:
            Box.parse(self.box)


class BoxMasker(PlaneMasker):
    """A box, such as box:10,20,300,200 or box:10%,20%,50%,50%."""

    name = "box"
    argument: ClassVar[str] = "box"
    Options: ClassVar[type[Options]] = BoxOptions

    def check(self) -> None:
        """Raises UsageError where no box was given."""
        if self.options.box is None:
            raise UsageError("the mask 'box' needs a box: --mask box --mask-box 10%,20%,50%,50%")

    def check_item(self, item: Item, info: Info) -> None:
        """Raises ItemError where the box reaches beyond the picture."""
        Box.parse(self.options.box).rows_and_columns(info.height, info.width)

    def planes(self, item: Item, frame: Frame) -> NDArray[np.float32]:
        import numpy as np

        planes = np.zeros((1, *frame.pixels.shape[:2]), np.float32)
        planes[0][Box.parse(self.options.box).rows_and_columns(*planes.shape[1:])] = 1
        return planes
