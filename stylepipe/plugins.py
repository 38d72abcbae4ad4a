"""Finds plugins, keeps a record of the broken ones, and calls each hook by a typed method."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

import pluggy

from stylepipe import hookspecs
from stylepipe.components import (
    Component,
    Flow,
    Masker,
    Reader,
    Stylizer,
    Temporal,
    Training,
    Writer,
    is_bundled,
    noun,
)
from stylepipe.errors import SetupError, StylepipeError, UsageError, suggest
from stylepipe.stdio import tell

if TYPE_CHECKING:
    import click

    from stylepipe.job import Job
    from stylepipe.report import Report
    from stylepipe.types import Item, Outcome

GROUP = "stylepipe"
STAGES: dict[str, type[Component]] = {
    "reader": Reader,
    "masker": Masker,
    "stylizer": Stylizer,
    "temporal": Temporal,
    "flow": Flow,
    "writer": Writer,
    "training": Training,
}
C = TypeVar("C", bound=Component)
Log = Callable[[str], None]
_ANYTHING = (Exception, SystemExit)
"""What a plugin may raise; a script taken for a plugin may even call ``sys.exit``."""


@dataclass(frozen=True)
class PluginRecord:
    """One plugin, working or broken."""

    name: str
    origin: str
    """Distribution and version, or the path it was loaded from."""
    error: str | None = None
    """The traceback, if it could not be loaded."""


class Plugins:
    """All plugins of this process.

    Raises SetupError if two plugins bring components of one name and stage. A plugin that cannot
    be imported, or that misspells a hook, is recorded in :attr:`records` and harms nothing else.
    """

    def __init__(self, extra: Sequence[str] = ()) -> None:
        self.records: list[PluginRecord] = []
        self._complained_of: set[str] = set()
        self._manager = pluggy.PluginManager("stylepipe")
        self._manager.add_hookspecs(hookspecs)
        for point in sorted(entry_points(group=GROUP), key=lambda p: p.name):
            dist = point.dist
            origin = f"{dist.name} {dist.version}" if dist else point.value
            self._add(point.name, origin, point.load)
        for spec in extra:
            self._add(_plugin_name(spec), spec, partial(_import, spec))
        self._components = self._collect()

    def _add(self, name: str, origin: str, load: Callable[[], Any]) -> None:
        module = None
        try:
            if self._manager.has_plugin(name):
                raise SetupError(f"a plugin named {name!r} is loaded already; rename this one")
            module = load()
            if self._manager.is_registered(module):
                return  # asked for by --plugin and installed too
            self._manager.register(module, name)
            self._manager.check_pending()
        except _ANYTHING:  # a plugin may raise anything; it is recorded with its traceback
            if module is not None and self._manager.get_plugin(name) is module:
                self._manager.unregister(name=name)
            self.records.append(PluginRecord(name, origin, traceback.format_exc()))
        else:
            self.records.append(PluginRecord(name, origin))

    def _each(self, hook: str, **arguments: Any) -> list[Any]:
        """Call a registering hook plugin by plugin; one that raises is recorded as broken."""
        results: list[Any] = []
        for index, record in enumerate(self.records):
            if record.error:
                continue
            try:
                for handed_over in self._caller(hook, record.name)(**arguments):
                    results += handed_over
            except _ANYTHING:
                self.records[index] = replace(record, error=traceback.format_exc())
        return results

    def _caller(self, hook: str, plugin: str) -> pluggy.HookCaller:
        others = [p for n, p in self._manager.list_name_plugin() if n != plugin]
        return self._manager.subset_hook_caller(hook, others)

    def _collect(self) -> dict[tuple[str, str], tuple[type[Component], str]]:
        found: dict[tuple[str, str], tuple[type[Component], str]] = {}
        for record in list(self.records):
            if record.error:
                continue
            try:
                classes = self._components_of(record.name)
            except _ANYTHING:  # as above: the hook is the plugin's code
                index = self.records.index(record)
                self.records[index] = replace(record, error=traceback.format_exc())
                self._manager.unregister(name=record.name)
                continue
            for cls in classes:
                key = (stage_of(cls), cls.name)
                if key in found and found[key][0] is not cls:
                    raise SetupError(
                        f"two plugins bring a {key[0]} named {key[1]!r}: {found[key][1]} and "
                        f"{record.name}; uninstall one of them"
                    )
                found[key] = (cls, record.name)
        return found

    def _components_of(self, plugin: str) -> list[type[Component]]:
        caller = self._caller("stylepipe_components", plugin)
        classes = [cls for batch in caller() for cls in batch]
        for cls in classes:
            _check_options(cls, STAGES[stage_of(cls)])
        return classes

    # -- what the rest of the program asks ------------------------------------------------

    def components(self, base: type[C]) -> dict[str, type[C]]:
        """All components of one stage by name, in the order of registration."""
        return {
            name: cls for (_, name), (cls, _) in self._components.items() if issubclass(cls, base)
        }

    def by_precedence(self, base: type[C]) -> tuple[type[C], ...]:
        """The same, bundled ones last: the first reader or writer that has a suffix wins."""
        return tuple(sorted(self.components(base).values(), key=is_bundled))

    def component(self, base: type[C], name: str) -> type[C]:
        """The component of one stage and name. Raises UsageError that lists the known ones."""
        known = self.components(base)
        if name not in known:
            stage = noun(base)
            broken = [r.name for r in self.records if r.error]
            note = f"; broken plugins: {', '.join(broken)}" if broken else ""
            raise UsageError(
                f"unknown {stage} {name!r}{suggest(name, known)}; known: {', '.join(known)}{note}"
            )
        return known[name]

    def owner(self, cls: type[Component]) -> str:
        """Name of the plugin that brought a component."""
        return self._components[stage_of(cls), cls.name][1]

    def preset_folders(self) -> list[Path]:
        """Folders of presets that plugins ship."""
        return [Path(p) for p in self._each("stylepipe_presets")]

    def add_commands(self, cli: click.Group) -> None:
        """Let plugins add commands to the command line."""
        self._each("stylepipe_commands", cli=cli)

    def job_start(self, job: Job, items: Sequence[Item], log: Log | None = None) -> None:
        """Tell plugins that a job is about to start on some items; any may refuse with UsageError.

        A plugin that breaks in this hook or the next two is told of once, to ``log`` or else on
        stderr, and the job goes on.
        """
        self._observe("stylepipe_job_start", (StylepipeError,), log, job=job, items=items)

    def item_done(self, job: Job, item: Item, outcome: Outcome, log: Log | None = None) -> None:
        """Tell plugins how an item ended."""
        self._observe("stylepipe_item_done", (), log, job=job, item=item, outcome=outcome)

    def job_done(self, job: Job, report: Report, log: Log | None = None) -> None:
        """Tell plugins that the job is over."""
        self._observe("stylepipe_job_done", (), log, job=job, report=report)

    def _observe(
        self,
        hook: str,
        refusals: tuple[type[StylepipeError], ...],
        log: Log | None,
        **arguments: Any,
    ) -> None:
        """Call a hook plugin by plugin; only ``refusals`` pass through."""
        for record in self.records:
            if record.error:
                continue
            try:
                self._caller(hook, record.name)(**arguments)
            except refusals:
                raise
            except _ANYTHING as error:  # one who only looks on must not end hours of work
                if record.name in self._complained_of:
                    continue
                self._complained_of.add(record.name)
                what = f"{type(error).__name__}: {error}".strip().splitlines()[0]
                (log or tell)(
                    f"warning: plugin {record.name} broke in {hook}: {what}; the job goes on, "
                    "and more of this kind is not told"
                )


def stage_of(cls: type[Component]) -> str:
    """The word for a component's base class, such as ``reader``. Raises TypeError for others."""
    for stage, base in STAGES.items():
        if isinstance(cls, type) and issubclass(cls, base):
            if not getattr(cls, "name", ""):
                raise TypeError(f"component {cls.__qualname__} has no name")
            return stage
    bases = ", ".join(base.__name__ for base in STAGES.values())
    raise TypeError(f"{cls!r} derives from none of {bases}")


def _check_options(cls: type[Component], base: type[Component]) -> None:
    if not issubclass(cls.Options, base.Options):
        raise TypeError(
            f"the Options of component {cls.name!r} must derive from stylepipe."
            f"{base.Options.__name__}, whose values the engine uses"
        )


def _plugin_name(spec: str) -> str:
    return Path(spec).stem if _is_path(spec) else spec


def _is_path(spec: str) -> bool:
    return spec.endswith(".py") or "/" in spec or "\\" in spec


def _import(spec: str) -> ModuleType:
    if not _is_path(spec):
        return importlib.import_module(spec)
    path = Path(spec).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"no plugin file {spec}")
    module_spec = importlib.util.spec_from_file_location(f"stylepipe_plugin_{path.stem}", path)
    assert module_spec is not None and module_spec.loader is not None
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[module_spec.name] = module
    module_spec.loader.exec_module(module)
    return module
