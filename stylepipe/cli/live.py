"""``stylepipe live``: what a camera sees, painted as it sees it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stylepipe.cli.app import app_of
from stylepipe.cli.flags import Flag
from stylepipe.cli.run import RunCommand, Tables
from stylepipe.errors import ItemError, UsageError
from stylepipe.stdio import printable, tell
from stylepipe.verbs import VERBS

if TYPE_CHECKING:
    from stylepipe.job import Settings
    from stylepipe.live.recording import Recording
    from stylepipe.live.screens import Screen
    from stylepipe.plugins import Plugins
    from stylepipe.presets import Draft
    from stylepipe.session import Session

_ABOUT_FILES = (
    "inputs", "output", "dry_run", "overwrite", "redo", "skip_existing", "limit", "on_error",
    "json", "page",
)  # fmt: skip
"""Flags of a run that mean nothing here."""
_RATE = 25.0
"""Pictures a second that a recording and a virtual camera declare; each keeps its own time."""

HELP = f"""\
{VERBS["live"]}

The newest picture comes first: those that come while one is painted are dropped, and counted. Keys
in the window: q or Escape quits, s saves a still, space pauses, n and p change the bundled style.

\b
Examples:
  stylepipe live --camera 0 --style great-wave --quality light
  stylepipe live --camera clip.mp4 --preset video-fast --record painted.mp4
"""


class LiveCommand(RunCommand):
    """``run`` for a camera: the flags of what paints, and none about files."""

    def __init__(self) -> None:
        super().__init__("live", None, HELP, VERBS["live"])
        self.callback = _live
        option = click.Option
        self.params = [
            option(
                ["--camera"], default="0", metavar="NUMBER|URL|FILM",
                help="A camera by its number, a stream, or a film played at its own rate.  "
                "[default: 0]",
            ),
            option(
                ["--size"], default=640, type=click.IntRange(min=16), metavar="N",
                help="Pictures are scaled down to this longest side.  [default: 640]",
            ),
            option(
                ["--record"], metavar="FILE", type=click.Path(path_type=Path),
                help="Write what is shown, as a film.",
            ),
            option(
                ["--virtual-camera"], is_flag=True,
                help="Show it as a camera that video calls can choose (needs stylepipe[live]).",
            ),
            *(param for param in self.params if param.name not in _ABOUT_FILES),
        ]  # fmt: skip
        self.fixed = len(self.params)

    def takes(self, flag: click.Parameter) -> bool:
        return isinstance(flag, Flag) and _counts(flag.table, flag.spec.name)

    def _overrides(self, plugins: Plugins, values: dict[str, Any]) -> Tables:
        tables = super()._overrides(plugins, values)
        for table, keys in tables.items():
            for key in keys:
                if not _counts(table, key):
                    raise UsageError(
                        f"{table}.{key} is about files, and means nothing to a camera; leave it out"
                    )
        return tables


def _counts(table: str, key: str) -> bool:
    return table != "input" and (table, key) not in (("output", "name"), ("output", "format"))


@dataclass
class _Studio:
    """Opens sessions for the settings that were asked for, and for other styles."""

    known: Draft
    plugins: Plugins
    machine: dict[str, Any]

    def settings(self, style: str | None) -> Settings:
        """Raises UsageError where they need what a camera does not have."""
        known = self.known
        if style is not None:
            known = known.over(self.plugins, {"stylizer": {"style": [style]}})
        settings = known.settings()
        temporal = settings.temporal
        if temporal is not None and temporal.mode != "guide":
            raise UsageError(
                f"--temporal {temporal.name} waits for later frames, which a camera has not seen "
                "yet; take --temporal warp, or none"
            )
        return settings

    def open(self, style: str | None) -> Session:
        """Raises SetupError, UsageError."""
        from stylepipe.session import Session

        return Session(self.settings(style), **self.machine).prepare()


@click.pass_context
def _live(
    ctx: click.Context,
    /,
    *,
    camera: str,
    size: int,
    record: Path | None,
    virtual_camera: bool,
    known: Draft,
    device: str,
    precision: str,
    memory: int | None,
    verbose: int,
    quiet: bool,
    **seen: Any,
) -> int:
    app = app_of(ctx)
    app.warn_of_broken()
    log = _silent if quiet else _say
    machine = {"device": device, "precision": precision, "memory": memory, "log": log}
    studio = _Studio(known, app.plugins, machine)
    settings = studio.settings(None)

    from stylepipe.memory import tune_allocator

    tune_allocator()
    from stylepipe.live.feed import open_feed
    from stylepipe.live.recording import Recording
    from stylepipe.live.show import Show
    from stylepipe.session import Opener

    with ExitStack() as stack:
        files = Opener(device="cpu", log=log, damaged=log)
        stack.enter_context(files)
        files.open([*settings.readers, *settings.writers])
        recording = Recording(record, list(settings.writers), _RATE, log) if record else None
        feed = open_feed(camera, settings.readers)
        stack.callback(feed.close)
        screens = _screens(virtual_camera, recording, log)
        for screen in screens:
            stack.callback(screen.close)
        styles = [info.name for info in settings.stylizer.styles()]
        show = Show(studio.open, styles, screens, recording, size, log)
        try:
            lost = show.run(feed)
        except KeyboardInterrupt:
            log("")  # after the ^C of the terminal
            lost = ""
        finally:
            kept = recording is not None and recording.close()
            log(show.tally.words())
            if kept:
                log(f"recorded {record}")
        if lost:
            raise ItemError(lost)
    return 0


def _screens(virtual: bool, recording: Recording | None, log: Any) -> list[Screen]:
    """A window where there can be one, and the virtual camera. Raises SetupError."""
    from stylepipe.live.screens import VirtualCamera, Window, no_window

    screens: list[Screen] = [VirtualCamera(_RATE)] if virtual else []
    if (why := no_window()) and (screens or recording):
        log(f"no window, as {why}: Ctrl-C stops")
        return screens
    return [Window(), *screens]


def _say(line: str) -> None:
    tell(printable(line))


def _silent(line: str) -> None:
    """With --quiet."""


command = LiveCommand()
