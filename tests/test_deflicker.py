"""Flicker taken out of results: by how much, at what sharpness, and what must not be touched."""

import threading
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from stylepipe_plugins.flow_dis import DisFlow
from stylepipe_plugins.temporal_deflicker import Deflicker
from stylepipe_plugins.temporal_warp import Warp
from test_temporal import H, W, pan, texture

from stylepipe import (
    Caps,
    Flow,
    Frame,
    Item,
    Masker,
    NoMask,
    Options,
    Stylizer,
    StylizerOptions,
)
from stylepipe.contracts.film import film
from stylepipe.contracts.temporal import TemporalContract
from stylepipe.device import pick
from stylepipe.film import Film, Link
from stylepipe.job import OutputOptions, Settings
from stylepipe.missing import MissingRule
from stylepipe.paint import Painter


class Given(Stylizer):
    """Returns pictures that were painted before."""

    name, caps = "given-here", Caps(needs_style=False)

    def stylize(self, batch):
        pixels = self.pictures[batch.first]
        return torch.from_numpy(pixels / np.iinfo(pixels.dtype).max).permute(2, 0, 1)[None].float()


class Twice(Given):
    """The same at twice the size."""

    name, caps = "twice", Caps(needs_style=False, scale=2)

    def stylize(self, batch):
        return super().stylize(batch).repeat_interleave(2, 2).repeat_interleave(2, 3)


def made(method=Deflicker, **options):
    temporal = method(method.Options.build(options), DisFlow(DisFlow.Options()))
    temporal.open(None)
    return temporal


def steadied(sources, pictures, *resumed, stylizer=Given, method=Deflicker, **options):
    """The frames that the engine writes where these were painted."""
    painter = stylizer(StylizerOptions())
    painter.pictures = pictures
    return [f.pixels for f in film(painter, made(method, **options), sources, *resumed)]


def still(count=9, seed=1):
    pixels = texture(seed)
    return [Frame(pixels.copy(), index=k) for k in range(count)]


def pulsing(frames, seed=0, strength=10):
    """Every region of every frame in a brightness and color of its own."""
    rng = np.random.default_rng(seed)
    result = []
    for frame in frames:
        light = cv2.resize(
            rng.normal(0, strength, (3, 4, 3)), (W, H), interpolation=cv2.INTER_CUBIC
        )
        result.append(np.rint((frame.pixels + light).clip(0, 255)).astype(np.uint8))
    return result


def apart(a, b):
    return float(np.abs(a.astype(float) - b).mean())


def flicker(pictures):
    return float(np.mean([apart(a, b) for a, b in pairwise(pictures)]))


def sharpness(picture):
    return float(cv2.Laplacian(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.CV_32F).var())


def test_what_stands_still_holds_still_and_stays_sharp():
    sources = still()
    painted = pulsing(sources)
    found = steadied(sources, painted)
    assert flicker(found) < flicker(painted) / 3
    for before, after in zip(painted, found, strict=True):
        assert sharpness(after) > 0.97 * sharpness(before)


def test_a_pan_keeps_its_detail_and_loses_its_flicker():
    sources = pan(3, 9, 3)
    painted = pulsing(sources)
    found = steadied(sources, painted)
    off = [np.mean([apart(p, s.pixels) for p, s in zip(some, sources, strict=True)])
           for some in (painted, found)]  # fmt: skip
    assert off[1] < 0.6 * off[0]
    for before, after in zip(painted, found, strict=True):
        assert sharpness(after) > 0.97 * sharpness(before)


def test_a_film_whose_own_exposure_pulses_is_evened():
    """No painted film beside the source: the flow is found in spite of the pulsing."""
    steady = pan(3, 9, 2)
    gains = np.random.default_rng(2).uniform(0.85, 1.15, 9)
    sources = [Frame(np.rint((f.pixels * g).clip(0, 255)).astype(np.uint8), index=f.index)
               for f, g in zip(steady, gains, strict=True)]  # fmt: skip
    pictures = [f.pixels for f in sources]
    light = [[p.mean() for p in some] for some in (pictures, steadied(sources, pictures))]
    before, after = (np.abs(np.diff(values)).mean() for values in light)
    assert after < before / 3


def test_one_frame_that_is_wrong_does_not_show_in_its_neighbors():
    sources = still()
    painted = [f.pixels.copy() for f in sources]
    painted[4] = (painted[4] // 3).astype(np.uint8)
    found = steadied(sources, painted)
    for k in (2, 3, 5, 6):
        assert apart(found[k], sources[k].pixels) < 2
    assert apart(found[4], sources[4].pixels) < 0.4 * apart(painted[4], sources[4].pixels)


@pytest.mark.parametrize("count", [10, 12])
def test_a_light_that_is_switched_on_comes_on_at_once(count):
    sources = still(count)
    painted = [np.clip(f.pixels.astype(int) + 40 * (f.index >= 5), 0, 255).astype(np.uint8)
               for f in sources]  # fmt: skip
    found = steadied(sources, painted)
    for k in (3, 4, 5, 6):
        assert apart(found[k], painted[k]) < 6, k


@pytest.mark.parametrize("method", [Deflicker, Warp])
@pytest.mark.parametrize("level", [0, 255])
def test_identical_frames_stay_what_they_are(method, level):
    for sources in (
        still(5),
        [Frame(np.full((H, W, 3), level, np.uint8), index=k) for k in range(5)],
    ):
        painted = [255 - f.pixels for f in sources]
        for before, after in zip(painted, steadied(sources, painted, method=method), strict=True):
            np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("method", [Deflicker, Warp])
def test_a_single_frame_is_left_as_painted(method):
    (frame,) = still(1)
    (found,) = steadied([frame], [255 - frame.pixels], method=method)
    np.testing.assert_array_equal(found, 255 - frame.pixels)


@pytest.mark.parametrize("method", [Deflicker, Warp])
def test_sixteen_bits_give_the_picture_of_eight(method):
    sources = pan(3, 5, 2)
    painted = pulsing(sources)
    deep = [Frame(f.pixels.astype(np.uint16) * 257, index=f.index) for f in sources]
    plain = steadied(sources, painted, method=method)
    for a, b in zip(plain, steadied(deep, [p.astype(np.uint16) * 257 for p in painted],
                                    method=method), strict=True):  # fmt: skip
        assert b.dtype == np.uint16
        assert np.abs(b / 257 - a).max() < 3 and apart(b / 257, a) < 0.6


@pytest.mark.parametrize("method", [Deflicker, Warp])
def test_alpha_comes_back_as_it_was(method):
    sources = pan(3, 4, 2)
    for frame in sources:
        frame.alpha = np.full((H, W), 40 * (1 + frame.index), np.uint8)
    stylizer = Given(StylizerOptions())
    stylizer.pictures = [f.pixels for f in sources]
    for frame, result in zip(sources, film(stylizer, made(method), sources), strict=True):
        np.testing.assert_array_equal(result.alpha, frame.alpha)


@pytest.mark.parametrize("method", [Deflicker, Warp])
def test_a_stylizer_that_enlarges(method):
    sources = still(6)
    found = steadied(sources, pulsing(sources), stylizer=Twice, method=method)
    large = [p.repeat(2, 0).repeat(2, 1) for p in pulsing(sources)]
    assert found[0].shape == (2 * H, 2 * W, 3)
    assert flicker(found) < 0.6 * flicker(large)


@pytest.mark.parametrize("method", [Deflicker, Warp])
def test_an_interrupted_film_resumes_to_the_same_bytes(method):
    sources = pan(3, 8, 2)
    painted = pulsing(sources)
    options = {"frames": 2} if method is Deflicker else {}
    straight = steadied(sources, painted, method=method, **options)
    for done in (1, 5):
        last = Frame(straight[done - 1], index=done - 1)
        rest = steadied(sources, painted, done, last, method=method, **options)
        np.testing.assert_array_equal(straight[done:], rest)


@pytest.mark.parametrize("method", [Deflicker, Warp])
def test_after_a_cut_a_film_is_as_if_alone(method):
    first, second = pan(3, 5, 2), pan(8, 6, 2)
    both = [Frame(f.pixels, index=k) for k, f in enumerate([*first, *second])]
    painted = pulsing(both)
    together = steadied(both, painted, method=method)
    np.testing.assert_array_equal(together[5:], steadied(second, painted[5:], method=method))


def test_flows_are_found_once():
    class Counting(Flow):
        name, asked = "counting", 0

        def flow(self, a, b):
            Counting.asked += 1
            return torch.zeros(1, 2, *a.pixels.shape[:2])

    sources = still(8)
    method = Deflicker(Deflicker.Options.build({"frames": 3}), Counting(Flow.Options()))
    method.open(None)
    stylizer = Given(StylizerOptions())
    stylizer.pictures = [f.pixels for f in sources]
    film(stylizer, method, sources)
    assert Counting.asked == 2 * (len(sources) - 1)


class TestDeflicker(TemporalContract):
    component = Deflicker


class Regional(Given):
    """Has something for each region."""

    def assign(self, styles, regions):
        return list(range(len(regions or ())))


class Nowhere(Masker):
    """Has a map of regions for no film."""

    name, regions = "nowhere", ("sky", "ground")

    def mask(self, batch, frames):
        raise NoMask("it has no map")


def test_a_film_without_a_map_of_regions_is_kept_to_the_bit():
    sources = [Frame(pixels, index=k) for k, pixels in enumerate(pulsing(still(4)))]
    masker, painter = Nowhere(Options()), Regional(StylizerOptions())
    painter.pictures = {}  # a frame that is painted fails
    settings = Settings("", (), masker, painter, made(), (), OutputOptions.build({}))
    item = Item(0, Path("clip.mp4"), Path(), Path("out.mp4"))
    painting = Painter(settings, pick("cpu", "full"), MissingRule("keep", lambda line: None))
    made_film = Film(painting, item, 0, None, 1 << 30, threading.Event())
    results = list(made_film.add(sources[0], None))
    for before, frame in pairwise(sources):
        results += made_film.add(frame, Link(before, False))
    results += made_film.end_shot()
    for source, result in zip(sources, results, strict=True):
        np.testing.assert_array_equal(result.pixels, source.pixels)
