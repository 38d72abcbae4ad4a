"""STYLEPIPE_PLUGINS loads and blocks plugins, STYLEPIPE_TRACE_PLUGINS shows what they do."""

import json
from types import ModuleType
from typing import NamedTuple

import pytest

from stylepipe import Stylizer, UsageError
from stylepipe.cli import main
from stylepipe.plugins import Plugins

PLUGIN = '''
import stylepipe

class Good(stylepipe.Stylizer):
    """Does good."""
    name = "{name}"
    caps = stylepipe.Caps(needs_style=False)

    def stylize(self, batch):
        return 1 - batch.images

@stylepipe.hookimpl
def stylepipe_components():
    return [Good]

@stylepipe.hookimpl
def stylepipe_item_done(item):
    1 / 0
'''


class Dist(NamedTuple):
    name: str
    version: str


class Point:
    """An entry point as an installed plugin has it."""

    def __init__(self, name, dist, brings=None):
        self.name, self.value = name, f"{name}_module"
        self.dist = Dist(dist, "1.0")
        self.brings = brings or name

    def load(self):
        module = ModuleType(f"{self.name}_of_test")
        exec(PLUGIN.format(name=self.brings), module.__dict__)
        return module


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    points = [Point("alpha", "someone-else"), Point("zeta", "stylepipe")]
    monkeypatch.setattr("stylepipe.plugins.entry_points", lambda group: points)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(PLUGIN.format(name="mine"))
    return points


def test_plugins_are_loaded_and_blocked(capsys, monkeypatch):
    assert list(Plugins(environ={}).components(Stylizer)) == ["zeta", "alpha"]
    plugins = Plugins(environ={"STYLEPIPE_PLUGINS": "mine.py, -alpha"})
    assert list(plugins.components(Stylizer)) == ["zeta", "mine"]
    with pytest.raises(UsageError, match="blocked plugins: alpha"):
        plugins.component(Stylizer, "alpha")
    monkeypatch.setenv("STYLEPIPE_PLUGINS", "-alpha")
    assert main.run(["plugins"]) == 0
    assert "alpha  (someone-else 1.0)  blocked by STYLEPIPE_PLUGINS" in capsys.readouterr().out
    assert main.run(["plugins", "--json"]) == 0
    blocked = {r["name"]: r["blocked"] for r in json.loads(capsys.readouterr().out)}
    assert blocked == {"zeta": False, "alpha": True}


def test_blocking_what_is_not_there_is_told():
    (record,) = (r for r in Plugins(environ={"STYLEPIPE_PLUGINS": "-alfa"}).records if r.error)
    assert record.reason == (
        "STYLEPIPE_PLUGINS blocks 'alfa', and no plugin of this name is installed "
        "(did you mean 'alpha'?)"
    )


def test_a_broken_one_of_the_list_is_a_warning(monkeypatch, capsys):
    monkeypatch.setenv("STYLEPIPE_PLUGINS", "gone.py")
    assert main.run(["--help"]) == 0
    assert "plugin gone is broken: FileNotFoundError: no plugin file gone.py" in (
        capsys.readouterr().err
    )


def test_what_is_built_in_wins_over_a_namesake(place):
    place[0] = Point("alpha", "someone-else", brings="zeta")
    plugins = Plugins()
    assert plugins.component(Stylizer, "zeta").plugin == "zeta"
    assert [bool(r.error) for r in plugins.records] == [False, True]
    assert "two plugins bring a stylizer named 'zeta': zeta and alpha" in plugins.records[1].reason


@pytest.mark.parametrize("value", ["1", "yes"])
def test_each_call_of_a_hook_is_traced(value, capsys):
    plugins = Plugins(["mine.py"], {"STYLEPIPE_TRACE_PLUGINS": value})
    plugins.item_done(None, None, None)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("trace:")]
    assert len(lines) == 6
    assert "trace: mine.stylepipe_components" in lines[2] and " ms: [<class" in lines[2]
    assert lines[5].startswith("trace: mine.stylepipe_item_done")
    assert lines[5].endswith(" ms: raised ZeroDivisionError: division by zero")


@pytest.mark.parametrize("value", [None, "0", "no", ""])
def test_nothing_is_traced_unasked(value, capsys):
    Plugins(environ={} if value is None else {"STYLEPIPE_TRACE_PLUGINS": value})
    assert "trace:" not in capsys.readouterr().err


def test_the_list_shows_all_that_each_brings(tmp_path, capsys):
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets" / "soft.toml").write_text('description = "Soft."\n')
    (tmp_path / "mine.py").write_text(
        PLUGIN.format(name="mine")
        + "@stylepipe.hookimpl\ndef stylepipe_presets():\n    return ['presets']\n"
        "@stylepipe.hookimpl\ndef stylepipe_commands(cli):\n"
        "    cli.command('hello')(lambda: None)\n"
    )
    assert main.run(["plugins", "--plugin", "mine.py"]) == 0
    text = capsys.readouterr().out.partition("mine  (mine.py)\n")[2].splitlines()
    assert [line.split() for line in text] == [
        ["stylizer", "mine", "Does", "good."],
        ["preset", "soft"],
        ["command", "hello"],
        ["hooks", "stylepipe_components,", "stylepipe_presets,", "stylepipe_commands,",
         "stylepipe_item_done"],
    ]  # fmt: skip
    assert main.run(["plugins", "--json", "--plugin", "mine.py"]) == 0
    record = json.loads(capsys.readouterr().out)[-1]
    assert record["presets"] == ["soft"] and record["commands"] == ["hello"]
    assert record["components"] == [{"stage": "stylizer", "name": "mine", "summary": "Does good."}]
    assert record["hooks"][-1] == "stylepipe_item_done" and not record["error"]
