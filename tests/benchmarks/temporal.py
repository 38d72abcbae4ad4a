"""Print how steady stylized videos are: the warping error of Lai et al. 2018, lower is steadier.

    python tests/benchmarks/temporal.py CLIP... [--preset video-smooth] [--seconds 2]
        [--stylizer NAME] [--style NAME]
    python tests/benchmarks/temporal.py --source clip.mp4 --styled one.mp4 other.mp4

The first form stylizes each clip frame by frame, and with the preset's temporal method. ``source``
is the clip's own error: the floor. ``gone`` is the share of what frame-by-frame stylization adds to
that floor which the method takes away again. Errors are times 1000, RGB in [0, 1]; flow by dense
inverse search, medium, on full-size frames.

Blur lowers the error too, so beside each stands how crisp the frames are: the variance of their
luminance's Laplacian, mean over the frames (guided: over that of the frames one by one).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from stylepipe_plugins.flow_dis import DisFlow, DisOptions

from stylepipe.api import convert
from stylepipe.media.video import VideoReader
from stylepipe.temporal.metrics import warping_error
from stylepipe.types import Frame, Item


def frames(path: Path, seconds: float | None = None) -> Iterator[Frame]:
    reader = VideoReader(VideoReader.Options(end=None if seconds is None else str(seconds)))
    info = reader.probe(path)
    if info is None:
        sys.exit(f"{path} is no video")
    yield from reader.frames(Item(0, path, path.parent, path), info)


def error(source: Path, result: Path, seconds: float | None = None) -> float:
    search = DisFlow(DisOptions())

    def flow(a: Frame, b: Frame) -> np.ndarray:
        return search.flow(a, b)[0].permute(1, 2, 0).contiguous().numpy()

    return warping_error(frames(source, seconds), frames(result, seconds), flow)


def sharpness(path: Path, seconds: float | None = None) -> float:
    """Variance of the Laplacian of the luminance, 0 to 255, mean over the frames."""
    grays = (cv2.cvtColor(_eight(f), cv2.COLOR_RGB2GRAY) for f in frames(path, seconds))
    return float(np.mean([cv2.Laplacian(gray, cv2.CV_64F).var() for gray in grays]))


def _eight(frame: Frame) -> np.ndarray:
    return (frame.pixels * (255 / frame.white)).astype(np.uint8)


def stylized(clip: Path, folder: Path, args: argparse.Namespace, guided: bool) -> Path:
    output = folder / f"{clip.stem}-{guided}.mp4"
    settings: dict[str, dict[str, Any]] = {"output": {"crf": args.crf}}
    if args.seconds:
        settings["input"] = {"end": str(args.seconds)}
    chosen = {"use": args.stylizer, "style": args.style}
    settings["stylizer"] = {key: value for key, value in chosen.items() if value}
    if not guided:
        settings["temporal"] = {"use": "none"}
    report = convert(clip, output, preset=args.preset, settings=settings)
    if report.exit_code:
        sys.exit(f"{clip} could not be stylized: {report.failures}")
    return output


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clips", nargs="*", type=Path)
    parser.add_argument("--preset", default="video-smooth")
    parser.add_argument("--stylizer", help="instead of the preset's")
    parser.add_argument("--style")
    parser.add_argument("--seconds", type=float, help="only the beginning of each clip")
    parser.add_argument("--crf", type=int, default=8, help="so that the codec adds little error")
    parser.add_argument("--source", type=Path)
    parser.add_argument("--styled", type=Path, nargs="+", default=[])
    args = parser.parse_args()
    if bool(args.clips) == bool(args.source) or bool(args.source) != bool(args.styled):
        parser.error("give either clips, or --source and --styled")
    if args.source:
        for path in (args.source, *args.styled):
            found = error(args.source, path, args.seconds) * 1e3
            print(f"{found:8.3f} {sharpness(path, args.seconds):8.0f}  {path}")
        return
    print(
        f"{'clip':28} {'source':>8} {'per frame':>10} {'guided':>8} {'gone':>6} {'crisp':>8} "
        f"{'guided':>7}"
    )
    with tempfile.TemporaryDirectory() as folder:
        for clip in args.clips:
            single, guided = (stylized(clip, Path(folder), args, g) for g in (False, True))
            floor, before, after = (
                error(clip, path, args.seconds) * 1e3 for path in (clip, single, guided)
            )
            gone = (before - after) / (before - floor)
            crisp, kept = (sharpness(path, args.seconds) for path in (single, guided))
            print(
                f"{clip.name:28} {floor:8.3f} {before:10.3f} {after:8.3f} {gone:6.0%} {crisp:8.0f} "
                f"{kept / crisp:7.0%}"
            )


if __name__ == "__main__":
    main()
