"""Print how long the stylizers take that paint after any painting in one pass.

    python tests/benchmarks/restyle.py [--sizes 512x512 1280x720 1920x1080] [--repeats 3]

Seconds a photo, medians, of a film or a folder of photos of one size: the painting's features are
kept. ``first`` is the first photo of a size, painting included. In half precision where the
processor has it, as the commands do.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from stylepipe_plugins.universal.training import NETWORK
from torch import Tensor

from stylepipe import read_picture
from stylepipe.device import native_bf16
from stylepipe.memory import tune_allocator, tune_threads
from stylepipe.nst.decoders import load_decoders
from stylepipe.nst.encoders import open_encoder
from stylepipe.nst.inverses import DecoderInverter, FeatureInverter
from stylepipe.nst.optimize import resize, size_of
from stylepipe.nst.paintings import Painting, Size
from stylepipe.nst.photos import to_tensor
from stylepipe.nst.restyle import (
    FeatureTransform,
    MomentTransform,
    PatchSwap,
    Restyler,
    RestyleSettings,
)
from stylepipe.nst.universal import load_universal
from stylepipe.nst.universal_engine import UniversalEngine

REPOSITORY = Path(__file__).resolve().parents[2]
DECODERS = REPOSITORY / "plugins" / "decoders"
PHOTO = REPOSITORY / "examples" / "photos" / "lake.jpg"
PAINTING = REPOSITORY / "examples" / "paintings" / "currents.jpg"
MEMORY = 4 << 30


def painting() -> Painting:
    return Painting(to_tensor(read_picture(PAINTING))[None])


def number_type() -> torch.dtype:
    return torch.bfloat16 if native_bf16(torch.device("cpu")) else torch.float32


def universal() -> Callable[[Tensor], Tensor]:
    engine = UniversalEngine(load_universal(NETWORK)[0], torch.device("cpu"), number_type(), MEMORY)
    paintings = [painting()]
    codes: dict[Size, Tensor] = {}

    def paint(photo: Tensor) -> Tensor:
        size = size_of(photo)
        if size not in codes:
            codes[size] = engine.code(paintings, size)
        return engine.paint(photo, codes[size])

    return paint


def restyler(name: str) -> Callable[[Tensor], Tensor]:
    dtype = number_type()
    transforms: dict[str, FeatureTransform] = {
        "adain": MomentTransform(full=False),
        "wct": MomentTransform(full=True),
        "style-swap": PatchSwap(fast=dtype is torch.bfloat16),
    }
    inverses: dict[str, FeatureInverter] = {
        layer: DecoderInverter(decoder.placed("cpu", dtype))
        for layer, decoder in load_decoders(DECODERS / f"{name}.safetensors").decoders.items()
    }
    encoder = open_encoder("compact", dtype=dtype)
    settings = RestyleSettings()
    return Restyler(encoder, inverses, transforms[name], [painting()], settings, MEMORY).paint


@torch.inference_mode()
def seconds(
    paint: Callable[[Tensor], Tensor], width: int, height: int, repeats: int
) -> tuple[float, float]:
    """Of the first photo, and of later ones."""
    photo = resize(to_tensor(read_picture(PHOTO))[None], (height, width))
    times = []
    for _ in range(1 + repeats):
        began = time.perf_counter()
        paint(photo)
        times.append(time.perf_counter() - began)
    return times[0], statistics.median(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", nargs="+", default=["512x512", "1280x720", "1920x1080"])
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    tune_allocator()
    tune_threads()
    print(f"{'':12} {'picture':>10} {'first':>8} {'a photo':>8}")
    for name in ("universal", "adain", "wct", "style-swap"):
        paint = universal() if name == "universal" else restyler(name)
        for size in args.sizes:
            width, height = map(int, size.split("x"))
            first, later = seconds(paint, width, height, args.repeats)
            print(f"{name:12} {size:>10} {first:6.2f} s {later:6.2f} s", flush=True)


if __name__ == "__main__":
    main()
