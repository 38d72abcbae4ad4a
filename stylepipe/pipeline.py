"""``run(job)``: files stream through reader, masker, stylizer and writer, in order.

Three threads work at once, joined by queues that are bounded in bytes::

    reading thread: probe, decode, optical flow ──▶ calling thread: mask, stylize, composite
                                                 ──▶ writing thread: encode, commit

The stream carries values: the start of an item, its frames, its end or its failure. A broken file
therefore costs its own item only, and everything happens in the order of the items.
"""

from __future__ import annotations

import signal
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from stylepipe.components import Component, Context, Reader, Sink, StyleRef, Stylizer
from stylepipe.errors import ItemError, SetupError, StylepipeError, UsageError
from stylepipe.inputs import find_items, is_single_output, parse_styles, readers_for, writer_for
from stylepipe.journal import Journal, is_disk_trouble, settings_fingerprint
from stylepipe.queues import ByteQueue, Cancelled
from stylepipe.types import Frame, Info, Item, Outcome
from stylepipe.version import __version__

if TYPE_CHECKING:
    from stylepipe.device import Device
    from stylepipe.plugins import Plugins
    from stylepipe.presets import Settings
    from stylepipe.report import Report
    from stylepipe.temporal.guide import Motion, TemporalGuide


@dataclass(frozen=True)
class Job:
    """Settings, inputs and an output: all that :func:`run` needs."""

    inputs: tuple[Path, ...]
    output: Path
    """A folder; or a file, if there is one input file and the suffix can be written."""
    settings: Settings
    plugins: Plugins
    device: str = "auto"
    precision: str = "auto"
    memory: int | None = None
    """Bytes of working memory; None takes half of what is free."""
    on_error: Literal["skip", "abort"] = "skip"
    overwrite: bool = False
    skip_existing: bool = False
    limit: int | None = None
    dry_run: bool = False


# -- the values in the stream ---------------------------------------------------------------


@dataclass
class _Work:
    """An item on its way."""

    item: Item
    info: Info
    sink: Sink
    part: Path
    started: float
    frames: int = 0
    dropped: bool = False
    """Set by whoever finds that the item has failed: its remaining frames are not worth doing."""
    ended: bool = False
    """Set by the writing thread, once."""


@dataclass
class _Picture:
    work: _Work
    frame: Frame
    motion: Future[Motion] | None = None


@dataclass
class _End:
    """The item's last value. Without ``error`` all frames came before it."""

    item: Item
    work: _Work | None = None
    error: BaseException | None = None
    stopped: bool = False
    """The user interrupted; what is done stays in the work folder."""
    unreadable: bool = False
    """The error lies in the source: what is done of it is of no use."""


_MOTION = 4 << 20
"""Bytes of a Motion at most, as flow is found on scaled-down frames."""
_Message = _Work | _Picture | _End | None


def run(job: Job, report: Report) -> Report:
    """Do the job and return the report, which owns the exit code.

    Raises NoInputError, UsageError or SetupError before anything is written if the job as a whole
    cannot be done. Items that fail are told to the report and to the plugins, in order.
    """
    settings = job.settings
    items = find_items(job.inputs, job.output, settings, job.limit)
    single = is_single_output(job.inputs, job.output, settings.writers)
    fingerprint = settings_fingerprint(settings.describe(), __version__)
    journal = Journal(job.output, single, fingerprint)
    todo, kept = _plan(items, journal, job)
    job.plugins.job_start(job)
    if job.dry_run:
        for item in items:
            report.planned(item, kept[item.index].status if item.index in kept else "do")
        return report
    report.job_start(len(items))
    try:
        _tell(job, report, [(item, kept[item.index]) for item in items if item.index in kept])
        if todo:
            with ExitStack() as stack:
                journal.open()
                stack.callback(journal.close)
                _Run(job, report, journal, stack).stream(todo)
        report.job_done()
    finally:
        report.close()
        job.plugins.job_done(job, report)
    return report


def _plan(
    items: Sequence[Item], journal: Journal, job: Job
) -> tuple[list[Item], dict[int, Outcome]]:
    """Split the items into those to do and those whose result is already there."""
    states = {item.index: journal.state(item) for item in items}
    foreign = [i for i in items if states[i.index] == "foreign"]
    if foreign and not (job.overwrite or job.skip_existing):
        raise UsageError(
            f"{foreign[0].output} exists and is not known to come from these settings"
            + (f" (and {len(foreign) - 1} more)" if len(foreign) > 1 else "")
            + "; pass --overwrite to replace, --skip-existing to keep, or choose another --output"
        )
    kept: dict[int, Outcome] = {}
    for item in items:
        state = states[item.index]
        if state == "complete" and not job.overwrite:
            kept[item.index] = Outcome("skipped", "already done")
        elif state != "absent" and job.skip_existing:
            kept[item.index] = Outcome("skipped", "exists")
    return [i for i in items if i.index not in kept], kept


def _tell(job: Job, report: Report, outcomes: Sequence[tuple[Item, Outcome]]) -> None:
    for item, outcome in outcomes:
        report.item_done(item, outcome)
        job.plugins.item_done(job, item, outcome)


class _Run:
    """The three threads of one run and what they share."""

    def __init__(self, job: Job, report: Report, journal: Journal, stack: ExitStack) -> None:
        from stylepipe.device import pick
        from stylepipe.memory import available_memory
        from stylepipe.paint import Painter

        self.job, self.report, self.journal = job, report, journal
        self.settings = settings = job.settings
        self.device: Device = pick(job.device, job.precision)
        self.memory = job.memory or available_memory() // 2
        context = Context(self.device, self.memory, report.log)
        optional = [c for c in (settings.masker, settings.flow) if c is not None]
        for component in (*settings.readers, *settings.writers, *optional, settings.stylizer):
            self._open(component, context, stack)
        settings.stylizer.prepare(_styles(settings.stylizer))
        self.guide: TemporalGuide | None = None
        if settings.flow is not None:
            from stylepipe.temporal.guide import TemporalGuide

            self.guide = TemporalGuide(settings.flow, settings.flow.options.blend)
        self.painter = Painter(settings, self.device, self.guide)
        # Decoded pictures wait in two queues; an eighth of the memory is plenty for both.
        limit = min(max(self.memory // 16, 32 << 20), 256 << 20)
        self.decoded: ByteQueue[_Message] = ByteQueue(limit)
        self.painted: ByteQueue[_Message] = ByteQueue(limit)
        self.outcomes: list[tuple[Item, Outcome]] = []
        self.begun: list[_Work] = []
        self.stopping = threading.Event()
        self.fatal: BaseException | None = None

    @staticmethod
    def _open(component: Component, context: Context, stack: ExitStack) -> None:
        stack.callback(component.close)
        component.open(context)

    def stream(self, items: Sequence[Item]) -> None:
        """Stream the items; raise what stopped the whole job, if anything did."""
        reading = threading.Thread(target=self._guarded, args=(self._read, items), name="reading")
        writing = threading.Thread(target=self._guarded, args=(self._write,), name="writing")
        with self._interruptible():
            reading.start()
            writing.start()
            try:
                self._paint()
            except Cancelled:
                pass
            except BaseException as error:
                self._stop_all(error)
            finally:
                reading.join()
                writing.join()
                for work in self.begun:
                    work.sink.abort()
        self._tell_outcomes()
        if isinstance(self.fatal, _Aborted):
            self.report.log("stopped at the first failure (--on-error abort)")
        elif self.fatal is not None:
            raise self.fatal

    def _guarded(self, work: Any, *args: Any) -> None:
        try:
            work(*args)
        except Cancelled:
            pass
        except BaseException as error:  # whatever ends a thread must end the run, not hang it
            self._stop_all(error)

    def _stop_all(self, error: BaseException) -> None:
        self.fatal = self.fatal or error
        self.decoded.cancel()
        self.painted.cancel()

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """The first Ctrl-C drains what is in hand, the second aborts."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def on_signal(signum: int, frame: object) -> None:
            if self.stopping.is_set():
                raise KeyboardInterrupt
            self.stopping.set()
            self.report.interrupted = True
            self.report.log("finishing what is in hand; press Ctrl-C again to abort")

        before = signal.signal(signal.SIGINT, on_signal)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _tell_outcomes(self) -> None:
        outcomes, self.outcomes = self.outcomes, []
        _tell(self.job, self.report, outcomes)

    # -- reading thread ----------------------------------------------------------------------

    def _read(self, items: Sequence[Item]) -> None:
        with ThreadPoolExecutor(1, "flow") as flows:
            for item in items:
                if self.stopping.is_set():
                    break
                work: _Work | None = None
                try:
                    work, reader = self._begin(item)
                    self.decoded.put(work)
                    complete = self._read_frames(work, reader, flows)
                    self.decoded.put(_End(item, work, stopped=not complete))
                except (Cancelled, UsageError, SetupError):
                    raise
                except Exception as error:  # a codec or plugin may raise anything for one file
                    self.decoded.put(_End(item, work, error, unreadable=True))
            self.decoded.put(None)

    def _begin(self, item: Item) -> tuple[_Work, Reader]:
        started = time.perf_counter()
        reader, info = self._probe(item)
        writer = writer_for(info.kind, item.output, self.settings.writers)
        if writer is None:
            able = [s for w in self.settings.writers if w.kind == info.kind for s in w.patterns]
            raise ItemError(
                f"cannot write {'a video' if info.kind == 'video' else 'a picture'} as "
                f"{item.output.suffix}; pass --format with one of: {' '.join(able)}"
            )
        folder = self.journal.work(item)
        part = folder / f"part{item.output.suffix}"
        work = _Work(item, info, writer.open_sink(item, info, part, folder), part, started)
        self.begun.append(work)
        return work, reader

    def _probe(self, item: Item) -> tuple[Reader, Info]:
        if not item.source.is_file():
            raise ItemError("the file is gone")
        for reader in readers_for(item.source, self.settings.readers):
            info = reader.probe(item.source)
            if info is not None:
                return reader, info
        raise ItemError(f"no reader knows what is in this {item.source.suffix or 'file'}")

    def _read_frames(self, work: _Work, reader: Reader, flows: ThreadPoolExecutor) -> bool:
        """Put the frames into the queue; False if the user interrupted before the last."""
        guided = self.guide is not None and work.info.kind == "video"
        done = work.sink.done
        # A guided resume needs one source frame before the first: flow leads from it to that.
        frames = reader.frames(work.item, work.info, max(0, done - guided))
        previous: Frame | None = next(frames, None) if guided and done else None
        clock = time.perf_counter()
        for frame in frames:
            self.report.spent("decode", time.perf_counter() - clock)
            if work.dropped:
                return True
            motion, nbytes = None, frame.nbytes
            if guided and previous is not None:
                motion = flows.submit(self._advance, frame, previous)
                nbytes += _MOTION  # which waits with the picture
            self.decoded.put(_Picture(work, frame, motion), nbytes)
            previous = frame
            if self.stopping.is_set() and work.info.kind == "video":
                return False
            clock = time.perf_counter()
        return True

    def _advance(self, frame: Frame, previous: Frame) -> Motion:
        assert self.guide is not None
        clock = time.perf_counter()
        motion = self.guide.advance(frame, previous)
        self.report.spent("flow", time.perf_counter() - clock)
        return motion

    # -- calling thread ----------------------------------------------------------------------

    def _paint(self) -> None:
        pending: list[_Picture] = []
        result: Frame | None = None
        while True:
            message = self.decoded.get()
            if pending and not self._fits(pending, message):
                result = self._paint_batch(pending)
                pending = []
            if isinstance(message, _Picture):
                if not message.work.dropped:
                    if message.motion is not None and result is None:
                        result = message.work.sink.last
                    if message.motion is not None or self._batch_size(message.work) == 1:
                        result = self._paint_batch([message], result)
                    else:
                        pending.append(message)
                continue
            if isinstance(message, _Work):
                result = None
                self._start(message)
            self.painted.put(message)
            self._tell_outcomes()
            if message is None:
                return

    def _start(self, work: _Work) -> None:
        self.report.item_start(work.item, work.info, work.sink.done)
        self.settings.stylizer.reset(work.item)

    def _batch_size(self, work: _Work) -> int:
        if self.device.type == "cpu" or self.guide is not None or work.info.kind == "image":
            return 1
        return self.settings.stylizer.caps.batch

    def _fits(self, pending: list[_Picture], message: _Message) -> bool:
        return (
            isinstance(message, _Picture)
            and message.work is pending[0].work
            and message.frame.pixels.shape == pending[0].frame.pixels.shape
            and len(pending) < self._batch_size(message.work)
        )

    def _paint_batch(
        self, pictures: Sequence[_Picture], previous: Frame | None = None
    ) -> Frame | None:
        """Paint pictures of one item, hand them on, and return the last result."""
        work = pictures[0].work
        try:
            motion = pictures[0].motion.result() if pictures[0].motion is not None else None
            clock = time.perf_counter()
            results = self.painter.paint(work.item, [p.frame for p in pictures], motion, previous)
            self.report.spent("model", time.perf_counter() - clock)
        except (Cancelled, UsageError, SetupError):
            raise
        except Exception as error:  # the stylizer is a plugin: its bug costs this item only
            work.dropped = True
            self.painted.put(_End(work.item, work, error))
            return None
        for picture, result in zip(pictures, results, strict=True):
            self.painted.put(_Picture(picture.work, result), result.nbytes)
        self.report.frame_done(len(results))
        return results[-1]

    # -- writing thread ----------------------------------------------------------------------

    def _write(self) -> None:
        while True:
            message = self.painted.get()
            if message is None:
                return
            if isinstance(message, _Picture) and not message.work.dropped:
                self._write_frame(message.work, message.frame)
            elif isinstance(message, _End):
                self._finish(message)

    def _write_frame(self, work: _Work, frame: Frame) -> None:
        clock = time.perf_counter()
        try:
            work.sink.write(frame)
            work.frames += 1
        except Exception as error:  # a codec or plugin may raise anything for one file
            work.dropped = True
            self._finish(_End(work.item, work, error))
        self.report.spent("encode", time.perf_counter() - clock)

    def _finish(self, end: _End) -> None:
        """Commit an item or give it up; of several ends of one item the first counts."""
        work, error = end.work, end.error
        if work is None:
            self._failed(end.item, error or ItemError("it could not be opened"))
            return
        if work.ended:
            return
        work.ended = True
        if error is None and not end.stopped:
            error = self._commit(work)
        if error is None and not end.stopped:
            seconds = time.perf_counter() - work.started
            self.outcomes.append((work.item, Outcome("done", "", work.frames, seconds)))
        else:
            work.sink.abort()
        self.begun.remove(work)
        if error is not None:
            # The frames of a film that could not be painted or written may serve the next run.
            if end.unreadable or work.info.kind == "image":
                self.journal.discard(work.item)
            self._failed(work.item, error, work)

    def _commit(self, work: _Work) -> Exception | None:
        clock = time.perf_counter()
        try:
            if work.frames + work.sink.done == 0:
                raise ItemError("it has no frames")
            work.sink.close()
            self.journal.commit(work.item, work.part)
        except Exception as error:  # a codec or plugin may raise anything for one file
            return error
        finally:
            self.report.spent("encode", time.perf_counter() - clock)
        return None

    def _failed(self, item: Item, error: BaseException, work: _Work | None = None) -> None:
        if is_disk_trouble(error):
            raise SetupError(f"cannot go on writing to {self.job.output}: {_sentence(error)}")
        if not isinstance(error, StylepipeError):
            self.report.debug("".join(traceback.format_exception(error)))
        frames, seconds = 0, 0.0
        if work is not None:
            frames, seconds = work.frames, time.perf_counter() - work.started
        self.outcomes.append((item, Outcome("failed", _sentence(error), frames, seconds)))
        if self.job.on_error == "abort":
            raise _Aborted


def _styles(stylizer: Stylizer) -> list[StyleRef]:
    """The styles the user asked for, checked against what the stylizer can take."""
    styles, caps = parse_styles(stylizer.options.style), stylizer.caps
    if caps.needs_style and not styles:
        known = ", ".join(s.name for s in stylizer.styles())
        raise UsageError(
            f"stylizer {stylizer.name!r} needs a style; pass --style"
            + (f" with a file or one of: {known}" if known else " with a file")
        )
    if caps.max_styles is not None and len(styles) > caps.max_styles:
        raise UsageError(
            f"stylizer {stylizer.name!r} takes at most {caps.max_styles} "
            f"style{'s' if caps.max_styles != 1 else ''} at once, not {len(styles)}"
        )
    return styles


class _Aborted(Exception):
    """An item failed and the user wants no other."""


def _sentence(error: BaseException) -> str:
    if isinstance(error, StylepipeError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
