"""Where plugins come from: entry points, files, folders, modules, and the environment's list."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path
from types import ModuleType

from stylepipe.paths import user_path

GROUP = "stylepipe"
VARIABLE = "STYLEPIPE_PLUGINS"


@cache
def named(dist: Distribution) -> tuple[str, str]:
    """Name and version of a distribution: each look at them parses all of its metadata."""
    return dist.name, dist.version


def in_order(points: Iterable[EntryPoint]) -> list[EntryPoint]:
    """The entry points by name, our own first: theirs are the names that hold."""
    return sorted(points, key=lambda p: (p.dist is None or named(p.dist)[0] != GROUP, p.name))


def from_environment(environ: Mapping[str, str]) -> tuple[list[str], set[str]]:
    """What the variable says: plugins to load, and names of plugins to block.

    It is a list with commas, in which a minus blocks: ``mine.py,my_package,-duotone``.
    """
    words = [word.strip() for word in environ.get(VARIABLE, "").split(",") if word.strip()]
    blocked = {word[1:].strip() for word in words if word.startswith("-")}
    return [word for word in words if not word.startswith("-")], blocked


def without_repeats(specs: Iterable[str]) -> list[str]:
    """The plugins that the user gave, each once, however its path is written."""
    paths = {user_path(s).resolve() if is_path(s) else s: s for s in reversed([*specs])}
    return [*reversed(paths.values())]


def plugin_name(spec: str) -> str:
    """The name of a plugin that the user gave: of its file, its entry point or its module."""
    if not is_path(spec):
        return spec
    path = user_path(spec)
    points = _points(path)
    return next(iter(points)) if len(points) == 1 else path.resolve().stem


def is_path(spec: str) -> bool:
    """Whether a plugin is given as a file or folder rather than as a module."""
    if spec.endswith(".py") or "/" in spec or "\\" in spec:
        return True
    return not spec.replace(".", "").isidentifier() and user_path(spec).is_dir()


def load(spec: str) -> ModuleType:
    """Import a plugin: a module by name, a file, a package's folder, or a project's.

    Raises whatever the module raises, and FileNotFoundError or ImportError if there is none.
    """
    if not is_path(spec):
        return importlib.import_module(spec)
    path = user_path(spec)
    if path.is_dir():
        return _load_folder(path.resolve())
    if not path.is_file():
        raise FileNotFoundError(f"no plugin file {spec}")
    module_spec = importlib.util.spec_from_file_location(f"stylepipe_plugin_{path.stem}", path)
    if module_spec is None or module_spec.loader is None:
        raise ImportError(f"{spec} is not a Python file; its name must end in .py")
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[module_spec.name] = module
    try:
        module_spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module_spec.name]
        raise
    return module


def _load_folder(folder: Path) -> ModuleType:
    if (folder / "__init__.py").is_file():
        return _load_below(folder.parent, folder.name)
    points = _points(folder)
    if len(points) > 1:
        raise ImportError(f"{folder} has several plugins, {', '.join(points)}; name one's folder")
    for module in points.values():
        return _load_below(next(_homes(folder, module)), module)
    raise FileNotFoundError(
        f"{folder} is not a plugin: it has neither an __init__.py nor a pyproject.toml with an "
        "entry point in the group stylepipe"
    )


def _points(folder: Path) -> dict[str, str]:
    """The entry points of a project's folder: modules by name."""
    file = folder / "pyproject.toml"
    if not file.is_file():
        return {}
    try:
        project = tomllib.loads(file.read_text(encoding="utf-8")).get("project", {})
        return dict(project.get("entry-points", {}).get(GROUP, {}))
    except (ValueError, AttributeError) as error:
        raise ImportError(f"{file} cannot be read: {error}") from None


def _homes(folder: Path, module: str) -> Iterator[Path]:
    """The folder of a project in which a module is found."""
    parts = module.split(".")
    for home in (folder, folder / "src"):
        if home.joinpath(*parts).is_dir() or home.joinpath(*parts).with_suffix(".py").is_file():
            yield home
    raise FileNotFoundError(f"{folder} has no module {module}, which its pyproject.toml names")


def _load_below(home: Path, name: str) -> ModuleType:
    """Import a module from a folder, and refuse a namesake from elsewhere."""
    sys.path.append(str(home))
    importlib.invalidate_caches()
    module = importlib.import_module(name)
    if home not in Path(module.__file__ or "").resolve().parents:
        raise ImportError(
            f"another {name} is installed, in {module.__file__}; uninstall it, or leave out {home}"
        )
    return module
