"""One timeline for files whose clocks start anew.

Films joined end to end (MPEG-TS, VOB, what camcorders write) jump back or ahead at each join. The
places are found by going through all packets once; all streams of a piece are then moved by what
makes the pictures follow one another, so that sound stays in step.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import Any

from stylepipe.media.pyav import base_of

_JUMP = 10
"""Seconds ahead of everything else at which a clock was set anew; FFmpeg's figure."""


@dataclass(frozen=True)
class Piece:
    """A part of a file whose clocks belong together."""

    begin: int
    """Place of its first byte in the file."""
    shift: Fraction
    """Seconds that bring its times onto the timeline."""


class Timeline:
    """Moves packets, which must come in the file's order, so that pieces follow one another."""

    def __init__(self, pieces: Iterable[Piece] = ()) -> None:
        self._pieces = list(pieces)
        self._begins = [piece.begin for piece in self._pieces]
        self._places = _Places()

    def __bool__(self) -> bool:
        """Whether there is anything to move."""
        return bool(self._pieces)

    def spell(self) -> list[str]:
        """The pieces as texts, for :meth:`parse`."""
        return [f"{piece.begin}:{piece.shift}" for piece in self._pieces]

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Timeline:
        parts = (text.split(":") for text in texts)
        return cls(Piece(int(begin), Fraction(shift)) for begin, shift in parts)

    def shift(self, place: int) -> Fraction:
        """Seconds to be added to times of the byte ``place``."""
        number = bisect_right(self._begins, place)
        return self._pieces[number - 1].shift if number else Fraction(0)

    def put(self, packet: Any) -> None:
        """Put the packet's times onto the timeline."""
        if not self._pieces:
            return
        ticks = round(self.shift(self._places.of(packet)) / base_of(packet))
        if packet.pts is not None:
            packet.pts += ticks
        if packet.dts is not None:
            packet.dts += ticks


class _Places:
    """Where packets lie in the file; those that do not know go by their stream's last one."""

    def __init__(self) -> None:
        self._last: dict[int, int] = {}

    def of(self, packet: Any) -> int:
        index = packet.stream.index
        if packet.pos is not None:
            self._last[index] = packet.pos
        return self._last.get(index, 0)


@dataclass
class _Run:
    """A piece as it is being found; times in seconds, as the file has them."""

    begin: int
    seen: dict[int, Fraction] = field(default_factory=dict)
    """Latest decoding time by stream."""
    latest: Fraction | None = None
    """Where the furthest stream is to go on."""
    first: Fraction | None = None
    """Time of its first picture."""
    end: Fraction = Fraction(0)
    """When its last picture ends."""
    pictures: bool = False
    """Whether there are any."""
    goes_on: bool = False
    """Whether its pictures follow those before: only another stream was out of order."""


class Joins:
    """Finds where the clocks of a broadcast format start anew, from all its packets in order.

    A decoding time that does not grow is a new clock's, and so is one far ahead of all streams. A
    picture that is long in coming while the sound runs on is not. ``step``: seconds a picture
    stays where its packet does not tell.
    """

    def __init__(self, video: int, step: Fraction) -> None:
        self._video, self._step = video, step
        self._places = _Places()
        self._runs = [_Run(0)]
        self._decoded: Fraction | None = None  # latest decoding time of a picture

    def see(self, packet: Any) -> int:
        """Take note of the next packet; returns its place in the file."""
        place = self._places.of(packet)
        stamp = packet.pts if packet.dts is None else packet.dts
        if stamp is None:
            return place
        base, index = base_of(packet), packet.stream.index
        time, length = stamp * base, (packet.duration or 0) * base
        run = self._run(place, index, time)
        run.seen[index] = time
        run.latest = max(time + length, run.latest or time)
        if index == self._video:
            self._see_picture(run, time)
            if packet.pts is not None:  # second fields may have none
                shown = packet.pts * base
                run.first = shown if run.first is None else min(run.first, shown)
                run.end = max(run.end, shown + (length or self._step))
        return place

    def _run(self, place: int, stream: int, time: Fraction) -> _Run:
        """The piece that a packet belongs to.

        Packets are handed out when they are whole, which pictures are only when the next begins:
        the first of a new piece may come late, and so may the last of the one before.
        """
        newest = self._runs[-1]
        run = next(r for r in reversed(self._runs) if r.begin <= place)
        if not _starts_anew(run, stream, time):
            return run
        if run is newest:
            newest = _Run(place)
            self._runs.append(newest)
        newest.begin = place
        return newest

    def _see_picture(self, run: _Run, time: Fraction) -> None:
        if not run.pictures and self._decoded is not None:
            run.goes_on = self._decoded < time <= self._decoded + _JUMP
        run.pictures = True
        self._decoded = time

    def timeline(self) -> tuple[Timeline, Fraction]:
        """The timeline, and when the last picture ends on it, in seconds."""
        shift = end = Fraction(0)
        pieces: list[Piece] = []
        waiting: list[_Run] = []  # without pictures: sound that comes before the next ones
        for number, run in enumerate(self._runs):
            waiting.append(run)
            if run.first is None:
                continue
            if number and not run.goes_on:
                shift = end - run.first
            end = max(end, run.end + shift)
            pieces += [Piece(r.begin, shift) for r in waiting]
            waiting = []
        pieces += [Piece(r.begin, shift) for r in waiting]
        changes = [b for a, b in pairwise(pieces) if a.shift != b.shift]
        return Timeline([pieces[0], *changes] if changes else []), end


def _starts_anew(run: _Run, stream: int, time: Fraction) -> bool:
    before = run.seen.get(stream)
    if before is not None and time <= before:
        return True
    return run.latest is not None and time > run.latest + _JUMP
