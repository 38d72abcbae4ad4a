"""Films whose clocks start anew, jump, are missing or guessed: each picture gets its true time."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from clips import Log, convert, make_clip, packets, picture, read

from stylepipe.errors import ItemError
from stylepipe.media.clock import _Pace, _rate
from stylepipe.media.timeline import Joins

STEP = Fraction(1, 25)


def seconds(frames):
    return [f.pts * f.time_base for f in frames]


def intervals(frames):
    times = seconds(frames)
    return {b - a for a, b in pairwise(times)}


# -- clocks that start anew -----------------------------------------------------------------


def broadcast(
    path: Path,
    begin: float,
    count: int = 25,
    *,
    format: str = "mpegts",
    sound: bool = True,
    gap: float = 0,
) -> bytes:
    """A clip whose clock starts at ``begin``; its tone sounds from its tenth picture on.

    ``gap``: seconds for which pictures, but not sound, are missing after the tenth one.
    """
    codec = "mpeg2video" if format == "vob" else "libx264"
    length = float(count * STEP) + gap
    with av.open(str(path), "w", format=format) as out:
        video = out.add_stream(codec, rate=25, options={"bf": "2"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.codec_context.time_base = STEP
        made = []
        for n in range(count):
            frame = av.VideoFrame.from_ndarray(picture(n), format="rgb24")
            late = gap if n >= 10 else 0
            frame.pts, frame.time_base = round((begin + late) * 25) + n, STEP
            made += video.encode(frame)
        made += video.encode(None)
        if sound:
            audio = out.add_stream("mp2", rate=48000)
            audio.layout = "mono"
            wave = 8000 * np.sin(np.arange(int(length * 48000)) / 20)
            wave[: int(0.4 * 48000)] = 0
            for start in range(0, len(wave), 1152):
                part = wave[start : start + 1152].astype(np.int16)[None]
                piece = av.AudioFrame.from_ndarray(part, format="s16", layout="mono")
                piece.sample_rate, piece.time_base = 48000, Fraction(1, 48000)
                piece.pts = round(begin * 48000) + start
                made += audio.encode(piece)
            made += audio.encode(None)
        for packet in sorted(made, key=lambda p: p.dts * p.time_base):
            out.mux(packet)
    return path.read_bytes()


def tones(path: Path) -> list[float]:
    """When tones begin after silence, in seconds."""
    level, times = [], []
    with av.open(str(path)) as film:
        for frame in film.decode(audio=0):
            samples = frame.to_ndarray().astype(float)[0]
            scale = 1 if frame.format.name.startswith("flt") else 1 / 32768
            level += list(np.abs(samples) * scale)
            times += list(float(frame.pts * frame.time_base) + np.arange(len(samples)) / 48000)
    loud = np.convolve(np.array(level) > 0.05, np.ones(480), "same") > 0
    return [times[n] for n in np.flatnonzero(loud[1:] & ~loud[:-1])]


@pytest.mark.parametrize(
    ("format", "begins"),
    [
        ("vob", (0, 0)),  # back by less than a second
        ("mpegts", (10, 10)),
        ("mpegts", (10, 5000)),
        ("mpegts", (100, 10)),  # back behind the beginning: taken for an overflow of the clock
        ("mpegts", (10, 5000, 20)),
    ],
)
def test_joined_films_play_one_after_the_other(tmp_path, format, begins):
    suffix = {"vob": ".vob", "mpegts": ".ts"}[format]
    source = tmp_path / f"in{suffix}"
    source.write_bytes(
        b"".join(
            broadcast(tmp_path / f"{n}{suffix}", begin, format=format)
            for n, begin in enumerate(begins)
        )
    )
    log = Log()
    convert(source, tmp_path / "out.mp4", log)
    info, frames = read(tmp_path / "out.mp4")
    count = 25 * len(begins)
    assert len(frames) == count
    assert intervals(frames) == {STEP}
    assert info.duration == pytest.approx(len(begins), abs=0.01)
    assert read(source)[0].duration == pytest.approx(len(begins), abs=0.01)
    found = tones(tmp_path / "out.mp4")
    wanted = [float(t) for t in seconds(frames)[10::25]]
    assert found == pytest.approx(wanted, abs=0.04)
    assert any(f"start anew on the way, {len(begins)} parts" in line for line in log.lines)


@pytest.mark.parametrize("second", [10, 9.2])
def test_sound_of_joined_films_stays_in_step_when_it_is_converted(tmp_path, second):
    source = tmp_path / "in.ts"
    source.write_bytes(broadcast(tmp_path / "a.ts", 10) + broadcast(tmp_path / "b.ts", second))
    convert(source, tmp_path / "out.webm")
    _, frames = read(tmp_path / "out.webm")
    wanted = [float(t) for t in seconds(frames)[10::25]]
    assert len(wanted) == 2
    assert tones(tmp_path / "out.webm") == pytest.approx(wanted, abs=0.04)


@pytest.mark.parametrize("format", ["vob", "mpegts"])
def test_an_unbroken_clock_is_left_alone(tmp_path, format):
    path = tmp_path / ("in.vob" if format == "vob" else "in.ts")
    broadcast(path, 10, format=format)
    info, frames = read(path)
    with av.open(str(path)) as film:
        own = sorted(p.pts * p.time_base for p in film.demux(video=0) if p.pts is not None)
    assert seconds(frames) == own
    assert info.details["pieces"] is None


def test_pictures_that_pause_while_the_sound_runs_on_are_no_jump(tmp_path):
    path = tmp_path / "in.ts"
    broadcast(path, 10, gap=12)
    times = seconds(read(path)[1])
    assert max(b - a for a, b in pairwise(times)) == 12 + STEP


@pytest.mark.parametrize("lengths", [(1, 1, 1), (2, 2, 25)])
def test_pieces_of_a_frame_or_two_keep_their_length(tmp_path, lengths):
    path = tmp_path / "in.ts"
    path.write_bytes(
        b"".join(
            broadcast(tmp_path / f"{n}.ts", 1, count, sound=False)
            for n, count in enumerate(lengths)
        )
    )
    _, frames = read(path)
    assert len(frames) == sum(lengths) and intervals(frames) == {STEP}


def test_a_joined_film_can_be_cut_and_read_from_the_middle(tmp_path):
    path = tmp_path / "in.ts"
    path.write_bytes(broadcast(tmp_path / "a.ts", 100) + broadcast(tmp_path / "b.ts", 10))
    _, whole = read(path)
    _, rest = read(path, 40)
    assert [f.pts for f in rest] == [f.pts for f in whole[40:]]
    convert(path, tmp_path / "out.mp4", trim={"start": "1.2", "end": "1.8"})
    assert len(read(tmp_path / "out.mp4")[1]) == 15
    assert len(tones(tmp_path / "out.mp4")) == 1


class Heard:
    """A packet as the search for joins sees it; a tick is a millisecond."""

    time_base = Fraction(1, 1000)

    def __init__(self, stream: int, dts: int, place: int | None, duration: int = 40) -> None:
        self.stream = type("Stream", (), {"index": stream})
        self.pts = self.dts = dts
        self.pos, self.duration = place, duration


def shifts(told: Sequence[Heard]) -> list[str]:
    joins = Joins(0, STEP)
    for packet in told:
        joins.see(packet)
    return joins.timeline()[0].spell()


def test_packets_handed_out_late_stay_with_the_piece_they_lie_in():
    # A demuxer knows the end of a picture by the next one, of sound by its length.
    told = [Heard(0, 0, 0), Heard(1, 0, 10), Heard(0, 40, 20), Heard(1, 40, 30)]
    told += [Heard(1, 0, 110), Heard(0, 80, 40), Heard(0, 0, 100), Heard(1, 40, 130)]
    told += [Heard(0, 40, 120), Heard(0, 80, None)]
    assert shifts(told) == ["0:0", "100:3/25"]


def test_second_fields_without_times_do_not_count_as_the_first_picture():
    told = [Heard(0, 0, 0), Heard(0, 20, 10), Heard(0, 0, 100), Heard(0, 20, 110)]
    for packet, pts in zip(told, (80, None, 80, None), strict=True):
        packet.pts = pts
    assert shifts(told) == ["0:0", "100:1/25"]


def test_sound_alone_out_of_order_moves_nothing():
    told = [Heard(0, 0, 0), Heard(1, 0, 10), Heard(0, 40, 20), Heard(1, -50, 30), Heard(0, 200, 40)]
    assert shifts(told) == []


def test_a_clock_that_runs_backwards_elsewhere_is_refused_with_the_place(tmp_path):
    """Where the format is not made for it, its sound cannot be brought along."""
    first = make_clip(tmp_path / "a.mkv", range(0, 600, 40))
    path = tmp_path / "in.mkv"
    path.write_bytes(first.read_bytes() * 2)
    with pytest.raises(ItemError, match=r"clock jumps from 0:00\.56\d .*--end 0\.56\d"):
        read(path)
    assert len(read(path, end="0.56")[1]) == 14


# -- times that are missing -----------------------------------------------------------------


def cut_without_decoding(source: Path, path: Path, at: int) -> None:
    """Copy packets, ``at`` milliseconds earlier: times before 0 are none to MKV's reader."""
    with (
        av.open(str(source)) as old,
        av.open(str(path), "w", container_options={"avoid_negative_ts": "disabled"}) as new,
    ):
        targets = {s.index: new.add_stream_from_template(s) for s in old.streams}
        for packet in old.demux():
            if packet.size:
                back = round(Fraction(at, 1000) / packet.time_base)
                packet.pts, packet.dts = packet.pts - back, packet.dts - back
                packet.stream = targets[packet.stream.index]
                new.mux(packet)


@pytest.mark.parametrize("bframes", ["0", "2"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_leading_pictures_without_times_are_counted_back(tmp_path, bframes, suffix):
    whole = make_clip(
        tmp_path / "whole.mp4", range(0, 3000, 40), sound=True, options={"bf": bframes}
    )
    source = tmp_path / "in.mkv"
    cut_without_decoding(whole, source, 1370)
    info, frames = read(source)
    assert len(frames) == 75 and intervals(frames) == {STEP}
    assert seconds(frames)[0] == Fraction(-1370, 1000)
    assert info.rate == 25 and info.duration == pytest.approx(3, abs=0.03)
    output = tmp_path / f"out{suffix}"
    convert(source, output)
    info, frames = read(output)
    assert len(frames) == 75 and intervals(frames) == {STEP} and seconds(frames)[0] == 0
    before = [(float(time) + 1.37, data) for time, data in packets(source, "audio")[0]]
    if suffix == ".mkv":  # a run-up before zero is for edit lists only
        before = [(time, data) for time, data in before if time > -0.001]
    after = packets(output, "audio")[0]
    assert [data for _, data in after] == [data for _, data in before]
    assert [float(time) for time, _ in after] == pytest.approx([t for t, _ in before], abs=0.002)


def test_a_raw_stream_is_as_fast_as_it_says(tmp_path):
    base = Fraction(1001, 30000)
    source = tmp_path / "in.h264"
    with av.open(str(source), "w", format="h264") as out:
        video = out.add_stream("libx264", rate=1 / base)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for n in range(12):
            out.mux(video.encode(av.VideoFrame.from_ndarray(picture(n), format="rgb24")))
        out.mux(video.encode(None))
    info, frames = read(source)
    assert info.rate == 1 / base and not info.details["variable_rate"]
    assert seconds(frames) == pytest.approx([n * base for n in range(12)])


# -- AVI, which tells when pictures are decoded ---------------------------------------------


def make_avi(
    path: Path, codec: str, times: Sequence[int], *, rate: int = 25, index: bool = True
) -> Path:
    """Pictures stored in decoding order at ``times``, with two B-frames in a row."""
    options = {"libx264": {"bf": "2", "b-pyramid": "none"}, "mpeg4": {"bf": "2"}}[codec]
    with av.open(str(path), "w") as out:
        video = out.add_stream(codec, rate=rate, options=options)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        encoder = av.CodecContext.create(codec, "w")
        encoder.width, encoder.height, encoder.pix_fmt = 64, 48, "yuv420p"
        encoder.framerate, encoder.time_base = Fraction(25), STEP
        encoder.options = options
        made = []
        for n in range(len(times)):
            frame = av.VideoFrame.from_ndarray(picture(n), format="rgb24")
            frame.pts, frame.time_base = n, STEP
            made += encoder.encode(frame)
        made += encoder.encode(None)
        assert [p.pts for p in made] != sorted(p.pts for p in made)  # else B-frames are missing
        for time, packet in zip(times, made, strict=True):
            stored = av.Packet(bytes(packet))
            stored.stream, stored.time_base = video, Fraction(1, rate)
            stored.pts = stored.dts = time
            stored.is_keyframe = packet.is_keyframe
            out.mux_one(stored)
    if not index:
        data = path.read_bytes()
        path.write_bytes(data[: data.rindex(b"idx1")])
    return path


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_pictures_of_an_avi_are_shown_at_the_times_they_are_decoded(tmp_path, codec, index):
    source = make_avi(tmp_path / "in.avi", codec, range(50), index=index)
    info, frames = read(source)
    assert seconds(frames) == [n * STEP for n in range(50)]
    assert frames[-1].duration * frames[-1].time_base == STEP
    assert info.rate == 25 and info.duration in (2, None)
    for n in (0, 7, 8, 9, 49):  # in order
        assert np.abs(frames[n].pixels.astype(int) - picture(n)).mean() < 6
    convert(source, tmp_path / "out.mp4")
    assert read(tmp_path / "out.mp4")[0].duration == pytest.approx(2, abs=0.001)


def test_an_avi_whose_header_counts_fields_is_regular(tmp_path):
    source = make_avi(tmp_path / "in.avi", "libx264", range(0, 100, 2), rate=50, index=False)
    info, frames = read(source)
    assert info.rate == 25 and not info.details["variable_rate"]
    assert seconds(frames) == [n * STEP for n in range(50)]
    convert(source, tmp_path / "out.avi")
    assert seconds(read(tmp_path / "out.avi")[1]) == [n * STEP for n in range(50)]


def test_an_avi_that_was_never_finished_does_not_stop_at_its_last_picture(tmp_path):
    source = make_avi(tmp_path / "in.avi", "mpeg4", range(20), index=False)
    data = bytearray(source.read_bytes())
    for tag, place in ((b"avih", 24), (b"strh", 40)):  # what a writer to a pipe leaves there
        at = data.index(tag) + place
        data[at : at + 4] = (1 << 30).to_bytes(4, "little")
    source.write_bytes(bytes(data))
    info, frames = read(source)
    assert info.frames is None and len(frames) == 20
    assert frames[-1].duration * frames[-1].time_base == STEP


def test_pictures_missing_in_an_avi_leave_their_time_to_those_before(tmp_path):
    times = [0, 1, 2, 3, 7, 8, 9, 10, 11, 12]
    source = make_avi(tmp_path / "in.avi", "mpeg4", times)
    assert seconds(read(source)[1]) == [n * STEP for n in times]


# -- how long the last frame stays, and the rate --------------------------------------------


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_the_last_of_irregular_frames_with_b_frames_stays(tmp_path, suffix):
    times = [0, 40, 120, 160, 280, 320, 360, 480, 520, 600, 1920, 1960]
    plain = make_clip(
        tmp_path / "plain.mp4", times, options={"bf": "3", "preset": "medium", "b-adapt": "0"}
    )
    source = tmp_path / "in.mp4"
    with av.open(str(plain)) as old, av.open(str(source), "w") as new:
        target = new.add_stream_from_template(old.streams.video[0])
        stored = [p for p in old.demux(video=0) if p.size]
        assert [p.pts for p in stored] != sorted(p.pts for p in stored)
        for packet in stored:
            packet.stream = target
            packet.duration = 1  # of the last one decoded, this is all that counts
            new.mux(packet)
    convert(source, tmp_path / f"out{suffix}")
    info, frames = read(tmp_path / f"out{suffix}")
    assert seconds(frames) == [Fraction(t, 1000) for t in times]
    assert info.duration == pytest.approx(2, abs=0.001)


def test_mkv_with_irregular_frames_says_so_whatever_its_header_declares(tmp_path):
    plain = make_clip(tmp_path / "plain.mkv", [40 * n for n in range(50) if n % 3 != 1])
    info, _ = read(plain)
    assert info.details["variable_rate"]
    with pytest.raises(ItemError, match="irregular times"):
        convert(plain, tmp_path / "out.avi")


def test_a_lost_frame_does_not_make_a_rate_irregular(tmp_path):
    source = make_clip(tmp_path / "in.mkv", [40 * n for n in range(50) if n != 31])
    info, _ = read(source)
    assert info.rate == 25 and not info.details["variable_rate"]


def test_fields_in_packets_of_their_own_are_not_counted_as_frames():
    own = SimpleNamespace(framerate=Fraction(25))
    stream = SimpleNamespace(
        codec_context=own,
        average_rate=Fraction(25),
        guessed_rate=Fraction(25),
        base_rate=Fraction(50),
        frames=0,
        index_entries=(),
    )
    container = SimpleNamespace(format=SimpleNamespace(flags=0))
    times = [n * STEP / 2 for n in range(40)]
    assert _rate(container, stream, _Pace.of(times, Fraction(1, 90000))) == (25, True)
    own.framerate = stream.average_rate = Fraction(50)
    assert _rate(container, stream, _Pace.of(times, Fraction(1, 90000))) == (50, True)


# -- the run-up of sound --------------------------------------------------------------------


def with_opus(path: Path) -> Path:
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = out.add_stream("libopus", rate=48000)
        audio.layout = "mono"
        made = []
        for n in range(25):
            frame = av.VideoFrame.from_ndarray(picture(n), format="rgb24")
            frame.pts, frame.time_base = n, STEP
            made += video.encode(frame)
            part = (8000 * np.sin(np.arange(1920) / 20)).astype(np.int16)[None]
            piece = av.AudioFrame.from_ndarray(part, format="s16", layout="mono")
            piece.sample_rate, piece.time_base, piece.pts = 48000, Fraction(1, 48000), 1920 * n
            made += audio.encode(piece)
        made += video.encode(None) + audio.encode(None)
        for packet in sorted(made, key=lambda p: p.dts * p.time_base):
            out.mux(packet)
    return path


@pytest.mark.parametrize("suffix", [".mkv", ".webm", ".mp4"])
def test_opus_keeps_its_first_packet(tmp_path, suffix):
    source = with_opus(tmp_path / "in.mkv")
    output = tmp_path / f"out{suffix}"
    convert(source, output)
    before, after = packets(source, "audio")[0], packets(output, "audio")[0]
    assert before[0][0] < 0  # the run-up
    assert [data for _, data in after] == [data for _, data in before]
    assert after[0][0] == pytest.approx(before[0][0], abs=0.001)
    assert seconds(read(output)[1])[0] == pytest.approx(seconds(read(source)[1])[0], abs=0.001)


def test_sound_made_opus_keeps_its_first_packet(tmp_path):
    source = make_clip(tmp_path / "in.mp4", sound=True)
    convert(source, tmp_path / "out.webm")
    first = packets(tmp_path / "out.webm", "audio")[0][0][0]
    assert first == pytest.approx(-0.0065, abs=0.001)
    assert seconds(read(tmp_path / "out.webm")[1])[0] == 0
