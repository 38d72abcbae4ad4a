"""Guided films stay crisp: strokes move with things, and are neither averaged nor amplified."""

import cv2
import numpy as np
import pytest
from test_temporal import H, W, dis, flickering, guided, pan, square_over, texture

from stylepipe.temporal.carry import carry
from stylepipe.temporal.metrics import warping_error
from stylepipe.temporal.warp import advect, warp
from stylepipe.types import Frame

FRAMES = 12


def strokes(sources, amount=40):
    """The frames under fine strokes that are others each time: as unsteady as a network can be."""
    painted = []
    for index, frame in enumerate(sources):
        fine = texture(100 + index, *frame.pixels.shape[:2], grain=2).astype(int) - 128
        picture = (frame.pixels + fine * amount // 100).clip(0, 255)
        painted.append(Frame(picture.astype(np.uint8), index=index))
    return painted


def sharpness(frame):
    gray = cv2.cvtColor((frame.pixels / (frame.white / 255)).astype(np.uint8), cv2.COLOR_RGB2GRAY)
    return cv2.Laplacian(gray, cv2.CV_32F).var()


def zoom(steps, factor):
    """Frames that zoom into the middle of one large picture."""
    big, frames = texture(3, 2 * H, 2 * W, grain=8), []
    for index in range(steps):
        scale = factor**-index
        matrix = np.float64([[scale, 0, W - scale * W / 2], [0, scale, H - scale * H / 2]])
        how = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        frames.append(Frame(cv2.warpAffine(big, matrix, (W, H), flags=how), index=index))
    return frames


MOTIONS = {"pan": lambda: pan(12, FRAMES, 3, 1), "zoom": lambda: zoom(FRAMES, 1.015)}


@pytest.mark.parametrize("motion", MOTIONS)
def test_every_frame_is_as_crisp_as_it_was_painted(motion):
    sources = MOTIONS[motion]()
    painted = strokes(sources)
    results = guided(sources, painted)
    kept = [sharpness(a) / sharpness(b) for a, b in zip(results, painted, strict=True)]
    assert min(kept) > 0.95 and max(kept) < 1.05, kept


def test_nothing_pops_when_a_long_still_begins_to_move():
    moving = pan(12, 6, 3, 1)
    sources = [moving[0]] * 6 + moving
    painted = strokes(sources)
    painted[:7] = painted[:1] * 7  # what stands still is painted alike
    results = guided(sources, painted)
    kept = [sharpness(a) / sharpness(b) for a, b in zip(results, painted, strict=True)]
    assert min(kept) > 0.95 and max(kept) < 1.05, kept
    for result in results[:7]:
        np.testing.assert_array_equal(result.pixels, painted[0].pixels)


@pytest.mark.parametrize("motion", MOTIONS)
def test_strokes_move_with_things(motion):
    sources = MOTIONS[motion]()
    painted = strokes(sources)
    own, alone, together = (
        warping_error(sources, films, dis)
        for films in (sources, painted, guided(sources, painted, blend=1))
    )
    assert together - own < 0.4 * (alone - own)


def test_what_is_painted_alike_lies_where_an_ideal_motion_leads():
    """Strokes that belong to things: what differs from them is error of the flow and the warp."""
    sources = pan(12, FRAMES, 3, 1, grain=3)
    results = guided(sources, sources)
    error = np.abs(results[-1].pixels.astype(int) - sources[-1].pixels)[12:-12, 12:-12]
    assert error.mean() < 6


def test_moving_it_thirty_times_costs_little_and_amplifies_nothing():
    picture = texture(5, grain=4).astype(np.float32) / 255
    flow = np.empty((H, W, 2), np.float32)
    crisp = plain = picture
    for step in range(30):
        flow[...] = (0.37, -0.46) if step % 2 else (-0.37, 0.46)
        crisp, plain = advect(crisp, flow), warp(plain, flow)
    inside = (slice(8, -8), slice(8, -8))
    assert np.abs(crisp - picture)[inside].mean() < 0.25 * np.abs(plain - picture)[inside].mean()
    assert picture.min() <= crisp.min() and crisp.max() <= picture.max()


def test_a_still_thing_under_camera_noise_changes_no_more_than_the_source():
    scene = texture(10)
    rng = np.random.default_rng(0)
    noisy = [np.rint((scene + rng.normal(0, 4, scene.shape)).clip(0, 255)) for _ in range(FRAMES)]
    sources = [Frame(n.astype(np.uint8)) for n in noisy]
    results = guided(sources, strokes(sources))

    def change(films):
        pixels = np.stack([f.pixels.astype(float) for f in films])
        return np.abs(np.diff(pixels, axis=0)).mean()

    assert change(results) < change(sources)


def test_what_is_uncovered_comes_from_the_new_painting():
    background = texture(13, grain=8) // 2
    sources = [square_over(background, 10 + 6 * i) for i in range(8)]
    painted = strokes(sources)
    results = guided(sources, painted)
    for step in range(1, 8):
        uncovered = (slice(42, 78), slice(6 + 6 * step, 8 + 6 * step))
        error = np.abs(
            results[step].pixels[uncovered].astype(int) - painted[step].pixels[uncovered]
        )
        assert error.mean() < 5, "it differs from the painting before by 140 or more"


def test_colors_follow_a_film_that_brightens():
    scene = texture(10) // 2
    sources = [Frame((scene + 3 * i).astype(np.uint8)) for i in range(20)]
    last = guided(sources, sources)[-1].pixels.astype(float)
    assert abs(last.mean() - sources[-1].pixels.mean()) < 8, "the film itself brightened by 57"


def test_16_bit_frames_are_as_crisp():
    sources = pan(12, 6, 3)
    painted = [Frame(f.pixels.astype(np.uint16) * 257) for f in strokes(sources)]
    results = guided([Frame(f.pixels.astype(np.uint16) * 257) for f in sources], painted)
    assert results[-1].pixels.dtype == np.uint16
    assert sharpness(results[-1]) == pytest.approx(sharpness(painted[-1]), rel=0.05)


@pytest.mark.parametrize("size", [(8, 8), (1, 40), (1, 1), (3, 5)])
def test_the_smallest_frames(size):
    frames = [Frame(texture(s)[: size[0], : size[1]].copy()) for s in (1, 1, 2)]
    assert [f.pixels.shape for f in guided(frames, frames)] == [(*size, 3)] * 3


def test_without_trust_it_is_the_new_painting():
    new, old = (texture(s).astype(np.float32) / 255 for s in (1, 2))
    np.testing.assert_array_equal(carry(new, old, np.zeros((H, W), np.float32), 1), new)


def test_flat_areas_get_no_strokes_and_noise_is_not_amplified():
    new = np.full((H, W, 3), 0.5, np.float32)
    old = new + np.random.default_rng(0).normal(0, 0.05, new.shape).astype(np.float32)
    for _ in range(5):
        old = carry(new, old, np.ones((H, W), np.float32), 1)
    assert np.abs(old - new).max() < 0.02


def test_flicker_of_color_is_damped():
    sources = pan(12, 10, 3, 1)
    painted = flickering(sources)
    before, after = (np.stack([f.pixels for f in r]).astype(float).mean((1, 2, 3)) for r in (
        painted, guided(sources, painted)))  # fmt: skip
    assert np.abs(np.diff(after)).mean() <= np.abs(np.diff(before)).mean()


def test_strokes_keep_their_grain_and_crispness_on_a_long_pan():
    """Lost fine detail must not be made up for by coarser: strokes would turn into another grain,
    and what is a little too much in each frame would add up."""
    sources = pan(12, 60, 3, 1)
    painted = strokes(sources)
    results = guided(sources, painted)

    def octave(frame):
        gray = cv2.cvtColor(frame.pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
        smooth = cv2.GaussianBlur(gray, (3, 3), 0)
        rest = cv2.pyrUp(cv2.pyrDown(gray), dstsize=gray.shape[::-1])
        return np.array([(gray - smooth).std(), (smooth - rest).std()])  # its finer, coarser half

    for number in range(9, 60, 10):
        ratio = octave(results[number]) / octave(painted[number])
        assert np.all(np.abs(ratio - 1) < 0.04), (number, ratio)
        kept = sharpness(results[number]) / sharpness(painted[number])
        assert kept == pytest.approx(1, abs=0.025), number
