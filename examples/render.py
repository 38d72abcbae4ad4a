"""Render everything in this folder that looks like a photo, a painting or a film.

    python examples/render.py [--only NAME] [--size 960]

The pictures are computed from noise, height fields, convex solids and distance functions (see
``scenes/``); the same seeds give the same pictures. Needs what stylepipe itself needs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import cv2  # noqa: E402
import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402
from scenes import cat, film, forest, harbor, lake, lighthouse, paintings, still_life  # noqa: E402
from scenes.noise import develop  # noqa: E402

ORIENTATION, MAKER, DESCRIPTION = 0x0112, 0x010F, 0x010E


def picture(
    scene: Callable[[int, int], np.ndarray], width: int, height: int, finer: float
) -> np.ndarray:
    """8-bit RGB of a scene, rendered ``finer`` times larger and averaged down."""
    large = scene(round(width * finer), round(height * finer))
    large = np.minimum(large, 4)
    return develop(cv2.resize(large, (width, height), interpolation=cv2.INTER_AREA))


def save_photo(path: Path, pixels: np.ndarray, what: str, turned: bool = False) -> None:
    """Write a JPEG with EXIF; ``turned``: stored lying on its side, as phones do."""
    exif = Image.Exif()
    exif[MAKER], exif[DESCRIPTION] = "stylepipe renderer", what
    if turned:
        exif[ORIENTATION] = 6
        pixels = np.rot90(pixels, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.save(path, quality=88, exif=exif, dpi=(240, 240))


def photos(size: int) -> dict[str, Callable[[], None]]:
    """What is rendered, by name; ``size`` is the long side in pixels."""
    s, t = size, size * 2 // 3
    folder = HERE / "photos"

    def draw_cat() -> None:
        w, h = s // 2, s * 5 // 8
        color, outline = cat.layers(w * 3 // 2, h * 3 // 2)
        small = [cv2.resize(a, (w, h), interpolation=cv2.INTER_AREA) for a in (color, outline)]
        rgb, mask = develop(small[0]), np.uint8(small[1] * 255 + 0.5)
        save_photo(HERE / "portraits" / "cat.jpg", rgb, "A ginger cat")
        (HERE / "masks").mkdir(exist_ok=True)
        Image.fromarray(mask).save(HERE / "masks" / "cat.png", optimize=True)
        (folder / "cutouts").mkdir(parents=True, exist_ok=True)
        half = [
            cv2.resize(a, (w * 3 // 4, h * 3 // 4), interpolation=cv2.INTER_AREA)
            for a in (rgb, mask)
        ]
        half[0][half[1] == 0] = 0
        cutout = Image.fromarray(np.dstack(half))
        cutout.save(folder / "cutouts" / "cat.png", optimize=True)

    def draw_paintings() -> None:
        for draw in (paintings.currents, paintings.mosaic, paintings.ink):
            path = HERE / "paintings" / f"{draw.__name__}.jpg"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(draw(s * 15 // 16, s * 35 // 48)).save(path, quality=85)

    return {
        "paintings": draw_paintings,
        "lake": lambda: save_photo(
            folder / "lake.jpg", picture(lake.render, s, t, 1.5), "A mountain lake"
        ),
        "lighthouse": lambda: save_photo(
            folder / "lighthouse.jpg", picture(lighthouse.render, s, t, 1.5), "A lighthouse"
        ),
        "harbor": lambda: save_photo(
            folder / "town" / "harbor.jpg", picture(harbor.render, s, t, 2), "A harbor town"
        ),
        "still-life": lambda: save_photo(
            folder / "still-life.jpg",
            picture(still_life.render, t, s, 1.5),
            "Flowers and fruit",
            turned=True,
        ),
        "forest": lambda: save_photo(
            folder / "forest.jpg", picture(forest.render, s, t, 2), "An alley in autumn"
        ),
        "cat": draw_cat,
        "clip": lambda: film.flight(HERE / "clip.mp4"),
        "cut": lambda: film.cut(HERE / "cut.mp4"),
    }


def main() -> None:
    """Render all, or the one that was named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=list(photos(960)), help="what to render, instead of all")
    parser.add_argument("--size", type=int, default=960, help="long side of the photos, in pixels")
    args = parser.parse_args()
    for name, render in photos(args.size).items():
        if args.only in (None, name):
            print(name, flush=True)
            render()


if __name__ == "__main__":
    main()
