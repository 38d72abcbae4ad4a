"""Discovery: what works is found, what is broken is recorded and harms nothing else."""

import ast
import inspect
import sys
from pathlib import Path

import click
import pytest

import stylepipe
from stylepipe import Stylizer, UsageError, Writer, hookspecs
from stylepipe.plugins import Plugins, stage_of

GOOD = '''
import stylepipe

class Good(stylepipe.Stylizer):
    """Does {name}."""
    name = "{name}"
    caps = stylepipe.Caps(needs_style=False)

    def stylize(self, batch):
        return 1 - batch.images

@stylepipe.hookimpl
def stylepipe_components():
    return [Good]
'''


@pytest.fixture(autouse=True)
def only_asked(monkeypatch):
    """No installed plugins: only those a test asks for."""
    monkeypatch.setattr("stylepipe.plugins.entry_points", lambda group: [])


@pytest.fixture
def plugin(tmp_path):
    """Write a plugin file and return its path as the user would give it."""

    def write(text: str, name: str = "mine") -> str:
        path = tmp_path / f"{name}.py"
        path.write_text(text)
        return str(path)

    return write


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import nosuchmodule_at_all", "No module named 'nosuchmodule_at_all'"),
        ("def broken(:", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError"),
        ("import sys; sys.exit(3)", "SystemExit"),
        (
            "import stylepipe\n@stylepipe.hookimpl\ndef stylepipe_component(): return []",
            "unknown hook 'stylepipe_component'",
        ),
        (
            "import stylepipe\n@stylepipe.hookimpl\ndef stylepipe_components(): 1 / 0",
            "ZeroDivisionError",
        ),
        (
            "import stylepipe\n@stylepipe.hookimpl\ndef stylepipe_components(): return [int]",
            "derives from none of Reader, Masker, Stylizer, Temporal, Flow, Writer",
        ),
        (
            "import stylepipe\n@stylepipe.hookimpl\ndef stylepipe_components(extra): return []",
            "extra",
        ),
        (
            "import stylepipe\nclass S(stylepipe.Stylizer): pass\n"
            "@stylepipe.hookimpl\ndef stylepipe_components(): return [S]",
            "component S has no name",
        ),
        (
            "import stylepipe\nclass T(stylepipe.Temporal): mode = 'gide'",
            "mode of T is guide, filter or shot, not 'gide'",
        ),
        (
            "import stylepipe\nclass T(stylepipe.Temporal): lookahead = 2",
            "T has a lookahead, which is for the mode filter",
        ),
        (
            "import stylepipe\nstylepipe.Caps(warmup='clip')",
            "warmup is a number of frames or 'shot', not 'clip'",
        ),
    ],
)
def test_a_broken_plugin_is_recorded_and_the_next_one_works(plugin, text, words):
    broken, good = plugin(text, "broken"), plugin(GOOD.format(name="good"), "good")
    plugins = Plugins([broken, good])
    assert [(r.name, bool(r.error)) for r in plugins.records] == [("broken", True), ("good", False)]
    assert words in plugins.records[0].error and "Traceback" in plugins.records[0].error
    assert plugins.records[0].origin == broken
    assert list(plugins.components(Stylizer)) == ["good"]


def test_an_unknown_component_is_explained_with_the_broken_plugins(plugin):
    plugins = Plugins([plugin("1/0", "broken"), plugin(GOOD.format(name="good"), "good")])
    with pytest.raises(UsageError, match=r"did you mean 'good'.*broken plugins: broken"):
        plugins.component(Stylizer, "goood")


def test_a_missing_plugin_file_is_recorded(tmp_path):
    plugins = Plugins([str(tmp_path / "gone.py")])
    assert "no plugin file" in plugins.records[0].error


def test_two_components_of_one_name_name_both_plugins(plugin):
    one, two = plugin(GOOD.format(name="twin"), "one"), plugin(GOOD.format(name="twin"), "two")
    plugins = Plugins([one, two])
    assert "two plugins bring a stylizer named 'twin': one and two" in plugins.records[1].reason
    assert plugins.component(Stylizer, "twin").plugin == "one"


def test_names_are_free_across_stages(plugin):
    text = GOOD.format(name="same") + (
        "\nclass W(stylepipe.Writer):\n    name = 'same'\n    kind = 'image'\n"
        "    patterns = ('.x',)\n"
        "    def open_sink(self, item, info, path, work): ...\n"
        "@stylepipe.hookimpl(specname='stylepipe_components')\ndef more(): return [W]\n"
    )
    plugins = Plugins([plugin(text)])
    assert plugins.component(Stylizer, "same") is not plugins.component(Writer, "same")
    assert plugins.component(Writer, "same").plugin == "mine"


def test_a_second_plugin_of_one_file_name_is_refused_and_the_first_stays(plugin, tmp_path):
    first = plugin(GOOD.format(name="first"), "twin")
    (tmp_path / "other").mkdir()
    second = tmp_path / "other" / "twin.py"
    second.write_text(GOOD.format(name="second"))
    plugins = Plugins([first, str(second)])
    assert list(plugins.components(Stylizer)) == ["first"]
    assert "loaded already" in plugins.records[1].error


def test_a_file_asked_for_in_two_spellings_is_loaded_once(plugin, tmp_path, monkeypatch):
    path = plugin(GOOD.format(name="good"))
    monkeypatch.chdir(tmp_path)
    plugins = Plugins(["mine.py", path], {"STYLEPIPE_PLUGINS": "./mine.py"})
    assert [(r.origin, r.error) for r in plugins.records] == [("mine.py", None)]


def test_asking_for_an_installed_plugin_changes_nothing(plugin, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(tmp_path))
    plugin(GOOD.format(name="good"), "good_module_of_test")

    class Point:
        name, value, dist = "good", "good_module_of_test", None

        def load(self):
            return __import__("good_module_of_test")

    monkeypatch.setattr("stylepipe.plugins.entry_points", lambda group: [Point()])
    plugins = Plugins(["good_module_of_test"])
    assert [r.name for r in plugins.records] == ["good"] and not plugins.records[0].error
    sys.modules.pop("good_module_of_test")


def test_a_command_or_preset_hook_that_raises_harms_no_other(plugin, tmp_path):
    bad = plugin(
        "import stylepipe\n@stylepipe.hookimpl\ndef stylepipe_commands(cli): 1 / 0\n"
        "@stylepipe.hookimpl\ndef stylepipe_presets(): yield 1 / 0\n",
        "bad",
    )
    good = plugin(
        "import click, stylepipe\n@stylepipe.hookimpl\ndef stylepipe_commands(cli):\n"
        "    cli.add_command(click.Command('hello'))\n"
        f"@stylepipe.hookimpl\ndef stylepipe_presets(): return [{str(tmp_path)!r}]\n",
        "good",
    )
    plugins, cli = Plugins([bad, good]), click.Group()
    plugins.add_commands(cli)
    assert list(cli.commands) == ["hello"]
    assert "ZeroDivisionError" in plugins.records[0].error
    assert Plugins([bad, good]).preset_folders() == [tmp_path]


def test_job_hooks_reach_every_plugin(plugin, tmp_path):
    text = "import stylepipe\ntold = []\n" + "".join(
        f"@stylepipe.hookimpl\ndef {name}({args}): told.append(({name!r}, {last}))\n"
        for name, args, last in [
            ("stylepipe_job_start", "job, items", "items"),
            ("stylepipe_item_done", "job, item, outcome", "outcome"),
            ("stylepipe_job_done", "job, report", "report"),
        ]
    )
    plugins = Plugins([plugin(text, "observer")])
    plugins.job_start("job", ["item"])
    plugins.item_done("job", "item", "outcome")
    plugins.job_done("job", "report")
    assert sys.modules["stylepipe_plugin_observer"].told == [
        ("stylepipe_job_start", ["item"]),
        ("stylepipe_item_done", "outcome"),
        ("stylepipe_job_done", "report"),
    ]


def test_a_plugin_may_refuse_a_job(plugin):
    text = (
        "import stylepipe\n@stylepipe.hookimpl\ndef stylepipe_job_start(job):\n"
        "    raise stylepipe.UsageError('not today')\n"
    )
    with pytest.raises(UsageError, match="not today"):
        Plugins([plugin(text)]).job_start(None, [])


OBSERVER = "import stylepipe\ntold = []\n" + "".join(
    f"@stylepipe.hookimpl\ndef {name}({args}):\n    told.append({name!r})\n    1 / 0\n"
    for name, args in [
        ("stylepipe_job_start", "job"),
        ("stylepipe_item_done", "item"),
        ("stylepipe_job_done", "report"),
    ]
)


def test_an_observer_that_raises_is_told_of_once_and_the_next_one_hears_all(plugin, capsys):
    quiet = OBSERVER.replace("1 / 0", "pass")
    plugins = Plugins([plugin(OBSERVER, "loud"), plugin(quiet, "calm"), plugin(OBSERVER, "third")])
    lines: list[str] = []
    plugins.job_start(None, [], lines.append)
    plugins.item_done(None, "item", "outcome", lines.append)
    plugins.job_done(None, "report")
    assert len(lines) == 2 and not capsys.readouterr().err
    assert "plugin loud broke in stylepipe_job_start: ZeroDivisionError" in lines[0]
    for name in ("loud", "calm", "third"):
        assert len(sys.modules[f"stylepipe_plugin_{name}"].told) == 3


def test_without_a_log_the_complaint_goes_to_stderr(plugin, capsys):
    Plugins([plugin(OBSERVER, "loud")]).job_done(None, "report")
    assert "warning: plugin loud broke in stylepipe_job_done" in capsys.readouterr().err


def test_a_refusal_after_the_start_ends_nothing(plugin):
    text = OBSERVER.replace("1 / 0", "raise stylepipe.UsageError('too late')")
    lines: list[str] = []
    plugins = Plugins([plugin(text, "late")])
    plugins.item_done(None, "item", "outcome", lines.append)
    assert "too late" in lines[0]
    with pytest.raises(UsageError, match="too late"):
        plugins.job_start(None, [], lines.append)


@pytest.mark.parametrize(
    ("base", "members", "needed"),
    [
        ("Stylizer", "def stylize(self, batch): ...", "StylizerOptions"),
        ("Flow", "def flow(self, a, b): ...", None),
        ("Reader", "kind = 'image'; patterns = ('.x',); probe = frames = print", None),
    ],
)
def test_options_must_derive_from_those_of_their_stage(plugin, base, members, needed):
    text = (
        f"import stylepipe\nclass Own(stylepipe.{base}):\n    name = 'own'\n    {members}\n"
        "    class Options(stylepipe.Options):\n"
        "        steps: int = stylepipe.option(3, 'Steps.')\n"
        "@stylepipe.hookimpl\ndef stylepipe_components(): return [Own]\n"
    )
    error = Plugins([plugin(text)]).records[0].error
    if needed is None:
        assert error is None
    else:
        assert f"the Options of component 'own' must derive from stylepipe.{needed}" in error


def test_stage_of_refuses_what_is_no_component():
    with pytest.raises(TypeError, match="derives from none"):
        stage_of(stylepipe.Options)


def hooks():
    return [f for n, f in vars(hookspecs).items() if n.startswith("stylepipe_")]


def test_there_are_seven_hooks_and_each_argument_is_documented():
    assert len(hooks()) == 7
    for hook in hooks():
        text = inspect.getdoc(hook)
        assert text, f"{hook.__name__} has no documentation"
        for name in inspect.signature(hook).parameters:
            assert f"``{name}``" in text, f"{hook.__name__} does not say what {name} is"


def test_every_hook_has_a_typed_method_that_calls_it():
    source = ast.parse(Path(sys.modules["stylepipe.plugins"].__file__).read_text())
    words = {
        n.attr if isinstance(n, ast.Attribute) else n.value
        for n in ast.walk(source)
        if isinstance(n, (ast.Attribute, ast.Constant))
    }
    assert {h.__name__ for h in hooks()} <= words


BUNDLED = Path(stylepipe.__file__).parents[1] / "plugins"
PUBLIC = {
    "stylepipe",
    *("stylepipe.stylizers", "stylepipe.restyling", "stylepipe.encoders"),
    *("stylepipe.mask_files", "stylepipe.region_maps", "stylepipe.companion"),
    "stylepipe.temporal",
    *("stylepipe.nst", "stylepipe.weights", "stylepipe.testing"),
}


@pytest.mark.parametrize("path", sorted(BUNDLED.rglob("*.py")), ids=lambda p: p.stem)
def test_bundled_plugins_need_public_names_only(path):
    """What they cannot do without, nobody else's plugin could do without either."""
    code = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        id(node)
        for block in ast.walk(code)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(code):
        if not isinstance(node, ast.ImportFrom) or node.level or id(node) in for_types:
            continue
        package, *inner = (node.module or "").split(".")
        if package == "stylepipe":
            assert ".".join([package, *inner[:1]]) in PUBLIC, ast.unparse(node)
            if not inner:
                assert {alias.name for alias in node.names} <= set(stylepipe.__all__)
