"""What is wrong with the masks of a film is found before any of it is painted."""

from pathlib import Path

import pytest
from PIL import Image

from stylepipe import Info, Item, ItemError
from stylepipe.mask_files import MaskFiles

SIZE = (16, 12)
FILM = Info("video", "fake", *SIZE, 3)


def masks(folder: Path, sizes: dict[str, tuple[int, int]], **more) -> MaskFiles:
    for name, size in sizes.items():
        file = folder / "masks" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", size).save(file, **more)
    return MaskFiles(folder / "masks", "mask")


def check(found: MaskFiles, name: str = "clip.mp4", info: Info = FILM) -> None:
    found.check_item(Item(0, Path(name), Path(), Path("out")), info)


def test_a_mask_of_another_shape_on_any_frame(tmp_path):
    found = masks(tmp_path, {"clip/1.png": SIZE, "clip/2.png": (32, 24), "clip/3.png": (12, 16)})
    with pytest.raises(ItemError, match=r"3\.png is 12x16, but the picture 16x12.* turn it by 90"):
        check(found)


def test_a_mask_of_a_photo(tmp_path):
    found = masks(tmp_path, {"a.png": (20, 20), "b.png": (160, 120)})
    with pytest.raises(ItemError, match=r"a\.png is 20x20, but the picture 16x12"):
        check(found, "a.jpg", Info("image", "png", *SIZE))
    check(found, "b.jpg", Info("image", "png", *SIZE))


def test_a_mask_that_its_exif_turns_fits(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    check(masks(tmp_path, {"clip.jpg": (12, 16)}, exif=exif))


@pytest.mark.parametrize(("there", "missing"), [((1, 3), 2), ((1, 2), 3), ((0, 1), 3)])
def test_a_missing_mask_of_any_frame(tmp_path, there, missing):
    found = masks(tmp_path, {f"clip/{n}.png": SIZE for n in there})
    with pytest.raises(ItemError, match=f"frame {missing} has no mask; .* pass --mask-carry"):
        check(found)


def test_only_frames_to_be_painted_need_a_mask(tmp_path):
    found = masks(tmp_path, {"clip/1.png": SIZE, "clip/3.png": SIZE})
    check(found, info=Info("video", "fake", *SIZE, 2, chosen=(0, 2)))
    check(found, info=Info("video", "fake", *SIZE, None))  # who knows how many come


def test_frames_of_a_sequence_are_known_by_their_numbers(tmp_path):
    found = masks(tmp_path, {f"fr/{n}.png": SIZE for n in (11, 12)})
    known = {"sequence": "fr_##.png", "numbers": "11-13", "missing": None}
    with pytest.raises(ItemError, match="frame 13 has no mask"):
        check(found, "fr", Info("video", "frames", *SIZE, 3, details=known))
    check(found, "fr", Info("video", "frames", *SIZE, 2, details={**known, "missing": "13"}))


def test_a_mask_that_cannot_be_opened(tmp_path):
    found = masks(tmp_path, {f"clip/{n}.png": SIZE for n in (1, 2, 3)})
    (tmp_path / "masks" / "clip" / "2.png").write_bytes(b"no picture")
    with pytest.raises(ItemError, match=r"the mask .*2\.png cannot be read"):
        check(found)
