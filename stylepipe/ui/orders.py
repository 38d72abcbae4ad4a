"""The queue: orders that are painted one after the other, each an ordinary job.

Each order is a file. What is finished is in the journal of its results, as after any run: an order
that was stopped, by the user or by a kill, resumes where it was.
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
from stylepipe.plan import KEPT
from stylepipe.report import Report
from stylepipe.stdio import printable
from stylepipe.ui.choice import Choice
from stylepipe.ui.shelf import Refused

if TYPE_CHECKING:
    from stylepipe.plugins import Plugins
    from stylepipe.types import Info, Item, Outcome
    from stylepipe.ui.choice import Resolved

State = Literal["waiting", "running", "paused", "done", "failed", "canceled"]
_STOPPABLE: tuple[State, ...] = ("waiting", "running", "paused")
_NOTES = 20
"""Lines kept for each order."""
_PATIENCE = 10
"""Seconds that closing waits for the picture in hand, before it is dropped."""


@dataclass
class Order:
    """Photos and films, and how to paint them."""

    number: int
    names: list[str]
    """The uploads."""
    choice: Choice
    title: str
    state: State = "waiting"
    why: str = ""
    """Why it failed as a whole."""
    results: list[tuple[str, str]] = field(default_factory=list)
    """An upload and its result, by name."""
    failures: list[tuple[str, str]] = field(default_factory=list)
    """Uploads by name, with the reason."""
    total: int = 0
    """Pictures to paint, as a file may hold several; 0 until the first run knows."""
    # While it is painted; not saved:
    wanted: State | None = None
    """The state it enters after the picture in hand."""
    current: str = ""
    """The upload being painted."""
    place: int = 0
    """How many pictures come before it; their results may still be being written."""
    share: float = 0.0
    """Of the current picture, 0..1."""
    text: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def folder(self) -> str:
        """The name of its folder of results."""
        return _folder(self.number, self.title)

    def saved(self) -> dict[str, Any]:
        """The contents of its file. A kill leaves a running order waiting, unless the user has
        stopped it."""
        kept = ("number", "names", "title", "why", "results", "failures", "total")
        return {
            **{name: getattr(self, name) for name in kept},
            "state": self.wanted or ("waiting" if self.state == "running" else self.state),
            "choice": {k: v for k, v in vars(self.choice).items() if v is not None},
        }

    @classmethod
    def of(cls, data: Any) -> Order:
        """Read what was saved. Raises ValueError, TypeError, KeyError or UsageError."""
        order = cls(
            number=int(data["number"]),
            names=[str(name) for name in data["names"]],
            choice=Choice.of(data["choice"]),
            title=str(data["title"]),
            state=data["state"],
            why=str(data["why"]),
            results=[(str(a), str(b)) for a, b in data["results"]],
            failures=[(str(a), str(b)) for a, b in data["failures"]],
            total=int(data.get("total", 0)),
        )
        if order.state not in get_args(State):
            raise ValueError(f"no order is {order.state!r}")
        return order


def _folder(number: int, title: str) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", title.lower())[:40]
    return f"{number:04d}-{words}".rstrip("-")


class _Watch(Report):
    """Shows the progress of an order."""

    def __init__(self, order: Order, results: Path) -> None:
        super().__init__(quiet=True, bars=False)
        self._order, self._results = order, results
        self._film: tuple[int, int | None] | None = None
        """Frames done and in all, where the current item is a film."""
        self._dropped = False

    def drop(self) -> None:
        """Stop as soon as the stylizer reports progress, without finishing the picture in hand."""
        self._dropped = True
        self.stopping.set()

    def log(self, line: str) -> None:
        self._order.notes = [*self._order.notes, printable(line)][-_NOTES:]

    def job_start(self, items: int) -> None:
        super().job_start(items)
        self._order.total = items

    def job_done(self, place: Path | None = None) -> None:
        before = self._order.notes
        super().job_done(place)
        if self.interrupted:  # its last line is for the command line
            self._order.notes = before

    def item_start(self, item: Item, info: Info, done: int) -> None:
        super().item_start(item, info, done)
        self._order.current, self._order.place = item.source.name, item.index
        self._order.text, self._order.share = "", 0.0
        self._film = None
        if info.kind == "video":
            self._show_frames(done, info.frames)

    def frame_done(self, item: Item, count: int = 1) -> None:
        super().frame_done(item, count)
        if self._film is not None:
            done, total = self._film
            self._show_frames(done + count, total)

    def _show_frames(self, done: int, total: int | None) -> None:
        self._film = done, total
        self._order.share = min(done / total, 1.0) if total else 0.0
        self._order.text = f"frame {done} of {total}" if total else f"frame {done}"

    def progress(self, share: float, text: str) -> None:
        super().progress(share, text)
        if self._film is None:
            self._order.share, self._order.text = share, text
        if self._dropped and self._order.current:
            from stylepipe.film import Interrupted

            raise Interrupted

    def item_done(self, item: Item, outcome: Outcome) -> None:
        super().item_done(item, outcome)
        name = item.source.name
        if outcome.status == "failed" or not item.output.exists():
            self._order.failures.append((name, outcome.message))
            return
        made = item.output.relative_to(self._results).as_posix()
        if (name, made) not in self._order.results:  # from an earlier run
            self._order.results.append((name, made))
        if outcome.damage:
            self.log(f"{name} is damaged: {outcome.damage}")
        if outcome.message == KEPT:
            self.log(f"{name} stays as it is: its result was not made from it by these settings")


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
        """Continue with the orders in ``folder``. ``inputs`` finds the files of uploads, and raises
        Refused. ``machine``: device, precision and memory. Raises OSError."""
        self._folder, self.results = folder / "queue", folder / "results"
        self._resolve, self._inputs, self._plugins = resolve, inputs, plugins
        self._machine, self._log = machine, log
        self._orders: dict[int, Order] = {}
        self._watch: _Watch | None = None
        """Of the order that is painted."""
        self._closing = False
        self._changed = threading.Condition(threading.RLock())
        for place in (self._folder, self.results):
            place.mkdir(parents=True, exist_ok=True)
        for path in sorted(self._folder.glob("*.json")):
            try:
                order = Order.of(json.loads(path.read_text("utf-8")))
                if path != self._file(order):
                    raise ValueError(f"it holds order {order.number}")
            except (OSError, ValueError, TypeError, KeyError, RecursionError, UsageError) as error:
                log(f"{path} is left out: {sentence(error)}")
            else:
                self._orders[order.number] = order
        self._thread = threading.Thread(target=self._work, name="orders", daemon=True)

    def open(self) -> None:
        """Start painting."""
        self._thread.start()

    def close(self) -> bool:
        """Stop after the picture in hand, or drop it if it takes long; what is left resumes with
        the next start. Returns False if it cannot even be dropped."""
        with self._changed:
            self._closing = True
            watch = self._watch
            if watch is not None:
                watch.stopping.set()
            self._changed.notify_all()
        self._thread.join(timeout=_PATIENCE)
        if watch is not None and self._thread.is_alive():
            watch.drop()
            self._thread.join(timeout=5)
        return not self._thread.is_alive()

    def left(self) -> int:
        """How many orders are neither finished nor paused."""
        with self._changed:
            return sum(order.state in ("waiting", "running") for order in self._orders.values())

    def shown(self) -> list[dict[str, Any]]:
        """All orders, the latest first, as plain values."""
        with self._changed:
            return [self._shown(order) for _, order in sorted(self._orders.items(), reverse=True)]

    def get(self, number: int) -> Order:
        """The order of this number. Raises Refused."""
        with self._changed:
            if number not in self._orders:
                raise Refused(f"there is no order {number}", 404)
            return self._orders[number]

    def add(self, names: Sequence[str], choice: Choice, title: str) -> Order:
        """Queue an order. Raises UsageError or Refused if it cannot be done."""
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
        """Stop now; what is finished stays. Raises Refused."""
        self._stop(number, "canceled")

    def resume(self, number: int) -> None:
        """Continue an order that was stopped or has failed. Raises Refused."""
        with self._changed:
            order = self.get(number)
            if order.state == "running":
                order.wanted = None
            elif order.state in ("paused", "failed", "canceled"):
                order.state, order.why = "waiting", ""
            else:
                return
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

    def uses(self, name: str, painting: bool) -> bool:
        """Whether an unfinished order needs an upload: a photo or film, or a painting."""
        with self._changed:
            return any(
                name == order.choice.style if painting else name in order.names
                for order in self._orders.values()
                if order.state in _STOPPABLE
            )

    def interim(self, number: int) -> Path:
        """The picture so far of an order that is being painted, if the stylizer shows it."""
        return self._folder / f"{number:04d}.jpg"

    def output(self, order: Order) -> Path:
        """The folder of its results."""
        return self.results / order.folder

    def result(self, number: int, index: int) -> tuple[str, Path]:
        """The name of an upload, and its result. Raises Refused."""
        order = self.get(number)
        if not 0 <= index < len(order.results):
            raise Refused("there is no such result", 404)
        name, made = order.results[index]
        path, folder = self.output(order) / made, self.output(order).resolve()
        if folder not in path.resolve().parents or not path.exists():  # changed by hand
            raise Refused(f"{made} is no longer there", 404)
        return name, path

    def next_output(self, title: str) -> Path:
        """The folder of results if an order of this title were next."""
        with self._changed:
            return self.results / _folder(self._next_number(), title)

    def _next_number(self) -> int:
        """A number that no order and no folder of results has."""
        return 1 + max([*self._orders, *map(_number, self.results.iterdir())], default=0)

    def _stop(self, number: int, state: State) -> None:
        with self._changed:
            order = self.get(number)
            if order.state not in _STOPPABLE:
                raise Refused(f"this order is already {order.state}", 409)
            if order.state == "running" and self._watch is not None:
                order.wanted = state
                if state == "canceled":
                    self._watch.drop()
                else:
                    self._watch.stopping.set()
            else:
                order.state = state
            self._save(order)

    def _shown(self, order: Order) -> dict[str, Any]:
        interim = self.interim(order.number)
        version = 0
        if order.state == "running":
            with suppress(OSError):  # none yet
                version = interim.stat().st_mtime_ns
        live = ("wanted", "current", "place", "share", "text", "notes")
        return {
            **order.saved(),
            "state": order.state,
            **{name: getattr(order, name) for name in live},
            "folder": printable(str(self.output(order))),
            "interim": str(version) if version else "",
        }

    # -- the thread ---------------------------------------------------------------------------

    def _work(self) -> None:
        while started := self._next():
            order, watch = started
            why = self._paint(order, watch)
            with self._changed:
                if why or (order.failures and not order.results and not watch.interrupted):
                    order.state = "failed"
                else:
                    order.state = (order.wanted or "waiting") if watch.interrupted else "done"
                order.why, order.wanted, self._watch = why, None, None
                order.current, order.place, order.text, order.share = "", 0, "", 0.0
                try:
                    self._save(order)
                except Refused as error:  # the journal has its results all the same
                    self._log(str(error))
            with suppress(OSError):  # it does no harm
                self.interim(order.number).unlink(missing_ok=True)

    def _next(self) -> tuple[Order, _Watch] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self._first() is not None)
            order = self._first()
            if self._closing or order is None:
                return None
            order.state, order.wanted = "running", None
            order.failures, order.notes = [], []  # the run reports them again
            self._watch = _Watch(order, self.output(order))
            return order, self._watch

    def _first(self) -> Order | None:
        waiting = [n for n, order in self._orders.items() if order.state == "waiting"]
        return self._orders[min(waiting)] if waiting else None

    def _paint(self, order: Order, watch: _Watch) -> str:
        """Run the order. Returns why it failed as a whole, or ""."""
        from stylepipe.pipeline import run

        try:
            resolved, more = self._resolve(order.choice), {}
            if resolved.has("preview"):
                more = {"stylizer": {"preview": str(self.interim(order.number))}}
            settings, output = resolved.settings(self._plugins, more), self.output(order)
            inputs = tuple(self._inputs(order.names))
            # a preset, the environment or a network may have changed since the order was stopped
            job = Job(inputs, output, settings, skip_existing=True, **self._machine)
            run(job, self._plugins, watch)
        except StylepipeError as error:
            return str(error)
        except BaseException as error:  # a plugin may raise anything; the queue continues
            self._log("".join(traceback.format_exception(error)).rstrip())
            return sentence(error)
        return ""

    def _save(self, order: Order) -> None:
        """Raises Refused if it cannot be written."""
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
