"""Print the speed of the fast stylizer beside a plain float32 network of the same weights.

    python tests/benchmarks/speed.py [--quick] [--weights FOLDER] [--sizes 512x512 1280x720]

The first table times the network alone, in one process a column that take turns: ``eager`` is
StyleNetwork.forward in float32, as one writes it first; ``eager tuned`` is the same after
tune_allocator(); ``quality`` and ``light`` are what ships. Seconds are medians, peaks those of
the whole process, PSNR is to ``eager`` of the same network. The second table runs the real
command over a folder of photos and a clip, and says where the time went.

The command paints with the bundled styles; --weights takes other networks (quality.safetensors and
light.safetensors) for the first table.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from memory import make_clip

from stylepipe.memory import available_memory

REPOSITORY = Path(__file__).resolve().parents[2]
BUNDLED = REPOSITORY / "plugins" / "fast" / "styles"
PHOTO = REPOSITORY / "examples" / "photos"
# Column -> (network, engine, allocator tuned, bytes a pixel that would be too much to try).
# The last is only there to compare light with.
COLUMNS = {
    "eager": ("quality", "eager", False, 1500),
    "eager tuned": ("quality", "eager", True, 3000),
    "quality": ("quality", "engine", True, 0),
    "light": ("light", "engine", True, 0),
    "light eager": ("light", "eager", False, 500),
}
SIZES = ("512x512", "1280x720", "1920x1080", "4000x3000")


def picture(width: int, height: int) -> np.ndarray:
    """The first example photo at this size, HxWx3 in RGB."""
    path = min(p for p in PHOTO.iterdir() if p.suffix in (".jpg", ".png", ".webp"))
    pixels = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)


def peak_bytes(usage: resource.struct_rusage) -> int:
    """Most memory held; Linux counts KiB, macOS bytes."""
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


# -- the network alone ----------------------------------------------------------------------


def serve(column: str, weights: Path, out: Path) -> None:
    """Run as a process of its own: paint each size named on stdin and tell how long it took."""
    network, engine, tuned, _ = COLUMNS[column]
    from stylepipe.device import pick, tune_allocator

    if tuned:
        tune_allocator()
    import torch

    from stylepipe.nst.inference import StyleEngine
    from stylepipe.nst.networks import load_styles

    net, _, _ = load_styles(weights / f"{network}.safetensors")
    blend = net.one_hot(0)[0]
    if engine == "engine":
        device = pick("cpu")
        paint = StyleEngine(net, blend, device.torch, device.dtype, available_memory() // 2)
    else:

        def paint(x: torch.Tensor) -> torch.Tensor:  # type: ignore[misc]
            with torch.inference_mode():
                return net(x, blend[None])  # type: ignore[no-any-return]

    for line in sys.stdin:
        width, height = map(int, line.split("x"))
        images = torch.from_numpy(picture(width, height))[None].permute(0, 3, 1, 2) / 255
        if engine == "eager":
            images = images.contiguous()
        start = time.perf_counter()
        result = paint(images)
        seconds = time.perf_counter() - start
        np.save(out / f"{column}.npy", result[0].clamp(0, 1).half().numpy())
        peak = peak_bytes(resource.getrusage(resource.RUSAGE_SELF))
        print(json.dumps({"seconds": seconds, "peak": peak}), flush=True)


class Server:
    """One column's process."""

    def __init__(self, column: str, weights: Path, out: Path) -> None:
        self.column, self.out = column, out
        command = [sys.executable, __file__, "--serve", column, "--weights", weights, "--out", out]
        self.process = subprocess.Popen(
            [str(c) for c in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def paint(self, size: str) -> dict[str, float]:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(f"{size}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the process of {self.column!r} died at {size}: not enough memory?")
        result: dict[str, float] = json.loads(line)
        return result

    def result(self) -> np.ndarray:
        return np.load(self.out / f"{self.column}.npy").astype(np.float32)

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(-10 * np.log10(max(np.mean((a - b) ** 2), 1e-12)))


def network_table(sizes: list[str], weights: Path, repeats: int) -> None:
    print(f"{'size':10} {'network':12} {'seconds':>8} {'x eager':>8} {'x tuned':>8} "
          f"{'peak MiB':>9} {'PSNR dB':>8}")
    with tempfile.TemporaryDirectory() as folder:
        servers = {c: Server(c, weights, Path(folder)) for c in COLUMNS}
        try:
            for size in sizes:
                pixels = int(np.prod([int(n) for n in size.split("x")]))
                free = available_memory()
                fit = {c: s for c, s in servers.items() if COLUMNS[c][3] * pixels < free}
                size_table(fit, size, 1 if pixels > 4e6 else repeats)
                for column in servers.keys() - fit.keys():
                    print(f"{size:10} {column:12} skipped: might not fit into memory")
        finally:
            for server in servers.values():
                server.close()


def size_table(servers: dict[str, Server], size: str, repeats: int) -> None:
    runs: dict[str, list[dict[str, float]]] = {c: [] for c in servers}
    for turn in range(repeats + 2 * (repeats > 1)):
        for column, server in servers.items():
            answer = server.paint(size)
            if turn > 1 or repeats == 1:  # the first turns warm up
                runs[column].append(answer)
    seconds = {c: statistics.median(r["seconds"] for r in runs[c]) for c in servers}
    for column, server in servers.items():
        own, peak = seconds[column], max(r["peak"] for r in runs[column]) / 2**20
        ratios = [f"{seconds[c] / own:.1f}" if c in servers else "-"
                  for c in ("eager", "eager tuned")]
        exact = servers.get("light eager" if column.startswith("light") else "eager")
        noise = psnr(server.result(), exact.result()) if exact else float("nan")
        print(f"{size:10} {column:12} {own:8.3f} {ratios[0]:>8} {ratios[1]:>8} {peak:9.0f} "
              f"{'exact' if noise > 100 else f'{noise:.1f}':>8}", flush=True)


# -- the real command -----------------------------------------------------------------------


def command_table(quick: bool) -> None:
    print(f"\n{'input':26} {'network':8} {'frames':>6} {'seconds':>8} {'frames/s':>8} "
          f"{'peak MiB':>9}  busy, share of the time")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photos = folder / "photos"
        photos.mkdir()
        count, seconds = (4, 1) if quick else (20, 5)
        whole = picture(1640, 1240)
        for i in range(count):
            crop = whole[i : i + 1200, 2 * i : 2 * i + 1600, ::-1]
            cv2.imwrite(str(photos / f"{i:02}.jpg"), crop)
        clip = make_clip(folder / "clip.mp4", seconds)
        for source, title, frames in (
            (photos, f"{count} photos 1600x1200", count),
            (clip, f"clip {seconds} s 1280x720", 25 * seconds),
        ):
            for quality in ("quality", "light"):
                output = folder / f"out-{quality}-{source.name}"
                elapsed, peak, stages = command(source, output, quality)
                busy = ", ".join(f"{k} {v / elapsed:.0%}" for k, v in sorted(stages.items()))
                print(f"{title:26} {quality:8} {frames:6} {elapsed:8.2f} "
                      f"{frames / elapsed:8.2f} {peak / 2**20:9.0f}  {busy}", flush=True)


def command(source: Path, output: Path, quality: str) -> tuple[float, int, dict[str, float]]:
    """Run stylepipe; return the seconds it counted, its peak memory and seconds by stage."""
    arguments = ["run", source, "-o", output, "--quality", quality, "--json", "-q"]
    process = subprocess.Popen(
        [sys.executable, "-m", "stylepipe", *map(str, arguments)],
        stdout=subprocess.PIPE, text=True, cwd=REPOSITORY,
    )  # fmt: skip
    assert process.stdout
    events = [json.loads(line) for line in process.stdout]
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"stylepipe ended with {process.returncode}")
    last = events[-1]
    return last["seconds"], peak_bytes(usage), last["stages"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small inputs, few repeats")
    parser.add_argument("--sizes", nargs="+", metavar="WxH", help="only these sizes")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--weights", type=Path, default=BUNDLED, metavar="FOLDER")
    parser.add_argument("--no-command", action="store_true", help="only the network")
    parser.add_argument("--no-network", action="store_true", help="only the command")
    parser.add_argument("--serve", choices=COLUMNS, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.serve, args.weights, args.out)
        return
    if not args.no_network:
        sizes = args.sizes or list(SIZES[:2] if args.quick else SIZES)
        network_table(sizes, args.weights, 2 if args.quick else args.repeats)
    if not args.no_command:
        command_table(args.quick)


if __name__ == "__main__":
    main()
