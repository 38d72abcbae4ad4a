"""``stylepipe sheet`` and ``stylepipe sweep``."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stylepipe.cli import main

ROOT = Path(__file__).resolve().parents[1]
PLUGIN = ("--plugin", str(ROOT / "examples/posterize.py"))
POSTERIZE = ("--set", "stylizer.use=posterize")
LEVELS = "stylizer.levels=2,4"


@pytest.fixture
def stylepipe(tmp_path, monkeypatch, capsys):
    """``stylepipe(*args)`` in an empty folder; returns exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(verb, *args):
        code = main.run([verb, *map(str, args), *PLUGIN])
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def photos(tmp_path, make_photo):
    (tmp_path / "photos" / "trip").mkdir(parents=True)
    make_photo("photos/a.png")
    make_photo("photos/trip/b.png", seed=1)
    return Path("photos")


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


# -- sheet -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("-o", "s.gif"), "a sheet is a picture or a page, so --output ends in"),
        (("-o", "s.png", "--vary", "stylizer.level=2"), "(did you mean 'levels'?)"),
        (("-o", "s.png", "--vary", "stylizer.levels=2,many"), "levels"),
        (("-o", "s.png", "--style", "x", "--vary", "stylizer.style=y"), "mean the same"),
        (("-o", "s.png", "--set", "mask.use=photos"), "is looked up by the name of a file"),
    ],
)
def test_a_sheet_that_cannot_be_made_is_refused(stylepipe, photos, args, said):
    code, _, err = stylepipe("sheet", photos, *args, *POSTERIZE)
    assert code == 2 and said in err and not list(Path().glob("s.*"))


def test_a_sheet_replaces_only_sheets(stylepipe, photos):
    Path("s.png").write_bytes((photos / "a.png").read_bytes())
    code, _, err = stylepipe("sheet", photos, "-o", "s.png", *POSTERIZE, "--vary", LEVELS)
    assert code == 2 and "the sheet would replace s.png, which is another file" in err
    for name in ("t.png", "t.jpg", "t.html"):
        for _ in range(2):
            code, _, err = stylepipe("sheet", photos, "-o", name, *POSTERIZE, "--vary", LEVELS)
            assert code == 0, err
        assert f"{name}: 2 variants of 2 photos" in err


def test_a_sheet_shows_what_a_run_paints(stylepipe, photos):
    code, _, err = stylepipe("sheet", photos / "a.png", "-o", "s.png", *POSTERIZE, "--vary", LEVELS)
    assert code == 0, err
    colors = set(map(tuple, pixels("s.png").reshape(-1, 3)))
    stylepipe("run", photos / "a.png", "-o", "two.png", *POSTERIZE, "--levels", 2)
    painted = set(map(tuple, pixels("two.png").reshape(-1, 3)))
    assert painted <= colors


def test_all_bundled_styles_are_shown_unless_some_are_named(stylepipe, photos):
    code, _, err = stylepipe("sheet", photos / "a.png", "-o", "s.png", "--size", 64)
    assert code == 0 and "s.png: 18 variants of 1 photo" in err
    code, _, err = stylepipe("sheet", photos / "a.png", "-o", "s.png", "-s", "scream")
    assert code == 0 and "s.png: 1 variant of 1 photo" in err


def test_a_variant_that_fails_is_shown_in_its_place(stylepipe, photos):
    Path("no.jpg").write_bytes(b"no picture")
    code, _, err = stylepipe(
        "sheet", photos / "a.png", "-o", "s.html", "-s", "no.jpg", "-s", "scream"
    )  # fmt: skip
    assert code == 1 and "s.html: 2 variants of 1 photo" in err and "1 failed" in err
    html = Path("s.html").read_text()
    assert html.count('class="failed"') == 1 and html.count('class="before p0"') == 1


def test_photos_that_cannot_be_read_are_told_and_left_out(stylepipe, photos):
    (photos / "c.png").write_bytes(b"no picture")
    code, _, err = stylepipe("sheet", photos, "-o", "s.png", *POSTERIZE)
    assert code == 0 and "c.png: " in err and "of 2 photos" in err
    code, _, err = stylepipe("sheet", photos / "c.png", "-o", "t.png", *POSTERIZE)
    assert code == 3 and "none of the inputs can be read" in err


# -- sweep -------------------------------------------------------------------------------------


def sweep(stylepipe, photos, *more):
    return stylepipe("sweep", photos, "-o", "study", *POSTERIZE, *more)


def test_a_sweep_leaves_a_table_a_sheet_a_page_and_the_pictures(stylepipe, photos):
    code, _, err = sweep(stylepipe, photos, "--vary", LEVELS)
    assert code == 0, err
    study = Path("study")
    lines = list(csv.DictReader((study / "table.csv").read_text().splitlines()))
    assert [line["levels"] for line in lines] == ["2", "4"]
    assert float(lines[0]["mse"]) > float(lines[1]["mse"]) > 0  # fewer levels, farther away
    assert all(float(line["seconds"]) > 0 and line["failed"] == "0" for line in lines)
    assert len(json.loads((study / "table.json").read_text())) == 2
    for line in lines:
        assert (study / line["folder"] / "trip" / "b.png").is_file()
    html = (study / "index.html").read_text()
    assert html.count("<figure") == 4 and html.count("<svg") >= 5
    assert pixels(study / "sheet.jpg").shape[1] > 600


def test_the_figures_are_those_of_the_pictures(stylepipe, photos):
    from stylepipe.studies.measures import mse

    sweep(stylepipe, photos / "a.png", "--vary", LEVELS)
    for line in csv.DictReader(Path("study/table.csv").read_text().splitlines()):
        result = pixels(Path("study", line["folder"], "a.png"))
        assert float(line["mse"]) == pytest.approx(mse(result, pixels(photos / "a.png")))


def test_a_sweep_resumes_and_grows(stylepipe, photos, monkeypatch):
    from stylepipe.studies import sweep as module

    begun = []
    whole = module.run

    def cut(job, *rest):
        begun.append(job.output.name)
        if len(begun) == 2:
            raise KeyboardInterrupt
        return whole(job, *rest)

    monkeypatch.setattr(module, "run", cut)
    code, _, err = sweep(stylepipe, photos, "--vary", "stylizer.levels=2,4,8")
    assert code == 130 and "1 of 3 variants are done. Run the same command again" in err
    monkeypatch.setattr(module, "run", whole)
    first = next(Path("study").glob("levels-2-*/a.png"))
    time = first.stat().st_mtime_ns
    assert sweep(stylepipe, photos, "--vary", "stylizer.levels=2,4,8")[0] == 0
    resumed = Path("study/table.csv").read_text()
    assert sweep(stylepipe, photos, "--vary", "stylizer.levels=2,4,8")[0] == 0
    assert Path("study/table.csv").read_text() == resumed
    assert sweep(stylepipe, photos, "--vary", "stylizer.levels=2,4,8,16")[0] == 0
    assert first.stat().st_mtime_ns == time
    assert len(Path("study/table.csv").read_text().splitlines()) == 5


def test_a_stop_while_the_only_photo_is_painted_leaves_the_other_variants(
    stylepipe, photos, monkeypatch
):
    from stylepipe.studies import sweep as module

    whole = module.run

    def stopped(job, plugins, report):
        whole(job, plugins, report)
        report.stopping.set()  # as Ctrl-C does, which finishes the picture in hand

    monkeypatch.setattr(module, "run", stopped)
    code, _, err = sweep(stylepipe, photos / "a.png", "--vary", "stylizer.levels=2,4")
    assert code == 130 and "1 of 2 variants are done. Run the same command again" in err


def test_a_cell_that_fails_is_told_and_the_others_are_there(stylepipe, photos):
    (photos / "c.png").write_bytes((photos / "a.png").read_bytes()[:60])
    code, _, err = sweep(stylepipe, photos, "--vary", LEVELS)
    assert code == 1 and "c.png" in err and "2 failed" in err
    assert Path("study/index.html").read_text().count('class="failed"') == 2


def test_what_is_set_holds_for_each_stylizer_that_varies():
    from stylepipe.cli.varied import variants_of
    from stylepipe.errors import UsageError
    from stylepipe.plugins import Plugins

    vary = ["stylizer.use=adain,wct"]
    sets = ["stylizer.strength=0.25"]
    trials = variants_of(Plugins(), "default", sets, ["ink.jpg"], vary, {})
    assert [trial.settings.stylizer.name for trial in trials] == ["adain", "wct"]
    assert [trial.settings.stylizer.options.strength for trial in trials] == [0.25, 0.25]
    with pytest.raises(UsageError, match="unknown option 'levels'"):
        variants_of(Plugins(), "default", ["stylizer.levels=2"], ["ink.jpg"], vary, {})


def test_a_sweep_replaces_no_page_of_others(stylepipe, photos):
    Path("study").mkdir()
    Path("study/index.html").write_text("my page")
    code, _, err = sweep(stylepipe, photos, "--vary", LEVELS)
    assert code == 2 and "the page would replace study/index.html, which is another file" in err
    assert Path("study/index.html").read_text() == "my page"


def test_results_are_compared_with_a_reference(stylepipe, photos):
    stylepipe("run", photos / "a.png", "-o", "two.png", *POSTERIZE, "--levels", 2)
    code, _, err = sweep(
        stylepipe, photos / "a.png", "--vary", LEVELS, "--reference", "two.png"
    )  # fmt: skip
    assert code == 0, err
    lines = list(csv.DictReader(Path("study/table.csv").read_text().splitlines()))
    assert float(lines[0]["mse"]) == 0 < float(lines[1]["mse"])
    assert float(lines[0]["psnr"]) == float("inf")
    Path("no.png").write_bytes(b"no picture")
    code, _, err = sweep(stylepipe, photos, "--vary", LEVELS, "--reference", "no.png")
    assert code == 2 and "--reference: cannot read no.png" in err


def test_films_and_other_photos_are_no_variants(stylepipe, photos, make_clip):
    make_clip("photos/c.mp4")
    for words in (
        ["sweep", "photos", "--vary", LEVELS, *POSTERIZE],
        ["compare", "posterize", "--photo", "photos"],
    ):
        code, _, err = stylepipe(*words, "-o", "study")
        assert code == 2 and "photos/c.mp4 is a film, and photos are compared here" in err
    code, _, err = sweep(stylepipe, photos, "--vary", "input.pages=on,off")
    assert code == 2 and "unknown table 'input'" in err


# -- compare -----------------------------------------------------------------------------------


def compare(stylepipe, *what):
    return stylepipe("compare", *what, "-o", "study", "--photo", "photos")


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (("posterise",), "'posterise' is no stylizer, no preset and no folder (did you mean"),
        (("posterize", "posterize"), "posterize is given twice"),
        (("empty",), "empty has no result of any of the photos"),
        (("posterize", "--set", "stylizer.use=fast"), "stylizer.use is set by posterize; leave"),
        (("posterize", "-s", "x", "--set", "stylizer.style=y"), "--style and stylizer.style mean"),
    ],
)
def test_what_cannot_be_compared_is_refused(stylepipe, photos, what, said):
    Path("empty").mkdir()
    code, _, err = compare(stylepipe, *what)
    assert code == 2 and said in err and not Path("study").exists()


def test_stylizers_presets_and_folders_stand_side_by_side(stylepipe, photos):
    stylepipe("run", photos, "-o", "done", *POSTERIZE, "--format", "jpg")
    Path("done/trip/b.jpg").unlink()
    Path("two.toml").write_text('[stylizer]\nuse = "posterize"\nlevels = 2\n')
    Path("posterize").mkdir()  # ./posterize would be the folder
    code, _, err = compare(stylepipe, "done/", "posterize", "./two.toml")
    assert code == 1 and "3 variants of 2 photos in" in err and ", 1 failed" in err
    lines = list(csv.DictReader(Path("study/table.csv").read_text().splitlines()))
    assert [line["what"] for line in lines] == ["done", "posterize", "./two.toml"]
    assert float(lines[2]["mse"]) > float(lines[1]["mse"]) > 0
    assert lines[0]["seconds"] == "" and float(lines[1]["seconds"]) > 0
    assert "done has no result of it" in Path("study/index.html").read_text()


def test_finished_folders_need_no_painting(stylepipe, photos):
    stylepipe("run", photos, "-o", "one", *POSTERIZE)
    stylepipe("run", photos, "-o", "two", *POSTERIZE, "--levels", 2)
    code, _, err = compare(stylepipe, "one", "two")
    assert code == 0 and "2 variants of 2 photos" in err
    assert {p.name for p in Path("study").iterdir()} == {
        "index.html", "sheet.jpg", "table.csv", "table.json",
    }  # fmt: skip
    assert compare(stylepipe, "one", "two", "--style", photos / "a.png")[0] == 0
    lines = list(csv.DictReader(Path("study/table.csv").read_text().splitlines()))
    assert all(float(line["style_distance"]) > 0 for line in lines)


# -- measure -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("photos/a.png",), "name the source and what was painted from it"),
        (("a", "b", "--style", "photos/a.png"), "--style is for pictures, whose photo --photo"),
        (("photos/a.png", "--photo", "photos"), "name a picture and its photo, or a folder"),
        (("empty", "--photo", "photos"), "no picture below empty has the name of a photo"),
        (("photos/a.png", "--photo", "photos/a.png", "--plot", "p.png"), "--plot is for films"),
        (("photos/a.png", "--photo", "photos/a.png", "--style", "no.png"), "--style: cannot read"),
    ],
)
def test_pictures_that_cannot_be_measured(stylepipe, photos, args, said):
    Path("empty").mkdir()
    Path("no.png").write_bytes(b"no picture")
    code, _, err = stylepipe("measure", *args)
    assert code == 2 and said in err


def test_a_picture_that_is_too_small_to_measure_leaves_the_others(stylepipe, photos):
    Image.new("RGB", (8, 8)).save("photos/tiny.png")
    code, out, err = stylepipe("measure", photos, "--photo", photos, "--csv", "table.csv")
    assert code == 1 and "tiny.png: a picture of 8x8 pixels is too small" in err
    lines = {x["result"]: x for x in csv.DictReader(Path("table.csv").read_text().splitlines())}
    assert lines["photos/a.png"]["content_distance"] and lines["photos/a.png"]["mse"] == "0.0"
    tiny = lines["photos/tiny.png"]
    assert tiny["content_distance"] == tiny["perceptual"] == "" and tiny["mse"] == "0.0"
    assert "photos/tiny.png" in out


def test_a_picture_too_small_for_the_encoder_has_the_other_figures(stylepipe, photos):
    Image.new("RGB", (4, 4), (90, 100, 110)).save(photos / "tiny.png")
    code, _, err = sweep(stylepipe, photos / "tiny.png", "--vary", LEVELS)
    assert code == 0 and "2 variants of 1 photo" in err
    lines = list(csv.DictReader(Path("study/table.csv").read_text().splitlines()))
    assert float(lines[0]["mse"]) > 0 and "content_distance" not in lines[0]


def test_a_photo_of_one_color_has_no_sharpness_to_compare_with(stylepipe, photos):
    Image.new("RGB", (64, 64), "gray").save(photos / "flat.png")
    code, _, err = stylepipe("measure", photos, "--photo", photos, "--csv", "table.csv")
    assert code == 0, err
    lines = {x["result"]: x for x in csv.DictReader(Path("table.csv").read_text().splitlines())}
    assert lines["photos/flat.png"]["sharpness"] == ""
    assert float(lines["photos/a.png"]["sharpness"]) == 1


def test_pictures_are_measured_by_name(stylepipe, photos):
    stylepipe("run", photos, "-o", "two", *POSTERIZE, "--levels", 2, "--format", "webp")
    more = ("--style", photos / "a.png", "--csv", "table.csv")
    code, out, err = stylepipe("measure", "two", "--photo", photos, *more)
    assert code == 0 and "judged by the compact encoder" in err
    assert "style_distance" in out and "two/trip/b.webp" in out and "mean" in out
    lines = list(csv.DictReader(Path("table.csv").read_text().splitlines()))
    assert float(lines[0]["gram relu1_1"]) > 0 and float(lines[0]["wasserstein relu1_1"]) > 0
    code, out, _ = stylepipe("measure", photos / "a.png", "--photo", photos / "a.png", "--json")
    (found,) = json.loads(out)
    assert found["mse"] == 0 and found["psnr"] is None and "style_distance" not in found
