"""What the documentation says must work: each command, path, preset and piece of code in it."""

import configparser
import os
import re
import shlex
import tomllib
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from stylepipe_plugins.fast import FastStylizer
from stylepipe_plugins.gatys import GatysStylizer
from stylepipe_plugins.grade import GradeStylizer

import stylepipe
from stylepipe.cli import main
from stylepipe.nst.terms import registry
from stylepipe.version import __version__

ROOT = Path(__file__).resolve().parents[1]
DUOTONE = ROOT / "examples" / "stylepipe-duotone"
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "examples/README.md",
    "examples/stylepipe-duotone/README.md",
    *(str(p.relative_to(ROOT).as_posix()) for p in sorted(ROOT.glob("docs/**/*.md"))
      if "generated" not in p.parts),
)  # fmt: skip
ENTRIES = ("docs", "examples", "presets")
PAINTED = ("painted_000001.png", "painted_000037.png", "drawn/clip/000001.png")
YOURS = ("ink.safetensors", "mood.json", "tint.safetensors", *PAINTED[:2])
"""Files in the examples that a reader brings along, or has made by then."""


def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text(page), re.DOTALL | re.MULTILINE)


def commands(program: str) -> list[list[str]]:
    """Every call of a program in the documentation, as its arguments; each once."""
    found = {}
    for page in PAGES:
        for line in "".join(blocks(page, "sh")).replace("\\\n", " ").splitlines():
            for call in shlex.join(shlex.split(line, comments=True)).split(" '&&' "):
                first, *args = shlex.split(call) or [""]
                if first == program:
                    found[tuple(args)] = args
    return list(found.values())


STYLEPIPE = commands("stylepipe")


@pytest.fixture(autouse=True)
def losses_as_before(monkeypatch):
    """A loss of an example is forgotten after a test."""
    monkeypatch.setattr(registry, "_REGISTERED", dict(registry._REGISTERED))
    monkeypatch.setattr(GatysStylizer, "Options", GatysStylizer.Options)


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A folder that looks like a fresh clone, with the reader's own files beside."""
    for entry in ENTRIES:
        (tmp_path / entry).symlink_to(ROOT / entry)
    (tmp_path / "drawn" / "clip").mkdir(parents=True)
    for name in YOURS:
        (tmp_path / name).touch()
    for name in PAINTED:
        assert cv2.imwrite(str(tmp_path / name), np.full((360, 640, 3), 90, np.uint8))
    monkeypatch.setattr("click.get_app_dir", lambda name: str(tmp_path / "config"))
    monkeypatch.syspath_prepend(str(DUOTONE))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_two_commands_are_in_the_readme():
    for line in (
        "python -m pip install . && stylepipe run examples/photos --output styled",
        "python -m pip install -e '.[test]' && python -m pytest",
    ):
        assert line in "\n".join(blocks("README.md", "sh"))


def test_documentation_has_commands():
    assert len(STYLEPIPE) > 15


@pytest.mark.parametrize("args", STYLEPIPE, ids=" ".join)
def test_command_is_understood(args, clone, capsys):
    verb, extra = args[0], []
    if "duotone" in " ".join(args):
        extra += ["--plugin", "stylepipe_duotone"]
    without_dry_run = ("train", "doctor", "measure", "live", "sheet", "sweep", "compare", "ui")
    if verb in without_dry_run or args[1:2] in (["new"], ["check"]):
        extra.append("--help")  # parses all options, and does nothing
    elif "-o" in args or "--output" in args:
        extra.append("--dry-run")
        for flag in {"--report", "--log"} & {*args}:  # one is of what was painted, one is written
            at = args.index(flag)
            args = [*args[:at], *args[at + 2 :]]
    code = main.run([*args, *extra])
    assert code == 0, capsys.readouterr().err
    assert {p.name for p in clone.iterdir()} == {*ENTRIES, *YOURS, "drawn"}


@pytest.mark.parametrize("args", STYLEPIPE, ids=" ".join)
def test_paths_exist_and_styles_are_bundled(args, clone):
    stylizer = GradeStylizer if args[0] == "grade" else FastStylizer
    known = [style.name for style in stylizer.styles()]
    for before, value in pairwise(args):
        name = stylepipe.parse_style(value).name
        if before == "--style" and known and not Path(name).suffix:
            assert name in known
        elif before == "--style" and "/" in name:
            assert Path(name).exists(), name
        elif before in ("--mask", "--protect", "--region"):
            for path in re.split(r"[+!:=]", value):
                assert "/" not in path or Path(path).exists(), path
        elif "/" in value and before not in ("-o", "--output", "--format"):
            assert Path(value).exists(), value


def test_python_commands_name_extras_markers_and_scripts_that_exist():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    markers = [line.partition(":")[0] for line in config["tool:pytest"]["markers"].split("\n")]
    calls = commands("python")
    assert calls
    for args in calls:
        for before, value in pairwise(args):
            if match := re.fullmatch(r"\.\[(\w+)\]", value):
                assert match[1] in config["options.extras_require"]
            elif before == "-m" and "pytest" in args[: args.index(value)]:
                assert value in markers
            elif value.startswith(("./", "examples/")):
                assert (ROOT / value).exists(), value


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)\)", text(page))
    for link in links:
        if not link.startswith("https://") and "generated/" not in link:  # those Sphinx checks
            assert ((ROOT / page).parent / link).exists(), link


def test_sections_that_are_linked_to_exist():
    for page in PAGES:
        for path, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", text(page)):
            target = ((ROOT / page).parent / path if path else ROOT / page).read_text("utf-8")
            titles = re.findall(r"^#+ (.+)$", target, re.MULTILINE)
            slugs = [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]
            assert anchor in slugs, anchor


def test_the_map_of_the_source_is_true():
    (block,) = (b for b in blocks("CONTRIBUTING.md", "text") if "stylepipe/ " in b)
    for path in (ROOT / "stylepipe").iterdir():
        if path.suffix == ".py" and not path.name.startswith("__"):
            assert re.search(rf"\b{re.escape(path.name)}", block), f"{path.name} is not on the map"
        elif path.is_dir() and path.name != "__pycache__":
            assert f"  {path.name}/" in block, f"{path.name}/ is not on the map"
    names = {path.name for folder in ("stylepipe", "docs", "examples", "tests")
             for path in (ROOT / folder).rglob("*.py")}  # fmt: skip
    assert set(re.findall(r"\b\w+\.py\b", block)) <= names


def test_documented_presets_are_valid(clone, capsys):
    pages = ("README.md", "docs/guide/presets.md", "docs/plugins/reader.md")
    presets = [preset for page in pages for preset in blocks(page, "toml")]
    assert len(presets) >= len(pages)
    plugin = ("--plugin", "docs/examples/farbfeld.py")
    for k, preset in enumerate(presets):
        tomllib.loads(preset)
        Path(f"preset{k}.toml").write_text(preset, encoding="utf-8")
        validate = ["presets", "validate", f"preset{k}.toml", *plugin]
        assert main.run(validate) == 0, capsys.readouterr().err


def test_documented_plugin_works(clone, make_photo):
    cv2 = pytest.importorskip("cv2")
    (code,) = (b for b in blocks("README.md", "python") if "hookimpl" in b)
    Path("mine.py").write_text(code, encoding="utf-8")
    photo = make_photo("in/photo.png")
    assert main.run(["negative", str(photo), "-o", "out", "--plugin", "mine.py", "-q"]) == 0
    before, after = cv2.imread(str(photo)), cv2.imread("out/photo.png")
    assert (after == 255 - before).all()


@pytest.mark.parametrize("page", ["README.md", "docs/guide/python.md"])
def test_documented_calls_work(page, clone, monkeypatch, capsys):
    convert, calls = stylepipe.convert, []

    def dry(*args, **kwargs):
        calls.append(args)
        return convert(*args, **kwargs, dry_run=True)

    monkeypatch.setattr(stylepipe, "convert", dry)
    codes = [b for b in blocks(page, "python") if "hookimpl" not in b]
    for code in codes:
        exec(compile(code, page, "exec"), {"__name__": "readme"})
    assert calls and "painted" in capsys.readouterr().out
    assert Path("lake_scream.png").is_file()


def test_changelog_knows_the_version():
    assert f"## [{__version__}]" in text("CHANGELOG.md")


def test_what_the_readme_offers_is_offered():
    readme = text("README.md")
    for word in ("--dry-run", "--json", "--set", "--preset"):
        assert word in readme
        flags = [o for p in main.make_cli().get_command(None, "run").params for o in p.opts]
        assert word in flags


def test_check_script_runs_the_command_of_the_readme():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    (wanted,) = re.findall(r"grep -m1 -F \"(.*?)\" README.md", script.read_text())
    matching = [line for line in text("README.md").splitlines() if wanted in line]
    assert matching == ["python -m pip install -e '.[test]' && python -m pytest"]
