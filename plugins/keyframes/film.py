"""A film painted from its keyframes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING

from stylepipe import Context, Frame, Item, ItemError

from .asked import Keyframe
from .shots import Shot

if TYPE_CHECKING:
    import numpy as np

    from .carrying import Carried, Carrier


class PaintedFilm:
    """Paints the frames of one film, each from the keyframes on either side of it.

    What is made of a frame follows from the film and the keyframes alone, so that a film that
    was interrupted resumes from there. Frames that are asked for in order are quick.
    """

    def __init__(
        self,
        item: Item,
        shots: Sequence[Shot],
        keyframes: Mapping[int, Keyframe],
        context: Context,
        memory: int,
        chosen: Collection[int] | None = None,
    ) -> None:
        """``memory``: bytes for the frames between two keyframes, which are held. ``chosen``: the
        indices of the only frames that will be asked for.
        """
        from stylepipe.temporal.dis import Search

        self.item, self._shots, self._keyframes = item, shots, keyframes
        self._context, self._memory, self._flow = context, memory, Search()
        self._opaque = all(keyframe.pixels[1] is None for keyframe in keyframes.values())
        self._ahead: Iterator[tuple[int, np.ndarray]] = iter(())
        self._chosen = chosen
        self._range = range(0)
        """Indices of the frames that ``_ahead`` still yields."""

    def painted(self, index: int, width: int, height: int) -> np.ndarray | None:
        """A frame, HxWxC float32 in [0, 255]: RGB, or RGB times opacity and the opacity.

        None where its shot has no keyframe. Raises ItemError.
        """
        shot = next(shot for shot in self._shots if shot.first <= index <= shot.last)
        if not shot.keys:
            return None
        if index in shot.keys:
            return self._picture(index, width, height)
        if index not in self._range:
            self._begin(shot, index)
        found, picture = next(pair for pair in self._ahead if pair[0] == index)
        self._range = range(found + 1, self._range.stop)
        return picture

    def _begin(self, shot: Shot, index: int) -> None:
        """Prepare to paint the frames between two keyframes, or at the start or end of the shot."""
        before, after = shot.around(index)
        first = shot.first if before is None else before + 1
        self._range = range(first, shot.last + 1 if after is None else after)
        if after is None:
            assert before is not None
            self._ahead = self._after(before, shot.last)
        else:
            self._ahead = self._until(before, first, after)

    def _after(self, key: int, last: int) -> Iterator[tuple[int, np.ndarray]]:
        """The frames from the last keyframe of a shot on."""
        frames = self._frames(key, last)
        carrier = self._carrier(next(frames))
        for frame in frames:
            if self._wanted(frame):
                yield frame.index, carrier.carry(frame).picture
            else:
                carrier.follow(frame)

    def _until(self, before: int | None, first: int, key: int) -> Iterator[tuple[int, np.ndarray]]:
        """The frames before a keyframe, mixed with what is carried from the one ``before``."""
        from .carrying import mixed

        held = list(self._held(first if before is None else before, key))
        start = None if before is None else held.pop(0)
        after = self._carried_back(held)
        if start is None or before is None:
            yield from ((index, after[index].picture) for index in sorted(after))
            return
        carrier = self._carrier(start)
        for frame in held[:-1]:
            if not self._wanted(frame):
                carrier.follow(frame)
                continue
            time = (frame.index - before) / (key - before)
            yield frame.index, mixed(carrier.carry(frame), after.pop(frame.index), time)

    def _carried_back(self, held: Sequence[Frame]) -> dict[int, Carried]:
        """What the last of the frames, a keyframe, makes of those before it."""
        carrier, when = self._carrier(held[-1]), self._keyframes[held[-1].index].when
        found: dict[int, Carried] = {}
        for place, frame in enumerate(reversed(held[:-1]), 1):
            if not self._wanted(frame):
                carrier.follow(frame)
                continue
            found[frame.index] = carrier.carry(frame)
            share = place / (len(held) - 1)
            self._context.progress(share, f"frame {frame.number} from keyframe {when}")
        return found

    def _wanted(self, frame: Frame) -> bool:
        return self._chosen is None or frame.index in self._chosen

    def _carrier(self, frame: Frame) -> Carrier:
        from .carrying import Carrier

        height, width = frame.pixels.shape[:2]
        return Carrier(frame, self._picture(frame.index, width, height), self._flow)

    def _frames(self, first: int, last: int) -> Iterator[Frame]:
        """The frames of the film, of 8 bits."""
        from stylepipe.temporal.warp import eight_bits

        read = self._context.frames(self.item, first)
        for frame in takewhile(lambda frame: frame.index <= last, read):
            yield Frame(eight_bits(frame.pixels), index=frame.index, name=frame.name)

    def _held(self, first: int, key: int) -> Iterator[Frame]:
        """The frames up to a keyframe. Raises ItemError where the memory does not hold them."""
        room = self._memory
        for frame in self._frames(first, key):
            room -= 3 * frame.pixels.nbytes  # with what is carried back to it
            if room < 0:
                raise ItemError(
                    f"{key - first} frames before keyframe {self._keyframes[key].when} do not fit "
                    f"into the memory, which holds {frame.index - first}; paint another keyframe "
                    "between them, or pass a larger --memory"
                )
            yield frame

    def _picture(self, index: int, width: int, height: int) -> np.ndarray:
        """The painted picture of a keyframe, in the film's size, as :meth:`painted` gives it."""
        import numpy as np

        pixels, alpha = self._keyframes[index].pixels
        picture = _scaled(pixels, width, height)
        if self._opaque:
            return picture.astype(np.float32)
        whole = np.full(pixels.shape[:2], 255, np.uint8) if alpha is None else alpha
        opacity = _scaled(whole, width, height)[..., None].astype(np.float32)
        return np.dstack([picture * (opacity / 255), opacity])


def _scaled(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    import cv2

    if picture.shape[:2] == (height, width):
        return picture
    kind = cv2.INTER_AREA if picture.shape[0] > height else cv2.INTER_CUBIC
    return cv2.resize(picture, (width, height), interpolation=kind)
