"""``stylepipe plugins new`` writes a package that works as it is; ``plugins check`` says so."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stylepipe.cli import main
from stylepipe.plugins import Plugins
from stylepipe.scaffold import KINDS, create


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in [n for n in sys.modules if n.startswith("stylepipe_mine")]:
        del sys.modules[name]


QUICK = ("stylizer", "reader")


@pytest.mark.parametrize(
    "kind", [k if k in QUICK else pytest.param(k, marks=pytest.mark.slow) for k in KINDS]
)
def test_a_new_plugin_is_checked_and_runs(kind, make_photo, make_clip, capsys):
    assert main.run(["plugins", "new", "mine-own", "--kind", kind]) == 0
    assert capsys.readouterr().out == "stylepipe-mine-own\n"
    assert main.run(["plugins", "check", "stylepipe-mine-own"]) == 0, capsys.readouterr().out
    assert "mine-own: " in (told := capsys.readouterr().out) and " passed" in told
    photo = make_photo("in/photo.ppm") if kind == "reader" else make_photo("in/photo.png")
    source = make_clip("in/clip.mp4", frames=3) if kind == "flow" else photo
    plugin = ["--plugin", "stylepipe-mine-own", "--preset", "mine-own"]
    stylizer = [] if kind == "stylizer" else ["--set", "stylizer.strength=0"]
    if kind in ("masker", "flow"):  # which nobody asks where nothing is painted
        Path("paint.py").write_text(NEGATIVE)
        stylizer = ["--plugin", "paint.py", "--set", "stylizer.use=negative"]
    assert main.run(["run", str(source), "-o", "out", *plugin, *stylizer]) == 0, capsys.readouterr()
    (result,) = (p for p in Path("out").iterdir() if not p.name.startswith("."))
    assert result.suffix == {"writer": ".ppm", "flow": ".mp4", "reader": ".jpg"}.get(kind, ".png")
    if kind == "stylizer":
        red, _, blue = np.asarray(Image.open(result)).reshape(-1, 3).mean(0)
        assert red > blue + 20


NEGATIVE = """
import stylepipe

class Negative(stylepipe.Stylizer):
    name = "negative"
    caps = stylepipe.Caps(needs_style=False)

    def stylize(self, batch):
        return 1 - batch.images

@stylepipe.hookimpl
def stylepipe_components():
    return [Negative]
"""


@pytest.mark.slow
def test_a_new_plugin_installs(tmp_path):
    assert main.run(["plugins", "new", "mine", "--kind", "stylizer"]) == 0
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    call = [*pip, "--no-build-isolation", "--target", "site", "./stylepipe-mine"]
    subprocess.run(call, check=True)
    env = os.environ | {"PYTHONPATH": os.pathsep.join(["site", *filter(None, sys.path)])}
    listed = [sys.executable, "-m", "stylepipe", "plugins", "--json"]
    done = subprocess.run(listed, env=env, capture_output=True, text=True, check=True)
    (mine,) = (r for r in json.loads(done.stdout) if r["name"] == "mine")
    assert mine["presets"] == ["mine"] and mine["origin"] == "stylepipe-mine 0.1.0"
    check = [sys.executable, "-m", "stylepipe", "plugins", "check", "mine"]
    assert subprocess.run(check, env=env).returncode == 0


@pytest.mark.parametrize(
    "name", ["", "Mine", "my plugin", "../mine", "1st", "run", "none", "é", "a--b"]
)
def test_names_that_cannot_be_are_refused(name, tmp_path, capsys):
    assert main.run(["plugins", "new", name, "--kind", "masker"]) == 2
    assert "name" in capsys.readouterr().err and not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "kind"), [("fast", "stylizer"), ("default", "masker")])
def test_names_of_components_and_presets_that_are_there_are_refused(name, kind, tmp_path, capsys):
    assert main.run(["plugins", "new", name, "--kind", kind]) == 2
    assert f"named '{name}' already" in capsys.readouterr().err and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "kind"), [("true", "masker"), ("path", "masker"), ("frame", "reader")]
)
def test_any_word_may_become_a_class(name, kind, tmp_path, capsys):
    module = f"stylepipe_{name}"
    source = create(name, kind, tmp_path) / module / "__init__.py"
    (record,) = Plugins([str(source.parents[1])]).records[-1:]
    assert record.error is None
    assert record.components[0].__name__ == f"{name.title()}{kind.title()}"
    del sys.modules[module]


def test_what_exists_is_left_alone(tmp_path, capsys):
    Path("stylepipe-mine").mkdir()
    assert main.run(["plugins", "new", "mine", "--kind", "masker"]) == 2
    assert "stylepipe-mine exists" in capsys.readouterr().err
    assert not list(Path("stylepipe-mine").iterdir())
    Path("file").touch()
    assert main.run(["plugins", "new", "mine", "--kind", "masker", "-o", "file"]) == 4
    assert "cannot write" in capsys.readouterr().err


def test_check_finds_a_broken_contract_and_a_broken_plugin(capsys):
    Path("loud.py").write_text(NEGATIVE.replace("1 - batch.images", "2 * batch.images - 1"))
    assert main.run(["plugins", "check", "loud.py"]) == 1
    out = capsys.readouterr().out
    assert "test_values_lie_between_0_and_1" in out and "of the values lie outside [0, 1]" in out
    Path("torn.py").write_text("1 / 0")
    assert main.run(["plugins", "check", "torn.py"]) == 1
    assert "torn: broken: ZeroDivisionError" in capsys.readouterr().out


@pytest.mark.parametrize(
    "plugin", ["gone.py", "no-such-plugin", "no_such_module", "./nowhere/", "__main__"]
)
def test_check_of_nothing_is_a_wrong_use(plugin, capsys, monkeypatch):
    monkeypatch.setattr("__main__.__spec__", None)  # as in a program that is a script
    assert main.run(["plugins", "check", plugin]) == 2
    assert "no plugin" in capsys.readouterr().err


@pytest.mark.parametrize("code", [0, 3, -9])
def test_check_of_a_plugin_that_ends_the_process_fails(code, capsys, monkeypatch):
    Path("abrupt.py").write_text(NEGATIVE)
    ended = subprocess.CompletedProcess([], code, "", "")
    monkeypatch.setattr("stylepipe.check.subprocess.run", lambda *args, **more: ended)
    assert main.run(["plugins", "check", "abrupt.py"]) == 1
    told = capsys.readouterr().out
    assert told == f"abrupt: broken: pytest ended with exit code {code} and no result\n"


def test_check_shows_what_a_terminal_could_not(capsys):
    Path("odd.py").write_text("raise RuntimeError('\\x1b[2J\\udcff')")
    assert main.run(["plugins", "check", "odd.py"]) == 1
    assert r"RuntimeError: \x1b[2J\xff" in capsys.readouterr().out


def test_check_without_pytest_says_what_is_missing(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main.run(["plugins", "check", "x.py"]) == 4
    assert "needs pytest: python -m pip install pytest" in capsys.readouterr().err


def test_check_refuses_options_for_components_that_are_not_there(capsys):
    Path("negative.py").write_text(NEGATIVE)
    assert main.run(["plugins", "check", "negative.py", "--set", "other.x=1"]) == 2
    assert "--set takes NAME.KEY=VALUE" in capsys.readouterr().err


def test_a_project_is_loaded_by_its_folder_and_no_namesake_instead(tmp_path):
    assert main.run(["plugins", "new", "mine", "--kind", "masker"]) == 0
    (record,) = (r for r in Plugins(["stylepipe-mine"]).records if r.name == "mine")
    assert record.error is None and record.presets
    Path("elsewhere").mkdir()
    Path("stylepipe-mine").rename("elsewhere/stylepipe-mine")
    (record,) = (r for r in Plugins(["elsewhere/stylepipe-mine"]).records if r.name == "mine")
    assert "another stylepipe_mine is installed" in record.reason


def test_folders_that_are_no_plugins_are_told(tmp_path):
    Path("empty").mkdir()
    Path("two").mkdir()
    Path("two/pyproject.toml").write_text(
        "[project.entry-points.stylepipe]\na = 'one'\nb = 'other'\n"
    )
    Path("torn").mkdir()
    Path("torn/pyproject.toml").write_text("[project")
    Path("astray").mkdir()
    Path("astray/pyproject.toml").write_text("[project.entry-points.stylepipe]\na = 'no_module'\n")
    reasons = {
        r.origin: r.reason
        for r in Plugins([f"./{n}/" for n in ("empty", "two", "torn", "astray")]).records
    }
    assert "is not a plugin" in reasons["./empty/"]
    assert "has several plugins, a, b" in reasons["./two/"]
    assert "pyproject.toml cannot be read" in reasons["./torn/"]
    assert "has no module no_module" in reasons["./astray/"]


def test_a_plugin_that_cannot_be_written_leaves_no_half_of_it(tmp_path, capsys, monkeypatch):
    write = Path.write_text

    def full(self, *args, **more):
        if self.suffix == ".toml" and self.stem == "mine":
            raise OSError(28, "No space left on device")
        return write(self, *args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        assert main.run(["plugins", "new", "mine", "--kind", "masker"]) == 4
    assert "No space left" in capsys.readouterr().err and not Path("stylepipe-mine").exists()
    assert main.run(["plugins", "new", "mine", "--kind", "masker"]) == 0


@pytest.mark.parametrize("call", [["check", "x"], ["new", "x", "--kind", "masker"]])
def test_json_is_for_the_list_of_plugins(call, capsys):
    assert main.run(["plugins", "--json", *call]) == 2
    assert f"--json is for the list, and not for {call[0]}" in capsys.readouterr().err
    assert not Path("stylepipe-x").exists()
