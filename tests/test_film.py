"""Films whose frames depend on each other: temporal methods of each kind, stateful stylizers.

Each is interrupted by a writer that fails, by Ctrl-C, or by both, and must resume to the bytes of
a run that was not.
"""

import os
import re
import signal
from concurrent.futures import Future
from types import SimpleNamespace

import fakes
import numpy as np
import pytest
import torch
from fakes import writing_fails_at
from stylepipe_plugins.temporal_warp import Warp
from test_pipeline import LeftHalf, go

from stylepipe import Caps, Flow, Frame, Guide, ItemError, Options, Temporal
from stylepipe.film import Film
from stylepipe.queues import Canceled
from stylepipe.stream import Stream

CUT = 13
FRAMES = 22


def shot(seed: int, count: int) -> list[np.ndarray]:
    """A dark rectangle on a bright gradient, or the other way round, that moves: no cut within."""
    frames = []
    for k in range(count):
        frame = np.linspace(20, 120, 40, dtype=np.uint8)[None, :, None].repeat(32, 0).repeat(3, 2)
        frame = np.ascontiguousarray(frame[:, ::-1] if seed else frame)
        frame[8 + k // 4 : 20 + k // 4, 6 + 18 * seed : 20 + 18 * seed] = 220 - 9 * k
        frames.append(np.ascontiguousarray(frame.swapaxes(0, 1) if seed else frame)[:32, :32])
    return frames


@pytest.fixture
def clip(tmp_path):
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "clip.npy"
    np.save(path, np.stack([*shot(0, CUT), *shot(1, FRAMES - CUT)]))
    return path


class Still(Flow):
    """Nothing moves."""

    name = "still"

    def flow(self, a, b):
        return torch.zeros(1, 2, *a.pixels.shape[:2])


class Recurrent(fakes.Negative):
    """A running mean of all frames since the last scene cut."""

    caps = Caps(needs_style=False, warmup="shot")

    def prepare(self, styles):
        super().prepare(styles)
        self.seen = []

    def reset(self, item):
        super().reset(item)
        self.mean = None

    def stylize(self, batch):
        self.seen.append(batch.first)
        new = 1 - batch.images
        self.mean = new if self.mean is None else 0.9 * self.mean + 0.1 * new
        return self.mean


class Delayed(Recurrent):
    """The mean of the last three frames."""

    caps = Caps(needs_style=False, warmup=2)

    def reset(self, item):
        super().reset(item)
        self.last = []

    def stylize(self, batch):
        self.seen.append(batch.first)
        self.last = [*self.last, batch.images][-3:]
        return torch.stack(self.last).mean(0)


class Native(fakes.Negative):
    """Keeps half of the previous result, and tells what it was given."""

    caps = Caps(needs_style=False, temporal="native")

    def prepare(self, styles):
        super().prepare(styles)
        self.guides = {}

    def stylize(self, batch):
        self.guides[batch.first] = batch.guide
        new = 1 - batch.images
        if batch.guide is None:
            return new
        return new + (batch.guide.warped - new) * batch.guide.trust / 2


class Circular(Native):
    """Its state holds what results lead back to."""

    caps = Caps(needs_style=False, temporal="native", warmup=1)

    def reset(self, item):
        super().reset(item)
        self.before = None

    def stylize(self, batch):
        new = super().stylize(batch)
        result = new if self.before is None else (new + self.before) / 2
        self.before = new
        return result


class Median(Temporal):
    """The median of three frames: one ahead, one behind."""

    name, mode, uses_flow, lookahead = "median", "filter", False, 1

    def filter(self, window, at, previous):
        assert window[at].frame.index - window[0].frame.index == at
        found = np.median([p.pixels for p in window], axis=0)
        return found.astype(window[at].pixels.dtype)


class Decay(Temporal):
    """Half of the result before, as it was written: looks two frames ahead besides."""

    name, mode, uses_flow, lookahead = "decay", "filter", False, 2

    def filter(self, window, at, previous):
        ahead = np.mean([p.pixels for p in window[at:]], axis=0)
        mixed = ahead if previous is None else (ahead + previous.pixels) / 2
        return np.rint(mixed).astype(window[at].pixels.dtype)


class Fade(Decay):
    """The same without a look ahead."""

    name, lookahead = "fade", 0


class BothWays(Temporal):
    """Averages forward, then backward."""

    name, mode, uses_flow = "both-ways", "shot", False

    def paint_shot(self, frames, paint):
        painted = [paint(frame, None).astype(float) for frame in frames]
        for order in (range(1, len(frames)), range(len(frames) - 2, -1, -1)):
            step = 1 if order.step == 1 else -1
            for k in order:
                painted[k] = (painted[k] + painted[k - step]) / 2
        return [np.rint(p).astype(frames[0].pixels.dtype) for p in painted]


METHODS = {
    "none": lambda: None,
    "warp": lambda: Warp(Warp.Options(), Still(Options())),
    "median": lambda: Median(Options()),
    "decay": lambda: Decay(Options()),
    "fade": lambda: Fade(Options()),
    "both-ways": lambda: BothWays(Options()),
}
STYLIZERS = [fakes.Negative, Recurrent, Delayed, Native, Circular]


def chosen(stylizer, method, masked=False):
    made = fakes.settings(
        temporal=METHODS[method](), masker=LeftHalf(LeftHalf.Options()) if masked else None
    )
    object.__setattr__(made, "stylizer", stylizer(stylizer.Options()))
    return made


def painted(source, output, settings):
    """The result and the stylizer that made it."""
    report, _ = go(source, output, settings)
    assert report.exit_code == 0, report.failures
    return np.load(output)


@pytest.mark.parametrize("stylizer", STYLIZERS, ids=lambda s: s.__name__.lower())
@pytest.mark.parametrize("method", METHODS)
def test_what_was_interrupted_resumes_to_the_same_bytes(
    clip, tmp_path, monkeypatch, stylizer, method
):
    straight = painted(clip, tmp_path / "straight.npy", chosen(stylizer, method))
    assert len(straight) == FRAMES
    for frame in (5, CUT, CUT + 1, 17):
        with writing_fails_at(frame, monkeypatch):
            report, _ = go(clip, tmp_path / "resumed.npy", chosen(stylizer, method))
            assert report.exit_code == 1
    resumed = painted(clip, tmp_path / "resumed.npy", chosen(stylizer, method))
    np.testing.assert_array_equal(resumed, straight)


@pytest.mark.parametrize("method", METHODS)
def test_ctrl_c_loses_nothing(clip, tmp_path, monkeypatch, method):
    straight = painted(clip, tmp_path / "straight.npy", chosen(Recurrent, method))
    stylize, calls = Recurrent.stylize, []

    def interrupt(self, batch):
        calls.append(batch.first)
        if len(calls) == 8:
            os.kill(os.getpid(), signal.SIGINT)
        return stylize(self, batch)

    monkeypatch.setattr(Recurrent, "stylize", interrupt)
    report, _ = go(clip, tmp_path / "out.npy", chosen(Recurrent, method))
    assert report.exit_code == 130 and not (tmp_path / "out.npy").exists()
    assert len(calls) == 8  # also where a method paints a whole shot
    np.testing.assert_array_equal(
        painted(clip, tmp_path / "out.npy", chosen(Recurrent, method)), straight
    )


# -- stateful stylizers ------------------------------------------------------------------------


@pytest.mark.parametrize(("failing", "fed"), [(5, 0), (CUT, CUT), (CUT + 4, CUT)])
def test_a_stateful_stylizer_sees_the_shot_again_and_no_more(
    clip, tmp_path, monkeypatch, failing, fed
):
    with writing_fails_at(failing, monkeypatch):
        go(clip, tmp_path / "out.npy", chosen(Recurrent, "none"))
    settings = chosen(Recurrent, "none")
    painted(clip, tmp_path / "out.npy", settings)
    assert settings.stylizer.seen == list(range(fed, FRAMES))


def test_a_short_memory_is_fed_as_many_frames_as_it_says(clip, tmp_path, monkeypatch):
    for failing in (1, 9):
        with writing_fails_at(failing, monkeypatch):
            go(clip, tmp_path / "out.npy", chosen(Delayed, "none"))
    settings = chosen(Delayed, "none")
    painted(clip, tmp_path / "out.npy", settings)
    assert settings.stylizer.seen == list(range(7, FRAMES))


def test_a_stylizer_without_state_is_fed_nothing_twice(clip, tmp_path, monkeypatch):
    painter = chosen(Native, "warp")
    with writing_fails_at(9, monkeypatch):
        go(clip, tmp_path / "out.npy", chosen(Native, "warp"))
    painted(clip, tmp_path / "out.npy", painter)
    assert sorted(painter.stylizer.guides) == list(range(9, FRAMES))


@pytest.mark.parametrize("method", ["none", "warp", "median", "both-ways"])
def test_scene_cuts_reset_a_stateful_stylizer_with_and_without_a_method(clip, tmp_path, method):
    settings = chosen(Recurrent, method)
    both = painted(clip, tmp_path / "both.npy", settings)
    assert settings.stylizer.resets == ["clip.npy"] * 2
    np.save(tmp_path / "second.npy", np.load(clip)[CUT:])
    second = painted(tmp_path / "second.npy", tmp_path / "alone.npy", chosen(Recurrent, method))
    np.testing.assert_array_equal(both[CUT:], second)  # nothing of the first shot is in it


def test_undeclared_frames_are_not_compared(clip, tmp_path, monkeypatch):
    monkeypatch.setattr("stylepipe.film.is_cut", None)
    settings = chosen(fakes.Negative, "none")
    painted(clip, tmp_path / "out.npy", settings)
    assert settings.stylizer.resets == ["clip.npy"]


# -- what methods are given --------------------------------------------------------------------


def test_a_native_stylizer_gets_the_previous_frame_its_result_and_the_flow(clip, tmp_path):
    settings = chosen(Native, "warp")
    results, sources = painted(clip, tmp_path / "out.npy", settings), np.load(clip)
    guides = settings.stylizer.guides
    assert [k for k, guide in guides.items() if guide is None] == [0, CUT]
    for k in (1, CUT - 1, CUT + 1, FRAMES - 1):
        guide = guides[k]
        for tensor, pixels in ((guide.source, sources), (guide.result, results)):
            before = tensor[0].permute(1, 2, 0).numpy() * 255
            np.testing.assert_allclose(before, pixels[k - 1], atol=1e-3)
        assert guide.flow.shape == (1, 2, 32, 32) and guide.trust.shape == (1, 1, 32, 32)


def test_a_filter_sees_three_frames_and_none_of_another_shot(clip, tmp_path):
    result = painted(clip, tmp_path / "out.npy", chosen(fakes.Negative, "median"))
    plain = 255 - np.load(clip)
    for begin, end in ((0, CUT), (CUT, FRAMES)):
        for k in range(begin, end):
            window = plain[max(begin, k - 1) : min(end, k + 2)]
            np.testing.assert_array_equal(result[k], np.median(window, axis=0).astype(np.uint8))


def test_a_shot_is_painted_forward_and_backward(clip, tmp_path):
    result = painted(clip, tmp_path / "out.npy", chosen(fakes.Negative, "both-ways"))
    plain = (255 - np.load(clip)).astype(float)
    expected = plain[:CUT].copy()
    for k in range(1, CUT):
        expected[k] = (expected[k] + expected[k - 1]) / 2
    for k in range(CUT - 2, -1, -1):
        expected[k] = (expected[k] + expected[k + 1]) / 2
    np.testing.assert_array_equal(result[:CUT], np.rint(expected))
    assert np.abs(result[:CUT] - plain[:CUT]).max() > 3


@pytest.mark.parametrize("method", ["warp", "median", "both-ways"])
def test_masked_out_pixels_are_the_sources_whatever_the_method(clip, tmp_path, method):
    result = painted(clip, tmp_path / "out.npy", chosen(fakes.Negative, method, masked=True))
    plain = painted(clip, tmp_path / "plain.npy", chosen(fakes.Negative, method))
    np.testing.assert_array_equal(result[:, :, 16:], np.load(clip)[:, :, 16:])
    if method != "warp":  # whose guide leaves out what moves in over the mask's edge
        np.testing.assert_array_equal(result[:, :, :16], plain[:, :, :16])


def test_photos_know_of_no_method(clip, tmp_path):
    np.save(clip.with_name("photo.npy"), fakes.array())
    report, _ = go(clip.parent, tmp_path / "out", chosen(Recurrent, "both-ways"))
    assert report.counts == {"done": 2}, report.failures
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "photo.npy"), 255 - fakes.array())


# -- bounds and errors -------------------------------------------------------------------------


def test_a_shot_that_is_too_long_is_refused_and_costs_nothing_else(tmp_path):
    wide = np.zeros((10, 700, 700, 3), np.uint8)  # 1.5 MB a frame; half of 16 MiB are 5 of them
    folder = tmp_path / "in"
    folder.mkdir()
    np.save(folder / "long.npy", wide)
    np.save(folder / "short.npy", wide[:2])
    report, _ = go(folder, tmp_path / "out", chosen(fakes.Negative, "both-ways"), memory=1 << 24)
    assert report.counts == {"done": 1, "failed": 1}
    ((path, message),) = report.failures
    assert path.name == "long.npy" and "the shot that begins with frame 1 is too long" in message
    assert "only 2 frames fit" in message and "--memory" in message


def test_results_wait_for_no_more_frames_than_the_method_looks_ahead(clip, tmp_path, monkeypatch):
    written, ahead = [], []
    write, stylize = fakes.NpySink.write, fakes.Negative.stylize

    def note(self, frame):
        written.append(frame.index)
        write(self, frame)

    def look(self, batch):
        ahead.append(batch.first)
        return stylize(self, batch)

    monkeypatch.setattr(fakes.NpySink, "write", note)
    monkeypatch.setattr(fakes.Negative, "stylize", look)
    settings = chosen(fakes.Negative, "decay")
    windows, filter = [], Decay.filter
    monkeypatch.setattr(
        Decay, "filter", lambda *a: windows.append((ahead[-1], a[1], a[2])) or filter(*a)
    )
    painted(clip, tmp_path / "out.npy", settings)
    assert written == list(range(FRAMES))
    for latest, window, at in windows:
        assert latest - window[at].frame.index <= 2 or window[at].frame.index in (CUT - 2, CUT - 1)
        assert len(window) <= 5


@pytest.mark.parametrize(
    ("method", "broken", "message"),
    [
        ("warp", "motion", "no motion"),
        ("warp", "guide", "no guide"),
        ("warp", "blend", "no blend"),
        ("median", "filter", "no filter"),
        ("both-ways", "paint_shot", "no paint_shot"),
    ],
)
def test_a_method_that_breaks_costs_its_item_only(
    clip, tmp_path, monkeypatch, method, broken, message
):
    np.save(clip.with_name("photo.npy"), fakes.array())
    settings = chosen(fakes.Negative, method)

    def explode(self, *args):
        raise RuntimeError(f"no {broken}")

    monkeypatch.setattr(type(settings.temporal), broken, explode)
    report, _ = go(clip.parent, tmp_path / "out", settings)
    assert report.counts == {"done": 1, "failed": 1}
    assert message in report.failures[0][1]


@pytest.mark.parametrize(
    ("method", "name", "value", "message"),
    [
        (
            "median",
            "filter",
            np.zeros((3, 3, 3), np.uint8),
            r"'median' of plugin toys returned \(3, 3, 3\) of",
        ),
        ("median", "filter", np.zeros((32, 32, 3)), "of float64 for frame 1"),
        ("median", "filter", None, "temporal method 'median' of plugin toys returned None for"),
        ("both-ways", "paint_shot", [], "returned 0 pictures for a shot of 13 frames"),
        ("both-ways", "paint_shot", [None] * 13, "'both-ways' of plugin toys returned None for"),
        ("warp", "guide", 1, "'warp' of plugin toys returned 1, not a stylepipe.Guide"),
        ("warp", "guide", Guide(torch.zeros(1, 3, 2, 2), torch.zeros(1, 1, 32, 32)), "the warped"),
        ("warp", "guide", Guide(torch.zeros(1, 3, 32, 32), torch.zeros(32, 32)), "the trust"),
        ("warp", "blend", None, "'warp' of plugin toys returned None, not a tensor"),
        ("warp", "blend", torch.zeros(1, 1, 32, 32), r"returned \(1, 1, 32, 32\) where"),
        ("warp", "blend", torch.full((1, 3, 32, 32), torch.nan), "not numbers"),
    ],
)
def test_a_wrong_result_is_named(clip, tmp_path, monkeypatch, method, name, value, message):
    settings = chosen(fakes.Negative, method)
    monkeypatch.setattr(type(settings.temporal), "plugin", "toys")
    monkeypatch.setattr(type(settings.temporal), name, lambda self, *args: value)
    report, _ = go(clip, tmp_path / "out.npy", settings)
    assert report.exit_code == 1
    assert re.search(message, report.failures[0][1])


def test_a_link_that_was_canceled_is_no_fault_of_its_item():
    """The reading thread cancels what waits as it ends the run."""
    link = Future()
    link.cancel()
    with pytest.raises(Canceled):
        Stream._hand_on(None, None, list, link)


def test_results_that_are_larger_count_as_such_in_a_shot(tmp_path):
    still = np.stack(shot(0, 1) * 8)
    both = BothWays(Options())
    source = Frame(still[0])
    fits = Film(SimpleNamespace(scale=1, temporal=both), None, 0, None, 4 * source.nbytes, None)
    large = Film(SimpleNamespace(scale=2, temporal=both), None, 0, None, 4 * source.nbytes, None)
    fits._hold(source, None)
    with pytest.raises(ItemError, match="too long"):
        large._hold(source, None)
