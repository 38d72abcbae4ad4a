"""Still pictures that are not items: paintings, photos to train with, masks, maps of regions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from stylepipe.errors import ItemError
from stylepipe.media.containers import PICTURES
from stylepipe.types import MAX_PIXELS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

PICTURE_SUFFIXES = tuple(PICTURES)
"""Suffixes of picture files, camera RAW excluded; their content decides in the end."""
_MOVES = "it moves: only still pictures can be used"


@contextmanager
def open_picture(path: Path, max_pixels: int = MAX_PIXELS) -> Iterator[Image]:
    """Open a still picture by Pillow, as it is stored, with the engine's safeguards.

    Only formats that the engine reads are opened, whatever the name says. Raises ItemError for
    others, for more than ``max_pixels``, and for damage found while the picture is in use.
    """
    from stylepipe.media.opener import load, opened

    with opened(path, max_pixels) as file:
        if file is None or file.moves:
            raise ItemError(_MOVES)
        load(file.picture)
        yield file.picture


def read_picture(path: Path, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Read a picture as the engine reads it: H W 3, sRGB, upright, what is transparent on white.

    Raises ItemError where it cannot be read, or has more than ``max_pixels``.
    """
    import numpy as np

    pixels, alpha = read_cutout(path, max_pixels)
    if alpha is not None:
        cover = alpha[..., None].astype(np.float32) / 255
        pixels = (pixels * cover + 255 * (1 - cover) + 0.5).astype(np.uint8)
    return np.ascontiguousarray(pixels)


def read_cutout(
    path: Path, max_pixels: int = MAX_PIXELS
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """As :func:`read_picture`, with the opacity apart, H W, 0 transparent; None without one.

    Raises ItemError.
    """
    from stylepipe.media import decode

    try:
        if decode.probe(path, max_pixels) is None:
            raise ItemError(_MOVES)
        frame = decode.read(path, max_pixels)
    except ItemError as error:
        raise ItemError(f"cannot read {path}: {error}") from error
    return _eight(frame.pixels), None if frame.alpha is None else _eight(frame.alpha)


def _eight(values: NDArray[np.uint8 | np.uint16]) -> NDArray[np.uint8]:
    return (values >> 8 if values.dtype.itemsize == 2 else values).astype("uint8", copy=False)
