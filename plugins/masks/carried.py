"""Masks and maps that are given for some frames of a film, carried to those after them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, cast

from stylepipe import Context, Frame, Info, Item, ItemError, NoMask
from stylepipe.mask_files import MaskFiles

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from stylepipe.temporal.dis import Search

    Planes = NDArray[np.float32]

HELP = (
    "Films: where only some frames have a mask, or a map, carry it along the motion to the frames "
    "after it, up to the next one or a cut."
)
_SIDE = 640
"""Longest side in pixels at which motion is looked for."""
_TRUSTED = 0.8
"""Trust in the motion from which it is followed; elsewhere, and a pixel around, the picture's edges
are."""
_REACH = 0.12
"""Part of the short side over which pixels of like colors tell what an untrusted one belongs to."""
_LEAST = 1e-3
"""How much untrusted pixels count themselves, where there are no others."""
_EPS = 1e-4
"""Variance of the colors, in [0, 1], from which an edge of the picture is one of the mask."""
_SLACK = 0.15
"""What colors say nearer to 0 or 1 than this is 0 or 1: faint traces would be carried on."""


@dataclass(frozen=True)
class _State:
    """What a frame of a film was given, or what was carried to it."""

    item: Item
    given: int
    """The number of the file that it comes from."""
    frame: Frame
    planes: Planes | None
    """K H W in [0, 1]; None after a cut."""


Read = Callable[["Path", Item, Frame], "Planes"]
"""What a file says of a frame, K H W in [0, 1], as large as the frame. Raises ItemError."""


class Drawn:
    """What is drawn over the pictures of a job, in files: a file for each, or carried from frame to
    frame."""

    def __init__(self, files: MaskFiles, what: str, read: Read, carry: bool) -> None:
        """``what``: "mask" or the like, for messages. Nothing is looked for yet."""
        self.files, self._what, self._read, self._carry = files, what, read, carry
        self._carrier: Carrier | None = None

    def check_item(self, item: Item, info: Info) -> None:
        """Check quickly that there is one for an item. Raises ItemError; NoMask for none at all."""
        if not self._carry:
            self.files.check_item(item, info)
            return
        if info.kind != "video":
            raise ItemError(
                f"--mask-carry carries a {self._what} from frame to frame of a film, and this is a "
                "photo; leave it out, or paint the photos apart"
            )
        if self.files.given(item) is None:
            folder = item.relative.with_suffix("")
            raise ItemError(
                f"--mask-carry takes a folder with a {self._what} for some frames of the film, "
                f"such as {folder / '000001.png'}, and {self.files.all(item)[0]} is one for all "
                "of them; leave it out, or make such a folder"
            )
        self.files.check_frames(item, info)

    def open(self, context: Context) -> None:
        """Ready to read."""
        if self._carry:
            self._carrier = Carrier(self.files, self._what, self._read, context.frames)

    def close(self) -> None:
        """Release the frames that are kept."""
        self._carrier = None

    def planes(self, item: Item, frame: Frame) -> Planes:
        """What is drawn over a frame, K H W in [0, 1]. Raises ItemError, NoMask."""
        if self._carrier is not None:
            return self._carrier.planes(item, frame)
        return self._read(self.files.find(item, frame.index, frame.name), item, frame)


class Carrier:
    """The planes of the frames of films: those in files, and in between those carried to them.

    The planes of a frame follow from the frames since the last file alone. Where these were not
    seen, because a film is resumed or only some frames are asked for, they are read once more.
    """

    def __init__(
        self,
        files: MaskFiles,
        what: str,
        read: Read,
        frames: Callable[..., Iterator[Frame]],
    ) -> None:
        """``frames`` is that of the context."""
        self._files, self._what, self._read, self._frames = files, what, read, frames
        # A temporal method may ask for the frame before once more.
        self._known: deque[_State] = deque(maxlen=2)

    def planes(self, item: Item, frame: Frame) -> Planes:
        """K H W in [0, 1], as large as the frame. Raises ItemError; NoMask before the first file,
        and from a cut to the next one."""
        for known in self._known:
            if known.item == item and known.frame.index == frame.index:
                return self._of(known)
        number, given = self._files.number(item, frame.index, frame.name), self._given(item)
        last = max((n for n in given if n <= number), default=None)
        if last is None:
            raise NoMask(
                f"frame {frame.number} has no {self._what}, and there is none before it; the first "
                f"is {next(iter(given.values()))}"
            )
        state = self._reached(item, frame, last, number)
        self._known.append(state)
        return self._of(state)

    def _given(self, item: Item) -> dict[int, Path]:
        given = self._files.given(item)
        assert given is not None  # as was checked of the item
        return given

    def _of(self, state: _State) -> Planes:
        if state.planes is None:
            raise NoMask(
                f"frame {state.frame.number} has no {self._what}, and a cut lies between it and "
                f"{self._given(state.item)[state.given]}, the last one before it"
            )
        return state.planes

    def _reached(self, item: Item, frame: Frame, last: int, number: int) -> _State:
        """The state of a frame, carried from the file of that number. Raises NoMask."""
        before = [s for s in self._known if s.item == item and s.given == last]
        before = [s for s in before if s.frame.index < frame.index]
        state = max(before, key=lambda s: s.frame.index, default=None)
        if number == last:
            return self._begun(item, frame, last)
        if state is not None and (state.frame.index == frame.index - 1 or state.planes is None):
            return self._next(state, frame)
        # Numbers may have gaps: the file's frame lies there or later.
        start = max(0, frame.index - (number - last)) if state is None else state.frame.index + 1
        with closing(cast("Generator[Frame]", self._frames(item, start))) as frames:
            for other in frames:
                if state is not None:
                    state = self._next(state, other)
                elif self._files.number(item, other.index, other.name) == last:
                    state = self._begun(item, other, last)
                if other.index == frame.index:
                    break
        if state is None or state.frame.index != frame.index:
            raise NoMask(
                f"frame {frame.number} has no {self._what}, and {self._given(item)[last]}, the "
                "last one before it, is of a frame that is not among those to be painted"
            )
        return state

    def _begun(self, item: Item, frame: Frame, number: int) -> _State:
        planes = self._read(self._given(item)[number], item, frame)
        return _State(item, number, frame, planes)

    def _next(self, state: _State, frame: Frame) -> _State:
        from stylepipe.temporal.scenes import is_cut

        planes, before = state.planes, state.frame
        if planes is not None:
            alike = frame.pixels.shape == before.pixels.shape
            cut = not alike or is_cut(frame.pixels, before.pixels)
            planes = None if cut else _moved(planes, before, frame, self._flow)
        return _State(state.item, state.given, frame, planes)

    @cached_property
    def _flow(self) -> Search:
        from stylepipe.temporal.dis import Search

        return Search()


def _moved(planes: Planes, before: Frame, frame: Frame, flow: Search) -> Planes:
    """The planes of a frame, K H W, moved to the one after it, of the same scene."""
    import cv2
    import numpy as np

    from stylepipe.temporal.guide import trusted_flow
    from stylepipe.temporal.warp import advect, enlarge, settle, shrink

    height, width = planes.shape[1:]
    now, then = (Frame(shrink(picture.pixels, _SIDE)) for picture in (frame, before))
    way, trust = trusted_flow(now, then, flow)
    way = enlarge(settle(way), width, height)
    # What belongs to no plane is one more, so that they all sum to 1 on the way.
    whole = [*planes, 1 - planes.sum(0)] if len(planes) > 1 else planes
    moved = np.stack([advect(plane, way) for plane in whole])
    trusted = (trust >= _TRUSTED).astype(np.float32)
    known = cast("NDArray[np.float32]", cv2.erode(trusted, np.ones((3, 3), np.uint8)))
    if not known.all():
        like = _by_colors(moved, frame, now, known)
        weight = cv2.resize(known, (width, height), interpolation=cv2.INTER_LINEAR)
        moved = like + weight * (moved - like)
    if len(planes) > 1:
        moved /= np.maximum(moved.sum(0), _LEAST)
    return cast("Planes", moved[: len(planes)])


def _by_colors(planes: Planes, frame: Frame, small: Frame, known: NDArray[np.float32]) -> Planes:
    """What the colors of a frame say of its planes K H W in [0, 1], as in pixels around that are
    known, h w, in a small copy of it (as a guided filter does)."""
    import cv2
    import numpy as np
    import torch

    from stylepipe.nst.guided import apply_affine, local_affine
    from stylepipe.temporal.warp import eight_bits

    guide, whole = (
        torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
        for pixels in (small.pixels, eight_bits(frame.pixels))
    )
    size = known.shape[::-1]
    reduced = np.stack([cv2.resize(p, size, interpolation=cv2.INTER_AREA) for p in planes])
    weights = torch.from_numpy(known)[None, None].clamp_min(_LEAST)
    radius = max(2, round(_REACH * min(size)))
    with torch.no_grad():
        found = local_affine(guide, torch.from_numpy(reduced)[None], radius, _EPS, weights)
        like = apply_affine(found, whole)[0]
    return cast("Planes", like.sub_(_SLACK).div_(1 - 2 * _SLACK).clamp_(0, 1).numpy())
