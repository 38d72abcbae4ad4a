"""Which way imports run: ``.importlinter`` holds, and what it forbids is noticed."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("importlinter")
ROOT = Path(__file__).resolve().parents[1]
LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"


@pytest.fixture
def copy(tmp_path):
    """The source, where it may be spoiled."""
    for package, folder in (("stylepipe", "stylepipe"), ("stylepipe_plugins", "plugins")):
        only = shutil.ignore_patterns("__pycache__", "*.safetensors")
        shutil.copytree(ROOT / folder, tmp_path / package, ignore=only)
    shutil.copy(ROOT / ".importlinter", tmp_path)
    return tmp_path


def lint(folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", LINT, "--no-cache"], capture_output=True, text=True, cwd=folder
    )
    assert done.returncode == int("BROKEN" in done.stdout), done.stderr
    return done.stdout


def test_imports_run_one_way(copy):
    assert "0 broken" in (told := lint(copy)), told


@pytest.mark.parametrize(
    ("file", "line", "broken"),
    [
        ("stylepipe/components.py", "from stylepipe.job import Job", "No imports in a circle"),
        ("stylepipe/session.py", "from stylepipe.pipeline import run", "Imports run from the"),
        ("stylepipe/nst/swap.py", "from stylepipe.options import option", "Imports run from the"),
        ("stylepipe/temporal/warp.py", "from stylepipe.job import Job", "Imports run from the"),
        ("stylepipe/media/images.py", "from stylepipe import tensors", "Readers and writers need"),
        ("stylepipe_plugins/wct.py", "from stylepipe import tensors", "Bundled plugins use what"),
        ("stylepipe/plan.py", "from stylepipe_plugins import masks", "The engine names no plugin"),
    ],
)
def test_an_import_the_wrong_way_is_noticed(copy, file, line, broken):
    with (copy / file).open("a") as source:
        source.write(f"\nif typing.TYPE_CHECKING:\n    {line}\n")
    assert any(found.startswith(broken) for found in lint(copy).splitlines() if "BROKEN" in found)
