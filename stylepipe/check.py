"""Runs the contracts of a plugin, for which its author need not write a test."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stylepipe.discovery import is_path
from stylepipe.errors import SetupError, UsageError, suggest
from stylepipe.paths import user_path
from stylepipe.plugins import Plugins

_TEST = """\
from pathlib import Path
from stylepipe.testing import PluginContract

class TestPlugin(PluginContract):
    plugin = {plugin!r}
    options = {options!r}
    samples = [Path(path) for path in {samples!r}]
"""


@dataclass(frozen=True)
class Checked:
    """The result of a check."""

    fine: bool
    text: str
    """What is broken, and a last line that sums it up."""


def check_plugin(plugin: str, samples: Sequence[Path] = (), sets: Sequence[str] = ()) -> Checked:
    """Load a plugin and run its contracts under pytest, in a separate process.

    ``samples`` are good files for its readers, ``sets`` are options of components,
    as ``NAME.KEY=VALUE``. Raises UsageError if there is no such plugin, SetupError without pytest.
    """
    if importlib.util.find_spec("pytest") is None:
        raise SetupError("checking a plugin needs pytest: python -m pip install pytest")
    if is_path(plugin):
        if not user_path(plugin).exists():
            raise UsageError(f"no plugin file or folder {plugin!r}")
        plugin = str(user_path(plugin).resolve())
    plugins = Plugins([plugin])
    record = plugins.record(plugin)
    if record.error and not (is_path(plugin) or _is_module(plugin.partition(".")[0])):
        known = [r.name for r in plugins.records if r is not record]
        hint = f"{suggest(plugin, known)}; known: {', '.join(known)}"
        raise UsageError(f"no plugin or module {plugin!r}{hint}")
    if record.error:
        return Checked(False, f"{record.error.rstrip()}\n{record.name}: broken: {record.reason}")
    options = _options(sets, [cls.name for cls in record.components])
    with tempfile.TemporaryDirectory() as folder:
        test = _TEST.format(
            plugin=plugin, options=options, samples=[str(s.resolve()) for s in samples]
        )
        Path(folder, "test_plugin.py").write_text(test, encoding="utf-8")
        # Without the pytest plugins that happen to be installed, and without anybody's settings.
        call = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-rs", "--color=no"]
        call += ["-p", "stylepipe.testing", "-p", "no:cacheprovider", "-c", os.devnull]
        call += ["--rootdir", folder, "test_plugin.py"]
        env = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
        env["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
        done = subprocess.run(
            call, cwd=folder, env=env, capture_output=True, text=True, errors="replace"
        )
    lines = (done.stdout.rstrip() or done.stderr.rstrip()).splitlines()
    if done.returncode < 0 or not lines:  # a library crashed, or the system ran out of memory
        lines.append(f"broken: pytest ended with exit code {done.returncode} and no result")
    last = lines.pop()
    if fine := done.returncode == 0 and "passed" in last:
        lines = [line for line in lines if line.startswith("SKIPPED")]
    return Checked(fine, "\n".join([*lines, f"{record.name}: {last}"]))


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ValueError:  # such as __main__, which has no file
        return False


def _options(sets: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, str]]:
    options: dict[str, dict[str, str]] = {}
    for text in sets:
        path, equals, value = text.partition("=")
        name, dot, key = path.partition(".")
        if not (equals and dot and key and name in names):
            raise UsageError(
                f"--set takes NAME.KEY=VALUE with a component of the plugin, {', '.join(names)}; "
                f"not {text!r}"
            )
        options.setdefault(name, {})[key.replace("-", "_")] = value
    return options
