"""Compose the pictures of README and guides: the example photos above, each bundled style below,
small and large; a photo after each of three paintings, by four stylizers that take any; and one by
nearest neighbors.

python examples/make_gallery.py [-o FOLDER] [--only gallery|styles|any_painting|motifs]
"""

from __future__ import annotations

import argparse
import io
import tempfile
from collections.abc import Iterable
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

import stylepipe
from stylepipe.components import Stylizer
from stylepipe.plugins import Plugins

HERE = Path(__file__).resolve().parent
PAINTINGS = ("currents", "mosaic", "ink")
ANY = ("universal", "style-swap", "wct", "gatys")
PHOTOS = ("photos/lake.jpg", "photos/town/harbor.jpg", "portraits/cat.jpg")
TILE, GAP, LIMIT = (264, 198), 4, 500_000
"""Size of a picture, space between two, and the most bytes of the result."""
LARGE, LARGE_LIMIT = (384, 288), 1_600_000
"""The same for the larger sheet of all styles, in the reference."""
MOTIFS_HEIGHT = 480


def names() -> list[str]:
    """Every bundled style."""
    return [style.name for style in Plugins().component(Stylizer, "fast").styles()]


def tile(path: Path, size: tuple[int, int] = TILE) -> Image.Image:
    """The middle of a picture, upright, at the size of a tile."""
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
    # portraits: the upper part is worth seeing
    middle = (0.5, 0.5 if upright.width > upright.height else 0.28)
    return ImageOps.fit(upright, size, Image.Resampling.LANCZOS, centering=middle)


def painted(
    photos: Iterable[Path], folder: Path, size: tuple[int, int] = TILE, **stylizer: object
) -> list[Image.Image]:
    """The photos by one stylizer, as tiles."""
    given = list(photos)
    report = stylepipe.convert(given, folder, settings={"stylizer": stylizer})
    if report.exit_code:
        raise SystemExit(f"{stylizer}: {report.failures}")
    return [tile(folder / photo.name, size) for photo in given]


def named(image: Image.Image, name: str) -> Image.Image:
    """With a name in the corner."""
    height = image.height
    draw = ImageDraw.Draw(image, "RGBA")
    font = ImageFont.load_default(15)
    corner = draw.textbbox((8, height - 8), name, font, anchor="ls")
    draw.rectangle((0, corner[1] - 6, corner[2] + 8, height), (0, 0, 0, 150))
    draw.text((8, height - 8), name, "white", font, anchor="ls")
    return image


def row(tiles: list[Image.Image]) -> Image.Image:
    """Tiles side by side."""
    width, height = tiles[0].size
    strip = Image.new("RGB", (len(tiles) * (width + GAP) - GAP, height), "white")
    for column, image in enumerate(tiles):
        strip.paste(image, (column * (width + GAP), 0))
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


def in_all_styles(folder: Path, size: tuple[int, int]) -> list[Image.Image]:
    """A row of the photos, and one in each bundled style."""
    photos = [HERE / photo for photo in PHOTOS]
    rows = [named(row([tile(photo, size) for photo in photos]), "the photos")]
    for style in names():
        print(style, flush=True)
        tiles = painted(photos, folder / style, size, use="fast", style=style)
        rows.append(named(row(tiles), style))
    return rows


def below(rows: list[Image.Image]) -> Image.Image:
    """Rows of one size, one below the other."""
    width, height = rows[0].size
    sheet = Image.new("RGB", (width, len(rows) * (height + GAP) - GAP), "white")
    for k, strip in enumerate(rows):
        sheet.paste(strip, (0, k * (height + GAP)))
    return sheet


def gallery(folder: Path) -> Image.Image:
    """The photos in each bundled style."""
    return compose(in_all_styles(folder, TILE))


def styles(folder: Path) -> Image.Image:
    """The same, larger."""
    return below(in_all_styles(folder, LARGE))


def any_painting(folder: Path) -> Image.Image:
    """A row for each painting: itself, and a photo after it by each stylizer."""
    rows = []
    for name in PAINTINGS:
        painting = HERE / "paintings" / f"{name}.jpg"
        tiles = [tile(painting)]
        for use in ANY:
            print(name, use, flush=True)
            photos = [HERE / PHOTOS[len(rows)]]
            (image,) = painted(photos, folder / name / use, use=use, style=str(painting))
            tiles.append(image if rows else named(image, use))
        rows.append(row(tiles))
    return below(rows)


def motifs(folder: Path) -> Image.Image:
    """A photo, a painting, and the photo after it by nearest neighbors, at one height."""
    photo, painting = HERE / "photos" / "still-life.jpg", HERE / "paintings" / "mosaic.jpg"
    painted([photo], folder, use="nnst", style=str(painting), content=0.7, max_side=512)
    pictures = []
    for path in (photo, painting, folder / photo.name):
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image).convert("RGB")
        size = round(upright.width * MOTIFS_HEIGHT / upright.height), MOTIFS_HEIGHT
        pictures.append(upright.resize(size, Image.Resampling.LANCZOS))
    width = sum(picture.width + GAP for picture in pictures) - GAP
    sheet, left = Image.new("RGB", (width, MOTIFS_HEIGHT), "white"), 0
    for picture in pictures:
        sheet.paste(picture, (left, 0))
        left += picture.width + GAP
    return sheet


def main() -> None:
    """Paint, compose, and write the sheets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=HERE)
    parser.add_argument("--only", choices=[s.__name__ for s in SHEETS])
    args = parser.parse_args()
    for make in SHEETS:
        if args.only in (None, make.__name__):
            with tempfile.TemporaryDirectory() as folder:
                limit = LARGE_LIMIT if make is styles else LIMIT
                write(args.output / f"{make.__name__}.jpg", make(Path(folder)), limit)


SHEETS = (gallery, styles, any_painting, motifs)


def write(output: Path, sheet: Image.Image, limit: int) -> None:
    """As good a JPEG as fits."""
    for quality in range(92, 20, -4):
        file = io.BytesIO()
        sheet.save(file, "JPEG", quality=quality, optimize=True)
        if len(file.getvalue()) < limit:
            output.write_bytes(file.getvalue())
            print(f"{output}: {sheet.size}, quality {quality}, {len(file.getvalue())} bytes")
            return
    raise SystemExit(f"the sheet does not fit into {limit} bytes")


if __name__ == "__main__":
    main()
