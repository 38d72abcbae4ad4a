"""What a picture file says about itself, beside its pixels, as far as it stays true."""

from __future__ import annotations

import contextlib
import io
import math
from dataclasses import dataclass, field
from typing import Any

from PIL import Image, ImageFile

from stylepipe.media import cicp, exif, icc, iptc, png, png_texts, tiff, xmp
from stylepipe.types import Text

_EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
_SEGMENTS = {
    "APP0": (b"JFIF", b"JFXX"),
    "APP1": (b"Exif\0", b"http://ns.adobe.com/"),
    "APP2": (b"ICC_PROFILE", b"MPF", b"FPXR", b"urn:iso:std:iso:ts:21496"),
    "APP11": (b"JP",),
    "APP12": (b"Ducky", b"[picture info]"),
    "APP13": (iptc.SIGNATURE, b"Adobe_"),
    "APP14": (b"Adobe",),
}
"""How the segments of a JPEG begin that are taken over, described here, or of no use elsewhere."""
_CHUNKS = {
    *(b"IHDR", b"PLTE", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"mDCV"),
    *(b"cLLI", b"mDCv", b"cLLi", b"sBIT", b"bKGD", b"hIST", b"sPLT", b"pHYs", b"tIME", b"eXIf"),
    *(b"tEXt", b"zTXt", b"iTXt", b"acTL", b"fcTL", b"fdAT", b"iDOT", b"caBX", b"dSIG"),
}
"""The same of a PNG's chunks."""
_HEAD = 1 << 16
"""Bytes in which AVIF and HEIC describe the picture."""


@dataclass
class About:
    """All that is known of a picture before its pixels are decoded."""

    exif: bytes | None = None
    turn: int = 1
    """The orientation that is still to be applied to the pixels."""
    turned: bool = False
    """The decoder may have applied one; a copy of it may stand in the XMP all the same."""
    icc: bytes | None = None
    xmp: bytes | None = None
    xmp_extended: bytes | None = None
    iptc: bytes | None = None
    texts: tuple[Text, ...] = ()
    dpi: tuple[float, float] | None = None
    lost: list[str] = field(default_factory=list)
    """What cannot be taken over, in words."""


def gather(picture: ImageFile.ImageFile, data: bytes) -> About:
    """All that the file ``data`` says of ``picture``, which Pillow has opened from it.

    A TIFF may have been made readable in between: its tags are those of ``data``.
    """
    found = About(icc=picture.info.get("icc_profile") or None, xmp=xmp_packet(picture))
    found.exif, found.turn = exif_block(picture)
    found.dpi = dpi(picture, found.turn)
    if picture.format in ("JPEG", "MPO"):
        _of_jpeg(found, picture, data)
    elif picture.format == "PNG":
        _of_png(found, data)
    elif picture.format == "TIFF":
        tags = tiff.directory(io.BytesIO(data)) or getattr(picture, "tag_v2", {})
        _of_tiff(found, picture, tags)
        if 0 in tags.get(338, ()):
            found.lost.append("an extra channel")
        if unknown := sorted(tag for tag in tags if tag not in tiff.KNOWN):
            found.lost.append(f"TIFF tags {', '.join(map(str, unknown))}")
    elif picture.format in ("AVIF", "HEIF"):
        _of_boxes(found, data[:_HEAD])
        if picture.info.get("depth_images"):
            found.lost.append("depth map")
    elif picture.format == "GIF" and isinstance(comment := picture.info.get("comment"), bytes):
        found.texts = (_comment(comment),)
    if found.exif is None and picture.info.get("exif") and picture.format != "TIFF":
        found.lost.append("EXIF, which is damaged")
    _check_xmp(found)
    if found.icc is None and exif.is_adobe_rgb(found.exif):
        found.icc = icc.adobe_rgb()
    return found


def of_raw(preview: ImageFile.ImageFile | None) -> About:
    """What a camera RAW says of the photo, by its preview; None where there is none to open."""
    if preview is None:
        return About(lost=["EXIF, which is read only from RAW that is a TIFF"])
    found = About(xmp=xmp_packet(preview))
    _of_tiff(found, preview, getattr(preview, "tag_v2", {}))
    _check_xmp(found)
    return found


# -- by format -----------------------------------------------------------------------------


def _of_jpeg(found: About, picture: ImageFile.ImageFile, data: bytes) -> None:
    segments: list[tuple[str, bytes]] = getattr(picture, "applist", [])
    resources = b"".join(
        body.removeprefix(iptc.SIGNATURE)
        for name, body in segments
        if name == "APP13" and body.startswith(iptc.SIGNATURE)
    )
    found.iptc = iptc.from_resources(resources)
    found.lost += iptc.others(resources)
    found.texts = tuple(_comment(body) for name, body in segments if name == "COM")
    found.xmp_extended, whole = _extended(segments)
    if not whole:
        found.lost.append("extended XMP, which is cut short")
    if any(name == "APP11" and b"c2pa" in body[:200] for name, body in segments):
        found.lost.append("content credentials (C2PA)")
    if any(name == "APP2" and b"iso:ts:21496" in body[:40] for name, body in segments):
        found.lost.append(xmp.GAIN_MAP)
    private = sorted(
        {
            name
            for name, body in segments
            if name.startswith("APP") and not body.startswith(_SEGMENTS.get(name, ()))
        }
    )
    if private:
        found.lost.append(f"segments of its maker ({', '.join(private)})")
    if data.rfind(b"MotionPhoto_Data") > 0:  # Samsung's way
        found.lost.append(xmp.VIDEO)


def _extended(segments: list[tuple[str, bytes]]) -> tuple[bytes | None, bool]:
    """The extended XMP packet, put together, and whether all of it is there."""
    parts, length = {}, 0
    for name, body in segments:
        if name == "APP1" and body.startswith(_EXTENSION):
            rest = body[len(_EXTENSION) + 32 :]  # behind its digest
            length = int.from_bytes(rest[:4], "big")
            parts[int.from_bytes(rest[4:8], "big")] = rest[8:]
    packet = b"".join(parts[at] for at in sorted(parts))
    return (packet or None, True) if len(packet) == length else (None, False)


def _of_png(found: About, data: bytes) -> None:
    # Pillow knows only those before the pixels.
    every = {chunk.name: chunk.body for chunk in png.chunks(data) if chunk.name != b"IDAT"}
    texts = png_texts.texts(data)
    app1 = png_texts.profile(texts, "APP1") or b""
    block = every.get(b"eXIf") or png_texts.profile(texts, "exif")
    if not block and app1.startswith(b"Exif"):
        block = app1
    found.exif, found.turn = _checked_exif(block)
    packets = [t.text for t in texts if t.keyword == "XML:com.adobe.xmp"]
    found.xmp = packets[0].encode() if packets else png_texts.profile(texts, "xmp") or found.xmp
    resources = png_texts.profile(texts, "iptc", "8bim") or b""
    found.iptc = resources if resources[:1] == b"\x1c" else iptc.from_resources(resources)
    found.icc = found.icc or png_texts.profile(texts, "icc", "icm")
    found.texts = tuple(t for t in texts if not _is_metadata(t))
    problem = None
    code = every.get(b"cICP", b"")
    if len(code) == 4:
        told, problem = cicp.profile(code[0], code[1])
        # What cannot be honored gives way to the profile beside it, which is there for that.
        found.icc, problem = (found.icc, None) if problem and found.icc else (told, problem)
        if code[2:] != b"\0\1":
            problem = "colors of limited range or as YCbCr (cICP), taken for RGB of full range"
    elif not found.icc and b"sRGB" not in every:
        found.icc, problem = cicp.of_png(every)
    if problem:
        found.lost.append(problem)
    if private := sorted(name.decode("latin-1") for name in every if name not in _CHUNKS):
        found.lost.append(f"chunks {', '.join(private)}")
    if b"caBX" in every:
        found.lost.append("content credentials (C2PA)")


def _is_metadata(text: Text) -> bool:
    kinds = ("APP1", "exif", "xmp", "iptc", "8bim", "icc", "icm")
    return text.keyword in ("XML:com.adobe.xmp", *(png_texts.PROFILE + kind for kind in kinds))


def _of_tiff(found: About, picture: ImageFile.ImageFile, tags: Any) -> None:
    try:
        found.exif = tiff_exif(picture)
    except ValueError:
        found.lost.append("EXIF, which is damaged")
    # As stored: the tag is often typed as LONG, of which Pillow gives the first number only.
    block = getattr(tags, "_tagdata", {}).get(33723, b"")
    if block[:1] != b"\x1c" and block[3:4] == b"\x1c":  # the longs of another byte order
        block = b"".join(block[i : i + 4][::-1] for i in range(0, len(block), 4))
    found.iptc = block or None
    resources = tags.get(34377)
    if isinstance(resources, bytes):
        found.iptc = found.iptc or iptc.from_resources(resources)
        found.lost += iptc.others(resources)


def _of_boxes(found: About, head: bytes) -> None:
    """AVIF and HEIC: colors told by numbers, depth, and gain maps."""
    at = head.find(b"colrnclx") + 8
    if not found.icc and at >= 8 and len(head) >= at + 4:
        primaries, transfer = (int.from_bytes(head[i : i + 2], "big") for i in (at, at + 2))
        found.icc, problem = cicp.profile(primaries, transfer)
        if problem:
            found.lost.append(problem)
    if b"tmap" in head or b"hdrgainmap" in head:
        found.lost.append(xmp.GAIN_MAP)


def _comment(body: bytes) -> Text:
    try:
        return Text("Comment", body.decode())
    except UnicodeDecodeError:
        return Text("Comment", body.decode("latin-1"))


def _check_xmp(found: About) -> None:
    """Take out of the XMP what is no longer true."""
    gone: set[str] = set()
    try:
        if found.xmp:
            found.xmp, gone = xmp.truthful(found.xmp)
    except ValueError:
        found.xmp = None
        found.lost.append("XMP, which is damaged")
    try:
        if found.xmp_extended:
            found.xmp_extended, more = xmp.truthful(found.xmp_extended)
            gone |= more
    except ValueError:
        found.xmp_extended = None
        found.lost.append("extended XMP, which is damaged")
    if found.xmp_extended and not found.xmp:
        found.lost.append("extended XMP, of which the main part is missing")
    found.lost += sorted(gone - set(found.lost))


# -- one by one ----------------------------------------------------------------------------


def exif_block(picture: ImageFile.ImageFile) -> tuple[bytes | None, int]:
    """The EXIF block, and the orientation that is still to be applied to the pixels."""
    if picture.format == "TIFF":  # which Pillow turns itself
        with contextlib.suppress(ValueError):
            return tiff_exif(picture), 1
        return None, 1
    block = picture.info.get("exif")
    text = picture.info.get("Raw profile type exif")
    if not block and isinstance(text, str):  # ImageMagick's way in older PNGs
        block = png_texts.profile([Text(png_texts.PROFILE + "exif", text)], "exif")
    return _checked_exif(block)


def _checked_exif(block: bytes | None) -> tuple[bytes | None, int]:
    block = (block or b"").removeprefix(b"Exif\0\0")
    return (block, exif.orientation(block)) if exif.is_block(block) else (None, 1)


def tiff_exif(picture: ImageFile.ImageFile) -> bytes | None:
    """What a TIFF says of the picture, as an EXIF block: there it stands among storage tags.

    Raises ValueError where the tags are damaged.
    """
    try:
        tags, kept = picture.getexif(), Image.Exif()
        for tag in (*tiff.TEXT, *tiff.EARTH):
            if tag in tags:
                kept[tag] = tags[tag]
        for group in exif.GROUPS:
            values = tags.get_ifd(group) if group in tags else {}
            if values:
                kept.get_ifd(group).update(values)
                kept[group] = dict(values)
        return kept.tobytes().removeprefix(b"Exif\0\0") if len(kept) else None
    except Exception as error:  # Pillow raises anything on odd tags
        raise ValueError("the tags are damaged") from error


def xmp_packet(picture: ImageFile.ImageFile) -> bytes | None:
    """The XMP packet that Pillow has found."""
    packet = picture.info.get("xmp") or picture.info.get("XML:com.adobe.xmp")
    return packet.encode() if isinstance(packet, str) else packet or None


def dpi(picture: ImageFile.ImageFile, turn: int) -> tuple[float, float] | None:
    """Pixels per inch of the upright picture; ``turn`` is its orientation as above."""
    if picture.format == "TIFF":
        tags = getattr(picture, "tag_v2", {})
        if 282 not in tags:
            return None  # Pillow makes up 1x1
        turn = tags.get(exif.ORIENTATION, 1)  # which Pillow applies to the pixels alone
    x = y = math.nan
    with contextlib.suppress(TypeError, ValueError, ZeroDivisionError):
        x, y = (float(v) for v in picture.info.get("dpi", ()))
    if not all(math.isfinite(v) and 0 < v < 65535 for v in (x, y)):
        return None
    return (y, x) if turn > 4 else (x, y)
