"""Encodes one frame as a picture file. Imports Pillow and OpenCV, so it is imported late.

Every encoder is told all that decides the bytes, so that the same frame gives the same file.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import cv2
import numpy as np
from PIL import Image, TiffImagePlugin

from stylepipe.errors import ItemError
from stylepipe.media import exif, icc
from stylepipe.media.decode import enable_heif
from stylepipe.media.video_color import flatten
from stylepipe.types import Frame, Meta

_MARKER = 65533  # bytes a JPEG segment can hold
_STRIP = 1 << 18  # bytes of a TIFF strip before compression, about
_TIFF_STORAGE = {
    254, 255, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 280, 281, 282, 283, 284,
    290, 291, 296, 301, 317, 318, 319, 320, 322, 323, 324, 325, 330, 338, 339, 513, 514, 529,
    530, 531, 532, 700, 34675,
}


@dataclass(frozen=True)
class Settings:
    """How to encode, the same for every format."""

    quality: int
    """1 to 100, for formats that lose."""
    level: int
    """1 to 9: compression of those that do not."""
    strip: bool
    """Leave metadata out."""
    log: Callable[[str], None]


def encode(frame: Frame, suffix: str, settings: Settings) -> bytes:
    """The bytes of a file of the format that ``suffix`` stands for.

    Sixteen bits stay in PNG and TIFF, others get eight. Alpha stays but for JPEG and BMP, which
    show the picture on white, and GIF, where a pixel is seen or not. Raises ItemError.
    """
    encoder, longest = _ENCODERS[suffix]
    height, width = frame.pixels.shape[:2]
    if max(width, height) > longest:
        raise ItemError(
            f"{suffix} pictures have at most {longest} pixels a side, not {width}x{height}: "
            f"choose another format, such as png"
        )
    meta = frame.meta
    block = (meta.exif or b"").removeprefix(b"Exif\0\0")
    meta = replace(meta, exif=block if exif.is_block(block) else None)
    if settings.strip:  # colours of another space than sRGB would be wrong without their profile
        own = meta.icc if meta.icc and not icc.is_srgb(meta.icc) else None
        meta = Meta(icc=own)
    try:
        return encoder(frame, meta, settings)
    except ItemError:
        raise
    except Exception as error:  # encoders raise anything
        raise ItemError(f"the picture cannot be encoded as {suffix}: {error}") from error


def eight(values: np.ndarray) -> np.ndarray:
    """Eight bits, rounded to nearest."""
    if values.dtype == np.uint8:
        return values
    table = ((np.arange(65536, dtype=np.uint32) + 128) // 257).astype(np.uint8)
    return np.asarray(table[values])


def quantized(frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    """Indices HxW and palette 256x4 (ARGB): the frame's own best 255 colours, diffused errors.

    As they are, where there are no more than that. Colour 255 is transparent. Octrees are thirty
    times as fast as Pillow's median cut, and keep a small spot of a colour of its own.
    """
    pixels = eight(frame.pixels)
    image = Image.fromarray(pixels)
    if image.getcolors(255) is None:
        reduced = image.quantize(255, Image.Quantize.FASTOCTREE)
        found = np.array(reduced.getpalette("RGB"), np.uint8).reshape(-1, 3)[:255]
        dithered = image.quantize(palette=reduced, dither=Image.Dither.FLOYDSTEINBERG)
        indices = np.array(dithered, np.uint8)
    else:
        found, inverse = np.unique(pixels.reshape(-1, 3), axis=0, return_inverse=True)
        indices = inverse.reshape(pixels.shape[:2]).astype(np.uint8)
    palette = np.zeros((256, 4), np.uint8)
    palette[: len(found), 1:] = found
    palette[:255, 0] = 255
    if frame.alpha is not None:
        indices[eight(frame.alpha) < 128] = 255
    return indices, palette


def _opaque(frame: Frame) -> Image.Image:
    """RGB of eight bits, on white where the frame is transparent."""
    pixels = eight(frame.pixels)
    return Image.fromarray(
        pixels if frame.alpha is None else flatten(pixels, eight(frame.alpha))
    )


def _with_alpha(frame: Frame) -> Image.Image:
    """RGB or RGBA of eight bits."""
    pixels = eight(frame.pixels)
    if frame.alpha is None:
        return Image.fromarray(pixels)
    return Image.fromarray(np.dstack([pixels, eight(frame.alpha)]))


def _save(picture: Image.Image, name: str, **options: Any) -> bytes:
    """Encode by Pillow; options that are None are not passed."""
    buffer = io.BytesIO()
    picture.save(buffer, name, **{k: v for k, v in options.items() if v is not None})
    return buffer.getvalue()


# -- formats -------------------------------------------------------------------------------


def _jpeg(frame: Frame, meta: Meta, settings: Settings) -> bytes:
    block = b"Exif\0\0" + meta.exif if meta.exif else None
    if block and len(block) > _MARKER:
        settings.log(f"EXIF of {len(block):,} bytes does not fit in a JPEG and is left out")
        block = None
    xmp = meta.xmp
    if xmp and len(xmp) > _MARKER - 29:
        settings.log(f"XMP of {len(xmp):,} bytes does not fit in a JPEG and is left out")
        xmp = None
    return _save(
        _opaque(frame), "JPEG", quality=settings.quality,
        subsampling=0 if settings.quality >= 90 else 2,
        exif=block, icc_profile=meta.icc, xmp=xmp, dpi=meta.dpi,
    )


def _png(frame: Frame, meta: Meta, settings: Settings) -> bytes:
    """By OpenCV, which writes sixteen bits and is faster; metadata is put in after the header."""
    if frame.alpha is None:
        pixels = cv2.cvtColor(frame.pixels, cv2.COLOR_RGB2BGR)
    else:
        red, green, blue = cv2.split(frame.pixels)
        pixels = cv2.merge([blue, green, red, frame.alpha])
    flags = [cv2.IMWRITE_PNG_COMPRESSION, settings.level]
    if hasattr(cv2, "IMWRITE_PNG_FILTER"):  # one filter: twice as fast as choosing, and no larger
        flags += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_AVG]
    done, data = cv2.imencode(".png", pixels, flags)
    if not done:
        raise ItemError("OpenCV cannot encode the picture as PNG")
    chunks = b""
    if meta.icc:
        chunks += _chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(meta.icc, 9))
    if meta.dpi:
        x, y = (round(v / 0.0254) for v in meta.dpi)
        chunks += _chunk(b"pHYs", struct.pack(">2IB", x, y, 1))
    if meta.exif:
        chunks += _chunk(b"eXIf", meta.exif)
    if meta.xmp:
        chunks += _chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + meta.xmp)
    header = 33  # signature and IHDR
    raw = data.tobytes()
    return raw[:header] + chunks + raw[header:]


def _chunk(name: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(name + data)
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)


def _tiff(frame: Frame, meta: Meta, settings: Settings) -> bytes:
    """Deflate with horizontal differences; written here, as Pillow has no sixteen-bit colour."""
    pixels = frame.pixels if frame.alpha is None else np.dstack([frame.pixels, frame.alpha])
    height, width, channels = pixels.shape
    size = pixels.dtype.itemsize
    rows = max(1, min(height, _STRIP // (width * channels * size)))
    strips = []
    for top in range(0, height, rows):
        part = pixels[top : top + rows].astype(pixels.dtype.newbyteorder("<"))
        part[:, 1:] -= part[:, :-1].copy()
        strips.append(zlib.compress(part.tobytes(), settings.level))
    tags = TiffImagePlugin.ImageFileDirectory_v2(prefix=b"II")
    source = _sound_exif(meta, settings)
    for tag in source or ():
        if source and tag not in _TIFF_STORAGE:
            tags[tag] = source.get_ifd(tag) if tag in exif.GROUPS else source[tag]
    lengths = [len(s) for s in strips]
    starts = [0, *accumulate(lengths[:-1])]
    for tag, value in (
        (256, width), (257, height), (258, (8 * size,) * channels), (259, 8), (262, 2),
        (273, tuple(starts)), (277, channels), (278, rows), (279, tuple(lengths)),
        (284, 1), (317, 2), (339, (1,) * channels),
    ):
        tags[tag] = value
    tags.tagtype[273] = tags.tagtype[279] = 4  # LONG
    if frame.alpha is not None:
        tags[338] = 2  # unassociated alpha
    if meta.dpi:
        tags[282], tags[283], tags[296] = *meta.dpi, 2
    if meta.xmp:
        tags[700] = meta.xmp
    if meta.icc:
        tags[34675] = meta.icc
    buffer = io.BytesIO()
    tags.save(buffer)  # moves the strips' offsets behind the directory
    return buffer.getvalue() + b"".join(strips)


def _sound_exif(meta: Meta, settings: Settings) -> Image.Exif | None:
    """The EXIF block taken apart, for encoders that do so; None if it is too damaged for that."""
    if not meta.exif:
        return None
    tags = Image.Exif()
    try:
        tags.load(b"Exif\0\0" + meta.exif)
        for group in exif.GROUPS:
            tags.get_ifd(group)
        tags.tobytes()
    except Exception as error:  # Pillow raises anything; the picture is worth more than the block
        settings.log(f"the damaged EXIF block is left out ({error})")
        return None
    return tags


def _webp(frame: Frame, meta: Meta, settings: Settings) -> bytes:
    return _save(
        _with_alpha(frame), "WEBP", quality=settings.quality, method=2, exact=True,
        lossless=settings.quality == 100,  # else colours have half the resolution, at any quality
        exif=meta.exif, icc_profile=meta.icc, xmp=meta.xmp,
    )


def _exif_bytes(meta: Meta, settings: Settings) -> bytes | None:
    return meta.exif if _sound_exif(meta, settings) is not None else None


def _avif(frame: Frame, meta: Meta, settings: Settings) -> bytes:
    return _save(
        _with_alpha(frame), "AVIF", quality=settings.quality, speed=9, autotiling=False,
        subsampling="4:4:4" if settings.quality >= 90 else "4:2:0",
        exif=_exif_bytes(meta, settings), icc_profile=meta.icc, xmp=meta.xmp,
    )


def _heic(frame: Frame, meta: Meta, settings: Settings) -> bytes:
    enable_heif()
    return _save(
        _with_alpha(frame), "HEIF", quality=settings.quality,
        chroma=444 if settings.quality >= 90 else 420,
        enc_params={"preset": "ultrafast"},  # a tenth of the default's time for 6 % more bytes
        exif=_exif_bytes(meta, settings), icc_profile=meta.icc, xmp=meta.xmp,
    )


def _bmp(frame: Frame, meta: Meta, settings: Settings) -> bytes:
    return _save(_opaque(frame), "BMP", dpi=meta.dpi)


def _gif(frame: Frame, meta: Meta, settings: Settings) -> bytes:
    indices, palette = quantized(frame)
    picture = Image.fromarray(indices)
    picture.putpalette(palette[:, 1:].tobytes())
    hole = None if frame.alpha is None else 255
    return _save(picture, "GIF", transparency=hole, optimize=False)


_Encoder = Callable[[Frame, Meta, Settings], bytes]
_ENCODERS: dict[str, tuple[_Encoder, int]] = {
    ".jpg": (_jpeg, 65500), ".jpeg": (_jpeg, 65500), ".jpe": (_jpeg, 65500),
    ".jfif": (_jpeg, 65500),
    ".png": (_png, 1_000_000), ".apng": (_png, 1_000_000),
    ".webp": (_webp, 16383),
    ".tif": (_tiff, 1_000_000), ".tiff": (_tiff, 1_000_000),
    ".bmp": (_bmp, 1_000_000),
    ".avif": (_avif, 65536), ".gif": (_gif, 65535),
    ".heic": (_heic, 16384), ".heif": (_heic, 16384), ".hif": (_heic, 16384),
}
"""Encoder and longest side in pixels, by suffix."""
