"""What each suffix holds: every one that a writer offers has a row of facts, and is written so."""

from fractions import Fraction

import numpy as np
import pytest

from stylepipe import Frame, Info, Item, ItemError
from stylepipe.media.containers import ANIMATIONS, FILMS, PICTURES
from stylepipe.media.images import ImageReader, ImageWriter
from stylepipe.media.video import VideoReader, VideoWriter
from stylepipe.pictures import PICTURE_SUFFIXES
from stylepipe.testing import context

RAMP = np.linspace(0, 65535, 64 * 48 * 3).reshape(48, 64, 3).astype(np.uint16)


def write(writer, path, work, frames, **facts):
    height, width = frames[0].pixels.shape[:2]
    known = {"rate": Fraction(10), "duration": 0.4} if writer.kind == "video" else {}
    depth = 8 * frames[0].pixels.itemsize
    info = Info(writer.kind, "x", width, height, len(frames), depth, **known | facts)
    item = Item(0, work / f"source{path.suffix}", work, path)
    writer.open(context())
    sink = writer.open_sink(item, info, path, work)
    for frame in frames:
        sink.write(frame)
    sink.close()


def film():
    """Four frames at 10 a second."""
    pixels = [np.roll((RAMP >> 8).astype(np.uint8), 8 * k, axis=1) for k in range(4)]
    return [Frame(p, None, k, k, Fraction(1, 10), 1) for k, p in enumerate(pixels)]


@pytest.fixture
def work(tmp_path):
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def test_writers_offer_the_suffixes_of_the_table_and_no_others():
    assert VideoWriter.patterns == (*FILMS, *ANIMATIONS)
    assert ImageWriter.patterns == tuple(PICTURES) == PICTURE_SUFFIXES
    for offered, reader in ((PICTURES, ImageReader), (FILMS | ANIMATIONS, VideoReader)):
        assert set(offered) <= set(reader.patterns)


@pytest.mark.parametrize("suffix", [*FILMS, *ANIMATIONS])
def test_a_clip_comes_back_with_its_size_frames_and_times(suffix, tmp_path, work):
    path = tmp_path / f"clip{suffix}"
    write(VideoWriter(VideoWriter.Options()), path, work, film())
    reader = VideoReader(VideoReader.Options())
    reader.open(context())
    info = reader.probe(path)
    frames = list(reader.frames(Item(0, path, tmp_path, path), info))
    assert [f.pixels.shape for f in frames] == [(48, 64, 3)] * 4
    times = [float(f.pts * f.time_base) for f in frames]
    assert [round(t - times[0], 2) for t in times] == [0.0, 0.1, 0.2, 0.3]


@pytest.mark.parametrize("suffix", FILMS)
def test_irregular_times_are_refused_where_there_are_none(suffix, tmp_path, work):
    """And kept by all others."""
    path, frames = tmp_path / f"clip{suffix}", film()
    uneven = [Frame(f.pixels, None, k, t, f.time_base, 1)
              for k, (f, t) in enumerate(zip(frames, (0, 1, 4, 5), strict=True))]  # fmt: skip
    writer, facts = VideoWriter(VideoWriter.Options()), {"details": {"variable_rate": True}}
    if not FILMS[suffix].has_times:
        with pytest.raises(ItemError, match=rf"irregular times, which \{suffix} cannot hold"):
            write(writer, path, work, uneven, **facts)
        return
    write(writer, path, work, uneven, **facts)
    reader = VideoReader(VideoReader.Options())
    reader.open(context())
    back = reader.frames(Item(0, path, tmp_path, path), reader.probe(path))
    assert [round(float(f.pts * f.time_base), 2) for f in back] == [0.0, 0.1, 0.4, 0.5]


@pytest.mark.parametrize("suffix", [s for s, row in PICTURES.items() if row.format != "HEIF"])
def test_a_picture_keeps_the_depth_and_transparency_that_its_row_says(suffix, tmp_path, work):
    holds, path = PICTURES[suffix].holds, tmp_path / f"photo{suffix}"
    alpha = np.full((48, 64), 65535, np.uint16)
    alpha[:, :32] = 0
    write(ImageWriter(ImageWriter.Options()), path, work, [Frame(RAMP, alpha)])
    reader = ImageReader(ImageReader.Options())
    reader.open(context())
    info = reader.probe(path)
    (frame,) = reader.frames(Item(0, path, tmp_path, path), info)
    assert frame.pixels.shape == RAMP.shape
    assert (frame.alpha is not None) == bool(holds & {"alpha", "holes"})
    assert (frame.pixels.dtype == np.uint16) == ("deep" in holds)


@pytest.mark.parametrize("suffix", PICTURES)
def test_a_picture_of_too_long_a_side_is_refused(suffix, tmp_path, work):
    longest = PICTURES[suffix].longest
    wide = np.broadcast_to(np.zeros(3, np.uint8), (1, longest + 1, 3))
    with pytest.raises(ItemError, match=f"at most {longest} pixels a side"):
        write(ImageWriter(ImageWriter.Options()), tmp_path / f"x{suffix}", work, [Frame(wide)])
