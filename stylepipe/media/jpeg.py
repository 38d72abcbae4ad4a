"""JPEG files that are not whole, and those of kinds that no decoder here reads."""

from __future__ import annotations

import re
from dataclasses import dataclass

import cv2
import numpy as np

from stylepipe.errors import ItemError
from stylepipe.media.terminal import stderr_caught
from stylepipe.media.words import share

_END = b"\xff\xd9"
_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])", re.DOTALL)
"""The next marker in coded data: not a stuffed byte, and not a restart."""
_CODED = {0xC0 + n for n in range(16)} - {0xC4, 0xC8, 0xCC}
"""Markers that say how the picture is coded."""
_HUFFMAN = (0xC0, 0xC1, 0xC2)
_PROGRESSIVE = (0xC2, 0xCA)
_TAIL = 8
"""Bytes that must be of use at the end of the coded data."""
_TORN = ("Corrupt JPEG data", "Premature end of JPEG file", "Inconsistent progression sequence")
_NOISE = (
    *_TORN, "Invalid SOS parameters", "Unknown Adobe color transform", "Warning: unknown JFIF",
    "Invalid progressive parameters", "Unsupported marker type",
)  # fmt: skip
"""What libjpeg prints; of the last few the picture does not suffer."""


@dataclass
class Parts:
    """What stands where in the first picture of a JPEG file."""

    coding: int = 0
    """The marker that tells it, 0xC0 for baseline; 0 if there is none."""
    bits: int = 8
    """A channel."""
    end: int | None = None
    """Where it ends, behind the end marker; None if it does not."""
    last_scan: int = 0
    """Where the last coded data begins."""
    litter: bool = False
    """Between the headers stands what belongs to none: the picture does not suffer."""


def parts(data: bytes) -> Parts:
    """Walk through the markers, as far as they go (ITU T.81, annex B)."""
    found, at = Parts(), 2
    while marked := _MARKER.search(data, at):
        marker, start = data[marked.end() - 1], marked.end()
        found.litter |= not found.last_scan and marked.start() > at
        if marker == 0xD9:
            found.end = start
            break
        if marker in _CODED and not found.coding and start + 2 < len(data):
            found.coding, found.bits = marker, data[start + 2]
        at = start if marker in (0x01, 0xD8) else start + int.from_bytes(data[start : start + 2])
        if marker == 0xDA:
            found.last_scan = at
    last = data.rfind(_END, found.last_scan) if found.last_scan else -1
    if found.end is None and last >= 0:  # torn data may look like markers that lead nowhere
        found.end = last + 2
    return found


def check_kind(found: Parts) -> None:
    """Raise ItemError for what is whole, as far as one sees, but of a kind not supported."""
    if found.bits != 8:
        raise ItemError(
            f"a JPEG of {found.bits} bits a channel is not supported: convert it to a PNG or TIFF "
            "of 16 bits"
        )
    if found.coding in (0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF):
        raise ItemError("a lossless JPEG is not supported: convert it to PNG or TIFF")


def ended(data: bytes) -> bytes:
    """A JPEG with an end marker, so that decoders fill in what is missing; other data as it is."""
    cut = data.startswith(b"\xff\xd8\xff") and parts(data).end is None
    return data + _END if cut else data


def decoded(data: bytes) -> tuple[np.ndarray | None, str]:
    """As stored, gray or BGR, None if OpenCV cannot; and what of it is torn or missing."""
    found = parts(data)
    check_kind(found)
    end = found.end
    whole = data if end is not None else data + _END
    pixels, complaints = _decoded(whole, cv2.IMREAD_UNCHANGED)
    used = len(data[: end and end - 2].rstrip(b"\0\xff"))  # without what fills up
    padded = end is not None and used < end - 4
    words = [
        line
        for line in complaints
        if not ("extraneous bytes" in line and (found.litter or (padded and line.endswith("d9"))))
    ]
    checkable = end is not None and found.coding in _HUFFMAN and used - _TAIL > found.last_scan
    if not words and checkable and pixels is not None:
        # Data that was shifted may decode to the last pixel, with some left over. To see that, the
        # end is taken away: the decoder must miss it.
        _, missed = _decoded(data[: used - _TAIL] + _END, cv2.IMREAD_REDUCED_GRAYSCALE_8)
        words = [] if missed else ["more data than pixels"]
    if not words and end is not None:
        return pixels, ""
    what = "end is missing" if end is None else f"data is torn ({words[0]})"
    if found.coding in _PROGRESSIVE:
        return pixels, f"its {what}, so that the picture is not as sharp as it was"
    missing = 0.0 if pixels is None else _missing(pixels)
    if missing == 1:
        raise ItemError("nothing of the picture can be decoded: copy it again from where it came")
    if end is not None and not missing:
        return pixels, f"its {what}, so that part of the picture may be wrong"
    return pixels, f"its {what}, {share(max(missing, 0.01) if words else 0)}"


def _missing(pixels: np.ndarray) -> float:
    """The share of rows that libjpeg filled in with gray at the end, but for some blocks."""
    filled = (pixels == 128).reshape(len(pixels), -1).mean(1) > 0.9
    whole = np.flatnonzero(~filled)
    return 1 - (int(whole[-1]) + 1 if len(whole) else 0) / len(pixels)


def _decoded(data: bytes, how: int) -> tuple[np.ndarray | None, list[str]]:
    with stderr_caught(_NOISE) as lines:
        try:
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), how)
        except cv2.error:
            pixels = None
    return pixels, [line for line in lines if line.startswith(_TORN)]
