"""A network for one style, or for any: training, speed and results. Wang, Yu, Wang, Xie.

"Comparative Analysis of Different Methods in Neural Style Transfer": feed-forward networks after
Johnson et al. (2016), trained on faces with two weights of the style, against one that inverts
swapped patches after Chen and Schmidt (2016), and one for AdaIN.

    python examples/studies/000_one_style_or_any.py -o one_or_any
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
from common import EXAMPLES, Claim, Line, Study, command, parser, run, shown

from stylepipe.errors import UsageError
from stylepipe.nst.files import write_atomically
from stylepipe.nst.names import VggName
from stylepipe.pictures import read_picture
from stylepipe.training import find_pictures

FACES, OTHER = EXAMPLES / "portraits", EXAMPLES / "photos/lake.jpg"
PAINTINGS, PAINTING = EXAMPLES / "paintings", EXAMPLES / "paintings/currents.jpg"
FULL = {"side": 256, "steps": 579, "arbitrary_steps": 12500}
"""5 epochs of 463 faces for one style, of 10,000 photos for any, in batches of 4."""
BATCH = 4
SMALLEST = 64
"""Pieces that decoders are trained on, in pixels."""
LEARNED = 0.8
"""Content distance below which a network shows its photo; an unrelated picture has about 1."""
TIMES = "training.json"
"""Seconds of each training."""
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
        every = study.args.arbitrary_steps if self.recipe is None else None
        return every or int(study.args.steps)

    def training(self, study: Study, painting: Path) -> list[object]:
        """The arguments of ``stylepipe train``."""
        args, steps = study.args, self.steps(study)
        if self.recipe is not None:
            return ["--recipe", self.recipe, "--style", painting, "--style-size", args.side,
                    "--steps", steps]  # fmt: skip
        return ["--paintings", PAINTINGS, "--steps", steps, "--batch", BATCH,
                "--learning-rate", 0.001, "--tv-weight", 0.0001]  # fmt: skip


METHODS = (
    Method("one style, weights 1 : 3 : 0.01", "fast", "wang-style-1"),
    Method("one style, weights 1 : 15 : 0.01", "fast", "wang-style-2"),
    Method("any style, swapped patches", "style-swap"),
    Method("any style, AdaIN", "adain"),
)


def trained(study: Study, method: Method, painting: Path) -> float:
    """Train a network where it is not yet; the seconds that it took. Raises StudyFailed."""
    file, note = study.folder / method.file, study.folder / TIMES
    times: dict[str, float] = json.loads(note.read_text("utf-8")) if note.is_file() else {}
    if method.file not in times:
        begun = time.perf_counter()
        common = ["--photos", study.args.faces, "-o", file, "--size", study.args.side]
        for key, value in study.encoder_options().items():
            common += [f"--{key.replace('_', '-')}", value]
        common.append("--restart")
        command("train", method.stylizer, *common, *method.training(study, painting))
        times[method.file] = time.perf_counter() - begun
        write_atomically(note, json.dumps(times, indent=1).encode())
    return times[method.file]


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


def claims(lines: Sequence[Line]) -> list[Claim]:
    """What the poster concludes, beside these figures."""
    face = [line for line in lines if line["photo"] == "face"]
    other = [line for line in lines if line["photo"] == "other"]
    one, every = face[:2], face[2:]
    learned = all(line["content_distance"] < LEARNED for line in face)

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
            f"in {one[0]['steps']} and {every[0]['steps']} steps",
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
            seen(
                all(
                    f["content_distance"] < o["content_distance"]
                    for f, o in zip(one, other[:2], strict=True)
                )
            ),
            f"content distances {all_of(one, 'content_distance')} of a face, "
            f"{all_of(other[:2], 'content_distance')} of a landscape{unlearned}",
        ),
    ]


def make(study: Study) -> None:
    args = study.args
    if args.side < SMALLEST:
        raise UsageError(f"--side {args.side} is too small to train on: {SMALLEST} is the least")
    faces = find_pictures([args.faces], "--faces")
    painting = study.picture(PAINTING, "painting")
    photos = [study.picture(faces[0], "face"), study.picture(OTHER, "other")]
    lines = []
    for method in METHODS:
        seconds = trained(study, method, painting)
        for photo in photos:
            line = painted(study, method, photo, painting)
            lines.append(line | {"training": seconds, "steps": method.steps(study)})
    study.say(
        f"Trained on {len(faces)} face{'s' * (len(faces) > 1)}, pieces of {args.side} px, batches "
        f"of {BATCH}, from random weights."
    )
    named = [(f"{line['network']}", line["picture"]) for line in lines]
    originals = [[(path.stem, path)] for path in (photos[0], photos[1])]
    study.sheet("networks", [originals[k] + named[k::2] for k in (0, 1)])
    study.table("networks", lines, ["network", "photo", "steps", "training", *FIGURES])
    study.claims(claims(lines))


def main(argv: Sequence[str] | None = None) -> int:
    full = "256 px, 5 epochs of 463 and of 10,000 photos"
    flags = parser(__doc__ or "", 30, full, side=64, encoders=get_args(VggName))
    flags.add_argument("--faces", type=Path, default=FACES, help="photos to train on, a folder")
    flags.add_argument("--arbitrary-steps", type=int, help="of networks for any style [as --steps]")
    return run(make, flags, argv, FULL)


if __name__ == "__main__":
    raise SystemExit(main())
