"""How long a job will take is said once, and a dry run says what there is to be painted."""

import json
from fractions import Fraction
from pathlib import Path

import pytest
from clips import make_clip
from PIL import Image

from stylepipe import Info, Item, ItemError, report
from stylepipe.cli import main
from stylepipe.eta import Eta, duration, frames_of, pixels_of
from stylepipe.report import Report
from stylepipe.sampling import Sample

ITEM = Item(0, Path("in/clip.mp4"), Path("in"), Path("out/clip.mp4"))
FILM = Info("video", "mp4", 100, 100, frames=101)


@pytest.fixture
def clock(monkeypatch):
    """Seconds; the last entry is now."""
    seconds = [100.0]
    monkeypatch.setattr(report.time, "perf_counter", lambda: seconds[-1])
    return seconds


def paint(told, clock, frames, first=3.0, each=1.0):
    told.expect(101 * 100 * 100)
    told.item_start(ITEM, FILM, 0)
    for n in range(frames):
        clock.append(clock[-1] + (each if n else first))
        told.frame_done(ITEM)


def test_it_is_said_once_and_the_slow_first_frame_does_not_count(clock, capsys):
    paint(Report(bars=False), clock, 40)
    assert capsys.readouterr().err == "this will take about 2 min in all, 2 min from now\n"


def test_it_is_an_event_too(clock, capsys):
    paint(Report(bars=False, json=True, quiet=True), clock, 40)
    out, err = capsys.readouterr()
    events = [json.loads(line) for line in out.splitlines()]
    assert [e for e in events if e["event"] == "estimate"] == [
        {"event": "estimate", "seconds": 103, "left": 96}
    ]
    assert err == ""


def test_a_terminal_shows_it_in_the_bar(clock, capsys):
    told = Report(bars=True)
    told.job_start(1)
    paint(told, clock, 6)
    told.job_done()
    err = capsys.readouterr().err
    assert "about 2 min in all" in err and "this will take" not in err


@pytest.mark.parametrize("each", [0.05, 0.0])
def test_a_short_job_says_nothing(clock, capsys, each):
    paint(Report(bars=False), clock, 100, first=0.5, each=each)
    assert capsys.readouterr().err == ""


def test_what_an_earlier_run_painted_is_not_to_come():
    eta = Eta()
    eta.expect(1000)
    eta.start(0, known=900)
    assert eta.painted(10, 5) is None
    assert eta.painted(10, 10) == (50, 40)


def test_pictures_that_are_held_back_are_no_pace():
    """A method that waits for later frames, or carries them backward, gives many out at once."""
    eta = Eta()
    eta.expect(1000)
    eta.start(0)
    assert eta.painted(0, 9) is None
    for n in range(10):
        assert eta.painted(10, 60 + 0.01 * n) is None
    assert eta.painted(10, 65) == pytest.approx((65 + 890 * 5 / 100, 890 * 5 / 100))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(12, "15 s"), (89, "90 s"), (100, "2 min"), (3000, "50 min"), (5500, "1 h 30 min"),
     (36_100, "10 h"), (39_900, "11 h")],
)  # fmt: skip
def test_durations_are_as_coarse_as_they_are_known(seconds, words):
    assert duration(seconds) == words


def test_frames_are_counted_as_the_container_says():
    bare = Info("video", "ts", 8, 8, frames=None)
    timed = Info("video", "ts", 8, 8, frames=None, rate=Fraction(25), duration=4.0)
    assert (frames_of(bare), frames_of(timed)) == (None, 100)
    assert frames_of(timed, Sample(count=6)) == 6
    assert frames_of(timed, Sample.every("1s")) == 5
    assert frames_of(timed, Sample.every("30")) == 4


def test_many_inputs_are_judged_by_some_and_unreadable_ones_count_as_nothing():
    items = [Item(n, Path(f"{n}.jpg"), Path(), Path()) for n in range(1000)]
    looked = []

    def look(item):
        looked.append(item)
        if item.index // 32 % 2:
            raise ItemError("broken")
        return Info("image", "jpeg", 10, 10)

    assert pixels_of(items, look, None) == pytest.approx(100_000 / 2, rel=0.05)
    assert len(looked) <= 32
    unknown = Info("video", "h264", 8, 8, frames=None)
    assert pixels_of(items[:2], lambda item: unknown, None) is None


def test_a_dry_run_says_what_there_is_to_be_painted(tmp_path, capsys, monkeypatch):
    make_clip(tmp_path / "clip.mp4", tuple(range(0, 400, 40)))
    Image.new("RGB", (30, 20)).save(tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)
    argv = ["run", "clip.mp4", "photo.png", "-o", "out", "--dry-run"]
    assert main.run(argv) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "do\tclip.mp4\tout/clip.mp4\t10 frames, 64x48, 0.4 s",
        "do\tphoto.png\tout/photo.png",
    ]
    assert main.run([*argv, "--json", "--frames", "3"]) == 0
    film, photo = (
        e for e in map(json.loads, capsys.readouterr().out.splitlines()) if e["event"] == "planned"
    )
    assert (film["frames"], film["width"], film["height"]) == (3, 64, 48)
    assert (photo["width"], photo["height"], "frames" in photo) == (30, 20, False)
