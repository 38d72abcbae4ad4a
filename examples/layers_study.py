"""Which layers, which content distance? Two student studies, rerun on an encoder of your choice.

    python examples/layers_study.py PHOTO --style PAINTING -o FOLDER [--encoder compact]

Prints tables and writes sheets of pictures into FOLDER:

1. style-layers.png: the painting's texture from noise, one style layer at a time; and content from
   each layer in turn with the style of block 3 (Yuan, Huang, "Learning with Image Style Transfer",
   2021, figures 2 and 3).
2. The table of intensity and contrast: squared and perceptual distance of white, gray and black
   pictures, and of a photo at three contrasts (the same, figures 5 and 6).
3. conv2.png: style from the second instead of the first convolution of the deep blocks (Goyal,
   Neogy, "Neural Style Transfer: Analysis and Improvement"). They compare the final losses of two
   different objectives; the third column judges both by one.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from stylepipe import read_picture
from stylepipe.nst.encoders import Encoder, open_encoder
from stylepipe.nst.gatys import Gatys
from stylepipe.nst.objective import TiledEncoder
from stylepipe.nst.paintings import Painting
from stylepipe.nst.photos import load_picture, write_grid
from stylepipe.nst.recipe import LoopOptions, Recipe
from stylepipe.nst.terms.content import Perceptual

FIRST = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")


def recipe(content: list[str], style: list[str], steps: int, **values: object) -> Recipe:
    """Gatys as the studies have it: Gram matrices, one size, L-BFGS."""
    loop = LoopOptions(steps=steps, optimizer="lbfgs")
    base: dict[str, object] = {"style_loss": "gram", "first_side": 0, "loop": loop, **values}
    return Recipe(dict.fromkeys(content, 1.0), dict.fromkeys(style, 1.0), **base)  # type: ignore[arg-type]


def paint(encoder: Encoder, photo: Tensor, painting: Tensor, how: Recipe) -> tuple[Tensor, float]:
    """The picture and its final loss."""
    losses = [0.0]
    picture = Gatys(encoder, [Painting(painting)], how, 4 << 30).paint(
        photo, on_step=lambda step: losses.append(step.loss)
    )
    return picture, losses[-1]


def perceptual(encoder: Encoder, a: Tensor, b: Tensor) -> float:
    """LPIPS-like distance of two pictures of one size over the first layers of all blocks."""
    layers = [layer for layer in FIRST if layer in encoder.layers]
    tiled_encoder = TiledEncoder(encoder, layers)
    term = Perceptual(tiled_encoder.maps(b, layers), dict.fromkeys(layers, 1.0))
    # Over the layers, and halved: unrelated features are about 1 apart.
    return float(term.value(tiled_encoder.measure(a, [term])[0])[0]) / (2 * len(layers))


def layers_one_by_one(
    encoder: Encoder, photo: Tensor, painting: Tensor, steps: int, folder: Path
) -> None:
    blocks = [layer for layer in FIRST if layer in encoder.layers]
    judge = _StyleJudge(encoder, photo, painting, blocks)
    print(f"\n{'style layer alone':22} {'style distance':>14}")
    textures = []
    for layer in blocks:
        how = recipe(blocks[:1], [layer], steps, weights={"content": 0.0}, init="noise")
        texture, _ = paint(encoder, photo, painting, how)
        textures.append(texture)
        print(f"{layer:22} {judge(texture):14.4f}", flush=True)
    print(f"\n{'style relu3_1, content':22} {'style distance':>14} {'content distance':>17}")
    pairs = []
    for layer in blocks:
        picture, _ = paint(encoder, photo, painting, recipe([layer], ["relu3_1"], steps))
        pairs.append(picture)
        print(f"{layer:22} {judge(picture):14.4f} {perceptual(encoder, picture, photo):17.4f}",
              flush=True)  # fmt: skip
    write_grid(folder / "style-layers.png", [textures, pairs])


def intensity_and_contrast(encoder: Encoder, photo: Tensor) -> None:
    flat = {name: torch.full_like(photo, v) for name, v in
            (("white", 1.0), ("gray", 0.5), ("black", 0.0))}  # fmt: skip
    gray = photo.mean(dim=(2, 3), keepdim=True)
    contrast = {f"contrast {c}": gray + c * (photo - gray) for c in (1.0, 0.75, 0.5)}
    print(f"\n{'two pictures':28} {'squared':>9} {'perceptual':>11}")
    for pictures, pairs in (
        (flat, (("white", "black"), ("white", "gray"), ("gray", "black"))),
        (contrast, (("contrast 1.0", "contrast 0.75"), ("contrast 1.0", "contrast 0.5"))),
    ):
        for a, b in pairs:
            squared = float((pictures[a] - pictures[b]).square().mean())
            distance = perceptual(encoder, pictures[a], pictures[b])
            print(f"{a + ', ' + b:28} {squared:9.4f} {distance:11.4f}")


def second_convolutions(
    encoder: Encoder, photo: Tensor, painting: Tensor, steps: int, folder: Path
) -> None:
    first = [layer for layer in FIRST if layer in encoder.layers]
    second = [f"{layer[:-1]}2" if layer[4] in "45" else layer for layer in first]
    second = [new if new in encoder.layers else old for new, old in zip(second, first, strict=True)]
    judge = _StyleJudge(encoder, photo, painting, first)
    print(f"\n{'style layers':50} {'own loss':>9} {'style distance':>14} {'content':>9}")
    pictures = []
    for layers in (first, second):
        picture, loss = paint(encoder, photo, painting, recipe(["relu4_1"], layers, steps))
        pictures.append(picture)
        print(f"{' '.join(layers):50} {loss:9.4f} {judge(picture):14.4f} "
              f"{perceptual(encoder, picture, photo):9.4f}", flush=True)  # fmt: skip
    write_grid(folder / "conv2.png", [[photo, *pictures]])


class _StyleJudge:
    """Wasserstein distance to the painting over all blocks: the same for every candidate."""

    def __init__(
        self, encoder: Encoder, photo: Tensor, painting: Tensor, layers: list[str]
    ) -> None:
        weights = dict.fromkeys(layers, 1.0)
        how = Recipe({layers[0]: 1.0}, weights, {"content": 0.0, "tv": 0.0})
        self._objective = Gatys(encoder, [Painting(painting)], how, 4 << 30).objective(photo)

    def __call__(self, picture: Tensor) -> float:
        return float(self._objective(picture)[0]["style"][0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photo", type=Path)
    parser.add_argument("--style", type=Path, required=True)
    parser.add_argument("--encoder", default="auto")
    parser.add_argument("--encoder-weights", type=Path)
    parser.add_argument("--side", type=int, default=256, help="short side of the photo")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    encoder = open_encoder(args.encoder, args.encoder_weights, log=print)
    photo = load_picture(read_picture, args.photo, args.side)
    painting = load_picture(read_picture, args.style, args.side)
    intensity_and_contrast(encoder, photo)
    second_convolutions(encoder, photo, painting, args.steps, args.output)
    layers_one_by_one(encoder, photo, painting, args.steps, args.output)


if __name__ == "__main__":
    main()
