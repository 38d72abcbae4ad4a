"""What output files can hold: one row of facts for each suffix. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Film:
    """A container of video, sound and more."""

    format: str
    """FFmpeg's name of it, as of all codecs here."""
    codec: str = "libx264"
    hdr_codec: str = "libx265"
    """Players look for HDR in HEVC, not in H.264."""
    alpha_codec: str | None = None
    """What keeps alpha in it, where anything does."""
    sound: str | None = None
    """What sound is converted to that it cannot hold; None: it holds all there is."""
    text: str | None = None
    """What text subtitles are converted to; None: it holds none."""
    has_times: bool = True
    """Pictures have presentation times; else they must come in order and at a constant rate."""
    has_color_tags: bool = True
    """It records colors and light itself, even where the codec does not."""
    global_header: bool = True
    """A codec's headers stand once, at the beginning."""
    iso_media: bool = False
    """QuickTime's family: its edit lists give times before zero a meaning, its index is moved to
    the front, Apple's players know HEVC in it by the tag hvc1 alone."""
    has_preroll: bool = False
    """It records how much a codec decodes before the first sound to be heard."""
    plays_pcm: bool = True
    """Uncompressed sound is heard in it: the standard of MP4 allows it, and most players are mute.
    """
    chapters: bool = True
    covers: bool = True
    attachments: bool = False


_MP4 = Film("mp4", sound="aac", text="mov_text", iso_media=True, plays_pcm=False)
FILMS = {
    ".mp4": _MP4,
    ".mov": Film(
        "mov",
        alpha_codec="prores_ks",
        sound="aac",
        text="mov_text",
        iso_media=True,
        covers=False,
    ),
    ".m4v": _MP4,
    ".mkv": Film(
        "matroska", alpha_codec="prores_ks", text="subrip", has_preroll=True, attachments=True
    ),
    ".webm": Film(
        "webm",
        codec="libvpx-vp9",
        hdr_codec="libsvtav1",  # VP9 is often built for 8 bits only
        sound="libopus",
        text="webvtt",
        has_preroll=True,
        covers=False,
    ),
    ".avi": Film(
        "avi",
        codec="mpeg4",  # H.264 from AVI is read one frame late, for want of presentation times
        hdr_codec="mpeg4",
        sound="libmp3lame",
        has_times=False,
        has_color_tags=False,
        global_header=False,
        chapters=False,
        covers=False,
    ),
}
"""Films by the suffix of the output."""
LIVE = tuple(suffix for suffix, film in FILMS.items() if film.has_times)
"""Suffixes of films that can be written in pieces, each complete: MP4, Matroska and their kin."""


@dataclass(frozen=True)
class Animation:
    """An animated picture."""

    format: str
    """FFmpeg's name of the container."""
    codec: str
    pix_fmt: str
    clock: Fraction
    """Seconds in which the time of a frame is counted."""
    loop: str
    """The container's option for how often it plays."""
    once: int
    """The value of that option for playing once."""
    shortest: int = 1
    """Ticks a frame must stay at least: browsers slow down a GIF that asks for less."""


_APNG = Animation("apng", "apng", "rgba", Fraction(1, 1000), "plays", 1)
ANIMATIONS = {
    ".gif": Animation("gif", "gif", "pal8", Fraction(1, 100), "loop", -1, shortest=2),
    ".webp": Animation("webp", "libwebp_anim", "bgra", Fraction(1, 1000), "loop", 1),
    ".apng": _APNG,
    ".png": _APNG,
}
"""Animated pictures by the suffix of the output."""


@dataclass(frozen=True)
class Picture:
    """A format of still pictures."""

    format: str
    """Pillow's name of it."""
    longest: int
    """Side, in pixels."""
    holds: frozenset[str]
    """What of a frame and its metadata has a place in it: alpha, holes (pixels that are seen or
    not), deep (16 bits), exif, icc, xmp, segments (XMP of any length), iptc, texts, comment, dpi.
    """


def _picture(format: str, longest: int, holds: str) -> Picture:
    return Picture(format, longest, frozenset(holds.split()))


_JPEG = _picture("JPEG", 65500, "exif icc xmp segments iptc comment dpi")
_PNG = _picture("PNG", 1_000_000, "alpha deep exif icc xmp iptc texts dpi")
_TIFF = _picture("TIFF", 1_000_000, "alpha deep exif icc xmp iptc dpi")
_HEIF = _picture("HEIF", 16384, "alpha exif icc xmp")
PICTURES = {
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".jpe": _JPEG,
    ".jfif": _JPEG,
    ".png": _PNG,
    ".apng": _PNG,
    ".webp": _picture("WEBP", 16383, "alpha exif icc xmp"),
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".bmp": _picture("BMP", 1_000_000, "dpi"),
    ".avif": _picture("AVIF", 65536, "alpha exif icc xmp"),
    ".gif": _picture("GIF", 65535, "holes comment"),
    ".heic": _HEIF,
    ".heif": _HEIF,
    ".hif": _HEIF,
}
"""Still pictures by the suffix of the output."""
