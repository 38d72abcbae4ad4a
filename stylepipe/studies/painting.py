"""Paints small copies of photos in many variants, in memory."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from stylepipe.errors import ItemError, NoInputError, SetupError
from stylepipe.inputs import find_items, probe
from stylepipe.job import Settings
from stylepipe.media.encode import eight
from stylepipe.session import Log, Opener, Session
from stylepipe.studies.failures import reason
from stylepipe.types import Frame


@dataclass(frozen=True)
class Photo:
    """A photo, or the middle frame of a film, made small."""

    name: str
    frame: Frame
    """uint8."""


@dataclass(frozen=True)
class Machine:
    """Where to paint, as a Session takes it."""

    device: str = "auto"
    precision: str = "auto"
    memory: int | None = None


@dataclass(frozen=True)
class Painting:
    """What came out for one photo, or why nothing did."""

    picture: np.ndarray | None
    """HxWx3 of uint8."""
    failure: str
    seconds: float


def read_photos(
    inputs: Sequence[Path], output: Path, settings: Settings, side: int, most: int, log: Log
) -> list[Photo]:
    """The first ``most`` inputs, no side longer than ``side`` pixels. Those that cannot be read are
    told. Raises NoInputError where none can, UsageError as :func:`find_items` does."""
    found = find_items(inputs, output, settings, most)
    photos, reasons = [], []
    limit = settings.max_pixels
    with Opener(log=log, damaged=log, max_pixels=limit) as opener:
        opener.open(settings.readers)
        for item in found.items:
            try:
                reader, info = probe(item.source, settings.readers, item.page)
                frame = next(reader.frames(item, info, (info.frames or 1) // 2), None)
                if frame is None:
                    raise ItemError("it has no frame")
            except ItemError as error:
                reasons.append(f"{item.source}: {error}")
                continue
            name = item.relative.as_posix() + (f" {item.page}" if item.page else "")
            photos.append(Photo(name, small(frame, side)))
    for line in reasons:
        log(line)
    if not photos:
        raise NoInputError("none of the inputs can be read")
    return photos


def small(frame: Frame, side: int) -> Frame:
    """The frame in 8 bits, on white where it is transparent, no side longer than ``side``."""
    pixels = eight(frame.pixels)
    if frame.alpha is not None:
        alpha = eight(frame.alpha)[..., None].astype(np.float32) / 255
        pixels = np.rint(255 + (pixels.astype(np.float32) - 255) * alpha).astype(np.uint8)
    height, width = pixels.shape[:2]
    scale = min(1.0, side / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if size != (width, height):
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return Frame(np.ascontiguousarray(pixels))


def paintings(
    photos: Sequence[Photo],
    variants: Sequence[Settings],
    machine: Machine,
    log: Log,
    verbose: int = 0,
) -> Iterator[list[Painting]]:
    """For each of the settings all photos, painted; what fails is a painting with the reason.
    Raises SetupError where the machine lacks what all of them need, or the disk is full."""
    broken = 0
    for settings in variants:
        try:
            yield list(_painted(photos, settings, machine, log, verbose))
        except Exception as error:  # a plugin may raise anything for one variant
            why = reason(error, settings, verbose)
            broken += isinstance(error, SetupError)
            if broken == len(variants):
                raise
            yield [Painting(None, why, 0.0) for _ in photos]


def _painted(
    photos: Sequence[Photo], settings: Settings, machine: Machine, log: Log, verbose: int
) -> Iterator[Painting]:
    """Raises whatever opening the components does."""
    start = time.perf_counter()
    with Session(settings, log=log, **vars(machine)).prepare() as session:
        for photo in photos:
            picture, failure = None, ""
            try:
                painted = session.paint(photo.frame)
                picture = small(painted, max(photo.frame.pixels.shape)).pixels
            except Exception as error:  # a plugin may raise anything for one photo
                failure = reason(error, settings, verbose)
            now = time.perf_counter()
            yield Painting(picture, failure, now - start)
            start = now
