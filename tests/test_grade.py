"""Grading: requests refused first, then tables, what they do to photos, and films."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from stylepipe_plugins.grade import GradeStylizer
from stylepipe_plugins.grade.cube import cube_text, read_cube
from stylepipe_plugins.grade.looks import LOOKS, table

from stylepipe import StyleRef, UsageError
from stylepipe.cli import main
from stylepipe.nst.grading import STEEPEST, blend, fitted_table, samples
from stylepipe.nst.oklab import oklab, srgb
from stylepipe.nst.tables import Curves, Table, graded, grid, sampled
from stylepipe.testing import StylizerContract


def picture(height: int, width: int, seed: int, tint=(1.0, 1.0, 1.0)) -> np.ndarray:
    """A soft picture of many colors, HxWx3 in [0, 1]."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0.05, 0.95, (5, 7, 3)).astype(np.float32)
    soft = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    return soft * np.float32(tint)


def save(path: Path, pixels: np.ndarray, white: int = 255) -> Path:
    """Write HxWx3, or with opacity HxWx4, in [0, 1]."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = np.rint(pixels * white).astype(np.uint8 if white == 255 else np.uint16)
    order = [2, 1, 0, 3][: pixels.shape[2]]
    assert cv2.imwrite(str(path), whole[..., order])
    return path


def read(path: Path) -> np.ndarray:
    """HxWx3 integers as they are."""
    found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert found is not None
    return found[..., 2::-1].astype(np.int64)


def tensor(pixels: np.ndarray) -> torch.Tensor:
    """1 3 H W."""
    return torch.from_numpy(np.ascontiguousarray(pixels, np.float32)).permute(2, 0, 1)[None]


def grade(*words: object) -> int:
    return main.run(["grade", *map(str, words), "--device", "cpu", "-q"])


@pytest.fixture
def files(tmp_path: Path) -> Path:
    save(tmp_path / "photo.png", picture(48, 64, 1))
    save(tmp_path / "reference.png", picture(40, 40, 2, (1.0, 0.7, 0.4)))
    return tmp_path


# -- refused --------------------------------------------------------------------------------------

HEAD = "LUT_3D_SIZE 2\n"
ROWS = "".join(f"{r} {g} {b}\n" for b in (0, 1) for g in (0, 1) for r in (0, 1))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (ROWS, "no LUT_3D_SIZE"),
        (HEAD + ROWS[:-6], "8 lines of numbers belong to its size 2, not 7; it may be cut off"),
        (HEAD + ROWS + "0 0 0\n", "not 9"),
        (HEAD + ROWS.replace("1 1 1", "1 nan 1"), "line 9: a color is three finite numbers"),
        (HEAD + ROWS.replace("0 0 0", "nan 0 0"), "line 2: a color is three finite numbers"),
        (HEAD + ROWS.replace("0 0 0", "0 0"), "line 2: a color is three finite numbers"),
        ("LUT_3D_SIZE 1\n0 0 0\n", "a whole number from 2 to 129"),
        ("LUT_3D_SIZE 130\n", "a whole number from 2 to 129"),
        ("LUT_3D_SIZE two\n", "a whole number from 2 to 129"),
        ("LUT_1D_SIZE 2\n" + HEAD + ROWS, "two tables"),
        ("DOMAIN_MIN 0 0 0\nDOMAIN_MAX 1 0 1\n" + HEAD + ROWS, "its domain ends where it begins"),
        ("DOMAIN_MIN 0 x 0\n" + HEAD + ROWS, "line 1: a color is three finite numbers"),
        ("<html>\n" + HEAD + ROWS, "line 1: a color is three finite numbers"),
        ("NONSENSE 3\n" + HEAD + ROWS, "line 1: NONSENSE is no word"),
        ("", "no LUT_3D_SIZE"),
    ],
)
def test_a_bad_cube_is_refused_in_a_sentence(
    text: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo, cube = save(tmp_path / "photo.png", picture(8, 8, 0)), tmp_path / "bad.cube"
    cube.write_text(text)
    assert grade(photo, "-o", tmp_path / "out", "--style", cube, "--dry-run") == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--keep-colors"], "leave it out, or lower --strength"),
        (["--export", "look.txt"], "--export writes .cube files"),
        (["--export", "nowhere/look.cube"], "there is no folder"),
        (["--export", "look.cube", "--strength", "0"], "no table to --export"),
        (["--style", "noire"], "did you mean 'noir'"),
    ],
)
def test_what_means_nothing_is_refused(
    words: list[str],
    told: str,
    files: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(files)
    assert grade("photo.png", "-o", "out", "--style", "reference.png", *words) == 2
    assert told in capsys.readouterr().err
    assert not (files / "out").exists()


def test_a_reference_that_is_transparent_everywhere(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clear = save(files / "clear.png", np.dstack([picture(9, 9, 3), np.zeros((9, 9))]))
    assert grade(files / "photo.png", "-o", files / "out", "--style", clear) == 2
    assert "transparent everywhere" in capsys.readouterr().err


def test_an_export_needs_one_table(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(files / "in" / "a.png", picture(9, 9, 1))
    save(files / "in" / "b.png", picture(9, 9, 2))
    style = ("--style", files / "reference.png", "--export", files / "look.cube")
    assert grade(files / "in", "-o", files / "out", *style) == 2
    assert "differs from photo to photo" in capsys.readouterr().err
    regions = save(files / "map.png", np.round(picture(9, 9, 1)[..., :1]).repeat(3, 2))
    words = (files / "in/a.png", "-o", files / "a.png", *style, "--style", "noir")
    assert grade(*words, "--regions", regions) == 2
    assert "each region has its own table" in capsys.readouterr().err
    cube = files / "own.cube"
    cube.write_text(HEAD + ROWS)
    assert grade(files / "in/a.png", "-o", files / "a.png", "--style", cube, "--export", cube) == 2
    assert "--export would replace" in capsys.readouterr().err
    assert cube.read_text() == HEAD + ROWS


def test_an_export_after_the_job_is_done_is_not_dropped(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (files / "photo.png", "-o", files / "out.png", "--style", files / "reference.png")
    assert grade(*words) == 0
    look = files / "look.cube"
    assert grade(*words, "--export", look) == 2
    assert "pass --redo" in capsys.readouterr().err
    assert grade(*words, "--export", look, "--redo") == 0
    assert look.is_file()
    assert grade(*words, "--export", look) == 0, "nothing is left to do, and nothing is missing"


# -- tables ---------------------------------------------------------------------------------------


def test_a_table_that_changes_nothing_changes_nothing() -> None:
    photo = tensor(picture(31, 700, 4))
    assert (Table(grid())(photo) - photo).abs().max() < 1e-6
    assert (Curves(torch.linspace(0, 1, 5)[:, None].expand(5, 3))(photo) - photo).abs().max() < 1e-6


@pytest.mark.parametrize("size", [2, 17, 65])
def test_a_table_is_read_red_first(size: int, tmp_path: Path) -> None:
    """Straight in each channel, and all three different, so that any size is exact."""
    path = tmp_path / "look.cube"
    steps = [k / (size - 1) for k in range(size)]
    rows = [f"{0.5 * r} {1 - g} {0.2 + b / 2}" for b in steps for g in steps for r in steps]
    path.write_text("\n".join(['TITLE "a # title"', "# note", f"LUT_3D_SIZE {size}", *rows]))
    cube, photo = read_cube(path), picture(20, 30, 3)
    found = Table(torch.from_numpy(cube.values))(tensor(photo))
    wanted = tensor(np.dstack([0.5 * photo[..., 0], 1 - photo[..., 1], 0.2 + photo[..., 2] / 2]))
    assert (found - wanted).abs().max() < 1e-6


def test_the_domain_of_a_table_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.cube"
    path.write_text("DOMAIN_MIN 0 0 0\nDOMAIN_MAX 2 2 2\n" + HEAD + ROWS)
    cube, photo = read_cube(path), tensor(picture(9, 9, 1))
    found = Table(torch.from_numpy(cube.values), cube.low, cube.high)(photo)
    assert (found - photo / 2).abs().max() < 1e-6


def test_curves_are_read_a_channel_each(files: Path) -> None:
    cube = files / "curves.cube"
    cube.write_text("LUT_1D_SIZE 3\n0 1 0\n0.5 0.5 0.25\n1 0 1\n")
    assert grade(files / "photo.png", "-o", files / "out.png", "--style", cube) == 0
    photo, found = read(files / "photo.png") / 255, read(files / "out.png")
    blue = np.interp(photo[..., 2], [0, 0.5, 1], [0, 0.25, 1])
    wanted = 255 * np.dstack([photo[..., 0], 1 - photo[..., 1], blue])
    assert np.abs(found - wanted).max() <= 0.51


def test_an_exported_table_does_the_same_as_the_job(files: Path) -> None:
    photo, look = files / "photo.png", files / "look.cube"
    style = ("--style", files / "reference.png", "--strength", 0.8)
    assert grade(photo, "-o", files / "a.png", *style, "--export", look) == 0
    assert look.read_text().startswith('TITLE "photo"\n# for pictures in sRGB\nLUT_3D_SIZE 33\n')
    assert grade(photo, "-o", files / "b.png", "--style", look) == 0
    assert np.abs(read(files / "a.png") - read(files / "b.png")).max() <= 1
    values = read_cube(look).values
    assert cube_text(values, "photo") == look.read_text()


def test_a_look_is_exported_whatever_the_photos(files: Path) -> None:
    save(files / "in" / "a.png", picture(9, 9, 1))
    save(files / "in" / "b.png", picture(9, 9, 2))
    look = files / "noir.cube"
    assert grade(files / "in", "-o", files / "out", "--style", "noir", "--export", look) == 0
    assert np.abs(read_cube(look).values - table("noir").values.numpy()).max() < 1e-6


@pytest.mark.parametrize("name", list(LOOKS))
def test_looks_are_smooth_and_never_turn_light_into_dark(name: str) -> None:
    values = table(name).values
    gray = torch.arange(len(values))
    assert oklab(values[gray, gray, gray])[:, 0].diff().min() > 0
    ends = oklab(values[[0, -1], [0, -1], [0, -1]])
    assert ends[:, 1:].abs().max() < 2e-3, "black and white are not tinted"
    assert (values - grid()).abs().max() > 0.05
    if name == "noir":
        assert (values.amax(-1) - values.amin(-1)).max() < 2e-3


def test_there_and_back_through_oklab() -> None:
    colors = grid(17)
    assert (srgb(oklab(colors)) - colors).abs().max() < 1e-3
    assert oklab(torch.ones(1, 3))[0].tolist() == pytest.approx([1, 0, 0], abs=1e-4)


# -- photos ---------------------------------------------------------------------------------------


def distance(a: torch.Tensor, b: torch.Tensor) -> float:
    """Sliced Wasserstein distance in Oklab of two pictures 1 3 H W."""
    generator = torch.Generator().manual_seed(7)
    ways = torch.nn.functional.normalize(torch.randn(3, 48, generator=generator), dim=0)
    x, y = ((oklab(samples(p[0])) @ ways).sort(0).values for p in (a, b))
    return float((x - y).square().mean().sqrt())


def matched(photo: torch.Tensor, reference: torch.Tensor) -> Table:
    return fitted_table(samples(photo[0]), blend([(samples(reference[0]), 1.0)]))


@pytest.mark.parametrize("tint", [(1.0, 0.7, 0.4), (0.5, 0.6, 0.9), (0.3, 0.3, 0.3)])
def test_colors_come_to_be_distributed_as_those_of_the_reference(tint) -> None:
    photo, reference = tensor(picture(60, 80, 1)), tensor(picture(70, 50, 2, tint))
    found = matched(photo, reference)(photo)
    assert distance(found, reference) < distance(photo, reference) / 3


def test_a_photo_after_itself_stays_as_it_is(files: Path) -> None:
    photo = files / "photo.png"
    assert grade(photo, "-o", files / "out.png", "--style", photo) == 0
    assert np.abs(read(files / "out.png") - read(photo)).max() <= 2


def test_grays_after_grays_stay_gray_and_in_order() -> None:
    photo = tensor(np.linspace(0, 1, 256)[None, :, None].repeat(8, 0).repeat(3, 2))
    found = matched(photo, 0.2 + 0.6 * photo**1.5)(photo)
    ramp = found[0, :, 0]
    assert (ramp.amax(0) - ramp.amin(0)).max() < 2 / 255
    assert ramp.diff(dim=1).min() > -1e-4
    assert ramp[0, 128] < 0.5 - 0.05


def test_a_16_bit_gradient_does_not_band(files: Path) -> None:
    """Steps of a sky change slowly: from one to the next by less than one of the source's."""
    steps = np.linspace(0.25, 0.75, 2000, dtype=np.float32)
    sky = np.stack([0.6 * steps, 0.8 * steps, steps], -1)[None].repeat(4, 0)
    save(files / "sky.png", sky, 65535)
    style = ("--style", files / "reference.png")
    assert grade(files / "sky.png", "-o", files / "out.png", *style) == 0
    found = read(files / "out.png")[0]
    assert len(np.unique(found[:, 0])) > 300, "16 bits stay"
    plain = np.diff(read(files / "sky.png")[0], axis=0).max()
    assert np.abs(np.diff(found, axis=0)).max() <= STEEPEST * np.sqrt(3) * plain + 1
    assert np.abs(np.diff(found, 2, axis=0)).max() <= 0.75 * plain


def test_a_black_background_is_not_tinted() -> None:
    """A glass on black after a flame on black, whose part of the picture is larger."""
    photo, flame = (torch.zeros(1, 3, 60, 80) for _ in range(2))
    photo[..., 24:40, 30:50] = tensor(picture(16, 20, 1)) * 0.8
    flame[..., 10:50, 20:60] = tensor(picture(40, 40, 2, (1.0, 0.6, 0.1))) * 0.5 + 0.5 * tensor(
        np.full((40, 40, 3), (1.0, 0.6, 0.1))
    )
    found = matched(photo, flame)(photo)
    assert found[..., :20, :20].max() < 0.02
    assert found[:, 0, 24:40, 30:50].mean() > photo[:, 0, 24:40, 30:50].mean()


@pytest.mark.parametrize("seed", range(2))
def test_noise_is_not_made_much_of(seed: int) -> None:
    """A photo of hardly any contrast after a reference of much."""
    photo = tensor(0.45 + 0.1 * picture(40, 40, seed))
    values = matched(photo, tensor(np.round(picture(40, 40, seed + 5)))).values
    steepest = max(float(values.diff(dim=axis).norm(dim=-1).max()) for axis in range(3)) * 32
    assert steepest <= STEEPEST + 1e-3


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (50, 50)])
def test_small_and_gray_pictures(size: tuple[int, int], files: Path) -> None:
    photo = save(files / "small.png", picture(*size, 3)[..., :1].repeat(3, 2))
    soft = save(files / "soft.png", 0.3 + 0.4 * picture(40, 40, 2))
    assert grade(photo, "-o", files / "out.png", "--style", soft) == 0
    assert read(files / "out.png").shape == (*size, 3)
    dot = save(files / "dot.png", np.full((1, 1, 3), 0.5))
    assert grade(files / "photo.png", "-o", files / "dotted.png", "--style", dot) == 0


def test_one_tone_is_left_as_it_is_and_told(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flat = save(files / "flat.png", np.full((8, 8, 3), 0.4))
    words = ["grade", flat, "-o", files / "out.png", "--style", files / "reference.png"]
    assert main.run([str(word) for word in [*words, "--device", "cpu"]]) == 0
    assert "flat.png: left as it is where it shows one tone only" in capsys.readouterr().err
    assert (read(files / "out.png") == read(flat)).all()


def test_what_is_transparent_in_a_reference_does_not_count(files: Path) -> None:
    reference = picture(40, 40, 2, (1.0, 0.7, 0.4))
    opacity = np.ones((40, 80, 1))
    opacity[:, 40:] = 0
    wide = np.concatenate([reference, np.broadcast_to((0, 1, 0), reference.shape)], 1)
    save(files / "cutout.png", np.dstack([wide, opacity]))
    for name in ("reference", "cutout"):
        style = ("--style", files / f"{name}.png")
        assert grade(files / "photo.png", "-o", files / f"by_{name}.png", *style) == 0
    far = np.abs(read(files / "by_reference.png") - read(files / "by_cutout.png"))
    assert far.max() <= 3


def test_several_references_are_mixed_by_weight() -> None:
    photo = tensor(picture(60, 80, 1))
    warm, cold = (tensor(picture(50, 50, 2, t)) for t in ((1.0, 0.6, 0.3), (0.3, 0.6, 1.0)))

    def redness(weight: float) -> float:
        parts = [(samples(warm[0]), weight), (samples(cold[0]), 1 - weight)]
        found = fitted_table(samples(photo[0]), blend(parts))(photo)
        return float((found[:, 0] - found[:, 2]).mean())

    assert redness(0.2) + 0.05 < redness(0.5) < redness(0.8) - 0.05


def test_a_look_and_a_reference_are_mixed_by_weight() -> None:
    photo, flat = tensor(picture(20, 20, 1)), Table(torch.full((2, 2, 2, 3), 0.25))
    half = graded(photo, [(flat, 0.5), (Table(grid()), 0.5)])
    assert (half - (0.125 + photo / 2)).abs().max() < 1e-6
    assert (sampled([(flat, 1.0)], 0.4)(photo) - (0.1 + 0.6 * photo)).abs().max() < 1e-6


def test_regions_of_one_reference_are_as_none(files: Path) -> None:
    """Within a rounding: the engine adds up the regions in floats."""
    halves = np.zeros((48, 64, 3))
    halves[:, 32:] = 1
    style = ("--style", files / "reference.png")
    photo = files / "photo.png"
    save(files / "map.png", halves)
    assert grade(photo, "-o", files / "a.png", *style) == 0
    assert grade(photo, "-o", files / "b.png", *style, *style, "--regions", files / "map.png") == 0
    assert np.abs(read(files / "a.png") - read(files / "b.png")).max() <= 1


# -- films ----------------------------------------------------------------------------------------


def stylizer(style: Path) -> GradeStylizer:
    from stylepipe import Context
    from stylepipe.device import Device

    found = GradeStylizer(GradeStylizer.Options(style=(str(style),)))
    found.open(Context(Device(torch.float32, torch.device("cpu")), 1 << 30, print))
    found.prepare([StyleRef(str(style), 1.0)])
    return found


def frames(found: GradeStylizer, pictures: list[np.ndarray]) -> list[torch.Tensor]:
    from stylepipe import Batch

    item = StylizerContract.item()
    found.reset(item)
    return [found.stylize(Batch(tensor(p), item)) for p in pictures]


def test_a_color_of_a_shot_becomes_the_same_in_each_frame(files: Path) -> None:
    """A pan does not pump: what was seen before has the color it had, whatever came in."""
    wide = picture(40, 160, 4)
    pan = [wide[:, start : start + 80] for start in range(0, 80, 10)]
    first, *others = frames(stylizer(files / "reference.png"), pan)
    for number, other in enumerate(others, 1):
        shift = 10 * number
        assert torch.equal(other[..., : 80 - shift], first[..., shift:]) or number == 8


def test_a_film_that_fades_in_is_not_graded_by_black(files: Path) -> None:
    scene, black = picture(40, 60, 4), np.zeros((40, 60, 3))
    found = stylizer(files / "reference.png")
    faded = frames(found, [black, scene, scene])
    (plain,) = frames(found, [scene])
    assert not faded[0].any()
    assert torch.equal(faded[1], plain)
    assert torch.equal(faded[2], plain)


def test_a_film_has_no_single_table_to_export(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        save(files / "film" / f"{number:03}.png", picture(24, 32, number))
    words = (files / "film", "-o", files / "out", "--fps", 25, "--style")
    look = ("--export", files / "look.cube")
    assert grade(*words, files / "reference.png", *look) == 1
    assert "each shot of a film has its own table" in capsys.readouterr().err
    assert not (files / "look.cube").exists()
    assert grade(*words, "noir", *look) == 0
    assert (files / "look.cube").is_file()


# -- the contract ---------------------------------------------------------------------------------


class TestLook(StylizerContract):
    component = GradeStylizer


class TestReference(StylizerContract):
    component = GradeStylizer

    @pytest.fixture
    def ready(self, opened, tmp_path):
        save(tmp_path / "reference.png", 0.25 + 0.5 * picture(40, 40, 2))
        opened.prepare([StyleRef(str(tmp_path / "reference.png"), 1.0)])
        opened.reset(self.item())
        return opened


def test_a_painting_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no")
    with pytest.raises(UsageError, match="cannot read"):
        stylizer(tmp_path / "broken.png")
