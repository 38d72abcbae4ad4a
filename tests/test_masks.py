"""Masks from files and from transparency."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from stylepipe_plugins.masks import AlphaMasker, FilesMasker, FilesOptions

from stylepipe import Batch, Frame, Item, ItemError, UsageError

H, W = 6, 8


def ask(masker, source="photo.jpg", size=(H, W), index=0, count=1):
    """The masks for frames of the item ``root/source``, N1HW."""
    root = Path("in")
    item = Item(0, root / source, root, Path("out") / source)
    frames = [Frame(np.zeros((*size, 3), np.uint8), index=index + i) for i in range(count)]
    return masker.mask(Batch(torch.zeros(count, 3, *size), item), frames)


def files(path, max_pixels=1000000, **options):
    masker = FilesMasker(FilesOptions(path=path, **options))
    masker.open(SimpleNamespace(max_pixels=max_pixels))
    return masker


def half(white=255, dtype=np.uint8):
    """White on the right."""
    mask = np.zeros((H, W), dtype)
    mask[:, W // 2 :] = white
    return mask


def save(array, path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    image.save(path, **options)
    return path


RIGHT = torch.from_numpy(half(1).astype(np.float32))[None, None]


# -- files: what goes wrong --------------------------------------------------------------


def test_no_path_a_missing_one_and_a_folder_without_pictures_are_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("no mask")
    with pytest.raises(UsageError, match="need a path"):
        files(None)
    with pytest.raises(UsageError, match=r"no mask at .*nowhere; name a picture"):
        files(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="holds no pictures"):
        files(tmp_path)


def test_a_mask_that_lies_on_its_side_gets_a_hint(tmp_path):
    path = save(half(), tmp_path / "m.png")
    with pytest.raises(ItemError, match="EXIF orientation: turn it by 90 degrees"):
        ask(files(path), size=(2 * W, 2 * H))
    with pytest.raises(ItemError, match=r"at least its proportions$"):
        ask(files(path), size=(H, 2 * W))


def test_a_missing_mask_is_told_with_the_names_looked_for(tmp_path):
    save(half(), tmp_path / "other.png")
    with pytest.raises(ItemError) as caught:
        ask(files(tmp_path), "trip/photo.jpg")
    for name in ("trip/photo.jpg.*", "trip/photo.*", "trip/photo"):
        assert str(tmp_path / name) in str(caught.value)


def test_a_mask_of_other_proportions_is_refused_with_both_sizes(tmp_path):
    path = save(half(), tmp_path / "m.png")
    with pytest.raises(ItemError, match=r"m\.png is 8x6, but the picture 6x8"):
        ask(files(path), size=(8, 6))


@pytest.mark.parametrize("content", [b"", b"not a picture", None])
def test_a_damaged_mask_costs_its_item_only(tmp_path, content):
    path = save(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8), tmp_path / "m.png")
    path.write_bytes(path.read_bytes()[:900] if content is None else content)
    save(half(), tmp_path / "good.png")
    masker = files(tmp_path)
    with pytest.raises(ItemError, match=r"mask .*m\.png cannot be read"):
        ask(masker, "m.jpg")
    assert torch.equal(ask(masker, "good.jpg"), RIGHT)


def test_too_few_masks_for_a_video_name_the_frame(tmp_path):
    save(half(), tmp_path / "clip" / "0.png")
    with pytest.raises(ItemError, match=r"frame 2 has no mask; .*clip holds 1"):
        ask(files(tmp_path), "clip.mp4", index=1)


# -- files: which mask -------------------------------------------------------------------


def test_one_file_serves_all_pictures_and_frames(tmp_path):
    masker = files(save(half(), tmp_path / "m.png"))
    assert torch.equal(ask(masker, "a/b.jpg", count=3), RIGHT.expand(3, -1, -1, -1))


def test_a_folder_holds_masks_by_name_and_subfolder(tmp_path):
    save(half(), tmp_path / "photo.png")
    save(255 - half(), tmp_path / "trip" / "photo.PNG")
    masker = files(tmp_path)
    assert torch.equal(ask(masker, "photo.jpg"), RIGHT)
    assert torch.equal(ask(masker, "trip/photo.jpg"), 1 - RIGHT)


def test_a_mask_named_by_the_full_name_wins(tmp_path):
    save(half(), tmp_path / "photo.png")
    save(255 - half(), tmp_path / "photo.webp.png")
    masker = files(tmp_path)
    assert torch.equal(ask(masker, "photo.jpg"), RIGHT)
    assert torch.equal(ask(masker, "photo.webp"), 1 - RIGHT)


def test_names_with_dots_are_not_mistaken(tmp_path):
    save(half(), tmp_path / "v1.2.png")
    assert torch.equal(ask(files(tmp_path), "v1.2.jpg"), RIGHT)


def test_a_video_takes_one_mask_a_frame_in_natural_order(tmp_path):
    for number in range(12):
        save(np.full((H, W), number * 20, np.uint8), tmp_path / "clip" / f"frame{number}.png")
    masks = ask(files(tmp_path), "clip.mp4", index=1, count=11)
    expected = [number * 20 / 255 for number in range(1, 12)]
    assert masks[:, 0, 0, 0].tolist() == pytest.approx(expected)


# -- files: what is in them --------------------------------------------------------------


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "I;16", "I", "F"])
def test_lightness_of_any_mode(tmp_path, mode):
    image = {
        "I;16": lambda: Image.fromarray(half(65535, np.uint16)),
        "I": lambda: Image.fromarray(half(65535, np.int32)),
        "F": lambda: Image.fromarray(half(1, np.float32)),
    }.get(mode, lambda: Image.fromarray(half()).convert(mode))()
    assert image.mode == mode
    path = save(image, tmp_path / "m.tif")
    torch.testing.assert_close(ask(files(path)), RIGHT)


def test_transparency_counts_before_lightness_unless_all_is_opaque(tmp_path):
    black = np.zeros((H, W), np.uint8)
    cut_out = Image.merge("RGBA", [Image.fromarray(x) for x in (black, black, black, half())])
    assert torch.equal(ask(files(save(cut_out, tmp_path / "cut.png"))), RIGHT)
    white = Image.fromarray(half()).convert("RGBA")  # alpha 255 everywhere
    assert torch.equal(ask(files(save(white, tmp_path / "white.png"))), RIGHT)


def test_palette_transparency(tmp_path):
    image = Image.fromarray(half(1))
    image.putpalette([9, 9, 9, 9, 9, 9])
    path = save(image, tmp_path / "m.png", transparency=0)
    assert torch.equal(ask(files(path)), RIGHT)


def test_exif_orientation_is_applied(tmp_path):
    stored = Image.fromarray(np.rot90(half(), 1).copy())  # as a camera held upright stores it
    exif = stored.getexif()
    exif[0x0112] = 6  # turn clockwise to view
    path = save(stored, tmp_path / "m.png", exif=exif.tobytes())
    assert torch.equal(ask(files(path)), RIGHT)


@pytest.mark.parametrize("factor", [2, 5])
def test_a_mask_of_the_same_proportions_is_scaled(tmp_path, factor):
    path = save(half(), tmp_path / "m.png")
    large = ask(files(path), size=(H * factor, W * factor))
    assert large.shape == (1, 1, H * factor, W * factor)
    assert large[..., : factor * 3].max() == 0 and large[..., factor * 5 :].min() == 1
    path = save(np.kron(half(), np.ones((factor, factor), np.uint8)), tmp_path / "big.png")
    assert torch.equal(ask(files(path)), RIGHT)


def test_a_pixel_more_or_less_is_forgiven(tmp_path):
    path = save(np.full((301, 400), 255, np.uint8), tmp_path / "m.png")
    assert torch.equal(ask(files(path), size=(300, 400)), torch.ones(1, 1, 300, 400))


# -- alpha -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_alpha_paints_what_is_opaque(dtype):
    white = np.iinfo(dtype).max
    pixels = np.zeros((H, W, 3), dtype)
    frames = [Frame(pixels, half(white, dtype)), Frame(pixels)]
    item = Item(0, Path("a.png"), Path(), Path("b.png"))
    masks = AlphaMasker(AlphaMasker.Options()).mask(Batch(torch.zeros(2, 3, H, W), item), frames)
    assert torch.equal(masks[:1], RIGHT)
    assert torch.equal(masks[1:], torch.ones(1, 1, H, W))
