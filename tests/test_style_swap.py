"""What only style-swap can be told: requests refused first, then what reaches the result."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tinyencoder
import torch
from stylepipe_plugins import style_swap
from stylepipe_plugins.style_swap import SwapOptions, SwapStylizer, SwapTraining

from stylepipe import Context, UsageError
from stylepipe.device import Device
from stylepipe.nst.decoders import mirror
from stylepipe.nst.inverses import DecoderInverter
from stylepipe.nst.paintings import Painting
from stylepipe.nst.restyle import PatchSwap, Restyler, RestyleSettings

CPU = torch.device("cpu")


def stylizer(dtype: torch.dtype = torch.float32, **values: object) -> SwapStylizer:
    found = SwapStylizer(SwapOptions.build({"style": ["a.png"], **values}))
    found.open(Context(Device(dtype, CPU), 1 << 30, print))
    return found


# -- refused --------------------------------------------------------------------------------------


def test_a_layer_that_the_package_has_no_decoder_of() -> None:
    with pytest.raises(UsageError) as told:
        SwapOptions.build({"style": ["a.png"], "layer": "relu4_1"})
    for words in (
        "the decoder in the package is of relu3_1",
        "stylepipe train style-swap --layers relu4_1",
        "--decoder FILE",
        "--steps",
    ):
        assert words in str(told.value)
    SwapOptions.build({"style": ["a.png"], "layer": "relu4_1", "steps": 10})


def test_a_decoder_that_would_not_be_used(tmp_path: Path) -> None:
    decoder = tmp_path / "own.safetensors"
    decoder.write_bytes(b"")
    with pytest.raises(UsageError, match="leave out --decoder or --steps"):
        SwapOptions.build({"style": ["a.png"], "decoder": decoder, "steps": 10})


def test_training_with_other_patches_is_another_run(tmp_path: Path) -> None:
    small = np.random.default_rng(0).integers(0, 255, (6, 8, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), cv2.resize(small, (96, 72)))

    def train(patch_size: int, steps: int) -> None:
        flags = SwapTraining.Options.build(
            {
                "photos": [tmp_path / "a.png"],
                "paintings": [tmp_path / "a.png"],
                "output": tmp_path / "own.safetensors",
                "encoder_weights": tinyencoder.encoder_file(tmp_path),
                "patch_size": patch_size,
                **{"steps": steps, "batch": 1, "size": 64, "checkpoint_every": 1},
            }
        )
        SwapTraining(flags).train(Context(Device(torch.float32, CPU), 1 << 30, print))

    train(3, 2)
    train(3, 2)
    with pytest.raises(UsageError, match="pass --restart to start over"):
        train(5, 2)


# -- precision ------------------------------------------------------------------------------------


@pytest.mark.parametrize("native", [False, True])
def test_patches_are_compared_in_half_precision_only_where_that_is_fast(
    native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(style_swap, "native_bf16", lambda device: native)

    def fast(found: SwapStylizer) -> bool:
        transform = found.transform()
        assert isinstance(transform, PatchSwap)
        return transform.fast

    assert not fast(stylizer(torch.float32))
    assert fast(stylizer(torch.bfloat16)) == native
    assert not fast(stylizer(torch.bfloat16, exact=True))


# -- several paintings ----------------------------------------------------------------------------


class Kept(DecoderInverter):
    """Keeps the features that are to be decoded."""

    def picture(self, features: torch.Tensor, photo: torch.Tensor, tile: int) -> torch.Tensor:
        self.features = features
        return photo


LAYER = "relu2_1"
PHOTO = tinyencoder.picture(40, 52, seed=1)
FIRST, SECOND = tinyencoder.picture(48, 40, seed=2), 0.5 * tinyencoder.picture(44, 44, seed=3)
TYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])


def swapped(
    *paintings: Painting,
    transform: PatchSwap | None = None,
    dtype: torch.dtype = torch.float32,
    regions: torch.Tensor | None = None,
    **settings: Any,
) -> torch.Tensor:
    """The features 1 C h w of the photo that are decoded."""
    encoder = tinyencoder.encoder(dtype)
    kept = Kept(mirror(encoder, LAYER))
    Restyler(
        encoder,
        {LAYER: kept},
        transform or PatchSwap(),
        paintings,
        RestyleSettings(**settings),
        1 << 30,
    ).paint(PHOTO, regions)
    return kept.features


def far(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().mean())


@TYPES
@pytest.mark.parametrize("pooled", [True, False])
@pytest.mark.parametrize("inference", [True, False])
def test_each_region_gets_its_own_painting(
    dtype: torch.dtype, pooled: bool, inference: bool
) -> None:
    regions = tinyencoder.halves(40, 52)
    transform = PatchSwap(pooled=pooled)
    with torch.inference_mode(inference):
        both = swapped(
            Painting(FIRST), Painting(SECOND), transform=transform, dtype=dtype, regions=regions
        )
        first, second = (swapped(Painting(p), dtype=dtype) for p in (FIRST, SECOND))
    left, right = slice(0, 11), slice(15, 26)  # of 26 columns: away from the border
    assert torch.equal(both[..., left], first[..., left])
    assert torch.equal(both[..., right], second[..., right])
    assert far(first, second) > 0.02


@TYPES
@pytest.mark.parametrize("inference", [True, False])
def test_weights_of_a_mixture_count(dtype: torch.dtype, inference: bool) -> None:
    transform = PatchSwap(pooled=False)
    with torch.inference_mode(inference):
        second = swapped(Painting(SECOND), dtype=dtype)
        most, least = (
            swapped(Painting(FIRST, 4.0 - w), Painting(SECOND, w), transform=transform, dtype=dtype)
            for w in (3.0, 1.0)
        )
    assert far(most, second) < 0.5 * far(least, second)


def test_tiles_show_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = swapped(Painting(FIRST))
    monkeypatch.setattr("stylepipe.nst.restyle.SMALLEST_TILE", 16)
    monkeypatch.setattr("stylepipe.nst.restyle.LARGEST_TILE", 16)
    torch.testing.assert_close(swapped(Painting(FIRST)), whole, rtol=1e-4, atol=1e-4)


# -- sizes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [1, 3, 7, 15])
@pytest.mark.parametrize("layer", ["relu1_1", "relu2_1", "relu3_1"])
def test_the_least_side_holds_a_patch(side: int, layer: str) -> None:
    encoder = tinyencoder.encoder()
    least = PatchSwap(side).least(encoder, layer)

    def features(pixels: int) -> int:
        maps = encoder(torch.rand(1, 3, pixels, pixels), [layer])[layer]
        return int(min(maps.shape[2:]))

    assert features(least) >= side
    spare = 2 * encoder.stride(layer)  # of the smallest picture that the layer can be computed of
    if least - spare >= encoder.least_side(layer):
        assert features(least - spare) < side


def test_a_region_lost_by_scaling_says_what_to_do() -> None:
    own = torch.zeros(1, 2, 48, 40)
    own[:, 0], own[:, 0, :3, :3], own[:, 1, :3, :3] = 1, 0, 1
    painting = Painting(FIRST, regions=own)
    with pytest.raises(ValueError, match=r"region 2: .*mask.*style scale.*larger photo"):
        swapped(painting, regions=tinyencoder.halves(40, 52))
