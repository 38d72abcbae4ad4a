"""The trainer: it learns, resumes exactly, goes back when a run collapses, names bad input."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from stylepipe import read_training_picture as read_picture
from stylepipe.nst.encoders import stack_encoder
from stylepipe.nst.networks import NetworkSpec, StyleNetwork, StyleRecord, load_styles
from stylepipe.nst.photos import Photos, UnreadablePicture, load_picture, recolored
from stylepipe.nst.training.consistency import ShiftAndZoom, relative_difference
from stylepipe.nst.training.loop import (
    FREE_OPTIONS,
    CheckpointError,
    Progress,
    Trainer,
    TrainingFailed,
)
from stylepipe.nst.training.styles import (
    Exemplar,
    StyleOptions,
    StyleTask,
    Teacher,
    standard_teacher,
)
from stylepipe.nst.training.task import Measurement, Rows

SPEC = NetworkSpec("tiny", (8, 8), blocks=1, kernel=3)
OPTIONS = StyleOptions(
    steps=6, batch=2, size=32, copy_steps=2, style_size=48, checkpoint_every=2, preview_every=3,
    precision="float32",
)  # fmt: skip


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """Soft random pictures."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "photos"
    folder.mkdir()
    paths = []
    for index in range(5):
        picture = cv2.resize(rng.uniform(0, 255, (6, 8, 3)), (80, 60)).astype(np.uint8)
        paths.append(folder / f"{index}.png")
        cv2.imwrite(str(paths[-1]), picture)
    return paths


@pytest.fixture
def paintings(tmp_path: Path) -> list[Exemplar]:
    """Red stripes and blue noise."""
    rng = np.random.default_rng(1)
    red, blue = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64, 3), np.uint8)
    red[::8, :, 2], red[1::8, :, 2] = 255, 255
    blue[..., 0] = rng.integers(0, 255, (64, 64))
    result = []
    for name, picture in (("red", red), ("blue", blue)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), picture)
        result.append(Exemplar(StyleRecord(name), tmp_path / f"{name}.png"))
    return result


def teacher() -> Teacher:
    torch.manual_seed(1)
    encoder = stack_encoder(
        {
            "relu1_1": (torch.randn(8, 3, 3, 3) * 0.3, torch.zeros(8)),
            "relu2_1": (torch.randn(8, 8, 3, 3) * 0.2, torch.zeros(8)),
        }
    )
    return Teacher(encoder, {"relu1_1": 1.0, "relu2_1": 1.0}, {"relu2_1": 1.0})


Make = Callable[..., Trainer]


@pytest.fixture
def make(photos: list[Path], paintings: list[Exemplar], tmp_path: Path) -> Make:
    def build(out: str = "out", options: StyleOptions = OPTIONS, **more: object) -> Trainer:
        torch.manual_seed(0)
        device = more.pop("device", "cpu")
        fresh = more.pop("net", None) or StyleNetwork(SPEC, len(paintings))
        net = fresh.to(device)
        judge = teacher()
        judge.encoder.to(device)
        arguments = {"photos": photos, "paintings": paintings} | more
        task = StyleTask(
            net,
            [judge],
            options=options,
            read=read_picture,
            **arguments,  # type: ignore[arg-type]
        )
        return Trainer(task, tmp_path / out)

    return build


def test_training_learns_the_paintings_colors(make: Make, photos: list[Path]) -> None:
    options = replace(OPTIONS, steps=40, batch=4, learning_rate=1e-2, preview_every=1000)
    seen: list[Progress] = []
    path = make(options=options).run(seen.append)
    net, records, metadata = load_styles(path)
    assert [r.name for r in records] == ["red", "blue"]
    assert '"steps": 40' in metadata["options"]
    assert [p.step for p in seen] == list(range(1, 41))
    early = np.mean([p.terms["style"] for p in seen[2:12]])
    late = np.mean([p.terms["style"] for p in seen[-10:]])
    assert late < 0.6 * early
    with torch.no_grad():
        shown = load_picture(read_picture, photos[0], 60)
        red, blue = (net(shown, net.one_hot(i)) for i in range(2))
    assert red[0, 0].mean() > red[0, 2].mean() + 0.1
    assert blue[0, 2].mean() > blue[0, 0].mean() + 0.1


class Killed(Exception):
    """Ends a run without a checkpoint, as a power cut does."""


@pytest.mark.parametrize("stop", [1, 3, 4])
@pytest.mark.parametrize("how", [KeyboardInterrupt, Killed])
def test_a_resumed_run_gives_the_same_weights_bit_for_bit(
    make: Make, stop: int, how: type[BaseException]
) -> None:
    straight = make("straight")
    straight.run()

    def interrupt(progress: Progress) -> None:
        if progress.step == stop:
            raise how

    with pytest.raises(how):
        make("resumed").run(interrupt)
    resumed = make("resumed")
    resumed.load_checkpoint()
    assert resumed.step == (stop if how is KeyboardInterrupt else stop // 2 * 2)
    resumed.run()
    steps = [line.split(",")[0] for line in (resumed.out_dir / "log.csv").read_text().splitlines()]
    assert steps == ["step", *"123456"]
    for key, value in straight.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[key]), key


def test_workers_share_a_batch_without_changing_the_gradient(make: Make) -> None:
    options = replace(OPTIONS, steps=1, copy_steps=0, batch=3)
    alone, shared = make("alone", options), make("shared", replace(options, workers=2))
    alone.run()
    shared.run()
    pairs = zip(alone.model.named_parameters(), shared.model.parameters(), strict=True)
    for (key, own), other in pairs:
        assert own.grad is not None
        assert other.grad is not None
        assert torch.allclose(own.grad, other.grad, rtol=1e-2, atol=1e-4), key


def test_files_of_a_run(make: Make, photos: list[Path]) -> None:
    trainer = make(previews=photos[:2])
    trainer.run()
    names = {p.name for p in trainer.out_dir.iterdir()}
    assert names == {
        "checkpoint.pt", "log.csv", "preview-000003.png", "preview-000006.png", "tiny.safetensors"
    }  # fmt: skip
    lines = (trainer.out_dir / "log.csv").read_text().splitlines()
    assert len(lines) == 7
    assert lines[0].startswith("step,seconds,loss")
    preview = cv2.imread(str(trainer.out_dir / "preview-000006.png"))
    assert preview.shape[1] == 3 * load_picture(read_picture, photos[0], 48).shape[3]


def test_previews_show_the_first_photos_if_none_are_named(make: Make, photos: list[Path]) -> None:
    trainer = make()
    trainer.out_dir.mkdir()
    path = trainer.preview()
    assert path is not None
    shown = cv2.imread(str(path))
    first = load_picture(read_picture, photos[0], 48)[0].permute(1, 2, 0).numpy()
    height, width = first.shape[:2]
    assert shown.shape == (3 * height, 3 * width, 3)
    assert np.abs(shown[:height, :width, ::-1] / 255 - first).max() < 0.01


def test_a_collapsed_run_goes_back_and_then_gives_up(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make()
    healthy = trainer._train_step
    rates = []

    def flat(*args: object) -> dict[str, float]:
        rates.append(trainer.learning_rate(0.5))
        terms = healthy(*args)  # type: ignore[arg-type]
        return terms | {"spread": 0.001} if trainer.step == 4 else terms

    monkeypatch.setattr(trainer, "_train_step", flat)
    with pytest.raises(TrainingFailed, match=r"deviation 0\.001 of style .* after 3 roll-backs"):
        trainer.run()
    assert rates[-1] == pytest.approx(rates[0] / 8)
    rows = (trainer.out_dir / "log.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["step", "1", "2", "3"], "no row twice"


def test_values_that_are_not_finite_do_not_reach_the_weights(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make()
    measure = trainer.task.measure
    broken = [3]

    def spoiled(model: nn.Module, rows: Rows, step: int) -> Measurement:
        found = measure(model, rows, step)
        if step in broken:
            broken.clear()
            return replace(found, terms={k: v * float("nan") for k, v in found.terms.items()})
        return found

    monkeypatch.setattr(trainer.task, "measure", spoiled)
    trainer.run()
    assert trainer.rollbacks == 1
    assert all(torch.isfinite(p).all() for p in trainer.model.parameters())


def test_half_precision_trains_too(make: Make) -> None:
    trainer = make(options=replace(OPTIONS, precision="bfloat16"))
    trainer.run()
    assert trainer.model.stem.conv.weight.dtype == torch.float32
    assert trainer.replicas[0].stem.conv.weight.dtype == torch.bfloat16


def test_a_guide_is_imitated(make: Make) -> None:
    torch.manual_seed(5)
    seen: list[Progress] = []
    make(guide=StyleNetwork(SPEC, 2)).run(seen.append)
    assert seen[-1].terms["guide"] > 0.0


def test_the_standard_teacher_takes_what_the_encoder_has() -> None:
    standard = standard_teacher(teacher().encoder)
    assert list(standard.style) == ["relu1_1", "relu2_1"]
    assert list(standard.content) == ["relu2_1"]


def test_a_run_by_the_clock_ends(make: Make) -> None:
    trainer = make(options=replace(OPTIONS, minutes=0.01))
    trainer.run()
    assert trainer.fraction() == 1.0
    assert trainer.step > 0


def test_what_a_training_begins_with_is_part_of_its_time(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    trainer = make(options=replace(OPTIONS, steps=1))
    monkeypatch.setattr(trainer.task, "begin", lambda: clock.__setitem__(0, 7.0))
    trainer.run()
    assert trainer.elapsed == 7.0


def test_bad_input_is_named(make: Make, paintings: list[Exemplar], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no photos to train on"):
        make(photos=[])
    bad = tmp_path / "text.jpg"
    bad.write_text("not a photo")
    with pytest.raises(ValueError, match=r"none of the 1 photos serves.*text\.jpg"):
        make(photos=[bad])
    with pytest.raises(UnreadablePicture, match=r"cannot read .*text\.jpg"):
        make(paintings=[paintings[0], replace(paintings[1], path=bad)])
    with pytest.raises(ValueError, match="has 2 styles, not 1"):
        make(paintings=paintings[:1], net=StyleNetwork(SPEC, 2))
    with pytest.raises(ValueError, match="guide has 1 styles, not 2"):
        make(guide=StyleNetwork(SPEC, 1))
    with pytest.raises(ValueError, match="steps must be 1 or more"):
        StyleOptions(steps=0)


def test_unreadable_photos_are_listed_and_left_out(make: Make, photos: list[Path]) -> None:
    bad = photos[0].parent / "broken.jpg"
    bad.write_bytes(b"")
    trainer = make(photos=[*photos, bad])
    assert len(trainer.task.warnings) == 1
    assert "broken.jpg" in trainer.task.warnings[0]
    assert len(trainer.task.photos.paths) == len(photos)


def test_masks_among_the_photos_are_listed_and_left_out(make: Make, photos: list[Path]) -> None:
    mask = photos[0].parent / "mask.png"
    disc = cv2.circle(np.zeros((60, 80), np.uint8), (40, 30), 20, 255, -1)
    cv2.imwrite(str(mask), cv2.GaussianBlur(disc, (5, 5), 0))
    trainer = make(photos=[*photos, mask])
    assert mask not in trainer.task.photos.paths and len(trainer.task.photos.paths) == len(photos)
    (warning,) = trainer.task.warnings
    assert "mask.png is left out: a mask or a flat drawing" in warning
    with pytest.raises(ValueError, match=r"none of the 1 photos serves.*mask\.png"):
        make(photos=[mask])
    assert Photos(read_picture, [mask], 32, 2.0, 0, flat=True).batch(0, 1).shape == (
        1,
        3,
        32,
        32,
    )


def test_consistent_networks_move_their_strokes_with_the_photo(make: Make) -> None:
    """What a shifted, noisy photo changes in the picture is less after training for it."""

    def change(weight: float) -> float:
        options = replace(OPTIONS, steps=30, size=48, batch=2, learning_rate=5e-3, copy_steps=0,
                          content_weight=0.1, consistency_weight=weight)  # fmt: skip
        torch.manual_seed(0)
        trainer = make(f"weight{weight}", options, net=StyleNetwork(SPEC, 2))
        trainer.run()
        photo = trainer.task.batch(999)[0]
        styles = torch.eye(2)
        with torch.no_grad():
            picture, moved = trainer.model(photo, styles), trainer.model(photo[..., 3:, 1:], styles)
        return float(relative_difference(moved, picture[..., 3:, 1:]).mean())

    assert change(20.0) < 0.6 * change(0.0)


def test_motions_move_pictures_as_they_say() -> None:
    ramp = torch.linspace(0, 1, 64)
    picture = torch.stack([ramp.expand(64, 64), ramp.expand(64, 64).T, torch.zeros(64, 64)])[None]
    assert torch.equal(ShiftAndZoom(3, 5)(picture), picture[..., 3:, 5:])
    moved = ShiftAndZoom(2.5, 1.25)(picture)
    inner = slice(8, 56)
    assert torch.allclose(moved[0, 0, inner, inner], picture[0, 0, inner, inner] + 1.25 / 63,
                          atol=2e-3)  # fmt: skip
    assert torch.allclose(moved[0, 1, inner, inner], picture[0, 1, inner, inner] + 2.5 / 63,
                          atol=2e-3)  # fmt: skip
    zoomed = ShiftAndZoom(0.0, 0.0, 2.0)(picture)[0, 0, 32]
    assert float(zoomed[40] - zoomed[20]) == pytest.approx(10 / 63, abs=1e-4)


def test_photos_of_another_seed_share_one_cache(
    photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from stylepipe.nst import photos as module

    read = []

    def noted(path: Path) -> np.ndarray:
        read.append(path)
        return read_picture(path)

    monkeypatch.setattr(module, "CACHE_BYTES", 1)  # which the first photo fills
    supply = Photos(noted, photos, 32, 2.0, 0)
    other = supply.reseeded(1)
    for one in (supply, other):
        one.batch(0, 8 * len(photos))
    assert read.count(photos[0]) == 1 and read.count(photos[1]) > 2


def test_photos_beyond_the_cache_are_read_when_drawn(
    photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from stylepipe.nst import photos as module

    expected = Photos(read_picture, photos, 32, 2.0, 0).batch(2, 8)
    bad = photos[0].parent / "zzz.jpg"
    bad.write_bytes(b"")
    monkeypatch.setattr(module, "CACHE_BYTES", 1)
    supply = Photos(read_picture, photos, 32, 2.0, 0)
    assert torch.equal(supply.batch(2, 8), expected)
    supply = Photos(read_picture, [*photos, bad], 32, 2.0, 0)
    assert supply.batch(0, 40).shape[0] == 40
    assert len(supply.warnings) == 1


def test_settings_that_were_added_at_their_defaults_make_no_other_run(make: Make) -> None:
    """Checkpoints from before they were added are resumed."""
    before = {
        name: value
        for name, value in asdict(OPTIONS).items()
        if name not in {*FREE_OPTIONS, "style_loss", "loss_scale"}
    }
    wanted = hashlib.sha256(json.dumps(before).encode()).hexdigest()
    assert make().identity["options"] == wanted
    assert make(options=replace(OPTIONS, style_loss="gram")).identity["options"] != wanted


def test_a_checkpoint_of_another_run_is_refused(
    make: Make, paintings: list[Exemplar], photos: list[Path]
) -> None:
    make().run()
    renamed = [replace(paintings[0], record=StyleRecord("green")), paintings[1]]
    larger = [replace(paintings[0], size=40), paintings[1]]
    for arguments, what in (
        ({"paintings": renamed}, "paintings"),
        ({"paintings": larger}, "paintings"),
        ({"options": replace(OPTIONS, style_weight=2.0)}, "options"),
        ({"photos": photos[:3]}, "photos"),
        ({"guide": StyleNetwork(SPEC, 2)}, "networks to start from"),
    ):
        with pytest.raises(CheckpointError, match=f"made with other {what}$"):
            make(**arguments).run()
    red = cv2.imread(str(paintings[0].path))
    cv2.imwrite(str(paintings[0].path), 255 - red)  # the same name, another painting
    with pytest.raises(CheckpointError, match=r"made with other paintings$"):
        make().run()


def test_a_run_goes_on_with_its_workers_and_other_intervals(make: Make) -> None:
    with pytest.raises(Killed):
        make(options=replace(OPTIONS, workers=2)).run(killing(3))
    resumed = make(options=replace(OPTIONS, checkpoint_every=1, preview_every=1))
    resumed.run()
    assert resumed.options.workers == 2 and len(resumed.replicas) == 2


def killing(step: int) -> Callable[[Progress], None]:
    def kill(progress: Progress) -> None:
        if progress.step == step:
            raise Killed

    return kill


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 half", b"plain text"])
def test_a_damaged_checkpoint_is_named(make: Make, data: bytes) -> None:
    trainer = make()
    trainer.run()
    if data:
        trainer.checkpoint.write_bytes(data)
    else:
        torch.save({"step": 3}, trainer.checkpoint)
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt is damaged"):
        make().run()
    trainer.clear()
    make().run()


def test_interrupted_amid_the_optimizer_keeps_the_last_sound_checkpoint(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight, trainer = make("straight"), make("stopped")
    straight.run()
    step = trainer.optimizer.step

    def interrupted() -> None:
        step()
        if trainer.step == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(trainer.optimizer, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    resumed = make("stopped")
    resumed.run()
    for key, value in straight.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[key]), key


def test_half_a_row_of_the_log_is_dropped(make: Make) -> None:
    with pytest.raises(Killed):
        make().run(killing(3))
    trainer = make()
    with (trainer.out_dir / "log.csv").open("a") as file:
        file.write("4,0.1")
    trainer.run()
    rows = (trainer.out_dir / "log.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["step", *"123456"]


def test_one_gray_style_among_sound_ones_is_noticed(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make(options=replace(OPTIONS, steps=40, checkpoint_every=100))
    measure = trainer.task.measure

    def graying(model: nn.Module, rows: Rows, step: int) -> Measurement:
        return replace(measure(model, rows, step), spread=torch.where(rows[1] == 1, 0.004, 0.3))

    monkeypatch.setattr(trainer.task, "measure", graying)
    with pytest.raises(TrainingFailed, match="of style 'blue'"):
        trainer.run()


def test_photos_that_vanish_end_the_run(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from stylepipe.nst import photos as module

    monkeypatch.setattr(module, "CACHE_BYTES", 0)
    trainer = make()
    for path in trainer.task.photos.paths:
        path.unlink()
    with pytest.raises(FileNotFoundError, match=r"no photo serves any more: .*\.png"):
        trainer.run()


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_trains_on_cuda(make: Make, precision: str) -> None:
    trainer = make(
        "cuda", replace(OPTIONS, steps=3, copy_steps=1, precision=precision), device="cuda"
    )
    trainer.run()
    assert trainer.model.head.weight.is_cuda and trainer.rollbacks == 0
    assert all(p.isfinite().all() for p in trainer.model.parameters())


def test_batches_are_a_function_of_seed_and_step(photos: list[Path]) -> None:
    first, second = (Photos(read_picture, photos, 32, 2.0, 7) for _ in range(2))
    first.batch(0, 3)
    assert torch.equal(first.batch(4, 3), second.batch(4, 3))
    assert not torch.equal(first.batch(4, 3), first.batch(5, 3))
    assert not torch.equal(first.batch(4, 3), Photos(read_picture, photos, 32, 2.0, 8).batch(4, 3))
    assert first.batch(4, 3).shape == (3, 3, 32, 32)


def test_vivid_crops_have_other_colors_of_the_same_things(photos: list[Path]) -> None:
    # a crop's own random numbers come first: the first crop of a batch shows the same piece
    color_jitter, alike = (
        [Photos(read_picture, photos, 32, 2.0, 7, part).batch(step, 1) for step in range(9)]
        for part in (1.0, 0.0)
    )
    for loud, own in zip(color_jitter, alike, strict=True):
        assert loud.min() >= 0.0 and loud.max() <= 1.0
        assert not torch.equal(loud, own)
    both = torch.cat(color_jitter), torch.cat(alike)
    saturation = [(x - x.mean(dim=1, keepdim=True)).abs().mean() for x in both]
    assert saturation[0] > 1.2 * saturation[1]


def test_recoloring_keeps_grays() -> None:
    gray = torch.linspace(0, 1, 12).view(1, 3, 4).expand(3, 3, 4)
    for seed in range(6):
        assert torch.allclose(recolored(gray, np.random.default_rng(seed)), gray)


def test_photos_come_as_rgb_and_upright(tmp_path: Path) -> None:
    from PIL import Image

    path = tmp_path / "red.jpg"
    picture = Image.new("RGB", (40, 20), (250, 10, 10))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it a quarter turn on
    picture.save(path, exif=exif)
    x = load_picture(read_picture, path, 100)
    assert x.shape == (1, 3, 40, 20)
    assert x[0, 0].mean() > 0.9
    assert x[0, 2].mean() < 0.1
