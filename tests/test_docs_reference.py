"""Nothing public is undocumented: hooks, names, commands, options, presets, components."""

import importlib.util
import inspect
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

import stylepipe
from stylepipe import hookspecs
from stylepipe.plugins import STAGES, Plugins
from stylepipe.presets import available

DOCS = Path(__file__).resolve().parents[1] / "docs"


def load_generate():
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generate = load_generate()
PAGES = generate.pages()
HOOKS = generate.hooks()
PUBLIC = [name for name in stylepipe.__all__ if not name.startswith("__")]


def written(page):
    return (DOCS / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", HOOKS)
def test_each_hook_has_a_page_with_an_example_and_a_line_in_the_overview(name):
    hook = HOOKS[name]
    assert f"def {name}(" in generate.example_of(name).read_text(encoding="utf-8")
    assert f"autofunction:: stylepipe.hookspecs.{name}" in PAGES[f"hooks/{name}.md"]
    arguments = list(inspect.signature(hook).parameters)
    assert f"`{name}({', '.join(arguments)})`" in written("plugins/hooks.md")
    for argument in arguments:
        assert f"``{argument}``" in hook.__doc__, f"{argument} of {name}"


def test_there_are_hooks():
    assert len(HOOKS) == sum(name.startswith("stylepipe_") for name in dir(hookspecs)) >= 6


@pytest.mark.parametrize("name", PUBLIC)
def test_each_public_name_is_in_the_reference_and_says_what_it_is(name):
    value = getattr(stylepipe, name)
    if callable(value):
        assert f":: stylepipe.{name}\n" in PAGES["api.md"].replace("\n```", "\n")
    if not inspect.isclass(value):
        return
    # a dataclass without a docstring is given its signature as one
    assert value.__doc__ and not value.__doc__.startswith(f"{name}("), name
    for key, member in vars(value).items():
        member = inspect.unwrap(getattr(member, "__func__", member))
        if not key.startswith("_") and isinstance(member, (property, type(inspect.unwrap))):
            inherited = any(getattr(getattr(base, key, None), "__doc__", None)
                            for base in value.__mro__)  # fmt: skip
            assert inherited, f"{name}.{key} has no docstring"


def test_each_command_and_flag_is_on_the_page_with_its_help():
    page = PAGES["commands.md"]
    seen = 0
    for path, ctx in generate.commands():
        assert f"## `{path}`\n" in page
        assert ctx.command.help, path
        for param in ctx.command.get_params(ctx):
            if isinstance(param, click.Option) and not param.hidden:
                seen += 1
                assert param.help, f"{path} {param.opts[0]}"
                assert param.get_help_record(ctx)[0] in page
    assert seen > 100


def test_each_option_of_each_component_is_on_the_page_with_its_help():
    page = PAGES["options.md"]
    plugins = Plugins()
    for stage, base in STAGES.items():
        for name, cls in plugins.components(base).items():
            _, _, section = page.partition(f"### {stage} `{name}`\n")
            section = re.split(r"^##", section, maxsplit=1, flags=re.MULTILINE)[0]
            assert generate.summary(cls) in section and generate.summary(cls), name
            for spec in cls.Options.specs():
                assert len(spec.help) > 5, f"{name}: {spec.name}"
                assert f"| `{spec.name}` |" in section, f"{name}: {spec.name}"


def test_each_preset_is_on_the_page_with_its_description():
    for name, (origin, path) in available(Plugins()).items():
        if origin != "yours":
            assert f"## `{name}`\n" in PAGES["presets.md"]
            description = re.search(r'^description = "(.+)"$', path.read_text(), re.MULTILINE)
            assert description and description[1] in PAGES["presets.md"]


@pytest.mark.parametrize("stage", STAGES)
def test_each_kind_of_component_has_a_tutorial_and_a_word_in_the_glossary(stage):
    assert "```{literalinclude}" in written(f"plugins/{stage}.md")
    assert f"({stage}.md)" in written("plugins/index.md")
    assert f"\n{stage.capitalize()}\n  " in written("glossary.md")


def test_each_public_module_is_in_the_reference():
    modules = set(re.findall(r"\bstylepipe\.\w+", stylepipe.__doc__))
    assert len(modules) > 5
    reference = "".join(map(written, [f"reference/{p.name}" for p in DOCS.glob("reference/*.md")]))
    for module in modules:
        assert re.search(rf"^\.\. auto\w+:: {module}\b", reference, re.MULTILINE), module


def test_each_option_says_what_it_needs():
    needing = [spec for base in STAGES.values() for cls in Plugins().components(base).values()
               for spec in cls.Options.specs() if spec.only_if]  # fmt: skip
    assert needing
    for spec in needing:
        assert f"Needs `{spec.condition}`." in PAGES["options.md"], spec.name


def test_pages_are_written_once_and_old_ones_removed(tmp_path):
    old = tmp_path / "hooks" / "stylepipe_gone.md"
    old.parent.mkdir()
    old.touch()
    generate.write(tmp_path)
    assert not old.exists()
    page = tmp_path / "api.md"
    before = page.stat().st_mtime_ns
    generate.write(tmp_path)
    assert page.stat().st_mtime_ns == before


@pytest.mark.slow
def test_the_documentation_builds_without_a_warning(tmp_path):
    pytest.importorskip("sphinx")
    pytest.importorskip("furo")
    # A process of its own: deprecations inside Sphinx are none of ours.
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-d", tmp_path / "trees", DOCS]
    subprocess.run([*command, tmp_path / "html"], check=True)
    assert (tmp_path / "html" / "index.html").is_file()
