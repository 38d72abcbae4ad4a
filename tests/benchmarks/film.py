"""Print how steady and how crisp films become: clips x stylizers x presets, and known motion.

    python tests/benchmarks/film.py CLIP... [--presets video-smooth] [--stylizers fast] [--quick]
        [--style NAME|FILE] [--side 480] [--frames 24] [--rounds 3] [--sheets FOLDER] [--rows FILE]

First table, for each clip and stylizer: frame by frame (alone), and with each preset. The columns
are those of `stylepipe measure`, times 1000 in E_warp and source; kept is the sharpness kept, mean
and worst frame; s/frame the median of --rounds whole runs that take turns, writing included, and
`x` that over alone.

--rows keeps its rows in a file: the same command, started again, goes on with the clip and stylizer
it was stopped at.

Second table, for each stylizer and preset, on the first frame of the first clip:

    pan, zoom    ideal: RMS difference, in levels of 255, of the results to the first one moved by
                 the motion itself, which is known; kept: sharpness over that of the first result,
                 of the second frame, the fifth and the last
    still        how many of its 300 frames (30 with --quick) differ from the second
    noise        a still with camera noise (sigma 2 levels): mean change from frame to frame, of the
                 result beside the source's own
    joined       two clips put together: largest difference of the second's frames to it alone

--sheets writes, for each clip and stylizer, frames side by side (frames), four times the difference
to the result before, moved along the flow (differences), and crops at 100 % (crops), labeled.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw

from stylepipe.api import convert
from stylepipe.film_measures import Comparison, measure_films
from stylepipe.film_reading import Film
from stylepipe.media.frames import FramesReader
from stylepipe.media.video import VideoReader
from stylepipe.report import Report
from stylepipe.temporal.dis import Search
from stylepipe.temporal.metrics import sharpness
from stylepipe.temporal.warp import shrink, warp
from stylepipe.types import Frame, Item

ALONE = "alone"
CROP = 160
"""Pixels of the side of a crop."""
PAN, ZOOM = 3, 1.02
"""Pixels, and factor, by which a known picture moves from frame to frame."""
SHOWN = 4
"""Frames on a sheet."""


class Timed(Report):
    """A report that keeps the seconds of its film."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.took = 0.0

    def item_done(self, item: Item, outcome: Any) -> None:
        self.took = outcome.seconds
        super().item_done(item, outcome)


class Painter:
    """Paints lists of frames, HxWx3 uint8, in a folder of its own."""

    def __init__(self, folder: Path, style: str | None) -> None:
        self._folder, self._style, self._count = folder, style, 0

    def folder(self, frames: Sequence[np.ndarray]) -> Path:
        """Write frames as numbered pictures."""
        self._count += 1
        path = self._folder / f"{self._count:03}"
        path.mkdir()
        for number, frame in enumerate(frames):
            cv2.imwrite(str(path / f"{number:04}.png"), frame[..., ::-1])
        return path

    def paint(self, source: Path, stylizer: str, preset: str) -> tuple[Path, float]:
        """The folder of the result, and the seconds a frame that it took."""
        self._count += 1
        output, report = self._folder / f"{self._count:03}", Timed()
        chosen = {"use": stylizer, **({"style": self._style} if self._style else {})}
        settings = {
            "input": {"fps": "25"},
            "stylizer": chosen,
            "output": {"format": "png/"},
        }
        if preset == ALONE:
            settings["temporal"] = {"use": "none"}
        convert(
            source, output, preset="default" if preset == ALONE else preset,
            settings=settings, report=report,
        )  # fmt: skip
        if report.exit_code:
            sys.exit(f"{stylizer} could not paint with {preset}: {report.failures}")
        result = output / source.name
        return result, report.took / len(pictures(result))

    def results(self, frames: Sequence[np.ndarray], stylizer: str, preset: str) -> list[np.ndarray]:
        """Paint frames."""
        return pictures(self.paint(self.folder(frames), stylizer, preset)[0])


def pictures(folder: Path) -> list[np.ndarray]:
    return [cv2.imread(str(path))[..., ::-1] for path in sorted(folder.glob("*.png"))]


def beginning(clip: Path, side: int, count: int) -> list[np.ndarray]:
    """The first frames of a clip, scaled down."""
    reader = VideoReader(VideoReader.Options())
    info = reader.probe(clip)
    if info is None:
        sys.exit(f"{clip} is no film")
    found = reader.frames(Item(0, clip, clip.parent, clip), info)
    return [shrink(frame.pixels, side) for frame, _ in zip(found, range(count), strict=False)]


class Rows:
    """Rows of the first table, kept in a file: a run that was stopped goes on after them."""

    def __init__(self, path: Path | None, heading: str) -> None:
        """``heading`` says what rows of one file have in common."""
        self._path = path
        lines = path.read_text().splitlines() if path and path.is_file() else []
        if lines and lines[0] != heading:
            sys.exit(
                f"{path} holds rows of other settings ({lines[0]}): name another file by --rows"
            )
        self._lines = lines[1:]
        if path and not lines:
            path.write_text(heading + "\n")

    def known(self, clip: str, stylizer: str, presets: Sequence[str]) -> list[str]:
        """The rows of a clip, if there is one for each of the presets."""
        found = {tuple(row.split()[:3]): row for row in self._lines}
        keys = [(clip, stylizer, preset) for preset in presets]
        return [found[key] for key in keys] if all(key in found for key in keys) else []

    def add(self, row: str) -> None:
        print(row, flush=True)
        if self._path:
            with self._path.open("a") as file:
                file.write(row + "\n")


# -- clips ----------------------------------------------------------------------------------


def clip_table(
    clips: dict[str, list[np.ndarray]], painter: Painter, rows: Rows, args: argparse.Namespace
) -> None:
    print(
        f"{'clip':18} {'stylizer':11} {'preset':13} {'E_warp':>7} {'source':>7} {'gone':>6} "
        f"{'kept':>6} {'worst':>6} {'first five of a shot':>29} {'style':>6} {'flicker':>7} "
        f"{'fixed':>6} {'along':>6} {'s/frame':>8} {'x':>5}"
    )
    for clip, frames in clips.items():
        source = painter.folder(frames)
        for stylizer in args.stylizers:
            if known := rows.known(name(clip), stylizer, (ALONE, *args.presets)):
                print(*known, sep="\n", flush=True)
                continue
            seconds: dict[str, list[float]] = {p: [] for p in (ALONE, *args.presets)}
            results: dict[str, Path] = {}
            for _ in range(args.rounds):
                for preset, taken in seconds.items():
                    results[preset], took = painter.paint(source, stylizer, preset)
                    taken.append(took)
            medians = {preset: statistics.median(taken) for preset, taken in seconds.items()}
            for preset, one in zip(results, measured(source, results), strict=True):
                rows.add(row(clip, stylizer, preset, one, medians[preset], medians[ALONE]))
            if args.sheets:
                write_sheets(args.sheets, f"{clip}-{stylizer}", frames, results)


def measured(source: Path, results: dict[str, Path]) -> list[Comparison]:
    def film(path: Path) -> Film:
        reader = FramesReader(FramesReader.Options(fps="25"))
        return Film(path, [reader], lambda line: print(line, file=sys.stderr))

    films = {preset: film(path) for preset, path in results.items()}
    alone = films.pop(ALONE)
    return measure_films(film(source), list(films.values()), alone, failed=sys.exit)[1:]


def name(clip: str) -> str:
    """A clip's name as the table shows it: one word."""
    return "-".join(clip.split())[:18]


def row(clip: str, stylizer: str, preset: str, one: Comparison, took: float, alone: float) -> str:
    film, kept = one.film, one.kept
    first = " ".join(f"{value:5.0%}" for value in one.kept_in_shots)
    return (
        f"{name(clip):18} {stylizer:11} {preset:13} {1e3 * film.mean('e_warp'):7.2f} "
        f"{1e3 * one.source_e_warp:7.2f} {one.excess_gone:6.1%} {np.mean(kept):6.1%} "
        f"{min(kept):6.1%} {first} {film.mean('style_distance'):6.3f} {film.mean('flicker'):7.2f} "
        f"{film.mean('texture_fixed'):6.3f} {film.mean('texture_along'):6.3f} {took:8.3f} "
        f"{took / alone:5.2f}"
    )


# -- known motion ---------------------------------------------------------------------------


def panned(still: np.ndarray, count: int) -> tuple[list[np.ndarray], Callable[[int], np.ndarray]]:
    """Frames that move by PAN pixels, and the way from the first to frame k: for each of its pixels
    where that was in the first."""
    height, width = still.shape[:2]
    wide = cv2.copyMakeBorder(still, 0, 0, 0, PAN * count, cv2.BORDER_REFLECT_101)
    frames = [np.ascontiguousarray(wide[:, PAN * k :][:, :width]) for k in range(count)]

    def back(k: int) -> np.ndarray:
        return np.dstack([np.full((height, width), PAN * k), np.zeros((height, width))])

    return frames, back


def zoomed(still: np.ndarray, count: int) -> tuple[list[np.ndarray], Callable[[int], np.ndarray]]:
    """The same of frames that grow by ZOOM around their center."""
    height, width = still.shape[:2]
    y, x = np.mgrid[:height, :width]
    away = np.dstack([x - (width - 1) / 2, y - (height - 1) / 2])

    def back(k: int) -> np.ndarray:
        return away * (ZOOM**-k - 1)

    frames = [warp(still, back(k).astype(np.float32), cubic=True) for k in range(count)]
    return frames, back


def ideal_error(results: Sequence[np.ndarray], back: Callable[[int], np.ndarray]) -> float:
    """RMS difference of all results to the first one moved by the true motion."""
    first, squares = results[0].astype(np.float32), []
    height, width = first.shape[:2]
    y, x = np.mgrid[:height, :width]
    for k, result in enumerate(results[1:], 1):
        flow = back(k).astype(np.float32)
        inside = (x + flow[..., 0] <= width - 1) & (x + flow[..., 0] >= 0)
        inside &= (y + flow[..., 1] <= height - 1) & (y + flow[..., 1] >= 0)
        squares.append(np.square(warp(first, flow, cubic=True) - result)[inside].mean())
    return float(np.sqrt(np.mean(squares)))


def known_table(clips: dict[str, list[np.ndarray]], painter: Painter, args: argparse.Namespace):
    print(
        f"\n{'stylizer':11} {'preset':13} {'pan: ideal':>10} {'kept':>17} {'zoom: ideal':>11} "
        f"{'kept':>17} {'still':>8} {'noise':>6} {'source':>6} {'joined':>6}"
    )
    still = next(iter(clips.values()))[0]
    repeats = 30 if args.quick else 300
    rng = np.random.default_rng(0)
    noisy = [
        np.rint(still + rng.normal(0, 2, still.shape)).clip(0, 255).astype(np.uint8)
        for _ in range(args.frames)
    ]
    two = [frames[: args.frames // 2] for frames in (list(clips.values()) * 2)[:2]]
    two[1] = [255 - f for f in two[1]] if len(clips) == 1 else two[1]
    height, width = still.shape[:2]
    two[1] = [cv2.resize(f, (width, height), interpolation=cv2.INTER_AREA) for f in two[1]]
    for stylizer in args.stylizers:
        for preset in (ALONE, *args.presets):
            cells = []
            for moved in (panned, zoomed):
                frames, back = moved(still, args.frames)
                results = painter.results(frames, stylizer, preset)
                ratios = [crispness(r) / crispness(f) for r, f in zip(results, frames, strict=True)]
                kept = " ".join(f"{ratios[k] / ratios[0]:5.0%}" for k in (1, 4, -1))
                cells.append(f"{ideal_error(results, back):10.2f} {kept}")
            held = painter.results([still] * repeats, stylizer, preset)
            differ = sum(bool((frame != held[1]).any()) for frame in held[2:])
            calm = painter.results(noisy, stylizer, preset)
            joined = painter.results(two[0] + two[1], stylizer, preset)[len(two[0]) :]
            apart = painter.results(two[1], stylizer, preset)
            most = max(
                int(cv2.absdiff(np.ascontiguousarray(a), np.ascontiguousarray(b)).max())
                for a, b in zip(joined, apart, strict=True)
            )
            print(
                f"{stylizer:11} {preset:13} {cells[0]}  {cells[1]} {differ:4}/{repeats - 2:<3} "
                f"{change(calm):6.2f} {change(noisy):6.2f} {most:6}",
                flush=True,
            )


def crispness(picture: np.ndarray) -> float:
    return sharpness(Frame(np.ascontiguousarray(picture)))


def change(frames: Sequence[np.ndarray]) -> float:
    """Mean absolute change from frame to frame."""
    pairs = pairwise(frames)
    return float(np.mean([np.abs(a.astype(int) - b).mean() for a, b in pairs]))


# -- sheets ---------------------------------------------------------------------------------


def write_sheets(
    folder: Path, name: str, frames: Sequence[np.ndarray], results: dict[str, Path]
) -> None:
    """Three sheets with a row for the source and each result, a column for each frame shown."""
    folder.mkdir(parents=True, exist_ok=True)
    films = {"source": frames} | {preset: pictures(path) for preset, path in results.items()}
    numbers = [round(k) for k in np.linspace(1, len(frames) - 1, SHOWN)]
    search = Search()
    flows = {n: search(Frame(frames[n]), Frame(frames[n - 1])) for n in numbers}
    height, width = frames[0].shape[:2]
    top, left = max(0, (height - CROP) // 2), max(0, (width - CROP) // 2)
    kinds: dict[str, Callable[[Sequence[np.ndarray], int], np.ndarray]] = {
        "frames": lambda film, n: film[n],
        "differences": lambda film, n: cv2.convertScaleAbs(
            film[n].astype(np.float32) - warp(film[n - 1].astype(np.float32), flows[n]), alpha=4
        ),
        "crops": lambda film, n: film[n][top : top + CROP, left : left + CROP],
    }
    for kind, shown in kinds.items():
        rows = {label: [shown(film, n) for n in numbers] for label, film in films.items()}
        sheet(rows, numbers).save(folder / f"{name}-{kind}.png")


def sheet(rows: dict[str, list[np.ndarray]], numbers: Sequence[int]) -> Image.Image:
    height, width = next(iter(rows.values()))[0].shape[:2]
    caption = 16
    size = len(numbers) * width, len(rows) * (height + caption)
    whole = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(whole)
    for row, (label, cells) in enumerate(rows.items()):
        for column, (number, cell) in enumerate(zip(numbers, cells, strict=True)):
            x, y = column * width, row * (height + caption)
            draw.text((x + 3, y + 2), f"{label}, frame {number}", "black")
            whole.paste(Image.fromarray(np.ascontiguousarray(cell)), (x, y + caption))
    return whole


def processor() -> str:
    """What the machine calls its processor."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.is_file() else []
    return next((line.partition(": ")[2] for line in lines if "model name" in line), "unknown")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--stylizers", nargs="+", default=["fast"])
    parser.add_argument("--presets", nargs="+", default=["video-fast", "video-smooth"])
    parser.add_argument("--style")
    parser.add_argument("--side", type=int, help="longest side in pixels: 480; quick 240")
    parser.add_argument("--frames", type=int, help="of each clip: 24; quick 8")
    parser.add_argument("--rounds", type=int, help="runs of which a time is the median: 3; quick 1")
    parser.add_argument("--sheets", type=Path, metavar="FOLDER")
    parser.add_argument("--rows", type=Path, metavar="FILE", help="where a stopped run goes on")
    parser.add_argument("--quick", action="store_true", help="small, short, once")
    parser.add_argument("--no-known", action="store_true", help="only the first table")
    args = parser.parse_args()
    args.side = args.side or (240 if args.quick else 480)
    args.frames = args.frames or (8 if args.quick else 24)
    args.rounds = args.rounds or (1 if args.quick else 3)
    heading = (
        f"{args.frames} frames, {args.side} pixels, style {args.style}, median of {args.rounds}; "
        f"{processor()}"
    )
    rows = Rows(args.rows, heading)
    print(heading)
    clips = {clip.stem: beginning(clip, args.side, args.frames) for clip in args.clips}
    with tempfile.TemporaryDirectory() as folder:
        painter = Painter(Path(folder), args.style)
        clip_table(clips, painter, rows, args)
        if not args.no_known:
            known_table(clips, painter, args)


if __name__ == "__main__":
    main()
