"""Print the peak memory of `stylepipe gatys` at several sizes beside what it was allowed.

    python tests/benchmarks/memory_gatys.py [--memory 4G] [--sides 500 2000 6000] [--steps 4]

Each row is a process of its own, of which the peak resident size is measured: program, pictures,
optimizer, everything. Default recipe and compact encoder; the sides are the long ones, pictures 3:2
(6000 is 24 megapixels). The last two sizes are worked on, so that the change from one to the next
is seen too. With --least each is also run with the least memory that the command asks for, which
paints in the smallest tiles. A row of 6000 takes minutes.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PHOTO = REPOSITORY / "examples" / "photos" / "lake.jpg"
PAINTING = REPOSITORY / "examples" / "paintings" / "currents.jpg"
MEASURED = """
import resource, sys
from stylepipe.cli.main import main
try:
    main()
finally:
    print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def paint(photo: Path, out: Path, memory: str, steps: int, side: int) -> tuple[int | None, str]:
    """Peak resident MiB, or None and what the command said."""
    command = [sys.executable, "-c", MEASURED, "gatys", photo, "-q", "-o", out, "--style", PAINTING,
               "--steps", str(steps), "--first-side", str(int(side * 0.7)), "--memory", memory,
               "--overwrite"]  # fmt: skip
    done = subprocess.run(
        [str(c) for c in command], capture_output=True, text=True, cwd=REPOSITORY, check=False
    )
    if done.returncode:
        return None, done.stderr.strip()
    return int(re.findall(r"^peak (\d+)$", done.stdout, re.MULTILINE)[-1]), ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--memory", default="4G", help="what each run is allowed")
    parser.add_argument("--sides", type=int, nargs="+", default=[500, 2000, 6000])
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--least", action="store_true", help="also runs with the least they need")
    args = parser.parse_args()
    import cv2

    print(f"{'pixels':>11} {'allowed':>8} {'peak MiB':>9}")
    with tempfile.TemporaryDirectory() as name:
        photo, out = Path(name) / "photo.jpg", Path(name) / "out.png"
        for side in args.sides:
            picture = cv2.imread(str(PHOTO))
            size = (side, side * 2 // 3)
            cv2.imwrite(str(photo), cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC))
            allowed = [args.memory]
            if args.least:
                _, said = paint(photo, out, "64M", args.steps, side)
                found = re.search(r"--memory (\d+M)", said)
                allowed += [found[1]] if found else []
            for memory in allowed:
                peak, said = paint(photo, out, memory, args.steps, side)
                told = said if peak is None else f"{peak:9}"
                print(f"{size[0]:>6}x{size[1]:<4} {memory:>8} {told}", flush=True)


if __name__ == "__main__":
    main()
