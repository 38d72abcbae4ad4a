"""Color of video: what the tags mean, and the way between YCbCr and RGB, by swscale.

The code points are those of ISO/IEC 23091-2 (H.273), which FFmpeg uses too; the names are
FFmpeg's. Untagged video is taken as players take it: BT.709 for HD, BT.601 below.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stylepipe.errors import ItemError

if TYPE_CHECKING:
    import av
    import numpy as np
    from av.video.format import VideoFormat

UNTAGGED = 2
"""H.273: unspecified matrix, primaries or transfer. (An unspecified range is 0.)"""
LIMITED, FULL = 1, 2
PQ, HLG = 16, 18
"""H.273 transfers of HDR: SMPTE ST 2084, whose signal means candelas, and ARIB STD-B67."""
WIDE = (9, 11, 12)
"""H.273 primaries of wide gamuts: BT.2020, DCI-P3, Display P3."""

RANGES = {0: "unknown", LIMITED: "tv", FULL: "pc"}
MATRICES = {
    0: "gbr",
    1: "bt709",
    2: "unknown",
    4: "fcc",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "ycgco",
    9: "bt2020nc",
    10: "bt2020c",
    14: "ictcp",
}
PRIMARIES = {
    1: "bt709",
    2: "unknown",
    4: "bt470m",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "film",
    9: "bt2020",
    10: "smpte428",
    11: "smpte431",
    12: "smpte432",
    22: "ebu3213",
}
TRANSFERS = {
    1: "bt709",
    2: "unknown",
    4: "gamma22",
    5: "gamma28",
    6: "smpte170m",
    7: "smpte240m",
    8: "linear",
    9: "log100",
    10: "log316",
    11: "iec61966-2-4",
    12: "bt1361e",
    13: "iec61966-2-1",
    14: "bt2020-10",
    15: "bt2020-12",
    16: "smpte2084",
    17: "smpte428",
    18: "arib-std-b67",
}
_PLANAR = ("yuv420p", "yuv422p", "yuv444p")
_SWSCALE = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9}
"""Matrix code to swscale's SWS_CS number."""


@dataclass(frozen=True)
class Color:
    """The four color tags of a stream, as they were written (maybe unspecified)."""

    range: int = 0
    matrix: int = UNTAGGED
    primaries: int = UNTAGGED
    transfer: int = UNTAGGED

    @classmethod
    def of(cls, frame: av.VideoFrame) -> Color:
        """The tags of a decoded frame; the deprecated ``yuvj`` formats mean full range."""
        span = FULL if frame.format.name.startswith("yuvj") else int(frame.color_range)
        return cls(span, int(frame.colorspace), int(frame.color_primaries), int(frame.color_trc))

    @property
    def hdr(self) -> bool:
        """Whether the film is HDR."""
        return self.transfer in (PQ, HLG)

    @property
    def pale(self) -> str | None:
        """Why the film would look pale without its tags, if it would."""
        if self.hdr:
            return "the film is HDR"
        if self.primaries in WIDE:
            return f"its colors are {PRIMARIES[self.primaries]}"
        return None

    def names(self) -> dict[str, str]:
        """The tags by FFmpeg's names, for people and for :meth:`parse`."""
        return {
            "color_range": RANGES.get(self.range, "unknown"),
            "color_space": MATRICES.get(self.matrix, "unknown"),
            "color_primaries": PRIMARIES.get(self.primaries, "unknown"),
            "color_transfer": TRANSFERS.get(self.transfer, "unknown"),
        }

    @classmethod
    def parse(cls, names: Mapping[str, Any]) -> Color:
        """Inverse of :meth:`names`; what is missing is unspecified."""

        def code(table: Mapping[int, str], key: str, default: int) -> int:
            return next((k for k, v in table.items() if v == names.get(key)), default)

        return cls(
            code(RANGES, "color_range", 0),
            code(MATRICES, "color_space", UNTAGGED),
            code(PRIMARIES, "color_primaries", UNTAGGED),
            code(TRANSFERS, "color_transfer", UNTAGGED),
        )

    def swscale(self, width: int, height: int) -> int:
        """The matrix to convert with, as swscale numbers it.

        Raises ItemError for a matrix that swscale cannot invert: wrong colors help nobody.
        """
        if self.matrix in (0, UNTAGGED, 3):
            return 1 if width >= 1280 or height > 576 else 5
        if self.matrix not in _SWSCALE:
            raise ItemError(
                f"its color matrix {MATRICES.get(self.matrix, self.matrix)!r} is not supported; "
                "convert it to BT.709 first (ffmpeg -vf zscale=matrix=709)"
            )
        return _SWSCALE[self.matrix]


def is_rgb(pix_fmt: VideoFormat) -> bool:
    """Whether the format stores red, green and blue (or a palette of them)."""
    return bool(pix_fmt.is_rgb or pix_fmt.has_palette)


def has_alpha(pix_fmt: VideoFormat) -> bool:
    """Whether the format stores how opaque a pixel is."""
    return any(c.is_alpha for c in pix_fmt.components)


def bits(pix_fmt: VideoFormat) -> int:
    """Bits of the deepest component."""
    return max((int(c.bits) for c in pix_fmt.components), default=8)


def _native_range(pix_fmt: VideoFormat, tagged: int) -> int:
    if is_rgb(pix_fmt) or pix_fmt.name.startswith(("yuvj", "gray", "ya")):
        return FULL if not tagged or is_rgb(pix_fmt) else tagged
    return tagged or LIMITED


def _deep_scale(pix_fmt: VideoFormat, span: int) -> float:
    """What swscale's 16-bit RGB must be multiplied by so that white is 65535.

    swscale widens by shifting: white comes out as 255 * 256 (limited range) or as the largest
    code shifted up (full range).
    """
    if is_rgb(pix_fmt):
        return 1.0
    white = 255 << 8
    if span == FULL:
        depth = bits(pix_fmt)
        white = ((1 << depth) - 1) << (16 - depth)
    return 65535 / white


class ToRGB:
    """Decoded frames to RGB arrays; one object a stream, as it keeps swscale's tables.

    Without full chroma interpolation swscale's 8-bit RGB is up to three levels too dark.
    """

    def __init__(self, color: Color, depth: int, alpha: bool, white: float = 1.0) -> None:
        """``white``: the share of the signal that becomes white, for depth 16; more is clipped."""
        from av.video.reformatter import VideoReformatter

        self._color, self._depth, self._alpha, self._white = color, depth, alpha, white
        self._reformat = VideoReformatter().reformat

    def __call__(self, frame: av.VideoFrame) -> tuple[np.ndarray, np.ndarray | None]:
        """HxWx3 and HxW or None; uint8 for depth 8, uint16 for depth 16."""
        import cv2
        import numpy as np
        from av.video.reformatter import Interpolation as I

        fmt = frame.format
        span = _native_range(fmt, self._color.range)
        matrix = self._color.swscale(frame.width, frame.height)
        # To interleaved 16 bit, swscale's full chroma interpolation overflows: ask for planes.
        deep = self._depth == 16
        target = (
            ("gbrap16le" if self._alpha else "gbrp16le")
            if deep
            else ("rgba" if self._alpha else "rgb24")
        )
        picture = self._reformat(
            frame,
            format=target,
            interpolation=I.BILINEAR | I.ACCURATE_RND | I.FULL_CHR_H_INT,
            src_colorspace=matrix,
            dst_colorspace=matrix,
            src_color_range=span,
            dst_color_range=FULL,
        )
        if not deep:
            array = picture.to_ndarray()
            if not self._alpha:
                return array, None
            return cv2.cvtColor(array, cv2.COLOR_RGBA2RGB), cv2.extractChannel(array, 3)
        planes: list[Any] = [memoryview(p) for p in picture.planes]
        green, blue, red, *alpha = (
            np.frombuffer(m, np.uint16).reshape(p.height, -1)[:, : p.width]
            for m, p in zip(planes, picture.planes, strict=True)
        )
        array = _scaled(cv2.merge((red, green, blue)), _deep_scale(fmt, span) / self._white)
        if not alpha:
            return array, None
        # Alpha is always full range; swscale has widened it by shifting.
        depth = bits(fmt)
        return array, _scaled(alpha[0], 65535 / (((1 << depth) - 1) << (16 - depth)))


class FromRGB:
    """RGB arrays to frames of an encoder's pixel format, by the stream's own matrix and range."""

    def __init__(self, color: Color, pix_fmt: str, white: float = 1.0) -> None:
        """``white``: the share of the signal that white becomes, for 16 bits a channel."""
        from av.video.format import VideoFormat
        from av.video.reformatter import VideoReformatter

        self._color, self._format, self._white = color, VideoFormat(pix_fmt), white
        self._span = _native_range(self._format, color.range)
        self._steps = [(VideoReformatter().reformat, pix_fmt)]
        via = f"{pix_fmt.replace('yuvj', 'yuv')}12le"
        if self._span == FULL and pix_fmt.replace("yuvj", "yuv") in _PLANAR:
            # Straight to 8-bit full range, swscale truncates chroma: half a level too low.
            self._steps.insert(0, (VideoReformatter().reformat, via))

    def __call__(self, pixels: np.ndarray, alpha: np.ndarray | None) -> av.VideoFrame:
        """``pixels`` HxWx3 uint8 or uint16; ``alpha`` HxW or None, meaning opaque."""
        import av
        import numpy as np
        from av.video.reformatter import Interpolation as I

        deep = pixels.dtype.itemsize == 2
        white = 65535 if deep else 255
        if alpha is not None and not has_alpha(self._format):
            pixels = flatten(pixels, alpha)
        if deep:
            wide = bits(self._format) > 8
            scale = _deep_scale(self._format, self._span) if wide else 1.0
            pixels = _scaled(pixels, self._white / scale)
        if has_alpha(self._format):
            if alpha is None:
                alpha = np.full(pixels.shape[:2], white, pixels.dtype)
            pixels = np.dstack((pixels, alpha))
        name = (
            ("rgba64le" if deep else "rgba")
            if pixels.shape[2] == 4
            else ("rgb48le" if deep else "rgb24")
        )
        height, width = pixels.shape[:2]
        matrix = self._color.swscale(width, height)
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=name)
        for reformat, target in self._steps:
            picture = reformat(
                picture,
                format=target,
                interpolation=I.BICUBIC | I.ACCURATE_RND | I.FULL_CHR_H_INP,
                src_colorspace=matrix,
                dst_colorspace=matrix,
                src_color_range=FULL,
                dst_color_range=self._span,
            )
        # ProRes takes its tags from the pictures, not from the encoder's context.
        picture.color_range, picture.colorspace = self._color.range, self._color.matrix
        picture.color_primaries = self._color.primaries
        picture.color_trc = self._color.transfer
        return picture


def flatten(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Lay RGB over white by its alpha, for formats that cannot hold alpha; uint8 or uint16."""
    import numpy as np

    white = 65535 if pixels.dtype.itemsize == 2 else 255
    opaque = alpha[..., None].astype(np.uint32)
    wide = pixels * opaque + white * (white - opaque)
    flat: np.ndarray = ((wide + white // 2) // white).astype(pixels.dtype)
    return flat


def _scaled(array: np.ndarray, factor: float) -> np.ndarray:
    """16-bit values times ``factor``, rounded and clipped."""
    import cv2

    if factor == 1.0:
        return array
    channels: Any = (factor,) * 4
    return cv2.multiply(array, channels)
