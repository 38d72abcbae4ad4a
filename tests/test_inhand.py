"""Files on which the process dies: named, set aside, tried once more alone, and then failed."""

import errno
import faulthandler
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import fakes
import numpy as np
import pytest
import torch  # noqa: F401  (children would import it each)
from fakes import array, settings

from stylepipe import SetupError, inhand
from stylepipe.fingerprints import digest
from stylepipe.job import Job
from stylepipe.journal import Journal
from stylepipe.pipeline import run
from stylepipe.plan import check_used
from stylepipe.plugins import Plugins
from stylepipe.presets import resolve
from stylepipe.report import Report
from stylepipe.types import Item

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="runs die in children")
KILLED, CRASHED = -signal.SIGKILL, -signal.SIGSEGV


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for index, name in enumerate("abcd"):
        np.save(folder / f"{name}.npy", array(seed=index))
    return folder


@pytest.fixture
def kills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the kernel tells of its kills, to be changed by a test."""
    count, boot = tmp_path / "vmstat", tmp_path / "boot_id"
    count.write_text("pgfault 7\noom_kill 3\n")
    boot.write_text("today\n")
    monkeypatch.setattr(inhand, "_VMSTAT", count)
    monkeypatch.setattr(inhand, "_BOOT", boot)
    return count


@pytest.fixture(autouse=True)
def nothing_told(kills: Path) -> None:
    """The machine that runs the tests has no say."""


def go(source: Path, output: Path, report: Report | None = None, **options) -> Report:
    job = Job(
        (source,), output, settings(),
        **{"device": "cpu", "precision": "full", "memory": 1 << 28} | options,
    )  # fmt: skip
    return run(job, Plugins(), report or Report(json=True))


def child(*args: object, **options: object) -> int:
    """Run in a child process; returns its exit code, or less than 0 if it died."""
    sys.stdout.flush()
    number = os.fork()
    if number == 0:
        code = 99
        try:
            inhand.watch_crashes()  # as the program does, whoever has turned it on before
            code = go(*args, **options).exit_code  # type: ignore[arg-type]
        finally:
            sys.stdout.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


def deadly(monkeypatch: pytest.MonkeyPatch, die: Callable[[], None], name: str = "b.npy") -> None:
    """Let a decoder die on a file."""
    frames = fakes.NpyReader.frames

    def dying(self, item, info, start=0):
        if item.source.name == name:
            die()
        return frames(self, item, info, start)

    monkeypatch.setattr(fakes.NpyReader, "frames", dying)


def crash() -> None:
    signal.raise_signal(signal.SIGSEGV)  # in this thread, as a decoder's own mistake


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def results(output: Path) -> list[str]:
    return sorted(p.name for p in output.glob("*.npy"))


def test_a_crash_blocks_nothing_and_the_second_is_the_last(photos, tmp_path, monkeypatch, capfd):
    output = tmp_path / "out"
    with monkeypatch.context() as patch:
        deadly(patch, crash)
        assert child(photos, output) == CRASHED
        capfd.readouterr()
        assert child(photos, output) == CRASHED
        told = capfd.readouterr()
        assert results(output) == ["a.npy", "c.npy", "d.npy"], "all others came first"
        assert "b.npy was in hand when a run crashed (Segmentation fault): it comes" in told.err
        events = [json.loads(line) for line in told.out.splitlines()]
        assert "b.npy" in [Path(e["source"]).name for e in events if e["event"] == "set_aside"]
        for _ in range(2):  # told each time, and tried no more
            report = go(photos, output)
            assert report.counts == {"skipped": 3, "failed": 1} and report.exit_code == 1
            ((path, why),) = report.failures
            assert path.name == "b.npy" and "crashed (Segmentation fault) on it twice" in why
        np.save(photos / "b.npy", array(9, 9))  # repaired
    assert go(photos, output).counts == {"skipped": 3, "done": 1}
    assert not list((output / ".stylepipe").glob("[!j]*")), "no notes are left"


def test_memory_that_runs_out_twice_fails_the_file_until_less_is_used(
    photos, tmp_path, monkeypatch, kills
):
    def starve() -> None:
        kills.write_text(f"oom_kill {int(kills.read_text().split()[-1]) + 1}\n")
        kill()

    output = tmp_path / "out"
    with monkeypatch.context() as patch:
        deadly(patch, starve)
        assert [child(photos, output) for _ in range(2)] == [KILLED, KILLED]
        report = go(photos, output)
        assert report.counts == {"skipped": 3, "failed": 1}
        ((_, why),) = report.failures
        assert "as memory ran out" in why and "lower --memory" in why and "--max-pixels" in why
    report = go(photos, output, memory=1 << 27)
    assert report.counts == {"skipped": 3, "done": 1}


def test_a_kill_from_outside_is_held_against_no_file(photos, tmp_path, monkeypatch, capfd):
    output = tmp_path / "out"
    with monkeypatch.context() as patch:
        deadly(patch, kill)
        for _ in range(4):
            assert child(photos, output) == KILLED
        assert results(output) == ["a.npy", "c.npy", "d.npy"]
        assert "if memory ran out, lower --memory or --max-pixels" in capfd.readouterr().err
    assert go(photos, output).counts == {"skipped": 3, "done": 1}


def test_kills_before_the_machine_started_anew_are_not_counted(
    photos, tmp_path, monkeypatch, kills
):
    with monkeypatch.context() as patch:
        deadly(patch, kill)
        for start in range(3):
            assert child(photos, tmp_path / "out") == KILLED
            (tmp_path / "boot_id").write_text(f"{start}")
            kills.write_text(f"oom_kill {9 + start}\n")
    assert go(photos, tmp_path / "out").exit_code == 0


@pytest.mark.parametrize("stage", ["probe", "stylize", "write", "close"])
def test_every_stage_knows_what_it_has_in_hand(photos, tmp_path, monkeypatch, capfd, stage):
    owner = {"probe": fakes.NpyReader, "stylize": fakes.Negative}.get(stage, fakes.NpySink)
    original = getattr(owner, stage)

    works = digest("c.npy")[:16]  # how the folder begins that a sink works in

    def dying(self, *args):
        places = [getattr(a, "item", getattr(a, "work", a)) for a in (self, *args)]
        if any("c.npy" in str(place) or works in str(place) for place in places):
            crash()
        return original(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(owner, stage, dying)
        assert child(photos, tmp_path / "out") == CRASHED
    capfd.readouterr()
    assert go(photos, tmp_path / "out").exit_code == 0
    assert "c.npy was in hand" in capfd.readouterr().err


def test_a_single_file_is_named_too_and_nothing_stays_beside_it(photos, tmp_path, monkeypatch):
    output = tmp_path / "one.npy"
    with monkeypatch.context() as patch:
        deadly(patch, crash)
        assert [child(photos / "b.npy", output) for _ in range(2)] == [CRASHED, CRASHED]
        assert go(photos / "b.npy", output).failures
    np.save(photos / "b.npy", array(9, 9))
    assert go(photos / "b.npy", output).exit_code == 0
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".one")]


def test_abort_at_the_first_failure_counts_the_one_that_is_known(photos, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        deadly(patch, crash)
        for _ in range(2):
            child(photos / "b.npy", tmp_path / "out")
        report = go(photos, tmp_path / "out", on_error="abort")
    assert report.counts == {"done": 1, "failed": 1} and results(tmp_path / "out") == ["a.npy"]


def test_a_dry_run_says_what_will_not_be_tried(photos, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        deadly(patch, crash)
        for _ in range(2):
            child(photos, tmp_path / "out")
    capsys.readouterr()
    go(photos, tmp_path / "out", Report(), dry_run=True)
    actions = [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()]
    assert actions == ["skipped", "failed", "skipped", "skipped"]


def test_what_a_run_died_of_is_not_looked_at_before_its_turn(photos, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        deadly(patch, crash)
        assert child(photos, tmp_path / "out") == CRASHED
    capsys.readouterr()
    probe, looked = fakes.NpyReader.probe, []
    monkeypatch.setattr(
        fakes.NpyReader, "probe", lambda self, path: looked.append(path.name) or probe(self, path)
    )
    assert go(photos, tmp_path / "out", Report(), dry_run=True).exit_code == 0
    lines = {Path(x.split("\t")[1]).name: x for x in capsys.readouterr().out.splitlines()}
    assert lines["b.npy"].startswith("do\t") and lines["b.npy"].endswith("(Segmentation fault)")
    assert "b.npy" not in looked
    assert go(photos, tmp_path / "out").exit_code == 0 and looked[-1] == "b.npy"


def test_options_that_might_be_used_are_not_looked_up_in_it(tmp_path, monkeypatch):
    item = Item(0, tmp_path / "a.gif", tmp_path, tmp_path / "out.gif")
    chosen = resolve(Plugins(), "default", {"output": {"crf": 20}})
    monkeypatch.setattr("stylepipe.plan.probe", lambda *args: looked.append(args) or 1 / 0)
    for known, looks in (({}, 1), ({"a": inhand.Deaths(crashes=1)}, 0)):
        hands = inhand.InHand(Journal(tmp_path / "out.gif", True, ""), None)
        monkeypatch.setattr(hands, "deaths", lambda item, known=known: known.get("a"))
        looked: list[object] = []
        with suppress(ZeroDivisionError):
            check_used([item], chosen, hands, print)
        assert len(looked) == looks


def test_notes_of_what_was_done_all_the_same_go_with_the_next_run(photos, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "discard", lambda self, item: kill())  # after the result is there
        assert child(photos / "b.npy", tmp_path / "one.npy") == KILLED
    assert list(tmp_path.glob(".one*"))
    assert go(photos / "b.npy", tmp_path / "one.npy").counts == {"skipped": 1}
    assert not list(tmp_path.glob(".one*"))


def test_a_finished_job_takes_no_notes(photos, tmp_path, monkeypatch):
    go(photos, tmp_path / "out")

    def full(self):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(inhand.InHand, "_write", full)
    assert go(photos, tmp_path / "out").exit_code == 0
    np.save(photos / "e.npy", array())
    with pytest.raises(SetupError, match="No space left"):
        go(photos, tmp_path / "out")


@pytest.mark.parametrize(
    "notes",
    [
        b"", b"\xff\n", b"[]\n", b'{"deaths": 3}\n', b'{"deaths": {"a": 1}}', b'{"began": 5}\na-b',
        b'{"deaths": {"a-b": {"crashes": "x"}}}\na-b', b'{"began": {"kills": []}}\na-b',
    ],
)  # fmt: skip
def test_notes_that_make_no_sense_say_nothing(photos, tmp_path, notes):
    (tmp_path / "out" / ".stylepipe").mkdir(parents=True)
    (tmp_path / "out" / ".stylepipe" / "inhand").write_bytes(notes)
    assert go(photos, tmp_path / "out").counts == {"done": 4}


def test_an_error_that_can_be_caught_is_no_death(photos, tmp_path, monkeypatch):
    def broken() -> None:
        raise RuntimeError("of a decoder")

    with monkeypatch.context() as patch:
        deadly(patch, broken)
        assert [go(photos, tmp_path / "out").exit_code for _ in range(3)] == [1, 1, 1]
    assert go(photos, tmp_path / "out").counts == {"skipped": 3, "done": 1}


def test_pytests_own_faulthandler_is_left_alone(photos, tmp_path):
    before = faulthandler.is_enabled()
    go(photos, tmp_path / "out")
    assert faulthandler.is_enabled() == before


def test_the_program_tells_where_it_crashed(tmp_path):
    (tmp_path / "bad.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    call = [sys.executable, "-m", "stylepipe", "presets", "--plugin", "bad.py"]
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == CRASHED
    assert "Fatal Python error: Segmentation fault" in done.stderr and "bad.py" in done.stderr
