"""Broken plugins of every kind: each is named and explained, and none harms another."""

import json
import textwrap

import click
import pytest

from stylepipe import Stylizer
from stylepipe.cli import main
from stylepipe.plugins import Plugins


def component(base: str, body: str = "", name: str = "broken", head: str = "") -> str:
    """A plugin with one component; ``body`` overrides what is right."""
    right = {
        "Stylizer": "caps = Caps(needs_style=False)\ndef stylize(self, batch): ...",
        "Masker": "def mask(self, batch, frames): ...",
        "Flow": "def flow(self, a, b): ...",
        "Training": "def train(self, context): ...",
        "Reader": "kind = 'image'\npatterns = ('.x',)\ndef probe(self, path): ...\n"
        "def frames(self, item, info, start=0): ...",
        "Writer": "kind = 'image'\npatterns = ('.x',)\n"
        "def open_sink(self, item, info, path, work): ...",
    }
    inside = textwrap.indent(f"name = {name!r}\n{right.get(base, '')}\n{body}", "    ")
    hook = "@hookimpl\ndef stylepipe_components():\n    return [Broken]\n"
    return f"{head}\nclass Broken({base}):\n{inside}\n\n{hook}"


def options(body: str, base: str = "Stylizer", parent: str = "StylizerOptions") -> str:
    """A plugin whose component has these options."""
    return component(base, f"class Options({parent}):\n{textwrap.indent(body, '    ')}")


def hook(text: str) -> str:
    return f"@hookimpl\n{text}"


BROKEN = {
    # the module
    "import": ("import nosuchmodule_at_all", "No module named 'nosuchmodule_at_all'"),
    "syntax": ("def broken(:", "SyntaxError"),
    "raises": ("1 / 0", "ZeroDivisionError"),
    "exits": ("raise SystemExit(3)", "SystemExit: 3"),
    "generator-exit": ("raise GeneratorExit", "GeneratorExit"),
    "mute": ("class E(Exception):\n    def __str__(self): 1 / 0\nraise E", "E"),
    "empty": ("", "it has no hook"),
    "script": ("print", "it has no hook"),
    # hooks
    "unmarked": ("def stylepipe_components(): return []", "not marked with @stylepipe.hookimpl"),
    "unmarked-start": ("def stylepipe_job_start(job): ...", "stylepipe_job_start is not marked"),
    "unmarked-misspelt": ("def stylepipe_job_strat(job): ...", "mean 'stylepipe_job_start'"),
    "misspelt": (hook("def stylepipe_component(): return []"), "hook 'stylepipe_component'"),
    "argument": (hook("def stylepipe_components(extra): return []"), "extra"),
    "hook-raises": (hook("def stylepipe_components(): 1 / 0"), "ZeroDivisionError"),
    "hook-exits": (hook("def stylepipe_components(): raise SystemExit"), "SystemExit"),
    "hook-yields": (hook("def stylepipe_components(): yield 1 / 0"), "ZeroDivisionError"),
    "hook-none": (hook("def stylepipe_components(): pass"), "returned None; it returns a list"),
    "hook-class": (hook("def stylepipe_components(): return Stylizer"), "returns a list, not"),
    "hook-text": (hook("def stylepipe_components(): return 'Stylizer'"), "returns a list, not"),
    "presets-none": (hook("def stylepipe_presets(): pass"), "returned None; it returns a list"),
    "presets-raises": (hook("def stylepipe_presets(): 1 / 0"), "ZeroDivisionError"),
    "presets-gone": (hook("def stylepipe_presets(): return ['gone']"), "which is not a folder"),
    "presets-text": (hook("def stylepipe_presets(): return 'gone'"), "returns a list, not 'gone'"),
    "presets-odd": (hook("def stylepipe_presets(): return [3]"), "returns folders, not 3"),
    "options-nothing": (hook("def stylepipe_options(): pass"), "returns one class derived from"),
    "options-object": (hook("def stylepipe_options(): return Options()"), "returns one class"),
    "options-wrong": (
        "class O(Options):\n    steps: int = option(0, 'Steps.', min=1)\n"
        + hook("def stylepipe_options(): return O"),
        "option 'steps': its default does not fit: steps must be at least 1",
    ),
    # components
    "no-component": (hook("def stylepipe_components(): return [int]"), "derives from none of"),
    "instance": (hook("def stylepipe_components(): return [Stylizer(None)]"), "derives from none"),
    "base": (hook("def stylepipe_components(): return [Stylizer]"), "derives from none of"),
    "no-name": (component("Stylizer", "name = ''"), "component Broken has no name"),
    "name-number": (component("Stylizer", name=3), "component Broken is named 3"),
    "name-case": (component("Masker", name="Loud"), "is named 'Loud'; names are lower case"),
    "name-space": (component("Flow", name="a b"), "is named 'a b'"),
    "name-none": (component("Masker", name="none"), "'none' means that no component is used"),
    "name-verb": (component("Stylizer", name="run"), "stylepipe run is a command already"),
    "name-doctor": (component("Stylizer", name="doctor"), "stylepipe doctor is a command already"),
    "stylize": (component("Stylizer", "stylize = Stylizer.stylize"), "does not define stylize()"),
    "mask": (component("Masker", "mask = Masker.mask"), "does not define mask()"),
    "flow": (component("Flow", "flow = Flow.flow"), "does not define flow()"),
    "probe": (component("Reader", "probe = Reader.probe"), "does not define probe()"),
    "frames": (component("Reader", "frames = Reader.frames"), "does not define frames()"),
    "open-sink": (component("Writer", "open_sink = Writer.open_sink"), "not define open_sink()"),
    "train": (component("Training", "train = Training.train"), "does not define train()"),
    "no-method": (component("Masker", "mask = 3"), "mask is not a method"),
    "kind": (component("Reader", "kind = 'picture'"), "kind is 'image' or 'video', not 'picture'"),
    "no-kind": (component("Writer", "del kind"), "kind is 'image' or 'video', not None"),
    "no-patterns": (component("Reader", "patterns = ()"), "patterns is a tuple such as"),
    "patterns-text": (component("Writer", "patterns = '.jpg'"), "patterns is a tuple such as"),
    "patterns-dot": (component("Reader", "patterns = ('jpg',)"), "such as '.jpg', not 'jpg'"),
    "patterns-case": (component("Reader", "patterns = ('.JPG',)"), "such as '.jpg', not '.JPG'"),
    "init": (component("Reader", "def __init__(self): ..."), "TypeError"),
    "init-raises": (component("Writer", "def __init__(self, options): 1 / 0"), "ZeroDivisionError"),
    "init-forgets": (component("Flow", "def __init__(self, options): ..."), "must call super()"),
    # caps
    "caps": (component("Stylizer", "caps = {'batch': 2}"), "caps is a stylepipe.Caps"),
    "caps-class": (component("Stylizer", "caps = Caps"), "caps is a stylepipe.Caps"),
    "caps-batch": (component("Stylizer", "caps = Caps(batch=0)"), "caps.batch is a number of at"),
    "caps-text": (component("Stylizer", "caps = Caps(min_side='8')"), "not '8'"),
    "caps-word": (component("Stylizer", "caps = Caps(masks='own')"), "'native' or 'blend', not"),
    "caps-bool": (component("Stylizer", "caps = Caps(tileable=1)"), "True or False, not 1"),
    "caps-minus": (component("Stylizer", "caps = Caps(receptive_radius=-1)"), "at least 0, not -1"),
    "mask-warmup": (component("Masker", "warmup = -1"), "warmup is a number of frames, not -1"),
    # options
    "options-parent": (options("pass", parent="Options"), "must derive from stylepipe.StylizerOp"),
    "options-mask": (options("pass", "Masker", "Options"), "derive from stylepipe.MaskOptions"),
    "options-none": (component("Reader", "Options = None"), "must derive from stylepipe.Options"),
    "options-dict": (component("Reader", "Options = {}"), "must derive from stylepipe.Options"),
    "bare": (options("steps: int = 3"), "declare 'steps' with option(default, help)"),
    "dict": (options("table: dict = option(None, 'No.')"), "which no flag can express"),
    "list": (options("table: list[int] = option((), 'No.')"), "which no flag can express"),
    "pair": (options("size: tuple[int, int] = option((1, 2), 'No.')"), "no flag can express"),
    "union": (options("size: int | str = option(1, 'No.')"), "which no flag can express"),
    "annotation": (options("size: 'Missing' = option(1, 'No.')"), "NameError"),
    "unannotated": (options("size = option(1, 'No.')"), "no type annotation"),
    "range": (options("size: int = option(0, 'No.', min=1)"), "size must be at least 1, not 0"),
    "bounds": (options("size: int = option(2, 'No.', min=3, max=1)"), "min 3 lies above max 1"),
    "bound-text": (options("size: int = option(2, 'No.', min='a')"), "min and max are numbers"),
    "choice": (options("way: str = option('x', 'No.', choices=('a',))"), "way cannot be 'x'"),
    "choices": (options("way: str = option('a', 'No.', choices='ab')"), "choices are a tuple"),
    "default": (options("size: int = option('big', 'No.')"), "size takes a whole number"),
    "default-none": (options("size: int = option(None, 'No.')"), "size needs a value"),
    "repeatable": (options("tag: tuple[str, ...] = option('a', 'No.')"), "its default is a tuple"),
    "helpless": (options("size: int = option(1, '')"), "its help must say what it does"),
    "short": (options("size: int = option(1, 'No.', short='sz')"), "short is one letter"),
    "short-taken": (options("size: int = option(1, 'No.', short='s')"), "-s means 'style' already"),
    "use": (options("use: str = option('a', 'No.')"), "a key of the engine"),
    "underscore": (options("_size: int = option(1, 'No.')"), "without a leading '_'"),
    "engine-key": (
        options("format: str = option('a', 'No.')", "Writer", "Options"),
        "option 'format': its name is a key of the engine",
    ),
    "check-raises": (options("def check(self): 1 / 0"), "ZeroDivisionError"),
    "specs-raise": (options("@classmethod\ndef specs(cls): 1 / 0"), "ZeroDivisionError"),
    # clashes
    "twin": (component("Stylizer", name="good"), "named 'good': good and twin"),
    "twice": (
        component("Masker") + "\nclass Second(Broken): ...\n"
        "@hookimpl(specname='stylepipe_components')\ndef more(): return [Second]",
        "two plugins bring a masker named 'broken': twice and twice",
    ),
}  # fmt: skip
"""By the plugin's name: its text, and what is told of it."""

GOOD = component("Stylizer", name="good") + (
    "\n@hookimpl\ndef stylepipe_commands(cli):\n"
    "    @cli.command('hello')\n    def hello():\n        '''Greet.'''\n"
)
LATE = {
    "late-raises": ("1 / 0", "ZeroDivisionError"),
    "late-exits": ("raise SystemExit(2)", "SystemExit: 2"),
    "late-object": ("cli.add_command('hello')", "AttributeError"),
    "late-verb": ("cli.command('run')(print)", "takes the place of run"),
    "late-stylizer": ("cli.command('good')(print)", "takes the place of good"),
    "late-command": ("cli.command('hello')(print)", "takes the place of hello"),
    "late-removes": ("cli.commands.clear()", "takes the place of hello"),
}
"""By name, what ``stylepipe_commands`` does, and what is told of it."""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr("stylepipe.plugins.entry_points", lambda group: [])
    monkeypatch.setattr("click.get_app_dir", lambda name: str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "good", GOOD)
    return tmp_path


def write(folder, name, text):
    (folder / f"{name}.py").write_text(f"from stylepipe import *\n{text}\n")
    return f"{name}.py"


def late(text: str) -> str:
    return hook(f"def stylepipe_commands(cli):\n    {text}")


def test_there_are_enough_of_them():
    assert len(BROKEN) + len(LATE) >= 60


@pytest.mark.parametrize("name", BROKEN)
def test_each_is_explained_and_the_others_work(name, folder):
    text, words = BROKEN[name]
    plugins = Plugins(["good.py", write(folder, name, text)])
    good, broken = plugins.records
    assert (broken.name, broken.components, broken.hooks) == (name, [], [])
    assert words in broken.reason and "\n" not in broken.reason
    assert "Traceback" in broken.error and name in broken.origin
    assert good.error is None and list(plugins.components(Stylizer)) == ["good"]
    plugins.job_done(None, None)


@pytest.mark.parametrize("name", LATE)
def test_commands_that_break_cost_only_themselves(name, folder):
    text, words = LATE[name]
    plugins, cli = Plugins(["good.py", write(folder, name, late(text))]), click.Group()
    plugins.add_commands(cli)
    assert list(cli.commands) == ["hello"] and cli.commands["hello"].help == "Greet."
    assert words in plugins.records[1].reason and plugins.records[0].error is None


def test_with_all_of_them_at_once_the_program_works(folder, monkeypatch, capsys):
    texts = BROKEN | {name: (late(text), words) for name, (text, words) in LATE.items()}
    files = ["good.py", *(write(folder, name, text) for name, (text, _) in texts.items())]
    monkeypatch.setenv("STYLEPIPE_PLUGINS", ",".join(files))
    assert main.run(["--help"]) == 0
    out, err = capsys.readouterr()
    assert "Stylize with good." in out and "Greet." in out
    for name, (_, words) in texts.items():
        (line,) = (x for x in err.splitlines() if x.startswith(f"warning: plugin {name} is broken"))
        assert words in line
    assert main.run(["plugins", "--json"]) == 0
    records = {r["name"]: r for r in json.loads(capsys.readouterr().out)}
    assert records.keys() == {"good", *texts} and records["good"]["error"] is None
    assert all(words in records[name]["reason"] for name, (_, words) in texts.items())
    for call in (["plugins"], ["run", "--set", "stylizer.use=good", "--help"], ["good", "--help"]):
        assert main.run(call) == 0, call
    assert capsys.readouterr().out.count("  BROKEN") == len(texts)
