"""Whether a mask or a map of regions fits a picture, and what to say where it does not."""

from __future__ import annotations

TOLERANCE = 0.02
"""One of another size is scaled if its aspect ratio is this near to the picture's."""


def mismatch(own: tuple[int, int], picture: tuple[int, int]) -> str | None:
    """Why something of the size ``own``, height and width, cannot be laid over ``picture``.

    None if it can: sizes are equal, or proportions alike.
    """
    (h, w), (height, width) = own, picture
    if _alike(w / h, width / height):
        return None
    reason = (
        f"is {w}x{h}, but the picture {width}x{height}: it must have the picture's size, or at "
        "least its proportions"
    )
    if _alike(h / w, width / height):
        reason += (
            "; it lies on its side, as if drawn over a photo that is shown turned by its EXIF "
            "orientation: turn it by 90 degrees"
        )
    return reason


def _alike(one: float, other: float) -> bool:
    return abs(other / one - 1) <= TOLERANCE
