"""Files and shortcuts for the tests of pictures."""

import io
import struct
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
from PIL import Image, TiffImagePlugin

from stylepipe.damage import refuse
from stylepipe.media.images import ImageReader, ImageWriter
from stylepipe.types import Frame, Info, Item


def loaded(path: Path) -> Image.Image:
    """The picture in a file, with its pixels and metadata in memory and the file closed."""
    with Image.open(path) as picture:
        picture.load()
        picture.getexif().get_ifd(0x8825)  # is read at the first look, places on earth as well
    return picture


def photo(height: int = 60, width: int = 90) -> np.ndarray:
    """A smooth picture of many colors with an edge, HxWx3, uint8; no symmetry."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    pixels = np.stack([255 * x, 255 * (1 - y) * (1 - x / 2), 127 + 120 * np.sin(7 * x + 4 * y)], -1)
    pixels[: height // 3, : width // 4] = (240, 30, 20)
    return pixels.round().astype(np.uint8)


def deep(height: int = 60, width: int = 90) -> np.ndarray:
    """The same in uint16, with values no eight bits could hold."""
    fine = np.arange(height * width * 3, dtype=np.uint16).reshape(height, width, 3) % 251
    return photo(height, width).astype(np.uint16) * 256 + fine


def item(path: Path) -> Item:
    return Item(0, path, path.parent, path)


def probe(path: Path, **options: Any) -> Info | None:
    return ImageReader(ImageReader.Options(**options)).probe(path)


def read(path: Path, **options: Any) -> Frame:
    """Probe, then the one frame, which must be what the probe promised."""
    reader = ImageReader(ImageReader.Options(**options))
    info = reader.probe(path)
    assert info is not None, f"{path.name} is left to another reader"
    (frame,) = reader.frames(item(path), info)
    assert frame.pixels.shape == (info.height, info.width, 3)
    assert frame.pixels.dtype == {8: np.uint8, 16: np.uint16}[info.depth]
    assert frame.pixels.flags.c_contiguous and frame.pixels.flags.writeable
    assert (frame.alpha is not None) == info.alpha
    if frame.alpha is not None:
        assert frame.alpha.shape == frame.pixels.shape[:2]
        assert frame.alpha.dtype == frame.pixels.dtype
        assert frame.alpha.flags.c_contiguous and frame.alpha.flags.writeable
    return frame


def write(frame: Frame, path: Path, **options: Any) -> Path:
    writer = ImageWriter(ImageWriter.Options(**options))
    height, width = frame.pixels.shape[:2]
    sink = writer.open_sink(item(path), Info("image", "png", width, height), path, path.parent)
    sink.write(frame)
    sink.close()
    return path


def tiff(pixels: np.ndarray, photometric: int = 2, order: str = "<", **tags: Any) -> bytes:
    """An uncompressed TIFF of one strip, with any further tags as ``tag_274=6``."""
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    bits = 8 * pixels.dtype.itemsize
    ifd = TiffImagePlugin.ImageFileDirectory_v2(prefix=b"II" if order == "<" else b"MM")
    raw = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    values = {
        256: pixels.shape[1],
        257: pixels.shape[0],
        258: (bits,) * channels,
        259: 1,
        262: photometric,
        273: 0,
        277: channels,
        278: pixels.shape[0],
        279: len(raw),
        339: (3 if pixels.dtype.kind == "f" else 1,) * channels,
    } | {int(name.removeprefix("tag_")): value for name, value in tags.items()}
    for tag, value in values.items():
        ifd[tag] = value
        if tag == 33723 and isinstance(value, tuple):  # of which Pillow would write the first only
            ifd.tagtype[tag], ifd._tags_v2[tag] = 4, value
    ifd.tagtype[273] = ifd.tagtype[279] = 4
    file = io.BytesIO()
    ifd.save(file)
    return file.getvalue() + raw


def through(source: Path, output: Path, **options: Any) -> list[str]:
    """Copy a picture through reader and writer; returns what they tell the user."""
    lines: list[str] = []
    context: Any = SimpleNamespace(log=lines.append, damaged=refuse)
    reader, writer = ImageReader(ImageReader.Options()), ImageWriter(ImageWriter.Options(**options))
    reader.open(context)
    writer.open(context)
    info = reader.probe(source)
    assert info is not None
    (frame,) = reader.frames(item(source), info)
    sink = writer.open_sink(item(output), info, output, output.parent)
    sink.write(frame)
    sink.close()
    return lines


def jpeg(*segments: tuple[int, bytes], pixels: np.ndarray | None = None, **options: Any) -> bytes:
    """A JPEG with further segments, each a marker's second byte and a content."""
    plain = io.BytesIO()
    Image.fromarray(photo() if pixels is None else pixels).save(plain, "JPEG", **options)
    data = plain.getvalue()
    more = b"".join(struct.pack(">BBH", 255, m, len(body) + 2) + body for m, body in segments)
    return data[:2] + more + data[2:]


def png(
    *chunks: tuple[bytes, bytes], behind: bool = False, pixels: np.ndarray | None = None
) -> bytes:
    """A PNG with further chunks, in front of its pixels or behind them."""
    data = cv2.imencode(".png", (photo() if pixels is None else pixels)[:, :, ::-1])[1].tobytes()
    more = b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )
    at = len(data) - 12 if behind else 33
    return data[:at] + more + data[at:]
