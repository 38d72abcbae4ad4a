"""TIFF files that Pillow and OpenCV do not read: of rarer kinds of numbers, or cut short.

Both become plain files that they do read. Rare kinds are decoded by tifffile, an extra.
"""

from __future__ import annotations

import io
from typing import Any, BinaryIO

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2 as Directory

from stylepipe.errors import ItemError
from stylepipe.media import exif
from stylepipe.media.limits import check_size
from stylepipe.media.words import share

TEXT = (269, 270, 271, 272, 285, 305, 306, 315, 316, 18246, 33432, *range(40091, 40096))
"""Tags that describe the picture and not how it is stored: names, makers, dates, rights."""
EARTH = (33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113)
"""Where on earth the pixels lie (GeoTIFF, GDAL)."""
KNOWN = {
    *range(254, 302),
    *range(317, 348),
    *range(512, 533),
    559,
    700,
    33421,
    33422,
    33723,
    34377,
    34665,
    34675,
    34853,
    50341,
    *TEXT,
    *EARTH,
}
"""Those, and how the picture is stored, and what is read by other ways or shows the old picture."""
_KEPT = (*TEXT, *EARTH, 274, 282, 283, 296, 700, 34675)
"""Text, place, orientation, resolution, XMP, ICC profile."""
_WIDTH, _HEIGHT, _BITS, _PACKING, _PHOTOMETRIC, _OFFSETS, _CHANNELS, _ROWS, _SIZES = (
    256,
    257,
    258,
    259,
    262,
    273,
    277,
    278,
    279,
)
_ORIENTATION, _PLANES, _TILES, _EXTRA, _FORMAT = 274, 284, 324, 338, 339
_UNPACKED = 1
_OPENCV = (_UNPACKED, 5, 7, 8, 32773, 32946)
_PILLOW = (*_OPENCV, 2, 3, 4, 6, 32771, 32809, 34677, 34925, 50000)
"""Compressions that the two decode."""
_NAMES = {
    33003: "JPEG 2000",
    33005: "JPEG 2000",
    34712: "JPEG 2000",
    34887: "LERC",
    34925: "LZMA",
    34933: "PNG",
    50000: "Zstandard",
    50001: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL",
}
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
_REMEDY = "save it with 8 or 16 bits a channel, interleaved, LZW or uncompressed"


def directory(file: BinaryIO) -> Directory | None:
    """The tags of the first picture; None where even these cannot be read."""
    try:
        file.seek(0)
        head = file.read(8)
        if head[2:4] in (b"+\0", b"\0+"):
            head += file.read(8)
        found = Directory(head)
        file.seek(found.next)
        found.load(file)
        return found if found.get(_WIDTH) and found.get(_HEIGHT) else None
    except Exception:  # Pillow raises anything on garbage, and opening the file will say what
        return None


def is_signed(picture: Image.Image) -> bool:
    """Whether the numbers of a picture that Pillow opened may be negative."""
    return bool(picture.tag_v2.get(_FORMAT, (_UNSIGNED,))[0] == _SIGNED)  # type: ignore[attr-defined]


def check_kind(file: BinaryIO) -> None:
    """Raises ItemError for a file that no decoder takes though its tags are in order."""
    tags = directory(file)
    if tags is not None:
        raise ItemError(
            f"the TIFF file holds pixels of a kind not supported ({_described(tags)}): {_REMEDY}"
        )


def _described(tags: Directory) -> str:
    bits, channels = tags.get(_BITS, (1,)), tags.get(_CHANNELS, 1)
    return (
        f"photometric interpretation {tags.get(_PHOTOMETRIC, 'unsaid')}, {channels} channels of "
        f"{', '.join(map(str, dict.fromkeys(bits)))} bits, compression "
        f"{tags.get(_PACKING, _UNPACKED)}"
    )


def readable(file: BinaryIO, max_pixels: int) -> BinaryIO:
    """The file itself; or a plain one with the same picture, if it is of a rare kind.

    Raises ItemError for kinds not supported, or not without the extra, and for too many pixels.
    """
    tags = directory(file)
    kind = "" if tags is None else _rare(tags)
    file.seek(0)
    if tags is None or not kind:
        return file
    check_size(tags[_WIDTH], tags[_HEIGHT], max_pixels)
    return io.BytesIO(_plain(file.read(), tags, kind))


def cut_rows(data: bytes) -> tuple[bytes, int, str]:
    """A TIFF of the rows that are there, how many of them are not, and that in words.

    The file itself, 0 and no words if it is whole, or if nothing can be done.
    """
    tags = directory(io.BytesIO(data))
    if tags is None or _OFFSETS not in tags or _SIZES not in tags:
        return data, 0, ""
    strips = list(zip(tags[_OFFSETS], tags[_SIZES], strict=False))
    lost = max((offset + size - len(data) for offset, size in strips), default=0)
    if lost <= 0:
        return data, 0, ""
    if tags.get(_PACKING, _UNPACKED) == _UNPACKED:
        missing = lost / sum(size for _, size in strips)
        return data + bytes(lost), 0, f"its end is missing, {share(missing)}"
    whole = 0
    while sum(strips[whole]) <= len(data):
        whole += 1
    height, rows = tags[_HEIGHT], whole * tags.get(_ROWS, tags[_HEIGHT])
    if not rows or tags.get(_PLANES, 1) != 1 or tags.get(_ORIENTATION, 1) != 1:
        return data, 0, ""
    tags[_HEIGHT], tags[_SIZES] = rows, [size for _, size in strips[:whole]]
    tags[_OFFSETS] = [offset for offset, _ in strips[:whole]]
    missing = f"its end is missing, {share(1 - rows / height)}"
    return _written(tags) + data, height - rows, missing


def _written(tags: Directory) -> bytes:
    """The tags as a file; Pillow adds its length to the offsets of what follows it."""
    dict(tags)  # Pillow writes those only that were looked at
    tags.tagtype[_OFFSETS] = tags.tagtype[_SIZES] = 4
    file = io.BytesIO()
    tags.save(file)
    return file.getvalue()


def _rare(tags: Directory) -> str:
    """What no decoder but tifffile takes, in words; empty if there is nothing of the kind."""
    bits, form = tags.get(_BITS, (1,))[0], tags.get(_FORMAT, (_UNSIGNED,))[0]
    channels, packing = tags.get(_CHANNELS, 1), tags.get(_PACKING, _UNPACKED)
    if form == _FLOAT:
        return f"floating-point numbers of {bits} bits"
    if form != _UNSIGNED and form != 4:
        return "negative numbers" if form == _SIGNED else "complex numbers"
    if bits > 16 or (bits not in (1, 2, 4, 8, 16) and not (bits == 12 and channels == 1)):
        return f"{bits} bits a channel"
    deep = bits == 16 and channels > 1
    if packing not in (_OPENCV if deep else _PILLOW):
        return f"data compressed by {_NAMES.get(packing, f'method {packing}')}"
    if deep and tags.get(_PLANES, 1) == 2:
        return "sixteen-bit colors in separate planes"
    if deep and channels == 2:
        return "sixteen-bit gray with transparency"
    return ""


def _plain(data: bytes, tags: Directory, kind: str) -> bytes:
    what = f"the TIFF file holds {kind}, which is not supported"
    photometric = tags.get(_PHOTOMETRIC, 1)
    signed = tags.get(_FORMAT, (_UNSIGNED,))[0] not in (_UNSIGNED, _FLOAT, 4)
    if signed or photometric not in (0, 1, 2):
        raise ItemError(f"{what}: {_REMEDY}")
    try:
        import tifffile
    except ImportError:
        raise ItemError(f"{what} without pip install 'stylepipe[tiff]'; or {_REMEDY}") from None
    try:
        pixels = tifffile.imread(io.BytesIO(data), key=0)
    except Exception as error:  # of damaged data anything, and ValueError for a missing codec
        if "imagecodecs" in str(error):
            raise ItemError(
                f"{what} without pip install 'stylepipe[tiff]'; or {_REMEDY}"
            ) from error
        detail = " ".join(str(error).split()) or type(error).__name__
        raise ItemError(
            f"the TIFF file is cut short or damaged ({detail}): copy it again from where it came"
        ) from error
    if tags.get(_PLANES, 1) == 2 and pixels.ndim == 3:
        pixels = np.moveaxis(pixels, 0, 2)
    if pixels.shape[:2] != (tags[_HEIGHT], tags[_WIDTH]) or pixels.ndim > 3:
        raise ItemError(f"{what}: {_REMEDY}")
    pixels = _integers(pixels, tags.get(_BITS, (1,))[0])
    return _with_pixels(pixels, tags, data)


def _integers(pixels: np.ndarray, bits: int) -> np.ndarray:
    """Of 8 or 16 bits, black to white. Raises ItemError for floating point of another range."""
    if pixels.dtype.kind == "f":
        numbers = np.nan_to_num(pixels.astype(np.float32, copy=False), nan=0, posinf=1, neginf=0)
        if np.median(numbers) > 1:
            raise ItemError(
                f"its floating-point numbers reach from {numbers.min():g} to {numbers.max():g}, "
                "but black must be 0 and white 1: scale them"
            )
        return (numbers.clip(0, 1) * 65535 + 0.5).astype(np.uint16)
    if bits > 16:
        return (pixels >> (bits - 16)).astype(np.uint16)
    if bits in (8, 16):
        return pixels
    top = 255 if bits < 8 else 65535
    scaled = pixels.astype(np.uint32) * top // ((1 << bits) - 1)
    return scaled.astype(np.uint8 if bits < 8 else np.uint16)


def _with_pixels(pixels: np.ndarray, tags: Directory, data: bytes) -> bytes:
    """An uncompressed TIFF of one strip, with all that the old one says of the picture."""
    gray = tags.get(_PHOTOMETRIC, 1) != 2
    pixels = pixels if pixels.ndim == 3 else pixels[:, :, None]
    colors = 1 if gray else 3
    color, extra = pixels[:, :, :colors], tags.get(_EXTRA, ())
    if tags.get(_PHOTOMETRIC, 1) == 0:
        color = np.iinfo(pixels.dtype).max - color
    plain: Any = Directory(prefix=b"II")
    for tag in _KEPT:
        if tag in tags:
            plain.tagtype[tag] = tags.tagtype[tag]
            plain[tag] = tags[tag]
    if pixels.shape[2] > colors and extra[:1] in ((1,), (2,)):
        color = np.repeat(color, 3, 2) if gray else color  # no decoder reads deep gray with alpha
        color = np.dstack((color, pixels[:, :, colors]))
        plain[_EXTRA] = extra[:1]
    channels, raw = color.shape[2], color.astype(color.dtype.newbyteorder("<")).tobytes()
    blocks = Image.Exif()
    blocks.load(data)
    for group in exif.GROUPS:
        if group in tags and (values := dict(blocks.get_ifd(group))):
            plain[group] = values
    for tag, value in (
        (_WIDTH, pixels.shape[1]),
        (_HEIGHT, pixels.shape[0]),
        (_BITS, (8 * pixels.itemsize,) * channels),
        (_PACKING, _UNPACKED),
        (_PHOTOMETRIC, 1 if channels == 1 else 2),
        (_CHANNELS, channels),
        (_ROWS, pixels.shape[0]),
        (_SIZES, [len(raw)]),
        (_OFFSETS, [0]),  # behind the tags
    ):
        plain[tag] = value
    return _written(plain) + raw
