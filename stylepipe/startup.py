"""The first thing that is imported: what must be right before anything else is."""

import sys


def _ran_as_module() -> bool:
    """Whether this is ``python -m stylepipe``."""
    return (
        sys.argv[:1] == ["-m"]
        and sys.orig_argv[-len(sys.argv)].removeprefix("-m").partition(".")[0] == "stylepipe"
    )


if _ran_as_module() and not sys.flags.safe_path:
    # Python looks for modules in the current folder first, and a torch.py among someone's photos
    # must not run. Later, in __main__, half of them would be imported.
    del sys.path[0]

import os  # noqa: E402
import signal  # noqa: E402
from types import FrameType  # noqa: E402


def _leave(signum: int, frame: FrameType | None) -> None:
    os._exit(130)


def leave_at_ctrl_c() -> None:
    """Ctrl-C ends the program at once and without a word: nothing is begun yet, or all is done."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)


def heed_ctrl_c() -> None:
    """Ctrl-C raises KeyboardInterrupt again."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


_program = os.path.basename("".join(sys.argv[:1]))  # noqa: PTH119  (pathlib comes later)
if _ran_as_module() or _program in ("stylepipe", "stylepipe.exe"):
    # Imports take a third of a second, in which Ctrl-C would print a traceback. Programs that
    # merely import stylepipe keep what they have.
    leave_at_ctrl_c()
