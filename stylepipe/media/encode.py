"""Encodes one frame as a picture file. Imports Pillow and OpenCV, so it is imported late.

Every encoder is told all that decides the bytes, so that the same frame gives the same file.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any

import cv2
import numpy as np
from PIL import Image, TiffImagePlugin

from stylepipe.errors import ItemError
from stylepipe.media import exif, icc, iptc, png_texts, xmp
from stylepipe.media.containers import PICTURES
from stylepipe.media.opener import enable_heif
from stylepipe.media.png import Chunk
from stylepipe.media.video_color import flatten
from stylepipe.types import Frame, Meta, Text

_MARKER = 65533  # bytes a JPEG segment can hold
_STRIP = 1 << 18  # bytes of a TIFF strip before compression, about
_TIFF_STORAGE = {
    254, 255, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 280, 281, 282, 283, 284, 290,
    291, 296, 301, 317, 318, 319, 320, 322, 323, 324, 325, 330, 338, 339, 513, 514, 529, 530, 531,
    532, 700, 33723, 34675,
}  # fmt: skip


@dataclass(frozen=True)
class EncodeSettings:
    """How to encode, the same for every format."""

    quality: int
    """1 to 100, for formats that lose."""
    level: int
    """1 to 9: compression of those that do not."""
    strip: bool
    """Leave metadata out."""
    log: Callable[[str], None]
    keep_profile: bool = True
    """Write the colors of the source's profile, where the format has a place for one."""
    lossless: bool = False
    """Lose nothing where the format leaves the choice."""
    gray: bool = False
    """For PNG: write one channel, as all three are alike."""
    lost: list[str] = field(default_factory=list)
    """What the file cannot hold, in words; :func:`encode` tells it in one line."""


def encode(frame: Frame, suffix: str, settings: EncodeSettings) -> bytes:
    """The bytes of a file of the format that ``suffix`` stands for.

    What the format has no place for is reported. Without alpha the picture is shown on white; the
    pixels of a GIF are either opaque or transparent. Raises ItemError.
    """
    made = PICTURES[suffix]
    height, width = frame.pixels.shape[:2]
    if max(width, height) > made.longest:
        raise ItemError(
            f"{suffix} pictures have at most {made.longest} pixels a side, not {width}x{height}: "
            f"choose another format, such as png"
        )
    frame = _in_profile(frame, made.holds, settings)
    _tell_pixels(frame, made.holds, settings)
    meta = _fitting(frame.meta, made.holds, settings)
    try:
        data = _ENCODERS[made.format](frame, meta, settings)
    except ItemError:
        raise
    except Exception as error:  # encoders raise anything
        raise ItemError(f"the picture cannot be encoded as {suffix}: {error}") from error
    if settings.lost:
        settings.log(f"left out, as {suffix} cannot hold it: {', '.join(settings.lost)}")
    return data


def _in_profile(frame: Frame, holds: frozenset[str], settings: EncodeSettings) -> Frame:
    """The frame in the colors that its source had, where that is wanted and possible."""
    meta, original = frame.meta, frame.meta.original
    if original is None:
        return frame
    pixels = None
    if settings.keep_profile and "icc" in holds:
        pixels = icc.from_srgb(frame.pixels, original)
    if pixels is not None:
        block = meta.exif and exif.in_profile(meta.exif, original.icc == icc.adobe_rgb())
        return replace(frame, pixels=pixels, meta=replace(meta, icc=original.icc, exif=block))
    if settings.keep_profile:
        settings.lost.append(f"its color profile ({icc.describe(original.icc)}; sRGB is written)")
    packet = meta.xmp
    if packet:
        with suppress(ValueError):  # one that is not well-formed states nothing
            packet = xmp.without_profile(packet)
    return replace(frame, meta=replace(meta, xmp=packet))


def _tell_pixels(frame: Frame, holds: frozenset[str], settings: EncodeSettings) -> None:
    alpha = frame.alpha
    if alpha is not None and "alpha" not in holds and alpha.min() < frame.white:
        if "holes" not in holds:
            settings.lost.append("transparency (it is shown on white)")
        elif ((alpha > 0) & (alpha < frame.white)).any():
            settings.lost.append("partial transparency (a pixel is seen or not)")
    if frame.white > 255 and "deep" not in holds:
        settings.lost.append("16 bits a channel (8 are written)")


def _fitting(meta: Meta, holds: frozenset[str], settings: EncodeSettings) -> Meta:
    """The metadata that the format can hold; the rest is reported, unless nobody wants it."""
    if settings.strip:  # colors of another space than sRGB would be wrong without their profile
        return Meta(icc=meta.icc if meta.icc and not icc.is_srgb(meta.icc) else None)
    block = (meta.exif or b"").removeprefix(b"Exif\0\0")
    meta = replace(meta, exif=block if exif.is_block(block) else None)
    absent: dict[str, Any] = {}
    for name, words in (("exif", "EXIF"), ("xmp", "XMP"), ("iptc", "IPTC"), ("dpi", "resolution")):
        if getattr(meta, name) and name not in holds:
            settings.lost.append(words)
            absent[name] = None
    if meta.icc and "icc" not in holds and not icc.is_srgb(meta.icc):
        settings.lost.append(f"its color profile ({icc.describe(meta.icc)})")
    texts = [t for t in meta.texts if "texts" in holds or (_is_comment(t) and "comment" in holds)]
    if gone := [t.keyword for t in meta.texts if t not in texts]:
        settings.lost.append(f"texts ({', '.join(dict.fromkeys(gone))})")
    meta = replace(meta, texts=tuple(texts), **absent)
    if not meta.xmp or not meta.xmp_extended or "segments" in holds:
        return meta
    try:
        return replace(meta, xmp=xmp.merged(meta.xmp, meta.xmp_extended))
    except ValueError:
        settings.lost.append("extended XMP")
        return meta


def _is_comment(text: Text) -> bool:
    return text.keyword == "Comment"


def eight(values: np.ndarray) -> np.ndarray:
    """Eight bits, rounded to nearest."""
    if values.dtype == np.uint8:
        return values
    table = ((np.arange(65536, dtype=np.uint32) + 128) // 257).astype(np.uint8)
    return np.asarray(table[values])


def quantized(frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    """Indices HxW and palette 256x4 (ARGB): the frame's own best 255 colors, diffused errors.

    As they are, where there are no more than that. Color 255 is transparent. Octrees are thirty
    times as fast as Pillow's median cut, and keep a small spot of a color of its own.
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
    return Image.fromarray(pixels if frame.alpha is None else flatten(pixels, eight(frame.alpha)))


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


def _jpeg(frame: Frame, meta: Meta, settings: EncodeSettings) -> bytes:
    def fits(words: str, data: bytes | None, taken: int = 0) -> bytes | None:
        if data and len(data) + taken > _MARKER:
            settings.lost.append(f"{words} of {len(data):,} bytes, which does not fit in a JPEG")
            return None
        return data

    packet, further = fits("XMP", meta.xmp, 29), b""
    if packet and meta.xmp_extended:
        guid = hashlib.md5(meta.xmp_extended, usedforsecurity=False).hexdigest().upper()
        pointing = None
        with suppress(ValueError):  # told below
            pointing = xmp.pointing(packet, guid)
        if pointing and len(pointing) + 29 <= _MARKER:
            packet, further = pointing, _extended_xmp(meta.xmp_extended, guid)
        else:
            settings.lost.append("extended XMP, to which nothing can point")
    resources = fits("IPTC", iptc.to_resources(meta.iptc) if meta.iptc else None, 14)
    if resources:
        further += _segment(0xED, iptc.SIGNATURE + resources)
    comments = (fits("a comment", text.text.encode()) for text in meta.texts)
    further += b"".join(_segment(0xFE, comment) for comment in comments if comment)
    return _save(
        _opaque(frame),
        "JPEG",
        quality=settings.quality,
        subsampling=0 if settings.quality >= 90 else 2,
        icc_profile=meta.icc,
        dpi=meta.dpi,
        exif=fits("EXIF", b"Exif\0\0" + meta.exif if meta.exif else None),
        xmp=packet,
        extra=further,
    )


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _extended_xmp(packet: bytes, guid: str) -> bytes:
    """The segments of an extended packet (XMP specification, part 3, 1.1.3.1)."""
    head = b"http://ns.adobe.com/xmp/extension/\0" + guid.encode()
    room = _MARKER - len(head) - 8
    return b"".join(
        _segment(0xE1, head + struct.pack(">2I", len(packet), at) + packet[at : at + room])
        for at in range(0, len(packet), room)
    )


def _png(frame: Frame, meta: Meta, settings: EncodeSettings) -> bytes:
    """By OpenCV, which writes sixteen bits and is faster; metadata is put in after the header."""
    if settings.gray:
        pixels = np.ascontiguousarray(frame.pixels[..., 0])
    elif frame.alpha is None:
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
        chunks += Chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(meta.icc, 9)).written()
    if meta.dpi:
        x, y = (round(v / 0.0254) for v in meta.dpi)
        chunks += Chunk(b"pHYs", struct.pack(">2IB", x, y, 1)).written()
    if meta.exif:
        chunks += Chunk(b"eXIf", meta.exif).written()
    if meta.xmp:
        chunks += Chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + meta.xmp).written()
    if meta.iptc:
        chunks += png_texts.text_chunk(png_texts.as_profile("iptc", iptc.to_resources(meta.iptc)))
    chunks += b"".join(map(png_texts.text_chunk, meta.texts))
    header = 33  # signature and IHDR
    raw = data.tobytes()
    return raw[:header] + chunks + raw[header:]


def _tiff(frame: Frame, meta: Meta, settings: EncodeSettings) -> bytes:
    """Deflate with horizontal differences; written here, as Pillow has no sixteen-bit color."""
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
        (256, width),
        (257, height),
        (258, (8 * size,) * channels),
        (259, 8),
        (262, 2),
        (273, tuple(starts)),
        (277, channels),
        (278, rows),
        (279, tuple(lengths)),
        (284, 1),
        (317, 2),
        (339, (1,) * channels),
    ):
        tags[tag] = value
    tags.tagtype[273] = tags.tagtype[279] = 4  # LONG
    if frame.alpha is not None:
        tags[338] = 2  # unassociated alpha
    if meta.dpi:
        tags[282], tags[283], tags[296] = *meta.dpi, 2
    if meta.xmp:
        tags[700] = meta.xmp
    if meta.iptc:
        tags[33723] = meta.iptc
        tags.tagtype[33723] = 7  # UNDEFINED
    if meta.icc:
        tags[34675] = meta.icc
    buffer = io.BytesIO()
    tags.save(buffer)  # moves the strips' offsets behind the directory
    return buffer.getvalue() + b"".join(strips)


def _sound_exif(meta: Meta, settings: EncodeSettings) -> Image.Exif | None:
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
        settings.lost.append(f"EXIF, which is damaged ({error})")
        return None
    return tags


def _webp(frame: Frame, meta: Meta, settings: EncodeSettings) -> bytes:
    return _save(
        _with_alpha(frame),
        "WEBP",
        quality=settings.quality,
        method=2,
        exact=True,
        # Else colors have half the resolution, at any quality.
        lossless=settings.lossless or settings.quality == 100,
        exif=meta.exif,
        icc_profile=meta.icc,
        xmp=meta.xmp,
    )


def _exif_bytes(meta: Meta, settings: EncodeSettings) -> bytes | None:
    return meta.exif if _sound_exif(meta, settings) is not None else None


def _avif(frame: Frame, meta: Meta, settings: EncodeSettings) -> bytes:
    return _save(
        _with_alpha(frame),
        "AVIF",
        quality=settings.quality,
        speed=9,
        autotiling=False,
        subsampling="4:4:4" if settings.quality >= 90 else "4:2:0",
        exif=_exif_bytes(meta, settings),
        icc_profile=meta.icc,
        xmp=meta.xmp,
    )


def _heic(frame: Frame, meta: Meta, settings: EncodeSettings) -> bytes:
    enable_heif()
    return _save(
        _with_alpha(frame),
        "HEIF",
        quality=settings.quality,
        chroma=444 if settings.quality >= 90 else 420,
        enc_params={"preset": "ultrafast"},  # a tenth of the default's time for 6 % more bytes
        exif=_exif_bytes(meta, settings),
        icc_profile=meta.icc,
        xmp=meta.xmp,
    )


def _bmp(frame: Frame, meta: Meta, settings: EncodeSettings) -> bytes:
    return _save(_opaque(frame), "BMP", dpi=meta.dpi)


def _gif(frame: Frame, meta: Meta, settings: EncodeSettings) -> bytes:
    indices, palette = quantized(frame)
    picture = Image.fromarray(indices)
    picture.putpalette(palette[:, 1:].tobytes())
    hole = None if frame.alpha is None else 255
    comment = "\n".join(text.text for text in meta.texts).encode() or None
    return _save(picture, "GIF", transparency=hole, optimize=False, comment=comment)


_ENCODERS: dict[str, Callable[[Frame, Meta, EncodeSettings], bytes]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "WEBP": _webp,
    "TIFF": _tiff,
    "BMP": _bmp,
    "AVIF": _avif,
    "GIF": _gif,
    "HEIF": _heic,
}
"""How each format of containers.PICTURES is written."""
