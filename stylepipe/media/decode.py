"""Reads one picture of any still format. Imports Pillow and OpenCV, so it is imported late.

Pillow reads headers, metadata and most pixels. OpenCV decodes plain JPEG, faster and to the same
values, and colour of sixteen bits a channel, which Pillow cuts to eight.
"""

from __future__ import annotations

import io
import math
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageFile, MpoImagePlugin, UnidentifiedImageError

from stylepipe.damage import Damaged, refuse
from stylepipe.errors import ItemError
from stylepipe.media import exif, icc, jpeg, png, tiff
from stylepipe.media.limits import check_size, pillow_unlimited
from stylepipe.media.moving import whole_pictures
from stylepipe.media.terminal import stderr_caught
from stylepipe.media.words import share
from stylepipe.types import Frame, Info, Meta

# OpenCV 5 moved it.
_set_log_level = cv2.setLogLevel if hasattr(cv2, "setLogLevel") else cv2.utils.logging.setLogLevel
_LOG_LOCK = threading.Lock()
_opencv_users: list[int] = []
"""The log level to go back to, once for each call of OpenCV in progress."""
_JPEG = ("JPEG", MpoImagePlugin.MpoImageFile.format)
"""Pillow's names for it: with several pictures in the file it has another."""
_HEAD = 4096
_BOXES = {b"avif": "AVIF", b"avis": "AVIF"} | dict.fromkeys(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"),
    "HEIF",
)
_FOREIGN = re.compile("unsupported|not supported|unknown|unrecognized|cannot handle", re.I)
"""What Pillow says where it lacks the means to decode what may well be sound."""
_ROTATION = {3: cv2.ROTATE_180, 6: cv2.ROTATE_90_CLOCKWISE, 8: cv2.ROTATE_90_COUNTERCLOCKWISE}
_OPENCV_PIXELS, _OPENCV_SIDE = 1 << 30, 1 << 20
"""The most that OpenCV decodes."""
_LIBTIFF = (
    "tempfile.tif", "TIFF", "_TIFF", "LZW", "ZIP", "Fax", "JPEG", "OJPEG", "PackBits", "Pixar",
    "LERC", "LZMA", "ZSTD", "LogL", "SGILog", "ThunderDecode", "NeXTDecode", "Using code",
)
"""How the lines begin that libtiff prints: the name that Pillow gives the file, or a function."""
_LINE_BY_LINE = ("BMP", "GIF")
"""Formats of which Pillow decodes as many rows as are there."""
_TURN_THEMSELVES = ("TIFF", "AVIF", "HEIF")
"""Formats whose decoders apply the orientation; a copy of it may stand in the XMP all the same."""


def probe(path: Path, max_pixels: int) -> Info | None:
    """Describe a picture from its header; None if it is animated or a video.

    Raises ItemError if it is no picture, damaged in the header, or larger than ``max_pixels``.
    """
    try:
        with path.open("rb") as file:
            is_tiff = _sniff(file.read(_HEAD)) == "TIFF"
            file.seek(0)
            picture = _open(tiff.readable(file, max_pixels) if is_tiff else file, max_pixels)
            if picture is None:
                return None
            with _explained(str(picture.format)):
                return _info(picture)
    except OSError as error:
        raise ItemError(f"the file cannot be read: {error.strerror or error}") from error


def read(path: Path, max_pixels: int, damaged: Damaged = refuse) -> Frame:
    """Decode a picture: upright, in sRGB, with its metadata.

    ``damaged`` hears what of the file is torn or missing. Raises ItemError if nothing decodes.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ItemError(f"the file cannot be read: {error.strerror or error}") from error
    torn: list[str] = []
    if data.startswith(png.SIGNATURE):
        data, what = png.mended(data, max_pixels)
        torn += [what] if what else []
    lost = 0
    if _sniff(data[:_HEAD]) == "TIFF":
        data, lost, what = tiff.cut_rows(data)
        torn += [what] if what else []
        data = tiff.readable(io.BytesIO(data), max_pixels).read()
    picture = _open(io.BytesIO(jpeg.ended(data)), max_pixels)
    if picture is None:
        raise ItemError("the file holds a moving picture now, and was a still one before")
    with _explained(str(picture.format)):
        block, turn = _exif(picture)
        profile = picture.info.get("icc_profile") or None
        xmp, dpi = _xmp(picture), _dpi(picture, turn)
        pixels, alpha = _pixels(picture, data, torn)
    if lost:
        pixels, alpha = _lengthened(pixels, lost), _lengthened(alpha, lost)
    if torn:
        name = "JPEG" if picture.format in _JPEG else picture.format
        damaged(
            f"the {name} file is cut short or damaged: {'; '.join(torn)}; copy it again from where "
            "it came"
        )
    if profile is None and pixels.ndim == 3 and exif.is_adobe_rgb(block):
        profile = icc.adobe_rgb()
    colors = icc.to_srgb(pixels, profile)
    pixels = _upright(colors.pixels, turn)
    if xmp and (turn > 1 or picture.format in _TURN_THEMSELVES):
        xmp = exif.upright_xmp(xmp)
    if block:
        height, width = pixels.shape[:2]
        block = exif.upright(block, width, height, srgb=colors.changed)
    return Frame(
        pixels=pixels,
        alpha=None if alpha is None else _upright(alpha, turn),
        meta=Meta(exif=block, icc=colors.icc, xmp=xmp, dpi=dpi),
    )


# -- headers -------------------------------------------------------------------------------


def _sniff(head: bytes) -> str | None:
    """Pillow's name of the format that the first bytes show, or ``"video"``."""
    if head[:4] == b"RIFF":
        return {b"WEBP": "WEBP", b"AVI ": "video"}.get(head[8:12])
    if head[4:8] == b"ftyp":
        size = min(int.from_bytes(head[:4], "big"), len(head))
        brands = [head[8:12], *(head[i : i + 4] for i in range(16, size, 4))]
        found = {_BOXES[brand] for brand in brands if brand in _BOXES}
        # Brands such as mif1 are general: an AVIF may name one of them first.
        return "AVIF" if "AVIF" in found else "HEIF" if found else "video"
    for start, name in (
        (b"\xff\xd8\xff", "JPEG"), (b"\x89PNG\r\n\x1a\n", "PNG"), (b"GIF8", "GIF"),
        (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"), (b"II+\0", "TIFF"), (b"MM\0+", "TIFF"),
        (b"BM", "BMP"), (b"\x1aE\xdf\xa3", "video"),
    ):
        if head.startswith(start):
            return name
    return None


def _open(file: Any, max_pixels: int) -> ImageFile.ImageFile | None:
    """Open a picture as far as its header; None if it moves. Raises ItemError."""
    head = file.read(_HEAD)
    file.seek(0)
    if not head:
        raise ItemError("the file is empty: copy it again from where it came")
    name = _sniff(head)
    if name == "video":
        return None
    if name is None:
        raise ItemError(
            "the file is no picture, whatever its name says: its content is none of "
            "JPEG, PNG, WebP, TIFF, BMP, AVIF, GIF and HEIC"
        )
    if name == "HEIF":
        enable_heif()
    if name == "PNG" and not isinstance(file, io.BytesIO):
        file = io.BytesIO(png.head(file))
    with _explained(name), pillow_unlimited():
        if _moves(file, name):
            return None
        try:
            picture = Image.open(file, formats=_JPEG if name == "JPEG" else (name,))
        except Exception:
            file.seek(0)
            if name == "JPEG":
                jpeg.check_kind(jpeg.parts(file.read()))
            elif name == "TIFF":
                tiff.check_kind(file)
            raise
    check_size(*picture.size, max_pixels)
    moves = name in ("PNG", "AVIF") and getattr(picture, "is_animated", False)
    return None if moves else picture


def _moves(file: Any, name: str) -> bool:
    """Whether a GIF or WebP has several pictures, even if not all of them are whole."""
    found = whole_pictures(file.read()) if name in ("GIF", "WEBP") else None
    file.seek(0)
    return found is not None and found.begun > 1


def enable_heif() -> None:
    """Let Pillow read and write HEIC. Raises ItemError where the package for it is missing."""
    try:
        import pillow_heif
    except ImportError:
        raise ItemError(
            "HEIC pictures need one more package: pip install 'stylepipe[heic]'"
        ) from None
    pillow_heif.register_heif_opener()


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn what decoders raise on damaged data, which can be anything, into one sentence."""
    try:
        yield
    except ItemError:
        raise
    except MemoryError as error:
        raise ItemError("the picture does not fit in memory") from error
    except Exception as error:
        detail = str(error).split("\n")[0].strip() or type(error).__name__
        if isinstance(error, UnidentifiedImageError):
            detail = "its header cannot be read"
            if name == "AVIF":
                detail += ", or it is larger than the 268 megapixels the AVIF decoder takes"
        if _FOREIGN.search(detail):
            raise ItemError(
                f"the {name} file is of a kind not supported, or damaged ({detail}): convert it to "
                "PNG, or copy it again"
            ) from error
        raise ItemError(
            f"the {name} file is cut short or damaged ({detail}): copy it again from where it came"
        ) from error


def _info(picture: ImageFile.ImageFile) -> Info:
    width, height = picture.size
    block, turn = _exif(picture)
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
    count = getattr(picture, "n_frames", 1)
    if count > 1:
        details["pictures"] = f"the first of {count}"
    profile = picture.info.get("icc_profile")
    if profile:
        details["profile"] = icc.describe(profile)
    elif exif.is_adobe_rgb(block):
        details["profile"] = "Adobe RGB (1998), by EXIF"
    for name, value in (("exif", block), ("xmp", _xmp(picture))):
        if value:
            details[name] = f"{len(value):,} bytes"
    dpi = _dpi(picture, turn)
    if dpi:
        details["dpi"] = f"{dpi[0]:.4g}x{dpi[1]:.4g}"
    return Info(
        kind="image",
        format=str(picture.format).lower(),
        width=width,
        height=height,
        depth=_depth(picture),
        alpha=picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info,
        details=details,
    )


def _depth(picture: ImageFile.ImageFile) -> int:
    """8 or 16 bits a channel, of the frame to come."""
    tags = getattr(picture, "tag_v2", {})
    if picture.mode.startswith("I;16"):
        return 16
    # Pillow announces colour of sixteen bits as eight; how it would unpack a PNG tells.
    if picture.mode in ("RGB", "RGBA", "LA"):
        if picture.format == "TIFF":
            return 16 if tags.get(258, (8,))[0] == 16 else 8
        if picture.format == "PNG" and picture.tile:
            return 16 if ";16" in str(picture.tile[0].args) else 8
    return 8


# -- metadata ------------------------------------------------------------------------------


def _exif(picture: ImageFile.ImageFile) -> tuple[bytes | None, int]:
    """The EXIF block, and the orientation that is still to be applied to the pixels."""
    if picture.format == "TIFF":
        return _tiff_exif(picture), 1  # Pillow turns TIFFs itself
    block = picture.info.get("exif")
    text = picture.info.get("Raw profile type exif")
    if not block and isinstance(text, str):  # ImageMagick's way in older PNGs
        try:
            block = bytes.fromhex("".join(text.split("\n")[3:]))
        except ValueError:
            block = None
    block = (block or b"").removeprefix(b"Exif\0\0")
    if not exif.is_block(block):
        return None, 1
    return block, exif.orientation(block)


def _tiff_exif(picture: ImageFile.ImageFile) -> bytes | None:
    """What a TIFF says of the picture, as an EXIF block: there it stands among storage tags."""
    try:
        tags, kept = picture.getexif(), Image.Exif()
        for tag in tiff.TEXT:
            if tag in tags:
                kept[tag] = tags[tag]
        for group in exif.GROUPS:
            values = tags.get_ifd(group) if group in tags else {}
            if values:
                kept.get_ifd(group).update(values)
                kept[group] = dict(values)
        return kept.tobytes().removeprefix(b"Exif\0\0") if len(kept) else None
    except Exception:  # Pillow raises anything on odd tags; the picture itself is sound
        return None


def _xmp(picture: ImageFile.ImageFile) -> bytes | None:
    xmp = picture.info.get("xmp") or picture.info.get("XML:com.adobe.xmp")
    return xmp.encode() if isinstance(xmp, str) else xmp or None


def _dpi(picture: ImageFile.ImageFile, turn: int) -> tuple[float, float] | None:
    """Pixels per inch of the upright picture; ``turn`` is its orientation as in :func:`_exif`."""
    if picture.format == "TIFF":
        tags = getattr(picture, "tag_v2", {})
        if 282 not in tags:
            return None  # Pillow makes up 1x1
        turn = tags.get(exif.ORIENTATION, 1)  # which Pillow applies to the pixels alone
    try:
        x, y = (float(v) for v in picture.info.get("dpi", ()))
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    if not all(math.isfinite(v) and 0 < v < 65535 for v in (x, y)):
        return None
    return (y, x) if turn > 4 else (x, y)


# -- pixels --------------------------------------------------------------------------------


def _pixels(
    picture: ImageFile.ImageFile, data: bytes, torn: list[str]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Gray (HxW), RGB (HxWx3) or CMYK (HxWx4), uint8 or uint16; and the alpha.

    What of them is torn or missing goes to ``torn``.
    """
    if picture.format in _JPEG:
        with _opencv_silent():
            decoded, what = jpeg.decoded(data)
        torn += [what] if what else []
        whole = decoded is not None and decoded.shape[:2] == picture.size[::-1]
        if decoded is not None and whole and picture.mode in ("L", "RGB"):
            return (_rgb(decoded) if decoded.ndim == 3 else decoded), None
    if _depth(picture) == 16 and (picture.format == "PNG" or picture.mode in ("RGB", "RGBA")):
        return _deep(picture, data)
    with pillow_unlimited():
        try:
            _load(picture)
        except OSError:
            if picture.format not in _LINE_BY_LINE:
                raise
        else:
            return _from_pillow(picture)
    return _partly(data, str(picture.format), torn)


def _load(picture: ImageFile.ImageFile) -> None:
    """Let Pillow decode; what libtiff prints meanwhile says why it failed."""
    if picture.format != "TIFF":
        picture.load()
        return
    try:
        with stderr_caught(_LIBTIFF) as lines:
            picture.load()
    except OSError as error:
        raise OSError(lines[0].rstrip(".") if lines else str(error)) from error


def _partly(data: bytes, name: str, torn: list[str]) -> tuple[np.ndarray, np.ndarray | None]:
    """What Pillow decodes before it fails."""
    with pillow_unlimited(partly=True):
        picture = Image.open(io.BytesIO(data), formats=(name,))
        picture.load()
        raw = np.asarray(picture)
        filled = (raw == 0).reshape(len(raw), -1).all(1)  # what was not decoded is zero
        missing = max(_run(filled), _run(filled[::-1])) / len(raw)
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
        "1": "LA" if transparent else "L", "L": "LA" if transparent else "L",
        "LA": "LA", "La": "LA", "CMYK": "CMYK",
        "P": "RGBA" if transparent else "RGB", "PA": "RGBA", "RGBA": "RGBA", "RGBa": "RGBA",
    }.get(picture.mode, "RGBA" if transparent else "RGB")
    array = np.asarray(picture if picture.mode == target else picture.convert(target))
    if target in ("L", "RGB", "CMYK"):
        return array, None
    color = array[:, :, 0] if target == "LA" else array[:, :, :3]
    return np.ascontiguousarray(color), np.ascontiguousarray(array[:, :, -1])


def _deep(
    picture: ImageFile.ImageFile, data: bytes
) -> tuple[np.ndarray, np.ndarray | None]:
    """PNG and colour TIFF of sixteen bits a channel."""
    if picture.width * picture.height > _OPENCV_PIXELS or max(picture.size) > _OPENCV_SIDE:
        raise ItemError(
            f"sixteen bits a channel are not supported at {picture.width}x{picture.height} pixels, "
            f"only up to {_OPENCV_PIXELS:,}: convert it to 8 bits"
        )
    if picture.format == "PNG":
        with pillow_unlimited():
            Image.open(io.BytesIO(data), formats=("PNG",)).verify()  # says what is damaged
        data = _bare_png(data)
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
    if getattr(picture, "tag_v2", {}).get(338) == (1,):  # associated alpha: colours are multiplied
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


def _bare_png(data: bytes) -> bytes:
    """The chunks that make the pixels: of others libpng complains on the terminal."""
    kept, at = [data[:8]], 8
    while at < len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 5].isupper():
            kept.append(data[at:end])
        at = end
    return b"".join(kept)


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
