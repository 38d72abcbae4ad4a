"""nnst through the command line: options, errors, and the contract of stylizers."""

from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
import tinyencoder
from stylepipe_plugins.nnst import NnstOptions, NnstStylizer
from tinyencoder import read, save

from stylepipe import StyleRef
from stylepipe.cli import main
from stylepipe.testing import StylizerContract


@pytest.fixture
def painted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Paint a photo after a painting; returns exit code, stderr and the result, if any."""
    tinyencoder.encoder_file(tmp_path)
    save(tmp_path / "painting.png", 1 - tinyencoder.picture(80, 72, 2) ** 2)
    save(tmp_path / "photos" / "photo.png", tinyencoder.picture(64, 72, 1))

    def call(*flags: object, out: str = "out") -> Any:
        words = ["nnst", tmp_path / "photos", "-o", tmp_path / out, "--device", "cpu", "--style",
                 tmp_path / "painting.png", "--encoder-weights", tmp_path / "tiny.safetensors",
                 "--steps", 6, "--first-side", 32, *flags]  # fmt: skip
        code = main.run([str(word) for word in words])
        result = tmp_path / out / "photo.png"
        return code, capsys.readouterr().err, read(result) if result.is_file() else None

    return call


def test_every_option_reaches_the_picture(painted: Any) -> None:
    code, err, plain = painted()
    assert code == 0, err
    assert plain.shape == (64, 72, 3)
    changes: list[tuple[object, ...]] = [
        ("--content", 0), ("--steps", 12), ("--matches", 1), ("--first-side", 64),
        ("--max-side", 64), ("--no-turned",), ("--style-scale", 0.5),
        ("--match-colors", "linear"), ("--strength", 0.5),
    ]  # fmt: skip
    for number, flags in enumerate(changes):
        code, err, other = painted(*flags, out=f"out{number}")
        assert code == 0, err
        assert np.abs(other - plain).max() > 1 / 255, flags


def test_what_it_refuses_is_one_sentence(painted: Any, tmp_path: Path) -> None:
    code, err, _ = painted("--matches", 7)
    assert code == 2 and "--matches 7 is more than --steps 6" in err
    code, err, _ = painted("--border", "feather")
    assert code == 2 and "border" in err
    lines = np.zeros((64, 72, 3), np.uint8)
    lines[:, 36:] = 255
    cv2.imwrite(str(tmp_path / "map.png"), lines)
    code, err, _ = painted("--regions", tmp_path / "map.png")
    assert code == 1 and "regions of the picture: 2, styles: 1" in err
    code, err, _ = painted("--memory", "200M")
    assert code == 1 and "--max-side" in err and "(--memory" in err


class TestContract(StylizerContract):
    component = NnstStylizer
    options: ClassVar = {"steps": 2}
    sizes: ClassVar = ((64, 48), (75, 90))

    @pytest.fixture
    def made(self, tmp_path: Path) -> NnstStylizer:
        weights = tinyencoder.encoder_file(tmp_path)
        return NnstStylizer(NnstOptions.build({**self.options, "encoder_weights": weights}))

    @pytest.fixture
    def ready(self, opened: NnstStylizer, tmp_path: Path) -> NnstStylizer:
        painting = save(tmp_path / "painting.png", tinyencoder.picture(70, 80, 2))
        opened.prepare([StyleRef(str(painting), 1.0)])
        return opened
