"""What a single variant trips over, so that the others are still tried."""

from __future__ import annotations

import traceback
from collections.abc import Iterable

from stylepipe.components import Component
from stylepipe.errors import SetupError, StylepipeError, sentence
from stylepipe.guard import blamed
from stylepipe.job import Settings
from stylepipe.journal import is_disk_trouble
from stylepipe.stdio import note, printable, tell


def reason(
    error: Exception, settings: Settings, verbose: int = 0, others: Iterable[Component] = ()
) -> str:
    """Why a variant failed, in one sentence. Of an unexpected error the traceback is printed where
    the user asked for details; a log file has it in any case. ``others``: what else of a plugin may
    be to blame.

    Raises SetupError where all other variants would fail alike, as on a full disk.
    """
    if is_disk_trouble(error):
        raise error if isinstance(error, SetupError) else SetupError(sentence(error)) from error
    if isinstance(error, StylepipeError):
        return str(error)
    show = tell if verbose else note
    for line in "".join(traceback.format_exception(error)).splitlines():
        show(printable(line))
    parts = [*settings.painting, *(masker for masker, _ in settings.maskers), *others]
    who = blamed(error, parts)
    return f"{f'{who} raised ' if who else ''}{sentence(error)}; -v shows the traceback"
