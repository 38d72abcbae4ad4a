"""What a run reports: progress bars and messages on stderr, JSON events on stdout, exit code."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter, defaultdict
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylepipe.errors import SetupError, StylepipeError, sentence
from stylepipe.eta import Eta, duration, elapsed, frames_of
from stylepipe.stdio import is_terminal, note, printable, tell
from stylepipe.texts import told_kinds
from stylepipe.types import Info, Item, Outcome

if TYPE_CHECKING:
    from tqdm import tqdm


_COUNTED = ("to do", "done", "skipped", "failed")
"""What the last line and the last event count; ``to do`` in a dry run only."""
PROGRESS_EVERY = 1.0
"""Seconds between two events of progress."""


class Report:
    """Counts outcomes and shows them. All methods may be called from any thread.

    ``json``: one JSON object a line on stdout for each event; ``event`` is its name, such as
    ``item_start`` or ``job_done``. While a stylizer takes long over a picture there is a
    ``progress`` every second or so, with ``source``, ``share`` (0..1 of the picture) and ``text``.
    If stdout or stderr is closed or full, the job continues.
    ``quiet``: errors only.
    ``bars``: progress bars; by default only when stderr is a terminal.
    """

    def __init__(
        self, *, json: bool = False, quiet: bool = False, verbose: int = 0, bars: bool | None = None
    ) -> None:
        self.counts: Counter[str] = Counter()
        """By status of the outcome; ``damaged`` counts all items whose source is damaged."""
        self.failures: list[tuple[Path, str]] = []
        """Sources that failed, and why, in one sentence each."""
        self.outcomes: list[tuple[Item, Outcome]] = []
        """How each item ended, in order."""
        self.damages: list[tuple[Path, str]] = []
        """Damaged sources, failed ones too, and what is torn or missing in each."""
        self.stages: dict[str, float] = defaultdict(float)
        """Seconds of work by stage: decode, flow, model, encode. Stages overlap."""
        self.stopping = threading.Event()
        """Set it, from any thread, to stop the job after the picture in hand, as Ctrl-C does."""
        self.interrupted: bool = False
        """The user stopped the job before all was done."""
        self.error: BaseException | None = None
        """What ended the job as a whole."""
        self.left_out: Counter[str] = Counter()
        """How many files of each kind were left out in folders: hidden, or read by no reader."""
        self._kept: Counter[str] = Counter()
        """Why items were skipped."""
        self.seconds: float = 0.0
        """How long the job took."""
        self.frames: int = 0
        """How many frames were painted."""
        self._unheard = False
        """Standard output could not be written, so that events were lost."""
        self._json = json
        self._quiet = quiet
        self.verbose = verbose
        if bars is None:
            bars = is_terminal(sys.stderr)
        self._show_bars = bars and not quiet
        self._start = time.perf_counter()
        self._files: tqdm[Any] | None = None
        self._frames: dict[int, tqdm[Any]] = {}
        self._steps: tqdm[Any] | None = None
        self._current: Item | None = None
        """The one being painted; the one before it may still be being written."""
        self._stage = ""
        """The prefix of progress messages."""
        self._eta = Eta()
        self._sizes: dict[int, int] = {}
        """Pixels per frame of the current items."""
        self._progress_told = float("-inf")
        self._guard = threading.RLock()

    @property
    def exit_code(self) -> int:
        """0 all done, 1 some items failed or are damaged, 130 interrupted, or as the error says.

        4 where all is done, but events could not be written.
        """
        if self.interrupted:
            return 130
        if self.error is not None:
            return self.error.exit_code if isinstance(self.error, StylepipeError) else 1
        if self.counts["failed"] or self.counts["damaged"]:
            return 1
        return SetupError.exit_code if self._unheard else 0

    def log(self, line: str) -> None:
        """Show one line to the user, unless quiet; a log file has it in any case."""
        (note if self._quiet else self._say)(printable(line))

    def debug(self, text: str) -> None:
        """Show a text of any number of lines if the user asked for details; a log file has it in
        any case."""
        (self._say if self.verbose else note)("\n".join(map(printable, text.splitlines())))

    def job_start(self, items: int) -> None:
        """The job has this many items."""
        self._start = time.perf_counter()
        self._event("job_start", items=items)
        if self._show_bars:
            from tqdm import tqdm

            self._files = tqdm(total=items, unit="file", dynamic_ncols=True, position=0)

    def planned(
        self,
        item: Item,
        outcome: Outcome | None,
        damage: str = "",
        story: str = "",
        info: Info | None = None,
    ) -> None:
        """A dry run sees that the item would end like this already; None: it would be done.

        ``damage``: what is torn or missing in the source. ``story``: what it did to an earlier
        run, so that it would come last. ``info``: its contents, if known.
        """
        action = outcome.status if outcome else "do"
        failed = action == "failed"
        message = outcome.message if outcome and failed else damage or story
        self.counts["to do" if action == "do" else action] += 1
        self._keep_why(outcome)
        if damage:
            self.counts["damaged"] += 1
            self.damages.append((item.source, damage))
        if failed:
            self.failures.append((item.source, message))
        note(printable(f"{action}: {item.source}: {message or item.output}"))
        if self._json:
            told = {"source": item.source, "output": item.output, "action": action}
            size: dict[str, Any] = (
                {} if info is None else {"width": info.width, "height": info.height}
            )
            if info is not None and info.kind == "video":
                size |= {"frames": frames_of(info), "duration": info.duration}
            self._event("planned", **told, message=message, **size)
        else:
            if info is not None and info.kind == "video" and not message:
                message = _size(info)
            words = (action, str(item.source), str(item.output), *([message] if message else []))
            print(*map(printable, words), sep="\t")

    def set_aside(self, item: Item, why: str) -> None:
        """The item comes last, alone, because of what happened with it before."""
        self.log(f"{item.source} {why}: it comes last, by itself")
        self._event("set_aside", source=item.source, reason=why)

    def item_start(self, item: Item, info: Info, done: int) -> None:
        """The item is about to be painted; ``done`` frames are from an earlier run."""
        total = info.frames
        with self._guard:
            self._sizes[item.index] = size = info.width * info.height
            self._eta.start(time.perf_counter(), done * size)
            self._current = item
            self._stage = ""
            self._close_steps()
        self._event(
            "item_start", source=item.source, output=item.output, frames=total, resumed=done
        )
        if self._show_bars and info.kind == "video":
            from tqdm import tqdm

            with self._guard:
                self._frames[item.index] = tqdm(
                    total=total,
                    initial=done,
                    unit="frame",
                    desc=printable(item.source.name),
                    dynamic_ncols=True,
                    leave=False,
                    position=1,
                )

    def expect(self, pixels: int | None) -> None:
        """The job will paint about so many pixels; None: unknown."""
        with self._guard:
            self._eta.expect(pixels)

    def frame_done(self, item: Item, count: int = 1) -> None:
        """``count`` frames of the item were painted."""
        with self._guard:
            self.frames += count
            pixels = count * self._sizes.get(item.index, 0)
            if found := self._eta.painted(pixels, time.perf_counter()):
                self._tell_eta(*found)
            if item.index in self._frames:
                self._frames[item.index].update(count)

    def stage(self, text: str) -> None:
        """Another part of the work on the item begins; "": there are no more parts."""
        self._stage = text
        if text:
            self.progress(0.0, "")

    def _tell_eta(self, seconds: float, left: float) -> None:
        words = f"about {duration(seconds)} in all"
        if self._files is not None:
            self._files.set_postfix_str(words)
        else:
            self.log(f"this will take {words}, {duration(left)} from now")
        self._event("estimate", seconds=round(seconds), left=round(left))

    def progress(self, share: float, text: str) -> None:
        """A stylizer that takes long has finished ``share``, 0..1, of its picture."""
        now = time.perf_counter()
        text = ": ".join(filter(None, (self._stage, text)))
        with self._guard:
            if self._current is not None and now >= self._progress_told + PROGRESS_EVERY:
                self._progress_told = now
                source = self._current.source
                self._event("progress", source=source, share=round(share, 4), text=text)
        if not self._show_bars:
            return
        from tqdm import tqdm

        with self._guard:
            if self._steps is None:
                layout = "{percentage:3.0f}%|{bar}| {elapsed}<{remaining} {postfix}"
                self._steps = tqdm(
                    total=1.0, bar_format=layout, dynamic_ncols=True, leave=False, position=2
                )
            self._steps.set_postfix_str(printable(text), refresh=False)
            self._steps.update(share - self._steps.n)
            if share >= 1:
                self._close_steps()

    def _close_steps(self) -> None:
        if self._steps is not None:
            self._steps.close()
            self._steps = None

    def item_done(self, item: Item, outcome: Outcome) -> None:
        """The item ended."""
        with self._guard:
            self.counts[outcome.status] += 1
            self._keep_why(outcome)
            self.outcomes.append((item, outcome))
            self._sizes.pop(item.index, None)
            if item == self._current:  # it may have failed midway
                self._close_steps()
            if item.index in self._frames:
                self._frames.pop(item.index).close()
            if self._files is not None:
                self._files.update()
            if outcome.damage:
                self.counts["damaged"] += 1
                self.damages.append((item.source, outcome.damage))
            if outcome.status == "failed":
                self.failures.append((item.source, outcome.message))
                self._say(printable(f"failed: {item.source}: {outcome.message}"))
            elif outcome.damage:
                left_out = "" if outcome.message != outcome.damage else ", left out"
                self._say(printable(f"damaged{left_out}: {item.source}: {outcome.damage}"))
            elif outcome.message:
                self.debug(f"{outcome.status}: {item.source}: {outcome.message}")
            else:
                note(printable(f"{outcome.status}: {item.source}: {item.output}"))
        self._event("item_done", source=item.source, output=item.output, **vars(outcome))

    def _keep_why(self, outcome: Outcome | None) -> None:
        """Note why an item is skipped, for the totals."""
        if outcome is not None and outcome.status == "skipped":
            self._kept["damaged" if outcome.damage == outcome.message else outcome.message] += 1

    def spent(self, stage: str, seconds: float) -> None:
        """``seconds`` of work went into a stage."""
        with self._guard:
            self.stages[stage] += seconds

    def job_done(self, place: Path | None = None) -> None:
        """Report the totals: what was done, how long it took, and in which place it is, if any."""
        self._finish()
        words = [f"{self.counts[k]} {k}" for k in _COUNTED if self.counts[k]]
        if self._kept:
            why = ", ".join(filter(None, self._kept))
            words = [f"{word} ({why})" if "skipped" in word else word for word in words]
        if self.interrupted:
            words.append("interrupted; run the same command again to resume")
        sum_ = ", ".join(words) or "nothing to do"
        if self.counts["damaged"]:
            sum_ += f"; {self.counts['damaged']} damaged"
        self.log(f"{sum_} ({elapsed(self.seconds)})" + (f": {place}" if place else ""))
        if number := sum(self.left_out.values()):
            self.log(
                f"{number} file{'s' * (number > 1)} left out, hidden or of kinds that are not "
                f"read: {told_kinds(self.left_out)}"
            )
        if self.stages:
            self.debug(
                "work by stage: " + ", ".join(f"{k} {v:.2f} s" for k, v in self.stages.items())
            )

    def job_failed(self, error: BaseException) -> None:
        """The job as a whole was ended by ``error``, which the caller will report."""
        self.error = error
        self.interrupted = self.interrupted or isinstance(error, KeyboardInterrupt)
        self._finish()

    def _finish(self) -> None:
        self.seconds = time.perf_counter() - self._start
        with self._guard:
            for bar in (self._steps, *self._frames.values(), self._files):
                if bar is not None:
                    bar.close()
            self._steps, self._frames, self._files = None, {}, None
        self._event(
            "job_done",
            **{k.replace(" ", "_"): self.counts[k] for k in (*_COUNTED, "damaged")},
            left_out=self.left_out,
            frames=self.frames,
            seconds=round(self.seconds, 3),
            stages={name: round(value, 3) for name, value in self.stages.items()},
            interrupted=self.interrupted,
            error=None if self.error is None or self.interrupted else sentence(self.error),
            exit_code=self.exit_code,
        )

    def _event(self, event: str, **values: Any) -> None:
        if not self._json:
            return
        with self._guard:
            try:
                print(json.dumps({"event": event, **values}, default=str), flush=True)
            except (OSError, ValueError) as error:  # nobody reads them; the job continues
                self._json, self._unheard = False, True
                why = sentence(error)
                self._say(f"error: events are lost, as standard output cannot be written: {why}")

    def _say(self, text: str) -> None:
        with self._guard:
            if self._files is None:
                tell(text)
            else:
                note(text)
                with suppress(OSError):  # the terminal is gone
                    self._files.write(text, file=sys.stderr)


def _size(info: Info) -> str:
    """The size of a film, as far as the container says."""
    frames = frames_of(info)
    words = [f"{frames} frame{'s' * (frames != 1)}"] if frames else []
    words.append(f"{info.width}x{info.height}")
    if info.duration is not None:
        words.append(f"{info.duration:.2f}".rstrip("0").rstrip(".") + " s")
    return ", ".join(words)
