"""The habits of the project hold together: what is promised is what is checked."""

import configparser
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def setup():
    config = configparser.ConfigParser()
    config.read_string(text("setup.cfg"))
    return config


@pytest.fixture(scope="module")
def pythons(setup):
    return re.findall(r"Python :: (3\.\d+)", setup["metadata"]["classifiers"])


def test_checks_on_github_cover_the_promised_pythons_and_systems(pythons):
    workflow = text(".github/workflows/ci.yml")
    (tried,) = re.findall(r"python: \[(.*)\]", workflow)
    assert re.findall(r'"([\d.]+)"', tried) == pythons
    (systems,) = re.findall(r"os: \[(.*)\]", workflow)
    assert systems.split(", ") == ["ubuntu-latest", "macos-latest", "windows-latest"]
    assert "run: .ci/run" in workflow and "coverage report" in workflow
    assert "download.pytorch.org/whl/cpu" in workflow


def test_the_oldest_promised_python_is_the_required_one(setup, pythons):
    assert setup["options"]["python_requires"] == f">={pythons[0]}"
    assert setup["mypy"]["python_version"] == pythons[0]
    assert f"Python {pythons[0]} to {pythons[-1]}" in text("README.md")
    assert f"Python {pythons[0]} to {pythons[-1]}" in text("docs/install.md")
    assert f"Python {pythons[0]} to {pythons[-1]}" in text("docs/compatibility.md")


@pytest.mark.parametrize(
    "command", ["ruff format --check .", "ruff check .", "mypy", "python -m sphinx -q -W"]
)
def test_what_must_pass_is_in_the_script(command):
    assert re.search(rf"^{re.escape(command)}", text(".ci/run"), re.MULTILINE)


def test_a_warning_is_an_error_but_for_exceptions_with_a_reason(setup):
    first, *exceptions = setup["tool:pytest"]["filterwarnings"].strip().splitlines()
    assert first == "error"
    lines = [line.strip() for line in text("setup.cfg").splitlines()]
    for exception in exceptions:
        assert lines[lines.index(exception) - 1].startswith("# "), exception


def test_a_warning_fails_a_test(pytestconfig):
    assert "error" in pytestconfig.getini("filterwarnings")
    with pytest.raises(DeprecationWarning):
        import warnings

        warnings.warn("no longer", DeprecationWarning, stacklevel=1)


def test_coverage_has_a_floor_for_engine_and_plugins(setup):
    measured = setup["coverage:run"]["source_pkgs"]
    assert "stylepipe" in measured and "stylepipe_plugins" in measured
    assert float(setup["coverage:report"]["fail_under"]) > 85


def test_the_container_has_a_promised_python_and_extras_that_exist(setup, pythons):
    recipe = text("Dockerfile")
    assert set(re.findall(r"^FROM python:([\d.]+)-slim", recipe, re.MULTILINE)) <= set(pythons)
    (extras,) = re.findall(r"/source\[([\w,]+)\]", recipe)
    assert set(extras.split(",")) <= set(setup["options.extras_require"])
    ignored = text(".dockerignore").split()
    assert not {"stylepipe", "plugins", "presets", "README.md", "setup.cfg"} & set(ignored)


@pytest.mark.parametrize("page", ["docs/install.md", "README.md"])
def test_the_size_of_the_cuda_build_and_the_way_around_it_are_told(page):
    assert "5.5 GB" in text(page)
    assert "--index-url https://download.pytorch.org/whl/cpu" in text(page)


def test_each_extra_is_explained(setup):
    for extra in setup["options.extras_require"]:
        assert f"| `{extra}` |" in text("docs/install.md")


@pytest.mark.parametrize("form", sorted((ROOT / ".github").rglob("*.yml")), ids=lambda p: p.name)
def test_forms_are_valid(form):
    yaml = pytest.importorskip("yaml")
    assert isinstance(yaml.safe_load(form.read_text(encoding="utf-8")), dict)


def test_every_package_is_installed(setup):
    declared = setup["options"]["packages"].split()
    for path in (ROOT / "stylepipe").rglob("__init__.py"):
        assert ".".join(path.parent.relative_to(ROOT).parts) in declared
