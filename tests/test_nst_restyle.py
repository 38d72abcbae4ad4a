"""Any style in one pass: bad requests first, then strength, blends, regions, tiles."""

import pytest
import tinyencoder
import torch
from torch import Tensor

from stylepipe.nst.budget import NotEnoughMemory
from stylepipe.nst.decoders import mirror
from stylepipe.nst.inverses import DecoderInverter
from stylepipe.nst.paintings import Painting
from stylepipe.nst.restyle import MomentTransform, Restyler, RestyleSettings

PHOTO = tinyencoder.picture(40, 52, seed=1)
STYLES = [tinyencoder.picture(48, 40, seed=2), 0.5 * tinyencoder.picture(44, 44, seed=3)]


def restyler(
    *paintings: Painting, full: bool = False, memory: int = 1 << 30, **settings: object
) -> Restyler:
    torch.manual_seed(0)
    encoder = tinyencoder.encoder()
    decoders = {layer: mirror(encoder, layer) for layer in ("relu3_1", "relu2_1")}
    for decoder in decoders.values():
        with torch.no_grad():
            decoder.convolutions[-1].weight.mul_(4)  # more than gray
    given = paintings or (Painting(STYLES[0]),)
    inverses = {layer: DecoderInverter(decoder) for layer, decoder in decoders.items()}
    return Restyler(
        encoder, inverses, MomentTransform(full), given, RestyleSettings(**settings), memory
    )  # type: ignore[arg-type]


def far(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().mean())


def test_what_makes_no_sense_is_refused() -> None:
    for wrong, message in (
        ({"strength": 1.5}, "strength must be between 0 and 1"),
        ({"style_scale": 0.0}, "style_scale must be positive"),
    ):
        with pytest.raises(ValueError, match=message):
            RestyleSettings(**wrong)  # type: ignore[arg-type]
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
    with pytest.raises(NotEnoughMemory, match=r"52x40 pixels takes .*, and 0 MiB are") as caught:
        restyler(full=full, memory=1).paint(PHOTO)
    # What it names suffices, and less does not.
    tiled = restyler(full=full, memory=caught.value.needed)
    assert tiled._tile(PHOTO, None) == 16
    assert torch.allclose(tiled.paint(PHOTO), whole, atol=2e-4)
    with pytest.raises(NotEnoughMemory):
        restyler(full=full, memory=caught.value.needed - 8).paint(PHOTO)


def test_more_of_everything_needs_more_memory() -> None:
    def needed(found: Restyler, photo: Tensor, regions: Tensor | None = None) -> int:
        with pytest.raises(NotEnoughMemory) as caught:
            found.paint(photo, regions)
        return caught.value.needed

    large = tinyencoder.picture(400, 600)
    both = (Painting(STYLES[0]), Painting(STYLES[1]))
    plain = needed(restyler(memory=1), large)
    assert needed(restyler(memory=1, strength=0.5), large) > plain
    regions = tinyencoder.halves(400, 600)
    assert needed(restyler(*both, memory=1), large, regions) > plain + regions.nbytes
    assert needed(restyler(memory=1), tinyencoder.picture(800, 600)) > plain + 400 * 600 * 30


class Watched(DecoderInverter):
    """Keeps the largest feature that it was given."""

    most = 0.0

    def picture(self, features: Tensor, photo: Tensor, tile: int) -> Tensor:
        self.most = max(self.most, float(features.abs().max()))
        return super().picture(features, photo, tile)


@pytest.mark.parametrize("border", ["inside", "feather", "simple"])
@pytest.mark.parametrize("full", [False, True])
def test_a_flat_region_is_not_amplified(full: bool, border: str) -> None:
    encoder, layer = tinyencoder.encoder(), "relu3_1"
    inverse = Watched(mirror(encoder, layer))
    white = tinyencoder.picture(96, 96, seed=1)
    white[..., :48] = 1.0
    paintings = [Painting(tinyencoder.picture(96, 96, seed=s)) for s in (2, 3)]
    settings = RestyleSettings(border=border)  # type: ignore[arg-type]
    found = Restyler(encoder, {layer: inverse}, MomentTransform(full), paintings, settings, 1 << 30)
    found.paint(white, tinyencoder.halves(96, 96))
    most = max(float(encoder(p.picture, [layer])[layer].max()) for p in paintings)
    assert 0 < inverse.most < 3 * most


def test_what_a_painting_teaches_is_learnt_once(monkeypatch: pytest.MonkeyPatch) -> None:
    learnt: list[int] = []
    plain = MomentTransform.learn

    def counted(self: MomentTransform, *args: object) -> object:
        learnt.append(1)
        return plain(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(MomentTransform, "learn", counted)
    found = restyler()
    first = found.paint(PHOTO)
    assert len(learnt) == 2  # a level each
    assert torch.equal(found.paint(PHOTO), first)
    assert len(learnt) == 2
    found.paint(PHOTO[..., :36])
    assert len(learnt) == 4
    found.paint(PHOTO)
    assert len(learnt) == 4


def test_what_paintings_teach_takes_an_eighth_of_the_memory() -> None:
    found = restyler()
    for width in range(30, 50):
        found.paint(PHOTO[..., :width])
    assert len(found._learnt) == 2 * 20
    found.memory = 8 * found._held() // 4
    found._tile = lambda photo, regions: 64  # type: ignore[method-assign]
    found.paint(PHOTO)
    assert len(found._learnt) == 10
    found.memory = 0
    found.paint(PHOTO[..., :33])
    assert len(found._learnt) == 1  # the last is kept, whatever it takes


def test_style_scale_and_colors_reach_the_result() -> None:
    plain = restyler().paint(PHOTO)
    assert far(restyler(style_scale=0.4).paint(PHOTO), plain) > 1e-3
    for colors in ("linear", "histogram"):
        assert far(restyler(match_colors=colors).paint(PHOTO), plain) > 1e-3
