"""Print the speed of the fast stylizer beside a plain float32 network of the same weights.

    python tests/benchmarks/speed.py [--quick] [--weights FOLDER] [--sizes 512x512 1280x720]

The first table times the network alone, in one process a column that take turns: ``eager`` is
StyleNetwork.forward in float32, as one writes it first; ``eager tuned`` is the same after
tune_allocator(); ``quality`` and ``light`` are what ships, with tune_threads() too. Seconds are
medians, peaks those of the whole process, PSNR is to ``eager`` of the same network. Pictures above
4 megapixels are painted once, by one process after the other, so that each has all the memory.

The second table runs the real command over a folder of photos and a clip, beside the loop that one
writes first (naive.py), which gets the first pictures only. ``frames/s`` counts from the first
picture on, ``start`` is what came before. ``PSNR`` is to what the loop paints, before encoding.
``own`` is the share of the rate of the network alone, timed just before and after, without and
with the start.

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
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from memory import make_clip

from stylepipe.media.video import VideoWriter
from stylepipe.memory import available_memory

REPOSITORY = Path(__file__).resolve().parents[2]
BUNDLED = REPOSITORY / "plugins" / "fast" / "styles"
PHOTO = REPOSITORY / "examples" / "photos"
STYLE = "starry-night"
# Column -> (network, engine, allocator tuned, bytes a pixel that would be too much to try).
# The last is only there to compare light with.
COLUMNS = {
    "eager": ("quality", "eager", False, 1250),
    "eager tuned": ("quality", "eager", True, 3000),
    "quality": ("quality", "engine", True, 0),
    "light": ("light", "engine", True, 0),
    "light eager": ("light", "eager", False, 500),
}
NETWORKS = ("quality", "light")
FLOW = {"quality": "video-smooth", "light": "video-fast"}
INPUTS = ("photos", "clip")
WARM_UP = 2
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
    from stylepipe.device import pick
    from stylepipe.memory import tune_allocator, tune_threads

    if tuned:
        tune_allocator()
    if engine == "engine":
        tune_threads()
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
        self.column = column
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

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(-10 * np.log10(max(np.mean((a - b) ** 2), 1e-12)))


@contextmanager
def serving(columns: Iterable[str], weights: Path, out: Path) -> Iterator[dict[str, Server]]:
    servers = {column: Server(column, weights, out) for column in columns}
    try:
        yield servers
    finally:
        for server in servers.values():
            server.close()


Runs = dict[str, list[dict[str, float]]]


def network_table(sizes: list[str], weights: Path, repeats: int) -> None:
    print(
        f"{'size':10} {'network':12} {'seconds':>8} {'x eager':>8} {'x tuned':>8} "
        f"{'peak MiB':>9} {'PSNR dB':>8}"
    )
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        small = [size for size in sizes if pixels_of(size) <= 4e6]
        if small:
            with serving(COLUMNS, weights, out) as servers:
                for size in small:
                    print_size(size, take_turns(servers, size, repeats), out)
        for size in sizes:
            if size not in small:
                print_size(size, one_by_one(size, weights, out), out)


def pixels_of(size: str) -> int:
    return int(np.prod([int(n) for n in size.split("x")]))


def take_turns(servers: dict[str, Server], size: str, repeats: int) -> Runs:
    runs: Runs = {column: [] for column in servers}
    for turn in range(WARM_UP + repeats):
        for column, server in servers.items():
            answer = server.paint(size)
            if turn >= WARM_UP:
                runs[column].append(answer)
    return runs


def one_by_one(size: str, weights: Path, out: Path) -> Runs:
    runs: Runs = {}
    for column, (_, _, _, need) in COLUMNS.items():
        if need * pixels_of(size) > available_memory():
            print(f"{size:10} {column:12} skipped: might not fit into memory")
            continue
        with serving([column], weights, out) as servers:
            runs[column] = [servers[column].paint(size)]
    return runs


def print_size(size: str, runs: Runs, out: Path) -> None:
    seconds = {c: statistics.median(r["seconds"] for r in runs[c]) for c in runs}
    for column in runs:
        own, peak = seconds[column], max(r["peak"] for r in runs[column]) / 2**20
        ratios = [f"{seconds[c] / own:.1f}" if c in runs else "-" for c in ("eager", "eager tuned")]
        exact = "light eager" if column.startswith("light") else "eager"
        noise = psnr(result(out, column), result(out, exact)) if exact in runs else float("nan")
        print(
            f"{size:10} {column:12} {own:8.3f} {ratios[0]:>8} {ratios[1]:>8} {peak:9.0f} "
            f"{'exact' if noise > 100 else f'{noise:.1f}':>8}",
            flush=True,
        )


def result(out: Path, column: str) -> np.ndarray:
    return np.load(out / f"{column}.npy").astype(np.float32)


# -- the real command -----------------------------------------------------------------------


@dataclass
class Ran:
    """How a command went."""

    frames: int
    start: float
    """Seconds before the first picture."""
    seconds: float
    """From there to the end of the process."""
    peak: int
    stages: dict[str, float]


def command_table(args: argparse.Namespace) -> None:
    print(
        f"\n{'input':22} {'painted by':16} {'frames':>6} {'start':>6} {'frames/s':>8} "
        f"{'x eager':>8} {'PSNR':>5} {'own':>6} {'(start)':>7} {'peak MiB':>9}  busy"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        count, seconds = (4, 1) if args.quick else (20, args.seconds)
        if "photos" in args.inputs:
            photos = make_photos(folder / "photos", count)
            compare(photos, f"{count} photos 1600x1200", count, "1600x1200", args, folder)
        if "clip" in args.inputs:
            clip = make_clip(folder / "clip.mp4", seconds, picture(1480, 920)[..., ::-1])
            compare(clip, f"clip {seconds} s 1280x720", 25 * seconds, "1280x720", args, folder)


def make_photos(folder: Path, count: int) -> Path:
    folder.mkdir()
    whole = picture(1640, 1240)
    for i in range(count):
        crop = whole[i : i + 1200, 2 * i : 2 * i + 1600, ::-1]
        cv2.imwrite(str(folder / f"{i:02}.jpg"), crop)
    return folder


def compare(
    source: Path, title: str, frames: int, size: str, args: argparse.Namespace, folder: Path
) -> None:
    for network in args.networks:
        few = min(frames, args.eager)
        eager = noise = None
        if few:
            eager = loop(source, folder / f"eager-{network}-{source.name}", network, few)
            print_row(title, f"{network} eager", eager)
            noise = painted_psnr(source, network, few, folder)
        for kind in ["", " + flow"] if source.is_file() else [""]:
            output = folder / f"out-{network}{kind}-{source.name}"
            preset = ["--preset", FLOW[network]] if kind else []
            with serving([network], BUNDLED, folder) as servers:
                alone = take_turns(servers, size, args.repeats)
                ran = command(source, output, network, frames, preset)
                alone[network] += take_turns(servers, size, args.repeats)[network]
            own = statistics.median(answer["seconds"] for answer in alone[network])
            print_row(title, f"{network}{kind}", ran, eager, None if kind else noise, own)


def painted_psnr(source: Path, network: str, few: int, folder: Path) -> float:
    """Of the first pictures to those of the plain loop, both without an encoder's noise."""
    plain = folder / f"{network}-{source.name}.npy"
    loop(source, plain, network, few)
    if source.is_dir():
        output = folder / f"{network}-lossless"
        command(source, output, network, few, ["--format", "png", "--limit", str(few)])
        files = sorted(output.glob("*.png"))
        shipped = [cv2.cvtColor(cv2.imread(str(f)), cv2.COLOR_BGR2RGB) for f in files]
    else:
        output = folder / f"{network}-lossless.mkv"
        lossless = ["--codec", "libx264rgb", "--crf", "0", "--end", str((few - 0.5) / 25)]
        command(source, output, network, few, lossless)
        with av.open(str(output)) as container:
            shipped = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    return psnr(np.stack(shipped) / np.float32(255), np.load(plain) / np.float32(255))


def print_row(
    title: str,
    by: str,
    ran: Ran,
    eager: Ran | None = None,
    noise: float | None = None,
    own: float | None = None,
) -> None:
    """own: seconds a picture of the network alone."""
    rate = ran.frames / ran.seconds
    ratio = f"{rate / (eager.frames / eager.seconds):.1f}" if eager else "-"
    shares = [
        f"{own * ran.frames / t:.1%}" if own else "-"
        for t in (ran.seconds, ran.start + ran.seconds)
    ]
    busy = ", ".join(f"{k} {v / ran.seconds:.0%}" for k, v in sorted(ran.stages.items()))
    print(
        f"{title:22} {by:16} {ran.frames:6} {ran.start:6.2f} {rate:8.2f} {ratio:>8} "
        f"{f'{noise:.1f}' if noise else '-':>5} {shares[0]:>6} {shares[1]:>7} "
        f"{ran.peak / 2**20:9.0f}  {busy}",
        flush=True,
    )


def command(source: Path, output: Path, quality: str, frames: int, flags: list[str]) -> Ran:
    """Run stylepipe over a folder or a clip."""
    return watched(
        [sys.executable, "-m", "stylepipe", "run", source, "-o", output, *flags,
         "--quality", quality, "--style", STYLE, "--json", "-q"], frames,
    )  # fmt: skip


def loop(source: Path, output: Path, network: str, frames: int) -> Ran:
    """Run the loop one writes first, with the settings the command encodes with."""
    preset = VideoWriter.Options().preset_x264
    script = Path(__file__).with_name("naive.py")
    return watched(
        [sys.executable, script, source, output, network, STYLE, frames, "18", preset], frames
    )


def watched(arguments: list[object], frames: int) -> Ran:
    """Run a process that prints events, and time it from its first ``item_start``."""
    begin = time.perf_counter()
    process = subprocess.Popen(
        [str(a) for a in arguments], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
    )
    assert process.stdout
    start, last = None, {}
    for line in process.stdout:
        last = json.loads(line)
        if start is None and last["event"] == "item_start":
            start = time.perf_counter() - begin
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or start is None:
        raise SystemExit(f"{arguments} ended with {process.returncode}")
    return Ran(frames, start, seconds - start, peak_bytes(usage), last["stages"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small inputs, few repeats")
    parser.add_argument("--sizes", nargs="+", metavar="WxH", help="only these sizes")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--weights", type=Path, default=BUNDLED, metavar="FOLDER")
    parser.add_argument("--no-command", action="store_true", help="only the network")
    parser.add_argument("--no-network", action="store_true", help="only the command")
    parser.add_argument("--inputs", nargs="+", choices=INPUTS, default=INPUTS)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--seconds", type=int, default=5, help="length of the clip")
    parser.add_argument("--eager", type=int, default=10, help="pictures that the plain loop gets")
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
        command_table(args)


if __name__ == "__main__":
    main()
