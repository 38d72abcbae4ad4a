"""Print what the matting Laplacian costs, and how straight lines stay with --photorealistic.

    python tests/benchmarks/photorealism.py [--megapixels 1 4] [--side 320] [--steps 100]
        [--painting FILE] [-o SHEET]

First table, a process of its own for each size: seconds of processor time to make the Laplacian of
a photo, to apply it to a picture of three channels (the best of three), and to find alpha where a
band of 5 % of the photo is unknown; peak MiB of the process before the Laplacian was made, and
after it was applied. The photo is computed: two soft fields of color, one within a wavy outline,
with noise. Set OMP_NUM_THREADS=1 beside other work: threads that wait count as well.

Second table: the RMS distance, in pixels, of edges to the straight lines fitted to them, in a photo
of four straight edges; in the same painted plain; and painted with --photorealistic, before and
after the affine smoothing. In each row an edge is where the squared change of the colors, from
column to column within 6 pixels of the photo's edge, has its center.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stylepipe import read_picture
from stylepipe.nst.encoders import open_encoder
from stylepipe.nst.gatys import Gatys
from stylepipe.nst.matting import MattingLaplacian, closed_form_alpha
from stylepipe.nst.paintings import Painting
from stylepipe.nst.photos import write_grid
from stylepipe.nst.recipe import LoopOptions, Recipe

PAINTING = Path(__file__).resolve().parents[2] / "examples" / "paintings" / "currents.jpg"
NEAR = 6
"""Pixels on each side of an edge in which it is looked for."""
MEMORY = 4 << 30


# -- cost ----------------------------------------------------------------------------------------


def composite(height: int, width: int, softness: float) -> tuple[Tensor, Tensor]:
    """A photo 1 3 H W, and the alpha 1 1 H W of its foreground, whose outline is `softness` pixels
    soft."""
    y = torch.linspace(-1, 1, height)[:, None].expand(height, width)
    x = torch.linspace(-1, 1, width).expand(height, width)
    outline = 0.5 + 0.04 * torch.sin(12 * torch.atan2(y, x))
    alpha = torch.sigmoid((outline - y.hypot(x)) * height / 2 / softness)
    front = torch.stack([0.8 + 0.1 * torch.sin(3 * x), 0.4 + 0.1 * y, 0.2 + 0.05 * x])
    back = torch.stack([0.2 + 0.1 * x, 0.3 - 0.05 * y, 0.6 - 0.1 * y])
    noise = torch.randn(3, height, width, generator=torch.Generator().manual_seed(0))
    return (alpha * front + (1 - alpha) * back + 0.002 * noise)[None], alpha[None, None]


def trimap(alpha: Tensor, share: float) -> Tensor:
    """0, 1, and 0.5 in the `share` of the pixels in which alpha is farthest from 0 and 1."""
    limit = (alpha - 0.5).abs().flatten().kthvalue(max(1, round(share * alpha.numel()))).values
    return torch.where((alpha - 0.5).abs() <= limit, 0.5, alpha.round())


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def cost(megapixels: float) -> str:
    """A row of the first table."""
    side = round((megapixels * (1 << 20)) ** 0.5)
    photo, alpha = composite(side, side, side / 400)
    start, before = time.process_time(), _peak()
    laplacian = MattingLaplacian(photo)
    built, applied = time.process_time() - start, float("inf")
    for _ in range(3):
        start = time.process_time()
        laplacian @ photo
        applied = min(applied, time.process_time() - start)
    held = _peak()
    del laplacian
    unknown = trimap(alpha, 0.05)
    start = time.process_time()
    found = closed_form_alpha(photo, unknown)
    solved = time.process_time() - start
    error = float((found - alpha)[unknown == 0.5].abs().mean())
    return (
        f"{side:>6}x{side:<6} {built:>7.2f} {applied:>8.3f} {solved:>7.2f} {error:>10.4f} "
        f"{before:>7} {held:>7}"
    )


# -- lines -----------------------------------------------------------------------------------------


def lines(width: int) -> list[tuple[float, float]]:
    """Edges from top to bottom: their columns in the first row, and columns to the right by row."""
    return [
        (share * width, slope) for share, slope in zip((0.2, 0.4, 0.6, 0.8), SLOPES, strict=True)
    ]


SLOPES = (0.1, -0.05, 0.0, -0.12)
COLORS = ((0.7, 0.65, 0.6), (0.25, 0.3, 0.4), (0.5, 0.55, 0.3), (0.85, 0.8, 0.7), (0.35, 0.2, 0.2))


def edges(height: int, width: int) -> Tensor:
    """A photo 1 3 H W of soft fields between these lines."""
    y, x = torch.arange(height)[:, None], torch.arange(width)
    photo = torch.tensor(COLORS[0])[:, None, None].expand(3, height, width)
    for (first, slope), color in zip(lines(width), COLORS[1:], strict=True):
        right = (x - first - slope * y + 0.5).clamp(0, 1)
        photo = torch.lerp(photo, torch.tensor(color)[:, None, None].expand_as(photo), right)
    return (photo + 0.05 * torch.sin(x / width * 5 + y / height * 3))[None].clamp(0, 1)


def deviation(picture: Tensor) -> float:
    """RMS distance of the edges in a picture 1 3 H W to straight lines, in pixels."""
    change = picture[0].diff(dim=2).square().sum(dim=0).double().numpy()
    height, width = picture.shape[-2:]
    rows, found = np.arange(height), []
    for first, slope in lines(width):
        center = np.rint(first + slope * rows).astype(int)
        columns = (center[:, None] + np.arange(-NEAR, NEAR)).clip(0, width - 2)
        weights = change[rows[:, None], columns] + 1e-9
        edge = (weights * columns).sum(axis=1) / weights.sum(axis=1)
        found.append(edge - np.polyval(np.polyfit(rows, edge, 1), rows))
    return float(np.sqrt(np.square(found).mean()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--megapixels", type=float, nargs="+", default=[1, 4])
    parser.add_argument("--side", type=int, default=320)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--painting", type=Path, default=PAINTING)
    parser.add_argument("-o", "--output", type=Path, help="PNG for the painted edges")
    args = parser.parse_args()
    print(f"{'pixels':>13} {'make':>7} {'L @ x':>8} {'alpha':>7} {'its error':>10} "
          f"{'MiB':>7} {'peak':>7}")  # fmt: skip
    for megapixels in args.megapixels:
        with multiprocessing.get_context("spawn").Pool(1) as process:
            print(process.apply(cost, (megapixels,)), flush=True)

    encoder = open_encoder("compact")
    painting = torch.from_numpy(read_picture(args.painting)).permute(2, 0, 1)[None] / 255
    photo = edges(args.side * 3 // 4, args.side)
    print(f"\n{'edges':<34} {'px RMS':>7}\n{'photo':<34} {deviation(photo):>7.3f}")
    pictures = [photo]
    for name, weight, radius in (
        ("plain", 0.0, 0), ("--photorealistic 1", 1.0, 0), ("  and smoothed", 1.0, 15),
    ):  # fmt: skip
        recipe = Recipe(
            encoder.default_content,
            encoder.default_style,
            {"photorealistic": weight},
            photorealistic_smoothing=radius,
            loop=LoopOptions(steps=args.steps),
        )
        pictures.append(Gatys(encoder, [Painting(painting)], recipe, MEMORY).paint(photo))
        print(f"{name:<34} {deviation(pictures[-1]):>7.3f}", flush=True)
    if args.output:
        write_grid(args.output, [pictures])


if __name__ == "__main__":
    main()
