"""What is told, and where: names that are no plain text, streams that are gone, events."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import fakes
import numpy as np
import pytest

from stylepipe import Info, Item, Outcome
from stylepipe.cli import main
from stylepipe.cli.output import print_json
from stylepipe.job import Job
from stylepipe.pipeline import run as run_job
from stylepipe.report import Report
from stylepipe.stdio import printable

TOY = str(Path(__file__).parent / "toy_plugin.py")
posix = pytest.mark.skipif(os.name != "posix", reason="streams are closed by a Unix shell")
ODD = "a\x1b[31m\nfailed: b\x07\u202ecod\x9b.npy"
SHOWN = r"a\x1b[31m\nfailed: b\x07\u202ecod\x9b.npy"


@pytest.fixture(autouse=True)
def no_installed_plugins(monkeypatch, tmp_path):
    monkeypatch.setattr("stylepipe.plugins.entry_points", lambda group: [])
    monkeypatch.setattr("click.get_app_dir", lambda name: str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def cli(capsys):
    def call(*args: object) -> tuple[int, str, str]:
        code = main.run([*map(str, args), "--plugin", TOY])
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for index, name in enumerate("ab"):
        np.save(folder / f"{name}.npy", fakes.array(seed=index))
    return folder


# -- names that are no plain text ----------------------------------------------------------------


def test_what_cannot_be_shown_is_escaped_and_all_else_is_not():
    assert printable(ODD) == SHOWN
    assert printable(os.fsdecode(b"caf\xe9\t")) == r"caf\xe9\t"
    for plain in ("straße 日本語　写真.jpg", "👩‍👧.png", "C:\\photos\\new", "a\xa0b"):
        assert printable(plain) == plain


@posix
def test_no_name_reaches_the_terminal_as_it_is(cli, photos, tmp_path, monkeypatch):
    (photos / ODD).write_bytes(b"no array")
    (photos / "a.npy").unlink()
    told = [
        cli("negative", photos, "-o", "out", "-n"),
        cli("negative", photos, "-o", "out", "-vv"),
        cli("negative", photos / ODD, photos / ODD, "-o", photos / ODD),
        cli("negative", f"{ODD}gone", "-o", "out"),
        cli("negative", photos, "-o", "out", "--style", ODD, "--mask", ODD),
        cli("probe", photos / ODD, photos / "b.npy"),
        cli("presets", "validate", ODD),
        cli(ODD),
    ]
    (tmp_path / "odd\x1b.py").write_text("1/0")
    told.append(cli("plugins", "--plugin", "odd\x1b.py"))
    for _, out, err in told:
        for line in (out + err).split("\n"):
            assert line.replace("\t", "").isprintable()
            assert not line.startswith("failed: b")
    assert SHOWN in told[0][1] and SHOWN in told[1][2] and SHOWN in told[5][2]


def test_a_plugins_hook_and_a_progress_bar_are_no_way_around(capsys):
    report = Report(bars=True)
    item = Item(0, Path(ODD), Path(), Path("out"))
    report.job_start(1)
    report.item_start(item, Info("video", "npy", 8, 8, frames=3), 0)
    report.progress(0.5, "half\x07")
    report.log("of a plugin\x07")
    report.item_done(item, Outcome("failed", "why\x07"))
    report.job_done()
    err = capsys.readouterr().err
    assert r"of a plugin\x07" in err and r"why\x07" in err
    assert "\x07" not in err and "\x9b" not in err


NEGATIVE = """
from fakes import Negative, NpyReader, NpyWriter
from stylepipe import hookimpl

@hookimpl
def stylepipe_components():
    return [Negative, NpyReader, NpyWriter]
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """The toy plugin's stylizer, beside the installed plugins."""
    (tmp_path / "plugin.py").write_text(NEGATIVE)
    return tmp_path / "plugin.py"


def program(*args: object, shell: str = "", **env: str) -> subprocess.CompletedProcess:
    """The program, with ``shell`` to send its streams somewhere."""
    call = [sys.executable, "-m", "stylepipe", *map(str, args)]
    return subprocess.run(
        ["sh", "-c", f'exec "$0" "$@" {shell}', *call],
        capture_output=True, text=True, errors="surrogateescape",
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent), **env},
    )  # fmt: skip


@posix
def test_names_of_any_encoding_are_told_where_output_is_strict(photos, plugin):
    (photos / os.fsdecode(b"caf\xe9.npy")).write_bytes(b"no")
    (photos / "été.npy").write_bytes(b"no")
    args = ["--plugin", plugin, "negative", photos, "-o", "out", "-n"]
    done = program(*args, PYTHONIOENCODING="utf-8:strict")
    assert done.returncode == 1 and "2 to do, 2 failed" in done.stderr
    assert len(done.stdout.splitlines()) == 4 and r"caf\xe9.npy" in done.stdout


def test_json_holds_names_that_the_stream_could_not(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")
    monkeypatch.setattr(sys, "stdout", stream)
    names = [os.fsdecode(b"caf\xe9.npy"), "été.npy"]
    print_json(names)
    assert json.loads(stream.buffer.getvalue()) == names


# -- streams that are closed or full -------------------------------------------------------------


@posix
@pytest.mark.parametrize(
    ("shell", "told"),
    [
        (">&- 2>&- <&-", ""),
        (">/dev/full", "events are lost, as standard output cannot be written: No space left"),
    ],
)
def test_a_job_paints_whatever_becomes_of_its_streams(photos, plugin, tmp_path, shell, told):
    (photos / "bad.npy").write_bytes(b"no")
    args = ["--plugin", plugin, "negative", photos, "-o", tmp_path / "out", "--json", "-d", "cpu"]
    done = program(*args, shell=shell)
    assert (done.returncode, done.stdout) == (1, "") and told in done.stderr
    assert done.stderr.count("events are lost") == bool(told) and "Traceback" not in done.stderr
    for name in ("a.npy", "b.npy"):
        result = np.load(tmp_path / "out" / name)  # nobody's chatter is in it
        np.testing.assert_array_equal(result, 255 - np.load(photos / name))


@posix
@pytest.mark.parametrize(
    ("args", "shell", "code", "why"),
    [
        (["presets"], ">/dev/full", 4, "No space left on device"),
        (["--help"], ">&-", 4, "Bad file descriptor"),
        (["presets", "show", "nonsense"], "2>&-", 2, None),
        (["nonsense"], "2>/dev/full", 2, None),
    ],
)
def test_other_commands_say_in_a_sentence_that_they_cannot_say_anything(args, shell, code, why):
    done = program(*args, shell=shell)
    sentence = f"error: standard output cannot be written: {why}\n" if why else ""
    assert (done.returncode, done.stderr, done.stdout) == (code, sentence, "")


class Full(io.StringIO):
    """A stream that takes nothing more."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("gone", [None, "full", "closed"])
def test_from_python_a_job_needs_no_streams(photos, tmp_path, monkeypatch, gone):
    stream = {None: None, "full": Full(), "closed": io.StringIO()}[gone]
    if gone == "closed":
        stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    if gone is not None:
        monkeypatch.setattr(sys, "stdout", stream)
    (photos / "bad.npy").write_bytes(b"no")
    job = Job((photos,), tmp_path / "out", fakes.settings(), device="cpu")
    report = run_job(job, fakes.Plugins(), Report(json=gone is not None))
    assert report.counts == {"done": 2, "failed": 1}


def test_events_that_are_lost_do_not_count_as_told(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdout", Full())
    job = Job((photos,), tmp_path / "out", fakes.settings(), device="cpu")
    report = run_job(job, fakes.Plugins(), Report(json=True))
    assert report.counts == {"done": 2} and report.exit_code == 4


# -- events --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "code", "why"),
    [
        (["photos", "-o", "out", "--stile", "a"], 2, "no such option"),
        (["photos", "-o", "out", "--strength", "7"], 2, "strength must be between 0 and 1"),
        (["photos", "-o", "out", "--strength", "x"], 2, "strength"),
        (["photos", "-o", "out", "--overwrite", "--skip-existing"], 2, "contradict"),
        (["photos", "-o", "out", "--preset", "nonsense"], 2, "nonsense"),
        (["photos"], 2, "--output"),
        (["photos", "-o", "photos"], 2, "the input itself"),
        (["nowhere", "-o", "out"], 3, "no such file or folder: nowhere"),
        (["empty", "-o", "out"], 3, "no photo or video found"),
        (["photos", "-o", "out", "--plugin", "bad.py"], 4, "bad.py cannot be loaded"),
        (["photos", "-o", "file/out"], 4, "cannot write to"),
        (["photos", "-o", "old", "--strength", "0.5"], 2, "old/a.npy exists"),
    ],
)
def test_events_end_with_the_reason_whatever_it_is(cli, photos, tmp_path, args, code, why):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "bad.py").write_text("1/0")
    if "old" in args:
        cli("negative", "photos", "-o", "old")
    got, out, err = cli("negative", *args, "--json")
    events = [json.loads(line) for line in out.splitlines()]
    assert got == code and why in err.lower()
    assert [e["event"] for e in events] == ["job_done"]
    assert events[0]["exit_code"] == code and why in events[0]["error"].lower()
    assert events[0]["done"] == 0 and not events[0]["interrupted"]
    assert cli("negative", *args)[1] == "", "without --json there are none"


def test_help_is_no_event(cli):
    code, out, _ = cli("negative", "--json", "--help")
    assert code == 0 and "job_done" not in out


def test_a_job_that_was_done_has_no_error(cli, photos):
    events = [json.loads(x) for x in cli("negative", photos, "-o", "out", "--json")[1].splitlines()]
    assert events[-1]["event"] == "job_done" and events[-1]["error"] is None
