"""ICC profiles: pictures of any color space become sRGB, and sRGB ones are left alone.

Color of eight bits goes through LittleCMS (Pillow's ImageCms), which knows all profiles but
computes in eight bits only. Gray and color of sixteen bits are converted here, in floating point,
where the profile is a curve, or three and a matrix, as those of cameras and displays are.
Profiles: ICC.1:2022. Adaptation: the linear Bradford matrix of its annex E.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageCms

from stylepipe.types import Original

Curve = Callable[[np.ndarray], np.ndarray]

_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
_D50 = np.array([0.9642, 1.0, 0.8249])
D65 = (0.3127, 0.3290)
SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_NEAR = 0.125
"""Change, as a share of white, from which a pixel counts as painted all through."""
_PIXELS_AT_ONCE = 1 << 20  # converted at once: keeps the float copies small


@dataclass(frozen=True)
class Converted:
    """Pixels after color management."""

    pixels: np.ndarray
    """HxWx3, RGB, of the depth that came in."""
    icc: bytes | None
    """The profile that describes them now."""
    changed: bool = False
    """The values are others than in the file, and are sRGB now."""
    original: np.ndarray | None = None
    """HxWx3 before, where they were RGB of another profile."""
    lost: tuple[str, ...] = ()
    """What of the file's colors cannot come back, in words."""


def to_srgb(pixels: np.ndarray, icc: bytes | None) -> Converted:
    """Turn gray (HxW), RGB (HxWx3) or CMYK (HxWx4, 255 is full ink) into sRGB.

    Pixels of an sRGB profile keep their values, and it is kept byte for byte. A profile that
    cannot be used (damaged, or of another number of colors) is dropped and the pixels are taken
    for sRGB, which ``lost`` says. CMYK without a profile is mixed as ideal inks. Sixteen-bit pixels
    of a profile made of tables keep values and profile, for eight bits would spoil them.
    """
    space = {2: "GRAY", 3: "RGB "}.get(pixels.ndim, "RGB ")
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        space = "CMYK"
    own = color_space(icc) if icc else None
    if own == "RGB " and space == "GRAY":
        pixels, space = _gray_to_rgb(pixels), "RGB "
    lost = ("CMYK inks, which become sRGB",) if space == "CMYK" else ()
    if icc is None:
        return Converted(_plain_rgb(pixels), None, lost=lost)
    useless = (*lost, "a color profile that is damaged or does not fit")
    if own != space:
        return Converted(_plain_rgb(pixels), None, lost=useless)
    if space == "RGB " and is_srgb(icc):
        return Converted(pixels, icc)
    original = pixels if space == "RGB " else None
    if space == "GRAY":
        lost = ("the profile of a gray picture, as the result has colors",)
    if pixels.dtype == np.uint16 or space == "GRAY":
        shaper = _shaper(icc)
        if shaper:
            return Converted(shaper.apply(pixels), srgb(), True, original, lost)
        if pixels.dtype == np.uint16:
            kept, lost = (icc, ()) if space == "RGB " else (None, useless)
            return Converted(_plain_rgb(pixels), kept, lost=lost)
    transform = _transform(icc, {"GRAY": "L", "RGB ": "RGB", "CMYK": "CMYK"}[space])
    if transform is None:
        return Converted(_plain_rgb(pixels), None, lost=useless)
    result = transform.apply(_inks(pixels) if space == "CMYK" else Image.fromarray(pixels))
    return Converted(np.asarray(result), srgb(), True, original, lost)


def from_srgb(pixels: np.ndarray, original: Original) -> np.ndarray | None:
    """Turn sRGB, HxWx3, back into the colors of ``original``; None if its profile is one-way.

    Pixels that are still what :func:`to_srgb` had made of the original become it again, beyond the
    gamut of sRGB as well; those that are near to it do in part, so that no edge is seen.
    """
    back = _backward(original.icc, pixels.dtype)
    if back is None:
        return None
    white = int(np.iinfo(pixels.dtype).max)
    result = np.empty_like(pixels)
    step = max(1, _PIXELS_AT_ONCE // pixels.shape[1])
    for top in range(0, len(pixels), step):
        rows, before = pixels[top : top + step], original.pixels[top : top + step]
        start = to_srgb(before, original.icc).pixels
        red, green, blue = cv2.split(cv2.absdiff(rows, start))
        moved = np.maximum(np.maximum(red, green), blue)
        result[top : top + step] = back(rows)
        chosen = moved < _NEAR * white
        if chosen.any():
            near = 1 - moved[chosen].astype(np.float32) / (_NEAR * white)
            beyond = before[chosen].astype(np.float32) - back(start[chosen][None])[0]
            mixed = result[top : top + step][chosen] + near[:, None] * beyond
            result[top : top + step][chosen] = np.rint(mixed).clip(0, white)
    return result


def _backward(icc: bytes, dtype: np.dtype[Any]) -> Callable[[np.ndarray], np.ndarray] | None:
    """What turns sRGB of a depth into the colors of a profile; None where nothing can."""
    if dtype == np.uint16:
        shaper = _shaper(icc)
        return shaper.undo if shaper else None
    transform = _between(srgb(), "RGB", icc)
    if transform is None:
        return None
    return lambda rows: np.asarray(transform.apply(Image.fromarray(rows)))


def color_space(icc: bytes) -> str | None:
    """``"RGB "``, ``"GRAY"``, ``"CMYK"`` ... as the header says; None if it is no profile."""
    if len(icc) < 132 or icc[36:40] != b"acsp":
        return None
    return icc[16:20].decode("latin-1")


def describe(icc: bytes) -> str:
    """The profile's own name, such as ``Display P3``."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        return ImageCms.getProfileDescription(profile).strip() or "unnamed"
    except (ImageCms.PyCMSError, OSError):
        return "unreadable, ignored"


@lru_cache(maxsize=32)
def is_srgb(icc: bytes) -> bool:
    """Whether a profile moves no color of a 6x6x6 lattice by more than two of 255 levels."""
    transform = _transform(icc, "RGB")
    if transform is None:
        return False
    levels = np.array([0, 16, 48, 96, 176, 255], np.uint8)
    lattice = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(12, 18, 3)
    moved = np.asarray(transform.apply(Image.fromarray(lattice)))
    return int(np.abs(moved.astype(int) - lattice).max()) <= 2


def _transform(icc: bytes, mode: str) -> Any:
    """LittleCMS transform to sRGB; None for a profile that cannot be used."""
    return _between(icc, mode, srgb())


@lru_cache(maxsize=8)
def _between(source: bytes, mode: str, target: bytes) -> Any:
    """LittleCMS transform, relative colorimetric with black point compensation; None if none is."""
    try:
        return ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(source)),
            ImageCms.ImageCmsProfile(io.BytesIO(target)),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError):
        return None  # the callers say what happens then


def lab_to_rgb(picture: Image.Image) -> Image.Image:
    """A CIE Lab picture as sRGB."""
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    target = ImageCms.ImageCmsProfile(io.BytesIO(srgb()))
    transform = ImageCms.buildTransform(lab, target, "LAB", "RGB")
    return transform.apply(picture)


def _gray_to_rgb(gray: np.ndarray) -> np.ndarray:
    return np.repeat(gray[:, :, None], 3, axis=2)


def _plain_rgb(pixels: np.ndarray) -> np.ndarray:
    """RGB without any profile's help."""
    if pixels.ndim == 2:
        return _gray_to_rgb(pixels)
    if pixels.shape[2] == 4:
        return np.asarray(_inks(pixels).convert("RGB"))
    return pixels


def _inks(pixels: np.ndarray) -> Image.Image:
    return Image.frombytes("CMYK", pixels.shape[1::-1], pixels.tobytes())


# -- curves and a matrix, computed here ----------------------------------------------------


@dataclass(frozen=True)
class _Shaper:
    """A profile of one curve (gray), or of three and a matrix (RGB)."""

    curves: list[Curve]
    """From stored values to linear light, both in [0, 1]."""
    matrix: np.ndarray | None
    """3x3, linear RGB of the profile to linear sRGB."""

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        """HxW or HxWx3, uint8 or uint16, to sRGB, HxWx3, of the same depth."""
        white = int(np.iinfo(pixels.dtype).max)
        ramp = np.arange(white + 1) / white
        tables = [np.asarray(curve(ramp), np.float32) for curve in self.curves]
        if self.matrix is None:
            table = np.rint(_srgb_encode(tables[0]) * white).astype(pixels.dtype)
            return _gray_to_rgb(table[pixels])
        weights = self.matrix.astype(np.float32).T
        result = np.empty_like(pixels)
        step = max(1, _PIXELS_AT_ONCE // pixels.shape[1])
        for top in range(0, len(pixels), step):
            rows = pixels[top : top + step]
            linear = np.stack([tables[i][rows[:, :, i]] for i in range(3)], -1) @ weights
            result[top : top + step] = np.rint(_srgb_encode(linear) * white)
        return result

    def undo(self, pixels: np.ndarray) -> np.ndarray:
        """HxWx3 of sRGB, uint16, to the profile's own colors, of the same depth."""
        assert self.matrix is not None
        ramp = np.arange(65536) / 65535
        linear = _srgb_decode(ramp).astype(np.float32)[pixels]
        linear = np.clip(linear @ np.linalg.inv(self.matrix).astype(np.float32).T, 0, 1)
        # By the square root, the steps of the table are fine where curves are steep.
        place = np.rint(np.sqrt(linear) * 65535).astype(np.uint16)
        result = np.empty_like(pixels)
        for i, curve in enumerate(self.curves):
            table = np.interp(ramp**2, np.asarray(curve(ramp), float), ramp)
            result[:, :, i] = np.rint(table * 65535).astype(np.uint16)[place[:, :, i]]
        return result


def _shaper(icc: bytes) -> _Shaper | None:
    """The curves and matrix of a profile; None for profiles made of tables, and damaged ones."""
    tags = _tags(icc)
    try:
        if color_space(icc) == "GRAY":
            return _Shaper([_curve(tags["kTRC"])], None)
        if "A2B0" in tags or "A2B1" in tags:
            return None
        columns = [_xyz(tags[name]) for name in ("rXYZ", "gXYZ", "bXYZ")]
        matrix = np.linalg.inv(_matrix(*SRGB_PRIMARIES)) @ np.array(columns).T
        return _Shaper([_curve(tags[name]) for name in ("rTRC", "gTRC", "bTRC")], matrix)
    except (KeyError, ValueError, struct.error):
        return None


def _srgb_encode(linear: np.ndarray) -> np.ndarray:
    linear = np.clip(linear, 0, 1)
    high = 1.055 * np.power(np.maximum(linear, 0.0031308), 1 / 2.4) - 0.055
    return np.where(linear <= 0.0031308, linear * 12.92, high)


def _srgb_decode(encoded: np.ndarray) -> np.ndarray:
    high = ((encoded + 0.055) / 1.055) ** 2.4
    return np.where(encoded <= 0.04045, encoded / 12.92, high)


def _tags(icc: bytes) -> dict[str, bytes]:
    tags = {}
    for i in range(min(int.from_bytes(icc[128:132], "big"), 100)):
        entry = icc[132 + 12 * i : 144 + 12 * i]
        offset, size = int.from_bytes(entry[4:8], "big"), int.from_bytes(entry[8:12], "big")
        tags[entry[:4].decode("latin-1")] = icc[offset : offset + size]
    return tags


def _xyz(tag: bytes) -> tuple[float, ...]:
    return tuple(v / 65536 for v in struct.unpack(">3i", tag[8:20]))


def _curve(tag: bytes) -> Curve:
    """A tone curve of type ``curv`` or ``para``, from and to [0, 1]. Raises ValueError."""
    if tag[:4] == b"curv":
        (count,) = struct.unpack(">I", tag[8:12])
        values = np.array(struct.unpack(f">{count}H", tag[12 : 12 + 2 * count]), float)
        if count == 0:
            return lambda x: x
        if count == 1:
            return lambda x: x ** (values[0] / 256)
        return lambda x: np.interp(x, np.linspace(0, 1, count), values / 65535)
    if tag[:4] == b"para":
        (kind,) = struct.unpack(">H", tag[8:10])
        count = {0: 1, 1: 3, 2: 4, 3: 5, 4: 7}.get(kind, 0)
        if not count:
            raise ValueError(f"parametric curve of type {kind}")
        n = [v / 65536 for v in struct.unpack(f">{count}i", tag[12 : 12 + 4 * count])]
        if kind == 0:
            g, a, b, c, d, e, f = n[0], 1.0, 0.0, 0.0, -1.0, 0.0, 0.0
        elif kind in (1, 2):
            g, a, b = n[:3]
            c, d = 0.0, -b / a if a else 0.0
            e = f = n[3] if kind == 2 else 0.0
        else:
            g, a, b, c, d = n[:5]
            e, f = n[5:] or (0.0, 0.0)
        return lambda x: np.where(x >= d, np.maximum(a * x + b, 0) ** g + e, c * x + f)
    raise ValueError("unknown curve")


# -- profiles made here --------------------------------------------------------------------

SRGB_PRIMARIES = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
ADOBE_PRIMARIES = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))


def _matrix(*primaries: tuple[float, float], white: tuple[float, float] = D65) -> np.ndarray:
    """3x3 from linear RGB to XYZ relative to D50."""
    xyz = np.array([(x / y, 1, (1 - x - y) / y) for x, y in (*primaries, white)]).T
    to_white = xyz[:, :3] * np.linalg.solve(xyz[:, :3], xyz[:, 3])
    cone = (_BRADFORD @ _D50) / (_BRADFORD @ xyz[:, 3])
    return np.asarray(np.linalg.inv(_BRADFORD) @ np.diag(cone) @ _BRADFORD @ to_white)


def build(
    name: str,
    primaries: tuple[tuple[float, float], ...],
    curve: tuple[float, ...],
    white: tuple[float, float] = D65,
) -> bytes:
    """An ICC v4 display profile, the same bytes every time.

    ``primaries`` are the xy of red, green and blue. ``curve`` holds the numbers of a parametric
    curve: one (a gamma) or five (the form of sRGB). Raises LinAlgError for primaries on a line.
    """

    def fixed(*values: float) -> bytes:
        return struct.pack(f">{len(values)}i", *(round(v * 65536) for v in values))

    def text(words: str) -> bytes:
        encoded = words.encode("utf-16-be")
        return b"mluc\0\0\0\0" + struct.pack(">2I4s2I", 1, 12, b"enUS", len(encoded), 28) + encoded

    def xyz(values: Any) -> bytes:
        return b"XYZ \0\0\0\0" + fixed(*values)

    matrix = _matrix(*primaries, white=white)
    kind = {1: 0, 5: 3}[len(curve)]
    tone = b"para\0\0\0\0" + struct.pack(">2H", kind, 0) + fixed(*curve)
    tags = [
        (b"desc", text(name)),
        (b"cprt", text("CC0")),
        (b"wtpt", xyz(_D50)),
        (b"rXYZ", xyz(matrix[:, 0])),
        (b"gXYZ", xyz(matrix[:, 1])),
        (b"bXYZ", xyz(matrix[:, 2])),
        (b"rTRC", tone),
        (b"gTRC", tone),
        (b"bTRC", tone),
    ]
    table, body, at = b"", b"", 132 + 12 * len(tags)
    seen: dict[bytes, int] = {}
    for tag, data in tags:
        if data not in seen:
            seen[data] = at + len(body)
            body += data + bytes(-len(data) % 4)
        table += struct.pack(">4s2I", tag, seen[data], len(data))
    size = at + len(body)
    header = struct.pack(
        ">I4sI4s4s4s6H4s4sI4s4sQI12s4s44s",
        size,
        bytes(4),
        0x04000000,
        b"mntr",
        b"RGB ",
        b"XYZ ",
        2024,
        1,
        1,
        0,
        0,
        0,
        b"acsp",
        bytes(4),
        0,
        bytes(4),
        bytes(4),
        0,
        1,
        fixed(*_D50),
        bytes(4),
        bytes(44),
    )
    return header + struct.pack(">I", len(tags)) + table + body


@lru_cache(maxsize=1)
def srgb() -> bytes:
    """The sRGB profile that goes with converted pixels."""
    return build("sRGB", SRGB_PRIMARIES, SRGB_CURVE)


@lru_cache(maxsize=1)
def adobe_rgb() -> bytes:
    """Adobe RGB (1998), for files that only say so in EXIF."""
    return build("Adobe RGB (1998)", ADOBE_PRIMARIES, (563 / 256,))
