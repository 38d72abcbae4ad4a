"""An encoder learns from teachers, resumes exactly, is calibrated in the end; bad input first."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import tinyencoder
import torch

from stylepipe import read_training_picture as read_picture
from stylepipe.nst.decoders import encoder_widths
from stylepipe.nst.encoders import Encoder, load_encoder, stack_encoder
from stylepipe.nst.photos import load_picture
from stylepipe.nst.training.encoder import (
    LAYERS,
    EncoderOptions,
    EncoderTask,
    calibrate,
    fresh_encoder,
    without_silent,
)
from stylepipe.nst.training.guess import guess_encoder
from stylepipe.nst.training.loop import CheckpointError, Progress, Trainer

NARROW = (4, 4, 6, 6, 6)
OPTIONS = EncoderOptions(
    steps=6,
    batch=2,
    size=64,
    checkpoint_every=2,
    preview_every=3,
    precision="float32",
    points=64,
    guess=4,
)


@pytest.fixture
def teacher() -> Encoder:
    return fresh_encoder(1, (6, 6, 8, 8, 8))


Make = Callable[..., Trainer]


@pytest.fixture
def make(pictures: list[Path], teacher: Encoder, tmp_path: Path) -> Make:
    def build(out: str = "out", options: EncoderOptions = OPTIONS, **more: object) -> Trainer:
        given = {"teachers": [teacher], "photos": pictures[:3], "paintings": pictures[3:]} | more
        student = fresh_encoder(0, NARROW)
        task = EncoderTask(student, options=options, read=read_picture, **given)  # type: ignore[arg-type]
        return Trainer(task, tmp_path / out)

    return build


def test_bad_input_is_named(make: Make, pictures: list[Path], teacher: Encoder) -> None:
    shallow = stack_encoder({"relu1_1": (torch.randn(4, 3, 3, 3), torch.zeros(4))})
    with pytest.raises(ValueError, match="no teacher has the layer 'relu1_2'"):
        make(teachers=[shallow])
    with pytest.raises(ValueError, match="no photos"):
        make(photos=[])
    layers = dict(calibrate(teacher, [torch.rand(1, 3, 64, 64)]))
    layers["relu5_2"] = (torch.randn(8, 8, 3, 3), torch.zeros(8))
    with pytest.raises(ValueError, match="ends at relu5_1: one with relu5_2 cannot be trained on"):
        EncoderTask(stack_encoder(layers), [teacher], pictures[:3], [], OPTIONS, read=read_picture)
    for wrong, message in (
        ({"size": 32}, "size must be 64 or more"),
        ({"zoom": 0.5}, "zoom must be 1 or more"),
        ({"disturbed": 2.0}, "disturbed must be between 0 and 1"),
        ({"workers": 0}, "workers must be 1 or more"),
    ):
        with pytest.raises(ValueError, match=message):
            replace(OPTIONS, **wrong)  # type: ignore[arg-type]
    make().run()
    with pytest.raises(CheckpointError, match=r"made with other pictures$"):
        make(photos=pictures[:2]).run()
    with pytest.raises(CheckpointError, match=r"made with other teachers$"):
        make(teachers=[fresh_encoder(2, (6, 6, 8, 8, 8))]).run()
    pictures[0].write_bytes(b"")
    trainer = make("other")
    assert any("0.png" in line for line in trainer.task.warnings)


def test_the_student_comes_to_see_what_the_teacher_sees(make: Make) -> None:
    options = replace(OPTIONS, steps=60, batch=4, learning_rate=1e-2, preview_every=1000, guess=0)
    seen: list[Progress] = []
    make(options=options).run(seen.append)
    for part in ("fit_1_1", "fit_3_1", "likeness_3_1"):
        early, late = (np.mean([p.terms[part] for p in some]) for some in (seen[:8], seen[-8:]))
        assert late < early, part
    assert seen[-1].terms["loss"] < 0.95 * seen[0].terms["loss"]


def test_a_student_that_is_the_teacher_has_nothing_to_learn(make: Make) -> None:
    seen: list[Progress] = []
    same = fresh_encoder(0, NARROW)
    make(options=replace(OPTIONS, steps=1, guess=0, points=900), teachers=[same]).run(seen.append)
    for layer in ("1_1", "2_1", "3_1"):
        assert seen[0].terms[f"fit_{layer}"] < 0.1


class Killed(Exception):
    """Ends a run without a checkpoint, as a power cut does."""


@pytest.mark.parametrize("how", [KeyboardInterrupt, Killed])
def test_a_resumed_run_writes_the_same_bytes(make: Make, how: type[BaseException]) -> None:
    options = replace(OPTIONS, workers=2)
    straight = make("straight", options).run()

    def interrupt(progress: Progress) -> None:
        if progress.step == 3:
            raise how

    with pytest.raises(how):
        make("resumed", options).run(interrupt)
    assert make("resumed", options).run().read_bytes() == straight.read_bytes()


def test_the_file_is_small_calibrated_and_can_be_opened(make: Make, pictures: list[Path]) -> None:
    trainer = make(metadata={"teacher": "a friend"})
    path = trainer.run()
    encoder = load_encoder(path)
    assert encoder.layers == LAYERS
    shown = trainer.task.batch(1 << 40)[0]
    means = [maps.mean(dim=(0, 2, 3)) for maps in encoder(shown, LAYERS).values()]
    assert all(0.5 < float(m.median()) < 2.0 for m in means)
    names = {p.name for p in trainer.out_dir.iterdir()}
    assert {"preview-000003.png", "log.csv", "checkpoint.pt"} < names
    preview = cv2.imread(str(trainer.out_dir / "preview-000006.png"))
    photo = load_picture(read_picture, pictures[0], 96)
    assert preview.shape[1] == 7 * photo.shape[3]


def test_calibration_changes_the_scale_and_nothing_else() -> None:
    encoder = fresh_encoder(3, NARROW)
    pictures = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    scaled = stack_encoder(calibrate(encoder, [pictures]))
    before, after = encoder(pictures, LAYERS), scaled(pictures, LAYERS)
    for layer in LAYERS:
        mean = before[layer].mean(dim=(0, 2, 3), keepdim=True)
        scale = mean + 0.02 * mean.mean() + 1e-6
        assert torch.allclose(after[layer], before[layer] / scale, rtol=1e-3, atol=1e-3)
        assert (after[layer].mean(dim=(0, 2, 3)) <= 1.001).all(), "no channel outshouts the others"


def test_calibration_silences_channels_that_only_ever_explode() -> None:
    encoder = fresh_encoder(3, NARROW)
    pictures = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    convolution = encoder.stages[LAYERS.index("relu4_1")][-2]
    assert isinstance(convolution, torch.nn.Conv2d) and convolution.bias is not None
    with torch.no_grad():
        # One place of the second picture wakes it, barely.
        convolution.weight[0] = -1e4 * convolution.weight[0].abs()
        convolution.bias[0] = 0.0
        convolution.bias[0] = 1.0 - _before_relu(encoder, convolution, pictures).max()
    scaled = calibrate(encoder, [pictures])
    weight, bias = scaled["relu4_1"]
    assert len(bias) == len(weight) == encoder_widths(encoder, "relu4_1")["relu4_1"] - 1
    assert scaled["relu4_2"][0].shape[1] == len(weight)
    norms = {name: w.flatten(1).norm(dim=1) for name, (w, _) in scaled.items()}
    assert all((norms[name] < 300).all() for name in LAYERS[1:])
    assert (norms["relu4_1"] > 0).all(), "the others speak on"


def test_silent_channels_are_left_out_and_nothing_else_changes() -> None:
    convolutions = {
        name: (weight.detach().clone(), bias.detach().clone())
        for name, (weight, bias) in tinyencoder.convolutions().items()
    }
    first, second = list(convolutions)[:2]
    for silent, bias in ((1, 0.0), (2, 0.5)):  # the second is constant, and heard
        convolutions[first][0][silent] = 0.0
        convolutions[first][1][silent] = bias
    fewer = without_silent(convolutions)
    assert len(fewer[first][1]) == len(convolutions[first][1]) - 1
    assert fewer[second][0].shape[1] == len(fewer[first][1])
    whole, part = stack_encoder(convolutions), stack_encoder(fewer)
    picture = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    last = list(convolutions)[-1]
    torch.testing.assert_close(whole(picture, [last]), part(picture, [last]))


def _before_relu(
    encoder: Encoder, convolution: torch.nn.Conv2d, pictures: torch.Tensor
) -> torch.Tensor:
    """The first channel of a convolution's own results."""
    found: list[torch.Tensor] = []
    hook = convolution.register_forward_hook(lambda _, __, result: found.append(result.clone()))
    encoder(pictures, LAYERS)
    hook.remove()
    return found[0][:, 0]


def test_the_first_guess_sees_more_than_random_weights(teacher: Encoder) -> None:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(6, 3, 16, 16, generator=generator)
    pictures = torch.nn.functional.interpolate(coarse, 96, mode="bilinear")
    widths = {name: NARROW[int(name[4]) - 1] for name in LAYERS}
    guessed = guess_encoder([teacher], pictures.split(2), widths)
    aims = teacher(pictures, LAYERS)
    for layer in ("relu1_1", "relu2_1", "relu3_4", "relu5_1"):
        found, random = (e(pictures, [layer])[layer] for e in (guessed, fresh_encoder(0, NARROW)))
        assert unexplained(found, aims[layer]) < 0.7 * unexplained(random, aims[layer]), layer
    wide = guess_encoder([teacher], pictures.split(2), {"relu1_1": 9})
    assert wide(pictures, ["relu1_1"])["relu1_1"].shape[1] == 9, "more than the teacher has"


def unexplained(maps: torch.Tensor, aim: torch.Tensor) -> float:
    own, wanted = (m.transpose(0, 1).flatten(1).T for m in (maps, aim))
    own = torch.nn.functional.pad(own, (0, 1), value=1.0)
    rest = wanted - own @ torch.linalg.lstsq(own, wanted, driver="gelsd").solution
    return float(rest.square().mean() / wanted.var(dim=0).mean())


def test_batches_go_to_devices_without_float64(make: Make) -> None:
    assert all(rows.dtype != torch.float64 for rows in make().task.batch(0))


def test_batches_hold_paintings_and_disturbed_crops(make: Make, pictures: list[Path]) -> None:
    clean = replace(OPTIONS, batch=4, disturbed=0.0, color_jitter=0.0)
    first = make(options=clean).task.batch(3)
    assert torch.equal(first[0], make("b", clean).task.batch(3)[0])
    assert not torch.equal(first[0], make("c", clean, paintings=[]).task.batch(3)[0])
    noisy = make("d", replace(clean, disturbed=1.0)).task.batch(3)[0]
    differ = [not torch.equal(a, b) for a, b in zip(first[0], noisy, strict=True)]
    assert all(differ)
    assert noisy.min() >= 0.0 and noisy.max() <= 1.0
