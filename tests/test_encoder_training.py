"""``stylepipe train encoder``: bad requests first, then a run of a few steps that can be used."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors import safe_open
from stylepipe_plugins.encoder import EncoderTraining

from stylepipe import Context, SetupError, UsageError
from stylepipe.cli import main
from stylepipe.device import pick
from stylepipe.nst.encoders import load_encoder, save_encoder
from stylepipe.nst.files import add_metadata
from stylepipe.nst.training.encoder import LAYERS, calibrate, fresh_encoder
from stylepipe.nst.training.loop import Progress, Trainer


@pytest.fixture
def media(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    (tmp_path / "art").mkdir()
    for name in ("photos/a.png", "photos/b.jpg", "art/night.png"):
        small = rng.integers(0, 255, (6, 8, 3), np.uint8)
        cv2.imwrite(str(tmp_path / name), cv2.resize(small, (96, 72)))
    teacher = calibrate(fresh_encoder(1, (4, 4, 6, 6, 6)), [torch.rand(1, 3, 64, 64)])
    save_encoder(tmp_path / "teacher.safetensors", teacher)
    deep = dict(list(teacher.items())[:3])
    save_encoder(tmp_path / "shallow.safetensors", deep)
    return tmp_path


def context(log: list[str] | None = None) -> Context:
    say = print if log is None else log.append
    return Context(pick("cpu", "full"), 1 << 30, say)


def train(media: Path, log: list[str] | None = None, **values: object) -> Path:
    given = {
        "photos": [media / "photos"],
        "paintings": [media / "art"],
        "output": media / "mine.safetensors",
        "teacher_weights": [media / "teacher.safetensors"],
        **{"steps": 2, "batch": 2, "size": 64, "checkpoint_every": 1, "guess": 2},
    }
    options = EncoderTraining.Options.build({**given, **values})
    EncoderTraining(options).train(context(log))
    assert options.output is not None
    return options.output


def test_requests_that_cannot_be_met(media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (media / "empty").mkdir()
    for values, message in (
        ({"photos": []}, "name a folder of pictures: --photos DIR"),
        ({"photos": [media / "empty"]}, "no picture in"),
        ({"paintings": [media / "empty"]}, "no picture in"),
        ({"paintings": [media / "none"]}, "there is no"),
        ({"output": None}, "say where the result goes"),
        ({"output": media / "mine.pth"}, "must end in .safetensors"),
        ({"teacher_weights": [media / "none.pth"]}, "no such weights file"),
        ({"teacher_weights": [media / "photos" / "a.png"]}, "not a checkpoint"),
        ({"teacher_weights": [media / "shallow.safetensors"]}, "no teacher has the layer"),
        ({"start": media / "none.safetensors", "guess": 112}, "no such weights file"),
        ({"start": media / "photos" / "a.png", "guess": 112}, "not a checkpoint"),
    ):
        with pytest.raises(UsageError, match=message):
            train(media, **values)
    assert not (media / "mine.safetensors").exists()
    monkeypatch.setenv("STYLEPIPE_CACHE", str(media / "cache"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pytest.raises(SetupError, match="cannot fetch the weights 'vgg19'"):
        train(media, teacher_weights=[])


def test_a_file_of_others_is_not_replaced(media: Path) -> None:
    (media / "mine.safetensors").write_bytes(b"precious")
    with pytest.raises(UsageError, match=r"is there already.* --restart"):
        train(media)
    assert (media / "mine.safetensors").read_bytes() == b"precious"


def test_the_encoder_can_be_used_and_tells_where_it_is_from(media: Path) -> None:
    log: list[str] = []
    path = train(media, log, license="CC0", preview_every=2)
    assert load_encoder(path).layers == LAYERS
    assert path.stat().st_size < 3_000_000
    assert any("--encoder-weights" in line for line in log)
    assert (media / "mine.training" / "preview-000002.png").is_file()
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
        assert file.get_tensor("relu1_1.weight").dtype == torch.float16
    assert metadata["teacher"] == "teacher.safetensors" and metadata["licence"] == "CC0"
    assert metadata["data"] == "2 photos, 1 paintings" and str(media) not in str(metadata)


def test_goes_on_to_the_same_bytes(media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    straight = train(media, output=media / "straight.safetensors")

    class Stop(Exception):
        pass

    run = Trainer.run

    def stopping(self: Trainer, show: object) -> Path:
        def stop(progress: Progress) -> None:
            raise Stop

        return run(self, stop)

    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(Trainer, "run", stopping)
        train(media)
    log: list[str] = []
    resumed = train(media, log)
    for file in (straight, resumed):
        add_metadata(file, seconds="")  # of the two runs together, as long as they took
    assert resumed.read_bytes() == straight.read_bytes()
    assert any("resuming from" in line for line in log)


def test_the_guess_is_announced_and_what_stops_there_begins_anew(
    media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log: list[str] = []

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("stylepipe.nst.training.encoder.guess_encoder", stopped)
    with pytest.raises(KeyboardInterrupt):
        train(media, log)
    assert log == [
        "a first guess by least squares, from 2 pictures",
        "stopped before the first step; the same command starts over",
    ]


def test_starts_from_an_encoder(media: Path) -> None:
    first = train(media)
    second = train(
        media, start=first, guess=112, steps=1, learning_rate=1e-7, output=media / "b.safetensors"
    )
    own, other = load_encoder(first), load_encoder(second)
    shown = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    before, after = (e(shown, ["relu2_2"])["relu2_2"][0].flatten(1) for e in (own, other))
    alike = torch.stack(
        [torch.corrcoef(torch.stack(pair))[0, 1] for pair in zip(before, after, strict=True)]
    )
    assert alike.nanquantile(0.2) > 0.9, "calibrated anew, and not guessed"


def test_the_command_line_offers_it(media: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["train", "encoder", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "--teacher-weights" in shown and "compact encoder" in shown
    code = main.run(["train", "encoder", "--photos", str(media / "photos"), "-q"])
    assert code == 2
    assert "say where the result goes" in capsys.readouterr().err
