"""Extractors, optimizers, losses and iterations, by MSE and SSIM against AdaIN. Jain et al.

"Neural Style Transfer: A Tech Report": what the proposal plans, with AdaIN's picture as the pseudo
ground truth: every network at hand, every optimizer, losses added to content and style one at a
time, and the figures against the number of iterations. As it is, it takes about 2 minutes of one
core for each network, and longer for large ones.

    python examples/studies/002_extractors_optimizers_losses.py -o ablation
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import EXAMPLES, GATYS, Claim, Line, Study, parser, run, shown

from stylepipe.encoders import absent_weights, open_encoder
from stylepipe.errors import SetupError, UsageError
from stylepipe.film_plot import Curve, Panel, draw_chart
from stylepipe.nst.encoders import NAMES
from stylepipe.pictures import read_picture
from stylepipe.studies.measures import absent, mse, ssim

PHOTO, PAINTING = EXAMPLES / "photos/lake.jpg", EXAMPLES / "paintings/currents.jpg"
FULL = {"side": 512, "steps": 500}
HOW = {**GATYS, "init": "content"}
OPTIMIZERS = ("lbfgs", "adam", "adamw", "sgd")
PLAIN, TOWARD_TRUTH = "content + style", "+ reconstruction"
LOSSES: dict[str, dict[str, float]] = {
    "+ total variation": {"tv_weight": 1},
    "+ Laplacian": {"laplacian_weight": 1},
    "+ perceptual": {"perceptual_weight": 0.4},
    "+ patches": {"patches_weight": 0.5},
    TOWARD_TRUTH: {"target_weight": 1},
}
"""Added to content and style, one at a time."""
PLANNED = ("vgg19", "resnet50", "densenet121", "vit-b-16")
"""The networks of the proposal."""
FIGURES = ["mse", "ssim", "style_distance", "content_distance", "seconds"]


def extractors(study: Study) -> dict[str, dict[str, Any]]:
    """The options of each network: those asked for, or all whose weights are on this machine.

    Raises UsageError and SetupError for one that was asked for and cannot be had."""
    asked = study.args.extractor
    if not asked:
        names = [name for name in NAMES[1:] if absent_weights(name, None) is None]
        left_out = [name for name in NAMES[1:] if name not in names]
        if left_out:
            study.say(f"Left out, as their weights are not on this machine: {', '.join(left_out)}.")
        return {name: {"encoder": name} for name in names}
    found: dict[str, dict[str, Any]] = {}
    for text in asked:
        name, _, file = text.partition("=")
        if name in found:
            raise UsageError(f"--extractor {name} is named twice; name each network once")
        path = Path(file) if file else None
        if name in NAMES and (why := absent_weights(name, path)):
            raise SetupError(f"--extractor {text}: {why}")
        open_encoder(name, path)
        found[name] = {"encoder": name} | ({"encoder_weights": file} if file else {})
    return found


def ground_truth(study: Study) -> Path:
    """AdaIN's picture."""
    photo, painting = study.folder / "photo.png", study.folder / "painting.png"
    (line,) = study.sweep("adain", photo, [painting], {}, {"use": "adain"})
    truth: Path = line["picture"]
    return truth


def ablations(
    study: Study, truth: Path, networks: dict[str, dict[str, Any]]
) -> tuple[list[Line], list[Line]]:
    """Every network and optimizer with content and style, at several numbers of iterations; and
    with every loss, at the number asked for."""
    photo, painting = study.folder / "photo.png", study.folder / "painting.png"
    last = study.args.steps
    steps = sorted({max(1, last // 8), max(1, last // 4), max(1, last // 2), last})
    curves: list[Line] = []
    losses: list[Line] = []
    for network, options in networks.items():
        how = {**HOW, **options}
        vary = {"optimizer": OPTIMIZERS, "steps": steps}
        beside = ("--reference", truth)
        lines = study.sweep(f"{network}-steps", photo, [painting], vary, how, *beside)
        curves += [line | {"network": network} for line in lines]
        losses += [
            line | {"network": network, "loss": PLAIN} for line in lines if line["steps"] == last
        ]
        for loss, weights in LOSSES.items():
            toward = {"target": truth} if loss == TOWARD_TRUTH else {}
            lines = study.sweep(
                f"{network}-{loss[2:].replace(' ', '-')}",
                photo,
                [painting],
                {"optimizer": OPTIMIZERS},
                {**how, **weights, **toward, "steps": last},
                *beside,
            )
            losses += [line | {"network": network, "loss": loss} for line in lines]
    return curves, losses


def untouched(photo: Path, truth: Path) -> Line:
    """The photo itself, compared with the pseudo ground truth."""
    own, wanted = read_picture(photo), read_picture(truth)
    return {"network": "none: the photo", "picture": photo,
            "mse": mse(own, wanted), "ssim": ssim(own, wanted)}  # fmt: skip


def plot(study: Study, curves: Sequence[Line], photo: Line) -> None:
    """Both figures of each network against the iterations, from the photo at 0."""
    panels = []
    for network in dict.fromkeys(line["network"] for line in curves):
        own = [line for line in curves if line["network"] == network]
        for figure in ("mse", "ssim"):
            drawn = []
            for optimizer in OPTIMIZERS:
                points = [(line["steps"], line[figure]) for line in own
                          if line["optimizer"] == optimizer]  # fmt: skip
                drawn.append(Curve(optimizer, sorted([(0.0, photo[figure]), *points])))
            panels.append(Panel(f"{network}: {figure} against AdaIN's picture", drawn))
    chart = draw_chart(panels, [], "iterations")
    study.image("iterations", chart, "MSE and SSIM against AdaIN's picture, by iterations")


def nearer(
    loss: str, plain: dict[tuple[str, str], float], added: dict[tuple[str, str], float]
) -> Claim:
    """Whether a loss lowers the MSE to the pseudo ground truth."""
    better = [added[key] < plain[key] for key in plain]
    return Claim(
        f"adding {loss.removeprefix('+ ')} brings the result nearer to it (MSE)",
        all(better),
        f"with {sum(better)} of {len(better)} optimizers",
    )


def claims(photo: Line, curves: Sequence[Line], losses: Sequence[Line]) -> list[Claim]:
    """What the proposal expects, beside these figures."""

    def of(loss: str, figure: str) -> dict[tuple[str, str], float]:
        lines = [line for line in losses if line["loss"] == loss]
        return {(line["network"], line["optimizer"]): line[figure] for line in lines}

    # what is drawn toward the ground truth itself says nothing of how good that is
    blind = [line for line in losses if line["loss"] != TOWARD_TRUTH]
    best = max(blind, key=lambda line: line["ssim"])
    plain = of(PLAIN, "mse")
    rising = []
    for key in plain:
        ssims = [photo["ssim"]] + [
            line["ssim"]
            for line in sorted(curves, key=lambda line: line["steps"])
            if (line["network"], line["optimizer"]) == key
        ]
        rising.append(ssims == sorted(ssims))
    found: dict[str, dict[str, str]] = {}
    distances: dict[str, dict[str, float]] = {}
    seconds = of(PLAIN, "seconds")
    for (network, optimizer), value in of(PLAIN, "style_distance").items():
        distances.setdefault(network, {})[optimizer] = value
        figures = f"{optimizer} {shown(value)} in {shown(seconds[network, optimizer])} s"
        found.setdefault(network, {})[optimizer] = figures
    best_of = {network: min(of_it.values()) for network, of_it in distances.items()}
    return [
        Claim(
            "SSIM against AdaIN tells how good a style transfer is",
            best["ssim"] > photo["ssim"],
            f"the untouched photo has {shown(photo['ssim'])}, the best result "
            f"{shown(best['ssim'])}",
        ),
        Claim(
            "more iterations come nearer to the pseudo ground truth (SSIM)",
            all(rising),
            f"with {sum(rising)} of {len(rising)} optimizers",
        ),
        *(nearer(loss, plain, of(loss, "mse")) for loss in LOSSES),
        Claim(
            "the choice of the optimizer decides over result and time",
            all(max(d.values()) > 1.1 * min(d.values()) for d in distances.values()),
            "style distance: "
            + "; ".join(f"{network}, {', '.join(f.values())}" for network, f in found.items()),
        ),
        Claim(
            "so does that of the network",
            max(best_of.values()) > 1.1 * min(best_of.values()) if len(best_of) > 1 else None,
            "least style distance: " + ", ".join(f"{n} {shown(v)}" for n, v in best_of.items()),
        ),
    ]


def make(study: Study) -> None:
    if missing := absent():
        raise SetupError(f"the study needs all figures: {missing[0]}")
    networks = extractors(study)
    photo, painting = study.picture(PHOTO, "photo"), study.picture(PAINTING, "painting")
    truth = ground_truth(study)
    curves, losses = ablations(study, truth, networks)
    start = untouched(photo, truth)
    lacking = [name for name in PLANNED if name not in networks]
    study.differs(
        *([f"without {', '.join(lacking)}"] if lacking else []),
        "one photo and one painting",
        "AdaIN's picture is by the decoder in the package",
        "gradient descent beside L-BFGS, Adam and AdamW",
    )
    study.say("## The pseudo ground truth")
    study.sheet("truth", [[("photo", photo), ("painting", painting), ("AdaIN", truth)]])
    study.say("## Losses and optimizers")
    for network in networks:
        named = [
            (f"{line['optimizer']} {line['loss']}", line["picture"])
            for line in losses
            if line["network"] == network
        ]
        rows = [named[k : k + len(OPTIMIZERS)] for k in range(0, len(named), len(OPTIMIZERS))]
        study.say(f"With {network}:")
        study.sheet(f"losses-{network}", rows)
    study.table("losses", [start, *losses], ["network", "loss", "optimizer", *FIGURES])
    study.say("## Iterations")
    plot(study, curves, start)
    study.table("iterations", curves, ["network", "optimizer", "steps", *FIGURES])
    study.claims(claims(start, curves, losses))


def main(argv: Sequence[str] | None = None) -> int:
    flags = parser(__doc__ or "", 40, "512 px, 500 steps", encoders=())
    flags.add_argument(
        "--extractor",
        action="append",
        metavar="NAME[=FILE]",
        help="a network to try, and its weights; repeatable [all that are on this machine]",
    )
    return run(make, flags, argv, FULL)


if __name__ == "__main__":
    raise SystemExit(main())
