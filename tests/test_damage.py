"""The rule for damaged files, ``--on-damage``: what is painted, told, counted and remembered."""

import dataclasses
import json

import numpy as np
import pytest
from fakes import ClipReader, ClipWriter, NpyReader, NpyWriter, Plugins, array, settings

from stylepipe import DamageError, Options, UsageError
from stylepipe.contracts import context
from stylepipe.job import InputOptions, Job
from stylepipe.pipeline import run
from stylepipe.plugins import Plugins as RealPlugins
from stylepipe.presets import resolve
from stylepipe.report import Report

ALL = ["a_whole", "b_torn", "c_torn_clip", "d_whole"]


class Torn:
    """A reader, as a plugin would write it, that finds files damaged whose names say so."""

    def open(self, context):
        self.damaged = context.damaged

    def frames(self, item, info, start=0):
        frames = list(super().frames(item, info, start))
        if "torn" in item.source.name:
            self.damaged("the end is missing")
        yield from frames
        for place in range(item.source.name.count("spot")):
            self.damaged(f"a spot at {place}")


class TornReader(Torn, NpyReader):
    pass


class TornClipReader(Torn, ClipReader):
    pass


def convert(folder, rule="warn", **job):
    report = job.pop("report", None) or Report(quiet=True)
    made = dataclasses.replace(
        settings(),
        readers=(TornReader(Options()), TornClipReader(Options())),
        writers=(NpyWriter(Options()), ClipWriter(Options())),
        input=InputOptions(on_damage=rule),
    )
    return run(Job((folder / "in",), folder / "out", made, **job), Plugins(), report)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ALL:
        np.save(tmp_path / f"in/{name}.npy", np.stack([array()] * 3) if "clip" in name else array())
    return tmp_path


def names(folder):
    return sorted(p.stem for p in (folder / "out").glob("*.npy"))


def test_what_decodes_is_painted_told_and_counted(folder, capsys):
    report = convert(folder, report=Report(json=True))
    assert names(folder) == ALL
    assert (np.load(folder / "out/b_torn.npy") == 255 - array()).all()
    assert (report.counts["done"], report.counts["damaged"], report.exit_code) == (4, 2, 1)
    assert report.failures == []
    assert [(p.stem, what) for p, what in report.damages] == [
        ("b_torn", "the end is missing"),
        ("c_torn_clip", "the end is missing"),
    ]
    out, err = capsys.readouterr()
    assert f"damaged: {folder / 'in/b_torn.npy'}: the end is missing\n" in err
    assert "4 done; 2 damaged (" in err
    events = [json.loads(line) for line in out.splitlines()]
    told = [e["damage"] for e in events if e["event"] == "item_done"]
    assert told == ["", "the end is missing", "the end is missing", ""]
    assert events[-1]["damaged"] == 2 and events[-1]["exit_code"] == 1


def test_fail_refuses_the_damaged(folder, capsys):
    report = convert(folder, "fail")
    assert names(folder) == ["a_whole", "d_whole"]
    assert [(p.stem, why) for p, why in report.failures] == [
        (name, "the end is missing (--on-damage warn paints what is left)")
        for name in ("b_torn", "c_torn_clip")
    ]
    assert (report.counts["failed"], report.counts["damaged"], report.exit_code) == (2, 2, 1)
    assert capsys.readouterr().err.count("the end is missing") == 2


def test_fail_stops_the_job_where_failures_do(folder):
    report = convert(folder, "fail", on_error="abort")
    assert report.counts["done"] <= 2 and report.counts["failed"] == 1


def test_skip_leaves_the_damaged_out_and_says_so(folder, capsys):
    report = convert(folder, "skip", on_error="abort")
    assert names(folder) == ["a_whole", "d_whole"]
    assert report.failures == []
    assert dict(report.counts) == {"done": 2, "skipped": 2, "damaged": 2}
    assert report.exit_code == 1
    assert "damaged, left out: " in capsys.readouterr().err
    assert not (folder / "out/.stylepipe/work").exists()


def test_a_damaged_film_that_is_painted_again_is_not(folder, capsys):
    """By the same command; the damage is told again, for the exit code is to be relied on."""
    convert(folder)
    before = {p: p.stat().st_mtime_ns for p in (folder / "out").glob("*.npy")}
    capsys.readouterr()
    report = convert(folder)
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert (report.counts["skipped"], report.counts["damaged"], report.exit_code) == (4, 2, 1)
    assert "c_torn_clip.npy: the end is missing" in capsys.readouterr().err


def test_another_rule_does_not_paint_whole_files_again(folder):
    convert(folder)
    before = {p: p.stat().st_mtime_ns for p in (folder / "out").glob("*.npy")}
    report = convert(folder, "fail")
    assert dict(report.counts) == {"skipped": 2, "failed": 2, "damaged": 2}
    assert "an earlier run painted the rest" in report.failures[0][1]
    report = convert(folder, "skip")
    assert dict(report.counts) == {"skipped": 4, "damaged": 2} and report.exit_code == 1
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_after_fail_the_damaged_can_be_painted(folder):
    convert(folder, "fail")
    assert convert(folder, "warn").counts["done"] == 2
    assert names(folder) == ALL


def test_whole_files_leave_no_trace_of_the_rule(folder):
    for name in ("b_torn", "c_torn_clip"):
        (folder / f"in/{name}.npy").unlink()
    report = convert(folder)
    assert dict(report.counts) == {"done": 2} and report.exit_code == 0 and report.damages == []


def test_many_damages_are_one_line(folder):
    np.save(folder / "in/e_spotspotspotspot.npy", array())
    report = convert(folder)
    assert report.damages[-1][1] == "a spot at 0; a spot at 1; and 2 more"


def test_without_a_job_damage_is_an_error(folder):
    reader = TornReader(Options())
    reader.open(context())
    with pytest.raises(DamageError, match="the end is missing"):
        path = folder / "in/b_torn.npy"
        list(reader.frames(dataclasses.make_dataclass("I", ["source"])(path), reader.probe(path)))


def test_the_rule_is_a_key_of_input():
    plugins = RealPlugins()
    assert resolve(plugins).input.on_damage == "warn"
    one_reader = {"input": {"use": "image", "on-damage": "skip"}}
    assert resolve(plugins, overrides=one_reader).input.on_damage == "skip"
    assert resolve(plugins, env={"STYLEPIPE_INPUT_ON_DAMAGE": "fail"}).input.on_damage == "fail"
    with pytest.raises(UsageError, match=r"\[input\] on_damage cannot be 'ignore'; choose one of"):
        resolve(plugins, overrides={"input": {"on_damage": "ignore"}})
