"""``stylepipe live``: the newest picture first, painted, shown, recorded; cameras that go away."""

import os
import signal
import subprocess
import sys
import threading
import types
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from clips import make_clip, picture, read
from fakes import Negative
from fakes import settings as fake_settings
from PIL import Image

from stylepipe import ItemError, SetupError, UsageError
from stylepipe.cli import main
from stylepipe.live import feed as feeds
from stylepipe.live import screens as screens_module
from stylepipe.live.feed import CameraFeed, FilmFeed, open_feed
from stylepipe.live.newest import Newest
from stylepipe.live.recording import Recording
from stylepipe.live.screens import VirtualCamera, Window
from stylepipe.live.show import Show
from stylepipe.media.video import VideoReader, VideoWriter
from stylepipe.session import Session

HERE = str(Path(__file__).parent)


class Pictures:
    """A feed that gives out each picture when the one before was shown."""

    name = "camera 7"

    def __init__(self, pictures, lost=""):
        self._pictures, self._lost, self.shown = list(pictures), lost, threading.Semaphore(1)

    def pictures(self):
        for one in self._pictures:
            self.shown.acquire(timeout=5)
            yield one
        self.shown.acquire(timeout=5)
        if self._lost:
            raise ItemError(self._lost)

    def close(self):
        pass


class Wall:
    """A screen that keeps what it shows, and presses keys after given pictures."""

    def __init__(self, feed, keys=()):
        self.feed, self.keys = feed, dict(keys)
        self.seen, self.titles, self.asked = [], [], 0

    def show(self, picture, title):
        self.seen.append(picture)
        self.titles.append(title)

    def key(self):
        key = self.keys.pop(len(self.seen), "")
        if len(self.seen) > self.asked:  # the picture was shown, the next may come
            self.asked = len(self.seen)
            self.feed.shown.release()
        return key

    def close(self):
        pass


class Ticking:
    """Each look at it is a hundredth of a second later."""

    now = 0.0

    def __call__(self):
        self.now += 0.01
        return self.now


def session(style=None, **options):
    return Session(fake_settings(**options), log=print, device="cpu").prepare()


def show(pictures, keys=(), lost="", recording=None, styles=(), open_=session, size=640, log=print):
    feed = Pictures(pictures, lost)
    wall = Wall(feed, keys)
    live = Show(open_, styles, [wall], recording, size, log, Ticking())
    return live, wall, live.run(feed)


# -- the newest picture ---------------------------------------------------------------------


def test_the_newest_picture_is_taken_and_older_ones_are_counted():
    go_on, read_ = threading.Event(), threading.Event()

    class Hasty:
        name = "hasty"

        def pictures(self):
            yield from (np.full((2, 2, 3), n, np.uint8) for n in range(5))
            read_.set()
            go_on.wait(5)
            yield np.full((2, 2, 3), 9, np.uint8)

        def close(self):
            pass

    newest = Newest(Hasty())
    assert read_.wait(5)
    assert newest.take(1).pixels[0, 0, 0] == 4 and newest.dropped == 4
    assert newest.take(0.01) is None and not newest.over
    go_on.set()
    assert newest.take(5).pixels[0, 0, 0] == 9
    assert newest.take(5) is None and newest.over and newest.error == ""
    newest.close()


def test_a_film_is_played_at_its_own_rate(tmp_path):
    clip = make_clip(tmp_path / "a.mp4", (0, 40, 80, 200))
    now, slept = [100.0], []

    def sleep(seconds):
        slept.append(round(seconds, 3))
        now[0] += seconds

    film = FilmFeed(clip, [VideoReader(VideoReader.Options())], lambda: now[0], sleep)
    _, frames = read(clip)
    played = list(film.pictures())
    assert all((a == b.pixels).all() for a, b in zip(played, frames, strict=True))
    assert slept == [0.04, 0.04, 0.12]


# -- the show -------------------------------------------------------------------------------


def test_pictures_are_painted_shown_and_counted():
    live, wall, lost = show([picture(n) for n in range(4)])
    assert lost == "" and len(wall.seen) == 4
    assert all((seen == 255 - picture(n)).all() for n, seen in enumerate(wall.seen))
    assert "a second" in wall.titles[-1] and "ms late" in wall.titles[-1]
    words = live.tally.words()
    assert words.startswith("4 shown, ") and "0 dropped" in words and "latency" in words


def test_large_pictures_are_scaled_down_and_small_ones_never_up():
    _, wall, _ = show([picture(0, 80, 40), picture(0, 20, 10)], size=40)
    assert [seen.shape for seen in wall.seen] == [(20, 40, 3), (10, 20, 3)]


def test_keys_quit_pause_save_and_change_the_style(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    opened = []

    def open_(style):
        opened.append(style)
        return session()

    keys = {1: "s", 2: "n", 3: "n", 4: "p", 5: "q"}
    _, wall, lost = show([picture(n) for n in range(9)], keys, styles=("one", "two"), open_=open_)
    assert len(wall.seen) == 5 and lost == ""
    assert opened == [None, "one", "two", "one"]
    assert (np.asarray(Image.open("live_0001.png")) == wall.seen[0]).all()
    assert "saved live_0001.png" in capsys.readouterr().out
    assert wall.titles[-1].startswith("one: ")


def test_a_pause_shows_nothing_until_the_next_space():
    class Patient(Wall):
        """Pauses after the second picture, and goes on when others came by."""

        presses = waited = 0

        def key(self):
            if len(self.seen) == 2 and self.presses < 2:
                self.feed.shown.release()
                self.waited += self.presses
                if self.presses == 0 or self.waited == 3:
                    self.presses += 1
                    return " "
                return ""
            return super().key()

    feed = Pictures([picture(n) for n in range(12)])
    wall = Patient(feed)
    Show(session, (), [wall], None, 640, print, Ticking()).run(feed)
    assert wall.presses == 2 and 2 < len(wall.seen) < 12
    assert (wall.seen[-1] == 255 - picture(11)).all()


def test_a_slow_stylizer_is_told_with_its_time():
    said = []
    show(
        [picture(n, 8, 6) for n in range(3)], log=said.append,
        open_=lambda style: session(wait=0.0),
    )  # fmt: skip
    assert said == []

    class Slow(Ticking):
        def __call__(self):
            self.now += 2.0
            return self.now

    feed = Pictures([picture(n, 8, 6) for n in range(3)])
    Show(session, (), [Wall(feed)], None, 640, said.append, Slow()).run(feed)
    assert (
        len(said) == 1 and said[0].startswith("negative takes ") and "too slow for live" in said[0]
    )


def test_a_camera_that_shows_black_is_told_once():
    said = []
    black = np.zeros((4, 6, 3), np.uint8)
    _, wall, _ = show([black] * 40, log=said.append)
    assert len(wall.seen) == 40 and len(said) == 1 and "black pictures only" in said[0]
    said.clear()
    show([picture(0, 6, 4), *[black] * 40], log=said.append)
    assert said == []


class Flicker(Negative):
    """Every second picture is brighter."""

    count = 0

    def stylize(self, batch):
        self.count += 1
        return 0.3 + 0.3 * (1 - batch.images) + 0.2 * (self.count % 2)


def test_pictures_follow_one_another_for_a_temporal_method():
    from stylepipe_plugins.flow_dis import DisFlow
    from stylepipe_plugins.temporal_warp import Warp

    def open_(guided):
        flow = DisFlow(DisFlow.Options.build({}))
        warp = Warp(Warp.Options.build({}), flow) if guided else None
        asked = replace(fake_settings(temporal=warp), stylizer=Flicker(Flicker.Options.build({})))
        return Session(asked, log=print, device="cpu").prepare()

    pictures = [picture(3, 96, 64)] * 2
    change = []
    for guided in (False, True):
        _, wall, _ = show(pictures, open_=lambda style, guided=guided: open_(guided))
        change.append(abs(wall.seen[1].astype(int) - wall.seen[0]).mean())
    assert change[0] > 40 and change[1] < 0.6 * change[0]


# -- recordings -----------------------------------------------------------------------------


def recording(path, said=None):
    writer = VideoWriter(VideoWriter.Options.build({}))
    log = (said if said is not None else []).append
    writer.open(types.SimpleNamespace(log=log))
    return Recording(path, [writer], 25, log)


def test_what_was_recorded_is_kept_when_the_camera_goes_away(tmp_path):
    film = recording(tmp_path / "out.mp4")
    _, wall, lost = show([picture(n) for n in range(5)], lost="camera 7 went away", recording=film)
    assert lost == "camera 7 went away"
    assert film.close()
    info, frames = read(tmp_path / "out.mp4")
    assert len(frames) == 5 and (info.width, info.height) == (64, 48)
    assert abs(frames[4].pixels.astype(int) - wall.seen[4]).mean() < 6
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]


def test_a_camera_that_changes_size_is_recorded_at_the_first(tmp_path):
    said = []
    film = recording(tmp_path / "out.mp4", said)
    show([picture(0), picture(1, 32, 24), picture(2, 32, 24)], recording=film)
    film.close()
    info, frames = read(tmp_path / "out.mp4")
    assert (info.width, info.height, len(frames)) == (64, 48, 3)
    assert [line for line in said if "recorded as 64x48" in line] == [
        "the picture becomes 32x24: recorded as 64x48, the size it began with"
    ]


def test_recordings_never_replace_a_file_and_know_their_formats(tmp_path):
    (tmp_path / "there.mp4").write_bytes(b"mine")
    for name, words in (("there.mp4", "exists"), ("a.xyz", "one of these suffixes"),
                        ("a.avi", "which .avi cannot hold; record as .mp4"),
                        ("no/a.mp4", "there is no folder")):  # fmt: skip
        with pytest.raises(UsageError, match=words):
            recording(tmp_path / name)
    assert (tmp_path / "there.mp4").read_bytes() == b"mine"
    assert recording(tmp_path / "empty.mp4").close() is False


@pytest.mark.parametrize(
    ("suffix", "step"),
    [
        (".mp4", "video_encode.Encoding.add_to"),
        (".mp4", "video_live.FromRGB.__call__"),
        (".gif", "video.VideoWriter.open_sink"),
    ],
)
def test_a_recording_that_cannot_begin_leaves_nothing_behind(tmp_path, monkeypatch, suffix, step):
    def fail(*args):
        raise SetupError("no encoder")

    monkeypatch.setattr(f"stylepipe.media.{step}", fail)
    film = recording(tmp_path / f"out{suffix}")
    with pytest.raises(SetupError, match="no encoder"):
        film.add(picture(0), 0.0)
    assert film.close() is False
    assert list(tmp_path.iterdir()) == []


# -- cameras --------------------------------------------------------------------------------


class Capture:
    """Stands for cv2.VideoCapture."""

    opened, pictures = True, 2

    def __init__(self, source):
        self.left = self.pictures

    def isOpened(self):
        return self.opened

    def set(self, key, value):
        pass

    def read(self):
        self.left -= 1
        return self.left >= 0, np.full((2, 2, 3), (1, 2, 3), np.uint8)

    def release(self):
        pass


def test_a_camera_is_read_in_rgb_until_it_goes_away(monkeypatch):
    monkeypatch.setattr("cv2.VideoCapture", Capture)
    pictures = CameraFeed(0).pictures()
    assert next(pictures)[0, 0].tolist() == [3, 2, 1]
    next(pictures)
    with pytest.raises(ItemError, match="camera 0 went away"):
        next(pictures)


@pytest.mark.skipif(sys.platform != "linux", reason="devices are files on Linux")
def test_a_camera_that_cannot_be_opened_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr("cv2.VideoCapture", Capture)
    monkeypatch.setattr(Capture, "opened", False)
    monkeypatch.setattr(feeds, "_DEVICES", tmp_path)
    (tmp_path / "null").touch()
    with pytest.raises(SetupError, match="there is no camera 3: this machine has none"):
        CameraFeed(3)
    (tmp_path / "video1").touch()
    with pytest.raises(SetupError, match="there are 1"):
        CameraFeed(3)
    with pytest.raises(SetupError, match="another program uses it"):
        CameraFeed(1)
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(SetupError, match=r"may not be used.*group video"):
        CameraFeed(1)
    with pytest.raises(SetupError, match=r"rtsp://x cannot be opened"):
        open_feed("rtsp://x", ())


def test_what_is_no_camera_is_refused(tmp_path):
    readers = fake_settings().readers
    with pytest.raises(UsageError, match="no camera 'nothing'"):
        open_feed("nothing", readers)
    np.save(tmp_path / "photo.npy", picture(0))
    with pytest.raises(ItemError, match="is a photo, and a camera shows a film"):
        open_feed(str(tmp_path / "photo.npy"), readers)
    with pytest.raises(UsageError, match="is a folder whose pictures have no times"):
        open_feed(str(tmp_path), readers)


# -- screens --------------------------------------------------------------------------------


def test_without_a_display_one_sentence_says_what_to_do(monkeypatch):
    monkeypatch.setattr(screens_module, "no_window", lambda: "there is no display")
    with pytest.raises(SetupError, match="there is no display: pass --record FILE, or --virtual"):
        Window()


def test_an_opencv_without_windows_is_recognized(monkeypatch):
    monkeypatch.setattr("cv2.getBuildInformation", lambda: "x\n  GUI:             NONE\n")
    assert "built without windows" in screens_module.no_window()


def test_a_window_shows_pictures_and_tells_keys(monkeypatch):
    import cv2

    shown, code = [], [ord("s")]
    visible = [1.0]
    for name, stub in {
        "namedWindow": lambda *a: None, "resizeWindow": lambda *a: None,
        "setWindowTitle": lambda w, title: shown.append(title),
        "imshow": lambda w, picture: shown.append(picture), "waitKey": lambda ms: code[0],
        "getWindowProperty": lambda *a: visible[0], "destroyWindow": lambda w: None,
    }.items():  # fmt: skip
        monkeypatch.setattr(cv2, name, stub)
    monkeypatch.setattr(screens_module, "no_window", lambda: "")
    window = Window()
    window.show(np.full((2, 2, 3), (1, 2, 3), np.uint8), "title")
    assert shown[0] == "title" and shown[1][0, 0].tolist() == [3, 2, 1]
    assert window.key() == "s"
    code[0] = 27
    assert window.key() == "q"
    code[0], visible[0] = 255, 0.0
    assert window.key() == "q"  # it was closed

    def gone(*args):
        raise cv2.error("NULL window")

    for name in ("setWindowTitle", "imshow", "destroyWindow"):
        monkeypatch.setattr(cv2, name, gone)
    window.show(picture(0), "closed while this was painted")
    window.close()


def test_a_virtual_camera_needs_its_extra_and_a_place(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(SetupError, match=r"pip install 'stylepipe\[live\]'"):
        VirtualCamera(25)
    sent = []

    class Camera:
        def __init__(self, width, height, fps):
            if width > 100:
                raise RuntimeError("no device")

        def send(self, frame):
            sent.append(frame.shape)

        def close(self):
            sent.append("closed")

    monkeypatch.setitem(sys.modules, "pyvirtualcam", types.SimpleNamespace(Camera=Camera))
    camera = VirtualCamera(25)
    camera.show(picture(0, 64, 48), "")
    camera.show(picture(0, 32, 24), "")  # of the size that it began with
    camera.close()
    assert sent == [(48, 64, 3), (48, 64, 3), "closed"] and camera.key() == ""
    with pytest.raises(SetupError, match="no virtual camera can be made"):
        VirtualCamera(25).show(picture(0, 128, 48), "")


# -- the command ----------------------------------------------------------------------------


@pytest.fixture
def live(tmp_path, monkeypatch, capsys):
    """Run the command with the negative; returns exit code and stderr."""
    plugin = tmp_path / "negative_plugin.py"
    plugin.write_text(
        f"import sys; sys.path.insert(0, {HERE!r})\nfrom fakes import Negative\n"
        "from stylepipe import Temporal, hookimpl\n\n\nclass Late(Temporal):\n"
        '    """Waits for later frames."""\n\n'
        '    name, mode, uses_flow = "late", "filter", False\n\n'
        "    def filter(self, window, at, previous):\n        return window[at].pixels\n\n\n"
        "@hookimpl\ndef stylepipe_components():\n    return [Negative, Late]\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(screens_module, "no_window", lambda: "there is no display")

    def call(*args):
        argv = ["live", "--set", "stylizer.use=negative", "--device", "cpu"]
        code = main.run([*argv, *map(str, args), "--plugin", str(plugin)])
        return code, capsys.readouterr().err

    return call


def test_a_film_is_painted_live_and_recorded(live, tmp_path):
    make_clip(tmp_path / "in.mp4", tuple(range(0, 400, 40)))
    code, err = live("--camera", "in.mp4", "--record", "out.mp4")
    assert code == 0, err
    assert "no window, as there is no display" in err and "recorded out.mp4" in err
    assert " shown, " in err and "dropped; latency" in err
    _, frames = read(tmp_path / "out.mp4")
    _, source = read(tmp_path / "in.mp4")
    assert abs(frames[0].pixels.astype(int) + source[0].pixels - 255).mean() < 8


@pytest.mark.parametrize(
    "args",
    [
        ["stylizer.use=given", "stylizer.painted=in.mp4"],
        ["stylizer.use=keyframes", "stylizer.keyframe=0=in.png"],
    ],
)
def test_what_was_painted_of_a_film_is_not_taken_for_a_camera(live, tmp_path, args):
    make_clip(tmp_path / "in.mp4", (0, 40))
    Image.fromarray(picture(0)).save("in.png")
    sets = [word for arg in args for word in ("--set", arg)]
    code, err = live("--camera", "in.mp4", "--record", "out.mp4", *sets)
    assert code == 1 and "a camera shows none" in err, err
    assert not (tmp_path / "out.mp4").exists()


def test_a_camera_that_goes_away_ends_it_with_exit_code_1(live, tmp_path, monkeypatch):
    monkeypatch.setattr("cv2.VideoCapture", Capture)
    monkeypatch.setattr(
        Capture, "read", lambda self: (setattr(self, "left", self.left - 1) or self.left >= 0,
                                       picture(0)),
    )  # fmt: skip
    code, err = live("--camera", 0, "--record", "out.mp4")
    assert code == 1 and "error: camera 0 went away" in err and "recorded out.mp4" in err
    assert (tmp_path / "out.mp4").exists()


def test_what_means_nothing_to_a_camera_is_refused(live, tmp_path):
    make_clip(tmp_path / "in.mp4", (0, 40))
    for args, code, words in (
        (["--camera", "in.mp4"], 4, "pass --record FILE, or --virtual-camera"),
        (["--camera", "in.mp4", "--record", "o.mp4", "--temporal", "late"], 2, "waits for later"),
        (["--record", "o.mp4", "--set", "output.format=png"], 2, "is about files"),
        (["--record", "o.mp4", "--set", "input.frames=3"], 2, "is about files"),
        (["--record", "o.mp4", "--overwrite"], 2, "no such option"),
        (["--camera", "gone.mp4", "--record", "o.mp4"], 2, "no camera 'gone.mp4'"),
    ):
        got, err = live(*args)
        assert got == code and words in err, err
        assert not (tmp_path / "o.mp4").exists()


KILLED = """
import os, sys, types
sys.path.insert(0, {here!r})
from pathlib import Path
from clips import picture
from test_live import recording

film = recording(Path(sys.argv[1]))
pictures = [picture(n) for n in range(10)]
for n in range(150):
    film.add(pictures[n % 10], n / 25)
os.kill(os.getpid(), 9)
"""


@pytest.mark.skipif(os.name != "posix", reason="kills itself")
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_recording_plays_even_if_the_program_was_killed(tmp_path, suffix):
    code = KILLED.format(here=str(Path(__file__).parent))
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / f"out{suffix}")], check=False)
    assert done.returncode == -signal.SIGKILL
    with av.open(str(tmp_path / f"out{suffix}")) as film:
        times = [frame.time for frame in film.decode(video=0)]
    assert len(times) >= 75, "all but the last seconds of 6"
    assert times == pytest.approx([n / 25 for n in range(len(times))], abs=0.002)


def test_a_recording_that_a_kill_would_lose_says_so(tmp_path):
    said = []
    recording(tmp_path / "out.gif", said)
    assert "lost if the program is killed" in said[0] and ".mkv" in said[0]
