"""Compose the README's picture: the example photos above, each bundled style below.

python examples/make_gallery.py [-o examples/gallery.jpg]
"""

from __future__ import annotations

import argparse
import io
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

import stylepipe
from stylepipe.components import Stylizer
from stylepipe.plugins import Plugins

HERE = Path(__file__).resolve().parent
PHOTOS = ("photos/lake.jpg", "photos/town/harbour.jpg", "portraits/cat.jpg")
TILE, GAP, LIMIT = (264, 198), 4, 500_000
"""Size of a picture, space between two, and the most bytes of the result."""


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


def row(name: str, tiles: list[Image.Image]) -> Image.Image:
    """The photos side by side, with a name in the corner."""
    width, height = TILE
    strip = Image.new("RGB", (len(tiles) * (width + GAP) - GAP, height), "white")
    for column, image in enumerate(tiles):
        strip.paste(image, (column * (width + GAP), 0))
    draw = ImageDraw.Draw(strip, "RGBA")
    font = ImageFont.load_default(15)
    corner = draw.textbbox((8, height - 8), name, font, anchor="ls")
    draw.rectangle((0, corner[1] - 6, corner[2] + 8, height), (0, 0, 0, 150))
    draw.text((8, height - 8), name, "white", font, anchor="ls")
    return strip


def compose(rows: list[Image.Image]) -> Image.Image:
    """Two columns of rows, the photos on top of both."""
    half = -(-len(rows[1:]) // 2)
    columns = [[rows[0], *rows[1 : 1 + half]], [rows[0], *rows[1 + half :]]]
    width, height = rows[0].size
    size = 2 * width + 4 * GAP, max(map(len, columns)) * (height + GAP) - GAP
    sheet = Image.new("RGB", size, "white")
    for x, column in zip((0, width + 4 * GAP), columns, strict=True):
        for k, strip in enumerate(column):
            sheet.paste(strip, (x, k * (height + GAP)))
    return sheet


def main() -> None:
    """Paint, compose, and write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=HERE / "gallery.jpg")
    output = parser.parse_args().output
    rows = [row("the photos", [tile(HERE / photo) for photo in PHOTOS])]
    with tempfile.TemporaryDirectory() as folder:
        for style in names():
            print(style, flush=True)
            rows.append(row(style, painted(Path(folder) / style, style)))
    sheet = compose(rows)
    for quality in range(92, 20, -4):
        file = io.BytesIO()
        sheet.save(file, "JPEG", quality=quality, optimize=True)
        if len(file.getvalue()) < LIMIT:
            output.write_bytes(file.getvalue())
            print(f"{output}: {sheet.size}, quality {quality}, {len(file.getvalue())} bytes")
            return
    raise SystemExit(f"the sheet does not fit into {LIMIT} bytes")


if __name__ == "__main__":
    main()
