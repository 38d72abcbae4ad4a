"""What holds for every component, and the picture that all contracts use."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from stylepipe.components import Component, Context
from stylepipe.declarations import check_component
from stylepipe.errors import UsageError
from stylepipe.plugins import STAGES, stage_of

if TYPE_CHECKING:
    import numpy as np

MakeFile = Callable[..., Path]
"""What the fixtures ``make_photo`` and ``make_clip`` return."""
HEAVY = ("torch", "torchvision", "cv2", "av", "PIL", "numpy")
"""What may be imported only when a job runs: ``stylepipe --help`` would be slow otherwise."""


def scene(width: int, height: int, time: int = 0, seed: int = 0) -> np.ndarray:
    """A colorful picture with texture and edges, HxWx3 uint8; ``time`` moves it to the right.

    Each unit of ``time`` moves everything by two pixels, so the motion between two of them is
    known: (2, 0).
    """
    import numpy as np

    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    x = x - 2 * time + 17 * seed
    planes = [
        128 + 60 * np.sin(x / 9 + k) * np.cos(y / 7 - k) + 45 * np.sin(x / 3.1 + y / 4.3 + 2 * k)
        for k in range(3)
    ]
    pixels = np.stack(planes, -1)
    inside = (np.mod(x, 53) < 20) & (np.mod(y, 37) < 15)
    pixels[inside] = pixels[inside] * 0.3 + np.array([200, 150, 20]) * 0.7
    return pixels.clip(0, 255).astype(np.uint8)


def context() -> Context:
    """What the engine would pass to a component on the CPU, in full precision."""
    from stylepipe.device import pick

    return Context(pick("cpu", "full"), 2 << 30, lambda line: None)


class ComponentContract:
    """What holds for every component; derive from the contract of its stage instead."""

    component: ClassVar[type[Component]]
    options: ClassVar[Mapping[str, Any]] = {}
    """Options to make it with, as plain values; override :meth:`made` for what needs files."""

    @pytest.fixture
    def made(self) -> Any:
        """A component, made but not opened."""
        return self.component(self.component.Options.build(self.options))

    @pytest.fixture
    def opened(self, made: Any) -> Iterator[Any]:
        """The component, opened on the CPU and closed after the test."""
        try:
            made.open(context())
            yield made
        finally:
            made.close()

    def test_declaration_is_valid(self) -> None:
        stage = stage_of(self.component)
        check_component(self.component, stage, STAGES[stage])

    def test_has_a_summary(self) -> None:
        summary = (self.component.__doc__ or "").strip().partition("\n")[0]
        assert summary, "the first line of the class's docstring is what users are shown"

    def test_options_survive_json(self, made: Any) -> None:
        plain = json.loads(json.dumps(made.options.values()))
        assert type(made.options).build(plain) == made.options

    def test_unknown_option_is_refused(self) -> None:
        with pytest.raises(UsageError):
            self.component.Options.build({"no_such_option": 1})

    def test_can_be_closed_without_being_opened(self, made: Any) -> None:
        made.close()  # the engine closes also what could not be opened

    def test_can_be_opened_again(self, made: Any) -> None:
        for _ in range(2):
            made.open(context())
            made.close()

    def test_listing_imports_nothing_heavy(self) -> None:
        module, file = self.component.__module__, inspect.getfile(self.component)
        code = (
            "import importlib, importlib.util, json, sys\n"
            f"sys.path[:0] = {[p for p in sys.path if p]!r}\n"
            "try:\n"
            f"    m = importlib.import_module({module!r})\n"
            "except ModuleNotFoundError:\n"
            f"    s = importlib.util.spec_from_file_location('m', {file!r})\n"
            "    m = importlib.util.module_from_spec(s)\n"
            "    sys.modules['m'] = m\n"
            "    s.loader.exec_module(m)\n"
            f"c = m.{self.component.__qualname__}\n"
            "c.Options.specs()\n"
            "getattr(c, 'styles', tuple)()\n"
            f"print(json.dumps([n for n in {HEAVY!r} if n in sys.modules]))\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        heavy = json.loads(done.stdout.splitlines()[-1])
        assert not heavy, f"import {', '.join(heavy)} inside methods: this runs for --help too"
