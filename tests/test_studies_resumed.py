"""Sweeps and comparisons over time: curves by step, kills, columns that come and go."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from test_studies_commands import PLUGIN, POSTERIZE, compare, photos, stylepipe, sweep

from stylepipe.cli import main
from stylepipe.studies import measures
from stylepipe.studies import sweep as module

__all__ = ["photos", "stylepipe"]
STEPPER = '''
import csv
from pathlib import Path
from stylepipe import Caps, Stylizer, StylizerOptions, hookimpl, option


class Options(StylizerOptions):
    steps: int = option(24, "Steps.")
    trace: Path | None = option(None, "Folder.", affects_output=False)
    save_every: int = option(0, "Picture every so many.", affects_output=False)


class Stepper(Stylizer):
    """Fades to black, in steps."""

    name = "stepper"
    Options = Options
    caps = Caps(needs_style=False)

    def stylize(self, batch):
        import cv2

        options = self.options
        if options.trace is not None and options.save_every:
            folder = options.trace / batch.item.relative
            folder.mkdir(parents=True, exist_ok=True)
            for step in range(options.save_every, options.steps + 1, options.save_every):
                faded = batch.images[0] * (1 - step / options.steps)
                pixels = (255 * faded).byte().permute(1, 2, 0).numpy()
                cv2.imwrite(str(folder / f"{step:05}.png"), pixels[..., ::-1])
            with (folder / "loss.csv").open("w") as file:
                rows = csv.writer(file)
                rows.writerow(["step", "width", "loss"])
                rows.writerows([n, 96, 1 / n] for n in range(1, options.steps + 1))
        return batch.images * 0


@hookimpl
def stylepipe_components():
    return [Stepper]
'''


def table(path):
    return list(csv.DictReader(Path(path).read_text().splitlines()))


# -- curves ------------------------------------------------------------------------------------


@pytest.fixture
def stepped(stylepipe, photos):
    """A sweep over 12 and 30 steps, over two photos; returns what runs it."""
    Path("stepper.py").write_text(STEPPER)
    words = ["sweep", photos, "-o", "study", "--set", "stylizer.use=stepper"]
    words += ["--plugin", "stepper.py", "--vary", "stylizer.steps=12,30"]

    def run(*more):
        return stylepipe(*words, *more)

    return run


def test_a_sweep_keeps_and_draws_loss_and_distances_by_step(stepped, photos):
    code, _, err = stepped()
    assert code == 0, err
    (cell,) = Path("study/curves").glob("steps-30-*/a.png")
    figures = table(cell / "figures.csv")
    assert [int(line["step"]) for line in figures] == [*range(3, 31, 3)], "12 or fewer"
    distances = [float(line["content_distance"]) for line in figures]
    assert distances == sorted(distances) and distances[0] < distances[-1]
    assert len(table(cell / "loss.csv")) == 30 and not list(cell.glob("0*.png"))
    html = Path("study/index.html").read_text()
    charts = re.findall(r'role="img" aria-label="([^"]*)"', html)
    loss = next(chart for chart in charts if chart.startswith("loss by step"))
    assert loss == (
        "loss by step. steps 12: 1 at step 1, 0.08333 at step 12; "
        "steps 30: 1 at step 1, 0.03333 at step 30"
    )
    drawn = next(chart for chart in charts if chart.startswith("content distance by step"))
    (other,) = Path("study/curves").glob("steps-30-*/trip/b.png")
    last = (distances[-1] + float(table(other / "figures.csv")[-1]["content_distance"])) / 2
    assert drawn.endswith(f"{last:.4g} at step 30"), "the mean of the photos"
    assert stepped()[0] == 0 and Path("study/index.html").read_text() == html


def test_curves_are_of_what_was_painted_last(stepped, photos):
    assert stepped()[0] == 0
    (cell,) = Path("study/curves").glob("steps-12-*/a.png")
    before = table(cell / "figures.csv")
    Image.open(photos / "trip/b.png").save(photos / "a.png")
    assert stepped()[0] == 0
    assert table(cell / "figures.csv") != before


def test_a_cell_that_leaves_no_trace_has_no_curves(stepped):
    code, _, err = stepped("--set", "stylizer.trace=mine")
    assert code == 0, err
    assert not Path("study/curves").exists() and not Path("mine").exists()
    assert "by step" not in Path("study/index.html").read_text()


def test_gatys_leaves_what_curves_are_made_of(tmp_path):
    from stylepipe.plugins import Plugins
    from stylepipe.presets import resolve
    from stylepipe.studies.curves import traced

    style = {"use": "gatys", "style": ["x.png"], "steps": 100}
    found = traced(resolve(Plugins(), "default", {"stylizer": style}), tmp_path)
    assert (found.stylizer.options.trace, found.stylizer.options.save_every) == (tmp_path, 9)


# -- kill -9 -----------------------------------------------------------------------------------


def test_a_sweep_killed_in_the_middle_ends_with_the_same_page(stylepipe, photos, monkeypatch):
    with Image.open(photos / "a.png") as photo:  # tiny: what resumes is tried, not what is painted
        photo.resize((16, 12)).save("tiny.png")
    levels = ",".join(map(str, range(2, 62)))
    words = ["sweep", "tiny.png", *POSTERIZE, "--vary", f"stylizer.levels={levels}", *PLUGIN]
    killed = subprocess.Popen(
        [sys.executable, "-m", "stylepipe", *words, "-o", "killed"], stderr=subprocess.DEVNULL
    )
    while len(list(Path("killed").glob("levels-*/tiny.png"))) < 12:
        assert killed.poll() is None, "it ended too early"
        time.sleep(0.01)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not Path("killed/index.html").exists()
    # one figure is enough here, and quick
    quick = lambda result, photo, *more: {"mse": measures.mse(result, photo)}  # noqa: E731
    monkeypatch.setattr(module, "measured", quick)
    assert main.run([*words, "-o", "killed"]) == 0

    class Kept(dict):
        def __setitem__(self, key, value):
            """Seconds and memory, all that may differ, stay those of the other sweep."""

    notes = json.loads(Path("killed/sweep.json").read_text())
    monkeypatch.setattr(module, "_notes", lambda output: Kept(notes))
    monkeypatch.setattr(module.peak, "begin", lambda: False)
    assert main.run([*words, "-o", "whole"]) == 0
    assert len(table("killed/table.csv")) == 60
    for name in ("index.html", "table.csv", "table.json", "sheet.jpg"):
        assert Path("killed", name).read_bytes() == Path("whole", name).read_bytes(), name


# -- columns -----------------------------------------------------------------------------------


def test_what_a_narrower_page_no_longer_shows_is_named(stylepipe, photos):
    assert compare(stylepipe, "posterize", "default")[0] == 0
    (kept,) = Path("study").glob("what-default-*")
    code, _, err = compare(stylepipe, "posterize")
    assert (
        code == 0 and f"no longer on the page, as they were not asked for again: {kept.name}" in err
    )
    assert (kept / "a.png").is_file()
    assert "no longer on the page" not in compare(stylepipe, "posterize")[2]


def test_compare_replaces_what_other_settings_made_if_told(stylepipe, photos):
    assert compare(stylepipe, "posterize", "--set", "stylizer.levels=2")[0] == 0
    (folder,) = Path("study").glob("what-posterize-*")
    folder.rename("other")
    assert compare(stylepipe, "posterize", "--set", "stylizer.levels=9")[0] == 0
    (mine,) = Path("study").glob("what-posterize-*")
    shutil.rmtree(mine)
    Path("other").rename(mine)
    code, _, err = compare(stylepipe, "posterize", "--set", "stylizer.levels=9")
    assert code == 2 and "--overwrite" in err
    words = ("--set", "stylizer.levels=9", "--overwrite")
    code, _, err = compare(stylepipe, "posterize", *words)
    assert code == 0 and re.search(r"index.html: 1 variant of 2 photos in \d+\.\d s", err)


def test_a_comparison_shows_how_long_a_style_was_trained(stylepipe, photos, monkeypatch):
    import torch
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, "mine.safetensors", {"seconds": "90.5"})
    Path("bad.safetensors").write_bytes(b"bad")
    monkeypatch.setattr(
        "stylepipe.components.Component.files",
        lambda self: [Path("mine.safetensors"), Path("bad.safetensors")],
    )
    assert compare(stylepipe, "posterize")[0] == 0
    assert table("study/table.csv")[0]["training_seconds"] == "90.5"


def test_a_quiet_sweep_tells_its_log_all(stylepipe, photos):
    code, _, err = sweep(stylepipe, photos / "a.png", "--quiet", "--log", "log.txt")
    assert code == 0 and err == ""
    assert "index.html: 1 variant of 1 photo in" in Path("log.txt").read_text()


# -- names -------------------------------------------------------------------------------------


def test_a_result_that_may_be_of_two_photos_is_refused(stylepipe, photos):
    Image.open(photos / "a.png").save(photos / "a.jpg")
    Path("done").mkdir()
    Image.open(photos / "a.png").save("done/a.webp")
    code, _, err = stylepipe("measure", "done", "--photo", photos)
    assert code == 2 and "done/a.webp may be the result of a.jpg or of a.png; give it the" in err
    code, _, err = compare(stylepipe, "done")
    assert code == 2 and "may be the result of" in err
    Path("done/a.webp").rename("done/a.png")
    code, out, _ = stylepipe("measure", "done", "--photo", photos)
    assert code == 0 and out.count("a.png") == 1


def test_a_photo_with_two_results_is_refused_and_strange_pictures_are_counted(stylepipe, photos):
    Path("done").mkdir()
    for name in ("a.webp", "a.tif", "z.png"):
        Image.open(photos / "a.png").save(f"done/{name}")
    code, _, err = stylepipe("measure", "done", "--photo", photos)
    assert code == 2 and "a.png has several results in done: a.tif and a.webp" in err
    Path("done/a.tif").unlink()
    code, _, err = stylepipe("measure", "done", "--photo", photos)
    assert code == 0 and "1 picture below done left out, which no photo has the name of" in err
