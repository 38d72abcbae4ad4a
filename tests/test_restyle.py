"""adain, wct and style-swap through the command line: what they refuse, what each option does."""

from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
import tinyencoder
import torch
from stylepipe_plugins.adain import AdainStylizer
from stylepipe_plugins.style_swap import SwapStylizer
from stylepipe_plugins.wct import WctStylizer
from tinyencoder import read, save

from stylepipe import StyleRef, Stylizer
from stylepipe.cli import main
from stylepipe.nst.decoders import Decoder, load_decoders, mirror, save_decoders
from stylepipe.nst.encoders import load_encoder, save_encoder
from stylepipe.nst.transforms import MAX_GAIN
from stylepipe.testing import StylizerContract

NAMES = ("adain", "wct", "style-swap")
LEVELS = {"wct": ("relu3_1", "relu2_1")}


def decoder(encoder: Any, layer: str) -> Decoder:
    torch.manual_seed(0)
    found = mirror(encoder, layer)
    with torch.no_grad():
        found.convolutions[-1].weight.mul_(5)  # more than gray
    return found


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with an encoder and its decoders, two paintings, and a photo in a folder."""
    encoder = load_encoder(tinyencoder.encoder_file(tmp_path))
    for name in NAMES:
        layers = LEVELS.get(name, ("relu3_1",))
        found = {layer: decoder(encoder, layer) for layer in layers}
        save_decoders(tmp_path / f"{name}.safetensors", found, encoder)
    save(tmp_path / "a.png", 1 - tinyencoder.picture(80, 72, 2) ** 2)
    save(tmp_path / "b.png", 0.6 * tinyencoder.picture(90, 70, 3))
    save(tmp_path / "photos" / "photo.png", tinyencoder.picture(64, 72, 1))
    return tmp_path


@pytest.fixture
def cli(files: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Paint the photos of the folder `files`; returns exit code and stderr."""

    def call(name: str, *args: object, out: str = "out", **flags: object) -> Any:
        given: dict[str, object] = {
            "encoder_weights": files / "tiny.safetensors",
            "decoder": files / f"{name}.safetensors",
            "style": files / "a.png",
            "precision": "full",
            "device": "cpu",
            **({"levels": LEVELS[name]} if name in LEVELS else {}),
        }
        words = [name, str(files / "photos"), "-o", str(files / out), *map(str, args)]
        for flag, value in (given | flags).items():
            for one in value if isinstance(value, (list, tuple)) else [value]:
                if one is not None:
                    words += [f"--{flag.replace('_', '-')}", str(one)]
        code = main.run(words)
        return code, capsys.readouterr().err

    return call


@pytest.fixture
def painted(cli: Any, files: Path) -> Any:
    """Paint the photo and return the result."""

    def call(name: str, *args: object, **flags: object) -> np.ndarray:
        out = f"out{len(list(files.glob('out*')))}"
        code, err = cli(name, *args, out=out, **flags)
        assert code == 0, err
        return read(files / out / "photo.png")

    return call


def refused(cli: Any, files: Path, name: str, code: int, *words: str, **flags: object) -> None:
    """One sentence on stderr with these words, no traceback, and no output. code 2: of the
    request; 1: of the photo."""
    found, err = cli(name, **flags)
    assert found == code, err
    for word in words:
        assert word in err
    lines = [line for line in err.splitlines() if not line.startswith(("encoder: ", "1 failed"))]
    assert "Traceback" not in err and len(lines) == 1, err
    assert not list(files.glob("out/*.png"))


# -- refused before anything is done --------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_styles_that_cannot_serve(cli: Any, files: Path, name: str) -> None:
    refused(cli, files, name, 2, "needs a style; pass --style", style=())
    refused(cli, files, name, 2, "no style", "absent.png", style=files / "absent.png")
    (files / "notes.png").write_text("no picture")
    refused(cli, files, name, 2, "cannot read", "notes.png", style=files / "notes.png")
    save(files / "small.png", torch.rand(1, 3, 3, 40))
    refused(cli, files, name, 2, "40x3", style=files / "small.png")


@pytest.mark.parametrize("name", NAMES)
def test_encoder_and_decoder_belong_together(cli: Any, files: Path, name: str) -> None:
    words = (f"train one (stylepipe train {name})", "--decoder FILE")
    refused(cli, files, name, 2, *words, decoder=None)
    save_encoder(files / "other.safetensors", tinyencoder.convolutions(seed=4))
    refused(
        cli, files, name, 2, "was trained for the compact encoder, with other weights",
        encoder_weights=files / "other.safetensors",
    )  # fmt: skip
    refused(cli, files, name, 2, "no such decoder file", decoder=files / "none.safetensors")
    refused(cli, files, name, 2, "holds no stylepipe-decoders", decoder=files / "tiny.safetensors")


@pytest.mark.parametrize("name", NAMES)
def test_regions_without_a_match(cli: Any, files: Path, name: str) -> None:
    lines = np.zeros((64, 72, 3), np.uint8)
    lines[:, 36:] = 255
    cv2.imwrite(str(files / "map.png"), lines)
    refused(cli, files, name, 1, "regions of the picture: 2, styles: 1", regions=files / "map.png")
    refused(cli, files, name, 2, "there is no map of regions", regions=files / "none.png")


def test_levels_that_nobody_can_decode(cli: Any, files: Path) -> None:
    refused(cli, files, "wct", 2, "no decoder of the level 'relu9_1'", levels="relu9_1")
    twice = ["relu2_1", "relu3_1", "relu2_1"]
    refused(cli, files, "wct", 2, "the level 'relu2_1' is named twice", levels=twice)


def test_adain_takes_a_decoder_of_one_layer(cli: Any, files: Path) -> None:
    words = ("changes one layer", "wct.safetensors has decoders of relu3_1, relu2_1")
    refused(cli, files, "adain", 2, *words, decoder=files / "wct.safetensors")


def test_swaps_that_make_no_sense(cli: Any, files: Path) -> None:
    styles = [f"{files / 'a.png'}:2", f"{files / 'b.png'}:1"]
    refused(cli, files, "style-swap", 2, "weights mean nothing", "--blend mix", style=styles)
    refused(cli, files, "style-swap", 2, "leave holes", patch_size=2, patch_stride=3)
    refused(cli, files, "style-swap", 2, "no decoder of the layer 'relu2_1'", layer="relu2_1")


# -- what the options do --------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_strength_goes_from_the_photo_to_the_style(painted: Any, files: Path, name: str) -> None:
    photo = read(files / "photos" / "photo.png")
    results = [painted(name, strength=s) for s in (0, 0.5, 1)]
    assert np.array_equal(results[0], photo)
    far = [float(np.abs(r - photo).mean()) for r in results]
    assert far[0] < far[1] < far[2]


def test_a_search_does_not_stray_from_the_photo_at_little_strength(
    painted: Any, files: Path
) -> None:
    photo = read(files / "photos" / "photo.png")
    flags = {"decoder": None, "steps": 20, "learning_rate": 0.1}
    found = painted("style-swap", strength=0.01, **flags)
    assert np.abs(found - photo).max() < 0.02 < np.abs(painted("style-swap", **flags) - photo).max()


@pytest.mark.parametrize("name", NAMES)
def test_options_of_paintings_reach_the_result(painted: Any, files: Path, name: str) -> None:
    plain = painted(name)
    assert np.array_equal(painted(name), plain)
    lines = np.zeros((64, 72, 3), np.uint8)
    lines[:, 36:] = 255
    cv2.imwrite(str(files / "map.png"), lines)
    both = [files / "a.png", files / "b.png"]
    for flags in (
        {"style": files / "b.png"},
        {"style": both},
        {"style": both, "regions": files / "map.png"},
        {"style_scale": 0.4},
        {"match_colors": "linear"},
        {"match_colors": "histogram"},
    ):
        assert np.abs(painted(name, **flags) - plain).mean() > 1e-3, flags
    # The colors are the photo's: the engine's own doing, for every stylizer.
    assert np.abs(painted(name, "--keep-colors") - plain).mean() > 1e-3


@pytest.mark.parametrize("name", ["adain", "wct"])
def test_each_region_gets_its_own_style(painted: Any, files: Path, name: str) -> None:
    lines = np.zeros((64, 72, 3), np.uint8)
    lines[:, 36:] = 255
    cv2.imwrite(str(files / "map.png"), lines)
    regions, (a, b) = {"regions": files / "map.png"}, (files / "a.png", files / "b.png")
    both = painted(name, style=[a, b], **regions)
    alone = [painted(name, style=[one, one], **regions) for one in (a, b)]
    for k, half in enumerate((slice(0, 30), slice(42, 72))):  # away from the border
        own, other = (np.abs(both - alone[i])[:, half].mean() for i in (k, 1 - k))
        assert own < 0.5 * other, (k, own, other)


@pytest.mark.parametrize("name", ["adain", "wct"])
def test_borders_reach_the_result(painted: Any, files: Path, name: str) -> None:
    lines = np.zeros((64, 72, 3), np.uint8)
    lines[:, 36:] = 255
    own = np.zeros((80, 72, 3), np.uint8)
    own[:, 20:] = 255
    cv2.imwrite(str(files / "map.png"), lines)
    cv2.imwrite(str(files / "own.png"), own)
    given = {"regions": files / "map.png", "style_regions": files / "own.png"}
    found = [painted(name, border=b, **given) for b in ("feather", "inside", "simple")]
    for index, one in enumerate(found):
        assert np.abs(one - found[index - 1]).mean() > 1e-4


def test_too_little_memory_is_told_with_what_suffices(
    cli: Any, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stylepipe.restyling.working_memory", lambda context: 1 << 20)
    words = ("photo.png", "to paint 72x64 pixels takes", "make the picture smaller, or allow more")
    refused(cli, files, "wct", 1, *words, "(--memory ")
    monkeypatch.undo()


def test_options_of_the_swap_reach_the_result(painted: Any, files: Path) -> None:
    plain = painted("style-swap")
    both = [f"{files / 'a.png'}:1", f"{files / 'b.png'}:3"]
    for flags in (
        {"patch_size": 1},
        {"patch_size": 5},
        {"patch_stride": 2},
        {"style": both, "blend": "mix"},
        {"decoder": None, "steps": 5},
        {"decoder": None, "steps": 5, "layer": "relu2_1"},
    ):
        assert np.abs(painted("style-swap", **flags) - plain).mean() > 1e-3, flags
    sought = painted("style-swap", decoder=None, steps=8)
    for flags in ({"learning_rate": 0.1}, {"tv_weight": 50.0}, {"steps": 16}):
        found = painted("style-swap", decoder=None, **({"steps": 8} | flags))
        assert np.abs(found - sought).mean() > 1e-4, flags


def test_levels_are_changed_one_after_the_other(painted: Any) -> None:
    one, two = painted("wct", levels="relu3_1"), painted("wct", levels=["relu3_1", "relu2_1"])
    assert np.abs(one - two).mean() > 1e-3


@pytest.mark.parametrize("kind", [AdainStylizer, WctStylizer, SwapStylizer])
def test_the_job_knows_the_decoder_that_it_uses(kind: type[Any], files: Path) -> None:
    bundled = kind.decoder_file
    assert bundled in kind(kind.Options.build({})).files()
    own = files / f"{kind.name}.safetensors"
    found = list(kind(kind.Options.build({"decoder": own})).files())
    assert own in found and bundled not in found


def test_optimization_uses_no_decoder() -> None:
    found = SwapStylizer(SwapStylizer.Options.build({"steps": 5})).files()
    assert not [path for path in found if path.suffix == ".safetensors"]


# -- with the decoders in the package --------------------------------------------------------------


# The channels of adain that have the gradient to raise have noise, too.
@pytest.mark.parametrize("name, most", [("adain", 0.7), ("wct", 0.3)])
@pytest.mark.parametrize("height", [0.0, 70.0])
def test_noise_of_a_sky_does_not_become_strokes(
    painted: Any,
    files: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    most: float,
    height: float,
) -> None:
    def contrast(picture: torch.Tensor, max_gain: float = MAX_GAIN) -> float:
        """The result's deviation along its rows."""
        save(files / "photos" / "photo.png", picture)
        monkeypatch.setattr("stylepipe.nst.transforms.MAX_GAIN", max_gain)
        found = painted(name, encoder_weights=None, decoder=None, levels=())
        return float(found.std(axis=1).mean())

    generator = torch.Generator().manual_seed(0)
    sky = 90 + torch.linspace(0, height, 96)[:, None] + torch.tensor([0.0, 30, 60])[:, None, None]
    noisy = (sky + torch.randint(-1, 2, (1, 3, 96, 96), generator=generator)) / 255
    found = contrast(noisy)
    assert found < most * contrast(noisy, 1e6)
    if not height:  # noise and nothing else: as if no contrast were ever raised
        assert found < 1.5 * contrast(noisy, 1e-6)
    # What is more than noise comes out in the painting's contrast.
    photo = tinyencoder.picture(96, 96, 1)
    assert contrast(photo) > 0.95 * contrast(photo, 1e6)


# -- the contract ---------------------------------------------------------------------------------


class RestyleContract(StylizerContract):
    layers: ClassVar[tuple[str, ...]] = ("relu3_1",)

    @pytest.fixture
    def made(self, tmp_path: Path) -> Stylizer:
        weights = tinyencoder.encoder_file(tmp_path)
        encoder, path = load_encoder(weights), tmp_path / "decoders.safetensors"
        save_decoders(path, {layer: decoder(encoder, layer) for layer in self.layers}, encoder)
        assert load_decoders(path).decoders
        more = {"levels": self.layers} if self.component is WctStylizer else {}
        given = {"encoder_weights": weights, "decoder": path, **more}
        type(self).styles = [
            StyleRef(str(save(tmp_path / "s.png", tinyencoder.picture(80, 70))), 1.0)
        ]
        return self.component(self.component.Options.build(given))


class TestAdain(RestyleContract):
    component = AdainStylizer


class TestWct(RestyleContract):
    component = WctStylizer
    layers = ("relu3_1", "relu2_1")


class TestStyleSwap(RestyleContract):
    component = SwapStylizer
