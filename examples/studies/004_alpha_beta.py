"""How much content, which convolutions, and a photo as the reference. Goyal, Neogy.

"Neural Style Transfer: Analysis and Improvement": the grid of alpha and beta; style from the second
instead of the first convolution of blocks 4 and 5, with the total loss; and a photo instead of a
painting, without and with masks of its sky. As it is, it takes about a minute of one core.

    python examples/studies/004_alpha_beta.py -o alpha_beta
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from common import EXAMPLES, Claim, Line, Study, command, parser, region_mask, run, save, shown

from stylepipe.errors import UsageError
from stylepipe.nst.encoders import Encoder
from stylepipe.nst.gatys import Gatys
from stylepipe.nst.paintings import Painting
from stylepipe.nst.photos import to_tensor
from stylepipe.nst.recipe import Recipe
from stylepipe.nst.recipes import recipes_of
from stylepipe.pictures import read_picture
from stylepipe.studies.measures import Picture

PHOTO, REFERENCE = EXAMPLES / "photos/lake.jpg", EXAMPLES / "photos/lighthouse.jpg"
PAINTINGS = [EXAMPLES / f"paintings/{name}.jpg" for name in ("currents", "mosaic")]
FULL = {"side": 512, "steps": 1000}
ALPHAS, BETAS = (1e-4, 1e-3, 1e-2), (0.1, 1, 10)
"""Their ratios are those that Gatys et al. (2015) print above the columns, and 0.1."""
SECOND = {"relu4_1": "relu4_2", "relu5_1": "relu5_2"}
MEMORY = 4 << 30
NAME = "gatys2015"
PRINTED = recipes_of("gatys")[NAME]
HOW = {"use": "gatys", "recipe": NAME, "init": "content", "pooling": "max"}
"""The slides begin with the photo, and name no pooling: it is the network's own."""


def convolutions(encoder: Encoder) -> tuple[list[str], list[str]]:
    """The style layers as printed, and with the second convolutions of SECOND that the encoder has.

    Raises UsageError where it has none."""
    first = [layer.partition(":")[0] for layer in PRINTED["style_layers"]]
    second = [SECOND[n] if SECOND.get(n) in encoder.layers else n for n in first]
    if first == second:
        raise UsageError(
            f"{encoder.title} has neither {' nor '.join(SECOND.values())}, which are compared with "
            f"{' and '.join(SECOND)}; choose another --encoder"
        )
    return first, second


def total_loss(
    encoder: Encoder, picture: Picture, photo: Picture, painting: Picture, style: Sequence[str]
) -> float:
    """Of a picture, by the objective of these style layers."""
    recipe = Recipe(
        dict.fromkeys(PRINTED["content_layers"], 1.0),
        dict.fromkeys(style, 1 / len(style)),
        {name: PRINTED[f"{name}_weight"] for name in ("content", "style", "tv")},
        style_loss=PRINTED["style_loss"],
        loss_scale=PRINTED["loss_scale"],
    )
    shown, kept, learnt = (to_tensor(p)[None] for p in (picture, photo, painting))
    values, _ = Gatys(encoder, [Painting(learnt)], recipe, MEMORY).objective(kept)(shown)
    return float(values["content"][0] + values["style"][0])


def shared(layers: Sequence[str]) -> list[str]:
    """With equal shares, as option."""
    return [f"{layer}:{1 / len(layers):g}" for layer in layers]


def color_apart(a: Picture, mask_a: Picture, b: Picture, mask_b: Picture) -> float:
    """Distance of the mean colors, RGB in [0, 1], of the parts where masks H W are white."""
    means = [p[m > 127].mean(axis=0) / 255 for p, m in ((a, mask_a), (b, mask_b))]
    return float(np.linalg.norm(means[0] - means[1]))


def sky(study: Study, name: str, source: Path, own: Path | None) -> Picture:
    """The sky of a photo in the folder, H W of 0 and 255, also written: from a file, or found.

    Raises UsageError where there is none, or nothing else."""
    photo = read_picture(study.folder / f"{name}.png")
    if own is None:
        own = study.folder / "found" / f"{name}.png"
        command("masks", source, "-o", own, "--mask", "sky", "--overwrite", "-q")
    mask = region_mask(own, photo)
    if mask is None:
        raise UsageError(f"{source} is all sky, or has none; give masks, or other photos")
    save(study.folder / f"{name}_sky.png", mask)
    return mask


def grid(study: Study) -> list[Line]:
    """Every alpha with every beta."""
    vary = {"content_weight": ALPHAS, "style_weight": BETAS}
    how = {**HOW, "steps": study.args.steps}
    lines = study.sweep("grid", study.folder / "photo.png", [_copy(study)], vary, how)
    for line in lines:
        line |= {"alpha": line["content_weight"], "beta": line["style_weight"]}
        line["alpha/beta"] = line["alpha"] / line["beta"]
    return lines


def _copy(study: Study, painting: Path = PAINTINGS[0]) -> Path:
    return study.folder / f"{painting.stem}.png"


def conv_2(study: Study) -> list[Line]:
    """Each painting by the first and by the second convolutions, judged by both objectives."""
    first, second = convolutions(study.encoder)
    photo = study.folder / "photo.png"
    how = {**HOW, "steps": study.args.steps}
    copies = [_copy(study, painting) for painting in PAINTINGS]
    vary = {"style_layers": [shared(first), shared(second)]}
    lines = study.sweep("conv_2", photo, copies, vary, how)
    for line in lines:
        painting = read_picture(study.folder / line["style"])
        line["style from"] = (
            "conv_2" if line["style_layers"] == " + ".join(shared(second)) else "conv_1"
        )
        for name, layers in (("conv_1", first), ("conv_2", second)):
            line[f"loss of {name}"] = total_loss(
                study.encoder, study.read(line), read_picture(photo), painting, layers
            )
        line["own loss"] = line[f"loss of {line['style from']}"]
    return lines


def references(study: Study) -> list[Line]:
    """A photo as the reference, without and with masks of the two skies."""
    photo, reference = study.folder / "photo.png", study.folder / "reference.png"
    here = sky(study, "photo", PHOTO, study.args.photo_mask)
    there = sky(study, "reference", study.args.reference, study.args.reference_mask)
    how = {**HOW, "steps": study.args.steps}
    masks = ["--set", f"mask.regions={study.folder / 'photo_sky.png'}"]
    theirs = {"style_regions": [study.folder / "reference_sky.png"]}
    lines = [
        *study.sweep("unmasked", photo, [reference], {}, how),
        *study.sweep("masked", photo, [reference], {}, {**how, **theirs}, *masks),
    ]
    wanted = read_picture(reference)
    for line, name in zip(lines, ("without masks", "with masks"), strict=True):
        line["reference"] = name
        picture = study.read(line)
        line["sky"] = color_apart(picture, here, wanted, there)
        line["below"] = color_apart(picture, 255 - here, wanted, 255 - there)
    return lines


def claims(cells: Sequence[Line], pictures: Sequence[Line], parts: Sequence[Line]) -> list[Claim]:
    """What the slides conclude, beside these figures."""
    ratios: dict[float, list[Line]] = {}
    for line in cells:
        ratios.setdefault(round(line["alpha/beta"], 6), []).append(line)
    means = [
        [sum(line[name] for line in ratios[r]) / len(ratios[r]) for r in sorted(ratios)]
        for name in ("content_distance", "style_distance")
    ]
    spread = max(
        max(line["style_distance"] for line in same) / min(line["style_distance"] for line in same)
        for same in ratios.values()
    )
    gains, judged = [], []
    for first, second in zip(pictures[::2], pictures[1::2], strict=True):
        gains.append(1 - second["own loss"] / first["own loss"])
        judged.append(1 - second["loss of conv_1"] / first["loss of conv_1"])
    without, masked = parts
    return [
        Claim(
            "a larger alpha/beta keeps more content and less style",
            means[0] == sorted(means[0], reverse=True) and means[1] == sorted(means[1]),
            f"at {' '.join(f'{r:g}' for r in sorted(ratios))}: content distance "
            f"{' '.join(map(shown, means[0]))}, style distance {' '.join(map(shown, means[1]))}",
        ),
        Claim(
            "the ratio alone counts (each column of the paper's figure is one)",
            spread < 1.05,
            f"style distances at one ratio differ by a factor of {shown(spread)} at most",
        ),
        Claim(
            "style from conv_2 of blocks 4 and 5 reduces the total loss (by 18.8 %)",
            min(gains) > 0,
            "own loss lower by " + ", ".join(f"{100 * gain:.1f} %" for gain in gains),
        ),
        Claim(
            "so it makes better pictures: judged by one loss, of conv_1, too",
            min(judged) > 0,
            "lower by " + ", ".join(f"{100 * gain:.1f} %" for gain in judged),
        ),
        Claim(
            "without masks the reference's style is copied onto all of the photo; masks are the "
            "solution",
            masked["sky"] < without["sky"] and masked["below"] < without["below"],
            "distance of mean colors to the same part of the reference, without and with masks: "
            f"sky {shown(without['sky'])}, {shown(masked['sky'])}; below it "
            f"{shown(without['below'])}, {shown(masked['below'])}",
        ),
    ]


def make(study: Study) -> None:
    first, second = convolutions(study.encoder)
    photo = study.picture(PHOTO, "photo")
    reference = study.picture(study.args.reference, "reference")
    for painting in PAINTINGS:
        study.picture(painting, painting.stem)
    columns = ["style_distance", "content_distance", "mse", "seconds"]
    parts = references(study)
    cells = grid(study)
    pictures = conv_2(study)
    lacking = [layer for layer in SECOND.values() if layer not in second]
    study.differs(
        "L-BFGS instead of gradient descent",
        *(f"no {layer}, which the network does not have" for layer in lacking),
        "photos and paintings of ours, and masks of skies",
    )
    study.say("## Alpha (content) and beta (style)")
    rows = [
        [
            (f"alpha {c['alpha']:g}, beta {c['beta']:g}", c["picture"])
            for c in cells[k : k + len(BETAS)]
        ]
        for k in range(0, len(cells), len(BETAS))
    ]
    study.sheet("grid", rows)
    study.table("grid", cells, ["alpha", "beta", "alpha/beta", *columns])
    study.say("## Style from the first or the second convolutions")
    study.say(f"conv_1: {', '.join(first)}; conv_2: {', '.join(second)}.")
    named = [(f"{p['style from']}, {p['style']}", p["picture"]) for p in pictures]
    study.sheet("conv_2", [named[k : k + 2] for k in range(0, len(named), 2)])
    losses = ["own loss", "loss of conv_1", "loss of conv_2"]
    study.table("conv_2", pictures, ["style", "style from", *losses, *columns])
    study.say("## A photo as the reference")
    named = [(part["reference"], part["picture"]) for part in parts]
    study.sheet("reference", [[("photo", photo), ("reference", reference), *named]])
    study.table("reference", parts, ["reference", "sky", "below", "mse", "seconds"])
    study.claims(claims(cells, pictures, parts))


def main(argv: Sequence[str] | None = None) -> int:
    flags = parser(__doc__ or "", 60, "512 px, 1000 steps")
    flags.add_argument("--reference", type=Path, default=REFERENCE, help="a photo for the style")
    flags.add_argument("--photo-mask", type=Path, help="its sky in white; else it is found")
    flags.add_argument("--reference-mask", type=Path, help="the reference's sky in white")
    return run(make, flags, argv, FULL)


if __name__ == "__main__":
    raise SystemExit(main())
