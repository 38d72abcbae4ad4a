"""The universal network: bad requests first, then that size, tiles, frames and files are right."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from stylepipe_plugins.universal import UniversalStylizer, UniversalTraining
from stylepipe_plugins.universal.training import NETWORK
from test_statistics_in_time import change, clip

import stylepipe
from stylepipe import Context, UsageError
from stylepipe.cli import main
from stylepipe.contracts.film import film
from stylepipe.device import pick
from stylepipe.encoders import open_encoder
from stylepipe.nst import universal_engine
from stylepipe.nst.budget import NotEnoughMemory
from stylepipe.nst.networks import NORM_EPS
from stylepipe.nst.norms import instance_norm
from stylepipe.nst.paintings import Painting
from stylepipe.nst.training.options import UniversalOptions
from stylepipe.nst.training.universal import Painter, UniversalTask
from stylepipe.nst.universal import (
    UniversalNetwork,
    UniversalSpec,
    load_universal,
    moments,
    save_universal,
)
from stylepipe.nst.universal_engine import UniversalEngine
from stylepipe.testing import StylizerContract
from stylepipe.training import read_training_picture

SMALL = UniversalSpec(wide=8, deep=12, blocks=1, hidden=8)


def net(spec: UniversalSpec = SMALL, seed: int = 0) -> UniversalNetwork:
    torch.manual_seed(seed)
    made = UniversalNetwork(spec)
    torch.nn.init.normal_(made.modulation.bias, std=0.3)
    return made.eval()


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def engine(made: UniversalNetwork, memory: int = 1 << 30) -> UniversalEngine:
    return UniversalEngine(made, torch.device("cpu"), torch.float32, memory)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("photos/a.png", "photos/b.jpg", "art/night.png", "art/day.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        small = rng.integers(0, 255, (6, 8, 3), np.uint8)
        cv2.imwrite(str(tmp_path / name), cv2.resize(small, (96, 72)))
    save_universal(tmp_path / "small.safetensors", net(), licence="MIT")
    return tmp_path


# -- files ----------------------------------------------------------------------------------------


def test_files_that_are_no_networks(files):
    with pytest.raises(FileNotFoundError):
        load_universal(files / "none.safetensors")
    (files / "text.safetensors").write_text("no")
    other = files / "other.safetensors"
    save_file({"a": torch.zeros(1)}, other, {"format": "other"})
    head = {"format": "stylepipe-universal", "format_version": "1"}
    tensors = load_file(files / "small.safetensors")
    cases = [
        ({**head, "architecture": '{"wide": 100000}'}, "wide must be a whole number from 1 to 512"),
        ({**head, "architecture": '{"deep": 13}'}, "lacks blocks.2.first.bias: not a universal"),
        (
            {**head, "architecture": '{"wide": 9, "deep": 12, "blocks": 1, "hidden": 8}'},
            "has shape",
        ),
        ({**head, "architecture": "[]"}, "not a network architecture"),
        ({**head, "format_version": "9"}, "format version '9'"),
        ({**head, "architecture": SMALL.to_json(), "sha256": "0"}, "is damaged"),
    ]
    for path, message in ((files / "text.safetensors", "not a safetensors"), (other, "holds no")):
        with pytest.raises(ValueError, match=message):
            load_universal(path)
    for header, message in cases:
        save_file(tensors, files / "bad.safetensors", header)
        with pytest.raises(ValueError, match=message):
            load_universal(files / "bad.safetensors")
    broken = net()
    broken.up.weight.data[0, 0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="not finite"):
        save_universal(files / "nan.safetensors", broken)
    assert not (files / "nan.safetensors").exists()


def test_a_file_gives_the_network_back(files):
    found, metadata = load_universal(files / "small.safetensors")
    photo = noise(1, 3, 40, 52)
    assert metadata["licence"] == "MIT"
    torch.testing.assert_close(
        found(photo, found.code(photo)), net()(photo, net().code(photo)), atol=5e-3, rtol=0
    )


def test_the_network_in_the_package_says_where_it_comes_from():
    made, metadata = load_universal(NETWORK)
    assert made.spec == UniversalSpec()
    assert metadata["licence"] == "MIT"
    assert metadata["teacher"] and metadata["data"]


# -- the network ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 50), (37, 41), (64, 64)])
def test_pictures_of_any_size(height, width):
    made = net()
    photo = noise(2, 3, height, width)
    result = made(photo, made.code(noise(1, 3, 33, 20)))
    assert result.shape == photo.shape
    assert bool(torch.isfinite(result).all())


def test_a_code_of_another_network_is_refused():
    with pytest.raises(ValueError, match="not a code of this network"):
        net()(noise(1, 3, 16, 16), torch.zeros(1, 5))


def test_the_result_has_the_statistics_of_the_painting_in_the_deepest_features():
    made, painting = net(), noise(1, 3, 48, 48, seed=2) ** 3
    mean, deviation = made.read(made.code(painting)).aims[0]
    wanted = moments(made.style(painting)[-1])
    changed = instance_norm(made.content(noise(1, 3, 48, 48))[-1], deviation, mean, NORM_EPS)
    for found, aim in zip(moments(changed), wanted, strict=True):
        torch.testing.assert_close(found, aim, atol=2e-3, rtol=1e-2)


@pytest.mark.parametrize("blocks", [1, 2, 6])
def test_tiles_leave_no_seam(blocks, monkeypatch):
    made = net(UniversalSpec(8, 12, blocks, 8))
    photo, painting = noise(1, 3, 203, 246), Painting(noise(1, 3, 190, 170, seed=1))
    painter = engine(made)
    code = painter.code([painting], (203, 246))
    torch.testing.assert_close(code, made.code(painting.picture))
    whole = painter.paint(photo, code)
    torch.testing.assert_close(whole, made(photo, code).clamp(0, 1), atol=1e-5, rtol=0)
    monkeypatch.setattr(universal_engine, "LARGEST_TILE", 16)
    monkeypatch.setattr(universal_engine, "SMALLEST_TILE", 16)
    torch.testing.assert_close(painter.paint(photo, code), whole, atol=1e-5, rtol=0)
    seen = []
    made.style.register_forward_hook(lambda module, given, found: seen.append(given[0].shape))
    torch.testing.assert_close(painter.code([painting], (203, 246)), code, atol=1e-5, rtol=1e-5)
    assert max(max(shape[2:]) for shape in seen) <= 4 * (16 + 2 * (2 * blocks + 2))
    assert len(seen) > 4


def test_pictures_too_large_for_the_memory_are_refused_before_they_are_painted():
    painter = engine(net(), memory=1 << 20)
    code = painter.code([Painting(noise(1, 3, 64, 64))], (64, 64))
    with pytest.raises(NotEnoughMemory, match=r"to paint 640x480 pixels takes .* MiB") as caught:
        painter.paint(noise(1, 3, 480, 640), code)
    engine(net(), memory=caught.value.needed).paint(noise(1, 3, 480, 640), code)


def test_paintings_are_blended_by_their_weights():
    painter = engine(net())
    one, two = (Painting(noise(1, 3, 64, 64, seed=s) ** s, w) for s, w in ((1, 3.0), (2, 1.0)))
    size = (64, 64)
    found = painter.code([one, two], size)
    wanted = 0.75 * painter.code([one], size) + 0.25 * painter.code([two], size)
    torch.testing.assert_close(found, wanted)


# -- the stylizer ---------------------------------------------------------------------------------


def painted(files: Path, photo: np.ndarray, style: str = "art/night.png", **options) -> np.ndarray:
    options = {"network": files / "small.safetensors", "style": str(files / style), **options}
    with stylepipe.open("universal", device="cpu", precision="full", **options) as session:
        return session.paint(photo)


def test_requests_that_cannot_be_met(files, capsys):
    def refused(*arguments: str) -> str:
        given = ["universal", str(files / "photos"), "-o", str(files / "out"), "--device", "cpu"]
        assert main.run([*given, *arguments]) == 2
        return capsys.readouterr().err

    style = ["--style", str(files / "art/night.png")]
    assert "no such network file" in refused(*style, "--network", "none.safetensors")
    (files / "text.safetensors").write_text("no")
    bad = str(files / "text.safetensors")
    assert "not a safetensors file" in refused(*style, "--network", bad)
    assert "not a safetensors file" in refused(*style, "--network", bad, "--dry-run")
    assert "give a file that exists" in refused("--style", "starry")
    assert "text.safetensors" in refused("--style", bad)
    assert not (files / "out").exists() or not list((files / "out").glob("*.png"))


def test_options_do_what_they_say(files):
    photo = cv2.imread(str(files / "photos/a.png"))
    plain = painted(files, photo)
    assert plain.shape == photo.shape
    assert (plain != painted(files, photo, "art/day.png")).any()
    assert (plain != painted(files, photo, style_scale=0.7)).any()
    assert (plain != painted(files, photo, match_colors="linear")).any()
    np.testing.assert_array_equal(painted(files, photo, strength=0.0), photo)


class TestContract(StylizerContract):
    component = UniversalStylizer

    @pytest.fixture
    def made(self, files):
        options = UniversalStylizer.Options.build({"network": files / "small.safetensors"})
        return UniversalStylizer(options)


def test_an_interrupted_film_resumes_to_the_same_bytes(files):
    frames = clip([1.0, 0.9, 0.95, 1.0, 0.85, 1.0, 0.9, 0.95, 0.9], noise=4)
    options = {"network": files / "small.safetensors", "statistics_frames": 2}
    with stylepipe.open(
        "universal", style=str(files / "art/night.png"), device="cpu", precision="full", **options
    ) as session:
        stylizer = session.settings.stylizer
        assert stylizer.caps.warmup == 3
        straight = film(stylizer, None, frames)
        resumed = film(stylizer, None, frames, 6, straight[5])
    for one, two in zip(straight[6:], resumed, strict=True):
        np.testing.assert_array_equal(one.pixels, two.pixels)


def painted_film(files: Path, frames: list, **options) -> list:
    options = {"network": files / "small.safetensors", **options}
    with stylepipe.open(
        "universal", style=str(files / "art/night.png"), device="cpu", precision="full", **options
    ) as session:
        return film(session.settings.stylizer, None, frames)


def test_a_film_whose_exposure_pulses_is_evened(files):
    frames = clip([1.0, 0.85] * 4)
    alone, together = (change(painted_film(files, frames, statistics_frames=n)) for n in (1, 8))
    assert together < 0.8 * alone, (together, alone)


def test_matched_colors_are_those_of_the_last_frames(files):
    frames, found = clip(count=6), []
    for k, frame in enumerate(frames):
        frame.pixels[:30, :40] = (255, 0, 0) if k % 2 else (0, 0, 255)
    for count in (1, 6):
        result = painted_film(files, frames, statistics_frames=count, match_colors="linear")[2:]
        for frame in result:
            frame.pixels[:, :56] = 0
        found.append(change(result))
    assert found[1] < 0.9 * found[0], found


def test_frames_that_change_in_a_corner_change_the_rest_less(files):
    frames, found = clip(count=8), []
    for k, frame in enumerate(frames):
        frame.pixels[4:30, : 10 * k] = (250, 240, 60)
    for count in (1, 8):
        result = painted_film(files, frames, statistics_frames=count)
        for frame in result:
            frame.pixels[:, :56] = 0
        found.append(change(result))
    assert found[1] < found[0], found


# -- training -------------------------------------------------------------------------------------


def train(files: Path, **values: object) -> Path:
    given = {
        "photos": [files / "photos"],
        "paintings": [files / "art"],
        "output": files / "own.safetensors",
        "init": str(files / "small.safetensors"),
        **{"steps": 2, "batch": 2, "size": 64, "checkpoint_every": 1},
    }
    options = UniversalTraining.Options.build({**given, **values})
    UniversalTraining(options).train(Context(pick("cpu", "full"), 1 << 30, print))
    assert options.output is not None
    return options.output


def test_trainings_that_cannot_be(files):
    for values, message in (
        ({"photos": []}, "name a folder of pictures: --photos DIR"),
        ({"paintings": []}, "name a folder of pictures: --paintings DIR"),
        ({"paintings": [files / "none"]}, "there is no"),
        ({"encoder_weights": files / "none.pth"}, "there is no"),
        ({"init": "none.safetensors"}, "--init is bundled, random or a file: no such network file"),
        ({"init": str(files / "photos/a.png")}, "not a safetensors file"),
        ({"output": None}, "say where the result goes"),
    ):
        with pytest.raises(UsageError, match=message):
            train(files, **values)


def test_a_training_gives_the_same_network_again_and_that_paints(files):
    first = load_file(train(files))
    photo = cv2.imread(str(files / "photos/a.png"))
    after = painted(files, photo, network=files / "own.safetensors")
    assert (after != painted(files, photo)).any()
    again = load_file(train(files, restart=True))
    assert all(torch.equal(first[key], again[key]) for key in first)


def test_a_network_learns_to_paint_after_a_painting(files):
    train(files, steps=16, learning_rate=3e-3, consistency_weight=0.0)
    (log,) = files.rglob("log.csv")
    style = [float(row["style"]) for row in csv.DictReader(log.read_text().splitlines())]
    assert np.mean(style[-4:]) < np.mean(style[:4])


def test_a_painting_with_a_plain_margin_does_not_spoil_a_training(files):
    cv2.imwrite(str(files / "art/night.png"), np.full((72, 96, 3), 255, np.uint8))
    (files / "art/day.png").unlink()
    train(files, consistency_weight=0.0)
    (log,) = files.rglob("log.csv")
    style = [float(row["style"]) for row in csv.DictReader(log.read_text().splitlines())]
    assert max(style) < 1e4, style


def test_a_painter_is_imitated(files):
    encoder = open_encoder("compact", None, device=torch.device("cpu"), dtype=torch.float32)
    options = UniversalOptions(batch=2, size=64, consistency_weight=0.0)

    def terms(paint) -> float:
        task = UniversalTask(
            net(), encoder, [files / "photos/a.png"], [files / "art/day.png"],
            options, read=read_training_picture, painter=Painter("x", paint),
        )  # fmt: skip
        return float(task.measure(task.model, task.batch(0), 0).terms["example"].detach())

    own = net()
    assert terms(lambda photos, styles: own(photos, own.code(styles)).detach()) < 1e-6
    assert terms(lambda photos, styles: 1 - photos) > 0.1
