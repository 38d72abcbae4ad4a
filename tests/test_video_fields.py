"""Interlaced film: deinterlaced where it is flagged, left alone where it is not or must not be."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
from av.filter import Graph
from clips import Log, convert, make_clip, read

from stylepipe.errors import ItemError, UsageError
from stylepipe.media import video_fields
from stylepipe.media.video import VideoReader
from stylepipe.media.video_color import Color, ToRGB, bits, has_alpha
from stylepipe.media.video_fields import whole_pictures

TIMES = tuple(range(0, 400, 40))
INTERLACED = {
    "mpeg2video": {"flags": "+ildct+ilme+qscale", "global_quality": "236"},
    "libx264": {"flags": "+ildct+ilme", "crf": "4"},
}
JOINED = "in.{}: is interlaced: deinterlaced by bwdif (--deinterlace no leaves it as it is)"
COMBED = (
    "in.{}: is interlaced: painted with both fields in a picture (--deinterlace auto rebuilds it)"
)


def woven(number: int, width: int = 64, height: int = 48) -> np.ndarray:
    """A bright bar that moves four pixels from field to field, the upper one first."""
    picture = np.full((height, width, 3), 70, np.uint8)
    for field in (0, 1):
        left = 4 * (2 * number + field) % (width - 16)
        picture[field::2, left : left + 16] = 200
    return picture


def interlaced_clip(path, codec="libx264", times=TIMES):
    step = 40 if codec == "mpeg2video" else 1  # whose clock is its frame rate
    return make_clip(
        path,
        [t // step for t in times],
        time_base=Fraction(step, 1000),
        codec=codec,
        options=INTERLACED[codec],
        pictures=[woven(n) for n in range(len(times))],
    )


def combs(frame) -> float:
    """How much each line differs from the two beside it, more than these from each other."""
    gray = frame.pixels[..., 1].astype(int)
    beside = np.abs(gray[1:-1] - gray[:-2]) + np.abs(gray[1:-1] - gray[2:])
    return float((beside - np.abs(gray[:-2] - gray[2:])).mean())


@pytest.mark.parametrize(("codec", "suffix"), [("mpeg2video", "mpg"), ("libx264", "mp4")])
def test_flagged_film_is_deinterlaced_and_that_is_told(tmp_path, codec, suffix):
    source, log = interlaced_clip(tmp_path / f"in.{suffix}", codec), Log()
    info, _ = read(source, end="0.1")
    assert info.details["interlaced"]
    convert(source, tmp_path / "out.mp4", log)
    assert [line for line in log.lines if "interlaced" in line] == [JOINED.format(suffix)]
    plain = read(source, deinterlace="no")[1]
    after, frames = read(tmp_path / "out.mp4")
    assert not after.details["interlaced"]
    assert len(frames) == len(TIMES)
    assert min(combs(f) for f in plain[1:-1]) > 10 > 2 > max(combs(f) for f in frames[1:-1])


def test_no_leaves_the_fields_and_says_so(tmp_path):
    source, log = interlaced_clip(tmp_path / "in.mp4"), Log()
    convert(source, tmp_path / "out.mp4", log, trim={"deinterlace": "no"})
    assert log.lines == [COMBED.format("mp4")]
    assert combs(read(tmp_path / "out.mp4")[1][4]) > 10


def test_progressive_film_is_not_touched_and_nothing_said(tmp_path):
    source = make_clip(tmp_path / "in.mp4", TIMES, pictures=[woven(n) for n in range(len(TIMES))])
    log = Log()
    convert(source, tmp_path / "out.mp4", log)
    assert not log.lines
    ours, plain = read(source)[1], read(source, deinterlace="no")[1]
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(ours, plain, strict=True))


def test_times_and_durations_stay(tmp_path):
    source = interlaced_clip(tmp_path / "in.mp4", times=(0, 40, 120, 160, 280, 300))
    ours, plain = read(source)[1], read(source, deinterlace="no")[1]
    assert [(f.pts, f.duration, f.index) for f in ours] == [
        (f.pts, f.duration, f.index) for f in plain
    ]


def test_one_frame_alone(tmp_path):
    assert len(read(interlaced_clip(tmp_path / "in.mp4", times=(0,)))[1]) == 1


def test_a_film_read_from_the_middle_is_the_same(tmp_path):
    source = interlaced_clip(tmp_path / "in.mp4")
    whole, rest = read(source)[1], read(source, 6)[1]
    assert [f.index for f in rest] == [6, 7, 8, 9]
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(whole[6:], rest, strict=True))


def two_colors(size):
    pixels = np.full((size[1], size[0], 3), (200, 40, 90), np.uint8)
    pixels[:, size[0] // 2 :] = (30, 180, 60)
    return pixels


def decoded(kind, pix_fmt="yuv420p", size=(64, 48), span=1, pixels=None):
    """A frame as a decoder would hand it over: ``tff``, ``bff`` or ``prog``."""
    pixels = two_colors(size) if pixels is None else pixels
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
        format=pix_fmt, dst_color_range=span
    )
    frame.color_range, frame.colorspace, frame.pts = span, 5, 0
    graph = Graph()
    source = graph.add(
        "buffer",
        video_size=f"{size[0]}x{size[1]}",
        pix_fmt=pix_fmt,
        time_base="1/25",
        pixel_aspect="1/1",
        range=str(span),
    )
    flag, sink = graph.add("setfield", kind), graph.add("buffersink")
    graph.link_nodes(source, flag, sink).configure()
    source.push(frame)
    return sink.pull()


def rebuilt(*frames, deinterlace=True):
    said: list[str] = []
    return list(whole_pictures(frames, deinterlace, said.append)), said


@pytest.mark.parametrize(("kind", "field"), [("tff", 0), ("bff", 1)])
def test_the_field_that_comes_first_stays_and_the_other_is_made_of_it(kind, field):
    frames = [decoded(kind, "yuv444p", pixels=woven(n)) for n in range(1, 4)]
    (_, middle, _), _ = rebuilt(*frames)
    before, after = (np.asarray(f.to_ndarray()[0]) for f in (frames[1], middle))
    assert np.array_equal(after[field::2], before[field::2])
    other = np.abs(after[1 - field :: 2].astype(int) - before[field::2])
    assert other[2:-2].max() < 12
    assert np.abs(before[::2].astype(int) - before[1::2]).max() > 80  # it was combed


@pytest.mark.parametrize("kind", ["tff", "bff"])
@pytest.mark.parametrize("span", [1, 2])
@pytest.mark.parametrize(
    "pix_fmt", ["yuv420p", "yuv411p", "yuyv422", "nv12", "p010le", "gray", "yuva444p10le", "rgb24"]
)
def test_colors_are_the_same_whatever_the_pixel_format(pix_fmt, span, kind):
    frame = decoded(kind, pix_fmt, span=2 if pix_fmt in ("gray", "rgb24") else span)
    depth = 16 if bits(frame.format) > 8 else 8
    to_rgb = ToRGB(Color.of(frame), depth, has_alpha(frame.format))
    (_, middle, _), _ = rebuilt(frame, frame, frame)
    assert not middle.interlaced_frame
    levels = 257 if depth == 16 else 1
    difference = to_rgb(middle)[0].astype(int) - to_rgb(frame)[0]
    assert np.abs(difference).max() <= 2 * levels  # another range would be 11 off


def test_mixed_film_of_two_sizes_loses_no_frame():
    frames = [
        *(decoded("prog") for _ in range(2)),
        *(decoded("tff") for _ in range(3)),
        decoded("prog"),
        *(decoded("bff", size=(96, 64)) for _ in range(2)),
        decoded("prog", "yuv422p"),
    ]
    for number, frame in enumerate(frames):
        frame.pts = 3 * number
    made, said = rebuilt(*frames)
    assert [f.pts for f in made] == [3 * n for n in range(9)]
    assert [f.width for f in made] == [64] * 6 + [96] * 2 + [64]
    assert not any(f.interlaced_frame for f in made)
    assert len(said) == 1


def test_frames_without_a_time_come_through():
    frames = [decoded("tff") for _ in range(3)]
    for frame in frames:
        frame.pts = None
    assert [f.pts for f in rebuilt(*frames)[0]] == [None] * 3


def test_a_filter_that_is_not_there_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(video_fields, "_FILTER", "nonesuch")
    source = interlaced_clip(tmp_path / "in.mp4")
    with pytest.raises(ItemError, match=r"nonesuch does not take yuv420p here.*--deinterlace no"):
        read(source)
    assert len(read(source, deinterlace="no")[1]) == len(TIMES)


def test_only_auto_and_no_are_known():
    with pytest.raises(UsageError, match="deinterlace"):
        VideoReader.Options(deinterlace="yes")
