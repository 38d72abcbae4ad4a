"""The three threads of a run, joined by queues that are bounded in bytes.

    reading thread: probe, decode, scene cuts, motion ──▶ calling thread: mask, stylize, composite
                                                 ──▶ writing thread: encode, commit

The stream carries values: the start of an item, its frames, its end or its failure. A broken file
therefore costs its own item only, and everything happens in the order of the items.
"""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylepipe import guard
from stylepipe.components import Reader, Sink, Writer
from stylepipe.errors import ItemError, SetupError, StylepipeError, sentence
from stylepipe.eta import pixels_of
from stylepipe.inhand import InHand
from stylepipe.inputs import probe
from stylepipe.journal import Journal, is_disk_trouble
from stylepipe.plan import begin
from stylepipe.queues import ByteQueue, Canceled
from stylepipe.types import Frame, Info, Item, Outcome

if TYPE_CHECKING:
    from stylepipe.film import Film, Link
    from stylepipe.report import Report
    from stylepipe.sampling import Sample
    from stylepipe.session import Session

_MOTION = 4 << 20
"""Bytes of a motion as a rule, which is found on scaled-down frames."""
_ENDS_ALL = (Canceled, SetupError, KeyboardInterrupt)
"""What ends a run. Whatever else a codec or plugin raises, even SystemExit, costs its item."""


@dataclass
class _Work:
    """An item on its way."""

    item: Item
    info: Info
    writer: Writer
    sink: Sink
    part: Path
    started: float
    frames: int = 0
    """Written so far, in this run."""
    dropped: bool = False
    """Set by whoever finds that the item cannot be finished: its other frames are left out."""
    ended: bool = False
    """Set by the writing thread, once."""


@dataclass
class _Picture:
    work: _Work
    frame: Frame
    link: Future[Link] | None = None
    """To the frame before, where that counts."""


@dataclass
class _End:
    """The item's last value. Without ``error`` and ``stopped`` all frames came before it."""

    item: Item
    work: _Work | None = None
    error: BaseException | None = None
    stopped: bool = False
    """The user interrupted; what is done stays in the work folder."""
    damage: str = ""
    """What is torn or missing in the source."""


_Message = _Work | _Picture | _End | None


class Stream:
    """One run over some items.

    ``tell`` is called in the calling thread for each item that ended, in order.
    """

    def __init__(
        self,
        session: Session,
        journal: Journal,
        hands: InHand,
        report: Report,
        tell: Callable[[Item, Outcome], None],
        abort_on_error: bool,
    ) -> None:
        """``session`` has opened all that works on the items."""
        self.settings, self.rule, self.device = session.settings, session.rule, session.device
        self.painter, self.memory = session.painter, session.memory
        self.missing = session.missing
        self.journal, self.hands, self.report, self.tell = journal, hands, report, tell
        self.abort_on_error = abort_on_error
        # Decoded and painted pictures wait in a queue each: a few are enough to keep all busy.
        limit = min(max(session.memory // 16, 4 << 20), 16 << 20)
        self.decoded: ByteQueue[_Message] = ByteQueue(limit)
        self.painted: ByteQueue[_Message] = ByteQueue(limit)
        self.outcomes: list[tuple[Item, Outcome]] = []
        self.begun: list[_Work] = []
        self.film: Film | None = None
        """The film in the calling thread's hand, where its frames depend on each other."""
        self._expected: list[Item] = []
        """Items of the run, but for those it may die of, until it was estimated what they take."""
        self.stopping = report.stopping
        self._caller = threading.current_thread()
        session.at_progress = self._tell_meanwhile  # a picture may take minutes
        self.fatal: BaseException | None = None

    def run(self, items: Sequence[Item], alone: Sequence[Item] = ()) -> bool:
        """Stream the items; raise what stopped the whole job, if anything did.

        ``alone``: then each of these while nothing else is in hand, as the process may die of it.
        Returns False if an item failed and the user wants no other.
        """
        self._expected = list(items)
        for group in (items, *([item] for item in alone)):
            if group and self.fatal is None:
                self._run(group)
        if self.fatal is not None and not isinstance(self.fatal, _Aborted):
            raise self.fatal
        return self.fatal is None

    def _run(self, items: Sequence[Item]) -> None:
        reading = threading.Thread(target=self._guarded, args=(self._read, items), name="reading")
        writing = threading.Thread(target=self._guarded, args=(self._write,), name="writing")
        with self._interruptible():
            try:
                reading.start()
                writing.start()
                self._paint()
                reading.join()
                writing.join()
            except Canceled:
                pass
            except BaseException as error:
                self._stop_all(error)
        # Ctrl-C is the default again; the threads leave at their next touch of a queue.
        reading.join()
        writing.join()
        for work in self.begun:
            self._give_up(work)
        self._tell_outcomes()

    def _guarded(self, work: Callable[..., None], *args: Any) -> None:
        try:
            work(*args)
        except Canceled:
            pass
        except BaseException as error:  # whatever ends a thread must end the run, not hang it
            self._stop_all(error)

    def _stop_all(self, error: BaseException) -> None:
        self.fatal = self.fatal or error
        self.decoded.cancel()
        self.painted.cancel()

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """The first Ctrl-C finishes the picture in hand, the second aborts."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def on_signal(signum: int, frame: object) -> None:
            if self.stopping.is_set():
                raise KeyboardInterrupt
            self.stopping.set()
            # Not print: the signal may have come in the middle of one.
            with suppress(OSError):
                os.write(2, b"\nstopping; press Ctrl-C again to abort\n")

        before = signal.signal(signal.SIGINT, on_signal)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _tell_outcomes(self) -> None:
        while self.outcomes:
            self.tell(*self.outcomes.pop(0))

    def _tell_meanwhile(self) -> None:
        """Tell while a picture is painted: an error is none of the painter's, and ends the run."""
        if threading.current_thread() is not self._caller:
            return
        try:
            self._tell_outcomes()
        except Exception as error:
            self._stop_all(error)
            raise Canceled from error

    # -- reading thread ----------------------------------------------------------------------

    def _read(self, items: Sequence[Item]) -> None:
        flows = ThreadPoolExecutor(1, "flow")
        try:
            if len(self._expected) > 1:
                self.report.expect(pixels_of(self._expected, self._seen, self._sample))
                self._expected = []
            for item in items:
                if self.stopping.is_set():
                    self.report.interrupted = True
                    break
                work: _Work | None = None
                self.rule.begin()
                try:
                    with self.hands.hold("reading", item):
                        work, reader = self._begin(item)
                    self.decoded.put(work)
                    stopped = not self._read_frames(work, reader, flows)
                    damage = self.rule.summary()
                    self.decoded.put(_End(item, work, stopped=stopped, damage=damage))
                except _ENDS_ALL:
                    raise
                except BaseException as error:
                    self.decoded.put(_End(item, work, error))
            self.decoded.put(None)
        except BaseException:
            flows.shutdown(cancel_futures=True)
            raise
        flows.shutdown()  # the last pictures still wait for theirs

    @property
    def _sample(self) -> Sample | None:
        return self.settings.input.sample

    def _seen(self, item: Item) -> Info:
        """What is in an item, at a look ahead. Raises ItemError."""
        with self.hands.hold("reading", item):
            try:
                return probe(item.source, self.settings.readers, item.page)[1]
            except _ENDS_ALL:
                raise
            except BaseException as error:  # whatever is wrong is reported in its turn
                raise ItemError(sentence(error)) from error

    def _begin(self, item: Item) -> tuple[_Work, Reader]:
        started = time.perf_counter()
        reader, info, writer = begin(item, self.settings, self.missing)
        if self._expected == [item]:
            self.report.expect(pixels_of([item], lambda _: info, self._sample))
            self._expected = []
        folder = self.journal.work(item)
        part = folder / ("part" if item.folder else f"part{item.output.suffix}")
        result = info.enlarged(self.settings.stylizer.caps.scale)
        sink = guard.sink(writer.open_sink(item, result, part, folder), writer)
        work = _Work(item, info, writer, sink, part, started)
        self.begun.append(work)
        return work, reader

    def _read_frames(self, work: _Work, reader: Reader, flows: ThreadPoolExecutor) -> bool:
        """Put the frames into the queue; False if the user interrupted before the last."""
        linked = self._linked(work)
        first = self._first(work, reader) if linked else work.sink.done
        # One source frame before the first to be painted, to compare that with.
        frames = self._decoded(work, reader, max(0, first - linked))
        previous: Frame | None = next(frames, None) if linked and first else None
        clock = time.perf_counter()
        for frame in frames:
            self.report.spent("decode", time.perf_counter() - clock)
            if self.stopping.is_set():
                return False
            if work.dropped:
                return True
            link, nbytes = None, frame.nbytes
            if linked and previous is not None:
                link = flows.submit(self._link, work.item, frame, previous)
                nbytes += _MOTION  # which waits with the picture
            self.decoded.put(_Picture(work, frame, link), nbytes)
            previous = frame if linked else None
            clock = time.perf_counter()
        return True

    def _decoded(self, work: _Work, reader: Reader, start: int) -> Iterator[Frame]:
        frames: Iterator[Frame] | None = None
        after: Fraction | None = None
        item, info = work.item, work.info
        for index in itertools.count(start) if info.chosen is None else info.chosen[start:]:
            with self.hands.hold("reading", item):
                if frames is None and info.chosen is not None:
                    frames = iter(reader.pick(item, info, info.chosen[start:]))
                frames = frames or iter(reader.frames(item, info, start))
                frame = next(frames, None)
            if frame is None:
                return
            yield guard.frame(frame, index, after, info, reader)
            after = frame.time

    def _linked(self, work: _Work) -> bool:
        """Whether frames of the item depend on those before them."""
        of_many = self.painter.temporal is not None or self.painter.warmup != 0
        return of_many and work.info.kind == "video" and work.info.chosen is None

    def _first(self, work: _Work, reader: Reader) -> int:
        """The number of the first frame to be painted, be it only to warm up."""
        done, warmup = work.sink.done, self.painter.warmup
        if warmup != "shot":
            return max(0, done - warmup)
        from stylepipe.temporal.scenes import is_cut

        begin, previous = 0, None
        for frame in self._decoded(work, reader, 0) if done else ():
            if previous is not None and is_cut(frame.pixels, previous.pixels):
                begin = frame.index
            if frame.index >= done or self.stopping.is_set():
                break
            previous = frame
        return begin

    def _link(self, item: Item, frame: Frame, previous: Frame) -> Link:
        from stylepipe.film import link

        clock = time.perf_counter()
        with self.hands.hold("flow", item):
            found = link(frame, previous, self.painter.temporal)
        self.report.spent("flow", time.perf_counter() - clock)
        return found

    # -- calling thread ----------------------------------------------------------------------

    def _paint(self) -> None:
        pending: list[_Picture] = []
        while True:
            message = self.decoded.get()
            if pending and not self._fits(pending, message):
                self._paint_batch(pending)
                pending = []
            if isinstance(message, _Picture):
                work = message.work
                if self.stopping.is_set() and not work.dropped:
                    self._end(work, _End(work.item, work, stopped=True))
                if work.dropped:
                    continue
                if self.film is not None:
                    self._paint_next(self.film, message)
                elif self._batch_size(work) == 1:
                    self._paint_batch([message])
                else:
                    pending.append(message)
            elif isinstance(message, _Work):
                self._start(message)
            else:
                self._end_film(message)
                self.painted.put(message)
                if message is None:
                    return
            self._tell_outcomes()

    def _start(self, work: _Work) -> None:
        self.report.item_start(work.item, work.info, work.sink.done)
        self.film = None
        self._hand_on(work, lambda: self._reset(work.item))
        if self._linked(work):
            from stylepipe.film import Film
            from stylepipe.paint import Painter

            assert isinstance(self.painter, Painter)
            sink, memory = work.sink, self.memory // 2
            self.film = Film(self.painter, work.item, sink.done, sink.last, memory, self.stopping)

    def _reset(self, item: Item) -> tuple[Frame, ...]:
        self.painter.reset(item)
        return ()

    def _end(self, work: _Work, end: _End) -> None:
        work.dropped = True
        self.painted.put(end)

    def _batch_size(self, work: _Work) -> int:
        if self.device.type == "cpu" or work.info.kind == "image" or work.info.chosen is not None:
            return 1
        return self.settings.stylizer.caps.batch

    def _fits(self, pending: list[_Picture], message: _Message) -> bool:
        return (
            isinstance(message, _Picture)
            and message.work is pending[0].work
            and message.frame.pixels.shape == pending[0].frame.pixels.shape
            and len(pending) < self._batch_size(message.work)
        )

    def _paint_batch(self, pictures: Sequence[_Picture]) -> None:
        """Paint pictures of one item and hand them on."""
        work, frames = pictures[0].work, [picture.frame for picture in pictures]

        def paint() -> list[Frame]:
            if work.info.chosen is not None:  # frames that do not follow one another
                self.painter.reset(work.item)
            return self.painter.paint(work.item, frames)

        self._hand_on(work, paint)

    def _paint_next(self, film: Film, picture: _Picture) -> None:
        """Paint a film's next frame and hand on the results that are ready."""
        frame, link = picture.frame, picture.link
        self._hand_on(picture.work, lambda: film.add(frame, link.result() if link else None), link)

    def _end_film(self, message: _End | None) -> None:
        """After the last frame, hand on the results that waited for more."""
        film, self.film = self.film, None
        work = message.work if message else None
        if film is None or message is None or work is None or work.dropped:
            return
        if message.error is None and not message.stopped:
            self._hand_on(work, film.end_shot)

    def _hand_on(
        self, work: _Work, paint: Callable[[], Iterable[Frame]], link: Future[Link] | None = None
    ) -> None:
        """Have the painter or the film work, and hand on the results there are."""
        from stylepipe.film import Interrupted

        try:
            if link is not None:
                link.exception()  # waits, which is no work of the model
            clock = time.perf_counter()
            with self.hands.hold("painting", work.item):
                results = list(paint())
            self.report.spent("model", time.perf_counter() - clock)
        except _ENDS_ALL:
            raise
        except CancelledError:  # of the link: the reading thread ends the run
            raise Canceled from None
        except Interrupted:
            self._end(work, _End(work.item, work, stopped=True))
        except BaseException as error:
            self._end(work, _End(work.item, work, error))
        else:
            for result in results:
                self.painted.put(_Picture(work, result), result.nbytes)
            self.report.frame_done(work.item, len(results))

    # -- writing thread ----------------------------------------------------------------------

    def _write(self) -> None:
        while True:
            message = self.painted.get()
            if message is None:
                return
            if isinstance(message, _Picture) and not message.work.ended:
                with self.hands.hold("writing", message.work.item):
                    self._write_frame(message.work, message.frame)
            elif isinstance(message, _End):
                with self.hands.hold("writing", message.item):
                    self._finish(message)

    def _write_frame(self, work: _Work, frame: Frame) -> None:
        clock = time.perf_counter()
        try:
            work.sink.write(frame)
            work.frames += 1
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            work.dropped = True
            self._finish(_End(work.item, work, error))
        self.report.spent("encode", time.perf_counter() - clock)

    def _finish(self, end: _End) -> None:
        """Commit an item or give it up; of several ends of one item the first counts."""
        work, error = end.work, end.error
        if work is None:
            self.journal.keep(end.item)
            self._failed(end.item, error or ItemError("it could not be opened"))
            return
        if work.ended:
            return
        work.ended = True
        # A photo whose one frame was painted before the interruption is complete.
        stopped = end.stopped and not (work.info.kind == "image" and work.frames)
        if error is None and not stopped:
            error = self._commit(work, end.damage)
        self.begun.remove(work)
        if error is None and not stopped:
            seconds = time.perf_counter() - work.started
            outcome = Outcome("done", "", work.frames, seconds, end.damage)
            self.outcomes.append((work.item, outcome))
            return
        self._give_up(work)
        if stopped:
            self.report.interrupted = True
        if error is not None:
            self._failed(work.item, error, work)

    def _commit(self, work: _Work, damage: str) -> BaseException | None:
        clock = time.perf_counter()
        try:
            if work.frames + work.sink.done == 0:
                raise ItemError("it has no frames")
            work.sink.close()
            guard.written(work.part, work.writer)
            self.journal.commit(work.item, work.part, damage)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return error
        finally:
            self.report.spent("encode", time.perf_counter() - clock)
        return None

    def _give_up(self, work: _Work) -> None:
        """Abort the sink; the frames of a film are kept, for they may serve the next run."""
        try:
            work.sink.abort()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a full disk may well fail again: the first error counts
            self.report.debug(f"{work.item.source}: {sentence(error)}")
        if work.info.kind == "image":
            self.journal.discard(work.item)
        else:
            self.journal.keep(work.item)

    def _failed(self, item: Item, error: BaseException, work: _Work | None = None) -> None:
        if is_disk_trouble(error):
            where = item.output.parent
            raise SetupError(f"cannot go on writing to {where}: {sentence(error)}") from error
        if not isinstance(error, StylepipeError):
            self.report.debug("".join(traceback.format_exception(error)))
        frames, seconds = 0, 0.0
        if work is not None:
            frames, seconds = work.frames, time.perf_counter() - work.started
        outcome = replace(self.rule.ended_by(error), frames=frames, seconds=seconds)
        if not isinstance(error, StylepipeError) and (who := self._blamed(error)):
            why = f"{who} raised {outcome.message}; -v shows the traceback"
            outcome = replace(outcome, message=why)
        self.outcomes.append((item, outcome))
        if outcome.status == "skipped":
            self.journal.discard(item)
        elif self.abort_on_error:
            raise _Aborted

    def _blamed(self, error: BaseException) -> str | None:
        settings = self.settings
        maskers = [masker for masker, _ in settings.maskers]
        regional = [region.stylizer for region in settings.regions if region.stylizer]
        painting = (*settings.painting, *maskers, *regional)
        parts = (*settings.readers, *settings.writers, *painting)
        return guard.blamed(error, parts)


class _Aborted(Exception):
    """An item failed, and the job stops at the first failure."""
