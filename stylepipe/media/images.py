"""The built-in reader and writer of pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from stylepipe.components import Context, PixelLimit, Reader, Sink, Writer
from stylepipe.damage import Damaged, refuse
from stylepipe.errors import ItemError
from stylepipe.media import raw
from stylepipe.media.containers import PICTURES
from stylepipe.options import Options as BaseOptions
from stylepipe.options import option
from stylepipe.types import Frame, Info, Item

if TYPE_CHECKING:
    from stylepipe.media.encode import EncodeSettings


class ImageReader(Reader):
    """Pictures: JPEG, PNG, WebP, TIFF, BMP, AVIF, still GIF; with extras HEIC and camera RAW.

    HEIC needs stylepipe[heic], camera RAW stylepipe[raw], TIFF of rarer kinds stylepipe[tiff]. The
    content decides, not the suffix. Frames come out upright and in sRGB; the depth of PNG, TIFF and
    RAW, alpha and metadata stay. Of a file of several pictures the first is read, of a TIFF each
    with --pages; animations are left to the video reader.
    """

    name = "image"
    kind = "image"
    patterns = (*PICTURES, ".mpo", *raw.SUFFIXES)
    instead = dict.fromkeys(raw.SUFFIXES, ".tif")  # which holds the depth of RAW

    class Options(PixelLimit):
        pages: bool = option(
            False,
            "Make each page of a TIFF a separate picture, named like scan-1.tif; otherwise only "
            "the first is painted.",
        )

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._log: Callable[[str], None] = lambda line: None
        self._damaged: Damaged = refuse

    def open(self, context: Context) -> None:
        self._log, self._damaged = context.log, context.damaged

    def probe(self, path: Path) -> Info | None:
        """Read the header. None for an animation or a video; ItemError for what is no picture."""
        from stylepipe.media import decode

        return decode.probe(path, self.options.max_pixels)

    def pages(self, path: Path) -> int:
        """The pages of a TIFF, where the option ``pages`` asks for each."""
        if not self.options.pages or path.suffix.lower() not in (".tif", ".tiff"):
            return 0
        from stylepipe.media import decode

        return decode.pages(path)

    def probe_page(self, path: Path, page: int) -> Info | None:
        """Read the header of one page of a TIFF."""
        from stylepipe.media import decode

        return decode.probe(path, self.options.max_pixels, page)

    def frames(self, item: Item, info: Info, start: int = 0) -> Iterator[Frame]:
        """Yield the one picture. Reports to :attr:`Context.damaged` if a part of it is missing."""
        from stylepipe.media import decode

        if start == 0:
            # A JPEG's further pictures are previews and depth maps: nobody misses those.
            pictures = None if item.page else info.details.get("pictures")
            if info.format in ("tiff", "heif") and pictures:
                way = " (--pages paints each)" if info.format == "tiff" else ""
                self._log(
                    f"{item.relative}: {pictures} pictures is stylized, the others are not{way}"
                )
            frame = decode.read(item.source, self.options.max_pixels, self._damaged, item.page)
            if frame.meta.lost:
                self._log(f"{item.relative}: left out in reading: {', '.join(frame.meta.lost)}")
            yield frame


class ImageWriter(Writer):
    """Pictures: JPEG, PNG, WebP, TIFF, BMP, AVIF, GIF, and HEIC with stylepipe[heic].

    Sixteen bits stay in PNG and TIFF. JPEG and BMP cannot be transparent and show the picture on
    white. Colors come back in the source's profile. EXIF, XMP, IPTC, texts and resolution are
    written wherever the format has a place; what it cannot hold is reported in one line.
    """

    name = "image"
    kind = "image"
    patterns = tuple(PICTURES)

    class Options(BaseOptions):
        image_quality: int | None = option(
            None,
            "Quality of JPEG, WebP, AVIF and HEIC; from 90 colors keep their full "
            "resolution (not in WebP, which at 100 is lossless).  95 if not given; but what was a "
            "lossless WebP stays one.",
            min=1,
            max=100,
        )
        png_level: int = option(
            2,
            "Compression of PNG and TIFF: 1 is fast, 9 is small.",
            min=1,
            max=9,
        )
        profile: Literal["keep", "srgb"] = option(
            "keep",
            "Colors: back in the source's own profile, or sRGB for all.",
        )
        strip_metadata: bool = option(
            False, "Leave out EXIF, XMP, IPTC, texts, resolution and the sRGB profile."
        )

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._log: Callable[[str], None] = lambda line: None

    def open(self, context: Context) -> None:
        self._log = context.log

    def open_sink(self, item: Item, info: Info, path: Path, work: Path) -> Sink:
        """Writes nothing until the frame arrives."""
        log = lambda line: self._log(f"{item.relative}: {line}")  # noqa: E731
        return _ImageSink(path, self.encoding(info, log))

    def encoding(self, info: Info, log: Callable[[str], None]) -> EncodeSettings:
        """How a result of ``info`` is encoded; ``log`` is told what is left out."""
        return encode_settings(self.options, info, log)


def encode_settings(options: Any, info: Info, log: Callable[[str], None]) -> EncodeSettings:
    """What the options of :class:`ImageWriter` mean to the encoders."""
    from stylepipe.media.encode import EncodeSettings

    return EncodeSettings(
        quality=options.image_quality or 95,
        level=options.png_level,
        strip=options.strip_metadata,
        keep_profile=options.profile == "keep",
        lossless=options.image_quality is None and bool(info.details.get("lossless")),
        log=log,
    )


class _ImageSink(Sink):
    """Holds no open file: many small pictures may wait in the engine's queues."""

    def __init__(self, path: Path, settings: EncodeSettings) -> None:
        self._path, self._settings = path, settings
        self._written = False

    def write(self, frame: Frame) -> None:
        from stylepipe.media.encode import encode

        if self._written:
            raise ItemError("a picture file holds one frame: choose a video format")
        data = encode(frame, self._path.suffix.lower(), self._settings)
        try:
            self._path.write_bytes(data)
        except OSError as error:
            reason = error.strerror or error
            raise ItemError(f"the output cannot be written: {reason}") from error
        self._written = True

    def close(self) -> None:
        if not self._written:
            raise ItemError("no picture came to be written")

    def abort(self) -> None:
        self._path.unlink(missing_ok=True)
