"""Small pictures, painted whenever a control moves: only the latest request of a page counts.

Sessions stay open between previews, as most differ little from the one before.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylepipe.errors import ItemError, StylepipeError, sentence
from stylepipe.fingerprints import settings_fingerprint
from stylepipe.session import Session
from stylepipe.ui.shelf import jpeg

if TYPE_CHECKING:
    from stylepipe.plugins import Plugins
    from stylepipe.ui.choice import Resolved

_OPEN = 3
"""Sessions that stay open."""
_PROGRESS_EVERY = 0.25
"""Seconds between two reports of progress."""
_SIDES = {"quality": 960, "steps": 320}
"""Longest side, in pixels, that is painted quickly enough, by an option of the stylizer: one with
light networks, and one that optimizes."""
_SIDE = 512
"""Longest side for all other stylizers."""


class _Superseded(Exception):
    """Nobody is waiting for the picture in hand anymore."""


@dataclass(eq=False)
class Request:
    """A preview that was asked for."""

    tab: str
    resolved: Resolved
    picture: Path
    """The photo, which is scaled down further."""
    tell: Callable[[dict[str, Any]], None]
    """Receives ``share`` and ``text`` while the picture is painted, and at the end ``picture``, a
    JPEG, and ``seconds``, or else ``failure`` or ``superseded``. Called in another thread."""
    canceled: threading.Event = field(default_factory=threading.Event)


class Previews:
    """Paints previews, one at a time, in its own thread."""

    def __init__(
        self, plugins: Plugins, machine: dict[str, Any], folder: Path, log: Callable[[str], None]
    ) -> None:
        """``machine``: device, precision and memory, as a Session takes them. ``folder`` holds the
        picture so far, if the stylizer shows it."""
        self._plugins, self._machine, self._log = plugins, machine, log
        self._interim = folder / "preview.jpg"
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._waiting: dict[str, Request] = {}
        self._current: Request | None = None
        self._told = 0.0
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="previews", daemon=True)
        self._thread.start()

    def ask(self, request: Request) -> None:
        """Paint it as soon as possible, and drop earlier requests of the same page."""
        with self._changed:
            before = self._waiting.pop(request.tab, None)
            if self._current is not None and self._current.tab == request.tab:
                self._current.canceled.set()
            self._waiting[request.tab] = request
            self._changed.notify_all()
        if before is not None:
            before.tell({"superseded": True})

    def cancel(self, request: Request) -> None:
        """Drop the request; nobody is waiting for it anymore."""
        request.canceled.set()
        with self._changed:
            if self._waiting.get(request.tab) is request:
                del self._waiting[request.tab]

    def close(self) -> bool:
        """Drop all requests. Returns False if the picture in hand takes too long to wait for."""
        with self._changed:
            self._closing = True
            self._waiting.clear()
            if self._current is not None:
                self._current.canceled.set()
            self._changed.notify_all()
        self._thread.join(timeout=5)
        return not self._thread.is_alive()

    def wait_until_idle(self, seconds: float) -> None:
        """Return when no preview is waiting or being painted, or after so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting and self._current is None, seconds)

    def _work(self) -> None:
        try:
            while request := self._next():
                request.tell(self._answer(request))
        finally:
            while self._sessions:
                self._sessions.popitem()[1].close()

    def _next(self) -> Request | None:
        with self._changed:
            self._current = None
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._waiting or self._closing)
            if self._closing:
                return None
            self._current = self._waiting.pop(next(iter(self._waiting)))
            return self._current

    def _answer(self, request: Request) -> dict[str, Any]:
        start = time.perf_counter()
        try:
            painted = self._painted(request)
        except _Superseded:
            return {"superseded": True}
        except StylepipeError as error:
            return {"failure": str(error)}
        except BaseException as error:  # a plugin may raise anything; the page continues
            self._log("".join(traceback.format_exception(error)).rstrip())
            return {"failure": f"the preview failed: {sentence(error)}"}
        return {"picture": painted, "seconds": round(time.perf_counter() - start, 2)}

    def _painted(self, request: Request) -> bytes:
        from stylepipe.pictures import read_picture
        from stylepipe.studies.painting import small
        from stylepipe.types import Frame

        taken(self._interim)  # that of the request before
        side = next((s for name, s in _SIDES.items() if request.resolved.has(name)), _SIDE)
        try:
            frame = small(Frame(read_picture(request.picture)), side)
        except OSError as error:  # deleted meanwhile
            raise ItemError(f"the photo is gone: {sentence(error)}") from error
        key, session = self._session(request.resolved)
        try:
            return jpeg(session.paint(frame).pixels)
        except BaseException:  # it may be left in an odd state
            del self._sessions[key]
            session.close()
            raise

    def _session(self, resolved: Resolved) -> tuple[str, Session]:
        """The session of these settings, opened unless it still is."""
        more: dict[str, dict[str, Any]] = {"temporal": {"use": "none"}}
        if resolved.has("preview"):
            more["stylizer"] = {"preview": str(self._interim)}
        settings = resolved.settings(self._plugins, more)
        key = settings_fingerprint(settings, "auto")
        session = self._sessions.pop(key, None)
        if session is None:
            while len(self._sessions) >= _OPEN:
                self._sessions.popitem(last=False)[1].close()
            session = Session(settings, log=self._note, progress=self._progress, **self._machine)
            session.prepare()
        self._sessions[key] = session
        return key, session

    def _note(self, line: str) -> None:
        if self._current is not None:
            self._current.tell({"note": line})

    def _progress(self, share: float, text: str) -> None:
        request = self._current
        if request is None:
            return
        if request.canceled.is_set():
            raise _Superseded
        now = time.perf_counter()
        if now >= self._told + _PROGRESS_EVERY:
            self._told = now
            news: dict[str, Any] = {"share": share, "text": text}
            if (interim := taken(self._interim)) is not None:
                news["picture"] = interim
            request.tell(news)


def taken(path: Path) -> bytes | None:
    """The picture that a stylizer has left, which is removed so that it is shown once."""
    try:
        data = path.read_bytes()
        path.unlink()
    except OSError:  # none yet
        return None
    return data
