"""Presets: find them, read TOML, merge the layers, and say where each value came from.

A preset is a TOML file. ``extends = "name"`` takes another preset as its parent; the tables
``[input] [mask] [stylizer] [temporal] [output]`` name a component by ``use`` and set its options,
and a plugin whose hooks have options finds them in a table of its own name::

    description = "Only the sky, softly"
    extends = "default"

    [stylizer]
    style = "great-wave"
    strength = 0.8

    [mask]
    use = "files"
    feather = 12

The layers, the strongest first: command line, environment (``STYLEPIPE_STYLIZER_STRENGTH=0.8``),
preset, parent preset, defaults. A layer that changes ``use`` drops what presets below it had set
in that table; what is done with masks, such as ``feather``, stays when another mask is named. A
text that begins with ``./`` or ``../`` is a path beside the preset's file; any other relative path
is taken from the current folder.
"""

from __future__ import annotations

import importlib.resources
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stylepipe.components import Component, Flow, Masker, Stylizer, Temporal, Writer, noun
from stylepipe.errors import UsageError, suggest
from stylepipe.job import (
    DEFAULT,
    DEFAULT_FLOW,
    ENGINE,
    PRESET_KEYS,
    SHARED,
    TABLES,
    InputOptions,
    MaskOptions,
    OutputOptions,
    Settings,
    option_keys,
)
from stylepipe.masking import (
    Protection,
    Shared,
    Term,
    amount_of,
    beside,
    masker_of,
    say_what_follows,
    terms_of,
    union_of,
)
from stylepipe.named_regions import NO_REGIONS, REST, TABLE, Region, keys_of
from stylepipe.options import Options, OptionSpec, convert
from stylepipe.paths import user_path
from stylepipe.plugins import TRACE, Plugins
from stylepipe.texts import read_toml, shown

_COMMAND_LINE = "command line"
_ENVIRONMENT = "environment"


@dataclass(frozen=True)
class Value:
    """One value with its origin: where it was set last."""

    value: Any
    origin: str
    """``default``, ``recipe NAME``, ``preset NAME``, ``environment VARIABLE``, ``command line`` or
    ``argument``."""
    where: str = ""
    """The origin as error messages name it: with the file, for a preset."""


@dataclass(frozen=True)
class Preset:
    """One preset file, read but not yet merged with its parent."""

    name: str
    path: Path
    description: str
    extends: str | None
    tables: Mapping[str, Mapping[str, Any]]


# -- finding and reading ----------------------------------------------------------------------


def user_folder() -> Path:
    """Where the user's own presets are found by name."""
    import click

    return Path(click.get_app_dir("stylepipe")) / "presets"


def folders(plugins: Plugins) -> list[tuple[str, Path]]:
    """Where presets are looked up by name, first match first: user's, plugins', shipped."""
    shipped = Path(str(importlib.resources.files("stylepipe_presets")))
    return [
        ("yours", user_folder()),
        *(("plugin", folder) for folder in plugins.preset_folders()),
        ("shipped", shipped),
    ]


def available(plugins: Plugins) -> dict[str, tuple[str, Path]]:
    """Origin and file of every preset that can be called by name."""
    found: dict[str, tuple[str, Path]] = {}
    for origin, folder in folders(plugins):
        for path in sorted(folder.glob("*.toml")):
            found.setdefault(path.stem, (origin, path))
    return found


def is_path(preset: str | Path) -> bool:
    """Whether ``preset`` is a file rather than a name: it has a separator or ends in .toml."""
    return isinstance(preset, Path) or preset.endswith(".toml") or "/" in preset or "\\" in preset


def find(plugins: Plugins, preset: str | Path, seen: Sequence[Path] = ()) -> Path:
    """The file of a preset, none of ``seen``. Raises UsageError that lists the known names."""
    if is_path(preset):
        path = user_path(preset)
        if not path.is_file():
            raise UsageError(f"no preset file {str(path)!r}")
        candidates = [path]
    else:
        places = [user_path(folder / f"{preset}.toml") for _, folder in folders(plugins)]
        candidates = [path for path in places if path.is_file()]
        if not candidates:
            known = sorted(available(plugins))
            raise UsageError(
                f"unknown preset {str(preset)!r}{suggest(str(preset), known)}; "
                f"known: {', '.join(known) or 'none'}"
            )
    for path in candidates:
        if path.resolve() not in [p.resolve() for p in seen]:
            return path
    circle = " -> ".join([*(p.stem for p in seen), candidates[0].stem])
    raise UsageError(f"presets extend each other in a circle: {circle}")


def tables_of(plugins: Plugins) -> list[str]:
    """The tables that a preset may have: the engine's, and those of plugins with options."""
    return [*TABLES, TABLE, *plugins.options()]


def load(path: Path, known_tables: Collection[str] = (*TABLES, TABLE)) -> Preset:
    """Read one preset file. Raises UsageError that names the file, and the line if TOML is bad."""
    try:
        data = read_toml(path)
    except OSError as e:
        raise UsageError(f"cannot read preset {path}: {e.strerror or e}") from None
    except ValueError as e:
        raise UsageError(f"preset {path} is not valid TOML: {e}") from None
    tables: dict[str, dict[str, Any]] = {}
    texts: dict[str, str | None] = dict.fromkeys(PRESET_KEYS)
    for key, value in data.items():
        if key == TABLE and key in known_tables:
            tables[key] = _regions_in(path, value)
        elif key in texts and isinstance(value, str):
            texts[key] = _beside(path, value) if key == "extends" else value
        elif key in texts:
            raise UsageError(f"preset {path}: {key} takes text, not {shown(value)}")
        elif key in known_tables and isinstance(value, dict):
            tables[key] = {_key(k): _beside(path, v) for k, v in value.items()}
            if key == "mask":
                tables[key] |= _beside_masks(path, tables[key])
            if len(value) > len(tables[key]):
                raise UsageError(f"preset {path}: [{key}] has a key twice, with '-' and with '_'")
        elif key in known_tables:
            raise UsageError(f"preset {path}: {key} is a table; write [{key}] and its keys below")
        else:
            known = [*texts, *known_tables]
            what = "table" if isinstance(value, dict) else "key"
            hint = suggest(key, known) or _home_of(key)
            raise UsageError(
                f"preset {path}: unknown {what} {key!r}{hint}; known: "
                + ", ".join([*texts, *(f"[{t}]" for t in known_tables)])
            )
    description = texts["description"] or ""
    return Preset(path.stem, path, description, texts["extends"], tables)


def _home_of(key: str) -> str:
    return " (options belong in a table, such as [stylizer])" if key.islower() else ""


def _beside(path: Path, value: Any) -> Any:
    """Take ``./x`` from the preset's own folder, so that a preset travels with its files."""
    if isinstance(value, list):
        return [_beside(path, v) for v in value]
    if isinstance(value, str) and value.startswith(("./", "../")):
        return str(path.parent / value)
    return value


def _regions_in(path: Path, regions: Any) -> dict[str, Any]:
    """The tables ``[region.NAME]``, with paths beside the preset's file."""
    found: dict[str, Any] = {}
    for name, keys in regions.items() if isinstance(regions, dict) else [("NAME", regions)]:
        if not isinstance(keys, dict):
            raise UsageError(
                f"preset {path}: a region is a table; write [region.{name}] and its keys below"
            )
        mask = keys.get("mask", name)
        found[name] = {_key(k): _beside(path, v) for k, v in keys.items()}
        found[name]["mask"] = beside(path.parent, mask) if isinstance(mask, str) else mask
    return found


def _beside_masks(path: Path, table: Mapping[str, Any]) -> dict[str, Any]:
    """The expressions of a table, with paths beside the preset's file."""
    texts = {key: table.get(key) for key in ("use", "protect")}
    return {k: beside(path.parent, text) for k, text in texts.items() if isinstance(text, str)}


def chain(plugins: Plugins, preset: str | Path) -> list[Preset]:
    """The preset with its ancestors, the oldest first. A preset may extend a shadowed namesake."""
    tables = tables_of(plugins)
    presets = [load(find(plugins, preset), tables)]
    while (parent := presets[0].extends) is not None:
        child = presets[0]
        try:
            path = find(plugins, parent, [p.path for p in reversed(presets)])
        except UsageError as e:
            raise UsageError(f"preset {child.path}: {e}") from None
        presets.insert(0, load(path, tables))
    return presets


# -- merging ----------------------------------------------------------------------------------


_Make = Callable[[Term, Value], Masker]
"""Makes the masker of a term; the value is the expression that it stands in."""


@dataclass(frozen=True)
class _RegionDraft:
    """A region, its values not yet validated."""

    name: str
    expression: str
    stylizer: type[Component] | None
    """None: it is kept."""
    values: dict[str, Value]
    """Options of the stylizer by key, those of ``[stylizer]`` among them."""
    origin: Value


@dataclass(frozen=True)
class Draft:
    """The merged layers: components are chosen, values not yet validated."""

    preset: str
    components: dict[str, tuple[type[Component], ...]]
    """By table; none for ``mask`` and ``temporal`` where nothing was asked for."""
    values: dict[str, dict[str, Value]]
    """By table and key, without ``use``."""
    uses: dict[str, Value]
    """The ``use`` of each table that has one."""
    layers: dict[str, dict[str, Value]]
    """The values as they were merged, before components were chosen."""
    plugins: Mapping[str, type[Options]]
    """By table, the options of the plugins themselves."""
    terms: Mapping[str, Sequence[Term]]
    """The terms of ``use`` and ``protect`` of ``[mask]``, none where they are not set, and of each
    region by ``region.NAME``."""
    regions: Sequence[_RegionDraft]

    def over(
        self,
        plugins: Plugins,
        overrides: Mapping[str, Mapping[str, Any]],
        origin: str = _COMMAND_LINE,
    ) -> Draft:
        """The draft with more overrides on top. Raises UsageError."""
        layer = _override_layer(overrides, tables_of(plugins), origin)
        return _chosen(plugins, self.preset, _overlaid(plugins, self.layers, layer))

    def settings(self) -> Settings:
        """Make the components. Raises UsageError that names the key and where it was set."""
        given = {t: dict(v) for t, v in self.values.items()}
        for table, classes in self.components.items():
            self._check_known(table, classes, given[table])
        for_engine = {
            table: {s.name: given[table].pop(s.name) for s in cls.specs() if s.name in given[table]}
            for table, cls in ENGINE.items()
        }
        output = _options(OutputOptions, for_engine["output"], "output")
        mask = _options(MaskOptions, for_engine["mask"], "mask")
        self._check_arguments(given["mask"])
        make = self._makes(given["mask"])
        masker, protection = self._masker(make), self._protection(make)
        regions = tuple(self._region(region, make) for region in self.regions)
        painted = ["so nothing of it is painted", "so all of it is painted"]
        say_what_follows(masker, *(reversed(painted) if mask.invert else painted))
        if protection:
            whole = "so nothing of it is protected", "so all of it is protected"
            say_what_follows(protection.masker, *whole)
        for region in regions:
            part = f"so region {region.name!r} is"
            say_what_follows(region.masker, f"{part} empty", f"{part} all of it")
        if not (masker or regions) and (idle := sorted(mask.shaping())):
            raise UsageError(_no_masker(idle[0], for_engine["mask"][idle[0]]))
        made: dict[str, list[Any]] = {}
        for table, classes in self.components.items():
            if table == "mask":
                continue
            made[table] = []
            for cls, keys in zip(classes, option_keys(classes), strict=True):
                mine = {s.name: given[table][k] for k, s in keys.items() if k in given[table]}
                made[table].append(cls(_options(cls.Options, mine, table)))
        temporal, flow = (*made["temporal"], None, None)[:2]
        if temporal is not None:
            temporal.flow = flow
        _check_format(output, made["output"], for_engine["output"])
        return Settings(
            preset=self.preset,
            readers=tuple(made["input"]),
            masker=masker,
            mask=mask,
            protection=protection,
            regions=regions,
            stylizer=made["stylizer"][0],
            temporal=temporal,
            writers=tuple(made["output"]),
            output=output,
            input=_options(InputOptions, for_engine["input"], "input"),
            plugins={
                name: _of_plugin(cls, given[name], name) for name, cls in self.plugins.items()
            },
        )

    def _masker(self, make: _Make) -> Masker | None:
        terms = self.terms["use"]
        if not terms:
            return None
        use = self.uses["mask"]
        return masker_of(terms, use.value, lambda term: make(term, use))

    def _protection(self, make: _Make) -> Protection | None:
        terms = self.terms["protect"]
        if not terms:
            return None
        protect = self.values["mask"]["protect"]
        text, amount = amount_of(protect.value)
        made = union_of(terms, text, lambda term: make(term, protect))
        return Protection(made, amount)

    def _region(self, region: _RegionDraft, make: _Make) -> Region:
        terms, masker = self.terms[f"{TABLE}.{region.name}"], None
        stylizer: Any = None
        if terms:
            masker = union_of(terms, region.expression, lambda term: make(term, region.origin))
        strength = 1.0
        if region.stylizer is not None:
            options = self._region_options(region, region.stylizer)
            strength = options.strength
            stylizer = region.stylizer(replace(options, strength=1.0))
        return Region(region.name, region.expression, masker, stylizer, strength)

    def _region_options(self, region: _RegionDraft, cls: type[Component]) -> Any:
        known = [s.name for s in cls.Options.specs()]
        where = f"{TABLE}.{region.name}"
        for key in region.values:
            if key not in known:
                raise UsageError(
                    f"unknown option {key!r} of {cls.name} in [{where}]{suggest(key, known)}; "
                    f"known: {', '.join(['use', 'mask', 'keep', *known])}"
                )
        options = _options(cls.Options, region.values, where)
        if not options.style and cls.caps.needs_style:  # type: ignore[attr-defined]
            raise UsageError(
                f"region {region.name!r} has no style: write {region.name}=STYLE or "
                f"{region.name}=keep"
            )
        return options

    def _makes(self, given: Mapping[str, Value]) -> _Make:
        """Makes the maskers of the expressions: of one that is named more than once, only one."""
        named = Counter(term.what for terms in self.terms.values() for term in terms)
        shared: dict[tuple[str, str | None], Shared] = {}

        def make(term: Term, origin: Value) -> Masker:
            if named[term.what] == 1:
                return self._made(term, given, origin)
            if term.what not in shared:
                shared[term.what] = Shared(self._made(term, given, origin))
            return shared[term.what]

        return make

    def _made(self, term: Term, given: Mapping[str, Value], named: Value) -> Masker:
        """The masker of a term; ``named`` is the expression."""
        for cls, keys in self._maskers():
            if cls.name == term.masker:
                mine = {s.name: given[k] for k, s in keys.items() if k in given}
                if term.argument:
                    mine[cls.argument] = Value(term.argument, named.origin, named.where)
                return cls(_options(cls.Options, mine, "mask"))
        raise AssertionError(f"{term} is chosen")

    def _maskers(self) -> Iterator[tuple[type[Masker], dict[str, OptionSpec]]]:
        """The maskers named anywhere, each with its options by key."""
        classes = self.components["mask"]
        for cls, keys in zip(classes, option_keys(classes), strict=True):
            assert issubclass(cls, Masker)
            yield cls, keys

    def _check_arguments(self, given: Mapping[str, Value]) -> None:
        """Raises UsageError for a key that changes nothing, as expressions give the argument."""
        terms = [term for terms in self.terms.values() for term in terms]
        for cls, keys in self._maskers():
            named = [term for term in terms if term.masker == cls.name]
            if not all(term.argument for term in named):
                continue
            for key, spec in keys.items():
                if spec.name != cls.argument or key not in given:
                    continue
                if not given[key].origin.startswith(_ENVIRONMENT):
                    raise UsageError(
                        f"mask.{key} was set ({given[key].where}), but the expression that names "
                        f"the mask gives {named[0].argument!r}; leave one of them out"
                    )

    def explain(self) -> dict[str, dict[str, Value]]:
        """The description of the settings, each value with its origin."""
        explained: dict[str, dict[str, Value]] = {}
        settings = self.settings()
        printed = settings.stylizer.options.printed()
        for table, plain in settings.describe().items():
            explained[table] = {}
            if table == TABLE:
                origins = {region.name: region.origin for region in self.regions}
                explained[table] = {
                    name: Value(keys, origins[name].origin, origins[name].where)
                    for name, keys in plain.items()
                }
                continue
            for key, value in plain.items():
                source = (
                    self.uses.get(table)
                    if key == "use"
                    else (self.values[table].get(key.partition("@")[0]))
                )
                if table == "mask" and source is None and self._is_argument(key):
                    source = self.uses[table]
                if source:
                    explained[table][key] = Value(value, source.origin, source.where)
                elif table == "stylizer" and key in printed:
                    explained[table][key] = Value(value, f"recipe {plain['recipe']}")
                else:
                    explained[table][key] = Value(value, "default")
        return explained

    def _is_argument(self, key: str) -> bool:
        """Whether a key of ``[mask]`` is the argument in ``use``."""
        given = {term.masker for term in self.terms["use"] if term.argument}
        return any(
            cls.name in given and key in keys and keys[key].name == cls.argument
            for cls, keys in self._maskers()
        )

    def _check_known(
        self, table: str, classes: Sequence[type[Component]], given: Mapping[str, Value]
    ) -> None:
        known = [key for keys in option_keys(classes) for key in keys]
        if table in ENGINE and classes:
            known = [*(s.name for s in ENGINE[table].specs()), *known]
        known = list(dict.fromkeys(known))
        for key, value in given.items():
            if key in known:
                continue
            if not classes and table == "mask":
                raise UsageError(_no_masker(key, value))
            if not classes:
                stage = noun(TABLES[table])
                raise UsageError(
                    f"{table}.{key} was set ({value.where}), but no {stage} was chosen; "
                    f"set {table}.use to one"
                )
            owner = "" if table in SHARED and len(classes) > 1 else f" of {classes[0].name}"
            raise UsageError(
                f"unknown option {key!r}{owner} in [{table}] ({value.where}){suggest(key, known)}; "
                f"known: {', '.join(['use', *known])}"
            )


def _no_masker(key: str, value: Value) -> str:
    return (
        f"mask.{key} was set ({value.where}), but no masker was chosen; set mask.use to one, or "
        "pass --mask"
    )


def _options(cls: type[Options], given: Mapping[str, Value], table: str) -> Any:
    specs: dict[str, OptionSpec] = {s.name: s for s in cls.specs()}
    clean: dict[str, Any] = {}
    for key, value in given.items():
        try:
            clean[key] = convert(specs[key], value.value)
        except UsageError as e:
            raise UsageError(f"[{table}] {e} ({value.where})") from None
    try:
        return cls(**clean)
    except UsageError as e:
        wheres = ", ".join(dict.fromkeys(v.where for v in given.values()))
        raise UsageError(f"[{table}] {e}" + (f" ({wheres})" if wheres else "")) from None


def _of_plugin(cls: type[Options], given: Mapping[str, Value], name: str) -> Options:
    known = [s.name for s in cls.specs()]
    for key, value in given.items():
        if key not in known:
            raise UsageError(
                f"unknown option {key!r} of plugin {name} in [{name}] ({value.where})"
                f"{suggest(key, known)}; known: {', '.join(known)}"
            )
    options: Options = _options(cls, given, name)
    return options


def _check_format(
    output: OutputOptions, writers: Sequence[Writer], given: Mapping[str, Value]
) -> None:
    if output.format is None:
        return
    known = sorted({p.lstrip(".") for w in writers for p in w.patterns})
    if output.format not in known:
        raise UsageError(
            f"[output] format cannot be {output.format!r}{suggest(output.format, known)} "
            f"({given['format'].where}); choose one of: {', '.join(known)}"
        )


def draft(
    plugins: Plugins,
    preset: str | Path = "default",
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    env: Mapping[str, str] | None = None,
    origin: str = _COMMAND_LINE,
) -> Draft:
    """Merge the layers and choose the components.

    ``overrides`` are tables of plain values, from the command line or from what ``origin`` names;
    ``env`` is looked through for ``STYLEPIPE_<TABLE>_<KEY>``. Raises UsageError.
    """
    presets = chain(plugins, preset)
    layers: list[dict[str, dict[str, Value]]] = [
        {"stylizer": {"use": Value("fast", "default", "default")}},
        *(_preset_layer(p) for p in presets),
        _environment_layer(env or {}, tables_of(plugins)),
        _override_layer(overrides or {}, tables_of(plugins), origin),
    ]
    merged: dict[str, dict[str, Value]] = {table: {} for table in tables_of(plugins)}
    for layer in layers:
        merged = _overlaid(plugins, merged, layer)
    return _chosen(plugins, presets[-1].name, merged)


def _overlaid(
    plugins: Plugins,
    below: dict[str, dict[str, Value]],
    layer: Mapping[str, dict[str, Value]],
) -> dict[str, dict[str, Value]]:
    above = {t: _overlay(plugins, t, below[t], keys) for t, keys in layer.items()}
    return below | above


def _chosen(plugins: Plugins, preset: str, layers: dict[str, dict[str, Value]]) -> Draft:
    """The draft of merged layers, each table with its ``use``."""
    merged = {table: dict(values) for table, values in layers.items()}
    uses: dict[str, Value] = {}
    components: dict[str, tuple[type[Component], ...]] = {}
    terms: dict[str, Sequence[Term]] = {}
    regions: list[_RegionDraft] = []
    for table in ("stylizer", *(t for t in TABLES if t != "stylizer")):  # which regions inherit
        base = TABLES[table]
        chosen = merged[table].pop("use", None) or _implied(table, merged[table])
        if chosen:
            uses[table] = chosen
        if table == "mask":
            terms = _mask_terms(plugins, chosen, merged[table].get("protect"))
            regions = _regions(plugins, merged, components["stylizer"][0])
            if regions and terms["use"] and chosen:
                raise UsageError(
                    f"regions were named ({regions[0].origin.where}), and a mask or map of regions "
                    f"was ({chosen.where}), of which neither wins: --region none drops the "
                    "regions, and --mask none the mask"
                )
            terms |= _region_terms(plugins, regions)
            components[table] = _named_maskers(plugins, terms)
            merged[table] = _of_others_dropped(plugins, table, components[table], merged[table])
            if not terms["use"] and not regions:
                void = {s.name for s in MaskOptions.specs()} - {"missing", "protect"}
                merged[table] = _without_environment(
                    merged[table], void if components[table] else merged[table]
                )
        elif chosen and not (table in DEFAULT and chosen.value == "none"):
            named = _components(plugins, base, chosen, table)
            components[table] = (*named, *_flow(plugins, named[0], merged[table].get("flow")))
            merged[table] = _of_others_dropped(plugins, table, components[table], merged[table])
        elif table in SHARED:
            components[table] = plugins.by_precedence(base)
        else:
            components[table] = ()
            # what the environment says of methods in general is void without one
            merged[table] = _without_environment(merged[table], merged[table])
    ordered = {table: components[table] for table in TABLES}
    return Draft(preset, ordered, merged, uses, layers, plugins.options(), terms, regions)


def _regions(
    plugins: Plugins, merged: Mapping[str, Mapping[str, Value]], usual: type[Component]
) -> list[_RegionDraft]:
    """The regions. Raises UsageError for those that make no sense."""
    found: list[_RegionDraft] = []
    general = merged["stylizer"]
    for name, value in merged[TABLE].items():
        keys = keys_of(name, value.value)
        keep, use = keys.pop("keep", False), keys.pop("use", usual.name)
        expression = keys.pop("mask", name)
        if not isinstance(expression, str) or not isinstance(use, str):
            raise UsageError(f"use and mask of region {name!r} are texts ({value.where})")
        cls = None if keep else plugins.component(Stylizer, use)
        own = {key: Value(v, value.origin, value.where) for key, v in keys.items()}
        inherited = general if cls is usual else {}
        found.append(_RegionDraft(name, expression, cls, {**inherited, **own}, value))
    painted = [region for region in found if region.stylizer]
    if found and not painted:
        raise UsageError(
            "all regions are kept, so nothing would be painted: give one a style, as in "
            "--region rest=STYLE"
        )
    style = general.get("style")
    asked = style is not None and style.where in (_COMMAND_LINE, "argument")
    if painted and asked and not any(r.values.get("style") is style for r in painted):
        raise UsageError("--style paints no region, as each has its own style; leave it out")
    return found


def _region_terms(plugins: Plugins, regions: Sequence[_RegionDraft]) -> dict[str, Sequence[Term]]:
    """The terms of each region; none for the rest. Raises UsageError."""
    terms: dict[str, Sequence[Term]] = {}
    for region in regions:
        rest = region.expression == REST
        found = () if rest else _terms(plugins, TABLE, region.expression, region.origin)
        if same := next((name for name, others in terms.items() if others == found), None):
            raise UsageError(
                f"regions {same.removeprefix(f'{TABLE}.')!r} and {region.name!r} are the same; "
                "leave one out"
            )
        terms[f"{TABLE}.{region.name}"] = found
    return terms


def _without_environment(values: Mapping[str, Value], keys: Collection[str]) -> dict[str, Value]:
    """The values without those of ``keys`` that the environment set."""
    return {
        k: v for k, v in values.items() if k not in keys or not v.origin.startswith(_ENVIRONMENT)
    }


def _mask_terms(
    plugins: Plugins, use: Value | None, protect: Value | None
) -> dict[str, Sequence[Term]]:
    """The terms of the expressions of ``[mask]``. Raises UsageError."""
    terms: dict[str, Sequence[Term]] = {"use": (), "protect": ()}
    if use and use.value != "none":
        terms["use"] = _terms(plugins, "use", use.value, use)
    if protect and protect.value != "none":
        plain = isinstance(protect.value, str)
        text = amount_of(protect.value)[0] if plain else protect.value
        terms["protect"] = _terms(plugins, "protect", text, protect)
    return terms


def _terms(plugins: Plugins, key: str, text: Any, value: Value) -> Sequence[Term]:
    if not isinstance(text, str):
        raise UsageError(f"mask.{key} takes one name, not {shown(text)} ({value.where})")
    flags = {"use": "--mask", "protect": "--protect", TABLE: "--region"}
    flagged = value.origin == _COMMAND_LINE
    what = flags[key] if flagged else key if key == TABLE else f"mask.{key}"
    try:
        return terms_of(text, plugins.components(Masker), what)
    except UsageError as e:
        note = plugins.unusable()
        raise UsageError(f"{e}{note}" + ("" if flagged else f" ({value.where})")) from None


def _named_maskers(
    plugins: Plugins, terms: Mapping[str, Sequence[Term]]
) -> tuple[type[Component], ...]:
    names = dict.fromkeys(term.masker for some in terms.values() for term in some)
    return tuple(plugins.component(Masker, name) for name in names)


def resolve(
    plugins: Plugins,
    preset: str | Path = "default",
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    env: Mapping[str, str] | None = None,
    origin: str = _COMMAND_LINE,
) -> Settings:
    """The settings of a preset under overrides and environment, as :func:`draft` takes them."""
    return draft(plugins, preset, overrides, env, origin).settings()


def explain(
    plugins: Plugins,
    preset: str | Path = "default",
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    env: Mapping[str, str] | None = None,
) -> dict[str, dict[str, Value]]:
    """Every value of :func:`resolve` by table and key, with its origin."""
    return draft(plugins, preset, overrides, env).explain()


def _overlay(
    plugins: Plugins, table: str, below: dict[str, Value], above: dict[str, Value]
) -> dict[str, Value]:
    if table == TABLE:
        return _overlaid_regions(below, above)
    old, new = below.get("use") or _implied(table, below), above.get("use")
    if new and (new.value == "none" or (old and old.value != new.value)):
        # another component: options meant for the old one do not apply to it. What the
        # environment says was written for no component in particular, and stays.
        kept = _kept_of_masks(plugins, old, new, below) if table == "mask" else set()
        below = {k: v for k, v in below.items() if v.origin.startswith(_ENVIRONMENT) or k in kept}
    elif table == "temporal" and old and "flow" in above:
        void = _flow_options(plugins, old, below.get("flow"), above["flow"])
        below = {
            k: v for k, v in below.items() if k not in void or v.origin.startswith(_ENVIRONMENT)
        }
    return below | above


def _overlaid_regions(below: dict[str, Value], above: dict[str, Value]) -> dict[str, Value]:
    """The regions of both layers, those of the stronger one first. What it says of a region that
    both have replaces the keys that it names; ``keep``, or another stylizer, all of them.
    NO_REGIONS drops those of the weaker one."""
    found = dict(above)
    if NO_REGIONS in found and found[NO_REGIONS].value is True:
        del found[NO_REGIONS]
        return found
    for name, value in below.items():
        if name not in above:
            found[name] = value
            continue
        old, new = keys_of(name, value.value), keys_of(name, above[name].value)
        replaced = "keep" in {**old, **new} or new.get("use", old.get("use")) != old.get("use")
        kept = {k: v for k, v in old.items() if k == "mask" or not replaced}
        found[name] = Value({**kept, **new}, above[name].origin, above[name].where)
    return found


def _kept_of_masks(
    plugins: Plugins, old: Value | None, new: Value, below: Collection[str]
) -> set[str]:
    """The keys of ``[mask]`` that still mean something once another mask is named: what is done
    with masks, and options of maskers that both expressions name."""
    if new.value == "none":
        return {"protect", "missing"} if "protect" in below else set()
    known = plugins.components(Masker)
    before, now = (_terms_if_valid(v.value if v else "", known) for v in (old, new))
    kept = {spec.name for spec in MaskOptions.specs()}
    for name in {term.masker for term in before} & {term.masker for term in now}:
        free = not all(term.argument for term in now if term.masker == name)
        options = [s.name for s in known[name].Options.specs()]
        for option in options if free else (o for o in options if o != known[name].argument):
            kept |= {option, f"{name.replace('-', '_')}_{option}"}
    return kept


def _terms_if_valid(text: Any, known: Mapping[str, type[Masker]]) -> Sequence[Term]:
    """The terms of what may be overridden, and is not refused then."""
    try:
        return terms_of(text, known, "mask.use") if isinstance(text, str) and text else ()
    except UsageError:
        return ()


def _flow_options(plugins: Plugins, method: Value, old: Value | None, new: Value) -> Iterable[str]:
    """The keys of ``[temporal]`` that mean nothing once another flow is chosen."""
    name = old.value if old else DEFAULT_FLOW
    methods, flows = plugins.components(Temporal), plugins.components(Flow)
    if name == new.value or method.value not in methods or name not in flows:
        return ()
    return option_keys((methods[method.value], flows[name]))[1]


def _of_others_dropped(
    plugins: Plugins, table: str, chosen: Sequence[type[Component]], values: Mapping[str, Value]
) -> dict[str, Value]:
    """The values without environment variables for other components of the stage.

    A variable is set once for all jobs; one that no component knows stays, to be refused.
    """
    mine = {key for keys in option_keys(chosen) for key in keys}
    mine |= {s.name for s in ENGINE[table].specs()} if table in ENGINE else set()
    bases: tuple[type[Component], ...] = (TABLES[table],)
    if table == "temporal":
        bases = (Temporal, Flow)
    components = [c for base in bases for c in plugins.components(base).values()]
    others = {s.name for c in components for s in c.Options.specs()} - mine
    return {
        key: value
        for key, value in values.items()
        if key not in others or not value.origin.startswith(_ENVIRONMENT)
    }


def _preset_layer(preset: Preset) -> dict[str, dict[str, Value]]:
    origin, where = f"preset {preset.name}", f"preset {preset.path}"
    return {
        table: {k: Value(v, origin, where) for k, v in values.items()}
        for table, values in preset.tables.items()
    }


def _environment_layer(
    env: Mapping[str, str], tables: Collection[str]
) -> dict[str, dict[str, Value]]:
    prefixes = {f"STYLEPIPE_{_key(table).upper()}_": table for table in tables}
    layer: dict[str, dict[str, Value]] = {}
    for name in sorted(env.keys() - {TRACE}):
        # the longest: a plugin may be named output-log, beside the table output
        prefix = max((p for p in prefixes if name.startswith(p)), key=len, default=name)
        if key := name[len(prefix) :].lower():
            value = Value(env[name], f"{_ENVIRONMENT} {name}", f"environment variable {name}")
            layer.setdefault(prefixes[prefix], {})[key] = value
    return layer


def _override_layer(
    overrides: Mapping[str, Mapping[str, Any]], tables: Collection[str], origin: str
) -> dict[str, dict[str, Value]]:
    for table, values in overrides.items():
        if table not in tables:
            known = ", ".join(tables)
            raise UsageError(f"unknown table {table!r}{suggest(table, tables)}; known: {known}")
        if not isinstance(values, Mapping):
            raise UsageError(f"[{table}] takes keys with their values, not {shown(values)}")
    return {
        table: {
            k if table == TABLE else _key(k): Value(v, origin, origin) for k, v in values.items()
        }
        for table, values in overrides.items()
    }


def _key(name: str) -> str:
    return name.replace("-", "_")


def _implied(table: str, values: Mapping[str, Value]) -> Value | None:
    """A file of masks means the masker ``files``; any key of ``[temporal]`` the method ``warp``."""
    found = [
        v
        for k, v in values.items()
        if table == "temporal" or (table == "mask" and k in ("path", "regions"))
    ]
    return Value(DEFAULT[table], found[-1].origin, found[-1].where) if found else None


def _components(
    plugins: Plugins, base: type[Component], use: Value, table: str
) -> tuple[type[Component], ...]:
    """The components that ``use`` names: one, or for readers and writers several, in order."""
    key = f"{table}.flow" if base is Flow else f"{table}.use"
    shared, names = table in SHARED, use.value
    if shared and isinstance(names, str):  # as the environment and --set give a list
        names = [name.strip() for name in names.split(",")]
    elif not shared:
        names = [names]
    if not isinstance(names, (list, tuple)) or not all(isinstance(n, str) for n in names):
        what = "one name, or a list of names," if shared else "one name,"
        raise UsageError(f"{key} takes {what} not {shown(use.value)} ({use.where})")
    if len(set(names)) < max(1, len(names)):
        raise UsageError(
            f"{key} takes each name once, in the order in which they are asked, "
            f"not {shown(use.value)} ({use.where})"
        )
    written = use.origin.startswith(("preset ", f"{_ENVIRONMENT} "))
    where = f" ({use.where})" if written else ""
    if base is Temporal and use.value in plugins.components(Flow):
        raise UsageError(
            f"{use.value!r} is an optical flow, which a temporal method uses; write --temporal "
            f"{DEFAULT[table]} --flow {use.value}, or in a preset use = {DEFAULT[table]!r} and "
            f"flow = {use.value!r}{where}"
        )
    try:
        return tuple(plugins.component(base, name) for name in names)
    except UsageError as e:
        raise UsageError(f"{e}{where}") from None


def _flow(plugins: Plugins, method: type[Component], use: Value | None) -> list[type[Component]]:
    """The flow that a temporal method uses; none where it, or another component, uses none."""
    if not issubclass(method, Temporal):
        return []
    if method.uses_flow:
        use = use or Value(DEFAULT_FLOW, "default", "default")
        return list(_components(plugins, Flow, use, "temporal"))
    if use is not None and not use.origin.startswith(_ENVIRONMENT):
        raise UsageError(
            f"temporal.flow was set ({use.where}), but {method.name} uses no optical flow; leave "
            "it out"
        )
    return []
