"""Print what style-swap costs beside the published way, a convolution with all the style's patches.

    python tests/benchmarks/swap.py [--vgg FILE] [--content FILE] [--style FILE] [--rounds 3]
    python tests/benchmarks/swap.py --large [--vgg FILE]

First form, content and style at 512x512, features relu3_1 of the shipped encoder and, with --vgg,
of VGG-19: seconds from the feature maps to the swapped one, medians, the three ways in turn, with
all that is prepared for the style (of which the last column is for); peak memory, each in a process
of its own, of which ``nothing`` only holds the maps. ``same`` is the share of patches for which the
same patch of the style was chosen as by the plain way; ``worse`` the largest share of the score
that is lost where not, computed in float64: a float32 score is known to 1e-7 or so. ``back`` is the
PSNR of a swap of the style with itself, of the features, to their maximum.

With --large: a content of 2048x2048 by a style of 1024x1024, encoder included.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from stylepipe.memory import tune_allocator
from stylepipe.nst.encoders import Encoder, load_encoder, open_encoder
from stylepipe.nst.swap import StylePatches

REPOSITORY = Path(__file__).resolve().parents[2]
PHOTO = REPOSITORY / "examples" / "photos" / "lake.jpg"
PAINTING = REPOSITORY / "examples" / "paintings" / "currents.jpg"
LAYER, SIDE = "relu3_1", 3


def load(path: Path, side: int) -> Tensor:
    """A picture scaled to a square, 1 3 H W."""
    import cv2

    pixels = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    pixels = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255


def cut(style: Tensor) -> Tensor:
    """All its patches, P C 3 3."""
    patches = style.unfold(2, SIDE, 1).unfold(3, SIDE, 1)
    return patches.permute(0, 2, 3, 1, 4, 5).flatten(0, 2)


# -- three ways -----------------------------------------------------------------------------


def plain(content: Tensor, style: Tensor) -> tuple[Tensor, Tensor]:
    """As published: the best patches, and the map made of them."""
    patches = cut(style)
    filters = patches / (patches.flatten(1).norm(dim=1)[:, None, None, None] + 1e-8)
    scores = F.conv2d(content, filters)
    best = scores.argmax(dim=1, keepdim=True)
    chosen = scores.zero_().scatter_(1, best, 1.0)
    swapped = F.conv_transpose2d(chosen, patches)
    ones = torch.ones(1, 1, SIDE, SIDE)
    return best[0, 0], swapped / F.conv_transpose2d(torch.ones(best.shape), ones)


def exact(content: Tensor, style: Tensor) -> Tensor:
    return StylePatches([style]).swap(content)


def fast(content: Tensor, style: Tensor) -> Tensor:
    return StylePatches([style], precision="fast").swap(content)


def nothing(content: Tensor, style: Tensor) -> None:
    pass


WAYS: dict[str, Callable[[Tensor, Tensor], object]] = {
    "plain": plain,
    "exact": exact,
    "fast": fast,
    "nothing": nothing,
}


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def peak() -> float:
    """Peak memory of this process in MiB, as Linux tells it; that of a child would be at least
    its parent's at the start.
    """
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def peak_of(*arguments: str) -> float:
    """The same, of this script with these arguments."""
    command = [sys.executable, __file__, *arguments]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def lost(content: Tensor, style: Tensor, best: Tensor, other: Tensor) -> float:
    """Largest share of the score that other patches than the best have less, in float64."""
    at = (best != other).nonzero()
    if not len(at):
        return 0.0
    own = torch.stack([content[0, :, y : y + SIDE, x : x + SIDE] for y, x in at]).flatten(1)
    patches = cut(style).flatten(1)

    def score(chosen: Tensor) -> Tensor:
        theirs = patches[chosen[at[:, 0], at[:, 1]]].double()
        return (own.double() * theirs).sum(1) / theirs.norm(dim=1)

    return (1 - score(other) / score(best)).max().item()


def compare(title: str, content: Tensor, style: Tensor, rounds: int) -> None:
    best, _ = plain(content, style)
    times: dict[str, list[float]] = {name: [] for name in ("plain", "exact", "fast")}
    for _ in range(rounds):
        for name, found in times.items():
            found.append(seconds(lambda n=name: WAYS[n](content, style)))  # type: ignore[misc]
    base = statistics.median(times["plain"])
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder, "maps.pt"))
        torch.save((content, style), file)
        memory = {name: peak_of("--child", name, file) for name in WAYS}
    size = "x".join(map(str, content.shape[1:]))
    print(f"\n{title}, {size} by {'x'.join(map(str, style.shape[1:]))}")
    heads = f"{'s':>7} {'times':>6} {'MiB':>6} {'same':>8} {'worse':>8} {'back':>6} {'style':>6}"
    print(f"{'':8} {heads}")
    for name, found in times.items():
        spent = statistics.median(found)
        line = f"{name:8} {spent:7.3f} {base / spent:6.1f} {memory[name]:6.0f}"
        if name != "plain":
            patches = StylePatches([style], precision=name)  # type: ignore[arg-type]
            chosen = patches.best(content)
            error = (patches.swap(style) - style).square().mean().item()
            back = 10 * torch.log10(style.max() ** 2 / max(error, 1e-30)).item()
            ready = seconds(lambda n=name: StylePatches([style], precision=n))  # type: ignore[misc]
            same = (chosen == best).double().mean().item()
            worse = lost(content, style, best, chosen)
            line += f" {same:8.3%} {worse:8.1e} {back:6.1f} {ready:6.3f}"
        print(line, flush=True)
    print(f"{'nothing':8} {'':7} {'':6} {memory['nothing']:6.0f}")


def large(encoder: Encoder, content: Path, style: Path) -> None:
    with torch.inference_mode():
        maps = [
            encoder(load(path, side), [LAYER])[LAYER]
            for path, side in ((content, 2048), (style, 1024))
        ]
        print(f"{encoder.title}: {tuple(maps[0].shape[1:])} by {tuple(maps[1].shape[1:])}")
        print(f"encoder {'':9}  peak memory so far {peak():6.0f} MiB", flush=True)
        for name in ("exact", "fast"):
            spent = seconds(lambda n=name: WAYS[n](*maps))  # type: ignore[misc]
            print(f"{name:8} {spent:7.1f} s, peak memory so far {peak():6.0f} MiB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--content", type=Path, default=PHOTO)
    parser.add_argument("--style", type=Path, default=PAINTING)
    parser.add_argument("--vgg", type=Path, help="weights of VGG-19, to relu3_1 at least")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tuned", action="store_true", help="the allocator as in the command")
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.tuned:
        tune_allocator()
    if args.child:
        name, file = args.child
        WAYS[name](*torch.load(file))
        print(peak())
        return
    encoders = [open_encoder("compact")]
    if args.vgg:
        encoders.insert(0, load_encoder(args.vgg, name="vgg19"))
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    for encoder in encoders:
        if args.large:
            large(encoder, args.content, args.style)
            continue
        with torch.inference_mode():
            content, style = (
                encoder(load(path, 512), [LAYER])[LAYER].contiguous()
                for path in (args.content, args.style)
            )
            compare(encoder.title, content, style, args.rounds)


if __name__ == "__main__":
    main()
