"""What users write, as paths."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from stylepipe.errors import UsageError
from stylepipe.texts import shown


def expanded(text: str | Path) -> Path:
    """The path, in which ``~`` is the home folder; that of nobody stays as it was written."""
    return Path(os.path.expanduser(text))  # noqa: PTH111 (pathlib's raises for nobody's)


def user_path(text: str | Path) -> Path:
    """The path that a user wrote, which may lead nowhere, but can be asked whether it does.

    Raises UsageError for a name that no disk holds, as a pasted text has.
    """
    path = expanded(text)
    try:
        path.lstat()
    except ValueError:  # a byte of zero in it
        raise UsageError(f"{shown(str(text))} cannot be the name of a file") from None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise UsageError(f"{shown(str(text))} is too long for the name of a file") from None
    return path
