"""A reader and a writer in one file, for farbfeld: 16-bit RGBA without compression.

stylepipe run PHOTOS -o OUT --plugin farbfeld.py --format ff
"""

import struct

from stylepipe import Frame, Info, ItemError, Options, Reader, Sink, Writer, hookimpl, option

HEADER = struct.Struct(">8sII")
MAGIC = b"farbfeld"


class ReaderOptions(Options):
    max_pixels: int = option(
        200_000_000,
        "Refuse pictures of more pixels: they may be made to fill the memory.",
        min=1,
        affects_output=False,
    )


class FarbfeldReader(Reader):
    """Reads farbfeld pictures."""

    name, kind, patterns = "farbfeld", "image", (".ff",)
    Options = ReaderOptions

    def probe(self, path):
        try:
            with path.open("rb") as file:
                magic, width, height = HEADER.unpack(file.read(HEADER.size))
        except OSError as error:
            raise ItemError(f"it cannot be read: {error.strerror}") from error
        except struct.error:
            raise ItemError("it ends within its header") from None
        if magic != MAGIC:
            raise ItemError("it is no farbfeld picture")
        if width * height > self.options.max_pixels:
            raise ItemError(f"it claims {width}x{height} pixels; raise max-pixels to read it")
        if path.stat().st_size < HEADER.size + 8 * width * height or not width * height:
            raise ItemError(f"it ends before the last of its {width}x{height} pixels")
        return Info("image", "farbfeld", width, height, depth=16, alpha=True)

    def frames(self, item, info, start=0):
        import numpy as np

        if start > 0:  # a picture has one frame
            return
        data = np.fromfile(item.source, ">u2", offset=HEADER.size).astype(np.uint16)
        pixels = data[: 4 * info.width * info.height].reshape(info.height, info.width, 4)
        yield Frame(np.ascontiguousarray(pixels[..., :3]), pixels[..., 3].copy())


class FarbfeldSink(Sink):
    """One picture being written."""

    def __init__(self, path, transparency):
        self.file = path.open("wb")
        self.transparency = transparency

    def write(self, frame):
        import numpy as np

        height, width = frame.pixels.shape[:2]
        deep = np.full((height, width, 4), 65535, ">u2")
        deep[..., :3] = frame.pixels.astype(np.uint16) * (65535 // frame.white)
        if frame.alpha is not None and self.transparency:
            deep[..., 3] = frame.alpha.astype(np.uint16) * (65535 // frame.white)
        self.file.write(HEADER.pack(MAGIC, width, height) + deep.tobytes())

    def close(self):
        self.file.close()

    def abort(self):
        self.file.close()


class WriterOptions(Options):
    transparency: bool = option(True, "Keep transparency; without it all pixels are opaque.")


class FarbfeldWriter(Writer):
    """Writes farbfeld pictures."""

    name, kind, patterns = "farbfeld", "image", (".ff",)
    Options = WriterOptions

    def open_sink(self, item, info, path, work):
        return FarbfeldSink(path, self.options.transparency)


@hookimpl
def stylepipe_components():
    return [FarbfeldReader, FarbfeldWriter]
