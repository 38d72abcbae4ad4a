"""Painting by optimization: strength, regions, what is kept from photo to photo, memory."""

from pathlib import Path
from typing import Any

import pytest
import tinyencoder
import torch
from tinyencoder import STYLE
from torch import Tensor

from stylepipe import read_picture
from stylepipe.nst import gatys as module
from stylepipe.nst.budget import NotEnoughMemory
from stylepipe.nst.encoders import Encoder, open_encoder
from stylepipe.nst.gatys import Gatys
from stylepipe.nst.objective import Objective
from stylepipe.nst.optimize import Step, resize
from stylepipe.nst.paintings import Painting
from stylepipe.nst.recipe import LoopOptions, Recipe
from stylepipe.nst.terms.patches import Patches

PHOTO = tinyencoder.picture(40, 56, 1)
PAINTING = 1 - tinyencoder.picture(60, 48, 2) ** 2


def recipe(steps: int = 4, **changes: Any) -> Recipe:
    loop = LoopOptions(steps=steps, learning_rate=changes.pop("rate", 0.05))
    weights = {n.removesuffix("_weight"): changes.pop(n) for n in [*changes] if "_weight" in n}
    base: dict[str, Any] = {
        "content_layers": {"relu3_1": 1.0}, "style_layers": STYLE, "loop": loop, "first_side": 0,
        "weights": weights,
    }  # fmt: skip
    return Recipe(**(base | changes))


def painter(
    *paintings: Painting, memory: int = 1 << 30, net: Encoder | None = None, **changes: Any
) -> Gatys:
    wanted = recipe(**changes)
    return Gatys(net or tinyencoder.encoder(), paintings or [Painting(PAINTING)], wanted, memory)


def judged(picture: Tensor, painting: Tensor = PAINTING) -> float:
    """Style distance of a picture to a painting."""
    only = painter(Painting(painting), content_weight=0.0, tv_weight=0.0).objective(picture)
    return float(only(picture)[0]["style"])


def flat(*color: float, height: int = 48, width: int = 48) -> Tensor:
    return torch.tensor(color).view(1, 3, 1, 1).expand(1, 3, height, width).clone()


RED, BLUE = flat(0.9, 0.2, 0.2), flat(0.2, 0.2, 0.9)
WARM = torch.tensor([1.0, 0.0, -1.0]).view(1, 3, 1, 1)


# -- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"content_weight": -1.0}, "weight of content must be 0 or more"),
        ({"tv_weight": float("inf")}, "weight of tv must be 0 or more, and finite"),
        ({"content_weight": 0.0, "style_weight": 0.0}, "all weights are zero"),
        ({"strength": 1.1}, "strength must be between 0 and 1"),
        ({"style_scale": 0.0}, "style_scale must be positive"),
        ({"border": "hard"}, "known: feather, inside, simple"),
        ({"photorealistic_smoothing": -1}, "photorealistic_smoothing must be 0 or more, got -1"),
        ({"init": "zeros"}, "known: style, content, noise, gray"),
    ],
)
def test_recipes_out_of_range_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        recipe(**changes)


def test_no_painting_unknown_layers_and_small_pictures_are_refused() -> None:
    net = tinyencoder.encoder()
    with pytest.raises(ValueError, match="no painting"):
        Gatys(net, [], recipe(), 1 << 30)
    with pytest.raises(ValueError, match=r"no layer 'relu3_9'.*it has relu1_1, relu2_1, relu3_1"):
        painter(style_layers={"relu3_9": 1.0})
    with pytest.raises(ValueError, match="a painting of 9x60 pixels is too small for the compact"):
        painter(Painting(PAINTING[..., :9]))
    with pytest.raises(ValueError, match=r"a picture of 56x15 pixels .* needs 16 or more"):
        painter().paint(PHOTO[..., :15, :])


def test_regions_that_do_not_fit_are_refused() -> None:
    region_masks = tinyencoder.halves(40, 56)
    with pytest.raises(ValueError, match="regions of the picture: 2, styles: 1"):
        painter().paint(PHOTO, regions=region_masks)
    style_planes = tinyencoder.halves(60, 48)
    mixed = [Painting(PAINTING, 1.0, style_planes), Painting(PAINTING)]
    with pytest.raises(ValueError, match="style 2 has no regions, the picture has 2"):
        painter(*mixed).paint(PHOTO, regions=region_masks)
    three = torch.cat([style_planes, style_planes[:, :1]], dim=1)
    with pytest.raises(ValueError, match="style 1 has 3 regions, the picture has 2"):
        painter(Painting(PAINTING, 1.0, three)).paint(PHOTO, regions=region_masks)
    style_planes[:, 1] = 0
    with pytest.raises(ValueError, match="region 2 is missing in style 1"):
        painter(Painting(PAINTING, 1.0, style_planes)).paint(PHOTO, regions=region_masks)


def test_what_an_encoder_cannot_see_whole_is_refused_if_it_cannot_be_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Encoder, "tileable", False)
    with pytest.raises(ValueError, match="56x40 pixels do not fit into the memory"):
        painter(memory=1000).paint(PHOTO)
    assert painter().paint(PHOTO).shape == PHOTO.shape


# -- strength, seed, start -----------------------------------------------------------------------


def test_no_strength_gives_the_photo_back() -> None:
    assert torch.equal(painter(strength=0.0, init="noise", tv_weight=9.0).paint(PHOTO), PHOTO)


def test_strength_lies_between_photo_and_painting() -> None:
    results = [
        painter(steps=20, strength=s, tv_weight=0.02).paint(PHOTO) for s in (0.0, 0.3, 0.6, 1.0)
    ]
    distances = [judged(r) for r in results]
    assert distances == sorted(distances, reverse=True)
    assert distances[1] < 0.9 * distances[0] and distances[2] > 1.1 * distances[3]


@pytest.mark.parametrize("init", ["noise", "style"])
def test_same_seed_same_bytes(init: str) -> None:
    a, b = (painter(init=init, first_side=30).paint(PHOTO, seed=3) for _ in range(2))
    assert torch.equal(a, b)


def test_noise_differs_by_seed_and_other_starts_do_not() -> None:
    for init, alike in (("noise", False), ("gray", True), ("content", True)):
        a, b = (painter(init=init).paint(PHOTO, seed=s) for s in (1, 2))
        assert torch.equal(a, b) == alike


def test_each_start_is_what_it_says() -> None:
    """Seen in the first step, before which nothing has moved further than the rate."""

    def first(**changes: Any) -> Tensor:
        return painter(steps=1, rate=1e-6, **changes).paint(PHOTO)

    torch.testing.assert_close(first(init="content"), PHOTO, atol=1e-5, rtol=0)
    torch.testing.assert_close(first(init="gray"), torch.full_like(PHOTO, 0.5), atol=1e-5, rtol=0)
    noise = first(init="noise")
    assert float(noise.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(noise.std()) == pytest.approx(0.1, abs=0.01)
    colored = first(init="style")
    torch.testing.assert_close(
        colored.mean(dim=(2, 3)), PAINTING.mean(dim=(2, 3)), atol=0.03, rtol=0
    )


def test_noise_does_not_remain() -> None:
    """Seed 001's complaint. Grain: what differs from the pixels' surroundings."""

    def grain(picture: Tensor) -> float:
        soft = torch.nn.functional.avg_pool2d(picture, 3, 1, 1, count_include_pad=False)
        return float((picture - soft).std())

    changes: dict[str, Any] = {"style_weight": 0.3, "tv_weight": 3.0}
    start = painter(steps=1, rate=1e-6, init="noise").paint(PHOTO)
    noise, clean = (painter(steps=40, init=i, **changes).paint(PHOTO) for i in ("noise", "content"))
    assert grain(noise) < 0.4 * grain(start) and grain(noise) < 1.4 * grain(clean)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "lbfgs"])
def test_content_alone_keeps_the_brightness(optimizer: Any) -> None:
    gray = flat(0.6, 0.6, 0.6)
    loop = LoopOptions(steps=100, optimizer=optimizer)
    result = painter(style_weight=0.0, init="content", loop=loop).paint(gray)
    torch.testing.assert_close(result, gray, atol=2e-3, rtol=0)


def test_a_start_of_any_size_is_taken() -> None:
    start = tinyencoder.picture(10, 9, 5)
    result = painter(steps=1, rate=1e-6).paint(PHOTO, start=start)
    assert float((result.mean(dim=(2, 3)) - start.mean(dim=(2, 3))).abs().max()) < 0.03


def test_one_start_serves_all_photos_of_a_batch() -> None:
    start = tinyencoder.picture(40, 56, 5)
    photos = torch.cat([PHOTO, PHOTO.flip(3)])
    both = painter().paint(photos, start=start)
    assert both.shape == photos.shape
    for i in range(2):
        alone = painter().paint(photos[i : i + 1], start=start)
        torch.testing.assert_close(both[i : i + 1], alone, atol=5e-3, rtol=0)


def test_colors_of_several_photos_are_refused() -> None:
    """They would all get those of the first."""
    with pytest.raises(ValueError, match="one photo at a time"):
        painter(match_colors="linear").paint(torch.cat([PHOTO, PHOTO.flip(3)]))


def test_the_painting_that_is_too_small_is_named() -> None:
    with pytest.raises(ValueError, match="painting 2 of 9x60 pixels is too small"):
        painter(Painting(PAINTING), Painting(PAINTING[..., :9]))


def test_layers_may_stand_in_any_order() -> None:
    turned = dict(reversed(list(STYLE.items())))
    a, b = (painter(style_layers=layers).paint(PHOTO) for layers in (STYLE, turned))
    torch.testing.assert_close(a, b, atol=2e-3, rtol=0)


# -- sizes ---------------------------------------------------------------------------------------


def test_sizes_are_large_enough_for_all_terms() -> None:
    """A panorama whose short side would vanish; patches need three features a side."""
    wide = tinyencoder.picture(20, 300, 4)
    seen: list[Step] = []
    painter(steps=6, first_side=32, patches_weight=1.0).paint(wide, on_step=seen.append)
    assert all(min(step.size) >= 8 for step in seen) and seen[-1].size == (20, 300)
    seen.clear()
    painter(steps=6, first_side=20).paint(PHOTO, on_step=seen.append)
    assert seen[0].size < (40, 56) == seen[-1].size
    assert seen[-1].number == 6


def test_pictures_of_a_batch_are_painted_as_if_alone() -> None:
    photos = torch.cat([PHOTO, PHOTO.flip(3)])
    region_masks, style_planes = tinyencoder.halves(40, 56), tinyencoder.halves(60, 48)
    for changes in ({}, {"strength": 0.5}):
        whole = painter(Painting(PAINTING, 1.0, style_planes), **changes)
        both = whole.paint(photos, regions=region_masks)
        for i in range(2):
            alone = whole.paint(photos[i : i + 1], regions=region_masks)
            torch.testing.assert_close(both[i : i + 1], alone, atol=5e-3, rtol=0)


# -- several paintings, and regions --------------------------------------------------------------


def mean_warmth(picture: Tensor, columns: slice) -> float:
    return float((picture * WARM).sum(dim=1)[..., columns].mean())


@pytest.mark.parametrize("kind", ["wasserstein", "gram", "mean-std"])
def test_flat_styles_do_not_leak_into_each_other(kind: str) -> None:
    """Two halves, two flat styles: no feature that sees both sides has a say."""
    gray = flat(0.5, 0.5, 0.5, height=32, width=64)
    result = painter(
        Painting(RED), Painting(BLUE), style_loss=kind, steps=40, content_weight=0.0,
        init="content", tv_weight=0.0,
    ).paint(gray, regions=tinyencoder.halves(32, 64))  # fmt: skip
    left, right = mean_warmth(result, slice(0, 26)), mean_warmth(result, slice(38, 64))
    assert left > 0.3 and right < -0.3


def test_regions_of_one_painting_serve_those_of_the_photo() -> None:
    both = torch.cat([RED, BLUE], dim=3)
    style = Painting(both, 1.0, tinyencoder.halves(48, 96))
    gray = flat(0.5, 0.5, 0.5, height=32, width=64)
    region_masks = tinyencoder.halves(32, 64).flip(1)  # the second region is on the left
    result = painter(style, steps=40, content_weight=0.0, init="content").paint(
        gray, regions=region_masks
    )
    assert mean_warmth(result, slice(0, 26)) < -0.3 < 0.3 < mean_warmth(result, slice(38, 64))


def test_a_region_that_vanishes_at_small_sizes_does_no_harm() -> None:
    region_masks = torch.zeros(1, 3, 40, 56)
    region_masks[:, 0, :, :30], region_masks[:, 1, :, 30:] = 1, 1
    region_masks[:, :, 20:22, 10:12] = torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1)
    seen: list[Step] = []
    result = painter(
        Painting(RED), Painting(BLUE), Painting(PAINTING), steps=12, first_side=16,
        histogram_weight=0.5, patches_weight=0.5,
    ).paint(PHOTO, regions=region_masks, on_step=seen.append)  # fmt: skip
    assert bool(result.isfinite().all()) and seen[0].size[0] < 20
    # A photo without one of the regions.
    region_masks[:, 0] += region_masks[:, 2]
    region_masks[:, 2] = 0
    assert bool(painter(Painting(RED), Painting(BLUE), Painting(PAINTING))
                .paint(PHOTO, regions=region_masks).isfinite().all())  # fmt: skip


def test_several_styles_with_regions_and_half_the_strength() -> None:
    region_masks = tinyencoder.halves(40, 56)
    paintings = [
        Painting(torch.cat([RED, BLUE], dim=3), 3.0, tinyencoder.halves(48, 96)),
        Painting(PAINTING, 1.0, tinyencoder.halves(60, 48)),
    ]
    changes = {
        "steps": 25, "histogram_weight": 0.5, "patches_weight": 0.2, "first_side": 30,
        "content_weight": 0.05,
    }  # fmt: skip
    results = [
        painter(*paintings, strength=s, **changes).paint(PHOTO, regions=region_masks)
        for s in (0, 0.5, 1)
    ]
    warmth = [mean_warmth(r, slice(0, 24)) - mean_warmth(r, slice(32, 56)) for r in results]
    assert warmth[0] < warmth[1] < warmth[2]


def test_a_weight_decides_between_paintings() -> None:
    results = [
        painter(Painting(RED, a), Painting(BLUE, b), steps=15, content_weight=0.0).paint(PHOTO)
        for a, b in ((1, 0.01), (1, 1), (0.01, 1))
    ]
    warmth = [mean_warmth(r, slice(None)) for r in results]
    assert warmth[0] > warmth[1] + 0.1 > warmth[2] + 0.2


def test_colors_of_the_photo() -> None:
    for colors in ("linear", "histogram"):
        result = painter(steps=15, match_colors=colors).paint(PHOTO)
        style = painter(steps=15).paint(PHOTO)
        wanted = PHOTO.mean(dim=(2, 3))
        near, far = ((p.mean(dim=(2, 3)) - wanted).abs().sum() for p in (result, style))
        assert float(near) < 0.5 * float(far)


# -- what is kept --------------------------------------------------------------------------------


class Counting(Encoder):
    """Notes the sizes of the pictures that it sees without a gradient."""

    seen: list[tuple[int, int]]

    def forward(self, x: Tensor, layers: Any) -> dict[str, Tensor]:
        if not x.requires_grad:
            self.seen.append((x.shape[2], x.shape[3]))
        return super().forward(x, layers)


def counting() -> Counting:
    net = tinyencoder.encoder()
    net.__class__ = Counting
    net.seen = []  # type: ignore[assignment]
    assert isinstance(net, Counting)
    return net


@pytest.mark.parametrize(
    "extra", [{}, {"histogram_weight": 1.0, "patches_weight": 1.0}], ids=["style", "all"]
)
def test_a_painting_is_seen_once_for_all_photos_of_a_size(extra: dict[str, Any]) -> None:
    net = counting()
    whole = painter(net=net, first_side=30, **extra)
    whole.paint(PHOTO)
    first = list(net.seen)
    net.seen.clear()
    whole.paint(PHOTO.flip(2))
    assert set(first) - set(net.seen), "paintings are of another size than the photo"
    assert net.seen == [(28, 36), (40, 51), (56, 72)], "the photo and its margin, once a size"
    net.seen.clear()
    whole.paint(tinyencoder.picture(44, 56, 1))
    assert len(net.seen) > 3, "another size, other strokes"


def test_what_is_kept_is_right_for_each_photo() -> None:
    """Half strength aims between each photo and the painting; the second as if it were alone."""
    changes: dict[str, Any] = {"strength": 0.5, "histogram_weight": 1.0, "patches_weight": 0.5}
    other = tinyencoder.picture(40, 56, 7)
    for extra in ({}, {"match_colors": "linear"}):
        whole = painter(**changes, **extra)
        whole.paint(PHOTO)
        assert torch.equal(whole.paint(other), painter(**changes, **extra).paint(other))


def test_what_is_kept_is_bounded() -> None:
    whole = painter(steps=1, memory=8 * 400_000, patches_weight=0.1)
    for width in range(40, 60):
        whole.paint(tinyencoder.picture(40, width))
    assert 1 <= len(whole._learned) < 20
    assert sum(x.nbytes for x in whole._learned.values()) <= 400_000


# -- memory ----------------------------------------------------------------------------------


def test_little_memory_means_tiles_and_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SMALLEST_TILE", 16)
    tiles: list[int | None] = []
    make = Objective.__init__

    def noted(self: Objective, *args: Any, **options: Any) -> None:
        tiles.append(options["tile"])
        make(self, *args, **options)

    monkeypatch.setattr(Objective, "__init__", noted)
    changes: dict[str, Any] = {"histogram_weight": 0.5, "patches_weight": 0.5, "strength": 0.8}
    photo = tinyencoder.picture(60, 90, 1)
    with pytest.raises(
        NotEnoughMemory, match=r"to paint 90x60 pixels takes .* 1 MiB are allow"
    ) as e:
        painter(memory=1 << 16, **changes).paint(photo)
    whole = painter(**changes).paint(photo)
    tiled = painter(memory=e.value.needed, **changes).paint(photo)
    assert tiles == [None, 16]
    # Adam's first steps follow the sign of gradients that are next to zero here and there.
    assert float((whole - tiled).abs().mean()) < 1e-3


CASES: dict[str, dict[str, Any]] = {
    "style": {},
    "gram": {"style_loss": "gram", "content_weight": 0.0},
    "perceptual": {"perceptual_weight": 0.5},
    "histogram": {"histogram_weight": 0.5},
    "patches": {"patches_weight": 0.5},
    "4 regions": {"regions": 4},
    "4 regions, histogram, patches": {
        "regions": 4, "histogram_weight": 0.5, "patches_weight": 0.5,
    },
}  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("case", CASES)
def test_the_estimate_covers_what_is_held_and_is_not_far_off(
    case: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What autograd keeps of a picture in one piece, when all is measured and valued."""
    # It is not held, and as large for every picture.
    monkeypatch.setattr("stylepipe.nst.patches.SLAB", 1 << 18)
    changes = dict(CASES[case])
    count = changes.pop("regions", 0)
    photo, region_masks, style_planes = tinyencoder.picture(192, 224, 1), None, None
    if count:
        region_masks, style_planes = (
            torch.eye(count)[torch.arange(w) * count // w].T[None, :, None].expand(-1, -1, h, -1)
            for h, w in ((192, 224), (160, 192))
        )
    painting = Painting(tinyencoder.picture(160, 192, 2), 1.0, style_planes)
    net = tinyencoder.encoder(dtype)
    whole = painter(painting, net=net, **changes)
    objective = whole.objective(photo, region_masks)
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    (part,) = objective.tiled_encoder.parts(192, 224)
    leaf = photo.clone().requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        found = objective._valued(objective._measure(leaf, part))
    for target in (objective.regions or {}).values():
        keep(target)
    held = sum(kept.values())
    del found
    whole.memory = 0
    with pytest.raises(NotEnoughMemory) as caught:
        whole._tile((192, 224), 1, count, whole._beside(photo, region_masks))
    by_pixel = (
        module.BYTES_PER_PHOTO_PIXEL
        + module.BYTES_PER_PIXEL
        + module.OPTIMIZER_BYTES_PER_PIXEL["adam"]
    )
    of_the_picture = 192 * 224 * (by_pixel + module.BYTES_PER_STRIP_PIXEL)
    estimate = caught.value.needed - of_the_picture
    assert held < estimate < 5 * held  # a fifth of it is the margin


def test_optimizers_differ_in_what_they_hold() -> None:
    needed = {}
    for optimizer in ("adam", "adamw", "lbfgs"):
        loop = LoopOptions(steps=1, optimizer=optimizer)  # type: ignore[arg-type]
        with pytest.raises(NotEnoughMemory) as caught:
            painter(memory=0, loop=loop).paint(PHOTO)
        needed[optimizer] = caught.value.needed
    # Ten steps and as many gradients, three channels in float32 each.
    assert needed["lbfgs"] > needed["adam"] + 40 * 56 * 240
    assert needed["adamw"] > needed["adam"]


def test_too_little_memory_is_said_before_anything_is_painted() -> None:
    seen: list[Step] = []
    whole = painter(memory=1 << 20, first_side=16)
    with pytest.raises(NotEnoughMemory, match=r"allow more$"):
        whole.paint(tinyencoder.picture(200, 300), on_step=seen.append)
    assert not seen


def test_patches_are_compared_on_coarse_maps_only(monkeypatch: pytest.MonkeyPatch) -> None:
    net = tinyencoder.encoder()
    assert list(Patches.of_layers(STYLE, net)) == ["relu3_1"]
    assert list(Patches.of_layers({"relu1_1": 1.0}, net)) == ["relu1_1"]
    monkeypatch.setattr("stylepipe.nst.terms.patches.STRIDE", 2)
    assert list(Patches.of_layers(STYLE, net)) == ["relu2_1", "relu3_1"]


def test_a_heavy_style_does_not_wake_what_sleeps_in_the_bundled_encoder() -> None:
    """A channel of huge weights, silent on all pictures, would drown the deepest layer's style on
    the way, and leave colored noise."""
    examples = Path(__file__).parents[1] / "examples"
    photo, painting = (
        resize(torch.from_numpy(read_picture(examples / name)).permute(2, 0, 1)[None] / 255, size)
        for name, size in (("photos/lake.jpg", (90, 135)), ("paintings/ink.jpg", (100, 129)))
    )
    encoder = open_encoder("compact", fetch=False)
    seen: list[Step] = []
    found = Recipe(
        encoder.default_content,
        encoder.default_style,
        weights={"style": 2.0},
        first_side=0,
        loop=LoopOptions(steps=14),
    )
    Gatys(encoder, [Painting(painting)], found, 4 << 30).paint(photo, on_step=seen.append)
    assert max(step.loss for step in seen) == seen[0].loss
    assert seen[-1].loss < 0.36 * seen[0].loss
