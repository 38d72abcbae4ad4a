"""What adain, wct, style-swap and photo know of a film's frames is a mean over the last ones."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import fakes
import numpy as np
import pytest
import tinyencoder
import torch
from stylepipe_plugins.style_swap import SwapStylizer
from test_pipeline import go
from test_temporal import texture

import stylepipe
from stylepipe import Caps, Frame, Masker, Stylizer
from stylepipe.contracts.film import film
from stylepipe.nst.recent import Recent
from stylepipe.nst.steady import averaged, evened, thumbnail
from stylepipe.nst.swap import StylePatches
from stylepipe.nst.transforms import Moments, region_moments, steadied

H, W = 64, 96
STYLIZERS = ["adain", "wct", "style-swap", "photo"]


@contextmanager
def opened(name: str, folder, **options) -> Iterator[Stylizer]:
    painting = folder / "painting.png"
    if not painting.exists():
        tinyencoder.save(painting, tinyencoder.picture(H, W, 3) ** 2)
    with stylepipe.open(
        name, style=str(painting), device="cpu", precision="full", **options
    ) as session:
        yield session.settings.stylizer


def clip(gains=(), noise=0.0, count=6, seed=1) -> list[Frame]:
    rng, scene = np.random.default_rng(0), texture(seed, H, W).astype(float)
    gains = gains or [1.0] * count
    pictures = [scene * gain + rng.normal(0, noise, scene.shape) for gain in gains]
    return [Frame(np.rint(p.clip(0, 255)).astype(np.uint8), index=k)
            for k, p in enumerate(pictures)]  # fmt: skip


def pixels(frames):
    return np.stack([frame.pixels for frame in frames]).astype(float)


def change(frames) -> float:
    return float(np.mean([np.abs(a - b).mean() for a, b in pairwise(pixels(frames))]))


# -- films ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STYLIZERS)
def test_a_film_whose_exposure_pulses_is_evened(name, tmp_path):
    def pulse(frames):
        return np.abs(np.diff(pixels(frames).mean(axis=(1, 2)), axis=0)).mean()

    wobbling = clip([1.0, 0.88, 1.0, 0.9, 1.0, 0.88, 0.97, 0.9])
    with opened(name, tmp_path) as stylizer:
        assert pulse(film(stylizer, None, wobbling)) < 0.35 * pulse(wobbling)


def test_noise_turns_fewer_patches(tmp_path):
    noisy, found = clip(noise=6, count=8), []
    for frames in (1, 8):
        with opened("style-swap", tmp_path, statistics_frames=frames) as stylizer:
            found.append(change(film(stylizer, None, noisy)[2:]))
    assert found[1] < 0.85 * found[0], found


@pytest.mark.parametrize(("name", "own"), [("adain", {}), ("wct", {"levels": ("relu1_1",)})])
def test_what_enters_changes_the_rest_less(name, own, tmp_path):
    frames = clip(count=8)
    for k, frame in enumerate(frames):
        frame.pixels[4:30, : 10 * k] = (250, 240, 60)
    found = []
    for count in (1, 8):
        with opened(name, tmp_path, statistics_frames=count, **own) as stylizer:
            result = pixels(film(stylizer, None, frames))[:, 48:]
            found.append(np.abs(np.diff(result, axis=0)).mean())
    assert found[1] < 0.97 * found[0], found


@pytest.mark.parametrize("name", STYLIZERS)
def test_an_interrupted_film_resumes_to_the_same_bytes(name, tmp_path):
    frames = clip([1.0, 0.9, 0.95, 1.0, 0.85, 1.0, 0.9, 0.95, 0.9], noise=4)
    options = {
        "statistics_frames": 2,
        **({"levels": ("relu3_1", "relu1_1")} if name == "wct" else {}),
    }
    with opened(name, tmp_path, **options) as stylizer:
        assert stylizer.caps.warmup == (3 if name == "wct" else 2)
        straight = film(stylizer, None, frames)
        resumed = film(stylizer, None, frames, 6, straight[5])
    np.testing.assert_array_equal(pixels(straight[6:]), pixels(resumed))


@pytest.mark.parametrize("name", STYLIZERS)
def test_after_a_cut_a_film_is_as_if_alone(name, tmp_path):
    first, second = clip(count=3), clip(count=3, seed=7, noise=3)
    both = [Frame(f.pixels, index=k) for k, f in enumerate([*first, *second])]
    with opened(name, tmp_path) as stylizer:
        together, alone = film(stylizer, None, both)[3:], film(stylizer, None, second)
    np.testing.assert_array_equal(pixels(together), pixels(alone))


@pytest.mark.parametrize("how", ["linear", "histogram"])
def test_matched_colors_are_those_of_the_last_frames(how, tmp_path):
    frames = clip(count=6)
    for k, frame in enumerate(frames):
        frame.pixels[:30, :40] = (255, 0, 0) if k % 2 else (0, 0, 255)
    found = []
    for count in (1, 6):
        with opened("adain", tmp_path, statistics_frames=count, match_colors=how) as stylizer:
            found.append(
                np.abs(np.diff(pixels(film(stylizer, None, frames))[2:, 40:], axis=0)).mean()
            )
    assert found[1] < 0.9 * found[0], found


# -- photos ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STYLIZERS)
def test_photos_are_judged_each_by_itself(name, tmp_path):
    one, other = texture(1, H, W), texture(2, H, W)
    with opened(name, tmp_path):
        painting = str(tmp_path / "painting.png")

    def painted(pictures, **options):
        with stylepipe.open(name, style=painting, device="cpu", **options) as session:
            return session.paint(pictures)

    together = painted([one, other])
    for picture, found in zip((one, other), together, strict=True):
        np.testing.assert_array_equal(found, painted(picture, statistics_frames=1))


def test_a_photo_of_which_nothing_is_painted_is_not_painted(tmp_path):
    class Nothing(Masker):
        name = "nothing"

        def mask(self, batch, frames):
            return torch.zeros_like(batch.images[:, :1])

    class Remembers(fakes.Negative):
        caps = Caps(needs_style=False, warmup=3)

        def stylize(self, batch):
            raise AssertionError("there is nothing to paint")

    settings = fakes.settings(masker=Nothing(Nothing.Options()))
    object.__setattr__(settings, "stylizer", Remembers(Remembers.Options()))
    np.save(tmp_path / "photo.npy", fakes.array())
    report, _ = go(tmp_path / "photo.npy", tmp_path / "out.npy", settings)
    assert report.exit_code == 0, report.failures
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), fakes.array())


def test_a_value_out_of_range(tmp_path):
    with pytest.raises(stylepipe.UsageError, match="statistics_frames must be between 1 and 64"):
        stylepipe.open("adain", style="x.png", statistics_frames=0)


# -- the parts ------------------------------------------------------------------------------------


def test_so_many_frames_are_remembered_and_none_that_failed():
    recent = Recent(3)
    for number in range(5):
        recent.begin(number)
        assert recent.remember("a", -1)[0] == -1  # this attempt fails
        recent.begin(number)
        assert recent.remember("a", number) == list(range(number, max(-1, number - 3), -1))
        recent.keep()
    recent.reset()
    assert recent.remember("a", 9) == [9]


def test_frames_that_were_not_painted_count_as_frames():
    """Otherwise a resumed film, which looks at the last frames only, would differ."""
    recent = Recent(3)
    found = []
    for number in (0, 1, 3, 7, 8):
        recent.begin(number)
        found.append(recent.remember("a", number))
        recent.keep()
    assert found == [[0], [1, 0], [3, 1], [7], [8, 7]]


def test_older_frames_count_less_and_regions_by_their_size():
    values = [torch.tensor([[3.0], [0.0]]), torch.tensor([[0.0], [6.0]])]
    assert averaged(values).flatten().tolist() == [2.0, 2.0]
    sizes = [torch.tensor([1.0, 0.0]), torch.tensor([2.0, 5.0])]
    assert averaged(values, sizes).flatten().tolist() == [1.5, 6.0]


@pytest.mark.parametrize("full", [False, True])
def test_moments_of_one_frame_are_its_own(full):
    found = region_moments(torch.rand(1, 3, 5, 6), full=full)
    assert steadied([found]) is found
    both = steadied([found, Moments(found.mean + 9, found.spread + 3, found.size)])
    torch.testing.assert_close(both.mean, found.mean)
    torch.testing.assert_close(both.spread, found.spread + 1)


def test_what_enters_is_no_exposure_and_a_darker_frame_is():
    scene = torch.rand(1, 3, 60, 60) * 0.5 + 0.2
    entered = scene.clone()
    entered[..., :25] = 1.0
    before = thumbnail(scene)
    assert (evened(entered, [thumbnail(entered), before], 1.0) - entered).abs().max() < 1e-5
    dark = 0.8 * scene
    light = evened(dark, [thumbnail(dark), before], 1.0)
    assert float((light / dark).mean()) == pytest.approx((2 + 1 / 0.8) / 3, rel=0.01)
    assert evened(dark, [thumbnail(dark)], 1.0) is dark


def test_a_habit_does_not_outweigh_a_patch_that_is_much_more_like():
    generator = torch.Generator().manual_seed(0)
    style = torch.rand(1, 4, 9, 9, generator=generator)
    patches, content = StylePatches([style]), style[..., :5, :5]
    own = patches.best(content)
    other = (own + 11) % 49
    swapped = patches.swap(content, recall=lambda best: [best, *[other] * 7])
    torch.testing.assert_close(swapped, content)
    near = content + 0.01 * torch.rand(content.shape, generator=generator)
    kept = patches.swap(near, recall=lambda best: [best, own])
    torch.testing.assert_close(kept, content)


def test_a_habit_keeps_to_the_regions():
    generator = torch.Generator().manual_seed(0)
    style = torch.rand(1, 4, 6, 12, generator=generator)
    planes = torch.zeros(2, 6, 12)
    planes[0, :, :6], planes[1, :, 6:] = 1, 1
    patches = StylePatches([style], regions=[planes])
    content = torch.rand(1, 4, 6, 6, generator=generator)
    everywhere = torch.ones(1, 6, 6)
    left = torch.cat([everywhere, 0 * everywhere])
    foreign = patches.best(content, left.flip(0))
    plain = patches.swap(content, left)
    found = patches.swap(content, left, recall=lambda best: [best, *[foreign] * 7])
    torch.testing.assert_close(found, plain)


def test_the_option_is_offered_by_all_of_them():
    assert "statistics_frames" in {spec.name for spec in SwapStylizer.Options.specs()}
