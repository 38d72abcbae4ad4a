"""``stylepipe train adain`` and its like: bad requests first, then results that can be used."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tinyencoder
from stylepipe_plugins.adain import AdainTraining
from stylepipe_plugins.style_swap import SwapTraining
from stylepipe_plugins.wct import WctTraining

from stylepipe import Context, UsageError
from stylepipe.cli import main
from stylepipe.device import pick
from stylepipe.nst.decoders import load_decoders
from stylepipe.nst.encoders import save_encoder

KINDS: dict[str, Any] = {"adain": AdainTraining, "wct": WctTraining, "style-swap": SwapTraining}


@pytest.fixture
def media(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("photos/a.png", "photos/b.jpg", "art/night.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        small = rng.integers(0, 255, (6, 8, 3), np.uint8)
        cv2.imwrite(str(tmp_path / name), cv2.resize(small, (96, 72)))
    tinyencoder.encoder_file(tmp_path)
    return tmp_path


def train(media: Path, kind: str, log: list[str] | None = None, **values: object) -> Path:
    given = {
        "photos": [media / "photos"],
        "paintings": [media / "art"],
        "output": media / f"{kind}.safetensors",
        "encoder_weights": media / "tiny.safetensors",
        "layers": ["relu3_1", "relu2_1"] if kind == "wct" else ["relu3_1"],
        **{"steps": 2, "batch": 2, "size": 64, "checkpoint_every": 1, "guess": 0},
    }
    options = KINDS[kind].Options.build({**given, **values})
    say = print if log is None else log.append
    KINDS[kind](options).train(Context(pick("cpu", "full"), 1 << 30, say))
    output: Path = options.output
    return output


@pytest.mark.parametrize("kind", ["adain", "style-swap"])
def test_requests_that_cannot_be_met(media: Path, kind: str) -> None:
    (media / "empty").mkdir()
    save_encoder(media / "other.safetensors", tinyencoder.convolutions(seed=3))
    own = train(media, kind, output=media / "own.safetensors")
    for values, message in (
        ({"photos": []}, "name a folder of pictures: --photos DIR"),
        ({"paintings": []}, "name a folder of pictures: --paintings DIR"),
        ({"paintings": [media / "empty"]}, "no picture in"),
        ({"paintings": [media / "none"]}, "there is no"),
        ({"encoder_weights": media / "none.pth"}, "there is no"),
        ({"layers": ["relu4_1"]}, "has no layer 'relu4_1'"),
        ({"init": str(own), "guess": 8}, "--guess is for a fresh decoder"),
        ({"init": str(media / "none.safetensors")}, "no such decoder file"),
        ({"init": str(own), "layers": ["relu2_1"]}, "has no decoder of relu2_1; it has relu3_1"),
        (
            {"init": str(own), "encoder_weights": media / "other.safetensors"},
            "was trained for the compact encoder, with other weights",
        ),
        ({"output": media / "x.pth"}, r"must end in \.safetensors"),
        ({"output": None}, "say where the result goes"),
    ):
        with pytest.raises(UsageError, match=message):
            train(media, kind, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", list(KINDS))
def test_what_was_trained_can_be_used(media: Path, kind: str) -> None:
    log: list[str] = []
    output = train(media, kind, log, license="CC0")
    assert log[-1].endswith(f"--decoder {output}")
    assert f"stylepipe {kind} PHOTOS" in log[-1] and "--encoder-weights" in log[-1]
    file = load_decoders(output)
    assert file.metadata["licence"] == "CC0"
    assert file.metadata["data"].startswith("2 photos")
    assert str(media) not in str(file.metadata), "no folder of the trainer's"
    # As it was told, but for what stands for the user's own.
    words = log[-1].partition("use it: stylepipe ")[2].split()
    own = {"PHOTOS": media / "photos", "OUT": media / "out", "PAINTING": media / "art/night.png"}
    command = [str(own.get(word, word)) for word in words]
    assert main.run(command) == 0
    assert len(list((media / "out").glob("*.*g"))) == 2


def test_goes_on_from_the_checkpoint_and_from_a_file(media: Path) -> None:
    log: list[str] = []
    first = train(media, "adain").read_bytes()
    assert train(media, "adain", log).read_bytes() == first
    assert "already trained" in log[1] or "already trained" in log[2]
    file = media / "adain.safetensors"
    other = train(media, "adain", output=media / "more.safetensors", init=str(file))
    assert other.read_bytes() != first


def test_plain_inverses_need_no_paintings(media: Path) -> None:
    file = load_decoders(train(media, "wct", paintings=[]))
    assert list(file.decoders) == ["relu3_1", "relu2_1"]
    assert file.metadata["data"] == "2 photos, 0 paintings"
    both = load_decoders(train(media, "wct", output=media / "both.safetensors"))
    assert both.metadata["data"] == "2 photos, 1 paintings"


def test_what_is_left_out_is_told_once(media: Path) -> None:
    for name in ("photos/c.png", "art/d.png"):
        (media / name).write_bytes(b"")
    log: list[str] = []
    train(media, "adain", log)
    warnings = [line for line in log if line.startswith("warning: ")]
    assert len(warnings) == 2 and "c.png" in warnings[0] and "d.png" in warnings[1]
