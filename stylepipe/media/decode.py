"""Reads one picture of any still format, whole or not. Imports Pillow and OpenCV: import it late.

Pillow reads headers, metadata and most pixels. OpenCV decodes plain JPEG, faster and to the same
values, and color of sixteen bits a channel, which Pillow cuts to eight.
"""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from stylepipe.damage import Damaged, refuse
from stylepipe.errors import ItemError
from stylepipe.media import about, exif, icc, jpeg, png, raw, tiff, tiff_pages, xmp
from stylepipe.media.limits import check_size, pillow_unlimited
from stylepipe.media.opener import HEAD, JPEG, explained, file_at, load, open_file, sniff
from stylepipe.media.words import share
from stylepipe.types import Frame, Info, Meta, Original

# OpenCV 5 moved it.
_set_log_level = cv2.setLogLevel if hasattr(cv2, "setLogLevel") else cv2.utils.logging.setLogLevel
_LOG_LOCK = threading.Lock()
_opencv_users: list[int] = []
"""The log level to go back to, once for each call of OpenCV in progress."""
_ROTATION = {3: cv2.ROTATE_180, 6: cv2.ROTATE_90_CLOCKWISE, 8: cv2.ROTATE_90_COUNTERCLOCKWISE}
_OPENCV_PIXELS, _OPENCV_SIDE = 1 << 30, 1 << 20
"""The most that OpenCV decodes."""
_LINE_BY_LINE = ("BMP", "GIF")
"""Formats of which Pillow decodes as many rows as are there."""
_TURN_THEMSELVES = ("TIFF", "AVIF", "HEIF")
"""Formats whose decoders apply the orientation; a copy of it may stand in the XMP all the same."""


def pages(path: Path) -> int:
    """Pages of a TIFF that has several; 0 for all other pictures, camera RAW too.

    Raises ItemError if the file cannot be read.
    """
    with file_at(path) as file:
        count = len(tiff_pages.offsets(file))
        file.seek(0)
        return count if count > 1 and not raw.kind(file) else 0


def probe(path: Path, max_pixels: int, page: int = 0) -> Info | None:
    """Describe a picture, or a page of it, from its header; None if it is animated or a video.

    Raises ItemError if it is no picture, damaged in the header, or larger than ``max_pixels``.
    """
    with file_at(path) as file:
        if page:
            file = io.BytesIO(_page(file.read(), page))
        if kind := raw.kind(file):
            return _raw_info(file, kind, max_pixels)
        file.seek(0)
        opened = open_file(_header(file, max_pixels), max_pixels)
        if opened is None or opened.moves:
            return None
        with explained(opened.picture.format):
            info = _info(opened.picture)
    if info.format != "webp":
        return info
    return replace(info, details={**info.details, "lossless": is_lossless(path)})


def _page(data: bytes, page: int) -> bytes:
    try:
        return tiff_pages.single(data, page)
    except IndexError:
        raise ItemError(f"page {page} is no longer in it") from None


def read(path: Path, max_pixels: int, damaged: Damaged = refuse, page: int = 0) -> Frame:
    """Decode a picture, or one page of it, from 1: upright, in sRGB, with its metadata.

    ``damaged`` hears what of the file is torn or missing. Raises ItemError if nothing decodes.
    """
    with file_at(path) as file:
        data = file.read()
    if page:
        data = _page(data, page)
    if kind := raw.kind(io.BytesIO(data)):
        return _read_raw(data, kind, max_pixels)
    readable, lost_rows, torn, lost = _mended(data, max_pixels)
    opened = open_file(io.BytesIO(jpeg.ended(readable)), max_pixels)
    if opened is None or opened.moves:
        raise ItemError("the file holds a moving picture now, and was a still one before")
    picture = opened.picture
    with explained(picture.format):
        found = about.gather(picture, data if picture.format == "TIFF" else readable)
        found.lost += lost
        pixels, alpha = _pixels(picture, readable, torn)
        bits = _source_bits(picture, data)
    if lost_rows:
        pixels, alpha = _lengthened(pixels, lost_rows), _lengthened(alpha, lost_rows)
    if torn:
        name = "JPEG" if picture.format in JPEG else picture.format
        damaged(
            f"the {name} file is cut short or damaged: {'; '.join(torn)}; copy it again from where "
            "it came"
        )
    depth = 8 * pixels.dtype.itemsize
    if bits > depth:
        found.lost.append(f"{bits} bits a channel ({depth} are read)")
    if picture.format in _TURN_THEMSELVES:
        found.turned = True
    return _frame(found, pixels, alpha)


def _header(file: BinaryIO, max_pixels: int) -> BinaryIO:
    """A file that opens as the picture will once :func:`_mended` has gone through it."""
    name = sniff(file.read(HEAD))
    file.seek(0)
    if name == "PNG":
        return io.BytesIO(png.head(file))
    return tiff.readable(file, max_pixels) if name == "TIFF" else file


def _mended(data: bytes, max_pixels: int) -> tuple[bytes, int, list[str], list[str]]:
    """A file that decodes, and the rows to be put below its picture.

    Then what of the picture is torn or missing, and what beside it is left out.
    """
    name, lost_rows, what, lost = sniff(data[:HEAD]), 0, "", list[str]()
    if name == "PNG":
        data, what, lost = png.mended(data, max_pixels)
    elif name == "TIFF":
        data, lost_rows, what = tiff.cut_rows(data)
        data = tiff.readable(io.BytesIO(data), max_pixels).read()
    return data, lost_rows, [what] if what else [], lost


def _frame(found: about.About, pixels: np.ndarray, alpha: np.ndarray | None) -> Frame:
    """Apply what the file says to its pixels, and take it out of what is written back."""
    if found.icc and icc.color_space(found.icc) == "Lab ":
        found.icc = None  # all of these mean the same, and the decoder has made them sRGB
    colors = icc.to_srgb(pixels, found.icc)
    pixels = _upright(colors.pixels, found.turn)
    height, width = pixels.shape[:2]
    block, packet, original = found.exif, found.xmp, None
    if packet and (found.turn > 1 or found.turned):
        packet = xmp.upright(packet, width, height)
    if block:
        block = exif.upright(block, width, height, srgb=colors.changed)
    if colors.original is not None and found.icc:
        original = Original(found.icc, _upright(colors.original, found.turn))
    return Frame(
        pixels=pixels,
        alpha=None if alpha is None else _upright(alpha, found.turn),
        meta=Meta(
            exif=block,
            icc=colors.icc,
            original=original,
            xmp=packet,
            xmp_extended=found.xmp_extended if packet else None,
            iptc=found.iptc,
            texts=found.texts,
            dpi=found.dpi,
            lost=(*found.lost, *colors.lost),
        ),
    )


# -- headers -------------------------------------------------------------------------------


def _info(picture: ImageFile.ImageFile) -> Info:
    width, height = picture.size
    block, turn = about.exif_block(picture)
    if turn > 4:
        width, height = height, width
    details: dict[str, Any] = {}
    if picture.mode in ("1", "L", "LA", "La", "I;16", "I;16B", "I;16L"):
        details["gray"] = True
    elif picture.mode in ("P", "PA"):
        details["palette"] = True
    elif picture.mode == "CMYK":
        details["cmyk"] = True
    if turn > 1:
        details["orientation"] = turn
    profile = picture.info.get("icc_profile")
    if profile:
        details["profile"] = icc.describe(profile)
    elif exif.is_adobe_rgb(block):
        details["profile"] = "Adobe RGB (1998), by EXIF"
    for name, value in (("exif", block), ("xmp", about.xmp_packet(picture))):
        if value:
            details[name] = f"{len(value):,} bytes"
    dpi = about.dpi(picture, turn)
    if dpi:
        details["dpi"] = f"{dpi[0]:.4g}x{dpi[1]:.4g}"
    info = Info(
        kind="image",
        format=str(picture.format).lower(),
        width=width,
        height=height,
        depth=_depth(picture),
        alpha=picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info,
        details=details,
    )
    try:  # at last, for Pillow goes through them all and stays where it fails
        count = getattr(picture, "n_frames", 1)
    except Exception:  # anything, where those behind the first are cut off
        details["pictures"] = "the first of several"
    else:
        details |= {"pictures": f"the first of {count}"} if count > 1 else {}
    return info


def is_lossless(path: Path) -> bool:
    """Whether each picture of a WebP, still or moving, is stored without loss (VP8L)."""
    found = set()
    with file_at(path) as file:
        file.seek(12)
        while len(head := file.read(8)) == 8:
            size = int.from_bytes(head[4:], "little")
            if head[:4] in (b"VP8 ", b"VP8L"):
                found.add(head[:4])
            # A frame of an animation begins with sixteen bytes of its own, then come its chunks.
            file.seek(16 if head[:4] == b"ANMF" else size + size % 2, 1)
    return found == {b"VP8L"}


def _depth(picture: ImageFile.ImageFile) -> int:
    """8 or 16 bits a channel, of the frame to come."""
    tags = getattr(picture, "tag_v2", {})
    if picture.mode.startswith("I;16"):
        return 16
    # Pillow announces color of sixteen bits as eight; how it would unpack a PNG tells.
    if picture.mode in ("RGB", "RGBA", "LA"):
        if picture.format == "TIFF":
            return 16 if tags.get(258, (8,))[0] == 16 else 8
        if picture.format == "PNG" and picture.tile:
            return 16 if ";16" in str(picture.tile[0].args) else 8
    return 8


def _source_bits(picture: ImageFile.ImageFile, data: bytes) -> int:
    """Bits a channel that the file holds, as far as it says; 0 where it does not."""
    if picture.format == "TIFF" and picture.mode not in ("P", "PA", "1"):
        tags: Any = tiff.directory(io.BytesIO(data)) or {}
        return max(int(bits) for bits in tags.get(258, (0,)))
    if picture.format in ("AVIF", "HEIF"):  # the box pixi: channels, and the bits of each
        found = re.findall(rb"pixi\0\0\0\0([\1-\4])(.{4})", data[: 1 << 16], re.DOTALL)
        return max((max(bits[: count[0]]) for count, bits in found), default=0)
    return 0


# -- camera RAW ----------------------------------------------------------------------------


def _raw_info(file: BinaryIO, kind: str, max_pixels: int) -> Info:
    width, height = raw.size(file, kind)
    check_size(width, height, max_pixels)
    return Info("image", "raw", width, height, depth=16, details={"raw": kind})


def _read_raw(data: bytes, kind: str, max_pixels: int) -> Frame:
    _raw_info(io.BytesIO(data), kind, max_pixels)
    pixels, preview = raw.develop(io.BytesIO(data), kind), None
    if data[:4] in (b"II*\0", b"MM\0*"):
        with suppress(UnidentifiedImageError), pillow_unlimited():
            preview = Image.open(io.BytesIO(data), formats=("TIFF",))
    found = about.of_raw(preview)
    found.turned = True
    return _frame(found, pixels, None)


# -- pixels --------------------------------------------------------------------------------


def _pixels(
    picture: ImageFile.ImageFile, data: bytes, torn: list[str]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Gray (HxW), RGB (HxWx3) or CMYK (HxWx4), uint8 or uint16; and the alpha.

    What of them is torn or missing goes to ``torn``.
    """
    if picture.format in JPEG:
        with _opencv_silent():
            decoded, what = jpeg.decoded(data)
        torn += [what] if what else []
        whole = decoded is not None and decoded.shape[:2] == picture.size[::-1]
        if decoded is not None and whole and picture.mode in ("L", "RGB"):
            return (_rgb(decoded) if decoded.ndim == 3 else decoded), None
    if _depth(picture) == 16 and (picture.format == "PNG" or picture.mode in ("RGB", "RGBA")):
        return _deep(picture, data)
    try:
        load(picture)
    except OSError:
        if picture.format not in _LINE_BY_LINE:
            raise
        return _partly(data, str(picture.format), torn)
    return _from_pillow(picture)


def _partly(data: bytes, name: str, torn: list[str]) -> tuple[np.ndarray, np.ndarray | None]:
    """What Pillow decodes before it fails."""
    with pillow_unlimited(partly=True):
        picture = Image.open(io.BytesIO(data), formats=(name,))
        picture.load()
        array = np.asarray(picture)
        filled = (array == 0).reshape(len(array), -1).all(1)  # what was not decoded is zero
        # A bitmap may be stored from its foot, and what is missing of a GIF be every other row.
        ends = max(_run(filled), _run(filled[::-1])) / len(array)
        missing = float(filled.mean()) if name == "GIF" else ends
        if missing == 1:
            raise ItemError(
                "nothing of the picture can be decoded: copy it again from where it came"
            )
        torn.append(f"its end is missing, {share(missing)}")
        return _from_pillow(picture)


def _run(flags: np.ndarray) -> int:
    """How many of the first flags are set."""
    unset = np.flatnonzero(~flags)
    return int(unset[0]) if len(unset) else len(flags)


def _from_pillow(picture: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    if picture.mode.startswith("I;16"):
        gray = np.asarray(picture).astype(np.uint16)
        tags = getattr(picture, "tag_v2", {})
        bits = tags.get(258, (16,))[0]
        gray = gray if bits == 16 else _stretch(gray, bits)
        return (65535 - gray if tags.get(262) == 0 else gray), None
    if picture.mode == "LAB":
        picture = icc.lab_to_rgb(picture)
    transparent = "transparency" in picture.info
    if picture.mode == "1" and picture.info.get("transparency") == 1:
        picture.info["transparency"] = 255  # older Pillow keeps the bit, but compares bytes
    target = {
        "1": "LA" if transparent else "L",
        "L": "LA" if transparent else "L",
        "LA": "LA",
        "La": "LA",
        "CMYK": "CMYK",
        "P": "RGBA" if transparent else "RGB",
        "PA": "RGBA",
        "RGBA": "RGBA",
        "RGBa": "RGBA",
    }.get(picture.mode, "RGBA" if transparent else "RGB")
    array = np.asarray(picture if picture.mode == target else picture.convert(target))
    if target in ("L", "RGB", "CMYK"):
        return array, None
    color = array[:, :, 0] if target == "LA" else array[:, :, :3]
    return np.ascontiguousarray(color), np.ascontiguousarray(array[:, :, -1])


def _deep(picture: ImageFile.ImageFile, data: bytes) -> tuple[np.ndarray, np.ndarray | None]:
    """PNG and color TIFF of sixteen bits a channel."""
    if picture.width * picture.height > _OPENCV_PIXELS or max(picture.size) > _OPENCV_SIDE:
        raise ItemError(
            f"sixteen bits a channel are not supported at {picture.width}x{picture.height} pixels, "
            f"only up to {_OPENCV_PIXELS:,}: convert it to 8 bits"
        )
    if picture.format == "PNG":
        with pillow_unlimited():
            Image.open(io.BytesIO(data), formats=("PNG",)).verify()  # says what is damaged
        data = png.bare(data)  # of other chunks libpng complains on the terminal
    decoded = _opencv(data)
    if decoded is None or decoded.dtype != np.uint16:
        raise ItemError("the sixteen-bit data is cut short or damaged: copy the file again")
    if decoded.shape[:2] != picture.size[::-1]:
        raise ItemError("the sixteen-bit data has another size than the header says")
    if decoded.ndim == 2:
        return decoded, _keyed(decoded, picture.info.get("transparency"))
    color = _rgb(decoded[:, :, :3])
    if decoded.shape[2] == 3 or picture.mode == "RGB":
        return color, _keyed(color, picture.info.get("transparency"))
    alpha = np.ascontiguousarray(decoded[:, :, 3])
    if getattr(picture, "tag_v2", {}).get(338) == (1,):  # associated alpha: colors are multiplied
        scale = 65535 / np.maximum(alpha, 1)[:, :, None].astype(np.float32)
        color = np.minimum(np.rint(color * scale), 65535).astype(np.uint16)
    return color, alpha


def _keyed(pixels: np.ndarray, key: Any) -> np.ndarray | None:
    """Alpha of a PNG that names one value of sixteen bits as transparent."""
    if key is None:
        return None
    same = pixels == np.asarray(key, np.uint16)
    hidden = same.all(axis=2) if same.ndim == 3 else same
    return np.where(hidden, 0, 65535).astype(np.uint16)


def _opencv(data: bytes) -> np.ndarray | None:
    """As stored, gray or BGR; None if OpenCV cannot: the callers raise, or let Pillow say why."""
    try:
        with _opencv_silent():
            return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None


@contextmanager
def _opencv_silent() -> Iterator[None]:
    """Keep OpenCV from printing; its log level is the process's, so the last one out restores it.

    Any number of threads may be inside.
    """
    with _LOG_LOCK:
        if not _opencv_users:
            _opencv_users.append(_set_log_level(0))
        else:
            _opencv_users.append(_opencv_users[0])
    try:
        yield
    finally:
        with _LOG_LOCK:
            level = _opencv_users.pop()
            if not _opencv_users:
                _set_log_level(level)


def _rgb(bgr: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))


def _lengthened(plane: Any, rows: int) -> Any:
    """With as many rows of zeros at its foot; None stays None."""
    if plane is None:
        return None
    return np.pad(plane, ((0, rows), *[(0, 0)] * (plane.ndim - 1)))


def _stretch(gray: np.ndarray, bits: int) -> np.ndarray:
    """Values of fewer bits to the full range of sixteen."""
    scaled = gray.astype(np.uint32) * 65535 // ((1 << bits) - 1)
    return scaled.astype(np.uint16)


def _upright(pixels: np.ndarray, turn: int) -> np.ndarray:
    """Apply an EXIF orientation; the result is C-contiguous and may be written to."""
    if turn in _ROTATION:
        pixels = np.asarray(cv2.rotate(pixels, _ROTATION[turn]))
    elif turn in (2, 4):
        pixels = np.asarray(cv2.flip(pixels, 1 if turn == 2 else 0))
    elif turn == 5:
        pixels = np.asarray(cv2.transpose(pixels))
    elif turn == 7:
        pixels = np.asarray(cv2.flip(cv2.transpose(pixels), -1))
    return np.require(pixels, requirements=["C", "W"])
