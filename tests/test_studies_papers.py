"""The studies of papers in ``examples/studies``: figures, verdicts, and what is refused."""

import csv
import importlib
import os
import re
import shutil
import subprocess
from argparse import Namespace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from stylepipe.encoders import open_encoder
from stylepipe.nst.encoders import load_encoder, save_encoder
from stylepipe.nst.files import read_metadata
from stylepipe.nst.optimize import resize
from stylepipe.nst.paintings import Painting
from stylepipe.pictures import read_picture
from stylepipe.studies.measures import Judge, fitted, measured

STUDIES = Path(__file__).resolve().parents[1] / "examples" / "studies"
NAMES = sorted(path.stem for path in STUDIES.glob("0*.py"))
LAYERS = [f"relu{b}_{i}" for b, depth in enumerate((2, 2, 4, 4, 2), 1) for i in range(1, depth + 1)]
SIDE = 96
PAINTINGS = [STUDIES.parent / "paintings/currents.jpg"]
FEWER = {
    "000_one_style_or_any": {"GUESS": 4},
    "002_extractors_optimizers_losses": {
        "OPTIMIZERS": ("lbfgs", "sgd"),
        "LOSSES": {"+ total variation": {"tv_weight": 1}, "+ reconstruction": {"target_weight": 1}},
    },
    "003_single_layers": {"PAINTINGS": PAINTINGS},
    "004_alpha_beta": {"ALPHAS": (1e-3,), "BETAS": (1, 10), "PAINTINGS": PAINTINGS},
}


@pytest.fixture(scope="module")
def study():
    """``study(name)``: the module of examples/studies, which tries fewer values than it would."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(STUDIES))
        for name, fewer in FEWER.items():
            for constant, value in fewer.items():
                patch.setattr(importlib.import_module(name), constant, value)
        yield importlib.import_module


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """``weights(last)``: a file of a small encoder to that layer, which nobody trained."""

    @cache
    def made(last):
        path = tmp_path_factory.mktemp("weights") / "encoder.safetensors"
        generator, channels, stack = torch.Generator().manual_seed(0), 3, {}
        for name in LAYERS[: LAYERS.index(last) + 1]:
            weight = (
                torch.randn(8, channels, 3, 3, generator=generator) * (2 / (9 * channels)) ** 0.5
            )
            stack[name], channels = (weight, torch.zeros(8)), 8
        save_encoder(path, stack)
        return path

    return made


@pytest.fixture(scope="module")
def squeezenet(tmp_path_factory):
    """Weights of a SqueezeNet that nobody trained."""
    from torchvision.models import squeezenet1_1

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "squeezenet.safetensors"
    save_file(squeezenet1_1(weights=None).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def folder(study, weights, squeezenet, tmp_path_factory):
    """``folder(name)``: what a study of that name leaves, tiny; each is run once."""

    @cache
    def made(name):
        output = tmp_path_factory.mktemp(name) / "study"
        encoder = squeezenet if name.startswith("003") else weights("relu5_2")
        args = ["-o", output, "--side", SIDE, "--steps", 2]
        if name.startswith("002"):
            args += ["--extractor", f"compact={encoder}"]
        else:
            args += ["--encoder-weights", encoder]
        if name.startswith("000"):
            args += ["--arbitrary-steps", 2]
        assert study(name).main([str(a) for a in args]) == 0
        return output

    return made


def table(folder, name):
    return list(csv.DictReader((folder / f"{name}.csv").read_text("utf-8").splitlines()))


def on_page(folder, rows):
    """Whether the page shows these lines of a table, numbers to three digits."""

    def cell(value):
        try:
            number = float(value)
            return f"{number:.0f}" if abs(number) >= 1000 else f"{number:.3g}"
        except ValueError:
            return value

    columns = [column for column in rows[0] if column != "picture"]
    lines = [columns, ["---"] * len(columns), *([cell(row[c]) for c in columns] for row in rows)]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return text in (folder / "index.md").read_text("utf-8")


def check(folder, name, photo, painting, columns, **own):
    """Every figure of a table, in the file and on the page, is that of the picture it names."""
    judge = Judge(open_encoder("auto"))
    rows = table(folder, name)
    assert rows
    assert on_page(folder, rows)
    for row in rows:
        picture = read_picture(folder / row["picture"])
        beside = read_picture(folder / photo)
        style = painting(row) if callable(painting) else painting
        figures = measured(picture, beside, judge, style and read_picture(folder / style))
        figures |= {c: figure(picture, row) for c, figure in own.items()}
        for column in (*columns, *own):
            assert float(row[column]) == pytest.approx(figures[column], rel=1e-4, abs=1e-7), column


DISTANCES = ("style_distance", "content_distance", "mse")


def test_figures_of_one_style_or_any(folder):
    made = folder("000_one_style_or_any")
    rows = table(made, "networks")
    assert len(rows) == 10 and on_page(made, rows)
    assert [row["network"] for row in rows[8:]] == ["none: the painting"] * 2
    for photo in ("face", "other"):
        mine = [row for row in rows if row["photo"] == photo]
        for row in mine:
            picture, beside = (
                read_picture(made / row["picture"]),
                read_picture(made / f"{photo}.png"),
            )
            figures = measured(
                fitted(picture, beside),
                beside,
                Judge(open_encoder("auto")),
                read_picture(made / "painting.png"),
            )
            for column in DISTANCES:
                assert float(row[column]) == pytest.approx(figures[column], rel=1e-4)
    networks = ("wang-style-1", "wang-style-2", "style-swap", "adain")
    took = [float(read_metadata(made / f"{name}.safetensors")["seconds"]) for name in networks]
    assert [float(row["training"]) for row in rows[:8:2]] == took and min(took) > 0


def test_figures_of_iterations_and_borders(folder):
    made = folder("001_iterations_and_borders")
    check(made, "iterations", "photo.png", "currents.png", (*DISTANCES, "sharpness"))
    mask = read_picture(made / "mask.png")[..., 0] > 0
    inner, outer = (
        cv2.distanceTransform(m.astype(np.uint8), cv2.DIST_L2, 5) for m in (mask, ~mask)
    )

    def seam(picture, _):
        gray = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(float)
        padded = np.pad(gray, 1, mode="reflect")
        around = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
        detail, near = np.abs(around - 4 * gray), inner + outer <= max(2, SIDE // 24)
        return detail[near].mean() / detail[~near].mean()

    rows = table(made, "borders")
    assert [row["border"] for row in rows][1:] == ["feather", "inside", "simple", "the photo"]
    for row in rows:
        assert float(row["seam"]) == pytest.approx(seam(read_picture(made / row["picture"]), row))
    assert on_page(made, rows)


def test_figures_of_extractors_optimizers_and_losses(folder, weights):
    made = folder("002_extractors_optimizers_losses")
    truth = next((made / "adain").glob("*/photo.png"))

    def mse(picture, _):
        return np.square(picture / 255.0 - read_picture(truth) / 255.0).mean()

    def ssim(picture, _):
        from torchmetrics.functional.image import structural_similarity_index_measure

        pair = (
            torch.tensor(p / 255.0).permute(2, 0, 1)[None] for p in (picture, read_picture(truth))
        )
        return float(structural_similarity_index_measure(*pair, data_range=1.0))

    style = ("style_distance", "content_distance")
    check(made, "iterations", "photo.png", "painting.png", style, mse=mse, ssim=ssim)
    first, *others = rows = table(made, "losses")
    assert on_page(made, rows)
    assert first["network"] == "none: the photo" and len(others) == 6
    for row in (first, *others):
        picture = read_picture(made / row["picture"])
        assert float(row["mse"]) == pytest.approx(mse(picture, row), rel=1e-4)
        assert float(row["ssim"]) == pytest.approx(ssim(picture, row), rel=1e-3)
    assert (made / "iterations.jpg").stat().st_size <= 60_000
    page = (made / "index.md").read_text("utf-8")
    command = re.search(r"Made by `.* -o ablation (.*)`", page)[1]
    assert f"--extractor compact={weights('relu5_2')}" in command and "--steps 2" in command


def test_figures_of_single_layers_of_another_network(folder):
    made = folder("003_single_layers")
    judge = Judge(open_encoder("auto"))

    def lpips(other):
        def figure(picture, row):
            beside = fitted(read_picture(made / other(row)), picture)
            own, wanted = judge.features(picture), judge.features(beside)
            total = 0.0
            for layer in judge.calibration:
                a, b = (f[layer] / f[layer].norm(dim=1, keepdim=True) for f in (own, wanted))
                total += float((a.nan_to_num() - b.nan_to_num()).square().sum(dim=1).mean())
            return total

        return figure

    own = {
        "lpips to painting": lpips(lambda row: row.get("style", "currents.png")),
        "lpips to photo": lpips(lambda row: "photo.png"),
    }
    for name in ("textures", "contents"):
        check(made, name, "photo.png", "currents.png", ("style_distance", "mse"), **own)
        assert table(made, name)[0]["layer"] in ("relu1", "pool1")
    check(made, "content_loss", "photo.png", lambda row: row["style"], ("mse",), **own)
    assert on_page(made, table(made, "pairs"))
    for row in table(made, "pairs"):
        a, b = (read_picture(made / f"{row[side]}.png") for side in "ab")
        difference = (a.astype(float) - b) / 127.5
        assert float(row["squared"]) == pytest.approx(np.square(difference).mean())
        assert float(row["lpips"]) == pytest.approx(
            lpips(lambda row: f"{row['b']}.png")(a, row), rel=1e-4
        )


def test_textures_begin_with_noise(folder):
    made = folder("003_single_layers")
    photo = read_picture(made / "photo.png").astype(float)
    for name in ("textures", "contents"):
        for row in table(made, name):
            picture = read_picture(made / row["picture"]).astype(float)
            assert np.corrcoef(picture.ravel(), photo.ravel())[0, 1] < 0.5


def test_figures_of_alpha_and_beta(folder, weights):
    made = folder("004_alpha_beta")
    check(made, "grid", "photo.png", "currents.png", DISTANCES)
    assert [(row["alpha"], row["beta"]) for row in table(made, "grid")] == [
        ("0.001", "1.0"), ("0.001", "10.0")]  # fmt: skip
    encoder = load_encoder(weights("relu5_2"))
    first = list(encoder.default_style)
    layers = {
        "conv_1": first,
        "conv_2": [n.replace("4_1", "4_2").replace("5_1", "5_2") for n in first],
    }

    def features(name):
        pixels = torch.tensor(read_picture(name) / 255.0).float().permute(2, 0, 1)[None]
        if name.name == "currents.png":  # of the photo's area
            size = Painting(pixels).size_for(read_picture(made / "photo.png").shape[:2], 1, 16)
            pixels = resize(pixels, size)
        return encoder(pixels, encoder.layers)

    def gram(f):
        flat = f[0].double().flatten(1)
        return flat @ flat.T / flat.shape[1]

    assert on_page(made, table(made, "conv_2")) and on_page(made, table(made, "reference"))
    for row in table(made, "conv_2"):
        own, photo, painting = (
            features(made / p) for p in (row["picture"], "photo.png", row["style"])
        )
        # Gatys et al. (2015), eq. 1, 4, 5 and 7
        content = (own["relu4_2"].double() - photo["relu4_2"]).square().sum() / 2
        for name, used in layers.items():
            errors = [
                (gram(own[n]) - gram(painting[n])).square().sum() / (4 * len(gram(own[n])) ** 2)
                for n in used
            ]
            loss = float(row[f"loss of {name}"])
            assert loss == pytest.approx(float(1e-3 * content + sum(errors) / 5), rel=1e-3)
        assert row["own loss"] == row[f"loss of {row['style from']}"]
    skies = [
        np.asarray(Image.open(made / f"{name}_sky.png")) > 0 for name in ("photo", "reference")
    ]
    wanted = read_picture(made / "reference.png") / 255
    for row in table(made, "reference"):
        picture = read_picture(made / row["picture"]) / 255
        for column, flip in (("sky", False), ("below", True)):
            own, theirs = (
                p[s ^ flip].mean(axis=0) for p, s in zip((picture, wanted), skies, strict=True)
            )
            assert float(row[column]) == pytest.approx(np.sqrt(np.square(own - theirs).sum()))


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_small_and_says_what_is_confirmed(name, folder):
    made = folder(name)
    page = (made / "index.md").read_text("utf-8")
    assert f"python examples/studies/{name}.py" in page and f"{SIDE} px, 2 steps" in page
    assert "judged by the compact encoder" in page and "Unlike the paper: " in page
    assert re.search(r"^Computed on \d+ cores?, .+, at a load average of [\d.]+", page, re.M)
    verdicts = re.findall(
        r"^\| [^|]+ \| (.*?) \| [^|]+ \|$", page.split("## What is conf")[1], re.M
    )
    assert len(verdicts) > 5 and {*verdicts[2:]} <= {"confirmed", "not confirmed", "not tried"}
    pictures = list(made.glob("*.jpg"))
    assert pictures and all(path.stat().st_size <= 60_000 for path in pictures)
    assert all(f"({path.name})" in page for path in pictures)


def test_the_same_command_resumes_and_paints_nothing_twice(study, folder, weights):
    made = folder("001_iterations_and_borders")
    page = (made / "index.md").read_bytes()
    painted = {path: path.stat().st_mtime_ns for path in made.glob("*/*/*.png")}
    (made / "index.md").unlink()
    args = ["-o", made, "--side", SIDE, "--steps", 2, "--encoder-weights", weights("relu5_2")]
    assert study("001_iterations_and_borders").main([str(a) for a in args]) == 0
    assert (made / "index.md").read_bytes() == page
    assert painted == {path: path.stat().st_mtime_ns for path in made.glob("*/*/*.png")}


def test_a_training_that_was_stopped_resumes_and_what_is_trained_stays(
    study, folder, monkeypatch, tmp_path
):
    made, module = folder("000_one_style_or_any"), study("000_one_style_or_any")
    args = {"faces": module.FACES, "side": SIDE, "steps": 2, "arbitrary_steps": 2}
    args |= {"quality": "light", "output": tmp_path, "encoder": "compact", "encoder_weights": None}
    here = study("common").Study("t", Namespace(**args), None, None)
    calls, painting = [], made / "painting.png"

    def train(*words):
        calls.append(words)
        shutil.copy(made / words[words.index("-o") + 1].name, tmp_path)

    monkeypatch.setattr(module, "command", train)
    for method in module.METHODS:
        seconds = module.trained(here, method, painting)
        assert seconds == module.trained(here, method, painting) > 0
    assert [call[1] for call in calls] == ["fast", "fast", "style-swap", "adain"]
    assert all("--restart" not in call and "--checkpoint-every" in call for call in calls)
    assert {*here.loads()} == {method.file for method in module.METHODS}


# -- verdicts ----------------------------------------------------------------------------------


def test_verdicts_on_ssim_follow_the_figures(study):
    claims = study("002_extractors_optimizers_losses").claims

    def lines(ssim, smooth):
        base = {"network": "n", "optimizer": "adam", "style_distance": 1.0, "seconds": 1.0}
        plain = {**base, "steps": 2, "ssim": ssim, "mse": 0.1, "loss": "content + style"}
        drawn = {**plain, "loss": "+ reconstruction", "mse": 0.01, "ssim": 0.9}
        return [plain], [plain, {**plain, "loss": "+ total variation", "mse": smooth}, drawn]

    photo = {"ssim": 0.5, "mse": 0.2}
    assert [c.holds for c in claims(photo, *lines(0.4, 0.2))] == [
        False, False, False, True, False, None]  # fmt: skip
    assert [c.holds for c in claims(photo, *lines(0.6, 0.05))] == [
        True, True, True, True, False, None]  # fmt: skip


def test_verdicts_on_optimizers_and_networks_follow_the_figures(study):
    module = study("002_extractors_optimizers_losses")

    def verdicts(*distances):
        """Of two networks with two optimizers each."""
        keys = [(n, o) for n in ("compact", "other") for o in ("adam", "sgd")]
        curves = [
            {"network": n, "optimizer": o, "steps": 2, "ssim": 0.1, "mse": 0.1, "seconds": 1.0}
            for n, o in keys
        ]
        lines = [c | {"style_distance": d} for c, d in zip(curves, distances, strict=True)]
        losses = [
            line | {"loss": loss} for loss in (module.PLAIN, *module.LOSSES) for line in lines
        ]
        return [c.holds for c in module.claims({"ssim": 0.5}, curves, losses)][-2:]

    assert verdicts(1.0, 2.0, 1.0, 2.0) == [True, False]
    assert verdicts(1.0, 1.0, 2.0, 2.0) == [False, True]


def test_verdicts_on_perceptual_loss_follow_the_figures(study):
    module = study("003_single_layers")
    layers = ["a", "b", "c", "d", "e"]

    def verdicts(best, lpips, contrast, better):
        last = 2.0 if better else 0.9
        textures = [{"layer": n, "style_distance": float(n != best)} for n in layers[:-1]]
        textures.append({"layer": layers[-1], "style_distance": last})
        contents = [
            {"layer": n, module.STYLE: float(n != best), module.CONTENT: 9.0 - k}
            for k, n in enumerate(layers)
        ]
        pairs = [{"squared": s, "lpips": p} for s, p in zip((4, 1, 1), lpips, strict=True)]
        pairs += [{"squared": 1, "lpips": 1}, {"squared": 4, "lpips": contrast}]
        compared = [{module.STYLE: 1.0, "sharpness": 1.0}]
        compared += [{module.STYLE: 0.5 if better else 1.5, "sharpness": 1.5 if better else 0.5}]
        return [c.holds for c in module.claims(layers, textures, contents, pairs, compared)]

    assert verdicts("c", (1, 1, 1), 3.6, True) == [
        True, True, True, False, True, True, True, True, True, True]  # fmt: skip
    assert verdicts("d", (4, 2, 2), 7.2, False) == [
        False, False, True, True, False, True, True, False, False, False]  # fmt: skip


def test_verdicts_on_training_follow_the_figures(study):
    module = study("000_one_style_or_any")

    def verdicts(trainings, seconds, styles, contents, steps=(30, 30, 600, 600)):
        lines = []
        for training, style, (face, other), count in zip(
            trainings, styles, contents, steps, strict=True
        ):
            line = {"training": training, "seconds": seconds, "style_distance": style}
            line["steps"] = count
            lines.append({**line, "photo": "face", "content_distance": face})
            lines.append({**line, "photo": "other", "content_distance": other})
        paintings = [{"photo": "face", "content_distance": 1.0}]
        paintings += [{"photo": "other", "content_distance": 2.0}]
        return [claim.holds for claim in module.claims(lines, paintings)]

    better, worse = [(0.4, 1.0)] * 4, [(0.4, 1.0), (0.5, 0.9), (0.4, 1.0), (0.4, 1.0)]
    good = (1, 2, 3, 4), 9.0, (0.2, 0.1, 0.3, 0.4)
    assert verdicts(*good, better) == [True] * 5 + [None]
    assert verdicts(*good, better, [30] * 4) == [None, True, True, True, True, None]
    assert verdicts(*good, [(0.4, 1.0), (1.0, 2.0)] * 2) == [True, True, None, None, None, None]
    assert verdicts((1, 3, 2, 4), 11.0, (0.1, 0.35, 0.3, 0.4), worse) == [False] * 5 + [None]


def test_verdicts_on_noise_and_seams_follow_the_figures(study):
    module = study("001_iterations_and_borders")

    class Folder:
        def __init__(self, side, steps):
            self.side, self.args = side, type("Args", (), {"steps": steps})

        def read(self, line):
            return np.zeros((self.side, self.side, 3), np.uint8)

    def verdicts(folder, seconds, styles, sharpness, seams, beside=1.0):
        base = {"init": "noise", "steps": 300.0, "seconds": seconds}
        noise = [{**base, "style_distance": s, "sharpness": sharpness} for s in styles]
        content = [{**line, "init": "content", "sharpness": beside} for line in noise]
        names = ("whole", "feather", "inside", "simple", "the photo")
        parts = [{"border": n, "seam": s} for n, s in zip(names, seams, strict=True)]
        return [c.holds for c in module.claims(folder, noise + content, parts)]

    apart, close = (1.0, 1.2, 1.3, 1.4, 1.0), (1.0, 1.2, 1.0, 1.4, 1.0)
    assert verdicts(Folder(300, 300), 3700.0, (2.0, 1.0), 1.2, apart) == [True] * 4 + [None]
    assert verdicts(Folder(300, 300), 3500.0, (1.0, 2.0), 1.0, close) == [False] * 4 + [None]
    assert verdicts(Folder(96, 300), 3700.0, (2.0, 1.0), 1.2, apart)[0] is None
    smoothed_away = verdicts(Folder(300, 300), 3700.0, (2.0, 1.0), 0.9, apart, beside=0.5)
    assert smoothed_away[2] is False


def test_verdicts_on_alpha_and_masks_follow_the_figures(study):
    module = study("004_alpha_beta")

    def verdicts(cells, losses, parts):
        keys = ("alpha/beta", "content_distance", "style_distance")
        pictures = [{"own loss": own, "loss of conv_1": judged} for own, judged in losses]
        return [
            claim.holds
            for claim in module.claims(
                [dict(zip(keys, cell, strict=True)) for cell in cells],
                pictures,
                [{"sky": sky, "below": below} for sky, below in parts],
            )
        ]

    kept = [(0.1, 1.0, 2.0), (0.1, 1.0, 2.0), (1, 0.5, 3.0)]
    assert verdicts(kept, [(2, 2), (1, 1)], [(2, 2), (1, 1)]) == [True] * 5
    lost = [(0.1, 0.5, 2.0), (0.1, 0.5, 3.0), (1, 1.0, 1.0)]
    assert verdicts(lost, [(1, 1), (2, 2)], [(2, 1), (1, 2)]) == [False] * 5


# -- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "more", "code", "said"),
    [
        ("003_single_layers", ["--encoder", "vgg19"], 4, "the weights 'vgg19' are not on this"),
        ("003_single_layers", ["--encoder-weights", "no.pth"], 2, "no.pth does not exist"),
        ("003_single_layers", ["--side", "8"], 2, "--side 8 is too small: 16 is the least"),
        ("000_one_style_or_any", ["--arbitrary-steps", "0"], 2, "--arbitrary-steps 0 is too small"),
        ("000_one_style_or_any", ["--side", "63"], 2, "--side 63 is too small to train on: 64"),
        ("000_one_style_or_any", ["--faces", "nobody"], 2, "nobody does not exist"),
        ("001_iterations_and_borders", ["--mask", "no.png"], 2, "no.png does not exist"),
        ("001_iterations_and_borders", ["--mask", "text.png"], 2, "text.png: "),
        ("001_iterations_and_borders", ["--mask", "white.png"], 2, "white.png has one color"),
        ("002_extractors_optimizers_losses", ["--extractor", "vgg16"], 4, "fetch them with"),
        ("002_extractors_optimizers_losses", ["--extractor", "vgg"], 2, "unknown encoder 'vgg'"),
        (
            "002_extractors_optimizers_losses",
            ["--extractor", "compact", "--extractor", "compact"],
            2,
            "--extractor compact is named twice",
        ),
        ("004_alpha_beta", ["--photo-mask", "white.png"], 2, "is all sky, or has none"),
    ],
)
def test_a_study_that_cannot_be_made_is_refused(
    study, weights, tmp_path, monkeypatch, capsys, name, more, code, said
):
    monkeypatch.chdir(tmp_path)
    Path("text.png").write_text("no picture")
    Image.new("L", (9, 9), 255).save("white.png")
    args = ["-o", "study", "--side", str(SIDE), "--steps", "2"]
    if not {"--encoder", "--encoder-weights", "--extractor"} & {*more}:
        args += ["--encoder-weights", str(weights("relu5_2"))]
    assert study(name).main([*args, *more]) == code
    err = capsys.readouterr().err
    assert said in err and err.count("error: ") == 1 and "Traceback" not in err
    assert not Path("study/index.md").exists()


@pytest.mark.parametrize(
    ("name", "end", "said"),
    [
        ("003_single_layers", "relu2_1", "has 2 blocks of layers, and three are compared at least"),
        ("004_alpha_beta", "relu4_1", "has neither relu4_2 nor relu5_2"),
    ],
)
def test_an_encoder_without_the_layers_is_refused(
    study, weights, tmp_path, capsys, name, end, said
):
    args = ["-o", tmp_path / "study", "--encoder-weights", weights(end)]
    assert study(name).main([str(a) for a in args]) == 2
    err = capsys.readouterr().err
    assert said in err and "choose another --encoder" in err


def test_what_is_typed_beats_full(study, tmp_path):
    common = study("common")
    seen = []
    flags = common.parser("A study.\n\nstudy -o made", 5, "the paper's sizes")
    args = ["-o", str(tmp_path / "made"), "--full", "--side", "32"]
    full = {"side": 512, "steps": 9}
    code = common.run(lambda made: seen.append(made.args), flags, args, full)
    assert code == 0 and [(args.side, args.steps) for args in seen] == [(32, 9)]
    page = (tmp_path / "made" / "index.md").read_text("utf-8")
    assert "`study -o made --side 32 --full`: 32 px, 9 steps" in page


def test_a_folder_of_something_else_is_not_touched(study, folder, tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("mine")
    main = study("003_single_layers").main
    assert main(["-o", str(tmp_path)]) == 2
    assert "exists and holds no study; choose another --output" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    assert main(["-o", str(folder("003_single_layers")), "--steps", "3"]) == 2
    assert "holds a study with other settings" in capsys.readouterr().err


# -- pages in the documentation ----------------------------------------------------------------

DOCS = STUDIES.parents[1] / "docs"
KEPT = sorted(path.parent.name for path in DOCS.glob("studies/*/index.md"))


def test_every_study_has_its_page():
    assert KEPT == NAMES


def test_the_script_makes_the_pages_and_gives_the_faces(tmp_path):
    there, programs = tmp_path / "examples/studies", tmp_path / "bin"
    there.mkdir(parents=True), programs.mkdir()
    shutil.copy(STUDIES / "pages.sh", there)
    for name in ("000_a", "001_b"):
        (there / f"{name}.py").touch()
    python = programs / "python"
    python.write_text(
        '#!/bin/sh\nmkdir -p "$3"; shift; echo "$*" | tee "$2/index.md" > "$2/x.jpg"\n'
    )
    python.chmod(0o755)
    environ = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "FACES": "the faces"}
    subprocess.run([there / "pages.sh"], check=True, env=environ)
    pages = {p.parent.name: p.read_text() for p in tmp_path.glob("docs/studies/*/index.md")}
    assert pages == {
        "000_a": "-o build/studies/000_a --faces the faces\n",
        "001_b": "-o build/studies/001_b\n",
    }
    assert len(list(tmp_path.glob("docs/studies/*/x.jpg"))) == 2


@pytest.mark.parametrize("name", KEPT)
def test_a_page_that_is_kept_can_be_made_again_and_found(name):
    page = (DOCS / "studies" / name / "index.md").read_text("utf-8")
    command = re.search(r"Made by `python (\S+) -o", page)[1]
    assert STUDIES.parents[1] / command == STUDIES / f"{name}.py"
    assert "Unlike the paper: " in page and "Computed on " in page
    shown = re.findall(r"\]\(([^)]+\.jpg)\)", page)
    kept = {path.name: path.stat().st_size for path in (DOCS / "studies" / name).glob("*.jpg")}
    assert shown and {*shown} == {*kept} and max(kept.values()) <= 60_000
    assert f"studies/{name}/index\n" in (DOCS / "index.md").read_text("utf-8")
    assert f"(../studies/{name}/index.md)" in (DOCS / "guide/studies.md").read_text("utf-8")
