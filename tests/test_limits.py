"""``--max-pixels`` is the only limit on the size of pictures, in photos, masks and animations."""

import io
import struct
import zlib
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from imagefiles import deep, photo, probe, read, tiff
from PIL import Image
from stylepipe_plugins.masks import FilesMasker

from stylepipe.errors import ItemError
from stylepipe.media import decode
from stylepipe.media.video import VideoReader
from stylepipe.types import Batch, Frame, Item


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    """Pillow's own limit as small as if the pictures here were of hundreds of megapixels."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_pictures_of_sixteen_bits(tmp_path, suffix):
    data = tiff(deep()) if suffix == ".tif" else cv2.imencode(".png", deep()[:, :, ::-1])[1]
    (tmp_path / f"a{suffix}").write_bytes(bytes(data))
    assert (read(tmp_path / f"a{suffix}").pixels == deep()).all()
    with pytest.raises(ItemError, match="more than the 99 allowed: raise max-pixels"):
        probe(tmp_path / f"a{suffix}", max_pixels=99)


def test_what_opencv_cannot_take_is_not_called_damaged(tmp_path, monkeypatch):
    monkeypatch.setattr(decode, "_OPENCV_PIXELS", 99)
    (tmp_path / "a.tif").write_bytes(tiff(deep()))
    with pytest.raises(ItemError, match="not supported at 90x60 pixels, only up to 99: convert"):
        read(tmp_path / "a.tif")


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_animations(tmp_path, suffix):
    frames = [Image.fromarray(np.roll(photo(), 9 * n, 1)) for n in range(3)]
    frames[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=frames[1:], duration=100)

    def shown(**options):
        reader = VideoReader(VideoReader.Options(**options))
        path = tmp_path / f"a{suffix}"
        return list(reader.frames(Item(0, path, tmp_path, path), reader.probe(path)))

    assert len(shown()) == 3 and Image.MAX_IMAGE_PIXELS == 50
    with pytest.raises(ItemError, match="90x60 pixels, more than the 5,399 allowed: raise max-pix"):
        shown(max_pixels=5399)


def mask_of(path, frame, max_pixels=300_000_000):
    masker = FilesMasker(FilesMasker.Options(path=path))
    masker.open(SimpleNamespace(max_pixels=max_pixels))
    item = Item(0, path, path.parent, path)
    return masker.mask(Batch(SimpleNamespace(device="cpu"), item), [frame])


def test_masks(tmp_path):
    pytest.importorskip("torch")
    Image.fromarray(photo()[:, :, 0]).save(tmp_path / "mask.png")
    assert mask_of(tmp_path / "mask.png", Frame(photo())).shape == (1, 1, 60, 90)


def test_a_mask_may_be_as_large_as_its_picture_whatever_the_limit(tmp_path):
    """The picture may come from a reader without the limit."""
    pytest.importorskip("torch")
    Image.fromarray(photo()[:, :, 0]).save(tmp_path / "mask.png")
    assert mask_of(tmp_path / "mask.png", Frame(photo()), 1000).shape == (1, 1, 60, 90)
    words = "the mask .* cannot be read: the picture claims 90x60 pixels, more than the 1,350 allow"
    with pytest.raises(ItemError, match=words):
        mask_of(tmp_path / "mask.png", Frame(photo(30, 45)), 1000)


def test_a_torn_mask_is_one_sentence(tmp_path):
    pytest.importorskip("torch")
    body = b"IHDR" + struct.pack(">2I5B", 4, 4, 8, 0, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body
    (tmp_path / "mask.png").write_bytes(data + struct.pack(">I", zlib.crc32(body)) + b"\0\0\0")
    with pytest.raises(ItemError, match=r"the mask .* cannot be read"):
        mask_of(tmp_path / "mask.png", Frame(photo()))
    file = io.BytesIO()
    Image.fromarray(photo()).save(file, "GIF")
    (tmp_path / "mask.png").write_bytes(file.getvalue()[:20])
    with pytest.raises(ItemError, match=r"the mask .* cannot be read"):
        mask_of(tmp_path / "mask.png", Frame(photo()))
