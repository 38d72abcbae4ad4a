"""Films measured beside their source, frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from stylepipe.errors import ItemError
from stylepipe.film_reading import Film
from stylepipe.temporal.dis import Search
from stylepipe.temporal.metrics import (
    Step,
    Texture,
    flicker,
    pair_error,
    sharpness,
    step_between,
    texture,
)
from stylepipe.temporal.scenes import is_cut
from stylepipe.types import Frame

if TYPE_CHECKING:
    import torch

NAN = float("nan")
SHOT_BEGINS = 5
"""Frames at the beginning of each shot whose sharpness is listed: methods pop there."""


@dataclass(frozen=True)
class FrameMeasures:
    """One frame of a film. The measures of a pair belong to its later frame. nan: it has none."""

    number: int
    """Of the source's frame, as users count: see ``Frame.number``."""
    time: float
    """Seconds since the first frame of the source."""
    cut: bool
    """The source begins another scene; nothing is measured across a cut."""
    e_warp: float
    """Warping error with the frame before: RGB in [0, 1], squared."""
    sharpness: float
    """Variance of the Laplacian of the luminance, 0 to 255."""
    style_distance: float
    """Relative distance of Gram matrices to the same frame painted alone; nan for that frame."""
    flicker: float
    """Mean absolute change, in levels of 255, where the source is static."""
    texture_fixed: float
    """Where the source moves: correlation of the fine texture at the same place, -1 to 1."""
    texture_along: float
    """The same along the flow of the source."""


@dataclass
class FilmMeasures:
    """What was found of a film: its frames by their positions in the source, from 0."""

    path: Path
    frames: dict[int, FrameMeasures] = field(default_factory=dict)

    @property
    def pairs(self) -> list[int]:
        """The later frames of the pairs that were measured."""
        return [n for n, frame in self.frames.items() if not np.isnan(frame.e_warp)]

    def mean(self, name: str) -> float:
        """Mean of a field of FrameMeasures over the frames that have it; nan if none has."""
        return mean(getattr(frame, name) for frame in self.frames.values())


@dataclass(frozen=True)
class Comparison:
    """A film beside its source, and beside the same painted frame by frame, if there is one."""

    film: FilmMeasures
    source: FilmMeasures
    alone: FilmMeasures | None

    @property
    def source_e_warp(self) -> float:
        """E_warp of the source over the same pairs."""
        return mean(self.source.frames[n].e_warp for n in self.film.pairs)

    @property
    def excess(self) -> float:
        """E_warp above that of the source."""
        return self.film.mean("e_warp") - self.source_e_warp

    @property
    def excess_gone(self) -> float:
        """1 less the excess over that of the film painted frame by frame; nan without one."""
        if self.alone is None:
            return NAN
        both = sorted({*self.film.pairs} & {*self.alone.pairs})
        own, alone, source = (
            mean(film.frames[n].e_warp for n in both)
            for film in (self.film, self.alone, self.source)
        )
        return 1 - (own - source) / (alone - source) if alone != source else NAN

    def sharpness_kept(self, number: int) -> float:
        """Sharpness of a frame over that of the same painted alone; nan where that is 0."""
        alone = self.alone.frames.get(number) if self.alone else None
        if alone is None or alone.sharpness == 0:
            return NAN
        return self.film.frames[number].sharpness / alone.sharpness

    @property
    def kept(self) -> list[float]:
        """Sharpness kept, of each frame that has a value."""
        found = map(self.sharpness_kept, self.film.frames)
        return [value for value in found if not np.isnan(value)]

    @property
    def kept_in_shots(self) -> list[float]:
        """Sharpness kept of the first, second ... frame of a shot, mean over the shots."""
        ages: list[list[float]] = [[] for _ in range(SHOT_BEGINS)]
        begun = 0
        for number, frame in self.source.frames.items():
            begun = number if frame.cut else begun
            if number - begun < SHOT_BEGINS and number in self.film.frames:
                ages[number - begun].append(self.sharpness_kept(number))
        return [mean(values) for values in ages]


@dataclass(frozen=True)
class _Moment:
    """A frame of the source, and how it follows from the one before."""

    number: int
    time: Fraction
    tolerance: Fraction
    """Seconds by which the time of the same frame may differ in another film."""
    frame: Frame
    cut: bool
    step: Step | None
    """From the frame before; None for the first frame of a scene."""


def measure_films(
    source: Film,
    results: Sequence[Film],
    alone: Film | None = None,
    *,
    max_side: int | None = None,
    limit: int | None = None,
    failed: Callable[[ItemError], None],
) -> list[Comparison]:
    """Measure the source, then ``alone`` (painted frame by frame), then each of the results.

    Films are read once and together; two frames of each are held. Those longer than ``max_side``
    pixels are scaled down before, and all to the source's size; of the source ``limit`` frames at
    most are looked at, and none after the last of the results. A result that cannot be read to its
    end, or has too few frames at the source's times, is reported to ``failed`` and left out.
    Raises ItemError, which names the file, where the source or ``alone`` cannot be measured.
    """
    own, base = _Meter(source), _Meter(alone) if alone else None
    meters = [_Meter(result) for result in results]
    style = _Style() if alone else None
    for moment in _moments(source, max_side, limit):
        if (base is None or base.film.ended()) and _ended(meters, failed):
            source.tell(
                f"continues after the last frame of its results: measured up to "
                f"{float(moment.time):.3f} s"
            )
            break
        own.add(moment, moment.frame)
        if base and style:
            painted = base.look(moment)
            style.aim(painted)
            if painted:
                base.add(moment, painted)
        for meter in list(meters):
            try:
                frame = meter.look(moment)
            except ItemError as error:
                meters.remove(meter)
                failed(error)
                continue
            if frame:
                meter.add(moment, frame, style.distance(frame) if style else NAN)
    for meter in (own, base) if base else (own,):
        meter.finish(own, limit is None)
    compared = [own.found, *([base.found] if base else [])]
    for meter in meters:
        try:
            meter.finish(own, limit is None)
        except ItemError as error:
            failed(error)
        else:
            compared.append(meter.found)
    return [Comparison(film, own.found, base.found if base else None) for film in compared]


class _Meter:
    """Measures the frames of one film."""

    def __init__(self, film: Film) -> None:
        self.film, self.found = film, FilmMeasures(film.path)
        self._before: tuple[int, Frame] | None = None

    def look(self, moment: _Moment) -> Frame | None:
        """The film's frame of a moment, in the size of the source's. Raises ItemError."""
        frame = self.film.at(moment.time, moment.tolerance)
        return frame and _scaled(frame, *moment.frame.pixels.shape[1::-1])

    def add(self, moment: _Moment, frame: Frame, style_distance: float = NAN) -> None:
        """Measure a frame, and the pair it makes with the one before, if that was there."""
        error, flickering, fine = NAN, NAN, Texture(NAN, NAN)
        if moment.step and self._before and self._before[0] == moment.number - 1:
            pair = moment.step, self._before[1], frame
            error, flickering, fine = pair_error(*pair), flicker(*pair), texture(*pair)
        self._before = moment.number, frame
        self.found.frames[moment.number] = FrameMeasures(
            number=moment.frame.number,
            time=float(moment.time),
            cut=moment.cut,
            e_warp=error,
            sharpness=sharpness(frame),
            style_distance=style_distance,
            flicker=flickering,
            texture_fixed=fine.fixed,
            texture_along=fine.along,
        )

    def finish(self, source: _Meter, whole: bool) -> None:
        """Report what was left out. Raises ItemError for a film without any pair to measure."""
        count, wanted = len(self.found.frames), len(source.found.frames)
        if self is not source:
            self.film.tell_left_out(wanted, whole)
        if self.found.pairs:
            return
        if self is source:
            problem = (
                "it has one frame" if count == 1 else "no two of its frames are of one scene"
            ) + ", and measures over time need two"
        else:
            problem = (
                f"{count} of its frames are at times of the source's {wanted}, and no two of them "
                "follow one another in one scene; is it a result of this film?"
            )
        raise ItemError(f"{self.film.path}: {problem}")


def _ended(meters: list[_Meter], failed: Callable[[ItemError], None]) -> bool:
    """Whether no film has a frame left. One that cannot be read on is reported, and removed."""
    for meter in list(meters):
        try:
            if not meter.film.ended():
                return False
        except ItemError as error:
            meters.remove(meter)
            failed(error)
    return True


class _Style:
    """Style distances by the encoder in the package; only this needs torch."""

    def __init__(self) -> None:
        from stylepipe.encoders import open_encoder

        self._encoder = open_encoder("compact")
        self._least = max(map(self._encoder.least_side, self._encoder.default_style))
        self._wanted: list[torch.Tensor] | None = None

    def aim(self, reference: Frame | None) -> None:
        """Measure what follows against this frame."""
        self._wanted = self._grams(reference) if reference else None

    def distance(self, frame: Frame) -> float:
        """To the reference; nan without one, and for frames too small for the encoder."""
        from stylepipe.nst.distance import style_distance

        found = self._grams(frame) if self._wanted else None
        return float(style_distance(found, self._wanted)) if found and self._wanted else NAN

    def _grams(self, frame: Frame) -> list[torch.Tensor] | None:
        import torch

        from stylepipe.nst.distance import gram_matrices
        from stylepipe.tensors import to_tensor

        if min(frame.pixels.shape[:2]) < self._least:
            return None
        return gram_matrices(self._encoder, to_tensor([frame], torch.device("cpu")))


def mean(values: Iterable[float]) -> float:
    """The mean of those that are not nan; nan if all are."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else NAN


def _moments(source: Film, max_side: int | None, limit: int | None) -> Iterator[_Moment]:
    search = Search()
    before: Frame | None = None
    gap: Fraction | None = None
    timed = next(source.frames, None)
    number = 0
    while timed and number != limit:
        (time, frame), timed = timed, next(source.frames, None)
        gaps = [g for g in (gap, timed[0] - time if timed else None) if g]
        gap = gaps[-1] if gaps else None
        frame = _scaled(frame, *_size(frame, max_side))
        cut = before is not None and is_cut(frame.pixels, before.pixels)
        step = step_between(before, frame, search) if before is not None and not cut else None
        yield _Moment(number, time, min(gaps, default=Fraction(0)) / 2, frame, cut, step)
        before, number = frame, number + 1


def _size(frame: Frame, max_side: int | None) -> tuple[int, int]:
    """Width and height at which films are measured."""
    height, width = frame.pixels.shape[:2]
    scale = min(1.0, max_side / max(width, height)) if max_side else 1.0
    return max(1, round(width * scale)), max(1, round(height * scale))


def _scaled(frame: Frame, width: int, height: int) -> Frame:
    """The picture alone, in this size."""
    h, w = frame.pixels.shape[:2]
    pixels = frame.pixels
    if (w, h) != (width, height):
        how = cv2.INTER_AREA if w > width else cv2.INTER_CUBIC
        pixels = cv2.resize(pixels, (width, height), interpolation=how)
    return Frame(pixels, index=frame.index, name=frame.name)
