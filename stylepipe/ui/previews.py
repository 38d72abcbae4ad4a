"""Small pictures, painted as soon as a control was moved: of each page the latest request counts.

What paints stays open between previews, as most of them differ in little from the one before.
"""

from __future__ import annotations

import json
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylepipe.errors import ItemError, StylepipeError, sentence
from stylepipe.session import Session
from stylepipe.ui.shelf import jpeg

if TYPE_CHECKING:
    from stylepipe.plugins import Plugins
    from stylepipe.ui.choice import Resolved

_OPEN = 3
"""Sessions that stay open."""
_PROGRESS_EVERY = 0.25
"""Seconds between two words of progress."""
_SIDES = {"quality": 960, "steps": 320}
"""Longest side, in pixels, that is painted quickly enough: of a stylizer that has light networks
and takes them where it can, and of one that optimizes."""
_SIDE = 512
"""Of all others."""


class _Superseded(Exception):
    """Nobody waits for the picture in hand any more."""


@dataclass(eq=False)
class Request:
    """A preview that was asked for."""

    tab: str
    resolved: Resolved
    picture: Path
    """What to paint, to be made smaller still."""
    tell: Callable[[dict[str, Any]], None]
    """Hears of ``share`` and ``text`` while the picture is painted, and in the end of ``picture``,
    a JPEG, and ``seconds``, or of ``failure`` or ``superseded``. Called in another thread."""
    canceled: threading.Event = field(default_factory=threading.Event)


class Previews:
    """Paints previews, one after the other, in a thread of its own."""

    def __init__(
        self, plugins: Plugins, machine: dict[str, Any], folder: Path, log: Callable[[str], None]
    ) -> None:
        """``machine``: device, precision and memory, as a Session takes them. In ``folder`` a
        stylizer may leave the picture it has got to."""
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
        """Paint it as soon as may be; what was asked before by the same page is dropped."""
        with self._changed:
            before = self._waiting.pop(request.tab, None)
            if self._current is not None and self._current.tab == request.tab:
                self._current.canceled.set()
            self._waiting[request.tab] = request
            self._changed.notify_all()
        if before is not None:
            before.tell({"superseded": True})

    def cancel(self, request: Request) -> None:
        """Nobody waits for it any more."""
        request.canceled.set()
        with self._changed:
            if self._waiting.get(request.tab) is request:
                del self._waiting[request.tab]

    def close(self) -> None:
        """Drop all requests, and end the thread after the picture in hand, if that takes long."""
        with self._changed:
            self._closing = True
            self._waiting.clear()
            if self._current is not None:
                self._current.canceled.set()
            self._changed.notify_all()
        self._thread.join(timeout=5)

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
        except Exception as error:  # a plugin may raise anything, and the page goes on
            self._log("".join(traceback.format_exception(error)).rstrip())
            return {"failure": f"the preview failed: {sentence(error)}"}
        return {"picture": painted, "seconds": round(time.perf_counter() - start, 2)}

    def _painted(self, request: Request) -> bytes:
        from stylepipe.pictures import read_picture
        from stylepipe.studies.painting import small
        from stylepipe.types import Frame

        side = next((s for name, s in _SIDES.items() if request.resolved.has(name)), _SIDE)
        try:
            frame = small(Frame(read_picture(request.picture)), side)
        except OSError as error:  # deleted meanwhile
            raise ItemError(f"the photo is gone: {sentence(error)}") from error
        key, session = self._session(request.resolved)
        try:
            return jpeg(session.paint(frame).pixels)
        except BaseException:  # it may be left in the middle of something
            del self._sessions[key]
            session.close()
            raise

    def _session(self, resolved: Resolved) -> tuple[str, Session]:
        """The session of these settings, opened unless it is open still."""
        more: dict[str, dict[str, Any]] = {"temporal": {"use": "none"}}
        if resolved.has("preview"):
            more["stylizer"] = {"preview": str(self._interim)}
        key = json.dumps([resolved.choice.preset, resolved.tables])
        session = self._sessions.pop(key, None)
        if session is None:
            while len(self._sessions) >= _OPEN:
                self._sessions.popitem(last=False)[1].close()
            settings = resolved.settings(self._plugins, more)
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
    """The picture that a stylizer left, taken away so that it is looked at once."""
    try:
        data = path.read_bytes()
        path.unlink()
    except OSError:  # none yet
        return None
    return data
