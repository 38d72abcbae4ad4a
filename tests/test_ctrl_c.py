"""Ctrl-C before anything has begun, and twice."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import fakes
import numpy as np
import pytest
from PIL import Image

from stylepipe.cli import main
from stylepipe.job import Job
from stylepipe.pipeline import run
from stylepipe.report import Report

EARLY = """
import os, signal, sys


class Finder:
    '''Presses Ctrl-C when a module is looked for.'''

    def find_spec(self, name, path, target=None):
        if name == os.environ["PRESS_AT"]:
            os.kill(os.getpid(), signal.SIGINT)


sys.meta_path.insert(0, Finder())
"""


def press(tmp_path: Path, at: str, *call: str) -> subprocess.CompletedProcess:
    (tmp_path / "sitecustomize.py").write_text(EARLY)
    env = {**os.environ, "PYTHONPATH": str(tmp_path), "PRESS_AT": at}
    call = (sys.executable, *call)
    return subprocess.run(call, env=env, cwd=tmp_path, capture_output=True, text=True)


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
@pytest.mark.parametrize("at", ["pluggy", "click", "stylepipe.cli.presets"])
@pytest.mark.parametrize("how", ["-m", "script"])
def test_ctrl_c_while_the_program_starts_is_not_worth_a_traceback(tmp_path, at, how):
    script = tmp_path / "stylepipe"
    script.write_text("from stylepipe.cli.main import main\nmain()\n")
    call = ["-m", "stylepipe"] if how == "-m" else [str(script)]
    done = press(tmp_path, at, *call, "presets")
    says = "interrupted" if at.startswith("stylepipe.") else ""  # from then on
    assert (done.returncode, done.stdout, done.stderr.strip()) == (130, "", says)


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_a_program_that_imports_stylepipe_keeps_its_ctrl_c(tmp_path):
    code = "try:\n import stylepipe\nexcept KeyboardInterrupt:\n print('mine')"
    assert press(tmp_path, "pluggy", "-c", code).stdout == "mine\n"
    # as a shell starts what is to run in the background
    code = "import signal, stylepipe.startup as s; s.leave_at_ctrl_c(); s.heed_ctrl_c(); "
    code = f"import signal; signal.signal(2, signal.SIG_IGN); {code}"
    code += "print(signal.getsignal(2) is signal.SIG_IGN)"
    assert press(tmp_path, "", "-c", code).stdout == "True\n"


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_events_tell_of_a_job_that_was_aborted(tmp_path, monkeypatch, capsys):
    np.save(tmp_path / "clip.npy", np.stack([fakes.array(90, 90, seed=i) for i in range(9)]))

    def twice(self, batch):
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
        return batch.images

    monkeypatch.setattr(fakes.Negative, "stylize", twice)
    job = Job(
        (tmp_path / "clip.npy",), tmp_path / "out.npy", fakes.settings(),
        device="cpu",
    )  # fmt: skip
    with pytest.raises(KeyboardInterrupt):
        run(job, fakes.Plugins(), Report(json=True, quiet=True))
    end = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert end["event"] == "job_done" and end["interrupted"] is True
    assert end["exit_code"] == 130 and end["error"] is None


def test_ctrl_c_before_anything_is_painted_is_answered(tmp_path, monkeypatch, capsys):
    def press(self):
        raise KeyboardInterrupt

    monkeypatch.setattr("stylepipe.session.Session.prepare", press)
    Image.fromarray(fakes.array(9, 9)).save(tmp_path / "photo.png")
    assert main.run(["given", str(tmp_path / "photo.png"), "-o", str(tmp_path / "out")]) == 130
    assert capsys.readouterr().err.rstrip().endswith("interrupted")
