"""When the pictures of a film are shown: what its packets say, and what has to be filled in."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from stylepipe.errors import ItemError
from stylepipe.media.pyav import MILLISECOND, base_of, fraction
from stylepipe.media.timeline import Joins, Timeline
from stylepipe.media.words import spell

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

_SAMPLE = 256
"""Pictures whose times tell the rate."""
_REORDERED = 32
"""Pictures read beyond those, as B-frames come after what is shown later; H.264 allows 16."""
_REGULAR = 0.9
"""Share of equal intervals from which on the rate is constant, and the rest are lost frames."""
_STEP_BACK = 1
"""Seconds by which a single time may fall back and be nudged."""
_MAX_RATE = 300
"""Frames a second; a raw stream that declares more names the fineness of a clock."""
_LEAP = 30 * 3600
"""Seconds that no film waits for its next picture; FFmpeg's figure."""
_NUDGED = 3
"""Pictures in a row out of order at which it is the clock that is wrong, and not their times."""


def is_live(container: InputContainer) -> bool:
    """Whether the format is made for broadcasting: cut anywhere, its clock starting anywhere."""
    from av.format import Flags

    discontinuous: Any = Flags.ts_discont.value
    return bool(container.format.flags & discontinuous)


def is_raw(container: InputContainer) -> bool:
    """Whether the format is pictures in a row without any times."""
    from av.format import Flags

    untimed: Any = Flags.no_timestamps.value
    return bool(container.format.flags & untimed)


def is_unordered(container: InputContainer) -> bool:
    """Whether the format tells when pictures are decoded, but not when they are shown."""
    return container.format.name == "avi"


@dataclass(frozen=True)
class Survey:
    """What the packets of a film say about its time, before any of them is decoded."""

    timeline: Timeline
    rate: Fraction | None
    """Frames a second on average; None where nothing tells."""
    steady: bool
    """Whether frames follow each other at one interval."""
    begin: Fraction
    """Time of the first picture, in seconds."""
    end: Fraction | None
    """When the last picture ends; None unless the packets were read to the end."""


def survey(container: InputContainer, stream: VideoStream) -> Survey:
    """Go through the packets: all of a broadcast format's, else the first few hundred pictures'.

    Where reading fails, what came before it counts; decoding will name the damage.
    """
    import av

    live, stored = is_live(container), is_unordered(container)
    joins = Joins(stream.index, 1 / (fraction(stream.guessed_rate) or Fraction(25)))
    seen: list[tuple[int, Fraction]] = []  # the first pictures' places and times
    untimed = 0  # leading pictures, B-frames among them that come after the first with a time
    whole = False
    base = base_of(stream)
    try:
        for packet in container.demux([stream, *(container.streams.audio if live else ())]):
            place = joins.see(packet) if live else 0
            if packet.stream.index != stream.index or not packet.size or packet.is_discard:
                continue
            stamp = packet.dts if packet.pts is None or stored else packet.pts
            if stamp is None:
                if untimed or not seen:
                    untimed += len(seen) < _REORDERED
            elif len(seen) < _SAMPLE + _REORDERED:
                seen.append((place, stamp * base))
            elif not live:
                break
        else:
            whole = True
    except (av.FFmpegError, OSError):
        whole = False
    timeline, end = joins.timeline()
    times = sorted(time + timeline.shift(place) for place, time in seen)[:_SAMPLE]
    rate, steady = _rate(container, stream, _Pace.of(times, base))
    begin = times[0] if times else Fraction(0)
    if times and rate and not is_raw(container):
        begin -= round(untimed / rate / base) * base
    return Survey(timeline, rate, steady, begin, end if live and whole else None)


@dataclass(frozen=True)
class _Pace:
    """How pictures follow one another; ``mean`` interval in seconds."""

    mean: Fraction | None
    steady: bool

    @classmethod
    def of(cls, times: Sequence[Fraction], tick: Fraction) -> _Pace:
        """From times in order, of a clock of such ticks. A few frames may be missing."""
        steps = sorted(b - a for a, b in pairwise(times) if b > a)
        if not steps:
            return cls(None, True)
        usual, slack = steps[len(steps) // 2], min(tick, MILLISECOND)  # coarse clocks round
        regular = [s for s in steps if usual * 2 / 3 - slack < s < usual * 3 / 2 + slack]
        steady = len(regular) >= _REGULAR * len(steps)
        counted = regular if steady else steps
        return cls(sum(counted, Fraction(0)) / len(counted), steady)


def _rate(
    container: InputContainer, stream: VideoStream, pace: _Pace
) -> tuple[Fraction | None, bool]:
    """The rate that the times bear out, and whether it is constant.

    What files and codecs declare may be fields a second, a default, or the fineness of a clock.
    """
    own, average, guessed, base = (
        fraction(rate)
        for rate in (
            stream.codec_context.framerate,
            stream.average_rate,
            stream.guessed_rate,
            stream.base_rate,
        )
    )
    order = [average, guessed, own, base]
    if is_raw(container):
        order = [own if own and own <= _MAX_RATE else None, guessed, average]
    declared = [rate for rate in order if rate]
    if pace.mean is None:
        return (declared[0] if declared else None), True
    entries: Any = stream.index_entries
    counted = average if stream.frames and stream.frames == len(entries) else None
    measured = (1 / pace.mean).limit_denominator(1001)
    if not pace.steady:
        return counted or measured, False
    if own and average and _near(own, average) and _near(2 * own, measured):
        return own, True  # broadcast pictures may come as two fields, in a packet each
    rate = next((r for r in declared if _near(r, measured)), measured)
    return rate, counted is None or _near(counted, rate)


def _near(a: Fraction, b: Fraction) -> bool:
    return abs(a - b) <= b / 200


class Clock:
    """Presentation times of decoded frames: the source's own, missing ones filled in.

    A single time that falls back a little is nudged, so that the order holds. ``origin``: when the
    film begins, in seconds, and where its first picture is shown if that has no time.
    """

    def __init__(
        self,
        container: InputContainer,
        base: Fraction,
        rate: Fraction | None,
        steady: bool,
        origin: Fraction,
    ) -> None:
        self.base = base
        self._step = max(1, round(1 / (rate * base))) if rate else 1
        self._steady = steady
        self._origin = origin
        self._order = _StoredOrder() if is_unordered(container) else None
        self._pts: int | None = None
        self._shortest: int | None = None
        self._nudged = 0

    @property
    def last(self) -> Fraction | None:
        """Time of the latest frame in seconds."""
        return None if self._pts is None else self._pts * self.base

    @property
    def usual(self) -> int:
        """How long a frame stays, in ticks, where nothing tells: of irregular ones the shortest."""
        return self._step if self._steady else self._shortest or self._step

    def sent(self, packet: Any) -> None:
        """Take note of a packet that was given to the decoder."""
        if self._order is not None and packet.dts is not None:
            self._order.sent(packet.dts)

    def stamp(self, frame: av.VideoFrame) -> int:
        """The next frame's time in ticks. Raises ItemError where the clock runs backwards."""
        if self._order is not None:
            pts = self._order.shown(frame.dts)
        else:
            pts = frame.pts if frame.pts is not None else frame.dts
        if pts is None:
            pts = round(self._origin / self.base) if self._pts is None else self._pts + self._step
        if self._pts is not None:
            pts = self._later(self._pts, pts)
        self._pts = pts
        return pts

    def _later(self, before: int, pts: int) -> int:
        ahead = (pts - before) * self.base
        self._nudged = self._nudged + 1 if pts <= before else 0
        if self._nudged == _NUDGED or not -_STEP_BACK <= ahead <= _LEAP:
            raise ItemError(
                f"its clock jumps from {spell(before * self.base)} to {spell(pts * self.base)}; "
                f"--end {float(before * self.base - self._origin):.3f} takes what comes before, or "
                "join its parts anew with a tool that sets times, such as mkvmerge"
            )
        if pts <= before:
            return before + 1
        self._shortest = min(pts - before, self._shortest or pts - before)
        return pts


class _StoredOrder:
    """Presentation times for formats that know decoding times only.

    Pictures are shown in another order than they are decoded in, but at the same times. Packets
    of which the decoder makes no picture leave their time to the one before.
    """

    def __init__(self) -> None:
        self._waiting: deque[int] = deque()
        self._delay: int | None = None

    def sent(self, dts: int) -> None:
        self._waiting.append(dts)

    def shown(self, dts: int | None) -> int | None:
        """The time of the next frame, given out by the decoder for the packet of time ``dts``."""
        if dts is not None and dts in self._waiting:
            ahead = self._waiting.index(dts)
            self._delay = ahead if self._delay is None else self._delay
            for _ in range(ahead - self._delay):
                self._waiting.popleft()
        return self._waiting.popleft() if self._waiting else None
