"""The masker of a third party: checked as its author would, with a fake in rembg's place."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "examples" / "stylepipe-rembg"
FAKE = """
def new_session(model):
    return model

def remove(picture, session, only_mask):
    return picture.max(axis=2)
"""


@pytest.fixture
def env(tmp_path):
    """Environment in which the package and a fake of rembg can be imported."""
    (tmp_path / "rembg.py").write_text(FAKE)
    paths = [str(tmp_path), str(PACKAGE), str(PACKAGE.parents[1]), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}


def call(env, *args):
    command = [sys.executable, "-m", *map(str, args)]
    return subprocess.run(command, env=env, capture_output=True, text=True)


def test_it_passes_the_check_of_plugins(env):
    done = call(env, "stylepipe", "plugins", "check", "stylepipe_rembg")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout


def test_without_rembg_it_says_what_to_install(env, tmp_path, make_photo):
    (tmp_path / "rembg.py").write_text("raise ImportError('no onnxruntime')")
    args = ("masks", make_photo(), "-o", tmp_path / "out", "--mask", "rembg")
    done = call(env, "stylepipe", *args, "--plugin", "stylepipe_rembg")
    assert done.returncode == 4 and "Traceback" not in done.stderr
    assert "rembg is not installed: pip install 'rembg[cpu]' (no onnxruntime)" in done.stderr


@pytest.mark.slow
def test_its_own_tests_pass(env):
    args = ("pytest", "-q", "-n", "0", "-c", os.devnull, "--rootdir", PACKAGE, PACKAGE / "tests")
    done = call(env, *args, "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout
