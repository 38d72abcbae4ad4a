"""Writes the pages of the reference that follow from the code.

Commands come from click, options from ``Options.specs()``, hooks from their specifications,
presets and bundled styles from their files, public names from ``stylepipe.__all__``. ``conf.py``
calls :func:`write`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest import mock

import click

import stylepipe
from stylepipe import hookspecs
from stylepipe.cli.main import make_cli
from stylepipe.components import Stylizer, noun
from stylepipe.job import ENGINE
from stylepipe.nst.recipes import RECIPES
from stylepipe.options import OptionSpec
from stylepipe.plugins import STAGES, Plugins
from stylepipe.presets import available, load

DOCS = Path(__file__).resolve().parent
EXAMPLES = DOCS / "examples"
SHARED_OPTIONS = {"reader": "input", "masker": "mask", "temporal": "temporal", "writer": "output"}
"""Tables whose keys belong to the engine as well, by the stage of their components."""


def pages() -> dict[str, str]:
    """Every generated page, in MyST Markdown, by its path below the folder."""
    plugins = Plugins()
    return {
        "commands.md": _commands(),
        "options.md": _options(plugins),
        "presets.md": _presets(plugins),
        "styles.md": _styles(plugins),
        "recipes.md": _recipes(),
        "api.md": _api(),
        **{f"hooks/{name}.md": _hook(name) for name in hooks()},
    }


def write(folder: Path) -> None:
    """Write all pages below ``folder``; what did not change is not touched, nor built again."""
    wanted = {folder / name: text for name, text in pages().items()}
    for old in folder.rglob("*.md"):
        if old not in wanted:
            old.unlink()
    for path, text in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


# -- styles -----------------------------------------------------------------------------------


def _styles(plugins: Plugins) -> str:
    rows = [f"| `{s.name}` | {s.title} |" for s in plugins.component(Stylizer, "fast").styles()]
    return _joined(
        [
            "# The bundled styles",
            "Every style in the package, and below the table three photos in each, in the same "
            "order (`examples/make_gallery.py --only styles`). Your own photos in all of them: "
            "`stylepipe sheet PHOTOS -o sheet.png`.",
            "\n".join(["| style | after |", "|---|---|", *rows]),
            "![Three photos, and below them these in each style](../../examples/styles.jpg)",
        ]
    )


# -- commands ---------------------------------------------------------------------------------


def _commands() -> str:
    parts = ["# Commands", "The help texts of all commands, as `--help` prints them."]
    for path, ctx in commands():
        parts += [f"## `{path}`", _block("text", ctx.get_help())]
    return _joined(parts)


def commands() -> Iterator[tuple[str, click.Context]]:
    """Every command by its full name."""
    # a console 100 columns wide, and nothing of the reader's environment in the help texts
    with mock.patch.dict("os.environ", {"COLUMNS": "100"}):
        yield from _below("stylepipe", make_cli(), None, [])


def _below(
    name: str, command: click.Command, parent: click.Context | None, args: list[str]
) -> Iterator[tuple[str, click.Context]]:
    ctx = command.make_context(
        name, [*args], parent, resilient_parsing=True, terminal_width=100, max_content_width=100
    )
    yield ctx.command_path, ctx
    if isinstance(command, click.Group):
        for sub in command.list_commands(ctx):
            found = command.get_command(ctx, sub)
            assert found is not None
            yield from _below(sub, found, ctx, [])


# -- options ----------------------------------------------------------------------------------


def _options(plugins: Plugins) -> str:
    parts = [
        "# Options of every component",
        "Each option is a flag (`--style-scale 2`), a key of a preset's table "
        "(`style_scale = 2`), and an environment variable "
        "(`STYLEPIPE_STYLIZER_STYLE_SCALE=2`). Those of a training are flags alone.",
    ]
    for stage, base in STAGES.items():
        found = plugins.components(base)
        if not found:
            continue
        parts.append(f"## {noun(base).capitalize()}s")
        if table := SHARED_OPTIONS.get(stage):
            parts += [f"### Every {noun(base)}", _table(ENGINE[table].specs())]
        for name, cls in found.items():
            parts += [f"### {stage} `{name}`", summary(cls), _table(cls.Options.specs())]
    return _joined(parts)


def _table(specs: Sequence[OptionSpec]) -> str:
    if not specs:
        return "It has no options."
    rows = ["| option | default | values | meaning |", "|---|---|---|---|"]
    for spec in specs:
        needs = f" Needs `{spec.condition}`." if spec.only_if else ""
        cells = (f"`{spec.name}`", _default(spec), _values(spec), spec.help + needs)
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows)


def _default(spec: OptionSpec) -> str:
    if spec.default in (None, (), ""):
        return "not set"
    return f"`{str(spec.default).lower() if spec.kind is bool else spec.default}`"


def _values(spec: OptionSpec) -> str:
    if spec.choices:
        text = ", ".join(f"`{choice}`" for choice in spec.choices)
    else:
        text = {bool: "true or false", int: "whole number", float: "number"}.get(
            spec.kind, f"`{spec.metavar}`" if spec.metavar else "text"
        )
        bounds = [f"from {spec.min:g}" if spec.min is not None else ""]
        bounds.append(f"to {spec.max:g}" if spec.max is not None else "")
        text = " ".join([text, *filter(None, bounds)])
    return f"{text}; repeatable" if spec.repeatable else text


# -- presets ----------------------------------------------------------------------------------


def _presets(plugins: Plugins) -> str:
    parts = [
        "# Presets",
        "What comes with the package. `stylepipe presets show NAME --resolved` prints every value "
        "with its origin.",
    ]
    for name, (origin, path) in sorted(available(plugins).items()):
        if origin != "yours":
            text = path.read_text(encoding="utf-8").strip()
            parts += [f"## `{name}`", load(path).description, _block("toml", text)]
    return _joined(parts)


# -- recipes ----------------------------------------------------------------------------------


def _recipes() -> str:
    parts = [
        "# Recipes",
        "What papers print, as values that `--recipe NAME` sets; options that are given win. What "
        "still differs is in [Any painting](../guide/paintings.md#papers-to-the-letter).",
    ]
    for printed in RECIPES:
        rows = ["| option | value |", "|---|---|"]
        for name, value in printed.settings.items():
            shown = ", ".join(value) if isinstance(value, tuple) else value
            rows.append(f"| `{name}` | `{shown}` |")
        about = f"`stylepipe {printed.command}`. {printed.paper}: {printed.note}."
        parts += [f"## `{printed.name}`", about, "\n".join(rows)]
    return _joined(parts)


# -- hooks ------------------------------------------------------------------------------------


def hooks() -> dict[str, object]:
    """The specification of each hook by name."""
    return {n: f for n, f in vars(hookspecs).items() if n.startswith("stylepipe_")}


def example_of(hook: str) -> Path:
    """The first example file that implements a hook. Raises StopIteration if none does."""
    pattern = re.compile(rf"^@hookimpl\ndef {hook}\(", re.MULTILINE)
    files = sorted(EXAMPLES.glob("*.py"))
    return next(f for f in files if pattern.search(f.read_text(encoding="utf-8")))


def _hook(name: str) -> str:
    example = example_of(name).name
    return _joined(
        [
            f"# `{name}`",
            _directive("eval-rst", f".. autofunction:: stylepipe.hookspecs.{name}"),
            f"An example, from `docs/examples/{example}`:",
            _directive(f"literalinclude}} ../../examples/{example}\n:pyobject: {name}"),
        ]
    )


# -- public names -----------------------------------------------------------------------------


def _api() -> str:
    sections: dict[str, list[str]] = {"Functions": [], "Components": [], "Values": [], "Errors": []}
    for name in sorted(stylepipe.__all__):
        value = getattr(stylepipe, name)
        if not inspect.isclass(value):
            if callable(value):
                sections["Functions"].append(f".. autofunction:: stylepipe.{name}")
            continue
        section = "Values"
        if issubclass(value, stylepipe.Component):
            section = "Components"
        elif issubclass(value, Exception):
            section = "Errors"
        more = "\n   :members:\n   :undoc-members:\n   :show-inheritance:"
        more += "\n   :exclude-members: Options"  # it has an entry of its own
        sections[section].append(f".. autoclass:: stylepipe.{name}{more}")
    parts = [
        "# Public names",
        "All of these are imported from `stylepipe`; importing them does not import torch.",
    ]
    for title, entries in sections.items():
        parts += [f"## {title}", *(_directive("eval-rst", entry) for entry in entries)]
    return _joined(parts)


# -- text -------------------------------------------------------------------------------------


def summary(cls: type) -> str:
    """The first line of a class's docstring."""
    return (cls.__doc__ or "").strip().partition("\n")[0]


def _block(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```"


def _directive(head: str, body: str = "") -> str:
    first = f"```{{{head}" if "}" in head else f"```{{{head}}}"
    return f"{first}\n{body}\n```" if body else f"{first}\n```"


def _joined(parts: Sequence[str]) -> str:
    return "\n\n".join(parts) + "\n"
