"""Compose the README's picture: the example photos above, each bundled style below.

python examples/make_gallery.py [-o examples/gallery.jpg]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

import stylepipe
from stylepipe.components import Stylizer
from stylepipe.plugins import Plugins

HERE = Path(__file__).resolve().parent
PHOTOS = (
    "photos/lake.jpg",
    "photos/town/harbour.jpg",
    "photos/still-life.jpg",
    "portraits/cat.jpg",
)
TILE, GAP, LABEL, LIMIT = (300, 225), 6, 118, 500_000
"""Size of a picture, space between two, width of the names, most bytes of the result."""


def names() -> list[str]:
    """Every bundled style."""
    return [style.name for style in Plugins().component(Stylizer, "fast").styles()]


def tile(path: Path) -> Image.Image:
    """The middle of a picture, upright, at the size of a tile."""
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
    # portraits: the upper part is worth seeing
    middle = (0.5, 0.5 if upright.width > upright.height else 0.28)
    return ImageOps.fit(upright, TILE, Image.Resampling.LANCZOS, centering=middle)


def painted(folder: Path, style: str) -> list[Image.Image]:
    """The photos in one style."""
    report = stylepipe.convert(
        [HERE / photo for photo in PHOTOS], folder, settings={"stylizer": {"style": style}}
    )
    if report.exit_code:
        raise SystemExit(f"{style}: {report.failures}")
    return [tile(folder / Path(photo).name) for photo in PHOTOS]


def main() -> None:
    """Paint, compose, and write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=HERE / "gallery.jpg")
    output = parser.parse_args().output
    rows = [("the photos", [tile(HERE / photo) for photo in PHOTOS])]
    with tempfile.TemporaryDirectory() as folder:
        for style in names():
            print(style, flush=True)
            rows.append((style, painted(Path(folder) / style, style)))
    width = LABEL + len(PHOTOS) * (TILE[0] + GAP)
    sheet = Image.new("RGB", (width, len(rows) * (TILE[1] + GAP) - GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for row, (name, tiles) in enumerate(rows):
        top = row * (TILE[1] + GAP)
        words = name.replace("-", "\n") if len(name) > 12 else name
        draw.multiline_text((8, top + TILE[1] // 2), words, "#333333", font, anchor="lm")
        for column, image in enumerate(tiles):
            sheet.paste(image, (LABEL + column * (TILE[0] + GAP), top))
    pixels = cv2.cvtColor(np.asarray(sheet), cv2.COLOR_RGB2BGR)
    for quality in range(92, 40, -4):
        done, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
        if done and len(data) < LIMIT:
            output.write_bytes(data.tobytes())
            print(f"{output}: {sheet.width}x{sheet.height}, quality {quality}, {len(data)} bytes")
            return
    raise SystemExit(f"the sheet does not fit into {LIMIT} bytes")


if __name__ == "__main__":
    main()
