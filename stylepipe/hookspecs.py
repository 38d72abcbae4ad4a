"""The seven hooks of stylepipe. Hooks register and observe; the work is done by components.

Implement any of them in a module, with the marker ``stylepipe.hookimpl``, and name the module in
the entry-point group ``stylepipe`` of your package, or pass it by ``--plugin``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    import click

    from stylepipe.components import Component
    from stylepipe.job import Job
    from stylepipe.options import Options
    from stylepipe.report import Report
    from stylepipe.types import Item, Outcome

hookspec = pluggy.HookspecMarker("stylepipe")
hookimpl = pluggy.HookimplMarker("stylepipe")


@hookspec
def stylepipe_components() -> Iterable[type[Component]]:  # type: ignore[empty-body]
    """Return component classes; the base class says which stage each belongs to.

    Called once. Import torch inside methods, not here: this runs for ``--help`` too. Names are
    unique within a stage: a plugin that uses one that is taken is broken as a whole.
    """


@hookspec
def stylepipe_presets() -> Iterable[Path]:  # type: ignore[empty-body]
    """Return folders that hold presets (``NAME.toml``). Called once; the folders must exist."""


@hookspec
def stylepipe_options() -> type[Options]:  # type: ignore[empty-body]
    """Return the Options class of the plugin itself, for its hooks. Called once.

    The plugin's name is their table: ``[NAME]`` in a preset, ``--NAME-OPTION`` as a flag,
    ``--set NAME.OPTION=VALUE``, ``STYLEPIPE_NAME_OPTION`` in the environment. The hooks of a job
    find the values in ``job.settings.plugins["NAME"]``. Results do not depend on them.
    """


@hookspec
def stylepipe_commands(cli: click.Group) -> None:
    """Add commands to ``cli``. Called when the command line starts.

    If this raises, or takes the name of another command, the plugin adds none; its components work.
    """


@hookspec
def stylepipe_job_start(job: Job, items: Sequence[Item]) -> None:
    """``job`` is about to start on ``items``, which are in order; raise UsageError to refuse.

    Its options are valid, and nothing has been opened yet. Called for dry runs too.

    Any other exception, here and in the two hooks below, is reported; the job continues.
    """


@hookspec
def stylepipe_item_done(job: Job, item: Item, outcome: Outcome) -> None:
    """``item`` of ``job`` ended as ``outcome`` says. Called once per item, in order.

    An item on which an earlier run died is set aside, and comes last. ``item.output`` exists if
    ``outcome.status`` is ``done``.
    """


@hookspec
def stylepipe_job_done(job: Job, report: Report) -> None:
    """``job`` is over; ``report`` sums it up. Always called, even after an interruption."""
