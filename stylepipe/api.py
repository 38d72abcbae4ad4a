"""The whole program as one function, for use from Python."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from stylepipe.device import tune_threads
from stylepipe.job import Job
from stylepipe.pipeline import run
from stylepipe.plugins import Plugins
from stylepipe.presets import resolve
from stylepipe.report import Report


def convert(
    inputs: str | PathLike[str] | Iterable[str | PathLike[str]],
    output: str | PathLike[str],
    *,
    preset: str = "default",
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    plugins: Plugins | None = None,
    report: Report | None = None,
    **job: Any,
) -> Report:
    """Stylize photos and videos, as ``stylepipe run`` does.

    ``settings`` overrides keys of the preset by table: ``{"stylizer": {"style": "great-wave"}}``.
    ``job`` takes the other fields of :class:`stylepipe.job.Job`: ``device``, ``overwrite``,
    ``redo``, ``limit`` ... The environment is not looked at. Items that fail are told by the report
    (``report.failures``, ``report.exit_code``). Raises UsageError, NoInputError or SetupError if
    the job as a whole cannot be done::

        report = stylepipe.convert("photos", "painted", settings={"stylizer": {"strength": 0.7}})
    """
    # Before anything imports torch, whose threads would else spin while they wait for each other.
    tune_threads()
    found = plugins or Plugins()
    paths = [inputs] if isinstance(inputs, (str, PathLike)) else list(inputs)
    resolved = resolve(found, preset, settings)
    request = Job(tuple(Path(p) for p in paths), Path(output), resolved, **job)
    return run(request, found, report or Report(quiet=True))
