"""Train the network of the universal stylizer from the beginning.

    python examples/train_universal.py PHOTOS PAINTINGS --microast FOLDER -o universal.safetensors
        [--minutes 40 52 20] [--threads 2]

PHOTOS and PAINTINGS are folders: over a thousand photos of everything, and some dozen paintings.
FOLDER holds the weights of MicroAST (Wang et al. 2023), as safetensors of the names
content_encoder, style_encoder, modulator and decoder. The network first imitates what that paints,
which brings it to a good start soon; in the second part the paintings themselves count most, judged
by the encoder in the package; in the last a photo that moves must give the picture, moved, which
weakens the weave in skies. It follows the clock, as the network in the package did on two busy CPU
cores; an interrupted training resumes.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from stylepipe import find_pictures, read_training_picture
from stylepipe.encoders import open_encoder
from stylepipe.nst.files import tensors_digest
from stylepipe.nst.networks import NORM_EPS, pad
from stylepipe.nst.norms import instance_norm
from stylepipe.nst.training.loop import Trainer
from stylepipe.nst.training.options import UniversalOptions
from stylepipe.nst.training.universal import Painter, UniversalTask
from stylepipe.nst.universal import UniversalNetwork, UniversalSpec, load_universal, moments

Tensors = dict[str, Tensor]
PARTS = ("content_encoder", "style_encoder", "modulator", "decoder")
STAGES = (
    UniversalOptions(
        size=192, learning_rate=2e-3, example_weight=2.0, style_weight=0.3, content_weight=0.2,
        consistency_weight=0.0, tv_weight=0.1,
    ),
    UniversalOptions(
        size=192, learning_rate=1.5e-3, example_weight=1.5, consistency_weight=0.0, tv_weight=0.1,
    ),
    UniversalOptions(),
)  # fmt: skip


class MicroAST:
    """The published network, as far as it paints."""

    def __init__(self, folder: Path) -> None:
        files = {part: load_file(folder / f"{part}.safetensors") for part in PARTS}
        self.content, self.style, self.modulator, self.decoder = files.values()
        self.digest = tensors_digest(
            {f"{p}.{k}": t for p, f in files.items() for k, t in f.items()}
        )

    def __call__(self, photos: Tensor, paintings: Tensor) -> Tensor:
        """Photos and paintings N 3 H W in [0,1], sides of whole fours -> pictures N 3 H W."""
        shallow, deep = _looked(self.style, paintings)
        _, x = _looked(self.content, photos)
        for block, aim, number in (("dec1", deep, 2), ("dec2", shallow, 1)):
            mean, deviation = moments(aim)
            x = instance_norm(x, deviation, mean, NORM_EPS)
            gain, shift = (
                _convolved(self.modulator, f"{kind}{number}.0", aim).mean((2, 3), keepdim=True)
                for kind in ("weight", "bias")
            )
            inner = F.relu(gain * _convolved(self.decoder, f"{block}.conv1", x) + shift * x)
            x = x + gain * _convolved(self.decoder, f"{block}.conv2", inner) + shift * inner
        for first, second in (("dec3.1", "dec3.3"), ("dec3.6", "dec3.8")):
            x = F.interpolate(x, scale_factor=2, mode="bilinear")
            x = F.relu(_convolved(self.decoder, second, F.relu(_convolved(self.decoder, first, x))))
        return _convolved(self.decoder, "dec3.10", x).clamp(0.0, 1.0)


def _looked(encoder: Tensors, x: Tensor) -> tuple[Tensor, Tensor]:
    """Features N 64 H/4 W/4 at two depths."""
    for layer, stride in (
        ("enc1.0", 1),
        ("enc1.2", 2),
        ("enc1.4", 1),
        ("enc1.6", 2),
        ("enc1.8", 1),
    ):
        x = F.relu(_convolved(encoder, layer, x, stride))
    maps = []
    for block in ("enc1.10", "enc2.0"):
        inner = F.relu(_convolved(encoder, f"{block}.conv1", x))
        x = x + _convolved(encoder, f"{block}.conv2", inner)
        maps.append(x)
    return maps[0], maps[1]


def _convolved(tensors: Tensors, name: str, x: Tensor, stride: int = 1) -> Tensor:
    weight, bias = (tensors[f"{name}.conv_layer.{kind}"] for kind in ("weight", "bias"))
    p = weight.shape[-1] // 2
    groups = x.shape[1] // weight.shape[1]
    return F.conv2d(pad(x, p, p, p, p), weight, bias, stride, groups=groups)


def main() -> None:
    """Train all stages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("paintings", type=Path)
    parser.add_argument("--microast", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--minutes", type=float, nargs=len(STAGES), default=(40, 52, 20))
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    photos = find_pictures([args.photos], "PHOTOS")
    paintings = find_pictures([args.paintings], "PAINTINGS")
    teacher = MicroAST(args.microast)
    encoder = open_encoder("compact")
    torch.manual_seed(0)
    net = UniversalNetwork(UniversalSpec())
    for number, (options, minutes) in enumerate(zip(STAGES, args.minutes, strict=True), start=1):
        task = UniversalTask(
            net, encoder, photos, paintings, replace(options, minutes=minutes),
            read=read_training_picture,
            painter=Painter(teacher.digest, teacher),
            metadata={
                "teacher": f"{encoder.title}; MicroAST (Wang et al. 2023), imitated",
                "data": f"{len(photos)} photos, {len(paintings)} paintings",
                "licence": "MIT",
            },
        )  # fmt: skip
        folder = args.output.with_suffix(f".part{number}")
        made = Trainer(task, folder).run(lambda p: print(p.step, f"{p.terms['loss']:.3f}"))
        net = load_universal(made)[0].requires_grad_(True)
    made.replace(args.output)


if __name__ == "__main__":
    main()
