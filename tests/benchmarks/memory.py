"""Print the peak memory of short and long runs: it must not grow with the length.

    python tests/benchmarks/memory.py [--seconds 10 600] [--photos 20 2000]

A trivial stylizer (the negative) stands in for a network, so that the pipeline itself is measured.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

PLUGIN = """
import stylepipe


class Negative(stylepipe.Stylizer):
    '''The negative.'''

    name = "negative"
    caps = stylepipe.Caps(needs_style=False)

    def stylize(self, batch):
        return 1 - batch.images


@stylepipe.hookimpl
def stylepipe_components():
    return [Negative]
"""


def scene(width: int, height: int) -> np.ndarray:
    """A smooth random picture, larger than a frame, over which the camera pans."""
    small = np.random.default_rng(0).integers(0, 256, (18, 32, 3), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def make_clip(path: Path, seconds: int, still: np.ndarray | None = None) -> Path:
    """A 720p clip of 25 frames a second: a walk over ``still``, 920x1480x3 in BGR."""
    still = scene(1280 + 200, 720 + 200) if still is None else still
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        for index in range(seconds * 25):
            x, y = index % 200, (index // 2) % 200
            pixels = np.ascontiguousarray(still[y : y + 720, x : x + 1280])
            frame = av.VideoFrame.from_ndarray(pixels, format="bgr24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def make_photos(folder: Path, count: int) -> Path:
    """Photos of one megapixel."""
    folder.mkdir()
    still = scene(1400, 1000)
    for index in range(count):
        cv2.imwrite(str(folder / f"{index:05}.jpg"), still[: 800 + index % 7, : 1200 + index % 5])
    return folder


def peak(source: Path, output: Path, plugin: Path) -> tuple[float, float]:
    """Run the command; return its peak resident memory in MiB and its time in seconds."""
    command = [sys.executable, "-m", "stylepipe", "--plugin", str(plugin), "negative"]
    command += [str(source), "-o", str(output), "--device", "cpu", "-q"]
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", nargs="*", type=int, default=[10, 600])
    parser.add_argument("--photos", nargs="*", type=int, default=[20, 2000])
    args = parser.parse_args()
    print(f"{'run':24} {'peak MiB':>10} {'cpu s':>8}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plugin = folder / "negative.py"
        plugin.write_text(PLUGIN)
        for seconds in args.seconds:
            clip = make_clip(folder / f"{seconds}.mp4", seconds)
            memory, spent = peak(clip, folder / f"out{seconds}.mp4", plugin)
            print(f"{f'720p clip of {seconds} s':24} {memory:10.0f} {spent:8.1f}", flush=True)
        for count in args.photos:
            photos = make_photos(folder / f"photos{count}", count)
            memory, spent = peak(photos, folder / f"out{count}", plugin)
            print(f"{f'{count} photos':24} {memory:10.0f} {spent:8.1f}", flush=True)


if __name__ == "__main__":
    main()
