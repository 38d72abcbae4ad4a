"""Every error a user can cause, each with the exit code of the program."""

from __future__ import annotations

from stylepipe.spelling import suggest as suggest  # the errors' own word


class StylepipeError(Exception):
    """Base of all errors that are reported to the user as one sentence, without a traceback."""

    exit_code = 1


class ItemError(StylepipeError):
    """One input cannot be read, stylized or written; the job continues with the others."""


class NoMask(ItemError):
    """There is no mask for one input; ``--mask-missing`` says what becomes of it."""


class DamageError(ItemError):
    """One input is damaged, and only whole inputs are to be painted."""


class UsageError(StylepipeError):
    """The request itself is wrong: an unknown option, preset key, style, or a clash of outputs."""

    exit_code = 2


class NoInputError(StylepipeError):
    """No input file matched."""

    exit_code = 3


class SetupError(StylepipeError):
    """The machine cannot do what was asked: no such device, damaged weights, a full disk."""

    exit_code = 4


def sentence(error: BaseException) -> str:
    """What to tell a user of any error, in one line."""
    if isinstance(error, StylepipeError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
