"""A dry run refuses layers that the encoder does not have, and weights that are not there."""

from pathlib import Path
from typing import Any

import pytest
import tinyencoder
from tinyencoder import save

from stylepipe.cli import main


@pytest.fixture
def rehearsed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Any:
    """A dry run; returns exit code and stderr."""
    monkeypatch.setenv("STYLEPIPE_CACHE", str(tmp_path / "cache"))
    save(tmp_path / "painting.png", tinyencoder.picture(80, 72, 2))
    save(tmp_path / "photos" / "photo.png", tinyencoder.picture(64, 72, 1))
    tinyencoder.encoder_file(tmp_path)

    def call(stylizer: str, *flags: object) -> tuple[int, str]:
        words = [stylizer, tmp_path / "photos", "-o", tmp_path / "out", "--dry-run",
                 "--style", tmp_path / "painting.png", *flags]  # fmt: skip
        code = main.run([str(word) for word in words])
        assert not (tmp_path / "out").exists() and not (tmp_path / "cache").exists()
        return code, capsys.readouterr().err

    return call


def test_layers_that_the_encoder_does_not_have(rehearsed: Any, tmp_path: Path) -> None:
    tiny = ("--encoder-weights", tmp_path / "tiny.safetensors")
    code, err = rehearsed("gatys", *tiny, "--content-layers", "relu2_2")
    assert code == 2 and "has no layer 'relu2_2'" in err
    code, err = rehearsed("gatys", *tiny, "--style-layers", "relu2_1")
    assert code == 0, err
    code, err = rehearsed("wct", "--levels", "relu9_1")
    assert code == 2 and "no decoder of the level 'relu9_1'" in err
    code, err = rehearsed("style-swap", "--steps", 9, "--layer", "relu9_1")
    assert code == 2 and "has no layer 'relu9_1'" in err


@pytest.mark.parametrize("stylizer", ["gatys", "nnst"])
def test_weights_that_would_have_to_be_fetched(rehearsed: Any, stylizer: str) -> None:
    code, err = rehearsed(stylizer, "--encoder", "vgg19")
    assert code == 4
    assert "'vgg19' are not on this machine yet" in err
    assert "stylepipe weights fetch vgg19 (548 MB)" in err
    code, err = rehearsed(stylizer)
    assert code == 0, err


def test_weights_of_nothing_known(rehearsed: Any, tmp_path: Path) -> None:
    (tmp_path / "text.safetensors").write_text("no tensors")
    code, err = rehearsed("gatys", "--encoder-weights", tmp_path / "text.safetensors")
    assert code == 4 and "not a safetensors file" in err
