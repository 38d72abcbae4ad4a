"""A small random encoder of VGG's shape, and pictures for it."""

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from stylepipe.nst.encoders import Encoder, save_encoder, stack_encoder

CHANNELS = {"relu1_1": 6, "relu2_1": 8, "relu3_1": 10}
STYLE = {"relu1_1": 2.0, "relu2_1": 1.0, "relu3_1": 1.0}


def convolutions(seed: int = 0) -> dict[str, tuple[Tensor, Tensor]]:
    """Random weights that keep the size of what they map."""
    generator = torch.Generator().manual_seed(seed)
    found, inputs = {}, 3
    for name, outputs in CHANNELS.items():
        weight = torch.randn(outputs, inputs, 3, 3, generator=generator)
        found[name] = (weight * (2 / (9 * inputs)) ** 0.5, torch.full((outputs,), 0.05))
        inputs = outputs
    return found


def encoder(dtype: torch.dtype = torch.float32) -> Encoder:
    return stack_encoder(convolutions()).placed("cpu", dtype)


def encoder_file(folder: Path) -> Path:
    path = folder / "tiny.safetensors"
    save_encoder(path, convolutions())
    return path


def picture(
    height: int, width: int, seed: int = 0, dtype: torch.dtype = torch.float32, count: int = 1
) -> Tensor:
    """Soft colored blots, N 3 H W in [0,1]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, -(-height // 4) + 1, -(-width // 4) + 1, generator=generator)
    large = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    noise = 0.1 * torch.rand(count, 3, height, width, generator=generator)
    return (0.9 * large + noise).clamp(0, 1).to(dtype)


def halves(height: int, width: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Two regions, left and right: 1 2 H W."""
    planes = torch.zeros(1, 2, height, width, dtype=dtype)
    planes[:, 0, :, : width // 2] = 1
    planes[:, 1, :, width // 2 :] = 1
    return planes


def save(path: Path, picture: Tensor) -> Path:
    """Write 1 3 H W in [0,1] as a file, in its folder."""
    pixels = (picture[0] * 255).round().byte().permute(1, 2, 0).numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.ascontiguousarray(pixels[..., ::-1]))
    return path


def read(path: Path) -> np.ndarray:
    """H W 3, BGR, in [0,1]."""
    pixels = cv2.imread(str(path))
    assert pixels is not None, f"{path} is not there"
    return pixels.astype(np.float32) / 255
