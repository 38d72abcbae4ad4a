"""What the page's controls say, as settings, as a command, and as a preset."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylepipe.components import Masker, Stylizer
from stylepipe.errors import UsageError, suggest
from stylepipe.presets import draft, is_path

if TYPE_CHECKING:
    from stylepipe.job import Settings
    from stylepipe.plugins import Plugins
    from stylepipe.presets import Draft

Tables = dict[str, dict[str, Any]]
EVERYWHERE = "none"
"""The mask that paints everywhere."""
STEADY = "warp"
"""The temporal method that holds the strokes of films still."""
_FREE = "none"
"""Each frame by itself."""
_OPTIONS = ("style", "strength", "style_scale", "keep_colors")
"""Options of stylizers that have a control."""
_KINDS: dict[str, tuple[type, ...]] = {
    "strength": (int, float),
    "style_scale": (int, float),
    "keep_colors": (bool,),
    "steady": (bool,),
}
"""Types of values; all others are strings."""


@dataclass(frozen=True)
class Choice:
    """The controls that were moved; None leaves the value to the preset."""

    preset: str = "default"
    stylizer: str | None = None
    style: str | None = None
    """A bundled style, or the name of an uploaded painting."""
    strength: float | None = None
    style_scale: float | None = None
    keep_colors: bool | None = None
    mask: str | None = None
    """A masker; ``!`` before it paints all the rest, and ``none`` paints everywhere."""
    steady: bool | None = None
    """Whether the strokes of films hold still from frame to frame."""

    @classmethod
    def of(cls, data: Any) -> Choice:
        """Read the choice that a page sent, or that was saved. Raises UsageError."""
        if not isinstance(data, dict):
            raise UsageError("settings are an object of names and values")
        names = [field.name for field in fields(cls)]
        for name, value in data.items():
            if name not in names:
                raise UsageError(f"there is no setting {name!r}{suggest(str(name), names)}")
            fits = isinstance(value, _KINDS.get(name, (str,)))
            if isinstance(value, bool) and bool not in _KINDS.get(name, ()):
                fits = False
            if value is not None and not fits:
                raise UsageError(f"{name} cannot be {value!r}")
        return cls(**{name: value for name, value in data.items() if value is not None})


@dataclass(frozen=True)
class Resolved:
    """A choice on top of its preset. What only a component can judge is not checked yet."""

    choice: Choice
    draft: Draft
    tables: Tables
    """The choice, as overrides of the preset."""

    @classmethod
    def of(cls, choice: Choice, plugins: Plugins, painting: Path | None) -> Resolved:
        """``painting``: the file of the style, unless it is bundled.

        Raises UsageError: a page names presets and maskers, and never files of this machine.
        """
        if is_path(choice.preset):
            raise UsageError(f"{choice.preset!r} is a file; copy it to where presets have names")
        if choice.mask not in (None, EVERYWHERE):
            plugins.component(Masker, choice.mask.removeprefix("!"))
        below = draft(plugins, choice.preset, env=os.environ)
        stylizer = {n: v for n in _OPTIONS if (v := getattr(choice, n)) is not None}
        if choice.stylizer is not None:
            stylizer = {"use": choice.stylizer, **stylizer}
        if painting is not None:
            stylizer["style"] = str(painting)
        tables: Tables = {"stylizer": stylizer} if stylizer else {}
        if choice.mask is not None:
            tables["mask"] = {"use": choice.mask}
            if choice.mask != EVERYWHERE and "invert" in below.layers["mask"]:
                tables["mask"]["invert"] = False  # the preset inverts its own mask only
        if choice.steady is not None and choice.steady != _is_steady(below):
            tables["temporal"] = {"use": STEADY if choice.steady else _FREE}
        resolved = cls(choice, below.over(plugins, tables), tables)
        bundled = [style.name for style in resolved.stylizer.styles()]
        if painting is None and choice.style is not None and choice.style not in bundled:
            raise UsageError(
                f"{resolved.stylizer.name} has no style {choice.style!r}"
                f"{suggest(choice.style, bundled)}; choose another, or add a painting"
            )
        return resolved

    @property
    def stylizer(self) -> type[Stylizer]:
        """The class of the stylizer."""
        (cls,) = self.draft.components["stylizer"]
        assert issubclass(cls, Stylizer)
        return cls

    def has(self, option: str) -> bool:
        """Whether the stylizer has the option."""
        return any(spec.name == option for spec in self.stylizer.Options.specs())

    def settings(self, plugins: Plugins, more: Tables) -> Settings:
        """The settings, with ``more`` on top. Raises UsageError."""
        return (self.draft.over(plugins, more) if more else self.draft).settings()

    def controls(self) -> dict[str, Any]:
        """The positions of the controls; ``mask`` is None if the preset has regions."""
        values, shown = self.draft.values["stylizer"], {}
        for spec in self.stylizer.Options.specs():
            if spec.name in _OPTIONS:
                shown[spec.name] = values[spec.name].value if spec.name in values else spec.default
        style = shown.get("style") or ()
        several = [style] if isinstance(style, str) else list(style)
        shown["style"] = self.choice.style or (several[0] if len(several) == 1 else None)
        return {"stylizer": self.stylizer.name, "mask": self._mask(), **shown}

    def _mask(self) -> str | None:
        if self.draft.regions:
            return None
        if not self.draft.terms["use"]:
            return EVERYWHERE
        text, invert = str(self.draft.uses["mask"].value), self.draft.values["mask"].get("invert")
        if invert is None or not invert.value:
            return text
        return text.removeprefix("!") if text.startswith("!") else f"!{text}"

    def command(self, inputs: Iterable[Path], output: Path) -> str:
        """The command line that does the same."""
        words = ["stylepipe", self.choice.stylizer or "run", *map(str, inputs), "-o", str(output)]
        if self.choice.preset != "default":
            words += ["--preset", self.choice.preset]
        for name, value in self.tables.get("stylizer", {}).items():
            flag = name.replace("_", "-")
            if isinstance(value, bool):
                words.append(f"--{flag}" if value else f"--no-{flag}")
            elif name != "use":
                words += [f"--{flag}", str(value)]
        if mask := self.tables.get("mask"):
            words += ["--mask", mask["use"], *(["--no-mask-invert"] if "invert" in mask else [])]
        if temporal := self.tables.get("temporal"):
            words += ["--temporal", temporal["use"]]
        return shlex.join(words)

    def preset(self) -> str:
        """A preset file that does the same, wherever it lies."""
        lines = [f"extends = {json.dumps(self.choice.preset)}"]
        for table, keys in self.tables.items():
            lines += ["", f"[{table}]"]
            for key, value in keys.items():
                if key == "style" and value != self.choice.style:  # the file of a painting
                    value = str(Path(value).absolute())
                lines.append(f"{key} = {json.dumps(value)}")
        return "\n".join(lines) + "\n"


def _is_steady(draft: Draft) -> bool:
    return "temporal" in draft.uses and draft.uses["temporal"].value != _FREE
