"""``stylepipe masks``: a job that writes its masks as pictures, and a sheet that shows them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stylepipe.cli.flags import Flag
from stylepipe.cli.run import RunCommand, Tables
from stylepipe.errors import SetupError, UsageError
from stylepipe.job import Job
from stylepipe.verbs import VERBS

if TYPE_CHECKING:
    from stylepipe.plugins import Plugins
    from stylepipe.report import Report

FORMATS = ("png", "png/")
"""What masks are written as: lossless, and read by every program that can edit them."""
_NOT_IN_MASKS = {"edges"}
"""Shaping that is no matter of the masks as they are written."""
_VOID = ("stylizer", "temporal", "output")
"""Tables of a preset that masks do not depend on, but for how results are named."""

HELP = f"""\
{VERBS["masks"]}

Each photo becomes a gray PNG of its name and sub-folder, white where a run would paint, and each
film a folder of them; where there are regions, a map in flat colors, with a legend.toml of their
names.
Beside the output lies a sheet of all, PATH-overlay.jpg. Edit the masks, and pass them to --mask.
Of a preset, [mask], [region] and [input] count.

\b
Examples:
  stylepipe masks photos -o masks --preset background --mask alpha
  stylepipe run photos -o painted --mask masks
"""


class MasksCommand(RunCommand):
    """``run``, with the mask itself in place of what would be painted by it."""

    def __init__(self) -> None:
        super().__init__("masks", None, HELP, VERBS["masks"])
        self.params = [param for param in self.params if param.name != "temporal"]
        self.fixed = len(self.params)

    def takes(self, flag: click.Parameter) -> bool:
        return isinstance(flag, Flag) and _counts(flag.table, flag.spec.name)

    def _overrides(self, plugins: Plugins, values: dict[str, Any]) -> Tables:
        tables = super()._overrides(plugins, values)
        for table, keys in tables.items():
            for key in keys:
                if not _counts(table, key):
                    raise UsageError(
                        f"{table}.{key} means nothing to masks, which are written as PNG; leave it "
                        "out"
                    )
        wanted = tables.get("output", {}).get("format", FORMATS[0])
        if wanted.lower().lstrip(".") not in (*FORMATS, "frames:png"):
            raise UsageError(
                f"masks are written as {FORMATS[0]}, or {FORMATS[1]} for films, not {wanted}"
            )
        return tables

    def prepared(self, job: Job) -> Job:
        from stylepipe.mask_job import check_legend, mask_job
        from stylepipe.overlay import check_sheet, sheet_path

        made = mask_job(job)
        check_sheet(sheet_path(job.output))
        check_legend(made)
        return made

    def finished(self, job: Job, report: Report) -> None:
        if job.dry_run or report.interrupted:
            return
        from stylepipe.mask_job import write_legend
        from stylepipe.overlay import sheet_path, write_sheet

        path = sheet_path(job.output)
        try:
            if legend := write_legend(job):
                report.log(f"names of the regions: {legend}")
            if count := write_sheet(job, path):
                report.log(f"overlay of {count} picture{'s' * (count > 1)}: {_short(path)}")
            if count and (shaped := sorted(job.settings.mask.shaping() - _NOT_IN_MASKS)):
                flags = " and ".join(f"--mask-{key.replace('_', '-')}" for key in shaped)
                report.log(
                    f"--mask {_short(job.output)} gives them back, without {flags}: it is in them, "
                    "so leave out the flag or preset that sets it"
                )
        except OSError as error:
            raise SetupError(
                f"the masks are written, but not what goes with them: {error.strerror or error}: "
                f"{error.filename or path}"
            ) from error


def _counts(table: str, key: str) -> bool:
    if table == "input" and key in ("frames", "every"):
        return False
    return table not in _VOID or (table == "output" and key in ("name", "format"))


def _short(path: Path) -> Path:
    """As it is typed, where it lies below the current folder."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


command = MasksCommand()
