"""The one way into files of pictures: known formats only, of no more pixels than are allowed.

Photos, masks, paintings, maps and animations all come in here. Imports Pillow, so it is imported
late.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from PIL import Image, ImageFile, MpoImagePlugin, UnidentifiedImageError

from stylepipe.errors import ItemError
from stylepipe.media import jpeg, png, raw, tiff
from stylepipe.media.limits import check_size, pillow_unlimited
from stylepipe.media.moving import whole_pictures
from stylepipe.media.terminal import stderr_caught

JPEG = ("JPEG", MpoImagePlugin.MpoImageFile.format)
"""Pillow's names for it: with several pictures in the file it has another."""
HEAD = 4096
"""Bytes by which a format is recognized."""
_BOXES = {b"avif": "AVIF", b"avis": "AVIF"} | dict.fromkeys(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"),
    "HEIF",
)
_FOREIGN = re.compile("unsupported|not supported|unknown|unrecognized|cannot handle", re.I)
"""What Pillow says where it lacks the means to decode what may well be sound."""
_LIBTIFF = (
    "tempfile.tif", "TIFF", "_TIFF", "LZW", "ZIP", "Fax", "JPEG", "OJPEG", "PackBits", "Pixar",
    "LERC", "LZMA", "ZSTD", "LogL", "SGILog", "ThunderDecode", "NeXTDecode", "Using code",
)  # fmt: skip
"""How the lines begin that libtiff prints: the name that Pillow gives the file, or a function."""
_MOVING = ("GIF", "WEBP", "PNG", "AVIF")
"""Formats of which a file may be an animation."""


@dataclass(frozen=True)
class Opened:
    """A file of pictures, opened as far as its header."""

    picture: ImageFile.ImageFile
    begun: int = 0
    """Pictures of a GIF or WebP that begin, whole or not."""
    cut: bool = False
    """Something of an animation is missing behind the pictures that are whole."""

    @property
    def first(self) -> int:
        """1 if the first picture is a stand-in that is not part of the animation (APNG)."""
        return int(bool(getattr(self.picture, "default_image", False)))

    @property
    def count(self) -> int:
        """Pictures that are there, without the stand-in."""
        return int(getattr(self.picture, "n_frames", 1)) - self.first

    @property
    def moves(self) -> bool:
        """Whether the file is an animation, even one of which only the first picture is whole."""
        return self.picture.format in _MOVING and max(self.count, self.begun) > 1


@contextmanager
def opened(path: Path, max_pixels: int) -> Iterator[Opened | None]:
    """The one way into a file of pictures: of a known format, and no larger than ``max_pixels``.

    The pictures are as they are stored, those of an animation as far as they are whole. Yields
    None for a film. Raises ItemError, also for what a decoder raises while the picture is in use.
    """
    with file_at(path) as file:
        if sniff(file.read(HEAD)) == "PNG":
            file.seek(0)
            file = io.BytesIO(png.tidy(file.read()))
        file.seek(0)
        found = open_file(file, max_pixels)
        if found is None:
            yield None
            return
        with explained(found.picture.format):
            yield found


@contextmanager
def file_at(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise ItemError(f"the file cannot be read: {error.strerror or error}") from error


def sniff(head: bytes) -> str | None:
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
        (b"\xff\xd8\xff", "JPEG"),
        (png.SIGNATURE, "PNG"),
        (b"GIF8", "GIF"),
        (b"II*\0", "TIFF"),
        (b"MM\0*", "TIFF"),
        (b"II+\0", "TIFF"),
        (b"MM\0+", "TIFF"),
        (b"BM", "BMP"),
        (b"\x1aE\xdf\xa3", "video"),
    ):
        if head.startswith(start):
            return name
    return None


def open_file(file: BinaryIO, max_pixels: int) -> Opened | None:
    """Open a picture as far as its header; None if it is a film. Raises ItemError."""
    head = file.read(HEAD)
    file.seek(0)
    if not head:
        raise ItemError("the file is empty: copy it again from where it came")
    if kind := raw.kind(file):
        raise ItemError(f"camera RAW ({kind}) can only be a photo: convert it to TIFF or PNG")
    file.seek(0)
    name = sniff(head)
    if name == "video":
        return None
    if name is None:
        raise ItemError(
            "the file is no picture, whatever its name says: its content is none of "
            "JPEG, PNG, WebP, TIFF, BMP, AVIF, GIF, HEIC and camera RAW"
        )
    if name == "HEIF":
        enable_heif()
    begun, cut = 0, False
    if name in ("GIF", "WEBP") and (whole := whole_pictures(file.read())):
        begun = whole.begun
        if begun > 1:  # of a still picture that is cut short more can be read
            file, cut = io.BytesIO(whole.data), whole.cut
    file.seek(0)
    with explained(name), pillow_unlimited():
        try:
            picture = Image.open(file, formats=JPEG if name == "JPEG" else (name,))
        except Exception:
            file.seek(0)
            if name == "JPEG":
                jpeg.check_kind(jpeg.parts(file.read()))
            elif name == "TIFF":
                if (plain := tiff.readable(file, max_pixels)) is not file:
                    return open_file(plain, max_pixels)
                tiff.check_kind(file)
            raise
        if name == "TIFF" and picture.mode == "I" and not tiff.is_signed(picture):
            file.seek(0)  # Pillow takes the brighter half of the numbers for negative ones
            return open_file(tiff.readable(file, max_pixels), max_pixels)
    check_size(*picture.size, max_pixels)
    return Opened(picture, begun, cut)


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
def explained(name: str | None) -> Iterator[None]:
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


def load(picture: ImageFile.ImageFile) -> None:
    """Let Pillow decode; what libtiff prints meanwhile says why it failed."""
    if picture.format != "TIFF":
        with pillow_unlimited():
            picture.load()
        return
    try:
        with pillow_unlimited(), stderr_caught(_LIBTIFF) as lines:
            picture.load()
    except OSError as error:
        raise OSError(lines[0].rstrip(".") if lines else str(error)) from error
