"""Masks given for some frames of a film, carried to the others."""

from pathlib import Path

import cv2
import fakes
import numpy as np
import pytest
import torch
from clips import make_clip
from fakes import writing_fails_at
from PIL import Image
from stylepipe_plugins.masks import AlphaMasker, FilesMasker, LabelsMasker
from test_film import METHODS
from test_pipeline import go

from stylepipe import Batch, Frame, Info, Item, ItemError, NoMask, UsageError
from stylepipe.cli import main
from stylepipe.contracts.base import context

W, H, SIDE, FRAMES, CUT = 96, 64, 22, 12, 8
POSTERIZE = ["--plugin", str(Path(__file__).parents[1] / "examples" / "posterize.py")]
RED, BLUE = (255, 0, 0), (0, 0, 255)


def texture(seed, width=W, height=H):
    rng = np.random.default_rng(seed)
    fine = cv2.resize(rng.uniform(0, 1, (height // 4, width // 4, 3)), (width, height))
    return fine.astype(np.float32)


def square(number):
    """Where it is: it moves right by 2.5 pixels a frame, and down by 1."""
    left, top = 6 + 2.5 * number, 8 + number
    x, y = np.meshgrid(np.arange(W), np.arange(H))
    return (x >= left) & (x < left + SIDE) & (y >= top) & (y < top + SIDE)


def picture(number, scene=0):
    """A reddish square over a bluish ground, both with texture; another scene is turned round."""
    ground = 40 + 90 * texture(1) * (0.4, 0.7, 1)
    place = np.float32([[1, 0, 6 + 2.5 * number], [0, 1, 8 + number]])
    body = cv2.warpAffine(texture(2, 24, 24), place, (W, H), borderMode=cv2.BORDER_REPLICATE)
    pixels = np.where(square(number)[..., None], 90 + 160 * body * (1, 0.5, 0.1), ground)
    pixels = pixels.astype(np.uint8)
    return np.ascontiguousarray(255 - pixels[::-1, ::-1]) if scene else pixels


@pytest.fixture
def film(tmp_path):
    """A film of one scene, ``in/clip.npy``."""
    return saved(tmp_path, [picture(n) for n in range(FRAMES)])


def saved(folder, pictures):
    path = folder / "in" / "clip.npy"
    path.parent.mkdir(exist_ok=True)
    np.save(path, np.stack(pictures))
    return path


def cut_film():
    return [picture(n, n >= CUT) for n in range(FRAMES)]


def draw(folder, name, where=None, colors=((0, 0, 0), (255, 255, 255))):
    """A mask, or map, of the square in a frame, ``folder/clip/name``."""
    where = square(int(Path(name).stem[-6:]) - 1) if where is None else where
    path = folder / "clip" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(colors, np.uint8)[where.astype(int)]).save(path)
    return folder


def masker(cls=FilesMasker, **options):
    return cls(cls.Options.build({"carry": True, **options}))


class Asked:
    """A masker, opened, as the engine asks it for the frames of a film."""

    def __init__(self, path, made):
        self.item = Item(0, path, path.parent, path.parent / "out")
        self.clip, self.made, self.read = np.load(path), made, []
        vars(opened := context())["frames"] = self._frames
        made.check()
        made.check_item(self.item, Info("video", "npy", W, H, len(self.clip)))
        made.open(opened)

    def _frames(self, item, start=0):
        for index in range(start, len(self.clip)):
            self.read.append(index)
            yield Frame(self.clip[index], None, index)

    def __call__(self, index):
        """The planes K H W of a frame."""
        batch = Batch(torch.zeros(1, 3, *self.clip.shape[1:3]), self.item)
        return self.made.mask(batch, [Frame(self.clip[index], None, index)])[0].numpy()


def settings(made, **mask):
    return fakes.settings(masker=made, mask=mask)


def painted(source, output, made, **mask):
    report, _ = go(source, output, settings(made, **mask))
    assert report.exit_code == 0
    return np.load(output)


def edges(mask):
    """First and last column and row of a mask."""
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    return np.array([columns[0], columns[-1], rows[0], rows[-1]])


# -- what is carried ---------------------------------------------------------------------------


def test_a_moving_square_is_followed_within_a_pixel(film, tmp_path):
    asked = Asked(film, masker(path=draw(tmp_path / "masks", "000001.png")))
    for number in range(FRAMES):
        found = asked(number)[0] > 0.5
        assert np.abs(edges(found) - edges(square(number))).max() <= 1, number
        assert (found & square(number)).sum() > 0.9 * (found | square(number)).sum()
    assert not asked.read, "the frames came one after the other"


def test_the_next_mask_takes_over_and_each_given_one_stays_as_it_is(film, tmp_path):
    masks = draw(tmp_path / "masks", "000001.png")
    draw(masks, "000005.png", np.zeros((H, W), bool))
    draw(masks, "000008.png")
    asked = Asked(film, masker(path=masks))
    found = [asked(number)[0] for number in range(FRAMES)]
    assert np.array_equal(found[0], square(0)) and np.array_equal(found[7], square(7))
    assert found[3].any() and not np.any(found[4:7]) and found[11].any()


def test_where_nothing_moves_the_mask_stays_to_the_bit(tmp_path):
    for pixels in (picture(0), np.zeros((H, W, 3), np.uint8)):
        film = saved(tmp_path, [pixels] * 4)
        asked = Asked(film, masker(path=draw(tmp_path / "masks", "000001.png")))
        assert all(np.array_equal(asked(number)[0], square(0)) for number in range(4))


@pytest.mark.parametrize("way", ["regions", "labels"])
def test_the_regions_of_a_map_are_carried_too(film, tmp_path, way):
    maps = draw(tmp_path / "maps", "000001.png", colors=(RED, BLUE))
    made = masker(regions=maps)
    if way == "labels":
        made = masker(LabelsMasker, maps=maps, legend=["ground=#ff0000", "body=#0000ff"])
    asked = Asked(film, made)
    order = [0, 1] if way == "labels" else [1, 0]  # the darker first
    planes = [asked(number)[order] for number in range(FRAMES)]
    for number, (ground, body) in enumerate(planes):
        np.testing.assert_allclose(ground + body, 1, atol=1e-5)
        assert np.abs(edges(body > ground) - edges(square(number))).max() <= 1, number


# -- resumed, and asked in any order -----------------------------------------------------------


@pytest.mark.parametrize("temporal", ["none", "warp"])
def test_a_film_resumes_at_each_frame_to_the_same_bytes(film, tmp_path, monkeypatch, temporal):
    count = 7
    film = saved(tmp_path, np.load(film)[:count])
    masks = draw(tmp_path / "masks", "000001.png")
    draw(masks, "000005.png")

    def chosen():
        return fakes.settings(masker=masker(path=masks), temporal=METHODS[temporal]())

    go(film, tmp_path / "straight.npy", chosen())
    straight = np.load(tmp_path / "straight.npy")
    assert (straight != np.load(film)).any((1, 2, 3)).all()
    for stop in range(1, count) if temporal == "none" else (2, 4):
        output = tmp_path / f"resumed{stop}.npy"
        with writing_fails_at(stop, monkeypatch):
            assert go(film, output, chosen())[0].exit_code == 1
        assert go(film, output, chosen())[0].exit_code == 0
        assert np.array_equal(np.load(output), straight), stop


def test_frames_are_found_in_any_order_by_reading_no_more_than_it_takes(film, tmp_path):
    masks = draw(tmp_path / "masks", "000001.png")
    straight = Asked(film, masker(path=masks))
    expected = [straight(number) for number in range(FRAMES)]
    asked = Asked(film, masker(path=masks))
    for number, read in ((5, [0, 1, 2, 3, 4, 5]), (4, [0, 1, 2, 3, 4]), (6, []), (9, [7, 8, 9])):
        asked.read.clear()
        assert np.array_equal(asked(number), expected[number])
        assert asked.read == read


# -- where no mask can be carried --------------------------------------------------------------


def test_a_cut_ends_it_and_the_next_mask_begins_anew(tmp_path):
    film = saved(tmp_path, cut_film())
    masks = draw(tmp_path / "masks", "000001.png")
    source = np.load(film)
    report, _ = go(film, tmp_path / "fails.npy", settings(masker(path=masks)))
    assert report.exit_code == 1
    (failure,) = report.failures
    assert f"frame {CUT + 1} has no mask, and a cut lies between it and" in str(failure)
    assert "--mask-missing" in str(failure)
    kept = painted(film, tmp_path / "kept.npy", masker(path=masks), missing="keep")
    assert (kept[:CUT] != source[:CUT]).any() and np.array_equal(kept[CUT:], source[CUT:])
    whole = painted(film, tmp_path / "whole.npy", masker(path=masks), missing="paint")
    assert np.array_equal(whole[CUT:], 255 - source[CUT:])
    draw(masks, f"{CUT + 2:06d}.png", square(0))
    more = painted(film, tmp_path / "more.npy", masker(path=masks), missing="keep")
    assert np.array_equal(more[CUT], source[CUT]) and (more[CUT + 1 :] != source[CUT + 1 :]).any()


def test_before_the_first_mask_mask_missing_decides(film, tmp_path):
    masks, source = draw(tmp_path / "masks", "000004.png"), np.load(film)
    report, _ = go(film, tmp_path / "fails.npy", settings(masker(path=masks)))
    assert "frame 1 has no mask, and there is none before it" in str(report.failures)
    kept = painted(film, tmp_path / "kept.npy", masker(path=masks), missing="keep")
    assert np.array_equal(kept[:3], source[:3])
    assert all((kept[n] != source[n]).any() for n in range(3, FRAMES))


# -- numbers, and what is refused --------------------------------------------------------------


def test_masks_are_found_by_their_numbers(film, tmp_path):
    for first in (0, 1):  # counted from 0 where there is a 0
        masks = tmp_path / f"masks{first}"
        for number in range(12):
            draw(masks, f"m_{number + first:06d}.png", square(number))
        asked = Asked(film, masker(path=masks, carry=False))
        assert np.array_equal(asked(2)[0], square(2)) and np.array_equal(asked(4)[0], square(4))
        (masks / "clip" / f"m_{3 + first:06d}.png").unlink()
        with pytest.raises(ItemError, match=r"frame 4 has no mask; .* holds 11, .*--mask-carry"):
            Asked(film, masker(path=masks, carry=False))


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["000001.png", "000013.png"], "000013.png is of a frame that .* numbered 1 to 12"),
        (["a000001.png", "b000002.png"], "b000002.png are not of one series of masks"),
        (["000001.png", "0000001.png"], "are not of one series"),
        (["000001.png", "last.png"], "last.png has no number at the end of its name"),
    ],
)
def test_a_folder_that_cannot_be_right_is_refused_in_a_sentence(film, tmp_path, names, words):
    masks = draw(tmp_path / "masks", names[0])
    (masks / "clip" / names[1]).write_bytes((masks / "clip" / names[0]).read_bytes())
    with pytest.raises(ItemError, match=words):
        Asked(film, masker(path=masks))


def test_a_mask_of_another_size_is_named(film, tmp_path):
    masks = draw(tmp_path / "masks", "000001.png", np.zeros((W, H), bool))
    with pytest.raises(ItemError, match=r"000001\.png is 64x96, but the picture 96x64"):
        Asked(film, masker(path=masks))(3)


def test_what_cannot_be_carried_is_refused(film, tmp_path):
    masks = draw(tmp_path / "masks", "000001.png")
    photo = Item(0, tmp_path / "clip.png", tmp_path, tmp_path / "out.png")
    with pytest.raises(ItemError, match="from frame to frame of a film, and this is a photo"):
        masker(path=masks).check_item(photo, Info("image", "png", W, H))
    with pytest.raises(ItemError, match=r"clip.000001.png, and .* is one for all of them"):
        Asked(film, masker(path=masks / "clip" / "000001.png"))
    with pytest.raises(NoMask, match="it has no mask"):
        masker(path=masks).check_item(
            Item(0, tmp_path / "other.npy", tmp_path, tmp_path / "o"), Info("video", "npy", W, H)
        )
    with pytest.raises(UsageError, match="without which it changes nothing"):
        masker(AlphaMasker)


# -- on the command line -----------------------------------------------------------------------


@pytest.fixture
def cli(tmp_path, monkeypatch, capsys):
    """``cli(*args)`` in a folder that holds ``clip.mkv``; returns exit code and stderr."""
    monkeypatch.chdir(tmp_path)
    lossless = {"qp": "0"}
    times, pictures = range(0, 40 * FRAMES, 40), cut_film()
    make_clip(Path("clip.mkv"), times, size=(W, H), pictures=pictures, options=lossless)

    def call(*args):
        code = main.run([*map(str, args), "-d", "cpu", *POSTERIZE])
        return code, capsys.readouterr().err

    return call


def shown(path):
    return np.asarray(Image.open(path).convert("L")) > 127


def test_all_masks_can_be_looked_at(cli, tmp_path):
    draw(tmp_path / "masks", "000001.png")
    words = ("masks", "clip.mkv", "-o", "looked", "--mask", "masks", "--mask-carry")
    code, err = cli(*words)
    assert code == 1 and "a cut lies between it and masks/clip/000001.png" in err
    code, err = cli(*words, "--mask-missing", "keep")
    assert code == 0 and "has no mask: kept as it is" in err
    files = sorted(Path("looked/clip").glob("*.png"))
    assert len(files) == FRAMES and not shown(files[CUT]).any()
    assert np.abs(edges(shown(files[CUT - 1])) - edges(square(CUT - 1))).max() <= 1


def test_start_numbered_pictures_and_regions_by_masks(cli, tmp_path):
    draw(tmp_path / "masks", "000001.png", square(3))
    span = ("--start", "0.12", "--end", "0.24")
    assert cli("masks", "clip.mkv", "-o", "a", "--mask", "masks", "--mask-carry", *span)[0] == 0
    assert np.abs(edges(shown("a/clip/000003.png")) - edges(square(5))).max() <= 1
    Path("shots/clip").mkdir(parents=True)
    for number in (2, 4, 5, 6, 7):
        Image.fromarray(picture(number)).save(f"shots/clip/fr{number + 1000}.png")
    draw(tmp_path / "own", "x001004.png", square(4))
    words = ("shots/clip", "--fps", "25", "--gaps", "hold", "--mask", "own", "--mask-carry")
    assert cli("masks", *words, "-o", "b", "--mask-missing", "keep")[0] == 0
    found = {path.stem: shown(path) for path in Path("b/clip").glob("*.png")}
    assert sorted(found) == [f"fr100{n}" for n in range(2, 8)] and not found["fr1003"].any()
    assert np.array_equal(found["fr1004"], square(4))
    assert np.abs(edges(found["fr1007"]) - edges(square(7))).max() <= 1


def test_photos_and_maskers_without_files_are_refused(cli, tmp_path):
    draw(tmp_path / "masks", "000001.png")
    Image.fromarray(picture(0)).save("clip.png")
    carry = ("-o", "out", "--levels", "2", "--mask-carry")
    code, err = cli("posterize", "clip.png", "--mask", "masks", *carry)
    assert code == 1 and "this is a photo; leave it out" in err
    code, err = cli("posterize", "clip.mkv", "--mask", "luminance", *carry)
    assert code == 2 and "no such option '--mask-carry'" in err


def test_keyframes_a_carried_mask_and_a_cut_together(cli, tmp_path):
    draw(tmp_path / "masks", "000001.png")
    draw(tmp_path / "masks", f"{CUT + 1:06d}.png", square(CUT)[::-1, ::-1])
    for number, color in ((0, (10, 200, 30)), (CUT, (200, 10, 250))):
        Image.new("RGB", (W, H), color).save(f"{number}.png")
    keys = ("--keyframe", "1=0.png", "--keyframe", f"{CUT + 1}={CUT}.png")
    code, err = cli("keyframes", "clip.mkv", "-o", "out", "--format", "png/", *keys,
                    "--mask", "masks", "--mask-carry")  # fmt: skip
    assert code == 0, err
    for number in (CUT - 1, FRAMES - 1):
        where = square(number) if number < CUT else square(number)[::-1, ::-1]
        result = np.asarray(Image.open(f"out/clip/{number + 1:06d}.png")).astype(int)
        color = (10, 200, 30) if number < CUT else (200, 10, 250)
        own = np.abs(result - color).max(2) < 60
        inside, around = (
            cv2.erode(part.astype(np.uint8), np.ones((5, 5))).astype(bool)
            for part in (where, ~where)
        )
        assert own[inside].mean() > 0.9 and own[around].mean() < 0.02, number
