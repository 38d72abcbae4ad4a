"""The queue: orders that are painted one after the other, each an ordinary job.

An order is a file. What is finished of it stands in the journal of its results, as after any run:
an order that was stopped, by the user or by a kill, resumes where it was.
"""

from __future__ import annotations

import json
import re
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from stylepipe.errors import StylepipeError, UsageError, sentence
from stylepipe.job import Job
from stylepipe.report import Report
from stylepipe.ui.choice import Choice
from stylepipe.ui.shelf import Refused

if TYPE_CHECKING:
    from stylepipe.plugins import Plugins
    from stylepipe.types import Info, Item, Outcome
    from stylepipe.ui.choice import Resolved

State = Literal["waiting", "running", "paused", "done", "failed", "canceled"]
_STOPPABLE: tuple[State, ...] = ("waiting", "running", "paused")
_NOTES = 20
"""Lines that are kept of an order."""


@dataclass
class Order:
    """Photos and films, and how to paint them."""

    number: int
    names: list[str]
    """Of uploads."""
    choice: Choice
    title: str
    state: State = "waiting"
    why: str = ""
    """Why it failed as a whole."""
    results: list[tuple[str, str]] = field(default_factory=list)
    """Names of an upload and of its result."""
    failures: list[tuple[str, str]] = field(default_factory=list)
    """Names of uploads, with the reason."""
    # Of a run; nothing of it is saved:
    wanted: State | None = None
    """What becomes of it when the picture in hand is finished."""
    current: str = ""
    share: float = 0.0
    """Of the current one, 0..1."""
    text: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def folder(self) -> str:
        """The name of its folder of results."""
        return _folder(self.number, self.title)

    def saved(self) -> dict[str, Any]:
        """What is written to its file."""
        kept = ("number", "names", "title", "state", "why", "results", "failures")
        chosen = {k: v for k, v in vars(self.choice).items() if v is not None}
        return {name: getattr(self, name) for name in kept} | {"choice": chosen}

    @classmethod
    def of(cls, data: dict[str, Any]) -> Order:
        """Read what was saved. Raises ValueError, TypeError, KeyError or UsageError."""
        order = cls(**{**data, "choice": Choice.of(data["choice"])})
        order.results = [(str(a), str(b)) for a, b in order.results]
        order.failures = [(str(a), str(b)) for a, b in order.failures]
        if not isinstance(order.number, int) or order.state not in get_args(State):
            raise ValueError("it is no order")
        return order


def _folder(number: int, title: str) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", title.lower())[:40]
    return f"{number:04d}-{words}".rstrip("-")


class _Watch(Report):
    """Shows how an order gets on, and stops it on request."""

    def __init__(self, order: Order, results: Path) -> None:
        super().__init__(quiet=True, bars=False)
        self._order, self._results, self._all = order, results, 0
        self._films: dict[int, tuple[int, int | None]] = {}

    def log(self, line: str) -> None:
        self._order.notes = [*self._order.notes, line][-_NOTES:]

    def item_start(self, item: Item, info: Info, done: int) -> None:
        super().item_start(item, info, done)
        self._heed()
        self._order.current, self._order.text, self._order.share = item.source.name, "", 0.0
        self._films.clear()
        if info.kind == "video":
            self._films[item.index] = (done, info.frames)
            self._show_frames(item)

    def frame_done(self, item: Item, count: int = 1) -> None:
        super().frame_done(item, count)
        if item.index in self._films:
            done, total = self._films[item.index]
            self._films[item.index] = (done + count, total)
            self._show_frames(item)
            self._heed()  # a photo is finished before the order is stopped

    def _show_frames(self, item: Item) -> None:
        done, total = self._films[item.index]
        self._order.share = min(done / total, 1.0) if total else 0.0
        self._order.text = f"frame {done} of {total}" if total else f"frame {done}"

    def progress(self, share: float, text: str) -> None:
        super().progress(share, text)
        if not self._films:
            self._order.share, self._order.text = share, text
        self._heed()

    def item_done(self, item: Item, outcome: Outcome) -> None:
        super().item_done(item, outcome)
        name = item.source.name
        if outcome.status == "failed":
            self._order.failures.append((name, outcome.message))
        elif item.output.exists():
            made = item.output.relative_to(self._results).as_posix()
            if (name, made) not in self._order.results:  # of an earlier run
                self._order.results.append((name, made))
            if outcome.damage:
                self.log(f"{name} is damaged: {outcome.damage}")

    def _heed(self) -> None:
        if self._order.wanted is not None:
            raise KeyboardInterrupt  # what a run takes for Ctrl-C, and resumes from


class Orders:
    """The queue, and the thread that works on it."""

    def __init__(
        self,
        folder: Path,
        resolve: Callable[[Choice], Resolved],
        inputs: Callable[[Sequence[str]], list[Path]],
        plugins: Plugins,
        machine: dict[str, Any],
        log: Callable[[str], None],
    ) -> None:
        """Continue with what is in ``folder``. ``inputs``: the files of uploads; raises Refused.
        ``machine``: device, precision and memory. Raises OSError."""
        self._folder, self.results = folder / "queue", folder / "results"
        self._resolve, self._inputs, self._plugins = resolve, inputs, plugins
        self._machine, self._log = machine, log
        self._orders: dict[int, Order] = {}
        self._closing = False
        self._changed = threading.Condition(threading.RLock())
        for place in (self._folder, self.results):
            place.mkdir(parents=True, exist_ok=True)
        for path in sorted(self._folder.glob("*.json")):
            try:
                order = Order.of(json.loads(path.read_text("utf-8")))
            except (ValueError, TypeError, KeyError, StylepipeError) as error:
                log(f"{path} is left out: {sentence(error)}")
            else:
                self._orders[order.number] = order
        self._thread = threading.Thread(target=self._work, name="orders", daemon=True)

    def open(self) -> None:
        """Begin to work."""
        self._thread.start()

    def close(self) -> bool:
        """Stop after the picture in hand; what is left resumes with the next start. Returns False
        where that picture takes long, and is not waited for."""
        with self._changed:
            self._closing = True
            for order in self._orders.values():
                if order.state == "running":
                    order.wanted = order.wanted or "waiting"
            self._changed.notify_all()
        self._thread.join(timeout=10)
        return not self._thread.is_alive()

    def left(self) -> int:
        """How many orders are not finished, and not paused."""
        with self._changed:
            return sum(order.state in ("waiting", "running") for order in self._orders.values())

    def shown(self) -> list[dict[str, Any]]:
        """Every order, the latest first, as plain values."""
        with self._changed:
            return [self._shown(order) for _, order in sorted(self._orders.items(), reverse=True)]

    def get(self, number: int) -> Order:
        """Raises Refused where there is none of this number."""
        with self._changed:
            if number not in self._orders:
                raise Refused(f"there is no order {number}", 404)
            return self._orders[number]

    def add(self, names: Sequence[str], choice: Choice, title: str) -> Order:
        """Queue an order. Raises UsageError or Refused for one that cannot be done."""
        if not names:
            raise UsageError("choose at least one photo or film")
        self._inputs(names)
        self._resolve(choice).settings(self._plugins, {})
        with self._changed:
            number = self._next_number()
            order = Order(number, list(names), choice, title)
            self._save(order)
            self._orders[number] = order
            self._changed.notify_all()
            return order

    def pause(self, number: int) -> None:
        """Stop after the picture in hand, until it is resumed. Raises Refused."""
        self._stop(number, "paused")

    def cancel(self, number: int) -> None:
        """Stop for good; what is finished stays. Raises Refused."""
        self._stop(number, "canceled")

    def resume(self, number: int) -> None:
        """Go on with an order that was stopped, or has failed. Raises Refused."""
        with self._changed:
            order = self.get(number)
            if order.state == "running" and order.wanted is not None:
                order.wanted = None
            elif order.state in ("paused", "failed", "canceled"):
                order.state, order.why = "waiting", ""
                self._save(order)
            self._changed.notify_all()

    def remove(self, number: int) -> None:
        """Take a finished order off the list; its results stay on the disk. Raises Refused."""
        with self._changed:
            order = self.get(number)
            if order.state in _STOPPABLE:
                raise Refused("this order is not finished; cancel it first", 409)
            self._file(order).unlink(missing_ok=True)
            del self._orders[number]

    def uses(self, name: str) -> bool:
        """Whether an order that is not finished needs an upload, be it as a style."""
        with self._changed:
            return any(
                name in (*order.names, order.choice.style)
                for order in self._orders.values()
                if order.state in _STOPPABLE
            )

    def interim(self, number: int) -> Path:
        """Where an order's picture is while it is painted, if the stylizer shows it."""
        return self._folder / f"{number:04d}.jpg"

    def output(self, order: Order) -> Path:
        """The folder of its results."""
        return self.results / order.folder

    def result(self, number: int, index: int) -> tuple[str, Path]:
        """An upload's name and the file of its result. Raises Refused."""
        order = self.get(number)
        if not 0 <= index < len(order.results):
            raise Refused("there is no such result", 404)
        name, made = order.results[index]
        path, folder = self.output(order) / made, self.output(order).resolve()
        if folder not in path.resolve().parents or not path.exists():  # changed by hand
            raise Refused(f"{made} is no longer there", 404)
        return name, path

    def next_output(self, title: str) -> Path:
        """The folder of results of an order of this title, were it the next."""
        with self._changed:
            return self.results / _folder(self._next_number(), title)

    def _next_number(self) -> int:
        """One that no order and no folder of results has."""
        return 1 + max([*self._orders, *map(_number, self.results.iterdir())], default=0)

    def _stop(self, number: int, state: State) -> None:
        with self._changed:
            order = self.get(number)
            if order.state not in _STOPPABLE:
                raise Refused(f"this order is {order.state} already", 409)
            if order.state == "running":
                order.wanted = state
            else:
                order.state = state
                self._save(order)

    def _shown(self, order: Order) -> dict[str, Any]:
        interim = self.interim(order.number)
        version = 0
        if order.state == "running":
            with suppress(OSError):  # none yet
                version = interim.stat().st_mtime_ns
        live = ("wanted", "current", "share", "text", "notes")
        return {
            **order.saved(),
            **{name: getattr(order, name) for name in live},
            "folder": str(self.output(order)),
            "interim": str(version) if version else "",
        }

    # -- the thread ---------------------------------------------------------------------------

    def _work(self) -> None:
        while order := self._next():
            state, why = self._painted(order)
            with self._changed:
                order.state, order.why, order.wanted = state, why, None
                order.current, order.text, order.share = "", "", 0.0
                try:
                    self._save(order)
                except Refused as error:  # the journal has its results all the same
                    self._log(str(error))
            with suppress(OSError):  # it is in nobody's way
                self.interim(order.number).unlink(missing_ok=True)

    def _next(self) -> Order | None:
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self._first() is not None)
            order = self._first()
            if self._closing or order is None:
                return None
            order.state, order.wanted = "running", None
            order.failures, order.notes = [], []  # a run tells of these again
            return order

    def _first(self) -> Order | None:
        waiting = [n for n, order in self._orders.items() if order.state == "waiting"]
        return self._orders[min(waiting)] if waiting else None

    def _painted(self, order: Order) -> tuple[State, str]:
        """Run the order; returns what became of it, and why."""
        from stylepipe.pipeline import run

        try:
            resolved, more = self._resolve(order.choice), {}
            if resolved.has("preview"):
                more = {"stylizer": {"preview": str(self.interim(order.number))}}
            settings, output = resolved.settings(self._plugins, more), self.output(order)
            job = Job(tuple(self._inputs(order.names)), output, settings, **self._machine)
            run(job, self._plugins, _Watch(order, output))
        except KeyboardInterrupt:
            return order.wanted or "paused", ""
        except StylepipeError as error:
            return "failed", str(error)
        except Exception as error:  # a plugin may raise anything, and the others go on
            self._log("".join(traceback.format_exception(error)).rstrip())
            return "failed", sentence(error)
        if order.failures and not order.results:
            return "failed", ""
        return "done", ""

    def _save(self, order: Order) -> None:
        """Raises Refused where the disk is full."""
        path = self._file(order)
        part = path.with_suffix(".part")
        try:
            part.write_text(json.dumps(order.saved()), encoding="utf-8")
            part.replace(path)
        except OSError as error:
            raise Refused(f"the order cannot be saved: {sentence(error)}", 507) from error

    def _file(self, order: Order) -> Path:
        return self._folder / f"{order.number:04d}.json"


def _number(path: Path) -> int:
    head = path.name.partition("-")[0]
    return int(head) if head.isdecimal() else 0
