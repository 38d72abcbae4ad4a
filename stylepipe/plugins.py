"""Loads plugins, keeps a record of each, working or broken, and calls each hook by a typed method.

A plugin is taken whole or not at all: where its module, a declaration or a registering hook is
wrong, its record says what, and nothing of it is used. All others work.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pluggy

from stylepipe import discovery, hookspecs
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
from stylepipe.declarations import HOOKS, NAME, check_component, check_hooks, check_options
from stylepipe.errors import SetupError, StylepipeError, UsageError, sentence, suggest
from stylepipe.job import PRESET_KEYS, TABLES
from stylepipe.named_regions import TABLE
from stylepipe.options import Options
from stylepipe.stdio import printable, tell
from stylepipe.texts import shown
from stylepipe.verbs import VERBS

if TYPE_CHECKING:
    import click

    from stylepipe.job import Job
    from stylepipe.report import Report
    from stylepipe.types import Item, Outcome

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
TRACE = "STYLEPIPE_TRACE_PLUGINS"
_NO = ("", "0", "false", "no", "off")


@dataclass(eq=False)
class PluginRecord:
    """One plugin, and what it provides."""

    name: str
    origin: str
    """Distribution and version, or the path or module the user gave."""
    error: str | None = None
    """The traceback, if it is broken."""
    reason: str = ""
    """Why it is broken, in one sentence."""
    module: str = ""
    blocked: bool = False
    """STYLEPIPE_PLUGINS lists its name with a minus: it was not loaded."""
    hooks: list[str] = field(default_factory=list)
    components: list[type[Component]] = field(default_factory=list)
    presets: list[Path] = field(default_factory=list)
    """Its folders of presets."""
    options: type[Options] | None = None
    """Options of the plugin itself, for its hooks."""
    commands: list[str] = field(default_factory=list)
    """Known once the command line has been built."""


class Plugins:
    """All plugins of this process: those installed, then ``extra``, files, folders or modules.

    ``environ`` may name more in STYLEPIPE_PLUGINS, or block some, and ask for a line on stderr for
    each call of a hook by ``STYLEPIPE_TRACE_PLUGINS=1``. Broken plugins are listed in
    :attr:`records`; nothing is raised.
    """

    def __init__(self, extra: Sequence[str] = (), environ: Mapping[str, str] | None = None) -> None:
        self.records: list[PluginRecord] = []
        self._loaded: list[tuple[PluginRecord, Any]] = []
        self._working: list[PluginRecord] = []
        self._components: dict[tuple[str, str], type[Component]] = {}
        self._complained_of: set[str] = set()
        self._trace = (environ or {}).get(TRACE, "0").lower() not in _NO
        self._manager = pluggy.PluginManager("stylepipe")
        self._manager.add_hookspecs(hookspecs)
        wanted, blocked = discovery.from_environment(environ or {})
        for point in discovery.in_order(entry_points(group=discovery.GROUP)):
            origin = " ".join(discovery.named(point.dist)) if point.dist else point.value
            record = PluginRecord(point.name, origin, blocked=point.name in blocked)
            self._load(record, point.load)
        for name in sorted(blocked.difference(r.name for r in self.records)):
            record = PluginRecord(name, discovery.VARIABLE)
            self._load(record, partial(_nothing_to_block, name, [r.name for r in self.records]))
        for spec in discovery.without_repeats([*extra, *wanted]):
            self._load(PluginRecord(_name_of(spec), spec), partial(discovery.load, spec))
        # What one provides may depend on what others have registered: losses are options.
        for record, module in self._loaded:
            self._take(record, module)

    def _load(self, record: PluginRecord, load: Callable[[], Any]) -> None:
        """Import a plugin and register its hooks."""
        self.records.append(record)
        if record.blocked:
            return
        module = None
        try:
            if other := next((r for r, _ in self._loaded if r.name == record.name), None):
                raise SetupError(
                    f"a plugin named {record.name!r} is loaded already, from {other.origin}; "
                    "rename this one"
                )
            module = load()
            if self._manager.is_registered(module):  # asked for, and installed too
                self.records.remove(record)
                return
            record.module = getattr(module, "__name__", "")
            check_hooks(module)
            self._manager.register(module, record.name)
            self._manager.check_pending()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a plugin may raise anything, and even call sys.exit
            self._give_up(record, module, error)
        else:
            self._loaded.append((record, module))

    def _take(self, record: PluginRecord, module: Any) -> None:
        """Register all that a plugin provides, or nothing."""
        try:
            record.hooks = [h for h in HOOKS if self._caller(h, record).get_hookimpls()]
            record.presets = [_folder(p) for p in self._handed_over("stylepipe_presets", record)]
            record.options = self._options_of(record)
            self._take_components(record)
            self._working.append(record)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a plugin may raise anything here, too
            self._give_up(record, module, error)

    def _give_up(self, record: PluginRecord, module: Any, error: BaseException) -> None:
        if module is not None and self._manager.get_plugin(record.name) is module:
            self._manager.unregister(name=record.name)
        record.error, record.reason = traceback.format_exc(), _reason(error)
        record.hooks, record.presets, record.options = [], [], None

    # -- calling hooks ------------------------------------------------------------------------

    def _caller(self, hook: str, record: PluginRecord) -> pluggy.HookCaller:
        others = [p for n, p in self._manager.list_name_plugin() if n != record.name]
        return self._manager.subset_hook_caller(hook, others)

    def _call(self, hook: str, record: PluginRecord, **arguments: Any) -> list[Any]:
        """Call one plugin's hook; all calls go through here."""
        start = time.perf_counter()
        result = "None"
        try:
            found: list[Any] = self._caller(hook, record)(**arguments)
            result = ", ".join(map(shown, found)) or "None"
            return found
        except BaseException as error:
            result = f"raised {_reason(error)}"
            raise
        finally:
            if self._trace:
                spent = 1000 * (time.perf_counter() - start)
                tell(printable(f"trace: {record.name}.{hook} {spent:.1f} ms: {result}"))

    def _handed_over(self, hook: str, record: PluginRecord) -> list[Any]:
        """All that a registering hook of one plugin returns."""
        if hook not in record.hooks:
            return []
        implementations = self._caller(hook, record).get_hookimpls()
        results = self._call(hook, record)
        for result in results:
            if isinstance(result, (str, bytes)) or not isinstance(result, Iterable):
                raise TypeError(f"{hook} returns a list, not {shown(result)}")
        if len(results) < sum(not (i.wrapper or i.hookwrapper) for i in implementations):
            raise TypeError(f"{hook} returned None; it returns a list")
        return [one for result in results for one in result]

    def _options_of(self, record: PluginRecord) -> type[Options] | None:
        if "stylepipe_options" not in record.hooks:
            return None
        classes = self._call("stylepipe_options", record)
        if len(classes) != 1 or not (
            isinstance(classes[0], type) and issubclass(classes[0], Options)
        ):
            raise TypeError(
                f"stylepipe_options returns one class derived from stylepipe.Options, not "
                f"{shown(classes)}"
            )
        taken = (*TABLES, TABLE, *PRESET_KEYS)
        if record.name in taken or not NAME.fullmatch(record.name.replace("_", "-")):
            raise TypeError(
                f"a plugin with options cannot be named {record.name!r}: its name becomes a table "
                f"of presets, so it must be lower case and none of {', '.join(taken)}"
            )
        check_options(classes[0], f"plugin {record.name}")
        return classes[0]

    def _take_components(self, record: PluginRecord) -> None:
        found: dict[tuple[str, str], type[Component]] = {}
        for cls in self._handed_over("stylepipe_components", record):
            stage = stage_of(cls)
            check_component(cls, stage, STAGES[stage])
            key = stage, cls.name
            other = found.get(key) or self._components.get(key) or cls
            if other is not cls:
                owner = other.plugin if key in self._components else record.name
                raise TypeError(
                    f"two plugins bring a {stage} named {cls.name!r}: {owner} and {record.name}; "
                    "rename the one of this plugin, or uninstall one of them"
                )
            found[key] = cls
        for key, cls in found.items():
            if key not in self._components:
                cls.plugin = record.name
                self._components[key] = cls
                record.components.append(cls)

    # -- what the rest of the program asks ------------------------------------------------------

    def components(self, base: type[C]) -> dict[str, type[C]]:
        """All components of one stage by name, in the order of registration."""
        return {name: cls for (_, name), cls in self._components.items() if issubclass(cls, base)}

    def record(self, plugin: str) -> PluginRecord:
        """The record of a plugin by its name, its module, or as it was asked for.

        Raises UsageError if there is none.
        """
        path = discovery.is_path(plugin)
        for key in ("origin", "name", "module") if path else ("name", "module", "origin"):
            for record in self.records:
                if getattr(record, key) in (plugin, _name_of(plugin)):
                    return record
        known = [record.name for record in self.records]
        raise UsageError(f"no plugin {plugin!r}{suggest(plugin, known)}; known: {', '.join(known)}")

    def by_precedence(self, base: type[C]) -> tuple[type[C], ...]:
        """Those of :meth:`components`, bundled ones last: the first that takes a suffix wins."""
        return tuple(sorted(self.components(base).values(), key=is_bundled))

    def component(self, base: type[C], name: str) -> type[C]:
        """The component of one stage and name. Raises UsageError that lists the known ones."""
        known = self.components(base)
        if name not in known:
            stage = noun(base)
            raise UsageError(
                f"unknown {stage} {name!r}{suggest(name, known)}; known: {', '.join(known)}"
                f"{self.unusable()}"
            )
        return known[name]

    def unusable(self) -> str:
        """What to add to a message about an unknown component: it may be in one of these."""
        broken = [r.name for r in self.records if r.error]
        blocked = [r.name for r in self.records if r.blocked]
        note = f"; broken plugins: {', '.join(broken)}" if broken else ""
        return note + (f"; blocked plugins: {', '.join(blocked)}" if blocked else "")

    def preset_folders(self) -> list[Path]:
        """Folders of presets that plugins ship."""
        return [folder for record in self.records for folder in record.presets]

    def options(self) -> dict[str, type[Options]]:
        """Options of the plugins themselves by name, which is their table in presets."""
        return {r.name: r.options for r in self.records if r.options is not None}

    def add_commands(self, cli: click.Group) -> None:
        """Let plugins add commands to the command line, once.

        A plugin that raises adds none, and a command whose name is taken is left out; the record
        says so, and the rest of the plugin works.
        """
        for record in self._working:
            if "stylepipe_commands" not in record.hooks:
                continue
            before = dict(cli.commands)
            try:
                self._call("stylepipe_commands", record, cli=cli)
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                after = before
                record.error, record.reason = traceback.format_exc(), _reason(error)
            else:
                after = dict(cli.commands)
                taken = before.keys() | VERBS.keys() | self.components(Stylizer).keys()
                clashes = [n for n in after if n in taken and after[n] is not before.get(n)]
                if clashes := [*(before.keys() - after.keys()), *clashes]:
                    record.reason = (
                        f"stylepipe_commands takes the place of {', '.join(clashes)}; choose "
                        "another name"
                    )
                    record.error = record.reason
                after = {n: c for n, c in after.items() if n not in clashes} | before
                record.commands = [n for n in after if n not in before]
            cli.commands.clear()
            cli.commands.update(after)

    def job_start(self, job: Job, items: Sequence[Item], log: Log | None = None) -> None:
        """Announce that a job is about to start on ``items``; a plugin may refuse by UsageError.

        A plugin that breaks in this hook or the next two is reported once, to ``log`` or else on
        stderr, and the job continues.
        """
        self._observe("stylepipe_job_start", (StylepipeError,), log, job=job, items=items)

    def item_done(self, job: Job, item: Item, outcome: Outcome, log: Log | None = None) -> None:
        """Announce how an item ended."""
        self._observe("stylepipe_item_done", (), log, job=job, item=item, outcome=outcome)

    def job_done(self, job: Job, report: Report, log: Log | None = None) -> None:
        """Announce that the job is over."""
        self._observe("stylepipe_job_done", (), log, job=job, report=report)

    def _observe(
        self,
        hook: str,
        refusals: tuple[type[StylepipeError], ...],
        log: Log | None,
        **arguments: Any,
    ) -> None:
        """Call a hook plugin by plugin; only ``refusals`` pass through."""
        for record in self._working:
            if hook not in record.hooks:
                continue
            try:
                self._call(hook, record, **arguments)
            except BaseException as error:  # an observer must not end hours of work
                if isinstance(error, (KeyboardInterrupt, *refusals)):
                    raise
                if record.name in self._complained_of:
                    continue
                self._complained_of.add(record.name)
                (log or tell)(
                    f"warning: plugin {record.name} broke in {hook}: {_reason(error)}; the job "
                    "continues, and its further errors are not reported"
                )


def stage_of(cls: type[Component]) -> str:
    """The word for a component's base class, such as ``reader``. Raises TypeError for others."""
    for stage, base in STAGES.items():
        if isinstance(cls, type) and issubclass(cls, base) and cls is not base:
            return stage
    bases = ", ".join(base.__name__ for base in STAGES.values())
    raise TypeError(f"{shown(cls)} derives from none of {bases}")


def _name_of(spec: str) -> str:
    try:
        return discovery.plugin_name(spec)
    except (ImportError, OSError, RuntimeError):  # which loading it reports
        return spec


def _nothing_to_block(name: str, known: Sequence[str]) -> None:
    raise SetupError(
        f"{discovery.VARIABLE} blocks {name!r}, and no plugin of this name is installed"
        f"{suggest(name, known)}"
    )


def _folder(path: Any) -> Path:
    if not isinstance(path, (str, Path)):
        raise TypeError(f"stylepipe_presets returns folders, not {shown(path)}")
    if not Path(path).is_dir():
        raise FileNotFoundError(f"stylepipe_presets names {path}, which is not a folder")
    return Path(path)


def _reason(error: BaseException) -> str:
    try:
        return sentence(error)
    except Exception:  # not even its message can be read
        return type(error).__name__
