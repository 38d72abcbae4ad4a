"""Real and ugly files of the development data: what each must become, or why it is refused."""

import io
from pathlib import Path

import numpy as np
import pytest
from imagefiles import loaded, probe, read, write
from PIL import Image, ImageCms

from stylepipe.errors import ItemError
from stylepipe.media import exif, icc

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

# name: width, height, depth, alpha, details that must be there
GOOD = {
    "1.webp": (550, 368, 8, False, {}),
    "alpha.png": (200, 150, 8, True, {}),
    "alpha.webp": (200, 150, 8, True, {}),
    "avif_orientation6.avif": (3024, 4032, 8, False, {"profile": "Display P3"}),
    "avif_rot1mir0.avif": (640, 427, 8, False, {"orientation": 5}),
    "cmyk_100px.jpg": (100, 100, 8, False, {"cmyk": True}),
    "derived_cmyk_481x321.jpg": (481, 321, 8, False, {"cmyk": True}),
    "derived_display_p3_tagged.jpg": (481, 321, 8, False, {"profile": "Display P3"}),
    "derived_gray_481x321.jpg": (481, 321, 8, False, {"gray": True}),
    "derived_png_content.jpg": (128, 128, 8, False, {}),
    "derived_rgb16.png": (481, 321, 16, False, {}),
    "derived_strip_2000x20.png": (2000, 20, 8, False, {}),
    "derived_tiny_37x23.png": (37, 23, 8, False, {}),
    "display_p3_tiny.mpo": (
        56,
        70,
        8,
        False,
        {"profile": "Display P3", "pictures": "the first of 2"},
    ),
    "exif/Landscape_0.jpg": (1800, 1200, 8, False, {}),
    "exif/Landscape_1.jpg": (1800, 1200, 8, False, {}),
    **{
        f"exif/Landscape_{turn}.jpg": (1800, 1200, 8, False, {"orientation": turn})
        for turn in (2, 3, 4, 5, 6, 8)
    },
    "exif/Portrait_1.jpg": (1200, 1800, 8, False, {}),
    "exif/Portrait_6.jpg": (1200, 1800, 8, False, {"orientation": 6}),
    "exif_orientation.png": (512, 512, 8, False, {"orientation": 3}),
    "flower2.webp": (300, 225, 8, False, {"profile": "sRGB IEC61966-2.1"}),
    "gray16_640x512.tiff": (640, 512, 16, False, {"gray": True}),
    "hopper.avif": (128, 128, 8, False, {}),
    "hopper.png": (128, 128, 8, False, {}),
    "icc_profile_big.jpg": (425, 250, 8, False, {"profile": "TIFF RGB"}),
    "indexed.png": (290, 442, 8, False, {"palette": True}),
    "palette.png": (162, 150, 8, True, {"palette": True}),
    "rgba.png": (128, 128, 8, True, {}),
    "sample_png.png": (290, 442, 16, False, {}),
    "trns_1bit.png": (64, 64, 8, True, {"gray": True}),
}
BAD = {
    "bad_exif.jpg": "JPEG file is cut short or damaged: its data is torn",
    "bomb_17000x17000.avif": "larger than the 268 megapixels",
    "broken_80bytes.png": "PNG file is cut short or damaged",
    "decompression_bomb.gif": "claims 65535x66601 pixels",
    "derived_empty.png": "the file is empty",
    "derived_not_an_image.jpg": "the file is no picture",
    "derived_truncated_half.jpg": "JPEG file is cut short or damaged",
    "truncated_640x480.png": "PNG file is cut short or damaged",
    "truncated_pillow.jpg": "JPEG file is cut short or damaged",
}
MOVING = {"animated_palette.gif"}
WITH_HEIF = {"hopper.heif"}


@pytest.fixture(scope="module")
def ugly(shared_data: Path) -> Path:
    return shared_data / "ugly"


@pytest.fixture(scope="module")
def original(shared_data: Path) -> np.ndarray:
    """The sRGB photo that the derived_* files were made of."""
    path = shared_data / "content" / "bsds500_test" / "100039.jpg"
    return np.asarray(loaded(path)).astype(int)


def distance(path: Path, reference: np.ndarray) -> float:
    frame = read(path)
    return float(np.abs(frame.pixels * (255 / frame.white) - reference).mean())


def test_every_file_is_judged(ugly):
    names = {str(p.relative_to(ugly)) for p in ugly.rglob("*") if p.is_file()}
    assert names == set(GOOD) | set(BAD) | MOVING | WITH_HEIF


@pytest.mark.parametrize("name", sorted(GOOD))
def test_readable_files_go_through(ugly, tmp_path, name):
    width, height, depth, alpha, details = GOOD[name]
    path = ugly / name
    info = probe(path)
    assert (info.width, info.height, info.depth, info.alpha) == (width, height, depth, alpha)
    assert {key: info.details.get(key) for key in details} == details
    assert ("orientation" in info.details) == ("orientation" in details)
    frame = read(path)
    assert frame.pixels.std() > 1
    assert exif.orientation(frame.meta.exif) == 1
    suffix = path.suffix if path.suffix not in (".mpo", ".avif") else ".jpg"  # AVIF is slow
    again = read(write(frame, tmp_path / f"out{suffix}"))
    assert again.pixels.shape == frame.pixels.shape
    if suffix in (".png", ".tiff"):
        assert (again.pixels == frame.pixels).all()
        assert frame.alpha is None or (again.alpha == frame.alpha).all()
        assert again.meta.icc == frame.meta.icc and again.meta.xmp == frame.meta.xmp
    if suffix in (".jpg", ".webp") and frame.alpha is None:
        error = np.abs(again.pixels.astype(int) - frame.pixels).mean()
        assert error < 6
        assert again.meta.exif == frame.meta.exif


@pytest.mark.parametrize("name", sorted(BAD))
def test_broken_files_are_refused_with_the_reason(ugly, name):
    with pytest.raises(ItemError, match=BAD[name]) as caught:
        read(ugly / name)
    assert "\n" not in str(caught.value) and str(ugly) not in str(caught.value)


@pytest.mark.parametrize("name", sorted(MOVING))
def test_moving_files_are_left_to_the_video_reader(ugly, name):
    assert probe(ugly / name) is None


def test_heic(ugly):
    pytest.importorskip("pillow_heif")
    reference = np.asarray(loaded(ugly / "hopper.png").convert("RGB")).astype(int)
    assert distance(ugly / "hopper.heif", reference) < 8


@pytest.mark.parametrize("turn", [0, 2, 3, 4, 5, 6, 8])
def test_all_orientations_show_one_picture(ugly, turn):
    """They differ by the number painted in the middle, and by JPEG's loss."""
    reference = np.asarray(loaded(ugly / "exif" / "Landscape_1.jpg")).astype(int)
    assert distance(ugly / "exif" / f"Landscape_{turn}.jpg", reference) < 5
    assert np.abs(reference - reference[::-1]).mean() > 30, "a wrong turn would show"


def test_portraits_are_upright(ugly):
    reference = np.asarray(loaded(ugly / "exif" / "Portrait_1.jpg")).astype(int)
    assert distance(ugly / "exif" / "Portrait_6.jpg", reference) < 5


def test_avif_is_turned_once(ugly):
    """irot and imir: the sky is on top; a second turn, or none, would put it at the side."""
    rows = read(ugly / "avif_rot1mir0.avif").pixels[..., 2].mean(axis=1)
    assert rows[:100].mean() > rows[-100:].mean() + 60
    upright = read(ugly / "avif_orientation6.avif").pixels
    assert (upright.shape[:2]) == (4032, 3024)


def test_exif_orientation_of_a_png(ugly):
    stored = np.asarray(loaded(ugly / "exif_orientation.png").convert("RGB"))
    assert (read(ugly / "exif_orientation.png").pixels == stored[::-1, ::-1]).all()


def test_content_decides(ugly):
    right = read(ugly / "hopper.png").pixels
    assert (read(ugly / "derived_png_content.jpg").pixels == right).all()


@pytest.mark.parametrize(
    ("name", "worst"), [("derived_cmyk_481x321.jpg", 2.5), ("derived_rgb16.png", 0.5)]
)
def test_colors_match_the_original(ugly, original, name, worst):
    assert distance(ugly / name, original) < worst


def test_gray_matches_the_original(ugly, original):
    gray = original @ (0.299, 0.587, 0.114)
    assert distance(ugly / "derived_gray_481x321.jpg", gray[:, :, None]) < 2


@pytest.mark.parametrize("name", ["derived_display_p3_tagged.jpg", "icc_profile_big.jpg"])
def test_profiles_are_applied(ugly, name):
    picture = loaded(ugly / name)
    source = ImageCms.ImageCmsProfile(io.BytesIO(picture.info["icc_profile"]))
    target = ImageCms.createProfile("sRGB")
    expected = np.asarray(
        ImageCms.profileToProfile(
            picture,
            source,
            target,
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    ).astype(int)
    assert np.abs(np.asarray(picture).astype(int) - expected).mean() > 1, "it makes a difference"
    assert distance(ugly / name, expected) < 0.5
    assert read(ugly / name).meta.icc == icc.srgb()


def test_p3_version_of_the_original_comes_back(original, tmp_path, ugly):
    profile = loaded(ugly / "derived_display_p3_tagged.jpg").info["icc_profile"]
    stored = ImageCms.profileToProfile(
        Image.fromarray(original.astype(np.uint8)),
        ImageCms.createProfile("sRGB"),
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
    )
    stored.save(tmp_path / "a.jpg", quality=95, subsampling=0, icc_profile=profile)
    assert distance(tmp_path / "a.jpg", original) < 2


def test_srgb_profile_and_metadata_are_kept_byte_for_byte(ugly, tmp_path):
    source = loaded(ugly / "flower2.webp")
    meta = read(ugly / "flower2.webp").meta
    assert meta.icc == source.info["icc_profile"] and meta.xmp == source.info["xmp"]
    for suffix in (".jpg", ".png", ".webp", ".avif", ".tif"):
        again = loaded(write(read(ugly / "flower2.webp"), tmp_path / f"a{suffix}"))
        assert again.info["icc_profile"] == source.info["icc_profile"]
        before, after = source.getexif(), again.getexif()
        for tag in (271, 272, 305, 306):
            assert after.get(tag) == before.get(tag)
        kept, lost = after.get_ifd(0x8769), before.get_ifd(0x8769)
        assert {k: v for k, v in lost.items() if k != 0xA005} == {
            k: v for k, v in kept.items() if k != 0xA005
        }


def test_gps_of_a_tiff_survives(ugly, tmp_path):
    before = loaded(ugly / "gray16_640x512.tiff").getexif()
    after = loaded(write(read(ugly / "gray16_640x512.tiff"), tmp_path / "a.tiff")).getexif()
    assert dict(after.get_ifd(0x8825)) == dict(before.get_ifd(0x8825)) != {}
    assert after[271] == before[271]


def test_alpha_of_real_files(ugly):
    for name in ("alpha.png", "alpha.webp", "rgba.png", "palette.png", "trns_1bit.png"):
        expected = np.asarray(loaded(ugly / name).convert("RGBA"))
        frame = read(ugly / name)
        assert (frame.alpha == expected[:, :, 3]).all()
        assert frame.alpha.min() == 0 < frame.alpha.max()
        colors = expected[:, :, :3]
        if name == "palette.png":  # its gAMA says that the values are linear
            linear = colors / 255
            curved = 1.055 * linear ** (1 / 2.4) - 0.055
            colors = 255 * np.where(linear <= 0.0031308, 12.92 * linear, curved)
        assert np.abs(frame.pixels - colors).max() <= (name == "palette.png")


def test_ordinary_photos(shared_data, tmp_path):
    """Every photo and cut-out, as Pillow reads it; a sample of the large set."""
    content = shared_data / "content"
    paths = [
        *sorted((content / "bsds500_test").glob("*.jpg"))[::25],
        *(content / "misc").iterdir(),
        *(content / "hires").iterdir(),
        *(shared_data / "portraits").iterdir(),
        *(content / "seg_pairs").iterdir(),
        *sorted((content / "bsds500_labels").iterdir())[::10],
    ]
    assert len(paths) > 30
    for path in paths:
        picture = loaded(path)
        assert exif.orientation(picture.info.get("exif", b"").removeprefix(b"Exif\0\0")) == 1
        frame = read(path)
        profile = picture.info.get("icc_profile")
        if profile is None or icc.is_srgb(profile):
            assert (frame.pixels == np.asarray(picture.convert("RGB"))).all(), path.name
        assert (frame.alpha is not None) == picture.has_transparency_data
