"""What the image reader makes of files: pixels, alpha, depth, and clear words for broken ones."""

import struct
import zlib
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from imagefiles import deep, item, loaded, photo, probe, read, tiff, write
from PIL import Image

from stylepipe.errors import ItemError
from stylepipe.media.images import ImageReader
from stylepipe.types import Frame, Meta

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")
ALL = (".jpg", ".png", ".webp", ".tif", ".bmp", ".avif", ".gif")


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".png", {}),
        (".bmp", {}),
        (".tif", {}),
        (".tif", {"compression": "tiff_lzw"}),
        (".webp", {"lossless": True}),
    ],
)
def test_lossless_pixels_come_through(tmp_path, suffix, options):
    path = tmp_path / f"a{suffix}"
    Image.fromarray(photo()).save(path, **options)
    assert (read(path).pixels == photo()).all()


@pytest.mark.parametrize("gray", [False, True])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_jpeg_has_the_pixels_of_pillow(tmp_path, gray, progressive, subsampling):
    path = tmp_path / "a.jpg"
    picture = Image.fromarray(photo(61, 83))
    picture = picture.convert("L") if gray else picture
    picture.save(path, quality=90, progressive=progressive, subsampling=subsampling)
    assert (read(path).pixels == np.asarray(loaded(path).convert("RGB"))).all()
    assert probe(path).details.get("gray", False) is gray


def test_nothing_follows_the_one_frame(tmp_path):
    path = write(Frame(photo()), tmp_path / "a.png")
    reader = ImageReader(ImageReader.Options())
    assert list(reader.frames(item(path), reader.probe(path), start=1)) == []


def test_jpeg_with_bytes_after_its_end(tmp_path):
    """As motion photos have."""
    path = tmp_path / "a.jpg"
    Image.fromarray(photo()).save(path)
    whole = read(path).pixels
    path.write_bytes(path.read_bytes() + b"\0\0\0\x18ftypmp42" + bytes(500))
    assert (read(path).pixels == whole).all()


def test_first_picture_of_several_is_read_and_said(tmp_path):
    for name in ("a.mpo", "a.tif"):
        first, second = Image.fromarray(photo()), Image.fromarray(photo()[::-1].copy())
        first.save(tmp_path / name, save_all=True, append_images=[second])
        assert probe(tmp_path / name).details["pictures"] == "the first of 2"
        assert np.abs(read(tmp_path / name).pixels.astype(int) - photo()).mean() < 4


@pytest.mark.parametrize(("name", "said"), [("pages.tif", True), ("preview.mpo", False)])
def test_pages_that_are_left_out_are_told(tmp_path, name, said):
    pages = [Image.fromarray(photo())] * 3
    pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])
    reader, lines = ImageReader(ImageReader.Options()), []
    reader.open(SimpleNamespace(log=lines.append, damaged=None))
    list(reader.frames(item(tmp_path / name), reader.probe(tmp_path / name)))
    expected = (
        f"{name}: the first of 3 pictures is stylized, the others are not (--pages paints each)"
    )
    assert lines == ([expected] if said else [])


def test_avif_that_names_a_general_brand_first(tmp_path):
    Image.fromarray(photo()).save(tmp_path / "a.avif", quality=95)
    data = (tmp_path / "a.avif").read_bytes()
    assert data[8:12] == b"avif" and b"mif1" in data[16:32]
    (tmp_path / "b.avif").write_bytes(data[:8] + b"mif1" + data[12:])
    assert probe(tmp_path / "b.avif").format == "avif"
    assert (read(tmp_path / "b.avif").pixels == read(tmp_path / "a.avif").pixels).all()


@pytest.mark.parametrize("content", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "AVIF"])
def test_content_decides_not_the_suffix(tmp_path, content):
    path = tmp_path / "a.jpg"
    Image.fromarray(photo()).save(path, content)
    assert probe(path).format == content.lower()
    assert np.abs(read(path).pixels.astype(int) - photo()).mean() < 8


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (7, 5), (513, 2)])
@pytest.mark.parametrize("suffix", ALL)
def test_any_size(tmp_path, size, suffix):
    path = write(Frame(photo(*size)), tmp_path / f"a{suffix}")
    assert read(path).pixels.shape == (*size, 3)


# -- alpha, palettes, depth ----------------------------------------------------------------


def test_alpha_of_eight_bits(tmp_path):
    alpha = np.tile(np.arange(90, dtype=np.uint8), (60, 1))
    rgba = np.dstack([photo(), alpha])
    exact = {"lossless": True, "exact": True}
    for name, options in (("a.png", {}), ("a.tif", {}), ("a.webp", exact)):
        Image.fromarray(rgba).save(tmp_path / name, **options)
        frame = read(tmp_path / name)
        assert (frame.pixels == photo()).all() and (frame.alpha == alpha).all()
    Image.fromarray(np.dstack([photo()[:, :, 0], alpha])).save(tmp_path / "la.png")
    frame = read(tmp_path / "la.png")
    assert (frame.pixels == photo()[:, :, :1]).all() and (frame.alpha == alpha).all()


def test_one_color_named_transparent(tmp_path):
    pixels = photo()
    key = tuple(int(v) for v in pixels[0, 0])
    Image.fromarray(pixels).save(tmp_path / "rgb.png", transparency=key)
    Image.fromarray(pixels[:, :, 0]).save(tmp_path / "gray.png", transparency=key[0])
    Image.fromarray(pixels).convert("1").save(tmp_path / "bit.png", transparency=1)
    for name in ("rgb.png", "gray.png", "bit.png"):
        frame = read(tmp_path / name)
        expected = (
            (pixels == key).all(2)
            if name == "rgb.png"
            else pixels[:, :, 0] == key[0]
            if name == "gray.png"
            else frame.pixels[:, :, 0] == 255
        )
        assert 0 < expected.sum() < expected.size
        assert (frame.alpha == np.where(expected, 0, 255)).all(), name


def test_palette_with_alpha(tmp_path):
    picture = Image.fromarray(photo()).quantize(8)
    picture.save(tmp_path / "a.png", transparency=bytes([0, 128, 255]))
    frame, indices = read(tmp_path / "a.png"), np.asarray(picture)
    colors = np.array(picture.getpalette()[:24]).reshape(8, 3)
    assert (frame.pixels == colors[indices]).all()
    assert (frame.alpha == np.array([0, 128] + [255] * 6)[indices]).all()
    assert probe(tmp_path / "a.png").details["palette"] is True


def test_still_gif_with_a_hole(tmp_path):
    indices = np.zeros((20, 30), np.uint8)
    indices[5:10, 5:10] = 1
    picture = Image.frombytes("P", (30, 20), indices.tobytes())
    picture.putpalette([255, 0, 0, 0, 255, 0])
    picture.save(tmp_path / "a.gif", transparency=1)
    frame = read(tmp_path / "a.gif")
    assert (frame.alpha == np.where(indices == 1, 0, 255)).all()
    assert (frame.pixels[0, 0] == (255, 0, 0)).all()


def test_sixteen_bit_png(tmp_path):
    pixels, alpha = deep(), deep()[:, :, 1]
    files = {
        "rgb": cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR),
        "rgba": np.dstack([pixels[:, :, ::-1], alpha]),
        "gray": pixels[:, :, 0],
    }
    for name, array in files.items():
        path = tmp_path / f"{name}.png"
        path.write_bytes(cv2.imencode(".png", array)[1].tobytes())
        frame = read(path)
        assert (frame.pixels == (pixels[:, :, :1] if name == "gray" else pixels)).all()
        assert name != "rgba" or (frame.alpha == alpha).all()


def test_sixteen_bit_png_with_one_color_transparent(tmp_path):
    pixels = deep()
    for array, key in ((pixels, pixels[3, 3]), (pixels[:, :, 1].copy(), pixels[3, 3, 1:2])):
        raw = cv2.imencode(".png", array[:, :, ::-1] if array.ndim == 3 else array)[1].tobytes()
        body = b"tRNS" + struct.pack(f">{len(key)}H", *key)
        chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        (tmp_path / "a.png").write_bytes(raw[:33] + chunk + raw[33:])
        frame = read(tmp_path / "a.png")
        hidden = (array == key).all(2) if array.ndim == 3 else array == key
        assert (frame.alpha == np.where(hidden, 0, 65535)).all() and hidden.any()
        assert (frame.pixels == array.reshape(60, 90, -1)).all()


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_nothing_is_printed_of_odd_sixteen_bit_files(tmp_path, suffix, capfd):
    path = write(Frame(deep(), meta=Meta(exif=b"II*\0\xff\xff")), tmp_path / f"a{suffix}")
    assert (read(path).pixels == deep()).all()
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ItemError):
        read(path)
    assert capfd.readouterr() == ("", "")


def test_reading_in_two_threads_leaves_the_log_level_of_opencv(tmp_path):
    from stylepipe.media import decode

    before = decode._set_log_level(3)
    try:
        one, two = decode._opencv_silent(), decode._opencv_silent()
        one.__enter__()
        two.__enter__()
        one.__exit__(None, None, None)
        assert decode._set_log_level(0) == 0, "the other still reads"
        two.__exit__(None, None, None)
        assert decode._set_log_level(3) == 3
    finally:
        decode._set_log_level(before)


def test_warnings_are_left_to_the_program():
    import subprocess
    import sys

    code = (
        "import os, warnings, cv2, PIL.Image; os.environ.pop('SVT_LOG', None)\n"
        "before = list(warnings.filters)\n"
        "import stylepipe.media.decode, stylepipe.media.encode\n"
        "from stylepipe.media.video_encode import _quality\n"
        "_quality('libsvtav1', None, 'veryfast')\n"
        "assert [f for f in warnings.filters if f not in before] == []\n"
        "assert 'SVT_LOG' not in os.environ"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_program_keeps_them_quiet():
    import subprocess
    import sys

    code = (
        "import os, sys, warnings; os.environ.pop('SVT_LOG', None); sys.argv = ['x', '--version']\n"
        "from stylepipe.cli.main import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "assert os.environ['SVT_LOG'] == '1'\n"
        "warnings.warn_explicit('odd', UserWarning, 'f', 1, module='PIL.TiffImagePlugin')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""


@pytest.mark.parametrize("order", ["<", ">"])
def test_sixteen_bit_tiff(tmp_path, order):
    path, pixels, alpha = tmp_path / "a.tif", deep(), deep()[:, :, 2] | 1
    path.write_bytes(tiff(pixels, order=order))
    assert (read(path).pixels == pixels).all()
    path.write_bytes(tiff(np.dstack([pixels, alpha]), order=order, tag_338=2))
    frame = read(path)
    assert (frame.pixels == pixels).all() and (frame.alpha == alpha).all()
    path.write_bytes(tiff(np.dstack([pixels, alpha]), order=order, tag_338=0))
    assert read(path).alpha is None
    path.write_bytes(tiff(pixels[:, :, 0], photometric=1, order=order))
    assert (read(path).pixels == pixels[:, :, :1]).all()


def test_tiff_where_zero_is_white(tmp_path):
    gray = deep()[:, :, 0]
    (tmp_path / "a.tif").write_bytes(tiff(gray, photometric=0))
    assert (read(tmp_path / "a.tif").pixels[:, :, 0] == 65535 - gray).all()
    (tmp_path / "b.tif").write_bytes(tiff(photo()[:, :, 0], photometric=0))
    assert (read(tmp_path / "b.tif").pixels[:, :, 0] == 255 - photo()[:, :, 0]).all()


def test_tiff_with_colors_multiplied_by_alpha(tmp_path):
    pixels, alpha = deep(), np.full((60, 90), 32768, np.uint16)
    alpha[0] = 0
    stored = (pixels.astype(np.float64) * alpha[:, :, None] / 65535).round().astype(np.uint16)
    (tmp_path / "a.tif").write_bytes(tiff(np.dstack([stored, alpha]), tag_338=1))
    frame = read(tmp_path / "a.tif")
    assert (frame.alpha == alpha).all()
    assert np.abs(frame.pixels[1:].astype(int) - pixels[1:]).max() <= 2


# -- left to the video reader --------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".avif"])
def test_animations_are_left_to_the_video_reader(tmp_path, suffix):
    frames = [Image.fromarray(np.roll(photo(), 9 * i, 1)) for i in range(3)]
    path = tmp_path / f"a{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100)
    assert probe(path) is None
    frames[0].save(path, save_all=True)
    assert probe(path) is not None


def test_videos_are_left_to_the_video_reader(tmp_path):
    (tmp_path / "a.gif").write_bytes(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(100))
    assert probe(tmp_path / "a.gif") is None


# -- broken files --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"this is no picture\n", "no picture"),
        (bytes(80), "no picture"),
        (b"\x89PNG\r\n\x1a\n" + bytes(72), "PNG file is cut short or damaged"),
        (b"\xff\xd8\xff\xe0", "JPEG file is cut short or damaged"),
        (b"II*\0\xff\xff\xff\xff", "TIFF file is cut short or damaged"),
        (b"GIF89a", "GIF file is cut short or damaged"),
    ],
)
def test_broken_files_are_told(tmp_path, data, words):
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(ItemError, match=words):
        probe(tmp_path / "a.jpg")


def test_unreadable_paths_are_told(tmp_path):
    (tmp_path / "folder.jpg").mkdir()
    for name, words in (("none.jpg", "No such file"), ("folder.jpg", "directory")):
        with pytest.raises(ItemError, match=words):
            probe(tmp_path / name)
    path = write(Frame(photo()), tmp_path / "a.png")
    reader = ImageReader(ImageReader.Options())
    info = reader.probe(path)
    path.unlink()
    with pytest.raises(ItemError, match="No such file"):
        list(reader.frames(item(path), info))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("suffix", ALL)
def test_half_a_file_is_an_error_never_half_a_picture(tmp_path, suffix, bits):
    path = write(Frame(photo() if bits == 8 else deep()), tmp_path / f"a{suffix}")
    data, whole = path.read_bytes(), read(path).pixels
    lengths = {int(len(data) * share) for share in (0.02, 0.2, 0.5, 0.9)} | {len(data) - 14}
    errors = 0
    for length in lengths:
        path.write_bytes(data[:length])
        try:
            pixels = read(path).pixels
        except ItemError:
            errors += 1
        else:
            assert (pixels == whole).all(), f"part of a picture from {length} of {len(data)} bytes"
    assert errors >= 4


@pytest.mark.parametrize("suffix", ALL)
def test_damaged_files_raise_nothing_else(tmp_path, suffix):
    path = write(Frame(photo()), tmp_path / f"a{suffix}")
    data, random = path.read_bytes(), np.random.default_rng(5)
    told = 0
    for _ in range(40):
        broken = bytearray(data)
        for place in random.integers(0, min(400, len(data)), 3):
            broken[place] = random.integers(256)
        path.write_bytes(broken)
        try:
            if probe(path) is not None:
                list(ImageReader(ImageReader.Options()).frames(item(path), probe(path)))
        except ItemError as error:
            told += 1
            assert "\n" not in str(error)
    assert told


def test_more_pixels_than_allowed(tmp_path):
    path = write(Frame(photo(40, 50)), tmp_path / "a.png")
    assert read(path, max_pixels=2000).pixels.shape == (40, 50, 3)
    with pytest.raises(ItemError, match="50x40 pixels, more than the 1,999 allowed"):
        probe(path, max_pixels=1999)


def test_the_limit_is_ours_and_not_pillows(tmp_path, monkeypatch):
    """Pictures of 200 megapixels exist; the limit of other users of Pillow stays as it was."""
    path = write(Frame(photo(40, 50)), tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert read(path).pixels.shape == (40, 50, 3)
    assert Image.MAX_IMAGE_PIXELS == 100
    with pytest.raises(Image.DecompressionBombError):
        Image.open(path)


def test_bomb_is_refused_from_its_header(tmp_path):
    body = b"IHDR" + struct.pack(">2I5B", 30000, 30000, 8, 2, 0, 0, 0)
    header = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    data = struct.pack(">I", 1 << 20) + b"IDAT" + zlib.compress(bytes(1000))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + data)
    with pytest.raises(ItemError, match="30000x30000 pixels, more than the 300,000,000 allowed"):
        probe(tmp_path / "a.png")


def test_heic_without_its_package_says_which(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    with pytest.raises(ItemError, match=r"pip install 'stylepipe\[heic\]'"):
        probe(tmp_path / "a.heic")


def test_nothing_heavy_is_imported_with_the_module():
    import subprocess
    import sys

    code = (
        "import sys, stylepipe.media.images; "
        "print([m for m in ('torch', 'numpy', 'cv2', 'PIL', 'av') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
