"""The six hooks of stylepipe. Hooks register and observe; the work is done by components.

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
    from stylepipe.report import Report
    from stylepipe.types import Item, Outcome

hookspec = pluggy.HookspecMarker("stylepipe")
hookimpl = pluggy.HookimplMarker("stylepipe")


@hookspec
def stylepipe_components() -> Iterable[type[Component]]:  # type: ignore[empty-body]
    """Hand over component classes; the base class says which stage each belongs to.

    Called once. Import torch inside methods, not here: this runs for ``--help`` too.
    """


@hookspec
def stylepipe_presets() -> Iterable[Path]:  # type: ignore[empty-body]
    """Hand over folders that hold presets (``NAME.toml``). Called once."""


@hookspec
def stylepipe_commands(cli: click.Group) -> None:
    """Add commands to ``cli``. Called when the command line starts."""


@hookspec
def stylepipe_job_start(job: Job, items: Sequence[Item]) -> None:
    """The options of ``job`` are valid, ``items`` are what it found to do, in order, and nothing
    was opened yet; raise UsageError to refuse. Called for dry runs too.

    Any other exception, here and in the two hooks below, is told to the user and ends nothing.
    """


@hookspec
def stylepipe_item_done(job: Job, item: Item, outcome: Outcome) -> None:
    """``item`` of ``job`` ended as ``outcome`` says. Called once per item, in order.

    An item on which an earlier run died was set aside, and comes last.
    """


@hookspec
def stylepipe_job_done(job: Job, report: Report) -> None:
    """``job`` is over; ``report`` sums it up. Called always, also after an interruption."""
