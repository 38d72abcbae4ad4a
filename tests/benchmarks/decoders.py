"""Print how well decoders give a picture back, and the inverse network beside optimization.

    python tests/benchmarks/decoders.py PHOTO... [--others FOLDER] [--side 256] [--inverse STYLE]

First table: PSNR and SSIM (Wang et al. 2004, 11x11 Gaussian window, luminance) of each bundled
decoder on its encoder's unchanged features: means over the photos, scaled to --side. With --others,
a folder of encoder_reluN_1.safetensors and decoder_reluN_1.safetensors of Wang et al. 2020
(collaborative distillation), those too.

Second table, with --inverse: style-swap of the first photo by the bundled decoder and by Adam until
20 steps lower the loss by less than 0.5 %, at a constant rate, with the command's weight of
smoothness: the relative squared error of the features against the swapped ones, and the seconds of
each, swap included.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from stylepipe import read_picture
from stylepipe.device import native_bf16
from stylepipe.nst import losses
from stylepipe.nst.decoders import load_decoders
from stylepipe.nst.encoders import Encoder, load_encoder, open_encoder
from stylepipe.nst.inverses import DecoderInverter, FeatureInverter, OptimizationInverter
from stylepipe.nst.optimize import Step
from stylepipe.nst.photos import load_picture, scale_to, to_tensor
from stylepipe.nst.recipe import LoopOptions
from stylepipe.nst.restyle import PatchSwap, StyleFeatures

BUNDLED = Path(__file__).resolve().parents[2] / "plugins" / "decoders"


def psnr(a: Tensor, b: Tensor) -> float:
    return float(-10 * torch.log10((a - b).square().mean()))


def ssim(a: Tensor, b: Tensor) -> float:
    """Of the luminances of pictures 1 3 H W."""
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    x, y = ((p * weights).sum(dim=1, keepdim=True) for p in (a, b))
    line = torch.exp(-((torch.arange(11) - 5.0) ** 2) / (2 * 1.5**2))
    window = (line[:, None] * line / line.sum() ** 2)[None, None]

    def mean(values: Tensor) -> Tensor:
        return F.conv2d(values, window)

    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    c1, c2 = 0.01**2, 0.03**2
    found = (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    return float(found.mean())


def small16x(path: Path) -> Callable[[Tensor], Tensor]:
    """A decoder of Wang et al.: convolutions with reflection, each followed by a ReLU."""
    from safetensors.torch import load_file

    tensors = load_file(path)
    names = sorted({key.split(".")[0] for key in tensors if "aux" not in key}, reverse=True)

    def decode(x: Tensor) -> Tensor:
        for name in names:
            x = F.pad(x, (1, 1, 1, 1), mode="reflect")
            x = F.relu(F.conv2d(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"]))
            if name[-1] == "1" and name != "conv11":
                x = F.interpolate(x, scale_factor=2, mode="nearest")
        return x

    return decode


def reconstructed(photos: list[Tensor], decode: Callable[[Tensor], Tensor]) -> str:
    pairs = [(p, decode(p)[..., : p.shape[2], : p.shape[3]].clamp(0, 1)) for p in photos]
    first = statistics.mean(psnr(a, b) for a, b in pairs)
    return f"{first:8.2f} {statistics.mean(ssim(a, b) for a, b in pairs):8.3f}"


def first_table(photos: list[Tensor], encoder: Encoder, others: Path | None) -> None:
    print(f"{'decoder':34} {'PSNR dB':>8} {'SSIM':>8}")
    for path in sorted(BUNDLED.glob("*.safetensors")):
        for layer, decoder in load_decoders(path).decoders.items():

            def own(photo: Tensor, layer: str = layer, decode: torch.nn.Module = decoder) -> Tensor:
                found: Tensor = decode(encoder(photo, [layer])[layer])
                return found

            print(f"{path.stem + ' ' + layer:34} {reconstructed(photos, own)}")
    for path in sorted(others.glob("decoder_relu?_1.safetensors")) if others else ():
        layer = path.stem.removeprefix("decoder_")
        try:
            theirs = load_encoder(path.with_name(f"encoder_{layer}.safetensors"))
        except ValueError as error:  # their first level has an encoder of its own shape
            print(f"{path.stem:34} left out: {error}")
            continue
        decode = small16x(path)

        def other(photo: Tensor, layer: str = layer, theirs: Encoder = theirs, decode=decode):  # type: ignore[no-untyped-def]
            return decode(theirs(photo, [layer])[layer])

        print(f"{path.parent.name + ' ' + layer:34} {reconstructed(photos, other)}")


def second_table(photo: Path, style: Path, sides: Sequence[int]) -> None:
    half = torch.bfloat16 if native_bf16(torch.device("cpu")) else torch.float32
    encoder, layer = open_encoder("compact", dtype=half), "relu3_1"
    decoder = load_decoders(BUNDLED / "style-swap.safetensors").decoders[layer]
    network = DecoderInverter(decoder.placed("cpu", half))
    swapped = PatchSwap(fast=True)
    print(f"\n{'pixels':>10} {'':>8} {'network':>18} {'optimization':>18} {'steps':>6}")
    for side in sides:
        x, s = (to_tensor(scale_to(read_picture(p), side))[None] for p in (photo, style))
        steps: list[int] = []
        loop = LoopOptions(steps=1000, tolerance=0.005, schedule="constant")

        def tell(step: Step, steps: list[int] = steps) -> None:
            steps.append(step.number)

        sought = OptimizationInverter(encoder, layer, loop, 0.5, tell)
        row = []
        for inverse in (network, sought):
            with torch.no_grad():
                began = time.perf_counter()
                maps, style_maps = (encoder(p, [layer])[layer] for p in (x, s))
                learnt = swapped.learn([StyleFeatures(style_maps, 1.0, None)], apart=False)
                target, _ = swapped.apply(maps, learnt, None)
            result = _shown(inverse, target, x)
            seconds = time.perf_counter() - began
            with torch.no_grad():
                error = losses.content_loss(encoder(result, [layer])[layer], target)
            row.append(f"{float(error):8.3f} {seconds:7.2f} s")
        print(f"{x.shape[3]:5}x{x.shape[2]:<4} {'error, s':>8} {row[0]} {row[1]} {steps[-1]:6}")


def _shown(inverse: FeatureInverter, target: Tensor, photo: Tensor) -> Tensor:
    return inverse.picture(target, photo, tile=2048)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--others", type=Path)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--inverse", type=Path, metavar="STYLE")
    parser.add_argument("--sides", type=int, nargs="+", default=[256, 512, 1024])
    args = parser.parse_args()
    with torch.no_grad():
        photos = [load_picture(read_picture, path, args.side) for path in args.photos]
        first_table(photos, open_encoder("compact"), args.others)
    if args.inverse:
        second_table(args.photos[0], args.inverse, args.sides)


if __name__ == "__main__":
    main()
