"""Between frames of integers in CPU memory and tensors on a device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import cv2
import numpy as np
import torch

from stylepipe.types import Frame


def to_tensor(frames: Sequence[Frame], device: torch.device) -> torch.Tensor:
    """Stack frames of one shape and dtype as N3HW float32 in [0, 1] (channels-last in memory).

    On CUDA the integers travel from pinned memory and are converted there.
    """
    white = frames[0].white
    if device.type == "cuda":
        pixels = torch.empty(
            (len(frames), *frames[0].pixels.shape),
            dtype=torch.uint8 if white == 255 else torch.uint16,
            pin_memory=True,
        )
        for slot, frame in zip(pixels, frames, strict=True):
            slot.copy_(torch.from_numpy(frame.pixels))
        images = pixels.to(device, non_blocking=True).to(torch.float32)
    elif len(frames) == 1:
        images = _readable(frames[0].pixels)[None].to(device, torch.float32)
    else:
        stacked = np.stack([frame.pixels for frame in frames])
        images = torch.from_numpy(stacked).to(device, torch.float32)
    return images.div_(white).permute(0, 3, 1, 2)


def to_pixels(tensor: torch.Tensor, dtype: np.dtype) -> list[np.ndarray]:
    """Turn N3HW, finite, into N arrays HxWx3 of uint8 or uint16: clamped to [0, 1], rounded."""
    white = np.iinfo(dtype).max
    images = tensor.detach().to(torch.float32)
    if images.device.type != "cpu":
        # integers travel; torch has no fast uint16
        images = images.permute(0, 2, 3, 1).clamp(0, 1).mul_(white).round_()
        images = images.to(torch.uint8 if white == 255 else torch.int32).cpu()
        return [image.astype(dtype, copy=False) for image in images.numpy()]
    return [_quantise(image, white) for image in images]


def _quantise(image: torch.Tensor, white: int) -> np.ndarray:
    """OpenCV multiplies, rounds and clamps in one pass, which takes half of torch's time."""
    rows = image.permute(1, 2, 0)
    if rows.is_contiguous():
        return _times(rows.numpy(), white)
    return cast(np.ndarray, cv2.merge([_times(plane, white) for plane in image.numpy()]))


def _times(values: np.ndarray, white: int) -> np.ndarray:
    depth = cv2.CV_8U if white == 255 else cv2.CV_16U
    return cast(np.ndarray, cv2.multiply(values, (white,) * 4, dtype=depth))  # type: ignore[call-overload]


def _readable(pixels: np.ndarray) -> torch.Tensor:
    """The pixels as a tensor on the same memory; torch wants it writable and does not write."""
    if not pixels.flags.writeable:
        pixels = pixels.copy()
    return torch.from_numpy(pixels)
