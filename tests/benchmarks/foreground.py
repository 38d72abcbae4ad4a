"""How well the kept side of a matte is freed from the old background, and how long that takes.

Photos are laid over others by computed mattes with strands of hair; then these are replaced. The
result, with and without clean colors, is compared with the true picture:

    python tests/benchmarks/foreground.py PHOTOS [--save FOLDER]
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from stylepipe.color import from_linear
from stylepipe.composite import composite, linear_light

SIDE, SHEETS = 480, 8


def hair(side: int, seed: int) -> np.ndarray:
    """A matte, side x side in [0, 1]: a head with strands, and a soft edge at the bottom."""
    rng = np.random.default_rng(seed)
    large = np.zeros((2 * side, 2 * side), np.uint8)
    center, radius = np.array([side, 1.24 * side]), 0.54 * side
    axes = int(radius), int(1.25 * radius)
    cv2.ellipse(large, np.int32(center).tolist(), axes, 0, 0, 360, 255, -1, cv2.LINE_AA)
    for angle in rng.uniform(0, 2 * np.pi, 400):
        direction = np.exp(1j * angle)
        point = complex(*center) + radius * complex(0.95 * direction.real, 1.2 * direction.imag)
        strand, bend = [point], rng.normal(0, 0.12)
        for _ in range(rng.integers(6, 30)):
            direction *= np.exp(1j * (bend + rng.normal(0, 0.05)))
            strand.append(strand[-1] + direction * radius * 0.02)
        line = np.int32([[16 * p.real, 16 * p.imag] for p in strand])
        cv2.polylines(large, [line], False, 255, int(rng.integers(1, 4)), cv2.LINE_AA, 4)
    matte = cv2.resize(large, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    bottom = np.linspace(0, 1, side, dtype=np.float32)[:, None] ** 4
    return matte + (cv2.GaussianBlur(matte, (0, 0), 2.5) - matte) * bottom


def photo(path: Path, side: int) -> np.ndarray:
    """The middle of a photo, side x side x 3 of uint8."""
    pixels = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    h, w = pixels.shape[:2]
    edge = min(h, w)
    top, left = (h - edge) // 2, (w - edge) // 2
    square = pixels[top : top + edge, left : left + edge]
    return cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA)


def mixed(below: np.ndarray, above: np.ndarray, share: np.ndarray) -> np.ndarray:
    """uint8, as light mixes."""
    light = linear_light(255)
    value = light[below] + (light[above] - light[below]) * share[..., None]
    return np.rint(255 * from_linear(torch.from_numpy(value)).numpy()).astype(np.uint8)


def psnr(a: np.ndarray, b: np.ndarray, where: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.square(a[where].astype(float) - b[where]).mean()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--save", type=Path, help="folder for sheets to look at")
    arguments = parser.parse_args()
    files = sorted(arguments.photos.rglob("*.jpg"))
    found: dict[str, list[float]] = {}
    for seed in range(SHEETS):
        rng = np.random.default_rng(seed)
        chosen = [files[k] for k in rng.choice(len(files), 3, replace=False)]
        kept, old, new = (photo(file, SIDE) for file in chosen)
        alpha = hair(SIDE, seed)
        source, truth = mixed(old, kept, alpha), mixed(new, kept, alpha)
        soft = (alpha > 0) & (alpha < 1)
        noise = rng.normal(0, 0.05, alpha.shape) * soft
        for kind, matte in ("exact", 1 - alpha), ("noisy", (1 - alpha + noise).clip(0, 1)):
            matte = matte.astype(np.float32)
            plain, clean = composite(source, new, matte), composite(source, new, matte, matte)
            found.setdefault(f"{kind} matte, plain", []).append(psnr(plain, truth, soft))
            found.setdefault(f"{kind} matte, clean", []).append(psnr(clean, truth, soft))
            if arguments.save and kind == "exact":
                sheet = np.hstack([source, plain, clean, truth])[:, :, ::-1]
                cv2.imwrite(str(arguments.save / f"foreground{seed}.png"), sheet)
    for name, values in found.items():
        print(f"{name}: {np.mean(values):.2f} dB in the soft edge, {min(values):.2f} at worst")
    for megapixels in 2, 24:
        side = int((1e6 * megapixels) ** 0.5)
        matte = cv2.resize(hair(SIDE, 0), (side, side)).clip(0, 1)
        source, new = (photo(files[k], side) for k in (0, 1))
        for name, extra in ("plain", None), ("clean", matte):
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            clock = time.perf_counter()
            composite(source, new, matte, extra)
            spent = time.perf_counter() - clock
            more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
            print(f"{megapixels} MP {name}: {1e3 * spent / megapixels:.0f} ms/MP, +{more:.0f} MiB")


if __name__ == "__main__":
    main()
