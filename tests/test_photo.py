"""The ``photo`` stylizer: what it takes from the style, and what it leaves of the photo."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tinyencoder
import torch
from stylepipe_plugins.photo import LEVELS, PhotoStylizer
from tinyencoder import save
from torch import Tensor

import stylepipe
from stylepipe import Batch, StyleRef, Stylizer
from stylepipe.cli import main
from stylepipe.nst import affine_grid
from stylepipe.nst.decoders import mirror, save_decoders
from stylepipe.nst.encoders import load_encoder
from stylepipe.testing import StylizerContract

Paint = Callable[..., Tensor]


def decoders(folder: Path, *layers: str) -> dict[str, Path]:
    """A small encoder, and its decoders, as options."""
    weights = tinyencoder.encoder_file(folder)
    encoder, path = load_encoder(weights), folder / f"{len(layers)}.safetensors"
    torch.manual_seed(0)
    save_decoders(path, {layer: mirror(encoder, layer) for layer in layers}, encoder)
    return {"encoder_weights": weights, "decoder": path}


@pytest.fixture
def paint(tmp_path: Path) -> Paint:
    """Paint pictures in memory after another, with what the package ships."""

    def call(photo: Any, style: Tensor, **options: Any) -> Any:
        path = str(save(tmp_path / "style.png", style))
        with stylepipe.open("photo", style=path, device="cpu", precision="full", **options) as it:
            return it.paint(photo)

    return call


def step(height: int, width: int) -> Tensor:
    """Two flat fields, light over dark, with a slanting edge and a vertical one between them."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    plane = torch.where((x < width // 3) | (3 * y > x + height), 0.2, 0.7)
    return torch.stack([plane, 0.8 * plane, 0.1 + 0.9 * plane])[None]


def changes(picture: Tensor) -> Tensor:
    """Of the brightness from each pixel to the next one on its right, H W."""
    return picture[0].mean(dim=0).diff(dim=1).abs()


def psnr(a: Tensor, b: Tensor) -> float:
    return float(-10 * torch.log10((a - b).square().mean()))


CHANGES: tuple[dict[str, Any], ...] = (
    {"cells": 1}, {"min_gain": 0.0}, {"working_side": 64}, {"strength": 0.5},
    {"keep_colors": True},
)  # fmt: skip
SUNSET = torch.tensor([0.9, 0.45, 0.2]).view(1, 3, 1, 1) * tinyencoder.picture(80, 96, 3)


def test_a_photo_that_is_its_own_style_stays_as_it_is(paint: Paint) -> None:
    photo = (tinyencoder.picture(96, 80, 1) * 255).round() / 255
    assert psnr(paint(photo, photo), photo) > 45


def test_it_takes_the_colors_of_the_style(paint: Paint) -> None:
    photo = tinyencoder.picture(96, 80, 1)
    found = paint(photo, SUNSET).mean(dim=(0, 2, 3))
    own, wanted = photo.mean(dim=(0, 2, 3)), SUNSET.mean(dim=(0, 2, 3))
    assert (found - wanted).abs().max() < 0.35 * (own - wanted).abs().max()


def test_a_plain_picture_stays_plain(paint: Paint) -> None:
    plain = torch.tensor([0.3, 0.5, 0.7]).view(1, 3, 1, 1).expand(1, 3, 90, 70).contiguous()
    found = paint(plain, SUNSET)
    assert (found.amax(dim=(2, 3)) - found.amin(dim=(2, 3))).max() < 1 / 255


def test_edges_stay_where_they_are(paint: Paint) -> None:
    photo = step(120, 150)
    found = paint(photo, SUNSET)
    assert (found - photo).abs().mean() > 0.02
    before, after = changes(photo), changes(found)
    edges = before > 0.1
    rows = edges.any(dim=1)
    assert rows.sum() > 60
    assert torch.equal(after[rows].argmax(dim=1), before[rows].argmax(dim=1))
    assert after[~edges].max() < 0.02 < 0.2 < after[edges].min()  # and none is added


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("cells", [1, 12])
def test_a_sky_goes_on_rising_without_bands(paint: Paint, depth: type[Any], cells: int) -> None:
    white = np.iinfo(depth).max
    ramp = np.linspace(0.35, 0.8, 240)[:, None, None] * np.array([0.6, 0.8, 1.0])
    sky = np.ascontiguousarray(np.rint(np.broadcast_to(ramp, (240, 64, 3)) * white).astype(depth))
    found = paint(sky, SUNSET, cells=cells)
    assert found.dtype == depth
    own, rise = (np.diff(x.mean(axis=(1, 2)) / white) for x in (sky, found))
    # A local look may bend what rises, by a tenth of a level of 8 bits a row: nobody sees that.
    bend = 4e-4 if cells > 1 else 0
    assert rise.min() > -bend - 0.75 / white
    assert rise.max() < 1.5 * own.max() + 0.75 / white
    if depth is np.uint16:  # its 240 rows have more colors than 8 bits could hold
        assert len(np.unique(found[:, 30].sum(axis=1))) > 220


@pytest.mark.parametrize("size", [(1, 1), (2, 7), (50, 50), (700, 64)])
def test_any_size_is_painted(paint: Paint, tmp_path: Path, size: tuple[int, int]) -> None:
    photo = torch.nn.functional.interpolate(tinyencoder.picture(40, 40, 1), size)
    found = paint(photo, SUNSET, working_side=64, **decoders(tmp_path, *LEVELS))
    assert found.shape == photo.shape and bool(torch.isfinite(found).all())


def test_options_reach_the_result(paint: Paint) -> None:
    photo = tinyencoder.picture(68, 80, 1)
    plain = paint(photo, SUNSET)
    for options in CHANGES:
        assert (paint(photo, SUNSET, **options) - plain).abs().mean() > 1e-3, options


def test_contrasts_rise_no_more_than_allowed(paint: Paint) -> None:
    generator = torch.Generator().manual_seed(0)
    dull = 0.45 + 0.1 * torch.rand(1, 3, 80, 80, generator=generator)
    style = tinyencoder.picture(80, 80, 3)
    own = dull.diff(dim=3).std()
    found = [paint(dull, style, max_gain=gain).diff(dim=3).std() / own for gain in (1.0, 2.0)]
    assert found[0] < 1.05 and 1.15 < found[1] < 2.1


# -- regions ---------------------------------------------------------------------------------------


def changed(photo: Tensor, target: Tensor, regions: Tensor | None, cells: int = 12) -> Tensor:
    """The photo as near to the target as the functions come."""
    functions = affine_grid.fit(affine_grid.gather(photo, target, regions, cells), 0.3, 2.0)
    return affine_grid.apply(functions, photo, regions)


def test_regions_alike_with_one_style_are_no_regions() -> None:
    half = tinyencoder.picture(40, 30, 1)
    photo = torch.cat([half, half.flip(3)], dim=3)
    target = (photo**2) * torch.tensor([0.9, 0.7, 0.4]).view(1, 3, 1, 1)
    regions = tinyencoder.halves(40, 60)
    assert (changed(photo, target, regions, 1) - changed(photo, target, None, 1)).abs().max() < 1e-4


def test_regions_end_where_the_map_says() -> None:
    photo = tinyencoder.picture(40, 60, 1)
    regions = tinyencoder.halves(40, 60)
    target = photo * torch.where(regions[:, :1] > 0, 1.0, 0.5)
    found = changed(photo, target, regions)
    assert (found - target).abs().max() < 0.05


def test_maps_of_photo_and_style_from_the_command_line(tmp_path: Path) -> None:
    """Each half follows its half of the style; a region of the style alone does no harm."""
    photo = save(tmp_path / "photo.png", 0.3 + 0.4 * tinyencoder.picture(64, 72, 1))
    thirds = tinyencoder.picture(64, 96, 3)
    thirds *= torch.tensor([[1.0, 0.3, 0.2]] * 32 + [[0.2, 0.3, 1.0]] * 32 + [[0, 1.0, 0]] * 32).T[
        None, :, None
    ]
    maps = [torch.zeros(1, 3, 64, 72), torch.zeros(1, 3, 64, 96)]
    maps[0][..., 36:] = maps[1][..., 32:] = 1
    maps[1][:, ::2, :, 64:] = 0  # green
    flags = {
        "style": save(tmp_path / "style.png", thirds),
        "regions": save(tmp_path / "map.png", maps[0]),
        "style-regions": save(tmp_path / "style_map.png", maps[1]),
    }
    call = ["photo", str(photo), "-o", str(tmp_path / "out.png"), "--device", "cpu", "-q"]
    assert main.run([*call, *(f"--{name}={path}" for name, path in flags.items())]) == 0
    blue, green, red = tinyencoder.read(tmp_path / "out.png").transpose(2, 0, 1)
    assert (red - blue)[:, :30].mean() > 0.15 and (blue - red)[:, 42:].mean() > 0.15
    assert green.mean() < 0.5


def test_a_region_that_a_photo_lacks_does_no_harm() -> None:
    photo = tinyencoder.picture(40, 60, 1)
    regions = torch.cat([torch.ones(1, 1, 40, 60), torch.zeros(1, 1, 40, 60)], dim=1)
    assert (changed(photo, photo, regions) - photo).abs().max() < 1e-4


# -- large pictures, films -------------------------------------------------------------------------


def test_strips_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    photo = tinyencoder.picture(60, 70, 1)
    whole = changed(photo, photo**2, None)
    monkeypatch.setattr(affine_grid, "STRIP", 100)
    assert (changed(photo, photo**2, None) - whole).abs().max() < 1e-6


@pytest.fixture
def stylizer(tmp_path: Path) -> Iterator[Stylizer]:
    """After SUNSET, with what the package ships."""
    style = str(save(tmp_path / "sunset.png", SUNSET))
    with stylepipe.open("photo", style=style, device="cpu", precision="full") as session:
        yield session.settings.stylizer


def test_noise_does_not_make_a_film_flicker(stylizer: Stylizer) -> None:
    scene, generator = tinyencoder.picture(64, 80, 1), torch.Generator().manual_seed(0)
    frames = [scene + 0.02 * torch.randn(scene.shape, generator=generator) for _ in range(3)]
    item = StylizerContract.item()
    stylizer.reset(item)
    found = [stylizer.stylize(Batch(frame, item, first=n)) for n, frame in enumerate(frames)]
    for n in (1, 2):
        noise = (frames[n] - frames[n - 1]).abs().mean()
        assert (found[n] - found[n - 1]).abs().mean() < 1.3 * noise


def test_a_film_remembers_so_many_frames_and_no_more(stylizer: Stylizer) -> None:
    item, dark = StylizerContract.item(), tinyencoder.picture(64, 72, 1)
    light = 1 - dark

    def last(*frames: Tensor) -> Tensor:
        stylizer.reset(item)
        return [stylizer.stylize(Batch(f, item, first=n)) for n, f in enumerate(frames)][-1]

    alone = last(dark)
    assert (last(light, dark) - alone).abs().mean() > 1e-3
    many = last(light, *[dark] * (1 + stylizer.caps.warmup))
    assert (many - alone).abs().max() < 1e-4


# -- refused ---------------------------------------------------------------------------------------


def refused(capsys: Any, folder: Path, *words: str, **flags: Any) -> None:
    photo = save(folder / "photo.png", tinyencoder.picture(64, 72, 1))
    call = ["photo", str(photo), "-o", str(folder / "out.png"), "--device", "cpu"]
    given = {"style": photo} | flags
    call += [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]
    assert main.run(call) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said and not (folder / "out.png").exists()
    for word in words:
        assert word in said


def test_decoders_that_cannot_serve(capsys: Any, tmp_path: Path) -> None:
    given = decoders(tmp_path, "relu3_1", "relu2_1")
    refused(capsys, tmp_path, "photo needs decoders of", "none of relu1_1", **given)
    alone = {"encoder_weights": given["encoder_weights"]}
    refused(capsys, tmp_path, "stylepipe train wct", "--decoder FILE", **alone)


def test_values_out_of_range(capsys: Any, tmp_path: Path) -> None:
    refused(capsys, tmp_path, "cells must be between 1 and 64", cells=0)
    refused(capsys, tmp_path, "max_gain must be between 1 and 20", max_gain=0.5)
    refused(capsys, tmp_path, "working_side must be between 64 and 4096", working_side=10)


def test_too_little_memory_is_told_with_what_helps(
    capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stylepipe.restyling.working_memory", lambda context: 1 << 20)
    photo = save(tmp_path / "photo.png", tinyencoder.picture(64, 72, 1))
    call = ["photo", str(photo), "-o", str(tmp_path / "out.png"), "--style", str(photo)]
    assert main.run([*call, "--device", "cpu"]) == 1
    assert "or allow more, by --working-side" in capsys.readouterr().err


class TestPhoto(StylizerContract):
    component = PhotoStylizer

    @pytest.fixture
    def made(self, tmp_path: Path) -> Stylizer:
        given = decoders(tmp_path, *LEVELS)
        style = save(tmp_path / "s.png", tinyencoder.picture(80, 70))
        type(self).styles = [StyleRef(str(style), 1.0)]
        return self.component(self.component.Options.build(given))
