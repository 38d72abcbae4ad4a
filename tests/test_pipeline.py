"""The engine, with small real components: order, failures, resume, interruption, masks, alpha."""

import errno
import os
import shutil
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import fakes
import numpy as np
import pytest
import torch
from fakes import array, settings
from stylepipe_plugins.temporal_warp import Warp

from stylepipe import Flow, Masker, StyleInfo, StyleRef, UsageError, pipeline
from stylepipe.errors import ItemError, SetupError
from stylepipe.job import Job, MaskOptions
from stylepipe.pipeline import run
from stylepipe.report import Report


@pytest.fixture
def photos(tmp_path) -> Path:
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    for index, name in enumerate(("a", "b", "c", "sub/d")):
        np.save(folder / f"{name}.npy", array(seed=index))
    return folder


@pytest.fixture
def clip(tmp_path) -> Path:
    path = tmp_path / "clip.npy"
    np.save(path, np.stack([array(seed=i) for i in range(9)]))
    return path


def go(source, output, chosen=None, report=None, **options):
    job = Job(
        (source,), output, chosen or settings(),
        **{"device": "cpu", "precision": "full", "memory": 1 << 28} | options,
    )  # fmt: skip
    plugins = fakes.Plugins()
    report = run(job, plugins, report or Report(quiet=True))
    return report, plugins.told


def tree(folder: Path) -> dict[str, bytes]:
    files = [p for p in folder.rglob("*") if p.is_file() and ".stylepipe" not in str(p)]
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


def test_folder_in_folder_out(photos, tmp_path):
    report, told = go(photos, tmp_path / "out")
    assert report.exit_code == 0
    names = ["a.npy", "b.npy", "c.npy", "d.npy"]
    assert told == [("start", names), *[(n, "done") for n in names], "done"]
    for name in ("a.npy", "sub/d.npy"):
        result, source = np.load(tmp_path / "out" / name), np.load(photos / name)
        np.testing.assert_array_equal(result, 255 - source)


class Lingering(fakes.Negative):
    """Paints on, reporting progress, until the picture before is known to be done."""

    def open(self, context):
        self.context = context

    def stylize(self, batch):
        end = time.monotonic() + 20
        while self.lingers() and time.monotonic() < end:
            self.context.progress(0.5, "")
            time.sleep(0.002)
        self.seen.append(not self.lingers())
        return super().stylize(batch)


def test_what_is_done_is_told_while_the_next_picture_is_painted(photos, tmp_path):
    stylizer, report = Lingering(Lingering.Options()), Report(quiet=True)
    stylizer.seen = []
    stylizer.lingers = lambda: report.counts["done"] < len(stylizer.seen)
    go(photos, tmp_path / "out", replace(settings(), stylizer=stylizer), report)
    assert stylizer.seen == [True] * 4


def test_an_error_in_telling_is_not_held_against_the_picture_being_painted(photos, tmp_path):
    class Broken(Report):
        def item_done(self, item, outcome):
            super().item_done(item, outcome)
            raise OSError("nobody listens")

    stylizer, report = Lingering(Lingering.Options()), Broken(quiet=True)
    stylizer.seen = []
    stylizer.lingers = lambda: report.counts["done"] < len(stylizer.seen)
    with pytest.raises(OSError, match="nobody listens"):
        go(photos, tmp_path / "out", replace(settings(), stylizer=stylizer), report)
    assert report.counts == {"done": 1}


def test_second_run_does_nothing(photos, tmp_path):
    go(photos, tmp_path / "out")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.npy")}
    report, _ = go(photos, tmp_path / "out")
    assert report.counts == {"skipped": 4}
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.npy")}


def test_changed_source_is_done_again(photos, tmp_path):
    go(photos, tmp_path / "out")
    np.save(photos / "b.npy", array(9, 9, seed=50))
    report, _ = go(photos, tmp_path / "out")
    assert report.counts == {"skipped": 3, "done": 1}
    assert np.load(tmp_path / "out" / "b.npy").shape == (9, 9, 3)


def test_results_of_other_settings_are_not_overwritten_silently(photos, tmp_path):
    go(photos, tmp_path / "out")
    kept = tree(tmp_path / "out")
    other = settings(strength=0.5)
    with pytest.raises(UsageError, match=r"was not made from this source by.*--overwrite"):
        go(photos, tmp_path / "out", other)
    assert tree(tmp_path / "out") == kept
    report, _ = go(photos, tmp_path / "out", other, skip_existing=True)
    assert report.counts == {"skipped": 4} and tree(tmp_path / "out") == kept
    report, _ = go(photos, tmp_path / "out", other, overwrite=True)
    assert report.counts == {"done": 4} and tree(tmp_path / "out") != kept


def test_overwriting_goes_on_where_it_stopped(photos, tmp_path):
    go(photos, tmp_path / "out")
    other = settings(strength=0.5)
    go(photos, tmp_path / "out", other, overwrite=True, limit=2)
    report, _ = go(photos, tmp_path / "out", other, overwrite=True)
    assert report.counts == {"skipped": 2, "done": 2}


def test_a_second_folder_never_replaces_the_results_of_the_first(photos, tmp_path):
    go(photos, tmp_path / "out")
    kept = tree(tmp_path / "out")
    second = tmp_path / "second"
    shutil.copytree(photos, second)  # times and sizes too
    for file in second.rglob("*.npy"):
        found = file.stat()
        np.save(file, 255 - np.load(file))
        os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))
    report, _ = go(second, tmp_path / "out")
    assert report.counts == {"failed": 4} and report.exit_code == 1
    assert "was not made from this source" in report.failures[0][1]
    assert tree(tmp_path / "out") == kept


def test_source_changed_while_it_was_painted_is_done_again(photos, tmp_path, monkeypatch):
    close = fakes.NpySink.close

    def change(self):
        close(self)
        np.save(photos / "b.npy", array(4, 4, seed=99))

    with monkeypatch.context() as patch:
        patch.setattr(fakes.NpySink, "close", change)
        go(photos / "b.npy", tmp_path / "out")
    report, _ = go(photos / "b.npy", tmp_path / "out")
    assert report.counts == {"done": 1}
    assert np.load(tmp_path / "out" / "b.npy").shape == (4, 4, 3)


def test_source_that_vanishes_costs_only_itself(photos, tmp_path, monkeypatch):
    close = fakes.NpySink.close

    def vanish(self):
        close(self)
        for source in photos.glob("*.npy"):
            source.unlink()

    monkeypatch.setattr(fakes.NpySink, "close", vanish)
    report, _ = go(photos, tmp_path / "out", settings(wait=0.1))
    assert report.counts["done"] + report.counts["failed"] == 4 and report.counts["done"] >= 1
    assert (tmp_path / "out" / "sub" / "d.npy").exists()


def test_finished_file_is_known_again(clip, tmp_path):
    go(clip, tmp_path / "out.npy")
    report, _ = go(clip, tmp_path / "out.npy")
    assert report.counts == {"skipped": 1} and report.exit_code == 0


def test_kill_between_note_and_rename_is_harmless(photos, tmp_path, monkeypatch):
    go(photos, tmp_path / "out")
    np.save(photos / "b.npy", array(9, 9, seed=50))

    def killed(self, target):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            go(photos, tmp_path / "out")
    assert np.load(tmp_path / "out" / "b.npy").shape == (6, 8, 3)
    report, _ = go(photos, tmp_path / "out")
    assert report.counts == {"skipped": 3, "done": 1}
    assert not (tmp_path / "out" / ".stylepipe" / "work").exists()


def test_names_that_are_no_text(photos, tmp_path):
    odd = os.fsdecode(b"caf\xe9.npy")
    (photos / "b.npy").rename(photos / odd)
    report, _ = go(photos, tmp_path / "out")
    assert report.counts == {"done": 4} and (tmp_path / "out" / odd).exists()
    report, _ = go(photos, tmp_path / "out")
    assert report.counts == {"skipped": 4}


def test_plugin_that_was_edited_makes_results_anew(photos, tmp_path, monkeypatch):
    module = tmp_path / "toy.py"
    module.write_text("one = 1")
    monkeypatch.setattr(fakes, "__file__", str(module))
    go(photos, tmp_path / "out")
    module.write_text("two = 22")
    with pytest.raises(UsageError, match="--overwrite"):
        go(photos, tmp_path / "out")


def test_foreign_file_is_kept(photos, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.npy").write_text("precious")
    report, _ = go(photos, tmp_path / "out")
    assert report.counts == {"failed": 1, "done": 3} and "--overwrite" in report.failures[0][1]
    assert (tmp_path / "out" / "a.npy").read_text() == "precious"


def test_broken_file_costs_only_itself(photos, tmp_path, capsys):
    (photos / "b.npy").write_text("no array")
    report, told = go(photos, tmp_path / "out")
    assert report.exit_code == 1
    assert ("b.npy", "failed") in told and len(tree(tmp_path / "out")) == 3
    assert report.failures == [(photos / "b.npy", "this is not an array")]
    assert "b.npy: this is not an array" in capsys.readouterr().err


def test_failing_stylizer_and_writer_cost_their_items(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(fakes.Negative, "plugin", "toys")
    np.save(photos / "b.npy", array(5, 100))
    np.save(photos / "c.npy", np.full((5, 5, 3), 255 - 13, np.uint8))
    report, told = go(photos, tmp_path / "out", settings(fail_above=50))
    assert [t for t in told if t[1] == "failed"] == [("b.npy", "failed"), ("c.npy", "failed")]
    assert report.failures[0][1] == (
        "stylizer 'negative' of plugin toys raised RuntimeError: too wide for me; -v shows "
        "the traceback"
    )
    assert sorted(tree(tmp_path / "out")) == ["a.npy", "sub/d.npy"]
    assert not list((tmp_path / "out").rglob("part*"))


def test_on_error_abort_stops_early(tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    for index in range(40):
        np.save(folder / f"{index:02}.npy", array(200, 400 if index == 1 else 300))
    chosen = settings(fail_above=350, wait=0.02)
    report, _ = go(folder, tmp_path / "out", chosen, on_error="abort")
    assert report.exit_code == 1 and report.counts["failed"] == 1
    assert report.counts["done"] < 39


@pytest.mark.parametrize(("flaw", "words"), [("shape", "was needed"), ("nan", "not numbers")])
def test_results_no_writer_could_hold_are_refused(photos, tmp_path, flaw, words):
    report, _ = go(photos, tmp_path / "out", settings(**{flaw: True}))
    assert report.counts == {"failed": 4}
    assert words in report.failures[0][1] and "'negative'" in report.failures[0][1]


def test_dry_run_writes_nothing(photos, tmp_path, capsys):
    go(photos, tmp_path / "out", dry_run=True)
    assert not (tmp_path / "out").exists()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and lines[0].split("\t")[0] == "do"


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_refused_while_there_is_something_to_do(
    photos, tmp_path, capsys, device, dry_run
):
    there = torch.cuda if device == "cuda" else torch.backends.mps
    if there.is_available():
        pytest.skip("the device is there")
    report = Report(quiet=True)
    with pytest.raises(SetupError, match=f"device '{device}' .*use --device cpu"):
        go(photos, tmp_path / "out", report=report, device=device, dry_run=dry_run)
    assert report.exit_code == 4 and "do\t" not in capsys.readouterr().out
    assert not (tmp_path / "out").exists()
    go(photos, tmp_path / "out")
    report, _ = go(photos, tmp_path / "out", device=device, dry_run=dry_run)
    assert report.exit_code == 0  # with nothing to do neither needs the device


def test_unwritable_output(photos, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match="cannot write to"):
        go(photos, tmp_path / "file" / "out")


def test_disk_full_stops_the_job(photos, tmp_path, monkeypatch):
    def full(self, frame):
        raise ItemError("no space left") from OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fakes.NpySink, "write", full)
    with pytest.raises(SetupError, match="cannot go on writing"):
        go(photos, tmp_path / "out")


def test_two_runs_at_once(photos, tmp_path):
    pytest.importorskip("fcntl")
    journal = pipeline.Journal(tmp_path / "out", False, "")
    journal.open()
    with pytest.raises(SetupError, match="another run"):
        go(photos, tmp_path / "out")
    journal.close()


def test_alpha_stays(tmp_path):
    source = array(20, 20, channels=4)
    source[:5, :, 3] = 0
    np.save(tmp_path / "a.npy", source)
    go(tmp_path / "a.npy", tmp_path / "out")
    result = np.load(tmp_path / "out" / "a.npy")
    np.testing.assert_array_equal(result[..., 3], source[..., 3])


def test_sixteen_bits_stay(tmp_path):
    source = array(dtype=np.uint16)
    np.save(tmp_path / "a.npy", source)
    go(tmp_path / "a.npy", tmp_path / "out")
    result = np.load(tmp_path / "out" / "a.npy")
    np.testing.assert_array_equal(result, 65535 - source)


def test_strength_zero_is_the_photo(photos, tmp_path):
    go(photos, tmp_path / "out", settings(strength=0))
    result = np.load(tmp_path / "out" / "a.npy")
    np.testing.assert_array_equal(result, np.load(photos / "a.npy"))


class LeftHalf(Masker):
    """Paints the left half."""

    name = "left-half"

    def mask(self, batch, frames):
        mask = batch.images[:, :1] * 0
        mask[..., : mask.shape[-1] // 2] = 1
        return mask


@pytest.mark.parametrize("invert", [False, True])
def test_mask_zero_leaves_the_source_untouched(photos, tmp_path, invert):
    chosen = settings(masker=LeftHalf(LeftHalf.Options()))
    go(photos, tmp_path / "out", replace(chosen, mask=MaskOptions(invert=invert)))
    source, result = np.load(photos / "a.npy"), np.load(tmp_path / "out" / "a.npy")
    halves = [slice(4), slice(4, None)]
    painted, kept = reversed(halves) if invert else halves
    np.testing.assert_array_equal(result[:, kept], source[:, kept])
    np.testing.assert_array_equal(result[:, painted], 255 - source[:, painted])


class Sideways(Flow):
    """All moves two pixels to the left in a frame."""

    name = "sideways"

    def flow(self, a, b):
        time.sleep(0.01)  # slower than reading: pictures wait for their flow after the last is read
        flow = torch.zeros(1, 2, *a.pixels.shape[:2])
        flow[:, 0] = 2 if a.pixels[0, 0, 0] > b.pixels[0, 0, 0] else -2
        return flow


def test_the_photo_is_not_dragged_into_the_painting_where_both_mask_and_flow_are_used(tmp_path):
    wide = np.linspace(40, 200, 140, dtype=np.uint8)[None, :, None].repeat(64, 0).repeat(3, 2)
    np.save(tmp_path / "clip.npy", np.stack([wide[:, 2 * i : 2 * i + 96] for i in range(12)]))
    warp = Warp(Warp.Options(), Sideways(Sideways.Options()))
    go(tmp_path / "clip.npy", tmp_path / "plain.npy")
    go(
        tmp_path / "clip.npy",
        tmp_path / "both.npy",
        settings(masker=LeftHalf(LeftHalf.Options()), temporal=warp),
    )
    plain, both = (np.load(tmp_path / f"{n}.npy").astype(int) for n in ("plain", "both"))
    assert np.abs(plain - both)[:, :, :48].max() <= 4  # the painted half
    np.testing.assert_array_equal(both[:, :, 48:], np.load(tmp_path / "clip.npy")[:, :, 48:])


def test_clip_keeps_every_frame(clip, tmp_path):
    go(clip, tmp_path / "out.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), 255 - np.load(clip))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.npy", "out.npy"]


def test_interrupted_clip_goes_on(tmp_path, monkeypatch):
    clip = tmp_path / "clip.npy"  # larger than what the queues hold
    first = array(700, 700)
    np.save(clip, np.stack([np.roll(first, i) for i in range(80)]))
    write = fakes.NpySink.write

    def interrupt(self, frame):
        if frame.index == 4:
            os.kill(os.getpid(), signal.SIGINT)
        write(self, frame)

    monkeypatch.setattr(fakes.NpySink, "write", interrupt)
    chosen = settings(wait=0.005)
    report, _ = go(clip, tmp_path / "out.npy", chosen)
    assert report.exit_code == 130 and not (tmp_path / "out.npy").exists()
    monkeypatch.setattr(fakes.NpySink, "write", write)
    report, _ = go(clip, tmp_path / "out.npy", chosen)
    assert report.exit_code == 0 and 0 < report.frames < 80
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), 255 - np.load(clip))


def test_wrong_style_leaves_nothing_behind(photos, tmp_path, monkeypatch):
    def explode(self, styles):
        raise UsageError("no such style")

    monkeypatch.setattr(fakes.Negative, "prepare", explode)
    with pytest.raises(UsageError, match="no such style"):
        go(photos, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("component", "method"),
    [(fakes.Negative, "stylize"), (fakes.NpyReader, "frames"), (fakes.NpyReader, "probe")],
)
def test_error_of_the_whole_job_ends_all_threads(photos, tmp_path, monkeypatch, component, method):
    def explode(self, *args, **kwargs):
        raise SetupError("the device is gone")

    monkeypatch.setattr(component, method, explode)
    report = Report(quiet=True)
    with pytest.raises(SetupError, match="the device is gone"):
        go(photos, tmp_path / "out", report=report)
    assert report.exit_code == 4
    assert not [t for t in threading.enumerate() if t.name in ("reading", "writing")]


def test_stylizer_that_cannot_reset_costs_its_items(photos, tmp_path, monkeypatch):
    def explode(self, item):
        if item.source.name == "b.npy":
            raise RuntimeError("no reset today")

    monkeypatch.setattr(fakes.Negative, "reset", explode)
    report, told = go(photos, tmp_path / "out")
    assert report.counts == {"done": 3, "failed": 1} and ("b.npy", "failed") in told


def test_first_interruption_leaves_out_what_was_not_begun(tmp_path, monkeypatch):
    folder = tmp_path / "many"
    folder.mkdir()
    for index in range(40):
        np.save(folder / f"{index:02}.npy", array())
    stylize = fakes.Negative.stylize

    def interrupt(self, batch):
        if batch.item.source.name == "02.npy":
            os.kill(os.getpid(), signal.SIGINT)
        return stylize(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(fakes.Negative, "stylize", interrupt)
        report, _ = go(folder, tmp_path / "out")
    assert report.exit_code == 130 and report.counts == {"done": 3}
    report, _ = go(folder, tmp_path / "out")
    assert report.exit_code == 0 and report.counts == {"skipped": 3, "done": 37}


def test_second_interruption_aborts(tmp_path, monkeypatch):
    clip = tmp_path / "clip.npy"
    np.save(clip, np.stack([array(300, 300, seed=i) for i in range(60)]))
    closed, late = [], []
    stylize, write = fakes.Negative.stylize, fakes.NpySink.write

    def interrupt(self, batch):
        if len(self.resets) == 1:
            self.resets.append("twice")
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
        return stylize(self, batch)

    def watched(self, frame):
        if closed:
            late.append(frame.index)
        write(self, frame)

    monkeypatch.setattr(fakes.Negative, "stylize", interrupt)
    monkeypatch.setattr(fakes.NpySink, "write", watched)
    monkeypatch.setattr(fakes.ClipWriter, "close", lambda self: closed.append(True))
    report = Report(quiet=True)
    with pytest.raises(KeyboardInterrupt):
        go(clip, tmp_path / "out.npy", settings(wait=0.02), report)
    assert report.exit_code == 130 and closed and not late
    assert not (tmp_path / "out.npy").exists()


def test_styles_are_checked_against_what_the_stylizer_takes(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(fakes.Negative, "caps", fakes.Caps(needs_style=True, max_styles=1))
    with pytest.raises(UsageError, match="needs a style; pass --style"):
        go(photos, tmp_path / "out")
    with pytest.raises(UsageError, match="at most 1 style at once, not 2"):
        go(photos, tmp_path / "out", settings(style=("a", "b")))


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_style_that_is_not_there_is_told_before_anything_is_opened(
    photos, tmp_path, monkeypatch, dry_run
):
    class Inked(fakes.Negative):
        """A third party's, which has a style of its own and knows nothing of checks."""

        @classmethod
        def styles(cls):
            return [StyleInfo("sepia", "Sepia", "MIT")]

        def open(self, context):
            raise AssertionError("opened")

    (tmp_path / "mine.style").touch()
    for name, words in (
        ("sepja", r"^no style 'sepja' \(did you mean 'sepia'\?\); bundled: sepia; or give a file"),
        ("absent.style", "^no style 'absent.style'; bundled: sepia; or give a file that exists$"),
    ):
        given = settings(style=(name,))
        inked = Inked(given.stylizer.options)
        with pytest.raises(UsageError, match=words):
            go(photos, tmp_path / "out", replace(given, stylizer=inked), dry_run=dry_run)
    inked.check([StyleRef("sepia", 0.5), StyleRef(str(tmp_path / "mine.style"), 0.5)])
    assert not (tmp_path / "out").exists()


def test_json_events(photos, tmp_path, capsys):
    import json

    (photos / "b.npy").write_text("no array")
    go(photos, tmp_path / "out", report=Report(json=True, quiet=True))
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    kinds = [e["event"] for e in events]
    assert kinds[0] == "job_start" and kinds[-1] == "job_done"
    done = [Path(e["source"]).name for e in events if e["event"] == "item_done"]
    assert done == ["a.npy", "b.npy", "c.npy", "d.npy"] and kinds.count("item_start") == 3
    assert events[-1]["failed"] == 1 and events[-1]["exit_code"] == 1
