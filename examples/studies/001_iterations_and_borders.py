"""Iterations, run time, and what happens at the borders of regions. Ding, Liu, Wang.

"CS 229 Final Project: Neural Style Transfer": Adam from noise, with total variation, at several
numbers of iterations; and spatial control, with each way to treat features at a region's border.
As it is, it takes about 2 minutes of one core.

    python examples/studies/001_iterations_and_borders.py -o iterations
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from common import EXAMPLES, GATYS, Claim, Line, Study, parser, region_mask, run, save, shown

from stylepipe.errors import UsageError
from stylepipe.pictures import read_picture
from stylepipe.studies.measures import Picture

PHOTO = EXAMPLES / "photos/lake.jpg"
PORTRAIT, MASK = EXAMPLES / "portraits/cat.jpg", EXAMPLES / "masks/cat.png"
PAINTINGS = [EXAMPLES / f"paintings/{name}.jpg" for name in ("mosaic", "currents")]
FULL = {"side": 500, "steps": 300}
HOW = {**GATYS, "optimizer": "adam", "tv_power": 1, "tv_weight": 1}
BORDERS = ("feather", "inside", "simple")
STARTS = ("noise", "content")
HOUR = 3600
BAND = 24
"""A border reaches this part of the picture's long side into both regions."""


def seam(picture: Picture, mask: Picture) -> float:
    """How much more detail a picture has along the border of a mask than elsewhere: mean absolute
    Laplacian of the luminance. H W 3, and H W of 0 and 255; 1 is no border to be seen."""
    detail = np.abs(cv2.Laplacian(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.CV_64F))
    away = sum(cv2.distanceTransform(m, cv2.DIST_L2, 5) for m in (mask, 255 - mask))
    near = away <= max(2, max(mask.shape) // BAND)
    return float(detail[near].mean() / detail[~near].mean())


def iterations(study: Study) -> list[Line]:
    """From noise and from the photo, at a 30th, a 10th, a third and all of the steps."""
    steps = sorted({max(1, study.args.steps // part) for part in (30, 10, 3, 1)})
    vary = {"init": STARTS, "steps": steps}
    return study.sweep(
        "iterations", study.folder / "photo.png", [study.folder / "currents.png"], vary, HOW
    )


def borders(study: Study) -> list[Line]:
    """A portrait and what is behind it, each after its painting, by each mode; the first painting
    everywhere; and the photo."""
    portrait, region = study.folder / "portrait.png", study.folder / "mask.png"
    paintings = [study.folder / f"{painting.stem}.png" for painting in PAINTINGS]
    how = {**HOW, "init": "content", "steps": study.args.steps}
    lines = study.sweep("whole", portrait, paintings[:1], {}, how)
    lines += study.sweep(
        "borders",
        portrait,
        [],
        {"border": BORDERS},
        {**how, "style": paintings},
        "--set",
        f"mask.regions={region}",
    )
    lines.append({"picture": portrait})
    mask = read_picture(region)[..., 0]
    for line, name in zip(lines, ("one style, no regions", *BORDERS, "the photo"), strict=True):
        line |= {"border": name, "seam": seam(study.read(line), mask)}
    return lines


def region(study: Study, portrait: Picture) -> None:
    """Write the mask of the portrait in its size, in black and white. Raises UsageError."""
    mask = region_mask(study.args.mask, portrait)
    if mask is None:
        raise UsageError(f"{study.args.mask} has one color; a mask of two regions is needed")
    save(study.folder / "mask.png", mask)


def claims(study: Study, tries: Sequence[Line], parts: Sequence[Line]) -> list[Claim]:
    """What the poster concludes, beside these figures."""
    half = len(tries) // 2
    noise, content = tries[half - 1], tries[-1]
    height, width = study.read(noise).shape[:2]
    large = min(height, width) >= 300 and study.args.steps >= 300
    distances = [line["style_distance"] for line in tries[:half]]
    whole, *modes, _ = parts
    lowest = min(modes, key=lambda line: line["seam"])
    return [
        Claim(
            "300 iterations of a picture of 500x500 take more than an hour on a CPU",
            noise["seconds"] > HOUR if large else None,
            f"{int(noise['steps'])} iterations of {width}x{height} took {shown(noise['seconds'])} "
            "s; see --full" * (not large),
        ),
        Claim(
            "the style comes nearer with the iterations, from noise",
            distances == sorted(distances, reverse=True),
            ", ".join(
                f"{int(line['steps'])}: {shown(line['style_distance'])}" for line in tries[:half]
            ),
        ),
        Claim(
            "noise of the random start remains in the picture",
            noise["sharpness"] > max(1.0, 1.1 * content["sharpness"]),
            f"sharpness over the photo's {shown(noise['sharpness'])} from noise, "
            f"{shown(content['sharpness'])} from the photo",
        ),
        Claim(
            "spatial control distorts the picture at the borders of masks",
            all(line["seam"] > 1.1 * whole["seam"] for line in modes),
            f"detail along the border, over that elsewhere: {shown(whole['seam'])} without "
            "regions, "
            + ", ".join(f"{line['border']} {shown(line['seam'])}" for line in modes)
            + f"; least with {lowest['border']}",
        ),
        Claim(
            "each pair of pictures requires weights of its own, and spatial control fails if the "
            "style is too photorealistic",
            None,
            "no figure says what is impressive, or photorealistic",
        ),
    ]


def make(study: Study) -> None:
    study.picture(PHOTO, "photo")
    for painting in PAINTINGS:
        study.picture(painting, painting.stem)
    portrait = study.picture(study.args.portrait, "portrait")
    region(study, read_picture(portrait))
    parts, tries = borders(study), iterations(study)
    half = len(tries) // 2
    study.differs(
        "weights, which are not printed, are those of relative losses",
        "the photo as a start beside the random one",
        f"regions by a mask of the photo alone, and {len(BORDERS)} ways to treat their borders",
    )
    study.say("## Iterations and run time")
    named = [(f"{line['init']}, {int(line['steps'])} steps", line["picture"]) for line in tries]
    study.sheet("iterations", [named[:half], named[half:]])
    columns = ["style_distance", "content_distance", "sharpness", "mse"]
    study.table("iterations", tries, ["init", "steps", "seconds", *columns])
    study.say("## Spatial control")
    named = [(line["border"], line["picture"]) for line in parts]
    study.sheet("borders", [named])
    study.table("borders", parts, ["border", "seam", "mse", "seconds"])
    study.claims(claims(study, tries, parts))


def main(argv: Sequence[str] | None = None) -> int:
    flags = parser(__doc__ or "", 150, "500 px, 300 steps", side=128)
    flags.add_argument("--portrait", type=Path, default=PORTRAIT, help="a photo of two regions")
    flags.add_argument("--mask", type=Path, default=MASK, help="white where the second one is")
    return run(make, flags, argv, FULL)


if __name__ == "__main__":
    raise SystemExit(main())
