"""Colors of other spaces than sRGB: painted in sRGB, written back in their own, or told."""

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from imagefiles import deep, loaded, photo, png, read, through, write
from PIL import Image, ImageCms

from stylepipe.cli import main
from stylepipe.media import exif, icc
from stylepipe.types import Original

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

POSTERIZE = str(Path(__file__).parents[1] / "examples" / "posterize.py")
P3_PRIMARIES = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
P3 = icc.build("Display P3", P3_PRIMARIES, icc.SRGB_CURVE)
PROPHOTO = icc.build("ProPhoto", ((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001)), (1.8,))
WIDE = {"P3": P3, "Adobe": icc.adobe_rgb(), "ProPhoto": PROPHOTO}
wide = pytest.mark.parametrize("profile", WIDE.values(), ids=WIDE.keys())
depths = pytest.mark.parametrize("bits", [8, 16])


def pixels_of(bits: int) -> np.ndarray:
    return photo() if bits == 8 else deep()


def stored(path: Path, pixels: np.ndarray, profile: bytes) -> Path:
    """A PNG that holds the values as they are, tagged with the profile."""
    body = b"p\0\0" + zlib.compress(profile)
    path.write_bytes(png((b"iCCP", body), pixels=pixels))
    return path


def raw_values(path: Path) -> np.ndarray:
    """What is in the file, without color management."""
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)[:, :, ::-1]


# -- kept ----------------------------------------------------------------------------------


@wide
@depths
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_what_is_not_painted_comes_back_bit_for_bit(tmp_path, profile, bits, suffix):
    """Colors beyond sRGB, too: the red corner of the photo is one."""
    pixels = pixels_of(bits)
    source = stored(tmp_path / "a.png", pixels, profile)
    assert through(source, tmp_path / f"b{suffix}") == []
    assert (raw_values(tmp_path / f"b{suffix}") == pixels).all()
    assert loaded(tmp_path / f"b{suffix}").info["icc_profile"] == profile


@wide
@depths
def test_what_is_painted_shows_the_painted_colors(tmp_path, profile, bits):
    frame = read(stored(tmp_path / "a.png", pixels_of(bits), profile))
    white = frame.white
    frame.pixels = white - frame.pixels[::-1].copy()
    frame.pixels[:20] = white // 3
    again = read(write(frame, tmp_path / "b.png"))
    far = np.abs(frame.pixels.astype(int) - icc.to_srgb(pixels_of(bits), profile).pixels).max(2)
    painted = far > 0.13 * white
    error = np.abs(again.pixels.astype(int) - frame.pixels)[painted] / white
    assert painted.mean() > 0.5 and error.mean() < 0.003 and error.max() < 0.08
    assert again.meta.original.icc == profile


def test_between_painted_and_not_there_is_no_edge():
    red = np.full((1, 200, 3), (255, 0, 0), np.uint8)  # of Display P3, beyond sRGB
    base = icc.to_srgb(red, P3).pixels.astype(int)
    painted = (base + np.arange(200)[None, :, None] // 2 * np.array([-1, 1, 1])).clip(0, 255)
    back = icc.from_srgb(painted.astype(np.uint8), Original(P3, red)).astype(int)
    assert (back[0, 0] == red[0, 0]).all()
    assert np.abs(np.diff(back, axis=1)).max() <= 4


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".avif", ".tif"])
def test_every_format_with_a_place_for_it_is_tagged(tmp_path, suffix):
    source = stored(tmp_path / "a.png", photo(), P3)
    assert through(source, tmp_path / f"b{suffix}") == []
    result = loaded(tmp_path / f"b{suffix}")
    assert result.info["icc_profile"] == P3
    assert np.abs(np.asarray(result.convert("RGB")).astype(int) - photo()).mean() < 4


@pytest.mark.parametrize("suffix", [".bmp", ".gif"])
def test_formats_without_a_place_get_srgb_and_tell(tmp_path, suffix):
    source = stored(tmp_path / "a.png", np.full((9, 9, 3), (200, 60, 40), np.uint8), P3)
    (line,) = through(source, tmp_path / f"b{suffix}")
    assert line.endswith("its color profile (Display P3; sRGB is written)")
    shown = read(tmp_path / f"b{suffix}").pixels
    assert (shown == read(source).pixels).all() and shown[0, 0, 0] > 210


def test_srgb_for_all_by_option(tmp_path):
    source = stored(tmp_path / "a.png", photo(), P3)
    assert through(source, tmp_path / "b.png", profile="srgb") == []
    assert (raw_values(tmp_path / "b.png") == read(source).pixels).all()
    assert loaded(tmp_path / "b.png").info["icc_profile"] == icc.srgb()


def test_the_mask_keeps_wide_colors_in_a_run(tmp_path):
    pytest.importorskip("torch")
    pixels = photo()
    pixels[:, 45:] = (0, 255, 0)
    stored(tmp_path / "a.png", pixels, P3)
    mask = np.zeros((60, 90), np.uint8)
    mask[:, :45] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    job = ["posterize", str(tmp_path / "a.png"), "-o", str(tmp_path / "b.png")]
    assert main.run([*job, "--mask", str(tmp_path / "m.png"), "--plugin", POSTERIZE]) == 0
    result = raw_values(tmp_path / "b.png")
    assert (result[:, 46:] == (0, 255, 0)).all() and (result[:, :40] != pixels[:, :40]).any()
    assert loaded(tmp_path / "b.png").info["icc_profile"] == P3


def test_the_orientation_is_applied_to_the_kept_colors(tmp_path):
    block = Image.Exif()
    block[274] = 6
    Image.fromarray(photo()).save(tmp_path / "a.png", icc_profile=P3, exif=block.tobytes())
    through(tmp_path / "a.png", tmp_path / "b.png")
    assert (raw_values(tmp_path / "b.png") == np.rot90(photo(), -1)).all()


def test_the_original_counts_as_memory(tmp_path):
    frame = read(stored(tmp_path / "a.png", photo(), P3))
    assert frame.nbytes == 2 * photo().nbytes


# -- what EXIF and XMP say of colors -------------------------------------------------------


def adobe_exif() -> bytes:
    block = Image.Exif()
    details = block.get_ifd(0x8769)
    details[0xA001], details[0xA005] = 65535, {1: "R03"}
    return block.tobytes()


@pytest.mark.parametrize("keep", [True, False])
def test_adobe_rgb_by_exif_alone(tmp_path, keep):
    Image.fromarray(photo()).save(tmp_path / "a.png", exif=adobe_exif())
    through(tmp_path / "a.png", tmp_path / "b.png", profile="keep" if keep else "srgb")
    result = loaded(tmp_path / "b.png")
    assert result.info["icc_profile"] == (icc.adobe_rgb() if keep else icc.srgb())
    assert exif.is_adobe_rgb(result.info["exif"].removeprefix(b"Exif\0\0")) is keep
    assert result.getexif().get_ifd(0x8769)[0xA001] == (65535 if keep else 1)
    assert (raw_values(tmp_path / "b.png") == photo()).all() is np.bool_(keep)


@pytest.mark.parametrize("keep", [True, False])
def test_the_name_of_the_profile_in_xmp_goes_with_it(tmp_path, keep):
    packet = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
        b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
        b'xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" photoshop:ICCProfile="Display P3" '
        b'photoshop:City="Oslo"/></rdf:RDF></x:xmpmeta>'
    )
    Image.fromarray(photo()).save(tmp_path / "a.webp", icc_profile=P3, xmp=packet, lossless=True)
    through(tmp_path / "a.webp", tmp_path / "b.webp", profile="keep" if keep else "srgb")
    kept = read(tmp_path / "b.webp").meta.xmp
    assert (b"ICCProfile" in kept) is keep and b'photoshop:City="Oslo"' in kept


# -- colors told by numbers ----------------------------------------------------------------


def cicp(primaries: int, transfer: int, matrix: int = 0, full: int = 1) -> tuple[bytes, bytes]:
    return b"cICP", bytes([primaries, transfer, matrix, full])


def gamma(value: float) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", round(value * 100_000))


def chroma(primaries: tuple[tuple[float, float], ...]) -> tuple[bytes, bytes]:
    xy = [v for pair in ((0.3127, 0.3290), *primaries) for v in pair]
    return b"cHRM", struct.pack(">8I", *(round(v * 100_000) for v in xy))


ADOBE = icc.build("Adobe", icc.ADOBE_PRIMARIES, (1 / 0.45455,))
NUMBERS = {
    "cICP P3": ([cicp(12, 13)], P3),
    "cICP sRGB": ([cicp(1, 13)], None),
    "cICP of television": ([cicp(1, 1)], None),
    "cICP BT.2020, linear": (
        [cicp(9, 8)],
        icc.build("x", ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)), (1.0,)),
    ),
    "cICP before gAMA": ([cicp(12, 13), gamma(1.0)], P3),
    "gamma 1/2.2": ([gamma(0.45455)], None),
    "gamma 1": ([gamma(1.0)], icc.build("x", icc.SRGB_PRIMARIES, (1.0,))),
    "Adobe's primaries": ([gamma(0.45455), chroma(icc.ADOBE_PRIMARIES)], ADOBE),
    "P3's primaries": ([chroma(P3_PRIMARIES)], P3),
    "sRGB's primaries": ([gamma(0.45455), chroma(icc.SRGB_PRIMARIES)], None),
    "sRGB before gAMA": ([(b"sRGB", b"\0"), gamma(1.0)], None),
}


@depths
@pytest.mark.parametrize("name", NUMBERS)
def test_colors_told_by_chunks_of_a_png(tmp_path, name, bits):
    chunks, profile = NUMBERS[name]
    pixels = pixels_of(bits)
    (tmp_path / "a.png").write_bytes(png(*chunks, pixels=pixels))
    frame = read(tmp_path / "a.png")
    expected = icc.to_srgb(pixels, profile).pixels
    assert np.abs(frame.pixels.astype(int) - expected).max() <= frame.white * 0.008
    assert (frame.meta.original is None) is (profile is None)
    assert through(tmp_path / "a.png", tmp_path / "b.png") == []
    assert (raw_values(tmp_path / "b.png") == pixels).all()


def test_cicp_comes_before_a_profile(tmp_path):
    body = (b"iCCP", b"p\0\0" + zlib.compress(PROPHOTO))
    (tmp_path / "a.png").write_bytes(png(body, cicp(1, 13)))
    assert (read(tmp_path / "a.png").pixels == photo()).all()
    (tmp_path / "a.png").write_bytes(png(body, cicp(9, 16)))
    meta = read(tmp_path / "a.png").meta
    assert meta.original.icc == PROPHOTO and not meta.lost, "one that cannot be honored gives way"


@pytest.mark.parametrize(
    ("chunk", "told"),
    [
        (cicp(9, 16), "brightness of HDR (PQ)"),
        (cicp(9, 18), "brightness of HDR (HLG)"),
        (cicp(77, 13), "unknown color space (77/13)"),
        (cicp(1, 99), "unknown color space (1/99)"),
        (cicp(1, 13, 0, 0), "limited range"),
        (gamma(0), "make no sense"),
        ((b"cHRM", bytes(32)), "make no sense"),
        (chroma(((0.3, 0.3), (0.4, 0.4), (0.5, 0.5))), "make no sense"),
    ],
)
def test_colors_that_cannot_be_honored_are_told(tmp_path, chunk, told):
    (tmp_path / "a.png").write_bytes(png(chunk))
    assert (read(tmp_path / "a.png").pixels == photo()).all()
    (line,) = through(tmp_path / "a.png", tmp_path / "b.png")
    assert line.startswith("a.png: left out in reading: ") and told in line


@pytest.mark.parametrize(("pair", "told"), [((12, 13), None), ((9, 16), "HDR (PQ)")])
def test_colors_told_by_the_box_of_an_avif(tmp_path, pair, told):
    plain = io.BytesIO()
    Image.fromarray(photo(64, 96)).save(plain, "AVIF", quality=95)
    data = bytearray(plain.getvalue())
    at = data.index(b"colrnclx") + 8
    data[at : at + 4] = struct.pack(">2H", *pair)
    (tmp_path / "a.avif").write_bytes(data)
    lines = through(tmp_path / "a.avif", tmp_path / "b.png")
    assert len(lines) == bool(told) and (not told or told in lines[0])
    if not told:
        shown = loaded(tmp_path / "b.png").info["icc_profile"]
        assert icc.describe(shown) == "Display P3"


# -- profiles that do not come back ---------------------------------------------------------


def gray_profile() -> bytes:
    """A gamma of 1.8 for gray, in a minimal profile."""
    words = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(79)
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, 461) + b"\0\0"
    entries = [
        (b"desc", words),
        (b"cprt", b"text\0\0\0\0none\0"),
        (b"wtpt", white),
        (b"kTRC", curve),
    ]
    table, body, at = b"", b"", 132 + 12 * len(entries)
    for name, data in entries:
        table += struct.pack(">4s2I", name, at + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = struct.pack(
        ">I4sI4s4s4s12s4s28s12s48s",
        at + len(body),
        bytes(4),
        0x02400000,
        b"mntr",
        b"GRAY",
        b"XYZ ",
        bytes(12),
        b"acsp",
        bytes(28),
        struct.pack(">3i", 63190, 65536, 54061),
        bytes(48),
    )
    return header + struct.pack(">I", len(entries)) + table + body


def test_profiles_that_do_not_come_back_are_told(tmp_path):
    gray = Image.fromarray(photo()).convert("L")
    gray.save(tmp_path / "gray.png", icc_profile=gray_profile())
    Image.fromarray(photo()).convert("CMYK").save(tmp_path / "inks.jpg")
    Image.fromarray(photo()).save(tmp_path / "broken.png", icc_profile=P3[:140] + bytes(400))
    for name, told in (
        ("gray.png", "the profile of a gray picture, as the result has colors"),
        ("inks.jpg", "CMYK inks, which become sRGB"),
        ("broken.png", "a color profile that is damaged or does not fit"),
    ):
        lines = through(tmp_path / name, tmp_path / f"out{Path(name).suffix}")
        assert lines == [f"{name}: left out in reading: {told}"]


def test_a_profile_that_leads_one_way_only_is_told(tmp_path, monkeypatch):
    """As those of scanners do, which are tables into Lab alone."""
    real = ImageCms.buildTransform

    def one_way(source, target, *rest):
        if ImageCms.getProfileDescription(target).strip() == "Display P3":
            raise ImageCms.PyCMSError("no table for this direction")
        return real(source, target, *rest)

    icc._between.cache_clear()
    monkeypatch.setattr(ImageCms, "buildTransform", one_way)
    (line,) = through(stored(tmp_path / "a.png", photo(), P3), tmp_path / "b.png")
    assert line.endswith("its color profile (Display P3; sRGB is written)")
    assert loaded(tmp_path / "b.png").info["icc_profile"] == icc.srgb()
    icc._between.cache_clear()


def test_the_profile_of_a_lab_picture_is_not_said_to_be_lost(tmp_path):
    picture = Image.fromarray(photo())
    picture.convert("LAB").save(tmp_path / "a.tif")
    with Image.open(tmp_path / "a.tif") as saved:
        assert saved.mode == "LAB" and saved.info["icc_profile"][16:20] == b"Lab "
    frame = read(tmp_path / "a.tif")
    assert frame.meta.lost == () and frame.meta.icc is None
    assert np.abs(frame.pixels.astype(int) - photo()).mean() < 3
