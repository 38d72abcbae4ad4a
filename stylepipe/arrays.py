"""Pictures in memory: what callers have, as frames, and frames as what they had."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from PIL import Image

from stylepipe.components import Masker
from stylepipe.errors import ItemError, UsageError
from stylepipe.options import Options
from stylepipe.tensors import to_pixels, to_tensor
from stylepipe.types import Batch, Frame

Restore = Callable[[list[Frame]], Any]
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")


def frames_of(picture: Any) -> tuple[list[Frame], Restore]:
    """The frames of what :meth:`Session.paint` takes, and what makes its kind of painted frames.

    Raises UsageError, with one sentence, for anything else; ItemError for a damaged file.
    """
    if isinstance(picture, Frame):
        _check_array(picture.pixels)
        if picture.alpha is not None:
            _check_alpha(picture.alpha, picture.pixels)
        own = replace(picture, pixels=picture.pixels.copy())  # which may come back as it is
        return [own], lambda painted: painted[0]
    if isinstance(picture, Image.Image):
        return _from_pillow(picture)
    if isinstance(picture, torch.Tensor):
        return _from_tensor(picture)
    if isinstance(picture, np.ndarray):
        _check_array(picture)
        return [Frame(picture.copy())], lambda painted: painted[0].pixels
    raise UsageError(
        f"a picture cannot be of type {type(picture).__name__}; give an HxWx3 array, a PIL "
        "picture, an N3HW tensor, or a list of them"
    )


def _check_array(pixels: np.ndarray) -> None:
    if pixels.dtype not in (np.dtype("uint8"), np.dtype("uint16")):
        raise UsageError(
            f"an array must be of uint8 or uint16, not {pixels.dtype}; for values in [0, 1] give "
            "(array * 255).round().astype('uint8'), or an N3HW tensor"
        )
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise UsageError(
            f"an array must be HxWx3, in RGB, not of shape {pixels.shape}; for transparency give a "
            "PIL picture"
        )
    _check_size(pixels.shape)


def _check_alpha(alpha: np.ndarray, pixels: np.ndarray) -> None:
    if (alpha.shape, alpha.dtype) != (pixels.shape[:2], pixels.dtype):
        raise UsageError(
            f"the transparency of a frame must be {pixels.shape[:2]} of {pixels.dtype}, as its "
            f"pixels, not {alpha.shape} of {alpha.dtype}"
        )


def _check_size(shape: Sequence[int]) -> None:
    if 0 in shape:
        raise UsageError(f"the picture is empty: its shape is {tuple(shape)}")


def _from_pillow(image: Image.Image) -> tuple[list[Frame], Restore]:
    if image.mode not in _MODES:
        # Pillow clips more than eight bits, gray or not.
        deep = image.mode[0] in "IF"
        way = "pass an HxWx3 array of uint16" if deep else "convert it: picture.convert('RGB')"
        raise UsageError(
            f"a PIL picture must be RGB or RGBA, or {', '.join(_MODES[:-2])}, not {image.mode}; "
            f"{way}"
        )
    _check_size(image.size)
    try:
        plain = image.convert("RGBA" if image.has_transparency_data else "RGB")
    except (OSError, SyntaxError) as error:  # of files, which Pillow decodes only here
        raise ItemError(f"the picture cannot be decoded: {error}") from error
    pixels = np.asarray(plain)
    alpha = np.ascontiguousarray(pixels[..., 3]) if plain.mode == "RGBA" else None

    def restore(painted: list[Frame]) -> Image.Image:
        result, alpha = painted[0].pixels, painted[0].alpha
        made = Image.fromarray(result if alpha is None else np.dstack([result, alpha]))
        made.info = dict(plain.info)
        return made

    return [Frame(np.ascontiguousarray(pixels[..., :3]), alpha)], restore


def _from_tensor(tensor: torch.Tensor) -> tuple[list[Frame], Restore]:
    if not tensor.is_floating_point():
        kind = str(tensor.dtype).removeprefix("torch.")
        raise UsageError(f"a tensor must hold floats in [0, 1], not {kind}; divide bytes by 255")
    if tensor.ndim not in (3, 4) or tensor.shape[-3] != 3:
        raise UsageError(f"a tensor must be N3HW or 3HW, not of shape {tuple(tensor.shape)}")
    _check_size(tensor.shape)
    images = tensor.detach()[None] if tensor.ndim == 3 else tensor.detach()
    low, high = (float(value) for value in torch.aminmax(images))
    if not (low >= 0 and high <= 1):
        found = (
            "has values that are not numbers" if low != low else f"runs from {low:g} to {high:g}"
        )
        raise UsageError(f"a tensor must hold floats in [0, 1], and this one {found}")

    def restore(painted: list[Frame]) -> torch.Tensor:
        result = torch.cat([to_tensor([frame], tensor.device) for frame in painted])
        result = result.to(tensor.dtype, memory_format=torch.contiguous_format)
        return result[0] if tensor.ndim == 3 else result

    return [Frame(pixels) for pixels in to_pixels(images, np.dtype("uint16"))], restore


def plane_of(mask: Any, frames: Sequence[Frame]) -> np.ndarray:
    """A mask as HxW float32 in [0, 1]. Raises UsageError unless it is as large as each frame."""
    if isinstance(mask, torch.Tensor):
        mask = mask.detach().cpu()
        mask = (mask.float() if mask.is_floating_point() else mask).numpy()
    plane = np.asarray(mask)
    if plane.dtype == np.uint8:
        plane = plane / np.float32(255)
    elif plane.dtype != bool and plane.dtype.kind != "f":
        raise UsageError(f"a mask must hold booleans, uint8 or floats, not {plane.dtype}")
    for frame in frames:
        if plane.shape != frame.pixels.shape[:2]:
            raise UsageError(
                f"a mask must be as large as the picture, {frame.pixels.shape[:2]}, not of shape "
                f"{plane.shape}"
            )
    if not (plane.min() >= 0 and plane.max() <= 1):
        raise UsageError("a mask must hold values in [0, 1]")
    return plane.astype(np.float32)


class GivenMask(Masker):
    """The mask that the caller gave."""

    name = "given"

    def __init__(self, plane: np.ndarray) -> None:
        """``plane``: HxW float32 in [0, 1]."""
        super().__init__(Options.build({}))
        self._plane = torch.from_numpy(plane)

    def mask(self, batch: Batch, frames: Sequence[Frame]) -> torch.Tensor:
        return self._plane.to(batch.images.device).expand(len(frames), 1, *self._plane.shape)
