"""Any style in one pass: bad requests first, then strength, blends, regions, tiles."""

import pytest
import tinyencoder
import torch
from torch import Tensor

from stylepipe.nst.decoders import mirror
from stylepipe.nst.inverses import ByNetwork
from stylepipe.nst.paintings import Painting
from stylepipe.nst.restyle import Manner, Moved, Restyler

PHOTO = tinyencoder.picture(40, 52, seed=1)
STYLES = [tinyencoder.picture(48, 40, seed=2), 0.5 * tinyencoder.picture(44, 44, seed=3)]


def restyler(
    *paintings: Painting, full: bool = False, memory: int = 1 << 30, **manner: object
) -> Restyler:
    torch.manual_seed(0)
    encoder = tinyencoder.encoder()
    decoders = {layer: mirror(encoder, layer) for layer in ("relu3_1", "relu2_1")}
    for decoder in decoders.values():
        with torch.no_grad():
            decoder.convolutions[-1].weight.mul_(4)  # more than grey
    given = paintings or (Painting(STYLES[0]),)
    inverses = {layer: ByNetwork(decoder) for layer, decoder in decoders.items()}
    return Restyler(encoder, inverses, Moved(full), given, Manner(**manner), memory)  # type: ignore[arg-type]


def far(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().mean())


def test_what_makes_no_sense_is_refused() -> None:
    for wrong, message in (
        ({"strength": 1.5}, "strength must be between 0 and 1"),
        ({"style_scale": 0.0}, "style_scale must be positive"),
    ):
        with pytest.raises(ValueError, match=message):
            Manner(**wrong)  # type: ignore[arg-type]
    small = torch.rand(1, 3, 2, 40)
    with pytest.raises(ValueError, match="a painting of 40x2 pixels is too small"):
        restyler(Painting(small))
    with pytest.raises(ValueError, match="painting 2 of 40x2 pixels is too small"):
        restyler(Painting(STYLES[0]), Painting(small))
    with pytest.raises(ValueError, match="a picture of 40x2 pixels is too small"):
        restyler().paint(small)
    with pytest.raises(ValueError, match="regions of the picture: 2, styles: 1"):
        restyler().paint(PHOTO, tinyencoder.halves(40, 52))


@pytest.mark.parametrize("full", [False, True])
def test_strength_goes_from_the_photo_to_the_style(full: bool) -> None:
    results = [restyler(full=full, strength=s).paint(PHOTO) for s in (0.0, 0.001, 0.5, 1.0)]
    assert torch.equal(results[0], PHOTO)
    assert far(results[1], PHOTO) < 2e-3  # no jump
    assert 0.01 < far(results[2], PHOTO) < far(results[3], PHOTO)


def test_the_style_decides_what_comes_out() -> None:
    first, second = (restyler(Painting(s)).paint(PHOTO) for s in STYLES)
    assert far(first, second) > 0.01
    both = restyler(Painting(STYLES[0]), Painting(STYLES[1])).paint(PHOTO)
    assert min(far(both, first), far(both, second)) > 0.002
    most = restyler(Painting(STYLES[0], 99.0), Painting(STYLES[1], 1.0)).paint(PHOTO)
    assert far(most, first) < far(both, first) / 5


def test_each_half_gets_its_own_style() -> None:
    regions = tinyencoder.halves(40, 52)
    both = restyler(Painting(STYLES[0]), Painting(STYLES[1])).paint(PHOTO, regions)
    swapped = restyler(Painting(STYLES[1]), Painting(STYLES[0])).paint(PHOTO, regions)
    alone = restyler(Painting(STYLES[0]), Painting(STYLES[0])).paint(PHOTO, regions)
    left, right = slice(0, 14), slice(38, 52)  # away from the border
    assert far(both[..., left], alone[..., left]) < 0.2 * far(swapped[..., left], alone[..., left])
    assert far(both[..., right], alone[..., right]) > 0.005


def test_regions_of_the_painting_serve_those_of_the_photo() -> None:
    joined = torch.cat([STYLES[0][..., :40, :40], STYLES[1][..., :40, :40]], dim=3)
    own = tinyencoder.halves(40, 80)
    regions = tinyencoder.halves(40, 52)
    found = restyler(Painting(joined, regions=own)).paint(PHOTO, regions)
    other = restyler(Painting(joined, regions=own.flip(1))).paint(PHOTO, regions)
    assert far(found, other) > 0.01


@pytest.mark.parametrize("full", [False, True])
def test_tiles_show_the_same_picture(full: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = restyler(full=full).paint(PHOTO)
    monkeypatch.setattr("stylepipe.nst.restyle.SMALLEST_TILE", 16)
    tiled = restyler(full=full, memory=1)
    assert tiled.tile == 16
    assert torch.allclose(tiled.paint(PHOTO), whole, atol=2e-4)


def test_what_a_painting_teaches_is_learnt_once(monkeypatch: pytest.MonkeyPatch) -> None:
    learnt: list[int] = []
    plain = Moved.learn

    def counted(self: Moved, *args: object) -> object:
        learnt.append(1)
        return plain(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Moved, "learn", counted)
    found = restyler()
    first = found.paint(PHOTO)
    assert len(learnt) == 2  # a level each
    assert torch.equal(found.paint(PHOTO), first)
    assert len(learnt) == 2
    found.paint(PHOTO[..., :36])
    assert len(learnt) == 4


def test_style_scale_and_colours_reach_the_result() -> None:
    plain = restyler().paint(PHOTO)
    assert far(restyler(style_scale=0.4).paint(PHOTO), plain) > 1e-3
    for colors in ("linear", "histogram"):
        assert far(restyler(colors=colors).paint(PHOTO), plain) > 1e-3
