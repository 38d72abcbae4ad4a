"""Print whether style compared patch by patch helps: nearest patches beside the moments, or alone.

    python tests/benchmarks/patches.py [-o SHEET] [--photos FILE...] [--paintings FILE...]
        [--weights STYLE:PATCHES...] [--judge ENCODER [--judge-weights FILE]]

Every photo is painted after every painting with each pair of --style-weight and --patches-weight;
the rest is as the command has it. First table: medians over the pairs of pictures, the photo itself
beside them. Second table: in how many pairs a figure is better than with the first weights. More
style from the moments alone (2:0, 4:0) is among the weights, for patches too take share from the
content: a row helps if it has more style than another that keeps as much content. Ctrl-C ends it
with the tables of the pairs that are done.

No figure is optimized by any row:

told    held-out accuracy, %, of a network of three convolutions trained to tell the picture's
        patches of 32 pixels from the painting's: a classifier two-sample test (Lopez-Paz, Oquab,
        "Revisiting Classifier Two-Sample Tests", 2017), with the means of Park et al., "Swapping
        Autoencoder for Deep Image Manipulation" (2020), whose patch discriminator trains with the
        generator. 50: it cannot. Trained and tested on other parts of both.
near    squared distance of the picture's patches to the nearest of the painting, over the variance
        of the painting's: 7x7 pixels of the pictures at a quarter of their size. 0: a collage.
used    of the painting's patches to the nearest of the picture. 0: all of the painting is there.
ssim    of the luminances of picture and photo.
cpu     seconds of processor time to paint.

With --judge, an encoder other than that of --encoder, from its features too: ``style``, the
Wasserstein distance to the painting; ``f-near`` and ``f-used``, as above, of patches of 3x3
features, each scaled to length 1, of its deepest style layer of stride 8 or less; ``content``, the
relative squared error.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import torch
import torch.nn.functional as F
from decoders import ssim
from torch import Tensor, nn

from stylepipe import read_picture
from stylepipe.device import pick
from stylepipe.nst.encoders import Encoder, open_encoder
from stylepipe.nst.gatys import Gatys
from stylepipe.nst.optimize import resize, size_of
from stylepipe.nst.paintings import Painting
from stylepipe.nst.photos import load_picture, write_grid
from stylepipe.nst.recipe import LoopOptions, Recipe

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PHOTOS = [
    EXAMPLES / name for name in ("photos/lake.jpg", "photos/still-life.jpg", "portraits/cat.jpg")
]
PAINTINGS = [EXAMPLES / "paintings" / f"{name}.jpg" for name in ("currents", "mosaic", "ink")]
WEIGHTS = ["1:0", "2:0", "4:0", "1:0.5", "1:1", "1:2", "0:1"]
MORE_IS_BETTER = ("ssim",)
PATCH, TRAINING = 32, 200
"""Pixels a side of what is told apart, and steps in which a network learns to."""
MEMORY = 4 << 30
Figures = dict[str, float]


# -- judges ---------------------------------------------------------------------------------


def picture_identities(picture: Tensor, painting: Tensor) -> float:
    """Held-out accuracy, 0 to 1, of a small network on patches of two pictures 1 3 H W.

    Both are cut into cells of two patches a side; it learns from every other cell, like the black
    fields of a chessboard, and is tested on the rest, then the other way round.
    """
    cells = [_cells(p) for p in (picture, painting)]
    return statistics.mean(
        _accuracy([c[fold] for c in cells], [c[1 - fold] for c in cells]) for fold in (0, 1)
    )


def _cells(picture: Tensor) -> tuple[Tensor, Tensor]:
    """The cells of both colors, each M 3 2P 2P."""
    side = 2 * PATCH
    rows, columns = (s // side for s in picture.shape[-2:])
    if min(rows, columns) < 2:
        raise SystemExit(
            f"a photo, or a painting in its size, has a side of {min(picture.shape[-2:])} pixels, "
            f"and {2 * side} are needed to tell patches apart: raise --side, or leave it out"
        )
    fields = picture[0].unfold(1, side, side).unfold(2, side, side).permute(1, 2, 0, 3, 4)
    black = (torch.arange(rows)[:, None] + torch.arange(columns)) % 2 == 0
    return fields[black], fields[~black]


def _accuracy(learnt: Sequence[Tensor], held_out: Sequence[Tensor]) -> float:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(
            *(nn.Conv2d(3, 32, 3, 2), nn.LeakyReLU(0.2), nn.Conv2d(32, 64, 3, 2)),
            *(nn.LeakyReLU(0.2), nn.Conv2d(64, 64, 3, 2), nn.LeakyReLU(0.2)),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 1)),
        )
        optimizer = torch.optim.AdamW(net.parameters(), 2e-3, weight_decay=1e-2)
        truth = torch.cat([torch.zeros(32, 1), torch.ones(32, 1)])
        for _ in range(TRAINING):
            batch = torch.cat([_drawn(cells, len(truth) // 2) for cells in learnt])
            loss = F.binary_cross_entropy_with_logits(net(2 * batch - 1), truth)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            right = [
                ((net(2 * patches - 1) > 0) == bool(label)).float().mean()
                for label, patches in enumerate(map(_all, held_out))
            ]
    return float(torch.stack(right).mean())


def _drawn(cells: Tensor, count: int) -> Tensor:
    """Random patches, every other one mirrored."""
    which = torch.randint(len(cells), (count,)).tolist()
    corners = torch.randint(PATCH + 1, (count, 2)).tolist()
    patches = torch.stack(
        [
            cells[n, :, y : y + PATCH, x : x + PATCH]
            for n, (y, x) in zip(which, corners, strict=True)
        ]
    )
    return torch.cat([patches[::2], patches[1::2].flip(-1)])


def _all(cells: Tensor) -> Tensor:
    """Patches 8 pixels apart."""
    patches = cells.unfold(2, PATCH, 8).unfold(3, PATCH, 8)
    return patches.permute(0, 2, 3, 1, 4, 5).flatten(0, 2)


def nearest(of: Tensor, among: Tensor, side: int) -> float:
    """Mean squared distance of the patches of maps 1 C H W to the nearest of others."""
    own, others = (F.unfold(maps.float(), side)[0].T for maps in (of, among))
    closest = [torch.cdist(rows, others).min(dim=1).values for rows in own.split(1024)]
    return float(torch.cat(closest).square().mean())


def both_ways(picture: Tensor, painting: Tensor, side: int, prefix: str = "") -> Figures:
    """How near a picture's patches are to a painting's, and these to the picture's."""
    patches = F.unfold(painting.float(), side)[0].T
    size = float(patches.var(dim=0, correction=0).sum()) + 1e-8
    return {
        f"{prefix}near": nearest(picture, painting, side) / size,
        f"{prefix}used": nearest(painting, picture, side) / size,
    }


class Judge:
    """The figures of pictures that are to be a photo after a painting, both 1 3 H W."""

    def __init__(self, photo: Tensor, painting: Tensor, encoder: Encoder | None) -> None:
        self.photo, self.painting, self.encoder = photo, painting, encoder
        for picture in (photo, painting):  # before an hour of painting
            _cells(picture)
        if encoder:
            how = Recipe(
                encoder.default_content, encoder.default_style, {"content": 1.0, "tv": 0.0}
            )
            self._objective = Gatys(encoder, [Painting(painting)], how, MEMORY).objective(photo)
            self._layer = [n for n in encoder.default_style if encoder.stride(n) <= 8][-1]

    def __call__(self, picture: Tensor) -> Figures:
        own, wanted = (F.avg_pool2d(p, 4) for p in (picture, self.painting))
        found = {
            "told": 100 * picture_identities(picture, self.painting),
            **both_ways(own, wanted, 7),
        }
        if self.encoder:
            values = self._objective(picture)[0]
            found["style"] = float(values["style"])
            own, wanted = (self._features(p) for p in (picture, self.painting))
            found |= both_ways(own, wanted, 3, prefix="f-")
            found["content"] = float(values["content"])
        found["ssim"] = ssim(picture, self.photo)
        return found

    @torch.no_grad()
    def _features(self, picture: Tensor) -> Tensor:
        assert self.encoder
        return F.normalize(self.encoder(picture, [self._layer])[self._layer], dim=1)


# -- pictures and tables --------------------------------------------------------------------


def recipe(encoder: Encoder, weights: str, steps: int) -> Recipe:
    """What the command does with these weights. Raise ValueError for weights that it refuses."""
    style, colon, patches = weights.partition(":")
    if not colon:
        raise ValueError(f"{weights!r} is not --style-weight:--patches-weight, such as 1:0.5")
    return Recipe(
        *(encoder.default_content, encoder.default_style),
        weights={"style": float(style), "patches": float(patches)},
        loop=LoopOptions(steps=steps),
    )


def paint(encoder: Encoder, photo: Tensor, painting: Tensor, how: Recipe) -> tuple[Tensor, float]:
    """The picture, and the seconds of processor time that it took."""
    began = time.process_time()
    picture = Gatys(encoder, [Painting(painting)], how, MEMORY).paint(photo)
    return picture, time.process_time() - began


def medians(rows: dict[str, list[Figures]]) -> None:
    names = list(next(iter(rows.values()))[0])
    print(f"{'':>9}" + "".join(f"{name:>9}" for name in names))
    for row, found in rows.items():
        values = [statistics.median(f[name] for f in found) for name in names]
        print(f"{row:>9}" + "".join(f"{v:9.1f}" if v >= 10 else f"{v:9.3f}" for v in values))


def better(rows: dict[str, list[Figures]]) -> None:
    """In how many pairs each row is better than the first."""
    (first, base), *others = rows.items()
    print(f"\nbetter than {first}, of {len(base)}")
    for row, found in others:
        counts = []
        for name in base[0]:
            sign = 1 if name in MORE_IS_BETTER else -1
            counts.append(
                sum(sign * a[name] > sign * b[name] for a, b in zip(found, base, strict=True))
            )
        print(f"{row:>9}" + "".join(f"{count:9}" for count in counts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", type=Path, nargs="+", default=PHOTOS)
    parser.add_argument("--paintings", type=Path, nargs="+", default=PAINTINGS)
    parser.add_argument("--weights", nargs="+", default=WEIGHTS, metavar="STYLE:PATCHES")
    parser.add_argument("--encoder", default="compact", help="that the pictures are painted with")
    parser.add_argument("--encoder-weights", type=Path, metavar="FILE")
    parser.add_argument("--judge", metavar="ENCODER", help="that judges the pictures, too")
    parser.add_argument("--judge-weights", type=Path, metavar="FILE")
    parser.add_argument("--side", type=int, default=256, help="short side of the photos")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("-o", "--output", type=Path, metavar="SHEET", help="PNG of all pictures")
    args = parser.parse_args()
    device = pick("cpu")
    encoder = open_encoder(args.encoder, args.encoder_weights, dtype=device.dtype, log=print)
    try:
        recipes = {weights: recipe(encoder, weights, args.steps) for weights in args.weights}
    except ValueError as error:
        parser.error(str(error))
    judging = open_encoder(args.judge, args.judge_weights) if args.judge else None
    rows: dict[str, list[Figures]] = {row: [] for row in [*recipes, "the photo"]}
    sheet: list[list[Tensor]] = []

    def pair(photo_path: Path, painting_path: Path) -> None:
        photo = load_picture(read_picture, photo_path, args.side)
        whole = Painting(load_picture(read_picture, painting_path, 2 * args.side))
        # In the size that its style is taken in.
        painting = resize(whole.picture, whole.size_for(size_of(photo), 1.0, 1))
        judge = Judge(photo, painting, judging)
        pictures, found = [], []
        for how in recipes.values():
            picture, seconds = paint(encoder, photo, painting, how)
            pictures.append(picture)
            found.append(judge(picture) | {"cpu": seconds})
        found.append(judge(photo) | {"cpu": 0.0})
        for figures, row in zip(found, rows.values(), strict=True):
            row.append(figures)
        print(f"{photo_path.stem} after {painting_path.stem}", flush=True)
        sheet.append([photo, F.interpolate(painting, size_of(photo), mode="area"), *pictures])
        if args.output:
            write_grid(args.output, sheet)

    try:
        for paths in product(args.photos, args.paintings):
            pair(*paths)
    except KeyboardInterrupt:
        if not sheet:
            raise
    medians(rows)
    better({weights: rows[weights] for weights in recipes})


if __name__ == "__main__":
    main()
