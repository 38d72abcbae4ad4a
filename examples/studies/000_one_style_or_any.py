"""A network for one style, or for any: training, speed and results. Wang, Yu, Wang, Xie.

"Comparative Analysis of Different Methods in Neural Style Transfer": feed-forward networks after
Johnson et al. (2016), trained on faces with two weights of the style, against one that inverts
swapped patches after Chen and Schmidt (2016), and one for AdaIN. As it is, it takes about
20 minutes of one core.

    python examples/studies/000_one_style_or_any.py -o one_or_any
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
from common import EXAMPLES, Claim, Line, Study, command, parser, run, shown

from stylepipe.errors import UsageError
from stylepipe.nst.files import read_metadata
from stylepipe.nst.names import VggName
from stylepipe.pictures import read_picture
from stylepipe.studies.measures import fitted, measured
from stylepipe.training import find_pictures

FACES, PORTRAIT = EXAMPLES / "portraits", EXAMPLES / "portraits/cat.jpg"
OTHER = EXAMPLES / "photos/lake.jpg"
PAINTINGS, PAINTING = EXAMPLES / "paintings", EXAMPLES / "paintings/currents.jpg"
FULL = {"side": 256, "steps": 579, "arbitrary_steps": 12500, "quality": "quality"}
"""5 epochs of 463 faces for one style, of 10,000 photos for any, in batches of 4."""
BATCH = 4
SMALLEST = 64
"""Pieces that decoders are trained on, in pixels."""
GUESS = 96
"""Pictures that decoders are first guessed from."""
CHECKPOINTS = 20
"""Steps of a training that a kill costs at most."""
NONE = "none: the painting"
FIGURES = ["style_distance", "content_distance", "mse", "seconds"]


@dataclass(frozen=True)
class Method:
    """A kind of network, and how it is trained."""

    name: str
    stylizer: str
    recipe: str | None = None
    """Of ``stylepipe train fast``, for one style; the others are for any."""

    @property
    def file(self) -> str:
        """Of the trained network."""
        return f"{self.recipe or self.stylizer}.safetensors"

    def steps(self, study: Study) -> int:
        """Of its training."""
        return int(study.args.steps if self.recipe else study.args.arbitrary_steps)

    def training(self, study: Study, painting: Path) -> list[object]:
        """The arguments of ``stylepipe train``."""
        args = study.args
        if self.recipe is not None:
            return ["--recipe", self.recipe, "--style", painting, "--style-size", args.side,
                    "--quality", args.quality]  # fmt: skip
        return ["--paintings", PAINTINGS, "--batch", BATCH, "--learning-rate", 0.001,
                "--tv-weight", 0.0001, "--temporal-consistency-weight", 0,
                "--guess", GUESS]  # fmt: skip


METHODS = (
    Method("one style, weights 1 : 3 : 0.01", "fast", "wang-style-1"),
    Method("one style, weights 1 : 15 : 0.01", "fast", "wang-style-2"),
    Method("any style, swapped patches", "style-swap"),
    Method("any style, AdaIN", "adain"),
)


def trained(study: Study, method: Method, painting: Path) -> float:
    """Train a network where it is not yet, or resume that; the seconds that it took in all.

    Raises StudyFailed."""
    file, args = study.folder / method.file, study.args
    if not file.is_file():
        common = ["--photos", args.faces, "-o", file, "--size", args.side,
                  "--steps", method.steps(study), "--checkpoint-every", CHECKPOINTS]  # fmt: skip
        options = study.encoder_options()
        if method.recipe and "encoder_weights" in options:
            del options["encoder"]  # the weights say which network they are
        for key, value in options.items():
            common += [f"--{key.replace('_', '-')}", value]
        command("train", method.stylizer, *common, *method.training(study, painting))
        study.note_load(method.file)
    return float(read_metadata(file)["seconds"])


def painted(study: Study, method: Method, photo: Path, painting: Path) -> Line:
    """A photo by a trained network."""
    network = study.folder / method.file
    options: dict[str, object] = {"use": method.stylizer}
    style = network
    if method.recipe is None:
        options |= {"decoder": network, **study.encoder_options()}
        style = painting
    name = f"{network.stem}-{photo.stem}"
    (line,) = study.sweep(name, photo, [style], {}, options)
    distances = study.judge.style_distances(study.read(line), read_picture(painting))
    # of a network for one style the sweep does not know the painting
    line["style_distance"] = float(np.mean(list(distances.values())))
    return line | {"network": method.name, "photo": photo.stem}


def unrelated(study: Study, photo: Path, painting: Path) -> Line:
    """The painting itself beside a photo: what a network has learned keeps more of the photo."""
    beside, learnt = read_picture(photo), read_picture(painting)
    figures = measured(fitted(learnt, beside), beside, study.judge, learnt)
    return figures | {"network": NONE, "photo": photo.stem, "picture": painting}


def claims(lines: Sequence[Line], paintings: Sequence[Line]) -> list[Claim]:
    """What the poster concludes, beside these figures. ``paintings``: see unrelated."""
    bounds = {line["photo"]: line["content_distance"] for line in paintings}
    face = [line for line in lines if line["photo"] == "face"]
    other = [line for line in lines if line["photo"] == "other"]
    one, every = face[:2], face[2:]
    kept = [line["content_distance"] / bounds[line["photo"]] for line in (*one, *other[:2])]
    learned = all(line["content_distance"] < bounds["face"] for line in face)

    def seen(holds: bool) -> bool | None:
        return holds if learned else None

    unlearned = "" if learned else "; the networks have not learned to show a photo: see --full"

    def all_of(kind: Sequence[Line], figure: str) -> str:
        return ", ".join(shown(line[figure]) for line in kind)

    return [
        Claim(
            "a network for one style is trained sooner (4 min 40 s against an hour)",
            max(line["training"] for line in one) < min(line["training"] for line in every)
            if one[0]["steps"] < every[0]["steps"]
            else None,
            f"{all_of(one, 'training')} s against {all_of(every, 'training')} s, "
            f"in {one[0]['steps']} and {every[0]['steps']} steps: "
            f"{', '.join(shown(line['training'] / line['steps']) for line in face)} s a step",
        ),
        Claim(
            "both paint a picture in seconds",
            max(line["seconds"] for line in face) < 10,
            f"{all_of(face, 'seconds')} s",
        ),
        Claim(
            "where there are few photos, a network for each style is better",
            seen(
                max(line["style_distance"] for line in one)
                < min(line["style_distance"] for line in every)
            ),
            f"style distances {all_of(one, 'style_distance')} against "
            f"{all_of(every, 'style_distance')}{unlearned}",
        ),
        Claim(
            "15 instead of 3 as the style's weight shows more of the style",
            seen(one[1]["style_distance"] < one[0]["style_distance"]),
            f"style distances {all_of(one, 'style_distance')}{unlearned}",
        ),
        Claim(
            "trained on faces, a network for one style does less well on the rest of the world",
            seen(kept[0] < kept[2] and kept[1] < kept[3]),
            "content distances, over those of the painting itself: "
            f"{shown(kept[0])}, {shown(kept[1])} of a face, "
            f"{shown(kept[2])}, {shown(kept[3])} of a landscape{unlearned}",
        ),
        Claim(
            "a network for any style is good at extremely distinctive styles, not at complex ones",
            None,
            "the poster does not say which are",
        ),
    ]


def differences(args: argparse.Namespace, photos: int) -> list[str]:
    """What is not as in the paper, but for the encoder."""
    epochs = args.steps * BATCH / photos
    return [
        f"networks for one style are of the kind `{args.quality}` and see the photos "
        f"{shown(epochs)} times, in {args.steps} steps, instead of 5 times",
        "those for any style begin with a guess by least squares, part of the training, instead "
        f"of random weights, and take {args.arbitrary_steps} steps instead of 5 epochs of 10,000 "
        "photos",
        "one painting instead of three illustrations",
        "AdaIN, which it does not try",
    ]


def make(study: Study) -> None:
    args = study.args
    if args.side < SMALLEST:
        raise UsageError(f"--side {args.side} is too small to train on: {SMALLEST} is the least")
    faces = find_pictures([args.faces], "--faces")
    painting = study.picture(PAINTING, "painting")
    photos = [study.picture(args.portrait, "face"), study.picture(OTHER, "other")]
    lines = []
    for method in METHODS:
        seconds = trained(study, method, painting)
        for photo in photos:
            line = painted(study, method, photo, painting)
            lines.append(line | {"training": seconds, "steps": method.steps(study)})
    study.say(
        f"Trained on {len(faces)} photo{'s' * (len(faces) > 1)}, in pieces of {args.side} px and "
        f"batches of {BATCH}."
    )
    study.differs(*differences(args, len(faces)))
    named = [(line["network"], line["picture"]) for line in lines]
    shown_first = [[("painting", painting)], [("face", photos[0])], [("other", photos[1])]]
    study.sheet("networks", [shown_first[0], *(shown_first[1 + k] + named[k::2] for k in (0, 1))])
    paintings = [unrelated(study, photo, painting) for photo in photos]
    columns = ["network", "photo", "steps", "training", *FIGURES]
    study.table("networks", [*lines, *paintings], columns)
    study.claims(claims(lines, paintings))


def main(argv: Sequence[str] | None = None) -> int:
    full = "256 px, 5 epochs of 463 and of 10,000 photos, the better network"
    flags = parser(__doc__ or "", 200, full, side=256, encoders=get_args(VggName))
    flags.add_argument("--faces", type=Path, default=FACES, help="photos to train on, a folder")
    flags.add_argument("--portrait", type=Path, default=PORTRAIT, help="a photo to paint")
    flags.add_argument(
        "--arbitrary-steps", type=int, default=20, help="of networks for any style [%(default)s]"
    )
    flags.add_argument(
        "--quality",
        choices=("light", "quality"),
        default="light",
        help="of networks for one style: the better one, or one many times cheaper [%(default)s]",
    )
    return run(make, flags, argv, FULL)


if __name__ == "__main__":
    raise SystemExit(main())
