"""What the engine relies on in a plugin as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import click
import pytest

from stylepipe.components import Component
from stylepipe.contracts.base import ComponentContract, MakeFile
from stylepipe.contracts.flow import FlowContract
from stylepipe.contracts.masker import MaskerContract
from stylepipe.contracts.reader import ReaderContract
from stylepipe.contracts.stylizer import StylizerContract
from stylepipe.contracts.temporal import TemporalContract
from stylepipe.contracts.writer import WriterContract
from stylepipe.errors import UsageError
from stylepipe.job import Job
from stylepipe.pipeline import run
from stylepipe.plugins import PluginRecord, Plugins, stage_of
from stylepipe.presets import load, resolve, tables_of
from stylepipe.report import Report

CONTRACTS: dict[str, type[ComponentContract]] = {
    "reader": ReaderContract,
    "masker": MaskerContract,
    "stylizer": StylizerContract,
    "flow": FlowContract,
    "temporal": TemporalContract,
    "writer": WriterContract,
}


class PluginContract:
    """A plugin registers, its presets and hooks work, each component keeps its contract::

        class TestPlugin(PluginContract):
            plugin = "stylepipe_duotone"

    The contract of a component becomes a class inside, such as ``TestStylizerDuotone``.
    """

    plugin: ClassVar[str]
    """A module, a file, a package's or project's folder, or the name of an installed plugin."""
    options: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """By a component's name, options to make it with."""
    samples: ClassVar[Sequence[Path]] = ()
    """Good files for readers of formats that Pillow and FFmpeg do not write."""
    contracts: ClassVar[Mapping[str, type[ComponentContract]]] = {}
    """By a component's name, a contract of yours, where it needs other sizes or fixtures."""
    plugins: ClassVar[Plugins]
    record: ClassVar[PluginRecord]

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        cls.plugins = Plugins([cls.plugin])
        cls.record = cls.plugins.record(cls.plugin)
        for component in cls.record.components:
            stage, name = stage_of(component), component.name
            contract, own = CONTRACTS.get(stage), cls.contracts.get(name)
            if own and issubclass(own, contract or ComponentContract):
                contract = own  # and not that of a writer for a reader of the same name
            if contract is not None:
                given: dict[str, Any] = {"component": component}
                if name in cls.options:
                    given["options"] = cls._options_for(component)
                if issubclass(contract, ReaderContract):
                    given["samples"] = [*contract.samples, *cls.samples]
                title = f"Test{stage.title()}{name.title().replace('-', '')}"
                setattr(cls, title, type(title, (contract,), given))

    @classmethod
    def _options_for(cls, component: type[Component]) -> dict[str, Any]:
        """Those for its name, without those that only another component of this name has."""
        others = [c for c in cls.record.components if c.name == component.name]
        mine = {spec.name for spec in component.Options.specs()}
        theirs = {spec.name for c in others for spec in c.Options.specs()} - mine
        return {k: v for k, v in cls.options[component.name].items() if k not in theirs}

    def test_registers(self) -> None:
        assert self.record.error is None, self.record.error

    def test_presets_are_valid(self) -> None:
        for folder in self.record.presets:
            presets = sorted(folder.glob("*.toml"))
            assert presets, f"{folder} has no preset"
            for path in presets:
                assert load(path, tables_of(self.plugins)).description, f"describe {path.name}"
                resolve(self.plugins, path)

    def test_commands_are_added(self) -> None:
        self.plugins.add_commands(click.Group())
        assert self.record.error is None, self.record.error

    def test_a_job_passes_its_hooks(self, make_photo: MakeFile, tmp_path: Path) -> None:
        if not any("_job_" in hook or "_item_" in hook for hook in self.record.hooks):
            pytest.skip("it has no hooks for jobs")
        report = _Listening(quiet=True)
        settings = resolve(self.plugins, overrides={"stylizer": {"strength": 0}})
        job = Job((make_photo("in/photo.png"),), tmp_path / "out", settings, device="cpu")
        try:
            run(job, self.plugins, report)
        except UsageError as error:
            pytest.skip(f"it refuses a job without options: {error}")
        broken = [line for line in report.lines if f"plugin {self.record.name} broke" in line]
        assert not broken, broken[0]


class _Listening(Report):
    """Keeps what is reported."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.lines: list[str] = []

    def log(self, line: str) -> None:
        self.lines.append(line)
