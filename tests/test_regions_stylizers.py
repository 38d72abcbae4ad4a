"""A plugin's masker finds three regions; each stylizer paints them in three styles."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tinyencoder
from test_restyle import decoder
from tinyencoder import read, save

from stylepipe.cli import main
from stylepipe.nst.decoders import save_decoders
from stylepipe.nst.encoders import load_encoder

THIRDS = ("--mask", "thirds", "--plugin", Path(__file__).with_name("thirds.py"))
SIZE = (66, 96)
PARTS = {"left": slice(0, 20), "middle": slice(44, 52), "right": slice(76, 96)}
"""Columns well within each region."""
BUNDLED = ["great-wave", "scream", "wheat-field"]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with an encoder, a decoder, three paintings, and a photo in a folder."""
    encoder = load_encoder(tinyencoder.encoder_file(tmp_path))
    save_decoders(tmp_path / "decoder", {"relu3_1": decoder(encoder, "relu3_1")}, encoder)
    for number in range(3):
        tint = np.roll([0.9, 0.5, 0.2], number).astype(np.float32)
        picture = tinyencoder.picture(80, 72, number + 2)
        save(tmp_path / f"{number}.png", picture * picture.new_tensor(tint).view(1, 3, 1, 1))
    save(tmp_path / "photos" / "photo.png", tinyencoder.picture(*SIZE, 1))
    return tmp_path


@pytest.fixture
def painted(files: Path) -> Any:
    """Paint the photo with a stylizer and styles."""

    def call(name: str, styles: list[str], *args: object) -> np.ndarray:
        out = files / f"out{len(list(files.glob('out*')))}"
        own = {
            "fast": (),
            "gatys": ("--steps", 6, "--first-side", 0, "--learning-rate", 0.05),
            "nnst": ("--steps", 16, "--first-side", 32, "--no-turned"),
        }.get(name, ("--decoder", files / "decoder"))
        own = own and (*own, "--encoder-weights", files / "tiny.safetensors")
        words = [name, files / "photos", "-o", out, "--device", "cpu", "--precision", "full",
                 *own, *args]  # fmt: skip
        for style in styles:
            words += ["--style", style]
        assert main.run([str(word) for word in words]) == 0
        return read(out / "photo.png")

    return call


@pytest.mark.parametrize("name", ["fast", "gatys", "adain", "nnst", "style-swap"])
def test_three_regions_in_three_styles(painted: Any, files: Path, name: str) -> None:
    styles = BUNDLED if name == "fast" else [str(files / f"{n}.png") for n in range(3)]
    found = painted(name, styles, *THIRDS)
    alone = [painted(name, [style] * 3, *THIRDS) for style in styles]
    for index, part in enumerate(PARTS.values()):
        far = [float(np.abs(found - one)[:, part].mean()) for one in alone]
        assert far.index(min(far)) == index, (name, index, far)
        if name == "fast":  # which paints without knowing of the others
            assert np.abs(found - alone[index])[:, part].max() < 0.002


@pytest.mark.parametrize("name", ["fast", "gatys", "adain"])
def test_one_region_by_name_and_the_photo_elsewhere(painted: Any, files: Path, name: str) -> None:
    style = BUNDLED[0] if name == "fast" else str(files / "0.png")
    photo, found = read(files / "photos" / "photo.png"), painted(name, [f"{style}@left"], *THIRDS)
    assert np.array_equal(found[:, 56:], photo[:, 56:])
    assert np.abs(found - photo)[:, PARTS["left"]].mean() > 0.02
    middle = np.abs(np.diff(found - photo, axis=1))[:, 24:40].max()
    assert middle < 0.5, "no seam at the soft border"


def test_composited_regions_are_those_of_the_styles_alone(painted: Any, files: Path) -> None:
    """Not a blend: a style of its own network in each region, of networks that never mix."""
    whole = [painted("fast", [style]) for style in BUNDLED]
    found = painted("fast", BUNDLED, *THIRDS)
    for one, part in zip(whole, PARTS.values(), strict=True):
        assert np.abs(found - one)[:, part].max() < 0.002
