"""Print how near pictures come to the painting, and how much of the photo and its sharpness stays.

    python tests/benchmarks/beauty.py --judge WEIGHTS [--references FOLDER] [--pairs TABLE]
        [--stylizers NAME...] [--set KEY=VALUE...] [-o SHEETS]

    style      squared error of the judge's Gram matrices over those of the painting, mean of its
               layers: lower is closer to the painting
    content    squared error of its features over their variance, at one layer: lower keeps more
    sharpness  variance of the Laplacian over the photo's: blur lowers it, grain lifts it

The judge is a network that trained nothing of what it judges (--judge: weights of torchvision's
SqueezeNet 1.0, or of another that the package can open); its title is printed. The row `photo` is
the photo as it is: a stylizer that does nothing. Pictures are compared at the photo's size; the
painting is scaled to the same area.

--references: a folder with published results of other tools and what they were made from; the table
REFERENCES names the files. --pairs: a TOML file with a table [name] of photo, painting and, for
`fast`, style, for each further pair. Sheets (painting, photo, results, labeled) go to -o.
Figures guard against losing the photo or the painting; whether a picture is good, eyes decide.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import stylepipe
from stylepipe import read_picture
from stylepipe.nst.encoders import Encoder, load_encoder
from stylepipe.nst.losses import content_loss
from stylepipe.nst.photos import to_tensor

Picture = NDArray[np.uint8]
ANY_PAINTING = ("universal", "adain", "wct", "style-swap", "gatys")


@dataclass(frozen=True)
class Pair:
    """A photo and a painting. results: other tools', by name. style: the bundled one after it."""

    name: str
    photo: Path
    painting: Path
    style: str = ""
    results: tuple[tuple[str, Path], ...] = ()


# name: photo, painting, bundled style, peers' results
REFERENCES = {
    "chicago, wave": (
        "chicago.jpg", "style_wave.jpg", "great-wave", {"feed-forward": "peer_chicago_wave.jpg"},
    ),
    "chicago, scream": (
        "chicago.jpg", "style_the_scream_fast.jpg", "scream",
        {"feed-forward": "peer_chicago_the_scream.jpg"},
    ),
    "tubingen, starry": (
        "tubingen.jpg", "style_starry_night.jpg", "starry-night",
        {"optimized": "peer_tubingen_starry.png"},
    ),
    "tubingen, scream": (
        "tubingen.jpg", "style_scream.jpg", "scream", {"optimized": "peer_tubingen_scream.png"},
    ),
    "tubingen, shipwreck": (
        "tubingen.jpg", "style_shipwreck.jpg", "", {"optimized": "peer_tubingen_shipwreck.png"},
    ),
    "bike, starry": (
        "bike.jpg", "style_starry_night.jpg", "starry-night",
        {
            "swap optimized": "peer_bike_starry_3x3_max.jpg",
            "swap network": "peer_bike_starry_3x3_max_invnet.jpg",
        },
    ),
}  # fmt: skip


class Judge:
    """Distances by one encoder."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.style, self.content = list(encoder.default_style), list(encoder.default_content)

    def features(self, picture: Picture) -> dict[str, Tensor]:
        with torch.inference_mode():
            layers = [*self.style, *self.content]
            return self.encoder(to_tensor(picture)[None], layers)

    def measure(self, result: Picture, photo: Picture, painting: Picture) -> tuple[float, float]:
        """Style distance to the painting, content distance to the photo."""
        own, kept, wanted = map(self.features, (result, photo, painting))
        styles = []
        for layer in self.style:
            gram, target = _gram(own[layer]), _gram(wanted[layer])
            styles.append(float((gram - target).square().sum() / target.square().sum()))
        contents = [float(content_loss(own[layer], kept[layer])[0]) for layer in self.content]
        return statistics.mean(styles), statistics.mean(contents)


def _gram(features: Tensor) -> Tensor:
    flat = features[0].float().flatten(1)
    return flat @ flat.t() / flat.shape[1]


def sharpness(picture: Picture) -> float:
    """Variance of the Laplacian of the luminance, 0 to 255."""
    return float(cv2.Laplacian(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var())


def fitted(picture: Picture, like: Picture) -> Picture:
    """Scaled to the other's size."""
    size = like.shape[1], like.shape[0]
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def same_area(painting: Picture, photo: Picture) -> Picture:
    """A painting as large as the photo, in its own proportions."""
    factor = (photo.shape[0] * photo.shape[1] / (painting.shape[0] * painting.shape[1])) ** 0.5
    size = round(painting.shape[1] * factor), round(painting.shape[0] * factor)
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return cv2.resize(painting, size, interpolation=method)  # type: ignore[return-value]


def painted(pair: Pair, photo: Path, name: str, settings: list[str]) -> tuple[Picture, float]:
    """The photo by a stylizer, and the seconds it took, start included. name: one of
    ANY_PAINTING, or fast:quality, fast:light."""
    use, _, network = name.partition(":")
    stylizer: dict[str, object] = {"use": use, "style": str(pair.painting)}
    if use == "fast":
        stylizer = {"use": use, "style": pair.style, "quality": network or "quality"}
    for text in settings:
        key, _, value = text.partition("=")
        of, _, option = key.rpartition(".")
        if of in ("", use):
            stylizer[option] = tomllib.loads(f"value = {value}")["value"]
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "result.png"
        report = stylepipe.convert(photo, output, settings={"stylizer": stylizer})
        if report.exit_code:
            raise SystemExit(f"{name}: {report.failures}")
        return read_picture(output), time.perf_counter() - began


def pairs(references: Path | None, table: Path | None) -> list[Pair]:
    found = []
    if references is not None:
        for name, (photo, painting, style, results) in REFERENCES.items():
            others = tuple((who, references / file) for who, file in results.items())
            found.append(Pair(name, references / photo, references / painting, style, others))
    if table is not None:
        for name, row in tomllib.loads(table.read_text(encoding="utf-8")).items():
            photo, painting = (table.parent / row[key] for key in ("photo", "painting"))
            found.append(Pair(name, photo, painting, row.get("style", "")))
    return found


def labeled(picture: Picture, text: str, height: int) -> Picture:
    """Scaled to a height, with a line of text below."""
    width = round(picture.shape[1] * height / picture.shape[0])
    small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    strip = np.full((24, width, 3), 255, np.uint8)
    cv2.putText(strip, text, (4, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return np.concatenate([small, strip])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--judge", type=Path, required=True)
    parser.add_argument("--references", type=Path)
    parser.add_argument("--pairs", type=Path)
    names = ["fast:light", "fast:quality", *ANY_PAINTING]
    parser.add_argument("--stylizers", nargs="*", default=names, metavar="NAME")
    parser.add_argument("--set", nargs="*", default=[], metavar="[STYLIZER.]KEY=VALUE")
    parser.add_argument("--side", type=int, default=512, help="long side of the photo")
    parser.add_argument("-o", "--output", type=Path, help="folder for a sheet a pair")
    args = parser.parse_args()
    judge = Judge(load_encoder(args.judge, device=torch.device("cpu"), dtype=torch.float32))
    print(f"judge: {judge.encoder.title}, {args.judge.name}; style {' '.join(judge.style)}; "
          f"content {' '.join(judge.content)}")  # fmt: skip
    print(f"{'':22} {'':14} {'style':>7} {'content':>7} {'sharp':>6} {'seconds':>8}")
    for pair in pairs(args.references, args.pairs):
        original = read_picture(pair.photo)
        factor = min(1.0, args.side / max(original.shape[:2]))
        size = round(original.shape[1] * factor), round(original.shape[0] * factor)
        photo = cv2.resize(original, size, interpolation=cv2.INTER_AREA)
        painting = same_area(read_picture(pair.painting), photo)
        tiles = [labeled(painting, pair.name, 360), labeled(photo, "photo", 360)]

        def row(
            name: str, picture: Picture, seconds: float | None = None,
            pair: Pair = pair, photo: Picture = photo, painting: Picture = painting,
        ) -> None:  # fmt: skip
            style, content = judge.measure(picture, photo, painting)
            crisp = sharpness(picture) / sharpness(photo)
            took = "" if seconds is None else f"{seconds:8.2f}"
            print(f"{pair.name:22} {name:14} {style:7.3f} {content:7.3f} {crisp:6.2f} {took}",
                  flush=True)  # fmt: skip

        row("photo", photo)
        for who, path in pair.results:
            picture = fitted(read_picture(path), photo)
            row(who, picture)
            tiles.append(labeled(picture, f"other: {who}", 360))
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "photo.png"
            cv2.imwrite(str(source), cv2.cvtColor(photo, cv2.COLOR_RGB2BGR))
            for name in args.stylizers:
                if name.startswith("fast") and not pair.style:
                    continue
                picture, seconds = painted(pair, source, name, args.set)
                row(name, picture, seconds)
                tiles.append(labeled(picture, name, 360))
        if args.output is not None:
            args.output.mkdir(parents=True, exist_ok=True)
            sheet = np.concatenate(tiles, axis=1)
            file = args.output / f"{pair.name.replace(', ', '-').replace(' ', '-')}.png"
            cv2.imwrite(str(file), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    main()
