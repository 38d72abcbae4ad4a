"""Orientation, EXIF, XMP, resolution and color profiles, on reading."""

import io
import struct
import zlib

import numpy as np
import pytest
from imagefiles import deep, photo, probe, read, tiff, write
from PIL import ExifTags, Image, ImageCms

from stylepipe.media import exif, icc
from stylepipe.types import Frame, Meta

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

P3 = icc.build("Display P3", ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)), icc.SRGB_CURVE)
PROPHOTO = icc.build("ProPhoto", ((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001)), (1.8,))
LINEAR = icc.build("linear", icc.SRGB_PRIMARIES, (1.0,))
MAKER_NOTE = b"maker's own \0\1\2"


def exif_block(orientation: int | None = None, interop: str | None = None) -> bytes:
    """An EXIF block with a camera, a date, a maker note, a size, and a GPS position."""
    block = Image.Exif()
    block[271], block[306] = "Maker", "2024:01:02 03:04:05"
    if orientation is not None:
        block[274] = orientation
    details = block.get_ifd(0x8769)
    details[0x927C], details[0xA001], details[0xA002], details[0xA003] = MAKER_NOTE, 65535, 90, 60
    if interop:
        details[0xA005] = {1: interop}
    block.get_ifd(0x8825)[1] = "N"
    return block.tobytes().removeprefix(b"Exif\0\0")


def tags(block: bytes) -> Image.Exif:
    loaded = Image.Exif()
    loaded.load(b"Exif\0\0" + block)
    return loaded


def stored(upright: np.ndarray, orientation: int) -> np.ndarray:
    """The pixels a camera stores so that ``orientation`` turns them upright (EXIF 2.32, 4.6.4)."""
    first_row_is_left, by_orientation = (
        upright.swapaxes(0, 1),
        {
            1: upright,
            2: upright[:, ::-1],
            3: upright[::-1, ::-1],
            4: upright[::-1],
        },
    )
    by_orientation |= {
        5: first_row_is_left,
        6: first_row_is_left[::-1],
        7: first_row_is_left[::-1, ::-1],
        8: first_row_is_left[:, ::-1],
    }
    return np.ascontiguousarray(by_orientation[orientation])


# -- orientation and EXIF ------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".jpg"])
def test_orientation_is_applied_once_and_gone(tmp_path, suffix, orientation):
    path = tmp_path / f"a{suffix}"
    rgba = np.dstack([photo(), photo()[:, :, 1]])
    pixels = stored(photo() if suffix == ".jpg" else rgba, orientation)
    options = {"lossless": True, "exact": True} if suffix == ".webp" else {}
    block = b"Exif\0\0" + exif_block(orientation)
    Image.fromarray(pixels).save(path, exif=block, dpi=(300, 200), quality=95, **options)
    frame = read(path)
    assert np.abs(frame.pixels.astype(int) - photo()).mean() < (2 if suffix == ".jpg" else 0.01)
    assert suffix == ".jpg" or (frame.alpha == photo()[:, :, 1]).all()
    assert exif.orientation(frame.meta.exif) == 1
    kept = tags(frame.meta.exif)
    assert kept.get(274, 1) == 1 and kept[271] == "Maker" and kept[306] == "2024:01:02 03:04:05"
    assert kept.get_ifd(0x8769)[0x927C] == MAKER_NOTE and kept.get_ifd(0x8825)[1] == "N"
    if suffix != ".tif":  # where Pillow leaves the resolution unturned with its pixels
        turned = (200, 300) if orientation > 4 else (300, 200)
        assert frame.meta.dpi is None or np.allclose(frame.meta.dpi, turned, atol=0.01)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".avif", ".heic"])
def test_orientation_of_containers_that_turn_themselves(tmp_path, suffix, orientation):
    """There the turn stands outside the EXIF block (irot, imir)."""
    if suffix == ".heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
    path = tmp_path / f"a{suffix}"
    block = b"Exif\0\0" + exif_block(orientation)
    Image.fromarray(stored(photo(64, 96), orientation)).save(path, exif=block, quality=95)
    frame = read(path)
    assert np.abs(frame.pixels.astype(int) - photo(64, 96)).mean() < 4
    assert exif.orientation(frame.meta.exif) == 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_sixteen_bit_tiff(tmp_path, orientation):
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(stored(deep(), orientation), tag_274=orientation))
    assert (read(path).pixels == deep()).all()


def test_orientation_that_makes_no_sense_is_ignored(tmp_path):
    for value in (0, 9, 65535):
        Image.fromarray(photo()).save(tmp_path / "a.png", exif=exif_block(value))
        assert (read(tmp_path / "a.png").pixels == photo()).all()


def test_pixel_size_in_exif_follows_the_turn(tmp_path):
    pixels = stored(photo(), 6)
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif_block(6))
    details = tags(read(tmp_path / "a.png").meta.exif).get_ifd(0x8769)
    assert (details[0xA002], details[0xA003]) == (90, 60)


def test_only_the_touched_bytes_of_exif_change():
    block = exif_block(6)
    edited = exif.upright(block, 90, 60, srgb=False)
    assert len(edited) == len(block)
    assert sum(a != b for a, b in zip(block, edited, strict=True)) == 1


def test_thumbnail_of_the_old_picture_is_dropped(tmp_path):
    small = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(small, "JPEG")
    thumbnail = small.getvalue()
    main = b"MM\0*" + struct.pack(">I", 8) + struct.pack(">HHHIHHI", 1, 274, 3, 1, 6, 0, 26)
    second = struct.pack(">HHHIIHHIII", 2, 0x201, 4, 1, 56, 0x202, 4, 1, len(thumbnail), 0)
    block = main + second + thumbnail
    assert tags(block).get_ifd(ExifTags.IFD.IFD1), "the test's own block has a thumbnail"
    edited = exif.upright(block, 5, 5, srgb=False)
    assert thumbnail not in edited and not tags(edited).get_ifd(ExifTags.IFD.IFD1)
    assert exif.orientation(edited) == 1


def test_bad_exif_never_costs_the_picture(tmp_path):
    good, random = exif_block(6), np.random.default_rng(3)
    blocks = [b"", b"junk", b"II*\0", b"MM\0*\xff\xff\xff\xff", good[:20], good[:-30]]
    for _ in range(25):
        block = bytearray(good)
        for place in random.integers(4, len(block), 6):
            block[place] = random.integers(256)
        blocks.append(bytes(block))
    jpeg = io.BytesIO()
    Image.fromarray(photo()).save(jpeg, "JPEG")
    body = jpeg.getvalue()
    for block in blocks:
        segment = b"\xff\xe1" + struct.pack(">H", len(block) + 8) + b"Exif\0\0" + block
        (tmp_path / "a.jpg").write_bytes(body[:2] + segment + body[2:])
        frame = read(tmp_path / "a.jpg")
        for suffix in (".jpg", ".png", ".webp", ".tif", ".avif"):
            again = read(write(frame, tmp_path / f"b{suffix}"))
            assert again.pixels.shape == frame.pixels.shape


def test_exif_as_imagemagick_writes_it(tmp_path):
    block = exif_block(3)
    text = f"\nexif\n{len(block):8}\n" + block.hex()
    body = b"zTXt" + b"Raw profile type exif\0\0" + zlib.compress(text.encode())
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    plain = io.BytesIO()
    Image.fromarray(stored(photo(), 3)).save(plain, "PNG")
    raw = plain.getvalue()
    (tmp_path / "a.png").write_bytes(raw[:33] + chunk + raw[33:])
    frame = read(tmp_path / "a.png")
    assert (frame.pixels == photo()).all() and tags(frame.meta.exif)[271] == "Maker"


def test_orientation_in_xmp_follows(tmp_path):
    xmp = b'<x:xmpmeta><d tiff:Orientation="6" dc:title="a"/><tiff:Orientation>6</tiff:Orientation>'
    Image.fromarray(stored(photo(), 6)).save(tmp_path / "a.webp", exif=exif_block(6), xmp=xmp)
    assert read(tmp_path / "a.webp").meta.xmp == xmp.replace(b'"6"', b'"1"').replace(b">6<", b">1<")
    Image.fromarray(photo()).save(tmp_path / "b.webp", xmp=xmp)
    assert read(tmp_path / "b.webp").meta.xmp == xmp, "not turned, so not touched"


def test_orientation_in_xmp_follows_where_the_decoder_turns(tmp_path):
    xmp = b'<x:xmpmeta><d tiff:Orientation="6"/>'
    path = tmp_path / "a.avif"
    Image.fromarray(stored(photo(64, 96), 6)).save(path, exif=exif_block(6), xmp=xmp)
    assert read(path).meta.xmp == xmp.replace(b"6", b"1")
    (tmp_path / "a.tif").write_bytes(tiff(stored(photo(), 6), tag_274=6, tag_700=xmp))
    assert read(tmp_path / "a.tif").meta.xmp == xmp.replace(b"6", b"1")


@pytest.mark.parametrize(("turn", "dpi"), [(1, (300, 150)), (3, (300, 150)), (6, (150, 300))])
def test_resolution_of_a_turned_tiff_follows(tmp_path, turn, dpi):
    path = tmp_path / "a.tif"
    path.write_bytes(
        tiff(stored(photo(), turn), tag_274=turn, tag_282=300.0, tag_283=150.0, tag_296=2)
    )
    assert read(path).meta.dpi == dpi
    assert probe(path).details["dpi"] == "{}x{}".format(*dpi)


def test_resolution(tmp_path):
    for suffix in (".jpg", ".png", ".tif", ".bmp"):
        Image.fromarray(photo()).save(tmp_path / f"a{suffix}", dpi=(300, 150))
        assert np.allclose(read(tmp_path / f"a{suffix}").meta.dpi, (300, 150), atol=0.02)
        Image.fromarray(photo()).save(tmp_path / f"b{suffix}")
        if suffix != ".bmp":
            assert read(tmp_path / f"b{suffix}").meta.dpi is None


# -- color --------------------------------------------------------------------------------


def converted(pixels: np.ndarray, profile: bytes) -> np.ndarray:
    """sRGB pixels as a file of ``profile`` stores them; by LittleCMS."""
    return np.asarray(
        ImageCms.profileToProfile(
            Image.fromarray(pixels),
            ImageCms.ImageCmsProfile(io.BytesIO(icc.srgb())),
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        )
    )


@pytest.mark.parametrize(
    "profile", [P3, icc.adobe_rgb(), PROPHOTO], ids=["P3", "Adobe", "ProPhoto"]
)
def test_wide_gamut_becomes_srgb(tmp_path, profile):
    pixels = converted(photo(), profile)
    assert np.abs(pixels.astype(int) - photo()).mean() > 3, "the profile makes a difference"
    best = {"quality": 100, "subsampling": 0}
    for name, options in (("a.png", {}), ("a.jpg", best), ("a.tif", {})):
        Image.fromarray(pixels).save(tmp_path / name, icc_profile=profile, **options)
        frame = read(tmp_path / name)
        assert np.abs(frame.pixels.astype(int) - photo()).mean() < 1.5
        assert frame.meta.icc == icc.srgb()
    assert probe(tmp_path / "a.png").details["profile"] == icc.describe(profile)


@pytest.mark.parametrize("profile", [P3, icc.adobe_rgb(), LINEAR], ids=["P3", "Adobe", "linear"])
def test_sixteen_bits_are_converted_in_sixteen_bits(tmp_path, profile):
    pixels = converted(photo(), profile).astype(np.uint16) * 257
    path = write(Frame(pixels, meta=Meta(icc=profile)), tmp_path / "a.png")
    frame = read(path)
    error = np.abs(frame.pixels / 257 - photo())
    assert error.mean() < (3 if profile is LINEAR else 1)  # what storing in eight bits had lost
    assert len(np.unique(frame.pixels & 255)) > 100, "not just eight bits widened"
    assert frame.meta.icc == icc.srgb()


def test_sixteen_bit_conversion_agrees_with_littlecms():
    colors = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    for profile in (P3, icc.adobe_rgb(), PROPHOTO, icc.build("g", icc.SRGB_PRIMARIES, (2.2,))):
        eight = icc.to_srgb(colors, profile).pixels
        sixteen = icc.to_srgb(colors.astype(np.uint16) * 257, profile).pixels
        assert np.abs(eight - sixteen / 257).max() < 1.0


def test_every_kind_of_tone_curve():
    """ICC.1:2022, 10.18, against its formulas."""
    x = np.linspace(0, 1, 101)

    def para(kind: int, *numbers: float) -> np.ndarray:
        fixed = struct.pack(f">{len(numbers)}i", *(round(n * 65536) for n in numbers))
        return icc._curve(b"para\0\0\0\0" + struct.pack(">2H", kind, 0) + fixed)(x)

    g, a, b, c, d, e, f = 2.0, 0.75, 0.25, 0.125, 0.5, 0.0625, 0.03125
    power = (a * x + b) ** g
    assert np.allclose(para(0, g), x**g, atol=1e-4)
    assert np.allclose(para(1, g, a, -b), np.where(x >= b / a, (a * x - b) ** g, 0), atol=1e-4)
    assert np.allclose(
        para(2, g, a, -b, c), np.where(x >= b / a, (a * x - b) ** g + c, c), atol=1e-4
    )
    assert np.allclose(para(3, g, a, b, c, d), np.where(x >= d, power, c * x), atol=1e-4)
    assert np.allclose(
        para(4, g, a, b, c, d, e, f), np.where(x >= d, power + e, c * x + f), atol=1e-4
    )
    table = b"curv\0\0\0\0" + struct.pack(">I3H", 3, 0, 16384, 65535)
    assert np.allclose(icc._curve(table)([0, 0.25, 0.5, 1]), [0, 0.125, 0.25, 1], atol=1e-4)
    assert np.allclose(icc._curve(b"curv\0\0\0\0" + struct.pack(">I", 0))(x), x)
    with pytest.raises(ValueError, match="type 9"):
        para(9, 1.0)


def test_srgb_profiles_and_pixels_are_left_alone(tmp_path):
    foreign = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (foreign, icc.srgb()):
        for pixels in (photo(), deep()):
            path = write(Frame(pixels, meta=Meta(icc=profile)), tmp_path / "a.png")
            frame = read(path)
            assert (frame.pixels == pixels).all() and frame.meta.icc == profile


def test_adobe_rgb_as_cameras_mark_it(tmp_path):
    pixels = converted(photo(), icc.adobe_rgb())
    block = exif_block(interop="R03")
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=block)
    frame = read(tmp_path / "a.png")
    assert np.abs(frame.pixels.astype(int) - photo()).mean() < 1.5
    assert frame.meta.icc == icc.srgb()
    assert not exif.is_adobe_rgb(frame.meta.exif)
    assert tags(frame.meta.exif).get_ifd(0x8769)[0xA001] == 1
    assert "Adobe RGB" in probe(tmp_path / "a.png").details["profile"]


@pytest.mark.parametrize("profile", [b"", b"junk", icc.srgb()[:200], P3[:140] + bytes(400)])
def test_broken_profiles_are_ignored(tmp_path, profile):
    Image.fromarray(photo()).save(tmp_path / "a.png", icc_profile=profile)
    assert (read(tmp_path / "a.png").pixels == photo()).all()
    path = write(Frame(deep(), meta=Meta(icc=profile)), tmp_path / "b.png")
    assert (read(path).pixels == deep()).all()


def test_gray_with_profiles(tmp_path):
    gray = np.tile(np.arange(256, dtype=np.uint8), (4, 1))
    Image.fromarray(gray).save(tmp_path / "a.png", icc_profile=icc.srgb())
    frame = read(tmp_path / "a.png")
    assert (frame.pixels == gray[:, :, None]).all() and frame.meta.icc == icc.srgb()

    own = gray_profile(gamma=1.0)
    Image.fromarray(gray).save(tmp_path / "b.png", icc_profile=own)
    frame = read(tmp_path / "b.png")
    linear = gray / 255
    curved = 1.055 * linear ** (1 / 2.4) - 0.055
    expected = 255 * np.where(linear <= 0.0031308, 12.92 * linear, curved)
    assert np.abs(frame.pixels - expected[:, :, None]).max() < 0.6
    assert icc.is_srgb(frame.meta.icc)
    deeper = icc.to_srgb(gray.astype(np.uint16) * 257, own)
    assert np.abs(deeper.pixels / 257 - expected[:, :, None]).max() < 0.6


def gray_profile(gamma: float) -> bytes:
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    return _profile(b"mntr", b"GRAY", b"XYZ ", [(b"kTRC", curve)])


def cmyk_profile() -> bytes:
    """Inks of a printer whose 16 corners have colors of our choice, in Lab (ICC lut16)."""
    corners = [
        (100 * (1 - k) * (1 - 0.2 * (c + m + y)), 60 * (m - c), 60 * (y - c))
        for c in (0, 1)
        for m in (0, 1)
        for y in (0, 1)
        for k in (0, 1)
    ]
    lab = [(v[0] * 652.8, (v[1] + 128) * 256, (v[2] + 128) * 256) for v in corners]
    ramp = struct.pack(">2H", 0, 65535)
    table = b"".join(struct.pack(">3H", *(round(n) for n in v)) for v in lab)
    identity = struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
    lut = b"mft2\0\0\0\0" + bytes([4, 3, 2, 0]) + identity + struct.pack(">2H", 2, 2)
    lut += ramp * 4 + table + ramp * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", [(b"A2B0", lut)])


def _profile(kind: bytes, space: bytes, pcs: bytes, own: list[tuple[bytes, bytes]]) -> bytes:
    words = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(79)
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    entries = [(b"desc", words), (b"cprt", b"text\0\0\0\0none\0"), (b"wtpt", white), *own]
    table, body, at = b"", b"", 132 + 12 * len(entries)
    for name, data in entries:
        table += struct.pack(">4s2I", name, at + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = struct.pack(
        ">I4sI4s4s4s12s4s28s12s48s",
        at + len(body),
        bytes(4),
        0x02400000,
        kind,
        space,
        pcs,
        bytes(12),
        b"acsp",
        bytes(28),
        struct.pack(">3i", 63190, 65536, 54061),
        bytes(48),
    )
    return header + struct.pack(">I", len(entries)) + table + body


def test_cmyk_without_profile_is_mixed_as_ideal_inks(tmp_path):
    Image.fromarray(photo()).convert("CMYK").save(tmp_path / "a.jpg", quality=100, subsampling=0)
    Image.fromarray(photo()).convert("CMYK").save(tmp_path / "a.tif")
    for name, worst in (("a.jpg", 2.0), ("a.tif", 0.0)):
        frame = read(tmp_path / name)
        assert np.abs(frame.pixels.astype(int) - photo()).mean() <= worst
        assert frame.meta.icc is None and probe(tmp_path / name).details["cmyk"]


def test_cmyk_with_profile_goes_through_it(tmp_path):
    profile = cmyk_profile()
    inks = np.zeros((1, 4, 4), np.uint8)
    inks[0, 1, 0] = inks[0, 2, 1] = inks[0, 3, 3] = 255  # paper, cyan, magenta, black
    lab = [(100, 0, 0), (80, -60, -60), (80, 60, 0), (0, 0, 0)]
    for name in ("a.tif", "a.jpg"):
        big = Image.frombytes("CMYK", (4, 1), inks.tobytes()).resize((64, 16), Image.Resampling.BOX)
        big.save(tmp_path / name, icc_profile=profile, quality=100)
        frame = read(tmp_path / name)
        assert frame.meta.icc == icc.srgb()
        for i, (lightness, a, b) in enumerate(lab):
            red, green, blue = (int(v) for v in frame.pixels[8, 16 * i + 8])
            if a == b == 0:
                assert max(red, green, blue) - min(red, green, blue) <= 3
                assert abs(red - 255 * lightness / 100) <= 3
            else:
                assert (blue - red > 60) if a < 0 else (red - green > 60)


def test_color_tables_of_sixteen_bits_keep_values_and_profile(tmp_path):
    profile = P3.replace(b"rTRC", b"A2B0")
    frame = read(write(Frame(deep(), meta=Meta(icc=profile)), tmp_path / "a.png"))
    assert (frame.pixels == deep()).all() and frame.meta.icc == profile


def test_made_profiles_are_the_same_every_time_and_valid():
    icc.srgb.cache_clear()
    first = icc.srgb()
    icc.srgb.cache_clear()
    assert icc.srgb() == first
    names = {first: "sRGB", icc.adobe_rgb(): "Adobe RGB (1998)", P3: "Display P3"}
    for profile, name in names.items():
        assert icc.describe(profile) == name
        assert int.from_bytes(profile[:4], "big") == len(profile)
    reference = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).profile
    ours = ImageCms.ImageCmsProfile(io.BytesIO(first)).profile
    for color in ("red", "green", "blue"):
        expected, got = (getattr(p, f"{color}_colorant")[0] for p in (reference, ours))
        assert np.allclose(expected, got, atol=2e-4)
    assert icc.is_srgb(first) and not icc.is_srgb(P3) and not icc.is_srgb(b"junk")
