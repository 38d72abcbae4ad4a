"""Each measure of films against a computation of its own, on pairs whose truth is known."""

import cv2
import numpy as np
import pytest
import torch

from stylepipe.encoders import open_encoder
from stylepipe.nst.distance import gram_matrices, style_distance
from stylepipe.temporal.metrics import (
    flicker,
    pair_error,
    sharpness,
    step_between,
    texture,
    warping_error,
)
from stylepipe.types import Frame

H, W, STEP = 60, 80, 3


def noise(height, width, seed=0):
    """Texture of the finest grain, HxWx3 uint8."""
    gray = np.random.default_rng(seed).integers(0, 256, (height, width, 1), np.uint8)
    return np.repeat(gray, 3, axis=2)


def pan(steps, seed=0):
    """Frames cut out of one picture: what they show moves to the left by STEP pixels a frame."""
    big = noise(H, W + STEP * steps, seed)
    return [Frame(np.ascontiguousarray(big[:, STEP * i :][:, :W]), index=i) for i in range(steps)]


def panning(a, b):
    """The true flow of a pan."""
    flow = np.zeros((*a.pixels.shape[:2], 2), np.float32)
    flow[..., 0] = STEP * (a.index - b.index)
    return flow


def still(a, b):
    return np.zeros((*a.pixels.shape[:2], 2), np.float32)


def laid_over(frames, pixels, weight=0.5):
    return [Frame(cv2.addWeighted(f.pixels, 1 - weight, pixels, weight, 0)) for f in frames]


def blurred(frames):
    return [Frame(cv2.GaussianBlur(f.pixels, (0, 0), 1.0)) for f in frames]


def by_hand_error(a, b):
    """E_warp of a pan by STEP pixels, by slices alone."""
    left, right = a.pixels[:, STEP:] / 255.0, b.pixels[:, : W - STEP] / 255.0
    return ((left - right) ** 2).mean()


def test_the_error_of_a_pan_is_what_slices_of_the_pictures_say():
    source = pan(2)
    step = step_between(*source, panning)
    painted = laid_over(source, noise(H, W, 7))
    assert pair_error(step, *source) == 0, "the excess of the source itself"
    assert pair_error(step, *painted) == pytest.approx(by_hand_error(*painted), rel=1e-4)
    assert warping_error(source, painted, panning) == pair_error(step, *painted)


def test_blur_lowers_the_error_and_the_sharpness():
    """Why the error is never judged alone."""
    source = pan(2)
    step = step_between(*source, panning)
    painted = laid_over(source, noise(H, W, 7))
    soft = blurred(painted)
    assert pair_error(step, *soft) < 0.5 * pair_error(step, *painted)
    assert sharpness(soft[0]) < 0.2 * sharpness(painted[0])


def test_sharpness_is_the_variance_of_the_laplacian():
    gray = noise(H, W)[..., 0].astype(float)
    padded = np.pad(gray, 1, mode="reflect")
    around = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
    assert sharpness(Frame(noise(H, W))) == pytest.approx((around - 4 * gray).var(), rel=1e-6)
    assert sharpness(Frame(np.full((H, W, 3), 90, np.uint8))) == 0


def test_sixteen_bits_are_measured_as_eight_are():
    source = pan(2)
    deep = [Frame(frame.pixels.astype(np.uint16) * 257, index=frame.index) for frame in source]
    step, same = step_between(*source, panning), step_between(*deep, panning)
    assert (step.static == same.static).all()
    assert sharpness(deep[0]) == sharpness(source[0])
    assert texture(step, *deep) == texture(step, *source)
    for measure in (pair_error, flicker):
        here = step_between(source[0], source[0], still)
        assert measure(here, *deep) == pytest.approx(measure(here, *source), rel=1e-5)


def test_texture_that_moves_along_is_told_from_texture_on_the_screen():
    source = pan(2)
    step = step_between(*source, panning)
    moves = texture(step, *source)
    assert abs(moves.fixed) < 0.1 and moves.along > 0.999
    screen = Frame(noise(H, W, 7))
    stays = texture(step, screen, screen)
    assert stays.fixed == pytest.approx(1) and abs(stays.along) < 0.1


def test_a_mixture_of_both_textures_has_a_share_of_each():
    """Two textures of one strength, neither like the other: a correlation of one half each."""
    source = pan(2)
    painted = laid_over(source, noise(H, W, 7))
    found = texture(step_between(*source, panning), *painted)
    assert found.fixed == pytest.approx(0.5, abs=0.1)
    assert found.along == pytest.approx(0.5, abs=0.1)


def test_texture_says_nothing_where_nothing_moves_or_is_textured():
    source = pan(2)
    assert np.isnan(texture(step_between(source[0], source[0], still), *source)).all()
    plain = Frame(np.full((H, W, 3), 90, np.uint8))
    assert np.isnan(texture(step_between(*source, panning), plain, plain)).all()


def test_flicker_of_a_known_amplitude_where_the_source_is_static():
    source = np.full((H, W, 3), 100, np.uint8)
    later = source.copy()
    later[:, W // 2 :] += 20  # this half changes: what happens in it is no flicker
    step = step_between(Frame(source), Frame(later), still)
    bright = source.copy()
    bright[:, : W // 2] += 6
    bright[:, W // 2 :] += 99
    assert flicker(step, Frame(source), Frame(bright)) == pytest.approx(6, rel=1e-5)
    assert flicker(step, Frame(source), Frame(source)) == 0


def test_flicker_says_nothing_where_all_moves():
    source = pan(2)
    assert np.isnan(flicker(step_between(*source, panning), *source))


def test_style_distance_is_the_relative_distance_of_gram_matrices():
    encoder = open_encoder("compact")
    one, other = (torch.from_numpy(noise(48, 64, s)).permute(2, 0, 1)[None] / 255 for s in (0, 1))
    other = 0.5 * other
    wanted = []
    for layer in ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"):
        f, g = (encoder(x, [layer])[layer][0].flatten(1).double().numpy() for x in (one, other))
        f, g = f @ f.T / f.shape[1], g @ g.T / g.shape[1]
        wanted.append(np.sqrt(((f - g) ** 2).sum() / (g**2).sum()))
    grams = [gram_matrices(encoder, picture) for picture in (one, other)]
    assert float(style_distance(*grams)) == pytest.approx(np.mean(wanted), rel=1e-4)
    assert float(style_distance(grams[0], grams[0])) == 0
    both = gram_matrices(encoder, torch.cat([one, other]))
    assert style_distance(both, [g.flip(0) for g in both]).shape == (2,)
