"""For the tests of plugins: small media files, and contracts that every component must keep.

Installing stylepipe makes pytest load this module, which gives two fixtures::

    def test_small_pictures(make_photo, make_clip):
        photo = make_photo("photo.jpg", (40, 30), orientation=6)
        clip = make_clip("clip.mp4", frames=10, sound=True)

A contract is a class of tests to derive from; the name of the component is all it needs::

    from stylepipe.testing import StylizerContract

    class TestContract(StylizerContract):
        component = MyStylizer
        options = {"steps": 2}

That of a whole plugin looks at its presets and hooks too, and at each of its components::

    from stylepipe.testing import PluginContract

    class TestPlugin(PluginContract):
        plugin = "stylepipe_duotone"

``stylepipe plugins check`` does the same without a test of yours. What a contract checks is what
the engine relies on. A fixture or attribute of a contract can be overridden where a component needs
other files, sizes or tolerances.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.register_assert_rewrite("stylepipe.contracts")

from stylepipe.contracts import (  # noqa: E402
    FlowContract,
    MakeFile,
    MaskerContract,
    PluginContract,
    ReaderContract,
    StylizerContract,
    TemporalContract,
    WriterContract,
    context,
    scene,
)

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "FlowContract",
    "MakeFile",
    "MaskerContract",
    "PluginContract",
    "ReaderContract",
    "StylizerContract",
    "TemporalContract",
    "WriterContract",
    "context",
    "make_clip",
    "make_photo",
    "scene",
]


@pytest.fixture
def make_photo(tmp_path: Path) -> MakeFile:
    """``make_photo(name="photo.jpg", size=(96, 64), **properties)`` writes a picture.

    ``size`` is that of the upright picture, ``orientation`` the EXIF orientation under which it is
    stored (1 to 8), ``alpha`` makes its left half fade out, ``depth=16`` writes 16 bits a channel
    (PNG or TIFF), ``mode`` is any Pillow mode such as ``L`` or ``CMYK``, ``fill`` one value for all
    pixels, ``seed`` another picture. All other keywords go to Pillow's ``save``.
    """

    def make(
        name: str = "photo.jpg",
        size: tuple[int, int] = (96, 64),
        *,
        orientation: int = 1,
        alpha: bool = False,
        depth: int = 8,
        mode: str | None = None,
        fill: int | None = None,
        seed: int = 0,
        **save: Any,
    ) -> Path:
        import numpy as np
        from PIL import Image

        width, height = size
        pixels = scene(width, height, seed=seed)
        if fill is not None:
            pixels[:] = fill
        if alpha:
            fade = np.linspace(0, 510, width).clip(0, 255).astype(np.uint8)
            pixels = np.dstack([pixels, np.broadcast_to(fade, (height, width))])
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if depth == 16:
            if orientation != 1 or mode is not None or save:
                raise ValueError("depth=16 takes no orientation, mode or keywords of Pillow")
            _save_deep(path, pixels)
            return path
        image = Image.fromarray(pixels)
        if mode is not None:
            image = image.convert(mode)
        if orientation != 1:
            stored = {
                2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
                4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
                6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
                8: Image.Transpose.ROTATE_270,
            }  # fmt: skip
            image = image.transpose(stored[orientation])
            exif = Image.Exif()
            exif[0x0112] = orientation
            save.setdefault("exif", exif)
        image.save(path, **save)
        return path

    return make


def _save_deep(path: Path, pixels: np.ndarray) -> None:
    """Sixteen bits a channel, with values that eight bits could not hold."""
    import cv2
    import numpy as np

    deep = pixels.astype(np.uint16) * 257
    deep[..., :3] += (np.arange(deep.shape[1]) % 251).astype(np.uint16)[None, :, None] // 2
    order = [2, 1, 0, 3][: deep.shape[2]]
    if not cv2.imwrite(str(path), deep[..., order]):
        raise ValueError(f"OpenCV cannot write 16 bits to {path.name}; use .png or .tif")


@pytest.fixture
def make_clip(tmp_path: Path) -> MakeFile:
    """``make_clip(name="clip.mp4", size=(96, 64), frames=12, **properties)`` writes a video.

    The picture moves by two pixels a frame. ``rate`` is in frames a second; ``variable`` spaces
    the frames unevenly; ``sound`` adds a stereo tone; ``codec`` and ``pix_fmt`` as FFmpeg names
    them; ``cut`` is the number of the frame at which another scene begins.
    """

    def make(
        name: str = "clip.mp4",
        size: tuple[int, int] = (96, 64),
        frames: int = 12,
        *,
        rate: int = 25,
        variable: bool = False,
        sound: bool = False,
        codec: str = "libx264",
        pix_fmt: str = "yuv420p",
        cut: int | None = None,
    ) -> Path:
        import av

        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        base = Fraction(1, rate * 40)
        with av.open(str(path), "w") as out:
            video: Any = out.add_stream(codec, rate=rate)
            video.width, video.height, video.pix_fmt = *size, pix_fmt
            video.time_base = video.codec_context.time_base = base
            audio: Any = out.add_stream("aac", rate=44100) if sound else None
            pts = 0
            for k in range(frames):
                pixels = scene(*size, time=k, seed=3 if cut is not None and k >= cut else 0)
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                frame.pts, frame.time_base = pts, base
                out.mux(video.encode(frame))
                pts += 40 * (1 + k % 3 if variable else 1)
            out.mux(video.encode(None))
            if sound:
                for block in _tone(float(pts * base)):
                    out.mux(audio.encode(block))
                out.mux(audio.encode(None))
        return path

    return make


def _tone(seconds: float) -> Iterator[Any]:
    """Blocks of a stereo sine at 44.1 kHz."""
    import av
    import numpy as np

    t = np.arange(int(seconds * 44100)) / 44100
    wave = np.stack([np.sin(2 * np.pi * f * t) for f in (440, 660)]).astype(np.float32) * 0.3
    for start in range(0, wave.shape[1], 1024):
        part = np.ascontiguousarray(wave[:, start : start + 1024])
        block = av.AudioFrame.from_ndarray(part, format="fltp", layout="stereo")
        block.sample_rate, block.pts = 44100, start
        block.time_base = Fraction(1, 44100)
        yield block
