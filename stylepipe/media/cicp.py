"""Color spaces that are told by numbers, in PNG and AVIF, as ICC profiles.

Code points: ITU-T H.273. As browsers do, the curves of television (BT.601, BT.709, BT.2020) are
taken for that of sRGB, and so is a gamma near 1/2.2 in a PNG of sRGB's primaries.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

import numpy as np

from stylepipe.media import icc

_XY = tuple[float, float]
_UNSAID = 2
_PRIMARIES: dict[int, tuple[str, tuple[_XY, ...]]] = {
    1: ("sRGB", icc.SRGB_PRIMARIES),
    5: ("BT.601 625", ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06))),
    6: ("BT.601 525", ((0.63, 0.34), (0.31, 0.595), (0.155, 0.07))),
    7: ("SMPTE 240M", ((0.63, 0.34), (0.31, 0.595), (0.155, 0.07))),
    9: ("BT.2020", ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))),
    12: ("Display P3", ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))),
}
_CURVES: dict[int, tuple[str, tuple[float, ...]]] = {
    **dict.fromkeys((1, 6, 13, 14, 15, _UNSAID), ("", icc.SRGB_CURVE)),
    4: (", gamma 2.2", (2.2,)),
    5: (", gamma 2.8", (2.8,)),
    8: (", linear", (1.0,)),
}
_HDR = {16: "PQ", 18: "HLG"}


def profile(primaries: int, transfer: int) -> tuple[bytes | None, str | None]:
    """The ICC profile of a pair of code points, None for sRGB; and what cannot be honored."""
    if transfer in _HDR:
        return None, f"the brightness of HDR ({_HDR[transfer]}), as its values are taken for sRGB"
    space = _PRIMARIES.get(1 if primaries == _UNSAID else primaries)
    curve = _CURVES.get(transfer)
    if space is None or curve is None:
        return None, f"an unknown color space ({primaries}/{transfer}), which is taken for sRGB"
    if space[1] == icc.SRGB_PRIMARIES and curve[1] == icc.SRGB_CURVE:
        return None, None
    return icc.build(space[0] + curve[0], space[1], curve[1]), None


def of_png(chunks: Mapping[bytes, bytes]) -> tuple[bytes | None, str | None]:
    """The same of the chunks gAMA and cHRM."""
    space: tuple[_XY, ...] = (icc.D65, *icc.SRGB_PRIMARIES)
    curve: tuple[float, ...] = icc.SRGB_CURVE
    try:
        if b"cHRM" in chunks:
            xy = [v / 100_000 for v in struct.unpack(">8I", chunks[b"cHRM"])]
            found = tuple(zip(xy[::2], xy[1::2], strict=True))
            if np.abs(np.subtract(found, space)).max() > 0.002:
                space = found
        ours = space[1:] == icc.SRGB_PRIMARIES
        if b"gAMA" in chunks:
            gamma = struct.unpack(">I", chunks[b"gAMA"])[0] / 100_000
            if not 0.1 < gamma < 10:
                raise ValueError
            if not ours or abs(gamma * 2.2 - 1) > 0.05:
                curve = (1 / gamma,)
        if ours and curve == icc.SRGB_CURVE:
            return None, None
        name = f"PNG{'' if ours else ', primaries of its own'}, gamma {curve[0]:.3g}"
        return icc.build(name, space[1:], curve, space[0]), None
    except (ValueError, struct.error, ZeroDivisionError, np.linalg.LinAlgError):
        return None, "gamma or primaries that make no sense (gAMA, cHRM), so it is taken for sRGB"
