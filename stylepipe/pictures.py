"""Still pictures that are no items: paintings, photos to train with, maps of regions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from stylepipe.media.limits import MOST_PIXELS, pillow_unlimited

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image


@contextmanager
def open_image(path: Path, allowed: int = 0) -> Iterator[Image]:
    """A picture opened by Pillow, whose own limit of pixels does not count inside the block.

    Raises ItemError for more pixels than are ``allowed``, which are 300 million at least; and
    whatever Pillow raises.
    """
    from PIL import Image

    from stylepipe.errors import ItemError

    most = max(allowed, MOST_PIXELS)
    with pillow_unlimited(), Image.open(path) as image:
        if image.width * image.height > most:
            raise ItemError(
                f"it has {image.width}x{image.height} pixels, more than the {most:,} allowed: "
                "scale it down"
            )
        yield image


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
