"""Damage in films: what index, header, decoder and FFmpeg's log say of missing pictures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from stylepipe.damage import Damaged
from stylepipe.media.clock import is_live
from stylepipe.media.ffmpeg_log import Complaints, listening
from stylepipe.media.pyav import base_of, fraction
from stylepipe.media.words import spell

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

MP4 = "mov,mp4,m4a,3gp,3g2,mj2"
"""FFmpeg's name of the reader for MP4, MOV and their kin."""
_HEADED = ("matroska,webm", "asf", "flv", "mxf", "rm")
"""Containers whose header says how long the film is; of others FFmpeg reckons it from the rest."""
_SHORT = Fraction(1, 2)
"""Seconds by which such a header may be wrong."""
_HALVED = (("yuv4mpegpipe", True), ("dv", False))
"""Formats of pictures of one size: whether FFmpeg drops half a one at the end, or fills it up."""
_OGG_PAGE = 65_307
"""Bytes of the largest page of an Ogg file."""
_ONE_PLACE = 1
"""Seconds within which damages are reported as one."""


def cut_off(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """The time, in seconds, from which on the index names bytes beyond the end of the file."""
    entries: Any = stream.index_entries
    size = container.size
    if not len(entries) or entries[-1].pos + entries[-1].size <= size:
        return None
    cut = next(e.timestamp for e in entries if e.pos + e.size > size)
    return Fraction(cut * base_of(stream))


def tell_cut_off(
    container: InputContainer, stream: VideoStream, end: Fraction | None, damaged: Damaged
) -> None:
    """Tell if the film is cut off before ``end``, as far as its index shows."""
    cut = cut_off(container, stream)
    if cut is not None and (end is None or cut < end):
        whole = (stream.duration or 0) * base_of(stream)
        of = f" of {spell(whole)}" if whole > cut else ""
        damaged(f"the file is cut off: the video ends at {spell(cut)}{of}")


@contextmanager
def watching(
    container: InputContainer,
    stream: VideoStream,
    damaged: Damaged,
    begin: Fraction,
    start: Fraction = Fraction(0),
    end: Fraction | None = None,
    joined: bool = False,
) -> Iterator[Watch]:
    """Watch what is decoded of a film.

    ``begin`` is the time that counts as its beginning; only damage between ``start`` and ``end``,
    counted from there, is reported. ``joined``: its clock starts anew on the way, and with it the
    counters by which FFmpeg finds that packets are missing.
    """
    codec = stream.codec_context
    names = {codec.name, codec.codec.name, codec.codec.canonical_name}
    stop = None if end is None else end + begin
    with listening(names, container.format.name) as complaints:
        yield Watch(container, stream, complaints, damaged, begin, start + begin, stop, joined)


class Watch:
    """Compares what comes of a film with what was promised, and reports the difference.

    Times are in seconds of the container's clock.
    """

    def __init__(
        self,
        container: InputContainer,
        stream: VideoStream,
        complaints: Complaints,
        damaged: Damaged,
        begin: Fraction,
        start: Fraction,
        end: Fraction | None,
        joined: bool,
    ) -> None:
        self._container, self._stream, self._complaints = container, stream, complaints
        self._damaged, self._begin, self._start, self._end = damaged, begin, start, end
        self._live, self._joined = is_live(container), joined
        self._time = begin
        self._reach = Fraction(0)
        self._pieces = 0
        self._shown = 0
        self._sound = False
        self._last_byte = 0
        self.lost_at_end = False
        """The decoder failed when it was asked for its last pictures."""
        self._place: Fraction | None = None
        self.cut = cut_off(container, stream)

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Around each call that demuxes or decodes."""
        with self._complaints.heard():
            yield

    def packet(self, packet: Any) -> None:
        """The next packet of any stream."""
        base = base_of(packet)
        time = packet.dts if packet.pts is None else packet.pts
        if time is not None:
            self._reach = max(self._reach, (time + (packet.duration or 0)) * base)
        if packet.stream.index != self._stream.index:
            return
        rate = fraction(self._stream.average_rate) or fraction(self._stream.guessed_rate)
        if time is not None:
            self._time = time * base
        elif packet.size and rate:  # a stream without a container knows no times
            self._time = self._begin + self._shown / rate
        if packet.size:
            self._pieces += 1
            self._last_byte = (packet.pos or 0) + packet.size
        if packet.is_corrupt and not self._joined:
            self.torn("data is missing")

    def pictures(self, pictures: list[av.VideoFrame]) -> None:
        """What was decoded of it."""
        complaint = self._complaints.take()
        for picture in pictures:
            self._shown += 1
            self._sound |= not picture.is_corrupt
            if picture.is_corrupt and not self._joined:
                time = self._time if picture.time is None else Fraction(picture.time)
                self.torn(complaint or "the picture was mended", time)
        if complaint:
            self.torn(complaint)

    def torn(self, why: str, time: Fraction | None = None) -> None:
        """Something could not be decoded. Broadcast formats may begin in mid-picture."""
        time = self._time if time is None else time
        if time < self._start or (self._end is not None and time >= self._end):
            return
        if (self._live and not self._sound) or (self.cut is not None and time >= self.cut):
            return
        if self._place is None or abs(time - self._place) >= _ONE_PLACE:
            self._damaged(f"damaged at {spell(time - self._begin)} ({why})")
        self._place = time

    def ended(self) -> None:
        """Nothing follows."""
        container, promised = self._container, self._promised()
        if self.cut is not None or (self._end is not None and self._reach >= self._end):
            return  # reported from the index, or harmless
        if promised is not None and promised - self._reach > _SHORT:
            self._damaged(
                f"cut short: it ends at {spell(self._reach - self._begin)} of "
                f"{spell(promised - self._begin)}"
            )
            return
        beyond = self._last_byte - container.size
        if (container.format.name, beyond < 0) in _HALVED and beyond:
            self._damaged(f"cut short: it ends in a picture, at {spell(self._reach - self._begin)}")
        elif container.format.name == "ogg" and not self._ends_ogg():
            self._damaged(
                f"cut short: it ends at {spell(self._reach - self._begin)}, without a last page"
            )
        elif (missing := self._missing_bytes()) > 0:
            self._damaged(f"cut short: {missing:,} bytes are missing at its end")
        missing = self._indexed() - self._pieces
        if missing > 0 and self._place is None:
            self._damaged(f"{missing} of {self._indexed()} pictures in its index are missing")

    def _promised(self) -> Fraction | None:
        """When the film ends by its header."""
        container, stream = self._container, self._stream
        if container.format.name == "avi" and 0 < stream.frames <= container.size:
            return stream.frames * base_of(stream)  # its length in ticks, by FFmpeg's misnomer
        if container.format.name in _HEADED and container.duration:
            return Fraction(container.duration, 1_000_000)
        return None

    def _missing_bytes(self) -> int:
        """Bytes that an AVI file lacks at its end, by its header; 0 or less for others.

        One that ends with its list of pictures lacks its index only: recording never ended.
        """
        container, place, whole = self._container, 12, 0
        if container.format.name != "avi":
            return 0
        with self._file() as file:
            while len(head := (file.seek(place), file.read(12))[1]) == 12:
                size = int.from_bytes(head[4:8], "little")
                place += 8 + size + size % 2
                if head[:4] == b"LIST" and head[8:] == b"movi":
                    break
            file.seek(4)
            whole = 8 + int.from_bytes(file.read(4), "little")
        return 0 if container.size == place else whole - container.size

    def _ends_ogg(self) -> bool:
        """Whether the last page of an Ogg file is whole, and the last of its stream (RFC 3533)."""
        with self._file() as file:
            file.seek(max(0, self._container.size - 2 * _OGG_PAGE))
            data = file.read()
        page = data[max(0, data.rfind(b"OggS\0")) :]
        if len(page) < 27 or not page[5] & 4:
            return False
        parts = page[27 : 27 + page[26]]
        return len(page) >= 27 + page[26] + sum(parts)

    def _file(self) -> BinaryIO:
        return Path(self._container.name.removeprefix("file:")).open("rb")

    def _indexed(self) -> int:
        """Pictures in the index of a format that has one for the whole file."""
        if self._container.format.name != "avi" or self._start > 0 or self._end is not None:
            return 0
        entries: Any = self._stream.index_entries
        return sum(entry.size > 0 for entry in entries)
