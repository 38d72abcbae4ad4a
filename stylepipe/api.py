"""stylepipe from Python: files by :func:`convert`, pictures in memory by :func:`open`."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from os import PathLike
from pathlib import Path
from typing import Any

from stylepipe.errors import SetupError, UsageError, suggest
from stylepipe.job import Job, Settings
from stylepipe.memory import parse_size, tune_threads
from stylepipe.pipeline import run
from stylepipe.plugins import Plugins
from stylepipe.presets import draft, resolve
from stylepipe.report import Report
from stylepipe.session import Session

_ORIGIN = "argument"
"""Where a value was set, as errors name it."""
Tables = Mapping[str, Mapping[str, Any]]


def convert(
    inputs: str | PathLike[str] | Iterable[str | PathLike[str]],
    output: str | PathLike[str],
    *,
    preset: str = "default",
    settings: Tables | None = None,
    plugins: Plugins | Sequence[str | PathLike[str]] = (),
    report: Report | None = None,
    **job: Any,
) -> Report:
    """Stylize photos and videos, as ``stylepipe run`` does.

    ``settings`` overrides keys of the preset by table: ``{"stylizer": {"style": "great-wave"}}``.
    ``job`` takes the other fields of :class:`stylepipe.job.Job`: ``device``, ``overwrite``,
    ``redo``, ``limit`` ... ``plugins``: files, folders or modules to load beside those that are
    installed. The environment is not read. Items that fail are listed in the report
    (``report.failures``, ``report.exit_code``). Raises UsageError, NoInputError or SetupError if
    the job as a whole cannot be done::

        report = stylepipe.convert("photos", "painted", settings={"stylizer": {"strength": 0.7}})
    """
    tune_threads()  # before plugins, which may import torch
    known = [
        field.name for field in fields(Job) if field.name not in ("inputs", "output", "settings")
    ]
    for name in job.keys() - set(known):
        raise UsageError(f"a job has no {name!r}{suggest(name, known)}; it has: {', '.join(known)}")
    found = _loaded(plugins)
    paths = [inputs] if isinstance(inputs, (str, PathLike)) else list(inputs)
    resolved = resolve(found, preset, settings, origin=_ORIGIN)
    request = Job(tuple(Path(p) for p in paths), Path(output), resolved, **job)
    return run(request, found, report or Report(quiet=True))


def open(
    stylizer: str | None = None,
    *,
    preset: str = "default",
    settings: Tables | None = None,
    device: str = "auto",
    precision: str = "auto",
    memory: int | str | None = None,
    plugins: Plugins | Sequence[str | PathLike[str]] = (),
    **options: Any,
) -> Session:
    """Open a painter of pictures in memory; it paints any number of them by ``paint``.

    ``stylizer``: its name, if not the preset's. ``options``: any of its options, as in presets.
    ``settings`` overrides keys of the tables ``stylizer`` and ``mask``; the ``[input]`` and
    ``[output]`` of a preset, which are about files, are of no use here. ``memory``: bytes to work
    with, or a text such as ``"2G"``; None takes half of what is free. What components say is
    logged, by the logger ``stylepipe``, as a warning. ``plugins``: files, folders or modules to
    load beside those that are installed. The environment is not read.

    Raises UsageError for a request that makes no sense or needs files, SetupError where the machine
    cannot do it. Close it, or use it in ``with``::

        with stylepipe.open(style="scream", quality="light") as painter:
            painted = painter.paint(array)  # HxWx3 of uint8; see Session.paint
    """
    tune_threads()  # before plugins, which may import torch
    for table in ("input", "output"):
        if settings and table in settings:
            raise UsageError(
                f"settings of [{table}] are about files, and pictures in memory are none"
            )
    found = _loaded(plugins)
    own = options if stylizer is None else {**options, "use": stylizer}
    known = draft(found, preset, settings, origin=_ORIGIN).over(found, {"stylizer": own}, _ORIGIN)
    resolved = known.settings()
    _check_needs_no_files(resolved)
    return Session(
        resolved,
        device=device,
        precision=precision,
        memory=parse_size(memory) if isinstance(memory, str) else memory,
        log=logging.getLogger("stylepipe").warning,
    ).prepare()


def _loaded(plugins: Plugins | Sequence[str | PathLike[str]]) -> Plugins:
    """Installed plugins and those files, folders or modules. Raises SetupError for a broken one."""
    if not isinstance(plugins, (str, PathLike, Sequence)):
        return plugins
    named = [plugins] if isinstance(plugins, (str, PathLike)) else plugins
    asked = [str(plugin) for plugin in named]
    found = Plugins(asked) if asked else Plugins()
    for record in found.records:
        if record.error and record.origin in asked:
            raise SetupError(f"plugin {record.origin} cannot be loaded: {record.reason}")
    return found


def _check_needs_no_files(settings: Settings) -> None:
    if settings.temporal is not None:
        raise UsageError(
            f"[temporal] {settings.temporal.name} keeps the frames of a film alike, and pictures "
            'in memory are none; use stylepipe.convert, or settings={"temporal": {"use": "none"}}'
        )
    if named := next((masker for masker, _ in settings.maskers if masker.by_file), None):
        raise UsageError(
            f"[mask] {named.name} looks for a mask by the name of a file, and pictures in memory "
            'have none; pass settings={"mask": {"use": "none"}}, and a mask, if there is one, to '
            "paint(picture, mask=...)"
        )
