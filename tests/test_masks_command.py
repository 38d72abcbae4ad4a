"""``stylepipe masks``: masks as pictures, before a run, and given back to it."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stylepipe.cli import main

ROOT = Path(__file__).resolve().parents[1]
PLUGINS = [
    word
    for name in ("examples/posterize.py", "docs/examples/tones.py")
    for word in ("--plugin", str(ROOT / name))
]


@pytest.fixture
def stylepipe(tmp_path, monkeypatch, capsys):
    """``stylepipe(*args)`` in an empty folder; returns exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*args):
        code = main.run([*map(str, args), *PLUGINS])
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def photos(tmp_path, make_photo):
    """Three photos, one of them in a sub-folder, one half transparent in 16 bits."""
    (tmp_path / "photos" / "trip").mkdir(parents=True)
    make_photo("photos/a.jpg")
    make_photo("photos/trip/a.webp", seed=1)
    make_photo("photos/deep.png", alpha=True, depth=16, seed=2)
    return Path("photos")


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture).astype(int)


SOFT = ("--mask", "luminance", "--mask-lightness", "0.3-0.6", "--mask-softness", "0.3")


# -- what goes wrong ---------------------------------------------------------------------------


def test_without_a_mask_there_is_nothing_to_write(stylepipe, photos):
    for more in ([], ["--mask", "none"]):
        code, _, err = stylepipe("masks", photos, "-o", "out", *more)
        assert code == 2 and "there is no mask to write: pass --mask, --protect, --region" in err
        assert not Path("out").exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--set", "stylizer.strength=0.5"], "stylizer.strength means nothing to masks"),
        (["--set", "temporal.use=warp"], "temporal.use means nothing to masks"),
        (["--set", "output.png_level=9"], "output.png_level means nothing to masks"),
        (["--format", "jpg"], "masks are written as png, or png/ for films, not jpg"),
        (["--style", "scream"], "no such option '--style'"),
        (["--temporal", "warp"], "no such option '--temporal'"),
        (["--mask", "lumnance"], "did you mean 'luminance'"),
    ],
)
def test_what_means_nothing_to_masks_is_refused(stylepipe, photos, more, words):
    code, _, err = stylepipe("masks", photos, "-o", "out", *SOFT, *more)
    assert code == 2 and words in err
    assert not Path("out").exists()


def test_files_of_others_are_not_replaced(stylepipe, photos):
    Path("out-overlay.jpg").write_bytes((photos / "a.jpg").read_bytes())
    code, _, err = stylepipe("masks", photos, "-o", "out", *SOFT)
    assert code == 2 and "out-overlay.jpg, which is another file; move it" in err
    Path("maps").mkdir()
    Path("maps/legend.toml").write_text("mine = 1")
    code, _, err = stylepipe("masks", photos, "-o", "maps", "--mask", "tones")
    assert code == 2 and "the legend would replace" in err
    assert Path("maps/legend.toml").read_text() == "mine = 1"
    Path("odd/legend.toml").mkdir(parents=True)
    code, _, err = stylepipe("masks", photos, "-o", "odd", "--mask", "tones")
    assert code == 2 and "the legend would replace" in err


def test_a_photo_without_its_mask_fails_by_itself_as_in_a_run(stylepipe, photos):
    Path("drawn").mkdir()
    Image.new("L", (96, 64), 255).save("drawn/a.png")
    for more in (["--dry-run"], []):
        code, out, err = stylepipe("masks", photos, "-o", "out", "--mask", "drawn", *more)
        assert code == 1 and "it has no mask; looked for drawn/deep.png.*" in out + err
        assert Path("out").exists() == (not more)
    assert sorted(path.name for path in Path("out").rglob("*.png")) == ["a.png"]
    assert Path("out-overlay.jpg").is_file()


def test_regions_with_soft_borders_are_refused(stylepipe, photos):
    code, _, err = stylepipe("masks", photos, "-o", "out", "--mask", "tones", "--mask-feather", "4")
    assert code == 2 and "--mask-feather softens regions, and a map of them has hard borders" in err


def test_regions_that_keep_a_part_of_the_photo_are_refused(stylepipe, photos):
    protect = ("--protect", "box:0,0,50%,100%")
    code, _, err = stylepipe("masks", photos, "-o", "out", "--mask", "tones", *protect)
    assert code == 2 and "a map of them cannot show it: pass --protect none here" in err


def test_a_sheet_that_cannot_be_written_is_one_sentence(stylepipe, photos, monkeypatch):
    def full(job, path):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("stylepipe.overlay.write_sheet", full)
    code, _, err = stylepipe("masks", photos / "a.jpg", "-o", "out", *SOFT)
    assert code == 4 and "masks are written, but not what goes with them: No space left" in err


# -- photos ------------------------------------------------------------------------------------


def test_masks_are_gray_png_named_like_their_photos_and_resume(stylepipe, photos):
    assert stylepipe("masks", photos, "-o", "out", *SOFT)[0] == 0
    names = sorted(p.relative_to("out").as_posix() for p in Path("out").rglob("*.png"))
    assert names == ["a.png", "deep.png", "trip/a.png"]
    for name in names:
        with Image.open(Path("out", name)) as mask:
            assert (mask.mode, mask.size, mask.info) == ("L", (96, 64), {})
    code, _, err = stylepipe("masks", photos, "-o", "out", *SOFT)
    assert code == 0 and "3 skipped" in err
    code, _, err = stylepipe("masks", photos, "-o", "out", *SOFT, "--mask-invert")
    assert code == 2 and "not made from this source by these settings" in err


def test_masks_given_back_do_what_the_masker_does(stylepipe, photos):
    """Up to the rounding to 8 bits, which moves a mixed color by no more than a step."""
    paint = ("posterize", photos, "--levels", "2", "--format", "png")
    more = (*SOFT, "--mask-feather", "3", "--mask-invert")
    assert stylepipe("masks", photos, "-o", "masks", *more)[0] == 0
    assert stylepipe(*paint, "-o", "direct", *more)[0] == 0
    assert stylepipe(*paint, "-o", "back", "--mask", "masks")[0] == 0
    for name in ("a.png", "trip/a.png", "deep.png"):
        mask = pixels(Path("masks", name))
        assert 0 < mask.mean() < 255 and len(np.unique(mask)) > 30
        direct, back = pixels(Path("direct", name)), pixels(Path("back", name))
        step = 257 if direct.max() > 255 else 1
        assert np.abs(direct - back).max() <= step
    assert stylepipe(*paint, "-o", "plain")[0] == 0
    assert not np.array_equal(pixels("plain/a.png"), pixels("back/a.png"))


def test_the_sheet_shows_the_mask_over_the_photo_and_is_no_mask(stylepipe, make_photo):
    make_photo("photos/overlay.png", fill=90)
    box = ("--mask", "box", "--mask-box", "0,0,50%,100%")
    code, _, err = stylepipe("masks", "photos", "-o", "out", *box)
    assert code == 0 and "overlay of 1 picture: out-overlay.jpg" in err
    sheet = pixels("out-overlay.jpg")[:200]
    left, right = sheet[100, 100], sheet[100, 220]
    assert left[0] > left[1] + 80 and np.abs(right - 90).max() < 8
    assert {path.name for path in Path("out").rglob("*.*")} == {".stylepipe", "overlay.png",
                                                               "journal.jsonl"}  # fmt: skip


def test_an_empty_mask_is_black_and_not_the_photo(stylepipe, photos):
    nothing = ("--mask", "luminance", "--mask-lightness", "0.998-0.999", "--mask-softness", "0")
    code, _, err = stylepipe("masks", photos / "a.jpg", "-o", "mask.png", *nothing)
    assert code == 0 and "lightness, so nothing of it is painted" in err
    assert pixels("mask.png").max() == 0


def test_what_is_protected_alone_is_a_mask_too(stylepipe, photos):
    protect = ("--protect", "box:0,0,50%,100%:1")
    assert stylepipe("masks", photos / "a.jpg", "-o", "mask.png", *protect)[0] == 0
    mask = pixels("mask.png")
    assert mask[:, :48].max() == 0 and mask[:, 48:].min() == 255


def test_one_photo_and_one_file(stylepipe, photos):
    code, _, err = stylepipe("masks", photos / "a.jpg", "-o", "mask.png", *SOFT)
    assert code == 0 and "mask-overlay.jpg" in err
    with Image.open("mask.png") as mask:
        assert mask.mode == "L"


def test_a_dry_run_and_json_are_those_of_run(stylepipe, photos):
    code, out, _ = stylepipe("masks", photos, "-o", "out", *SOFT, "--json")
    events = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and sum(e["event"] == "item_done" for e in events) == 3
    assert stylepipe("masks", photos, "-o", "dry", *SOFT, "--dry-run")[0] == 0
    assert not Path("dry").exists() and not Path("dry-overlay.jpg").exists()


def test_of_a_preset_the_mask_counts(stylepipe, photos):
    Path("p.toml").write_text(
        '[mask]\nuse = "box"\nbox = "0,0,48,64"\n[stylizer]\nuse = "gatys"\n'
        '[output]\nformat = "jpg"\n'
    )
    assert stylepipe("masks", photos, "-o", "out", "--preset", "p.toml")[0] == 0
    mask = pixels("out/a.png")
    assert mask[:, :48].min() == 255 and mask[:, 48:].max() == 0


# -- films -------------------------------------------------------------------------------------


def test_masks_of_a_film_are_a_folder_and_given_back_do_the_same(stylepipe, make_clip):
    make_clip("films/day.one.mp4", frames=5, sound=True)
    assert (code := stylepipe("masks", "films", "-o", "masks", *SOFT))[0] == 0, code
    assert "left out" not in code[2]
    files = sorted(Path("masks/day.one").iterdir())
    assert [file.name for file in files] == [f"00000{n}.png" for n in range(1, 6)]
    with Image.open(files[0]) as mask:
        assert mask.mode == "L"
    assert not np.array_equal(pixels(files[0]), pixels(files[4]))
    paint = ("posterize", "films", "--levels", "2", "--format", "png/")
    assert stylepipe(*paint, "-o", "direct", *SOFT)[0] == 0
    assert stylepipe(*paint, "-o", "back", "--mask", "masks")[0] == 0
    for file in files:
        one, other = (pixels(Path(out, "day.one", file.name)) for out in ("direct", "back"))
        # half an 8-bit step of the mask, in linear light
        assert np.abs(one - other).max() <= 3


def test_masks_of_an_animation_need_a_folder(stylepipe):
    Path("in").mkdir()
    steps = [Image.new("RGB", (32, 24), (40 * n, 90, 20)) for n in range(3)]
    steps[0].save("in/a.gif", save_all=True, append_images=steps[1:])
    code, _, err = stylepipe("masks", "in", "-o", "out", *SOFT)
    assert code == 1 and ".png/" in err
    assert stylepipe("masks", "in", "-o", "out", *SOFT, "--format", "png/")[0] == 0
    assert len(list(Path("out/a").iterdir())) == 3


# -- regions -----------------------------------------------------------------------------------


def test_regions_become_a_map_and_a_legend_and_given_back_their_names(stylepipe, photos):
    assert stylepipe("masks", photos, "-o", "maps", "--mask", "tones")[0] == 0
    assert '"dark" = "#e6194b"\n"light" = "#3cb44b"' in Path("maps/legend.toml").read_text()
    colors = {tuple(color) for color in pixels("maps/a.png").reshape(-1, 3)}
    assert colors == {(0xE6, 0x19, 0x4B), (0x3C, 0xB4, 0x4B)}
    run = ("run", photos / "a.jpg", "--style", "wheat-field@dark")
    back = ("--mask", "labels", "--mask-maps", "maps")
    assert stylepipe(*run, "-o", "back.png", *back)[0] == 0
    assert stylepipe(*run, "-o", "direct.png", "--mask", "tones")[0] == 0
    dark = np.all(pixels("maps/a.png") == (0xE6, 0x19, 0x4B), axis=2)
    changed = np.any(pixels("back.png") != pixels("photos/a.jpg"), axis=2)
    assert not changed[~dark].any() and changed[dark].mean() > 0.9
    flat = np.abs(pixels("back.png") - pixels("direct.png")).max(2) <= 1
    assert flat.mean() > 0.5, "the same but for the soft borders, which a map cannot have"


def test_maps_of_regions_keep_their_colors(stylepipe, photos):
    Path("drawn.png").parent.mkdir(exist_ok=True)
    drawn = np.zeros((64, 96, 3), np.uint8)
    drawn[:, 48:] = (0, 128, 255)
    Image.fromarray(drawn).save("drawn.png")
    assert stylepipe("masks", photos, "-o", "maps", "--regions", "drawn.png")[0] == 0
    assert np.array_equal(pixels("maps/trip/a.png"), drawn)
    assert not Path("maps/legend.toml").exists()


def test_named_regions_become_a_map_whatever_their_strength(stylepipe, photos):
    def made(box, code=0):
        words = ("masks", photos / "a.jpg", "-o", "maps", "--mask-missing", "fail")
        regions = ("--region", f"box:{box}=wheat-field:0.3", "--region", "rest=keep")
        found = stylepipe(*words, *regions)
        assert found[0] == code, found
        return found[2], pixels("maps/a.png")

    _, map_ = made("0,0,50%,100%")
    assert {tuple(color) for color in map_[:, :48].reshape(-1, 3)} == {(0xE6, 0x19, 0x4B)}
    assert map_[:, 48:].max() == 0
    assert "1 skipped" in made("0,0,50%,100%")[0]
    assert "not made from this source by these settings" in made("0,0,25%,100%", 2)[0]


def test_masks_that_were_inverted_say_how_to_give_them_back(stylepipe, photos):
    box = ("--mask", "box:0,0,50%,100%")
    code, _, err = stylepipe("masks", photos, "-o", "turned", *box, "--mask-invert")
    assert (
        code == 0 and "--mask turned gives them back, without --mask-invert: it is in them" in err
    )
    assert "gives them back" not in stylepipe("masks", photos, "-o", "plain", *box)[2]
