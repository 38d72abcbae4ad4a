"""What a component may not hand over costs its item, in a sentence that names it and its plugin."""

from dataclasses import replace
from fractions import Fraction

import fakes
import numpy as np
import pytest
import torch
from fakes import ClipReader, ClipWriter, Negative, NpyReader, NpyWriter, array, settings
from stylepipe_plugins.temporal_warp import Warp

from stylepipe import Flow, Frame, Masker, Options
from stylepipe.job import Job
from stylepipe.pipeline import run
from stylepipe.report import Report

BAD, GOOD = "bad.npy", "good.npy"


def quit_(*_):
    raise SystemExit("bye")


def leave(*_):
    raise GeneratorExit


@pytest.fixture
def go(tmp_path):
    """Run a picture, or a clip, named bad and one named good; return why the bad one failed."""

    def call(chosen, clip=False):
        folder = tmp_path / "in"
        folder.mkdir()
        for number, name in enumerate((BAD, GOOD)):
            frames = np.stack([array(seed=number)] * 4) if clip else array(seed=number)
            np.save(folder / name, frames)
        report = run(
            Job((folder,), tmp_path / "out", chosen, device="cpu"),
            fakes.Plugins(),
            Report(quiet=True),
        )
        assert report.counts == {"failed": 1, "done": 1}, report.failures
        assert (tmp_path / "out" / GOOD).is_file() and not (tmp_path / "out" / BAD).exists()
        ((source, why),) = report.failures
        assert source.name == BAD and "\n" not in why
        return why

    return call


class Faulty(Negative):
    """Returns something else for the bad item."""

    plugin = "toys"
    result = staticmethod(lambda images: None)

    def stylize(self, batch):
        if batch.item.source.name == BAD:
            return self.result(batch.images)
        return super().stylize(batch)


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (lambda x: None, "returned None, not a tensor"),
        (lambda x: x.numpy(), "of float32, not a tensor"),
        (lambda x: [x], "not a tensor"),
        (lambda x: (255 * x).byte(), "returned torch.uint8; return floating point"),
        (lambda x: x > 0.5, "returned torch.bool"),
        (lambda x: 255 * (0.5 + 0 * x), "values that reach 127.5: return [0, 1]"),
        (lambda x: x * 0 - 1, "values that fall to -1: return [0, 1]"),
        (lambda x: x / 0, "not numbers"),
        (lambda x: x * float("nan"), "not numbers"),
        (lambda x: x[0], "returned (3, 6, 8) where (1, 3, 6, 8) was needed"),
        (lambda x: x[:, :1], "returned (1, 1, 6, 8)"),
        (lambda x: x.permute(0, 2, 3, 1), "returned (1, 6, 8, 3)"),
        (lambda x: x.repeat(1, 1, 2, 2), "returned (1, 3, 12, 16)"),
        (lambda x: x.to("meta"), "a tensor on meta, not on cpu"),
        (quit_, "SystemExit: bye"),
        (leave, "GeneratorExit"),
    ],
)
def test_stylizers(go, result, words):
    chosen = settings()
    cls = type("Faulty", (Faulty,), {"result": staticmethod(result)})
    why = go(replace(chosen, stylizer=cls(chosen.stylizer.options)))
    assert words in why
    if result not in (quit_, leave):
        assert why.startswith("stylizer 'negative' of plugin toys returned ")


def test_the_shape_is_looked_at_before_padding_is_cut(go):
    """A picture smaller than min_side is enlarged: a result of twice its size must not pass."""

    class Small(Faulty):
        caps = replace(Negative.caps, min_side=16)
        result = staticmethod(lambda x: x.repeat(1, 1, 2, 2))

    chosen = settings()
    why = go(replace(chosen, stylizer=Small(chosen.stylizer.options)))
    assert "returned (1, 3, 32, 32) where (1, 3, 16, 16) was needed" in why


def test_strokes_that_overshoot_are_clamped_and_not_refused(tmp_path):
    class Bold(Negative):
        def stylize(self, batch):
            return batch.images * 3 - 1

    chosen = settings()
    np.save(tmp_path / "a.npy", array())
    job = Job(
        (tmp_path / "a.npy",), tmp_path / "out", replace(chosen, stylizer=Bold(Negative.Options()))
    )
    assert run(job, fakes.Plugins(), Report(quiet=True)).exit_code == 0
    result = np.load(tmp_path / "out" / "a.npy")
    assert result.min() == 0 and result.max() == 255


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (lambda m: None, "returned None, not a tensor"),
        (lambda m: m * 255, "values that reach 255: return [0, 1]"),
        (lambda m: m - 2, "values that fall to -1"),
        (lambda m: m * float("nan"), "not numbers"),
        (lambda m: m > 0, "returned torch.bool"),
        (lambda m: m[0], "returned (1, 6, 8) where (1, 1, 6, 8) was needed"),
        (lambda m: m.repeat(1, 3, 1, 1), "returned (1, 3, 6, 8)"),
        (quit_, "SystemExit: bye"),
    ],
)
def test_maskers(go, result, words):
    class Mask(Masker):
        name, plugin = "toy", "toys"

        def mask(self, batch, frames):
            white = batch.images[:, :1] * 0 + 1
            return result(white) if batch.item.source.name == BAD else white

    why = go(settings(masker=Mask(Options())))
    assert words in why and (result is quit_ or "masker 'toy' of plugin toys" in why)


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (lambda f: None, "returned None, not a tensor"),
        (lambda f: f.numpy(), "of float32, not a tensor"),
        (lambda f: f[0], "returned (2, 6, 8) where (1, 2, 6, 8) was needed"),
        (lambda f: f.permute(0, 2, 3, 1), "returned (1, 6, 8, 2)"),
        (lambda f: f.long(), "returned torch.int64"),
        (lambda f: f / 0, "not numbers"),
        (quit_, "SystemExit: bye"),
    ],
)
def test_flows(go, result, words):
    class Still(Flow):
        name, plugin = "still", "toys"

        def flow(self, a, b):
            zero = torch.zeros(1, 2, *a.pixels.shape[:2])
            bad = (a.pixels == array(seed=0)).all()
            return result(zero) if bad else zero

    why = go(settings(temporal=Warp(Warp.Options(), Still(Still.Options()))), clip=True)
    assert words in why and (result is quit_ or "flow 'still' of plugin toys" in why)


def other_reader(base, **methods):
    """A reader that does otherwise with the bad file."""

    def choose(name):
        def method(self, what, *rest):
            path = getattr(what, "source", what)
            given = getattr(base, name)(self, what, *rest)
            return methods[name](given) if path.name == BAD else given

        return method

    return type("Other", (base,), {"plugin": "toys", **{n: choose(n) for n in methods}})(Options())


def each(change):
    return lambda frames: map(change, frames)


@pytest.mark.parametrize(
    ("methods", "words"),
    [
        ({"probe": lambda i: {"width": 3}}, "described the file by {'width': 3}"),
        ({"probe": lambda i: replace(i, kind="video")}, "and described a 'video'"),
        ({"probe": lambda i: replace(i, width=0)}, "a width of 0"),
        ({"probe": lambda i: replace(i, height=2.5)}, "a height of 2.5"),
        ({"probe": lambda i: replace(i, frames=-1)}, "frames of -1"),
        ({"probe": lambda i: replace(i, depth=12)}, "a depth of 12, not 8 or 16"),
        ({"probe": quit_}, "SystemExit: bye"),
        ({"frames": lambda f: None}, "'NoneType' object is not iterable"),
        ({"frames": quit_}, "SystemExit: bye"),
        ({"frames": each(quit_)}, "SystemExit: bye"),
        ({"frames": each(lambda f: f.pixels)}, "not a stylepipe.Frame"),
        ({"frames": each(lambda f: Frame(f.pixels / 255))}, "of float64 where (6, 8, 3) of uint8"),
        ({"frames": each(lambda f: Frame(f.pixels.tolist()))}, "where (6, 8, 3) of uint8"),
        ({"frames": each(lambda f: Frame(f.pixels[..., 0]))}, "(6, 8) of uint8 where (6, 8, 3)"),
        ({"frames": each(lambda f: Frame(f.pixels[:3]))}, "(3, 8, 3) of uint8 where (6, 8, 3)"),
        ({"frames": each(lambda f: Frame(f.pixels[..., ::-1]))}, "not C-contiguous"),
        ({"frames": each(lambda f: replace(f, alpha=f.pixels))}, "transparency as (6, 8, 3)"),
        (
            {"frames": each(lambda f: replace(f, index=7))},
            "a frame of index 7 where index 0 was due",
        ),
    ],
)
def test_readers_of_pictures(go, methods, words):
    chosen = settings()
    why = go(replace(chosen, readers=(other_reader(NpyReader, **methods),)))
    assert words in why
    if "SystemExit" not in words and "NoneType" not in words:
        assert why.startswith("reader 'npy' of plugin toys ")


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (lambda found: 1 / 0, "cannot count its pages: ZeroDivisionError: division by zero"),
        (lambda found: -1, "says a file has -1 pages"),
        (lambda found: None, "says a file has None pages"),
    ],
)
def test_readers_that_cannot_count_pages(go, count, words):
    why = go(replace(settings(), readers=(other_reader(NpyReader, pages=count),)))
    assert why == f"reader 'npy' of plugin toys {words}"


def test_a_single_file_whose_pages_cannot_be_counted_fails(tmp_path):
    np.save(tmp_path / BAD, array())
    reader = other_reader(NpyReader, pages=lambda found: 1 / 0)
    chosen = replace(settings(), readers=(reader,))
    job = Job((tmp_path / BAD,), tmp_path / "out" / "one.npy", chosen, device="cpu")
    report = run(job, fakes.Plugins(), Report(quiet=True))
    assert "cannot count its pages" in report.failures[0][1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: replace(f, pts=0), "frame 2 at 0.000 s, after one at 0.000 s; times must grow"),
        (lambda f: replace(f, pts=-f.pts), "times must grow"),
        (lambda f: replace(f, time_base=Fraction(1, 50 * (1 + f.index) ** 2)), "times must grow"),
        (lambda f: replace(f, index=0), "a frame of index 0 where index 1 was due"),
        (lambda f: replace(f, pixels=f.pixels[f.index :].copy()), "(5, 8, 3) of uint8 where"),
    ],
)
def test_readers_of_clips(go, change, words):
    chosen = settings()
    reader = other_reader(ClipReader, frames=each(change))
    why = go(replace(chosen, readers=(NpyReader(Options()), reader)), clip=True)
    assert words in why and "reader 'npy-clip' of plugin toys yielded" in why


def test_a_broken_look_at_files_of_others_is_no_news(tmp_path):
    """A reader for another suffix is asked only to say more of a file that nobody knows."""

    class Elsewhere(NpyReader):
        patterns = (".else",)

        def probe(self, path):
            raise ZeroDivisionError

    chosen = settings()
    (tmp_path / "a.npy").write_bytes(np.lib.format.magic(1, 0))
    (tmp_path / "b.npy").write_bytes(b"")
    np.save(tmp_path / "c.npy", np.zeros((2, 2, 2, 3), np.uint8))
    readers = (NpyReader(Options()), Elsewhere(Options()))
    job = Job((tmp_path,), tmp_path.parent / "out", replace(chosen, readers=readers))
    report = run(job, fakes.Plugins(), Report(quiet=True))
    assert [why for _, why in report.failures] == [
        "this is not an array", "this is not an array", "no reader knows what is in this .npy"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("opened", "words"),
    [
        (lambda sink: None, "opened None, not a stylepipe.Sink"),
        (lambda sink: sink.path, "not a stylepipe.Sink"),
        (lambda sink: setattr(sink, "done", -1) or sink, "says -1 frames are done"),
        (lambda sink: setattr(sink, "done", None) or sink, "says None frames are done"),
        (lambda sink: setattr(sink, "close", lambda: None) or sink, "wrote no file"),
        (lambda sink: setattr(sink, "close", quit_) or sink, "SystemExit: bye"),
        (lambda sink: setattr(sink, "write", quit_) or sink, "SystemExit: bye"),
        (lambda sink: setattr(sink, "write", leave) or sink, "GeneratorExit"),
        (lambda sink: setattr(sink, "write", None) or sink, "TypeError"),
        (quit_, "SystemExit: bye"),
    ],
)
def test_writers(go, opened, words):
    class Other(NpyWriter):
        plugin = "toys"

        def open_sink(self, item, info, path, work):
            sink = super().open_sink(item, info, path, work)
            return opened(sink) if item.source.name == BAD else sink

    chosen = settings()
    why = go(replace(chosen, writers=(Other(Options()), ClipWriter(Options()))))
    assert words in why
    if "Error" not in words and "Exit" not in words:
        assert why.startswith("writer 'npy' of plugin toys ")


def test_an_abort_that_exits_costs_no_other_item(go):
    class Other(NpyWriter):
        plugin = "toys"

        def open_sink(self, item, info, path, work):
            sink = super().open_sink(item, info, path, work)
            if item.source.name == BAD:
                sink.write, sink.abort = leave, quit_
            return sink

    chosen = settings()
    assert (
        go(replace(chosen, writers=(Other(Options()),)))
        == "writer 'npy' of plugin toys raised GeneratorExit; -v shows the traceback"
    )


def test_a_rehearsal_survives_them_too(tmp_path, capsys):
    reader = other_reader(NpyReader, probe=quit_)
    for name in (BAD, GOOD):
        np.save(tmp_path / name, array())
    job = Job(
        (tmp_path,), tmp_path.parent / "out", replace(settings(), readers=(reader,)), dry_run=True
    )
    report = run(job, fakes.Plugins(), Report(quiet=True))
    assert [why for _, why in report.failures] == ["SystemExit: bye"]
    assert report.counts["to do"] == 1


def test_an_interruption_is_no_fault_of_a_plugin(tmp_path):
    class Interrupted(Negative):
        def stylize(self, batch):
            raise KeyboardInterrupt

    np.save(tmp_path / GOOD, array())
    chosen = replace(settings(), stylizer=Interrupted(Negative.Options()))
    report = Report(quiet=True)
    with pytest.raises(KeyboardInterrupt):
        run(Job((tmp_path / GOOD,), tmp_path / "out", chosen), fakes.Plugins(), report)
    assert report.exit_code == 130 and not report.failures


def test_an_unexpected_error_names_the_plugin_in_whose_code_it_was_raised(go):
    class Slips(Negative):
        plugin = "toys"

        def stylize(self, batch):
            return batch.nothing if batch.item.source.name == BAD else super().stylize(batch)

    chosen = settings()
    why = go(replace(chosen, stylizer=Slips(chosen.stylizer.options)))
    assert why == (
        "stylizer 'negative' of plugin toys raised AttributeError: 'Batch' object has no attribute "
        "'nothing'; -v shows the traceback"
    )
