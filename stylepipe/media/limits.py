"""How large a picture may be: only the user's limit counts, not a library's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from stylepipe.errors import ItemError

_GUARD = threading.RLock()
_MOST_TEXT = 64 << 20
"""Bytes of a profile or text in a PNG: one of megabytes is no reason to refuse the picture."""


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Raises ItemError for a picture of more than ``max_pixels``, or of none."""
    if width < 1 or height < 1:
        raise ItemError("the picture has no pixels")
    if width * height > max_pixels:
        raise ItemError(
            f"the picture claims {width}x{height} pixels, more than the {max_pixels:,} allowed: "
            f"raise max-pixels to read it all the same"
        )


@contextmanager
def pillow_unlimited(partly: bool = False) -> Iterator[None]:
    """Let max_pixels decide alone; other code of the process may rely on Pillow's own limits.

    ``partly``: of a file that is cut short, what is there is decoded.
    """
    from PIL import Image, ImageFile, PngImagePlugin

    with _GUARD:
        before = (
            Image.MAX_IMAGE_PIXELS,
            PngImagePlugin.MAX_TEXT_CHUNK,
            ImageFile.LOAD_TRUNCATED_IMAGES,
        )
        Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK = None, _MOST_TEXT
        ImageFile.LOAD_TRUNCATED_IMAGES = partly
        try:
            yield
        finally:
            (
                Image.MAX_IMAGE_PIXELS,
                PngImagePlugin.MAX_TEXT_CHUNK,
                ImageFile.LOAD_TRUNCATED_IMAGES,
            ) = before
