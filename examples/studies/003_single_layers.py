"""Which layer holds style, which content, and which content distance? Yuan, Huang (2021).

"Learning with Image Style Transfer": textures and pictures from white noise by a single layer
(figures 2 and 3), the tables of intensity and contrast (figures 5 and 6), and a perceptual
loss instead of squared errors for the content (figure 7). As it is, it takes about a minute of one
core.

    python examples/studies/003_single_layers.py -o layers
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from common import EXAMPLES, GATYS, Claim, Line, Study, blocks, parser, run, save, shown

from stylepipe.pictures import read_picture
from stylepipe.studies.measures import Judge, Picture, fitted, mse

PHOTO = EXAMPLES / "photos/lake.jpg"
PAINTINGS = [EXAMPLES / f"paintings/{name}.jpg" for name in ("currents", "mosaic", "ink")]
FULL = {"side": 512, "steps": 500}
CONTENT_WEIGHT = 0.4
CONTRASTS = (1.0, 0.75, 0.5)
"""Of the photo, about its mean."""
STYLE, CONTENT = "lpips to painting", "lpips to photo"
"""The paper's two distances, without LPIPS' calibrated weights."""


def distances(judge: Judge, picture: Picture, painting: Picture, photo: Picture) -> Line:
    """The paper's pair: of a picture to the painting, in its size, and to the photo."""
    return {
        STYLE: judge.perceptual(picture, fitted(painting, picture)),
        CONTENT: judge.perceptual(picture, photo),
    }


def apart(judge: Judge, a: Picture, b: Picture) -> Line:
    """Squared difference of pixels in [-1, 1], as the paper scales them, and LPIPS."""
    return {"squared": 4 * mse(a, b), "lpips": judge.perceptual(a, b)}


def with_contrast(photo: Picture, amount: float) -> Picture:
    """The photo with another contrast."""
    mean = photo.mean()
    return np.rint(mean + amount * (photo.astype(float) - mean)).clip(0, 255).astype(np.uint8)


def pairs(study: Study, photo: Picture) -> list[Line]:
    """The tables of intensity and contrast, of pictures that are written first."""
    flat = {"white": 255, "gray": 128, "black": 0}
    pictures = {name: np.full_like(photo, value) for name, value in flat.items()}
    pictures |= {f"contrast {c}": with_contrast(photo, c) for c in CONTRASTS}
    for name, picture in pictures.items():
        save(study.folder / f"{name}.png", picture)
    full, *weaker = (f"contrast {c}" for c in CONTRASTS)
    wanted = [
        ("white", "black"),
        ("white", "gray"),
        ("gray", "black"),
        *((full, w) for w in weaker),
    ]
    return [{"a": a, "b": b, **apart(study.judge, pictures[a], pictures[b])} for a, b in wanted]


def single_layers(study: Study, layers: Sequence[str]) -> tuple[list[Line], list[Line]]:
    """Textures by one style layer each, then pictures by one content layer each with the style of
    the third block, all from noise."""
    photo, painting = study.folder / "photo.png", study.folder / "currents.png"
    noise = {**GATYS, "init": "noise", "optimizer": "lbfgs", "steps": study.args.steps}
    each = [[layer] for layer in layers]
    textures = study.sweep(
        "textures", photo, [painting], {"style_layers": each}, {**noise, "content_weight": 0}
    )
    third = {"style_layers": [layers[2]], "content_weight": CONTENT_WEIGHT}
    contents = study.sweep(
        "contents", photo, [painting], {"content_layers": each}, {**noise, **third}
    )
    for lines, key in ((textures, "style_layers"), (contents, "content_layers")):
        for line in lines:
            line["layer"] = line[key]
            line |= distances(
                study.judge, study.read(line), read_picture(painting), read_picture(photo)
            )
    return textures, contents


def losses(study: Study, squared: list[str], perceptual: list[str]) -> list[Line]:
    """Each painting with squared errors of features for the content, and with LPIPS, of layers."""
    photo = study.folder / "photo.png"
    paintings = [study.folder / f"{path.stem}.png" for path in PAINTINGS]
    options = {**GATYS, "init": "content", "optimizer": "lbfgs", "steps": study.args.steps}
    kinds: dict[str, dict[str, object]] = {
        "squared": {"content_weight": CONTENT_WEIGHT, "content_layers": squared},
        "perceptual": {
            "content_weight": 0,
            "perceptual_weight": CONTENT_WEIGHT,
            "perceptual_layers": perceptual,
        },
    }
    found = []
    for kind, own in kinds.items():
        for line in study.sweep(kind, photo, paintings, {}, {**options, **own}):
            painting = read_picture(study.folder / line["style"])
            line["content loss"] = kind
            line |= distances(study.judge, study.read(line), painting, read_picture(photo))
            found.append(line)
    return found


def claims(
    layers: Sequence[str],
    textures: Sequence[Line],
    contents: Sequence[Line],
    table: Sequence[Line],
    compared: Sequence[Line],
) -> list[Claim]:
    """What the paper concludes, beside these figures."""
    best = min(textures, key=lambda line: line["style_distance"])["layer"]
    deep = contents[2:]
    best_content = min(deep, key=lambda line: line[STYLE])["layer"]
    lpips = [line["lpips"] for line in table[:3]]
    squared, perceptual = (
        table[4][name] / max(table[3][name], 1e-12) for name in ("squared", "lpips")
    )
    half = len(compared) // 2
    kinds = list(zip(compared[:half], compared[half:], strict=True))
    nearer = [p[STYLE] < s[STYLE] for s, p in kinds]
    rises = all(a["lpips to photo"] >= b["lpips to photo"] for a, b in pairwise(contents))
    clear = [p["sharpness"] > s["sharpness"] for s, p in kinds]
    return [
        Claim(
            "the third block alone preserves most of the style",
            best == layers[2],
            f"least style distance: {best}",
        ),
        Claim(
            "the last block alone has the least of it",
            max(textures, key=lambda line: line["style_distance"]) is textures[-1],
            "style distances by block: "
            + ", ".join(shown(line["style_distance"]) for line in textures),
        ),
        Claim(
            "content of the first two blocks looks worst from noise",
            min(contents[:2], key=lambda line: line[CONTENT])[CONTENT]
            > max(deep, key=lambda line: line[CONTENT])[CONTENT],
            ("falls" if rises else "does not fall")
            + " steadily with depth: LPIPS to the photo "
            + ", ".join(shown(line[CONTENT]) for line in contents),
        ),
        Claim(
            "of content in blocks three to five, the fourth gives the least style distance",
            len(layers) > 3 and best_content == layers[3],
            ", ".join(f"{line['layer']} {shown(line[STYLE])}" for line in deep),
        ),
        Claim(
            "intensity hardly moves LPIPS (the paper's column: 0.45 to 0.54)",
            max(lpips) <= 1.2 * min(lpips),
            "white-black, white-gray, gray-black: " + ", ".join(map(shown, lpips)),
        ),
        Claim(
            "squared errors take intensity 4 : 1 : 1",
            all(abs(table[0]["squared"] / line["squared"] - 4) < 0.1 for line in table[1:3]),
            " : ".join(shown(line["squared"]) for line in table[:3]),
        ),
        Claim(
            "twice the loss of contrast is 4 times the squared error",
            abs(squared - 4) < 0.2,
            f"{shown(squared)} times",
        ),
        Claim("and 3.6 times the LPIPS", abs(perceptual - 3.6) < 0.4, f"{shown(perceptual)} times"),
        Claim(
            "with a perceptual loss for the content the style distance is always smaller",
            all(nearer),
            f"with {sum(nearer)} of {len(nearer)} paintings",
        ),
        Claim(
            "with squared errors the result is more blurred",
            all(clear),
            f"with {sum(clear)} of {len(clear)} paintings; sharpness over the photo's "
            + ", ".join(f"{shown(s['sharpness'])} and {shown(p['sharpness'])}" for s, p in kinds),
        ),
    ]


def make(study: Study) -> None:
    layers = blocks(study)
    photo = study.picture(PHOTO, "photo")
    for path in PAINTINGS:
        study.picture(path, path.stem)
    columns = ["style_distance", STYLE, CONTENT, "mse", "seconds"]
    table = pairs(study, read_picture(photo))
    textures, contents = single_layers(study, layers)
    squared, perceptual = (
        list(study.encoder.default_content),
        list(study.encoder.default_perceptual),
    )
    compared = losses(study, squared, perceptual)
    study.differs(
        f"{len(layers)} blocks" + " instead of 5" * (len(layers) != 5),
        "LPIPS with all weights 1, uncalibrated",
        f"{len(PAINTINGS)} paintings of ours",
    )
    study.say("## A single layer, from white noise")
    study.sheet(
        "layers",
        [
            [(f"style {line['layer']}", line["picture"]) for line in textures],
            [(f"content {line['layer']}", line["picture"]) for line in contents],
        ],
    )
    study.say("Style alone, no content:")
    study.table("textures", textures, ["layer", *columns])
    study.say(f"Content, with the style of {layers[2]}:")
    study.table("contents", contents, ["layer", *columns])
    study.say("## Intensity and contrast")
    study.table("pairs", table, ["a", "b", "squared", "lpips"])
    study.say(
        "## Squared errors or LPIPS for the content",
        f"Squared errors of {', '.join(squared)}; LPIPS of {', '.join(perceptual)}, summed. Each "
        f"has the weight {CONTENT_WEIGHT} beside the style's 1; the paper names none.",
    )
    half = len(compared) // 2
    study.sheet(
        "content_loss",
        [
            [(path.stem, study.folder / f"{path.stem}.png") for path in PAINTINGS],
            *(
                [(line["content loss"], line["picture"]) for line in row]
                for row in (compared[:half], compared[half:])
            ),
        ],
    )
    study.table("content_loss", compared, ["style", "content loss", *columns, "sharpness"])
    study.claims(claims(layers, textures, contents, table, compared))


def main(argv: Sequence[str] | None = None) -> int:
    flags = parser(__doc__ or "", 60, "512 px, 500 steps")
    return run(make, flags, argv, FULL)


if __name__ == "__main__":
    raise SystemExit(main())
