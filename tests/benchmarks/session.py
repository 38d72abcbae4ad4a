"""Print how fast stylepipe.open paints a picture, beside the command line on the same picture.

    python tests/benchmarks/session.py [--sizes 256x256 1280x720] [--paints 20]

Each row is a process of its own. ``open`` paints one picture again and again; ``torch first`` has
imported torch before stylepipe, as programs do; ``untuned`` is that without what the session does
for threads and freed memory. ``run`` is the command over a folder of as many copies of the picture,
whose seconds a picture are those of its stage ``model``. Milliseconds; ``second`` is the median of
all paints but the first. ``busy`` is the same while one process a core does other work.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

STYLE, QUALITY = "scream", "light"
ROWS = ("open", "torch first", "untuned", "run")
PHOTO = Path(__file__).resolve().parents[2] / "examples" / "photos" / "lake.jpg"


def paint(row: str, photo: Path, paints: int) -> dict[str, float]:
    """Seconds to open, of the first paint and of the later ones, in this process."""
    picture = np.ascontiguousarray(cv2.imread(str(photo))[..., ::-1])
    if row != "open":
        import torch

        assert torch.ones(1)
    import stylepipe

    if row == "untuned":
        from contextlib import nullcontext

        from stylepipe import api, session

        api.tune_threads = session.tune_threads = lambda: None
        session.freed_blocks_kept = nullcontext
    times = [time.perf_counter()]
    with stylepipe.open(style=STYLE, quality=QUALITY, device="cpu") as painter:
        times.append(time.perf_counter())
        for _ in range(paints):
            painter.paint(picture)
            times.append(time.perf_counter())
    opened, first, *later = np.diff(times).tolist()
    return {"open": opened, "first": first, "second": statistics.median(later)}


def command(photo: Path, paints: int) -> dict[str, float]:
    """Seconds of the model a picture of a folder, by the command line."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        for number in range(paints):
            shutil.copy(photo, folder / "in" / f"{number}.png")
        call = ["stylepipe", "run", str(folder / "in"), "-o", str(folder / "out"), "--json", "-q"]
        call += ["--style", STYLE, "--quality", QUALITY, "-d", "cpu"]
        done = subprocess.run([sys.executable, "-m", *call], stdout=subprocess.PIPE, check=True)
        event = json.loads(done.stdout.splitlines()[-1])
        return {"second": event["stages"]["model"] / paints}


def measure(row: str, photo: Path, paints: int) -> dict[str, float]:
    """One row, in a process of its own."""
    if row == "run":
        return command(photo, paints)
    call = [sys.executable, __file__, "--row", row, "--photo", str(photo), "--paints", str(paints)]
    return json.loads(subprocess.run(call, stdout=subprocess.PIPE, check=True).stdout)


@contextmanager
def other_work() -> Iterator[None]:
    """Every core has something else to do."""
    spin = [sys.executable, "-c", "while True: pass"]
    others = [subprocess.Popen(spin) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", nargs="+", default=["256x256", "1280x720"])
    parser.add_argument("--paints", type=int, default=20)
    parser.add_argument("--row", help=argparse.SUPPRESS)
    parser.add_argument("--photo", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.row:
        print(json.dumps(paint(args.row, args.photo, args.paints)))
        return
    print("| picture | | open | first | second | busy: first | second |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for size in args.sizes:
            width, height = map(int, size.split("x"))
            photo = Path(folder) / f"{size}.png"
            cv2.imwrite(str(photo), cv2.resize(cv2.imread(str(PHOTO)), (width, height)))
            for row in ROWS:
                idle = measure(row, photo, args.paints)
                with other_work():
                    busy = measure(row, photo, args.paints)
                found = [idle.get(k) for k in ("open", "first", "second")]
                found += [busy.get(k) for k in ("first", "second")]
                cells = ["" if s is None else f"{1000 * s:.0f}" for s in found]
                print("|", " | ".join([size, row, *cells]), "|", flush=True)


if __name__ == "__main__":
    main()
