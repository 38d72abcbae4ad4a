"""Train the styles that come with the `fast` stylizer.

    python examples/train_bundled_styles.py --photos DIR --paintings DIR --encoder FILE \
        --architecture quality --minutes 70 -o build/quality

Photos: some hundred varied pictures. Paintings: named as in STYLES below. Encoder: the small
encoder to relu5_1; --vgg FILE adds full-width VGG-19 as a second judge.

The bundled files took an hour and a half on two busy CPU cores, in stages, each with --start from
the one before: `quality` 2200 steps at --size 192, then 1900 at 256, then 660 at 240 with
--rate 6e-4 --spikes 5; `light` 2465 steps at --size 224 --rate 2e-3, with --guide, which imitates
`quality` as well. Longer is better.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from stylepipe_plugins.fast.training import read_picture

from stylepipe.device import native_bf16, pick
from stylepipe.nst.encoders import load_encoder
from stylepipe.nst.networks import SPECS, StyleNetwork, StyleRecord, load_styles
from stylepipe.nst.train import Painting, Progress, Trainer, TrainOptions, standard_teacher

VAN_GOGH = "Vincent van Gogh"


def painting(
    file: str, side: int, *record: str, trim: float = 0.0, weight: float = 1.0
) -> Painting:
    """side: sets the size of the strokes. trim: cuts the edges of a scan. weight: helps a style
    whose strokes come out weak. record: name, title, artist, year."""
    return Painting(StyleRecord(*record), Path(f"{file}.jpg"), weight, side, trim)


STARRY = ("starry-night", "The Starry Night", VAN_GOGH, "1889")
WAVE = ("great-wave", "The Great Wave", "Hokusai", "1831")
SCREAM = ("scream", "The Scream", "Edvard Munch", "1893")
SEVEN = ("composition-vii", "Composition VII", "Wassily Kandinsky", "1913")
CUBIST = ("mondrian", "Cubist composition", "Piet Mondrian", "about 1913")
WHEAT = ("wheat-field", "Wheat Field with Cypresses", VAN_GOGH, "1889")
LILIES = ("water-lilies", "Water Lilies", "Claude Monet", "1919")
OLIVES = ("olive-trees", "Olive Trees", VAN_GOGH, "1889")
STYLES = [
    painting("van_gogh_starry_night", 600, *STARRY, trim=0.02),
    painting("hokusai_great_wave", 512, *WAVE, weight=1.3),
    painting("munch_the_scream", 560, *SCREAM, trim=0.03, weight=1.2),
    painting("kandinsky_composition_vii", 512, *SEVEN),
    painting("mondrian", 480, *CUBIST, trim=0.02),
    painting("van_gogh_wheat_field", 600, *WHEAT, trim=0.01),
    painting("monet_water_lilies_1919", 600, *LILIES, trim=0.03),
    painting("van_gogh_olive_trees", 600, *OLIVES, trim=0.03),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--paintings", type=Path, required=True)
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument("--vgg", type=Path)
    parser.add_argument("--vgg-every", type=int, default=3)
    parser.add_argument("--architecture", choices=SPECS, default="quality")
    parser.add_argument("--start", type=Path, help="styles file to start from")
    parser.add_argument("--guide", type=Path, help="styles file to imitate")
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--content", type=float, default=0.4)
    parser.add_argument("--style", type=float, default=1.0)
    parser.add_argument("--copy-steps", type=int, default=300)
    parser.add_argument("--tone", type=float, default=1.0)
    parser.add_argument("--hue", type=float, default=0.5)
    parser.add_argument("--spikes", type=float, default=2.0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--workers", type=int, default=2, help="1 but on a CPU")
    parser.add_argument("--previews", type=Path, nargs="*", default=[])
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()

    torch.manual_seed(0)
    device = pick(args.device).torch
    half = torch.bfloat16 if native_bf16(device) else torch.float32
    paintings = [replace(p, path=args.paintings / p.path) for p in STYLES]
    teachers = [standard_teacher(load_encoder(args.encoder, dtype=half, device=device))]
    if args.vgg is not None:
        judge = standard_teacher(load_encoder(args.vgg, dtype=half, device=device))
        teachers.append(replace(judge, every=args.vgg_every))
    net = StyleNetwork(SPECS[args.architecture], len(paintings))
    if args.start is not None:
        net.load_state_dict(load_styles(args.start)[0].state_dict())
    guide = None
    if args.guide is not None:
        guide = load_styles(args.guide)[0].to(device, half).to(memory_format=torch.channels_last)
    options = TrainOptions(
        steps=args.steps,
        batch=args.batch,
        size=args.size,
        learning_rate=args.rate,
        content_weight=args.content,
        style_weight=args.style,
        minutes=args.minutes,
        tone_weight=args.tone,
        hue_weight=args.hue,
        spike_weight=args.spikes,
        workers=args.workers,
        copy_steps=args.copy_steps,
        preview_every=250,
    )
    trainer = Trainer(
        net.to(device),
        teachers,
        sorted(p for p in args.photos.iterdir() if p.is_file()),
        paintings,
        options,
        args.output,
        read=read_picture,
        previews=args.previews,
        guide=guide,
        metadata={
            "teacher": "small VGG-19 encoder to relu5_1, Wasserstein-2 style loss",
            "data": f"{args.photos.name} photos",
            "licence": "MIT",
        },
    )

    def show(progress: Progress) -> None:
        if progress.step % 20 == 0:
            terms = " ".join(f"{k} {v:.3f}" for k, v in progress.terms.items())
            seconds = f"{trainer.elapsed:.0f} s"
            print(f"{progress.step} {progress.fraction:.3f} {seconds} {terms}", flush=True)

    print(trainer.run(show))


if __name__ == "__main__":
    main()
