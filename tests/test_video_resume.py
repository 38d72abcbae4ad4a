"""A video run that was killed goes on, and ends with the same bytes."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from clips import Log, convert, item_for, make_clip, read

from stylepipe.errors import ItemError
from stylepipe.media import segments, video_write
from stylepipe.media.video import VideoReader, VideoWriter

TIMES = tuple(n * 40 + (n % 3) * 5 for n in range(50))


@pytest.fixture(autouse=True)
def short_segments(monkeypatch):
    monkeypatch.setattr(video_write, "SEGMENT", 12)


@pytest.fixture
def source(tmp_path):
    return make_clip(tmp_path / "in.mp4", TIMES, sound=True)


def undisturbed(source, folder, suffix=".mp4", **options):
    folder.mkdir()
    convert(source, folder / f"out{suffix}", **options)
    return (folder / f"out{suffix}").read_bytes()


def work_of(folder):
    return folder / "work"


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_two_runs_make_the_same_bytes(tmp_path, source, suffix):
    first = undisturbed(source, tmp_path / "a", suffix)
    assert undisturbed(source, tmp_path / "b", suffix) == first


@pytest.mark.parametrize("stops", [(1,), (12,), (13, 25), (30, 31, 47), (49,), (5, 6, 7, 8, 40)])
def test_interrupted_runs_end_with_the_same_bytes(tmp_path, source, stops):
    expected = undisturbed(source, tmp_path / "whole")
    folder = tmp_path / "again"
    folder.mkdir()
    for stop in stops:
        done = convert(source, folder / "out.mp4", stop=stop)
        assert done <= stop
    assert convert(source, folder / "out.mp4") >= stops[-1] // 12 * 12
    assert (folder / "out.mp4").read_bytes() == expected


def test_slow_frames_are_lost_one_at_most(tmp_path, source, monkeypatch):
    expected = undisturbed(source, tmp_path / "whole")
    monkeypatch.setattr(video_write, "SLOW", 0.0)
    folder = tmp_path / "slow"
    folder.mkdir()
    for stop in (7, 11, 12, 24, 29, 50):
        convert(source, folder / "out.mp4", stop=stop)
        log = Log()
        sink = open_sink(source, folder / "out.mp4", log)
        assert sink.done == min(stop, 50)
        assert sink.last is not None
        assert sink.last.pts == read(source)[1][sink.done - 1].pts
    convert(source, folder / "out.mp4")
    assert (folder / "out.mp4").read_bytes() == expected


def open_sink(source, output, log=None):
    reader, writer = VideoReader(VideoReader.Options()), VideoWriter(VideoWriter.Options())
    writer.open(log or Log())
    item, work = item_for(source, output), work_of(output.parent)
    return writer.open_sink(item, reader.probe(source), output, work)


def test_killed_between_the_last_kept_frame_and_the_segment(tmp_path, source, monkeypatch):
    expected = undisturbed(source, tmp_path / "whole")
    monkeypatch.setattr(video_write, "SLOW", 0.0)
    folder = tmp_path / "killed"
    folder.mkdir()

    def die(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(video_write.VideoSink, "_end_segment", die)
        with pytest.raises(KeyboardInterrupt):
            convert(source, folder / "out.mp4")
    assert open_sink(source, folder / "out.mp4").done == 12
    convert(source, folder / "out.mp4")
    assert (folder / "out.mp4").read_bytes() == expected


def test_last_frame_comes_back_exactly(tmp_path, source):
    convert(source, tmp_path / "out.mp4", stop=30)
    sink = open_sink(source, tmp_path / "out.mp4")
    given = read(source)[1][sink.done - 1]
    assert sink.done >= 24
    assert np.array_equal(sink.last.pixels, given.pixels)
    assert (sink.last.index, sink.last.pts, sink.last.time_base, sink.last.duration) == (
        given.index,
        given.pts,
        given.time_base,
        given.duration,
    )


def test_half_written_segment_does_not_count(tmp_path, source):
    expected = undisturbed(source, tmp_path / "whole")
    convert(source, tmp_path / "out.mp4", stop=30)
    second = work_of(tmp_path) / "segment-000001.seg"
    for kept in (0, 10, second.stat().st_size - 3):
        second.write_bytes(second.read_bytes()[:kept])
        assert segments.read_index(second) is None
    assert open_sink(source, tmp_path / "out.mp4").done < 24
    convert(source, tmp_path / "out.mp4")
    assert (tmp_path / "out.mp4").read_bytes() == expected


def test_segments_of_another_encoder_are_not_reused(tmp_path, source):
    convert(source, tmp_path / "out.mp4", stop=30)
    assert open_sink(source, tmp_path / "out.mp4").done >= 24
    writer = VideoWriter(VideoWriter.Options(crf=30))
    writer.open(Log())
    info = VideoReader(VideoReader.Options()).probe(source)
    output = tmp_path / "out.mp4"
    assert writer.open_sink(item_for(source, output), info, output, work_of(tmp_path)).done < 12


def test_killed_while_joining(tmp_path, source, monkeypatch):
    expected = undisturbed(source, tmp_path / "whole")

    def die(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(video_write.video_mux, "assemble", die)
        with pytest.raises(KeyboardInterrupt):
            convert(source, tmp_path / "out.mp4")
    assert convert(source, tmp_path / "out.mp4") == len(TIMES)
    assert (tmp_path / "out.mp4").read_bytes() == expected


def test_abort_leaves_finished_segments_only(tmp_path, source):
    output = tmp_path / "out.mp4"
    work_of(tmp_path).mkdir()
    sink = open_sink(source, output)
    for frame in read(source)[1][:20]:
        sink.write(frame)
    sink.abort()
    sink.abort()
    assert not list(work_of(tmp_path).glob("*.part"))
    assert open_sink(source, output).done >= 12
    assert not output.exists()


def test_work_folder_does_not_grow_with_the_last_frames(tmp_path, source):
    convert(source, tmp_path / "out.mp4", stop=49)
    assert len(list(work_of(tmp_path).glob("last-*"))) == 2


def spoil(path):
    """Change one byte in the middle."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("stop", "damage", "name", "left"),
    [
        (30, spoil, "segment-000001.seg", 12),
        (30, Path.unlink, "segment-000001.seg", 12),
        (30, spoil, "last-000002.npz", 12),
        (30, lambda path: path.write_bytes(b""), "last-000002.npz", 12),
        (30, spoil, "segment-000000.seg", 0),
        (30, spoil, "frame-000002-005.npz", 29),
        (30, spoil, "frame-000002-002.npz", 26),
        (30, lambda path: path.write_bytes(b""), "frame-000002-002.npz", 26),
        (30, Path.unlink, "frame-000002-000.npz", 24),
        (7, spoil, "frame-000000-000.npz", 0),
    ],
)
def test_damaged_work_is_dropped_and_made_again(
    tmp_path, source, monkeypatch, stop, damage, name, left
):
    expected = undisturbed(source, tmp_path / "whole")
    monkeypatch.setattr(video_write, "SLOW", 0.0)
    convert(source, tmp_path / "out.mp4", stop=stop)
    damage(work_of(tmp_path) / name)
    sink = open_sink(source, tmp_path / "out.mp4")
    assert sink.done == left
    if left:
        assert sink.last.pts == read(source)[1][left - 1].pts
    convert(source, tmp_path / "out.mp4", stop=min(left + 2, 50))
    assert open_sink(source, tmp_path / "out.mp4").done == left + 2
    convert(source, tmp_path / "out.mp4")
    assert (tmp_path / "out.mp4").read_bytes() == expected


def test_a_full_disk_tells_once(tmp_path, monkeypatch):
    file = segments.SegmentFile(tmp_path / "a.seg")
    file.add(0, True, b"x")

    class Full:
        def close(self):
            real.close()
            raise OSError(28, "No space left on device")

    real, file._file = file._file, Full()
    file.drop()
    assert list(tmp_path.iterdir()) == []


def test_frames_must_keep_size_and_order(tmp_path, source):
    work_of(tmp_path).mkdir()
    sink = open_sink(source, tmp_path / "out.mp4")
    frames = read(source)[1]
    sink.write(frames[1])
    with pytest.raises(ItemError, match="not later"):
        sink.write(frames[0])
    frames[2].pixels = frames[2].pixels[:20]
    with pytest.raises(ItemError, match="64x20"):
        sink.write(frames[2])
    sink.abort()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_memory_does_not_grow_with_length(tmp_path):
    """Through reader and writer: 2400 frames take no more memory than 240."""
    import subprocess
    import sys

    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path; from clips import convert\n"
        "convert(Path(sys.argv[2]), Path(sys.argv[3]))\n"
        "status = Path('/proc/self/status').read_text()\n"  # ru_maxrss begins with the parent's
        "print(status.split('VmHWM:')[1].split()[0])"
    )
    peaks = []
    for count in (240, 2400):
        folder = tmp_path / str(count)
        folder.mkdir()
        clip = make_clip(
            folder / "in.mp4", range(count), size=(320, 240), time_base=Fraction(1, 25)
        )
        run = subprocess.run(
            [sys.executable, "-c", program, str(Path(__file__).parent), clip, folder / "out.mp4"],
            capture_output=True,
            text=True,
            check=True,
        )
        peaks.append(int(run.stdout))
    assert peaks[1] < peaks[0] * 1.1
