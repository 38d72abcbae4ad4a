"""Decoders learn to show what an encoder saw, resume exactly; bad input first."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import tinyencoder
import torch

from stylepipe import read_training_picture as read_picture
from stylepipe.nst.decoders import load_decoders, mirror
from stylepipe.nst.training.decoder import DecoderOptions, DecoderTask, Mix
from stylepipe.nst.training.loop import CheckpointError, Progress, Trainer
from stylepipe.nst.transforms import adain

OPTIONS = DecoderOptions(
    steps=4, batch=2, size=64, checkpoint_every=2, preview_every=3, precision="float32", guess=0
)
Make = Callable[..., Trainer]


@pytest.fixture
def make(pictures: list[Path], tmp_path: Path) -> Make:
    def build(
        out: str = "out",
        options: DecoderOptions = OPTIONS,
        layers: tuple[str, ...] = ("relu2_1",),
        **more: object,
    ) -> Trainer:
        torch.manual_seed(0)
        encoder = tinyencoder.encoder()
        given = {
            "photos": pictures[:3],
            "paintings": pictures[3:],
            "mix": Mix("adain", adain),
        } | more
        decoders = {layer: mirror(encoder, layer) for layer in layers}
        task = DecoderTask(decoders, encoder, options=options, read=read_picture, **given)  # type: ignore[arg-type]
        return Trainer(task, tmp_path / out)

    return build


def test_bad_input_is_named(make: Make, pictures: list[Path]) -> None:
    with pytest.raises(ValueError, match="no photos"):
        make(photos=[])
    for wrong, message in (
        ({"size": 32}, "size must be 64 or more"),
        ({"zoom": 0.5}, "zoom must be 1 or more"),
        ({"copies": 2.0}, "copies must be between 0 and 1"),
        ({"batch": 0}, "batch must be 1 or more"),
    ):
        with pytest.raises(ValueError, match=message):
            replace(OPTIONS, **wrong)  # type: ignore[arg-type]
    make().run()
    with pytest.raises(CheckpointError, match=r"made with other pictures$"):
        make(photos=pictures[:2]).run()
    with pytest.raises(CheckpointError, match=r"made with other layers$"):
        make(mix=None).run()
    with pytest.raises(CheckpointError, match=r"made with other layers$"):
        make(mix=Mix("another", adain)).run()
    pictures[0].write_bytes(b"")
    assert any("0.png" in line for line in make("other").task.warnings)


def learned(make: Make, *parts: str, **more: object) -> list[Progress]:
    options = replace(OPTIONS, steps=80, batch=4, learning_rate=1e-2, preview_every=1000)
    options = replace(options, **more.pop("options", {}))  # type: ignore[arg-type]
    seen: list[Progress] = []
    make("learn", options, **more).run(seen.append)
    for part in parts:
        early, late = (np.mean([p.terms[part] for p in some]) for some in (seen[:8], seen[-8:]))
        assert late < 0.8 * early, part
    return seen


def test_an_inverse_comes_to_show_the_picture(make: Make) -> None:
    layers = ("relu2_1", "relu1_1")
    seen = learned(make, "copy", "features", mix=None, layers=layers, options={"copies": 1.0})
    assert seen[-1].terms["style"] == 0


@pytest.mark.parametrize(
    ("part", "weights"), [("features", {}), ("style", {"style_weight": 1.0, "feature_weight": 0.0})]
)
def test_mixtures_are_compared_with_what_was_mixed(
    make: Make, part: str, weights: dict[str, float]
) -> None:
    seen = learned(make, part, options={"copies": 0.0, **weights})
    assert all(p.terms["copy"] == 0 for p in seen)


def test_the_first_guess_shows_more_of_the_picture_than_random_weights(
    make: Make, tmp_path: Path
) -> None:
    blots = [tinyencoder.picture(80, 96, seed) for seed in range(4)]
    files = [tinyencoder.save(tmp_path / f"blots{i}.png", p) for i, p in enumerate(blots)]
    photo = tinyencoder.picture(72, 72, 9)
    seen = tinyencoder.encoder()(photo, ["relu2_1"])["relu2_1"]

    def error(guess: int) -> float:
        options = replace(OPTIONS, steps=1, learning_rate=1e-7, guess=guess)
        trainer = make(f"guess{guess}", options, photos=files, mix=None)
        trainer.run()
        with torch.no_grad():
            shown = trainer.task.model["relu2_1"](seen)  # type: ignore[index]
        return float((shown - photo).square().mean())

    assert error(8) < 0.5 * error(0)


def test_a_steady_decoder_moves_its_strokes_with_the_photo(make: Make, tmp_path: Path) -> None:
    blots = [tinyencoder.picture(80, 96, seed) for seed in range(5)]
    files = [tinyencoder.save(tmp_path / f"blots{i}.png", p) for i, p in enumerate(blots)]
    encoder, photo = tinyencoder.encoder(), tinyencoder.picture(72, 72, 9)
    style = encoder(tinyencoder.picture(64, 64, 12), ["relu2_1"])["relu2_1"]

    def change(temporal_consistency_weight: float) -> float:
        options = replace(OPTIONS, steps=45, batch=4, learning_rate=1e-2, copies=0.0)
        options = replace(options, temporal_consistency_weight=temporal_consistency_weight)
        name = f"consistency{temporal_consistency_weight}"
        trainer = make(name, options, photos=files[:3], paintings=files[3:])
        trainer.run()
        decoder = trainer.task.model["relu2_1"]  # type: ignore[index]
        with torch.no_grad():
            still, moved = (
                decoder(adain(encoder(p, ["relu2_1"])["relu2_1"], style))[:, :, :56, :56]
                for p in (photo[..., 1:, 1:], photo)
            )
        still, moved = still[..., 8:-8, 8:-8], moved[..., 9:-7, 9:-7]
        return float((still - moved).std() / still.std())

    assert change(30.0) < 0.6 * change(0.0)


def test_a_painting_of_one_color_does_no_harm(make: Make, tmp_path: Path) -> None:
    flat = tmp_path / "flat.png"
    cv2.imwrite(str(flat), np.full((96, 96, 3), 40, np.uint8))
    options = replace(OPTIONS, copies=0.0, style_weight=1.0)
    seen: list[Progress] = []
    make(options=options, paintings=[flat]).run(seen.append)
    assert [p.step for p in seen] == [1, 2, 3, 4]  # nothing was rolled back
    assert all(0.0 < p.terms["style"] < 1e4 for p in seen)


def test_rows_are_photos_paintings_and_whether_to_copy(make: Make) -> None:
    options = replace(OPTIONS, batch=16, copies=0.5)
    photos, styles, copied, _ = make(options=options).task.batch(1)
    assert photos.shape == styles.shape == (16, 3, 64, 64)
    assert 0 < int(copied.sum()) < 16
    same = [torch.equal(a, b) for a, b in zip(photos, styles, strict=True)]
    assert any(same) and not any(s and not c for s, c in zip(same, copied, strict=True))
    again = make("b", options).task.batch(1)
    assert all(torch.equal(a, b) for a, b in zip((photos, styles, copied), again[:3], strict=True))
    plain = make("c", options, mix=None, paintings=[]).task.batch(1)
    assert bool(plain[2].all())


class Killed(Exception):
    """Ends a run without a checkpoint, as a power cut does."""


@pytest.mark.parametrize("how", [KeyboardInterrupt, Killed])
def test_a_resumed_run_writes_the_same_bytes(make: Make, how: type[BaseException]) -> None:
    options = replace(OPTIONS, workers=2, style_weight=1.0, temporal_consistency_weight=10.0)
    straight = make("straight", options).run()

    def interrupt(progress: Progress) -> None:
        if progress.step == 3:
            raise how

    with pytest.raises(how):
        make("resumed", options).run(interrupt)
    assert make("resumed", options).run().read_bytes() == straight.read_bytes()


def test_the_file_tells_where_it_is_from(make: Make) -> None:
    trainer = make(metadata={"data": "three photos"}, layers=("relu3_1", "relu1_1"))
    path = trainer.run()
    file = load_decoders(path)
    file.check(tinyencoder.encoder(), path)
    assert list(file.decoders) == ["relu3_1", "relu1_1"]
    assert file.metadata["data"] == "three photos"
    preview = cv2.imread(str(trainer.out_dir / "preview-000003.png"))
    assert preview is not None
    assert preview.shape[1] == 6 * 128  # photo, painting; of each layer the photo and the mixture
