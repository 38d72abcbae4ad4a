"""Every example of the documentation does what its page says."""

import importlib.util
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from test_docs import losses_as_before  # noqa: F401

from stylepipe import Frame, Painted
from stylepipe.cli import main
from stylepipe.plugins import Plugins
from stylepipe.testing import (
    FlowContract,
    MaskerContract,
    ReaderContract,
    StylizerContract,
    TemporalContract,
    WriterContract,
    scene,
)

DOCS = Path(__file__).resolve().parents[1] / "docs"
EXAMPLES = DOCS / "examples"


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


farbfeld, ghosts, pan, shadows, steady, tones, tripod = map(
    load, ("farbfeld", "ghosts", "pan", "shadows", "steady", "tones", "tripod")
)


class TestMasker(MaskerContract):
    component = shadows.Shadows


class TestMaskerOfRegions(MaskerContract):
    component = tones.Tones


class TestFlow(FlowContract):
    component = pan.Pan


class TestTemporal(TemporalContract):
    component = tripod.Tripod


class TestFilter(TemporalContract):
    component = steady.Steady


class TestStylizerWithGuides(StylizerContract):
    component = ghosts.Ghosts


class TestReader(ReaderContract):
    component = farbfeld.FarbfeldReader

    @pytest.fixture
    def sample(self, tmp_path):
        return farbfeld_file(tmp_path / "sample.ff")


class TestWriter(WriterContract):
    component = farbfeld.FarbfeldWriter

    @pytest.fixture
    def reader(self):
        cls = farbfeld.FarbfeldReader
        return cls(cls.Options())


def farbfeld_file(path, width=21, height=13):
    pixels = np.dstack([scene(width, height), np.full((height, width), 200, np.uint8)])
    header = farbfeld.HEADER.pack(farbfeld.MAGIC, width, height)
    path.write_bytes(header + (pixels.astype(np.uint16) * 257).astype(">u2").tobytes())
    return path


def run(*args, plugin, code=0):
    assert main.run([*map(str, args), "--plugin", str(EXAMPLES / f"{plugin}.py")]) == code


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_each_example_loads_and_is_shown_on_a_page(path):
    record = Plugins([str(path)]).records[-1]
    assert (record.name, record.error) == (path.stem, None)
    pages = "".join(page.read_text(encoding="utf-8") for page in DOCS.rglob("*.md"))
    assert f"examples/{path.name}" in pages


def test_shadows_keep_the_light_parts(make_photo, tmp_path):
    photo, painted = make_photo("photo.png"), tmp_path / "out.png"
    more = ("--mask", "shadows", "--plugin", EXAMPLES.parents[1] / "examples/posterize.py")
    run("posterize", photo, "-o", painted, *more, plugin="shadows")
    before, after = cv2.imread(str(photo)), cv2.imread(str(painted))
    light = before.mean(2) > 0.57 * 255
    assert (before[light] == after[light]).all()
    assert (before[~light] != after[~light]).any()


@pytest.mark.parametrize("method", [("warp", "--flow", "pan", "--plugin", EXAMPLES / "pan.py"),
                                    ("tripod", "--plugin", EXAMPLES / "tripod.py")])  # fmt: skip
def test_ghosts_follow_a_clip_along_the_examples(method, make_clip, tmp_path):
    clip = make_clip(frames=4)
    run("ghosts", clip, "-o", tmp_path / "out.mp4", "--temporal", *method, plugin="ghosts")
    assert (tmp_path / "out.mp4").stat().st_size > 500


def test_pan_finds_the_motion_of_the_camera():
    still, moved = scene(64, 48), np.roll(scene(64, 48), 3, 1)
    flow = pan.Pan(pan.PanOptions()).flow(Frame(still), Frame(moved))
    assert flow.shape == (1, 2, 48, 64)
    assert abs(flow[0, 0] - 3).max() < 0.5 and abs(flow[0, 1]).max() < 0.5


def test_tripod_trusts_what_does_not_change():
    method = tripod.Tripod(tripod.TripodOptions())
    before, now = scene(64, 48), scene(64, 48)
    now[:, 32:] = 255 - now[:, 32:]
    motion = method.motion(Frame(now), Frame(before))
    guide = method.guide(motion, Frame(before), torch.device("cpu"))
    assert (guide.trust[..., :30] == 1).all() and guide.trust[..., 34:].mean() < 0.1


def test_steady_evens_out_the_brightness():
    method = steady.Steady(steady.SteadyOptions())
    levels = [100, 120, 100, 120, 100]
    window = [Painted(Frame(p), p) for p in (np.full((4, 5, 3), v, np.uint8) for v in levels)]
    results = [method.filter(window, k, None).mean() for k in range(5)]
    assert max(results) - min(results) < 2


def test_tones_paint_each_region_in_its_style(make_photo, tmp_path):
    photo = make_photo("photo.png")
    styles = ("--style", "great-wave@dark")
    run("run", photo, "-o", tmp_path / "out.png", "--mask", "tones", *styles, plugin="tones")
    before, after = cv2.imread(str(photo)), cv2.imread(str(tmp_path / "out.png"))
    light = before.mean(2) > 0.57 * 255
    assert (before[light] == after[light]).all()
    assert (before[~light] != after[~light]).any()


def test_farbfeld_comes_back_as_it_was_where_nothing_is_painted(tmp_path):
    source = farbfeld_file(tmp_path / "in.ff")
    run("run", source, "-o", tmp_path / "out", "--strength", "0", plugin="farbfeld")
    assert (tmp_path / "out" / "in.ff").read_bytes() == source.read_bytes()


def test_a_cut_farbfeld_is_named_and_costs_nothing_else(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    cut, _ = (farbfeld_file(tmp_path / "in" / f"{name}.ff") for name in ("cut", "whole"))
    cut.write_bytes(cut.read_bytes()[:-9])
    more = ("-o", tmp_path / "out", "--strength", "0")
    run("run", tmp_path / "in", *more, plugin="farbfeld", code=1)
    assert "it ends before the last of its 21x13 pixels" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").glob("*.ff")] == ["whole.ff"]


def test_a_mood_is_learned_and_painted_with(make_photo, tmp_path):
    for seed in range(2):
        make_photo(f"photos/{seed}.jpg", seed=seed)
    mood = tmp_path / "mood.json"
    run("train", "mood", "--photos", tmp_path / "photos", "-o", mood, plugin="mood")
    assert set(json.loads(mood.read_text())) == {"mean", "deviation"}
    flat = make_photo("dark.png", fill=3)
    run("mood", flat, "-o", tmp_path / "out.png", "--style", mood, plugin="mood")
    run("mood", flat, "-o", tmp_path / "no.png", "--style", flat, plugin="mood", code=2)


def test_a_training_without_photos_is_refused(tmp_path, capsys):
    run("train", "mood", "--photos", tmp_path, "-o", tmp_path / "x", plugin="mood", code=2)
    assert "there is no .jpg in" in capsys.readouterr().err


def test_credits_are_written_beside_the_results(make_photo, tmp_path):
    make_photo("in/lake.png", size=(40, 30))
    run("run", tmp_path / "in", "-o", tmp_path / "out", "--strength", "0", plugin="credits")
    assert "lake.png, painted in" in (tmp_path / "out/lake.png.txt").read_text()
    assert "done: 1" in (tmp_path / "out/credits.txt").read_text()


def test_options_of_credits_reach_its_hooks(make_photo, tmp_path, capsys):
    for name in ("lake", "wood"):
        make_photo(f"in/{name}.png", size=(40, 30))
    common = ("run", tmp_path / "in", "-o", tmp_path / "out", "--strength", "0")
    run(*common, "--credits-author", "Ada", plugin="credits")
    assert (tmp_path / "out/lake.png.txt").read_text().endswith("by Ada\n")
    run(*common, "--set", "credits.most=1", plugin="credits", code=2)
    assert "2 inputs are more than 1; use --limit 1" in capsys.readouterr().err


def test_a_tint_is_learned_and_painted_with(make_photo, tmp_path):
    for seed in range(2):
        make_photo(f"photos/{seed}.jpg", seed=seed)
    tint = tmp_path / "tint.safetensors"
    run("train", "tint", "--photos", tmp_path / "photos", "-o", tint, "--steps", 2, plugin="tint")
    run("train", "tint", "--photos", tmp_path / "photos", "-o", tint, "--steps", 3, "--red", 2,
        plugin="tint", code=2)  # fmt: skip
    photo = make_photo("photo.png")
    run("tint", photo, "-o", tmp_path / "out.png", "--style", tint, plugin="tint")
    assert (cv2.imread(str(tmp_path / "out.png")) != cv2.imread(str(photo))).any()
    run("tint", photo, "-o", tmp_path / "no.png", "--style", photo, plugin="tint", code=2)


def test_grayness_takes_the_colors_away(make_photo, tmp_path):
    photo, spreads = make_photo("photo.png"), []
    painting = make_photo("painting.png", size=(80, 72), seed=4)
    for weight in (0, 300):
        out = tmp_path / f"{weight}.png"
        run("gatys", photo, "-o", out, "--style", painting, "--steps", 12, "--device", "cpu",
            "--grayness-weight", weight, plugin="grayness")  # fmt: skip
        spreads.append(cv2.imread(str(out)).astype(float).std(2).mean())
    assert spreads[1] < 0.9 * spreads[0]


def test_a_command_and_a_preset_come_with_a_plugin(tmp_path, capsys):
    run("newest", EXAMPLES / "presets", plugin="newest")
    assert capsys.readouterr().out.strip().endswith("soft.toml")
    run("presets", "show", "soft", "--resolved", plugin="newest")
    assert "strength = 0.5" in capsys.readouterr().out
