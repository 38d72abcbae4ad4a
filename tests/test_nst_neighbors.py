"""Painting by nearest neighbors: the mathematics, and what it refuses."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import tinyencoder
import torch
from torch import Tensor

from stylepipe.nst import neighbors
from stylepipe.nst.budget import NotEnoughMemory
from stylepipe.nst.neighbors import NeighborRecipe, Neighbors
from stylepipe.nst.optimize import Step
from stylepipe.nst.paintings import Painting

RECIPE = NeighborRecipe(steps=12, matches=2, first_side=32)
Paint = Callable[..., Tensor]


def painter(*paintings: Painting, memory: int = 1 << 30, **changes: object) -> Neighbors:
    recipe = replace(RECIPE, **changes)  # type: ignore[arg-type]
    return Neighbors(tinyencoder.encoder(), paintings, recipe, memory)


def stripes(color: tuple[float, float, float], side: int = 64) -> Tensor:
    """Lines of a color on black."""
    picture = torch.zeros(1, 3, side, side)
    picture[:, :, :, ::6] = torch.tensor(color).view(1, 3, 1, 1)
    picture[:, :, :, 1::6] = torch.tensor(color).view(1, 3, 1, 1)
    return picture


def test_the_pyramid_gives_the_picture_back() -> None:
    picture = tinyencoder.picture(77, 101)
    levels = neighbors._pyramid(picture)
    assert len(levels) > 2
    assert torch.allclose(neighbors._folded(levels), picture, atol=1e-6)


def test_the_nearest_column_is_that_of_the_highest_cosine(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    columns = neighbors._unit(torch.randn(5, 40, generator=generator))
    bank = neighbors._Bank((), torch.zeros(5, 1), columns, torch.arange(40) % 2)
    wanted = neighbors._unit(torch.randn(5, 30, generator=generator))
    expected = torch.stack([columns[:, (w @ columns).argmax()] for w in wanted.T], dim=1)
    assert torch.equal(neighbors._nearest(wanted, bank, None), expected)
    monkeypatch.setattr(neighbors, "SLAB", 4 * 40 * 7)  # seven at once
    assert torch.equal(neighbors._nearest(wanted, bank, None), expected)
    owner = torch.arange(30) % 3  # the bank has nothing of the third region
    found = neighbors._nearest(wanted, bank, owner)
    for index, region in enumerate(owner.tolist()):
        allowed = columns[:, region::2] if region < 2 else columns
        best = allowed[:, (wanted[:, index] @ allowed).argmax()]
        assert torch.equal(found[:, index], best)


def test_it_comes_nearer_to_the_painting_and_keeps_size_and_range() -> None:
    photo = tinyencoder.picture(70, 90, 1)
    steps: list[Step] = []
    result = painter(Painting(stripes((1.0, 0.2, 0.1)))).paint(photo, on_step=steps.append)
    assert result.shape == photo.shape
    assert float(result.min()) >= 0.0 and float(result.max()) <= 1.0
    per_size = [s.terms["distance"] for s in steps]
    assert per_size[11] < 0.9 * per_size[0]  # the first size
    assert [s.number for s in steps] == list(range(1, steps[-1].steps + 1))
    # red is what the painting has, and the photo has no more of than of others
    assert float(result[:, 0].mean()) > 1.5 * float(result[:, 2].mean())


def test_the_same_photo_gives_the_same_picture() -> None:
    first = painter(Painting(tinyencoder.picture(60, 60, 2)))
    photo = tinyencoder.picture(48, 64, 3)
    once = first.paint(photo)
    first.paint(tinyencoder.picture(64, 48, 4))
    assert torch.equal(first.paint(photo), once)


def test_more_of_the_photo_keeps_more_of_it() -> None:
    photo, painting = tinyencoder.picture(64, 64, 1), Painting(tinyencoder.picture(64, 64, 2))
    encoder = tinyencoder.encoder()

    def distance(content: float) -> float:
        result = painter(painting, content=content, steps=30, matches=3).paint(photo)
        own, kept = (encoder(p, ["relu2_1"])["relu2_1"] for p in (result, photo))
        own, kept = own - own.mean(dim=(2, 3), keepdim=True), kept - kept.mean((2, 3), keepdim=True)
        return float(1 - torch.cosine_similarity(own.flatten(), kept.flatten(), dim=0))

    assert distance(1.0) < distance(0.0)


def test_regions_take_their_own_paintings() -> None:
    photo = tinyencoder.picture(64, 96, 1)
    red, blue = Painting(stripes((1.0, 0.1, 0.1))), Painting(stripes((0.1, 0.1, 1.0)))
    result = painter(red, blue).paint(photo, tinyencoder.halves(64, 96))
    left, right = result[..., :40], result[..., 56:]
    assert float(left[:, 0].mean()) > float(left[:, 2].mean())
    assert float(right[:, 2].mean()) > float(right[:, 0].mean())
    maps = tinyencoder.halves(64, 64)
    half = torch.cat([red.picture[..., :32], blue.picture[..., 32:]], dim=3)
    own = painter(Painting(half, regions=maps)).paint(photo, tinyencoder.halves(64, 96))
    assert float(own[:, 0, :, :40].mean()) > float(own[:, 2, :, :40].mean())
    with pytest.raises(ValueError, match="regions of the picture: 2, styles: 1"):
        painter(red).paint(photo, tinyencoder.halves(64, 96))


def test_a_large_photo_is_painted_small_and_enlarged() -> None:
    seen: list[Step] = []
    photo = tinyencoder.picture(120, 160, 1)
    result = painter(Painting(tinyencoder.picture(64, 64, 2)), max_side=64).paint(
        photo, on_step=seen.append
    )
    assert result.shape == photo.shape
    assert max(max(step.size) for step in seen) == 64


def test_what_cannot_be_painted_is_refused() -> None:
    painting = Painting(tinyencoder.picture(64, 64))
    with pytest.raises(ValueError, match="no painting"):
        painter()
    with pytest.raises(ValueError, match="a painting of 40x3 pixels is too small"):
        painter(Painting(tinyencoder.picture(3, 40)))
    with pytest.raises(ValueError, match="a picture of 40x3 pixels is too small"):
        painter(painting).paint(tinyencoder.picture(3, 40))
    with pytest.raises(
        NotEnoughMemory, match="allow more, or enlarge the picture from a smaller size"
    ) as caught:
        painter(painting, memory=1 << 20).paint(tinyencoder.picture(64, 64))
    enough = painter(painting, memory=caught.value.needed)
    assert enough.paint(tinyencoder.picture(64, 64)).shape == (1, 3, 64, 64)
    for wrong in ({"content": 1.5}, {"steps": 0}, {"matches": 13}, {"max_side": 0},
                  {"style_scale": 0.0}):  # fmt: skip
        with pytest.raises(ValueError):
            replace(RECIPE, **wrong)  # type: ignore[arg-type]
