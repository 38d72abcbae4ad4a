"""Still pictures that are no items: paintings, photos to train with, maps of regions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_PIXELS = 300_000_000


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Read a picture as the engine reads it: H W 3, sRGB, upright, what is transparent on white.

    Raises ItemError where it cannot be read.
    """
    import numpy as np

    from stylepipe.errors import ItemError
    from stylepipe.media import decode

    try:
        if decode.probe(path, MOST_PIXELS) is None:
            raise ItemError("it moves: only still pictures can be used")
        frame = decode.read(path, MOST_PIXELS)
    except ItemError as error:
        raise ItemError(f"cannot read {path}: {error}") from error
    pixels, alpha = _eight(frame.pixels), frame.alpha
    if alpha is not None:
        cover = _eight(alpha)[..., None].astype(np.float32) / 255
        pixels = (pixels * cover + 255 * (1 - cover) + 0.5).astype(np.uint8)
    return np.ascontiguousarray(pixels)


def _eight(values: NDArray[np.uint8 | np.uint16]) -> NDArray[np.uint8]:
    return (values >> 8 if values.dtype.itemsize == 2 else values).astype("uint8", copy=False)
