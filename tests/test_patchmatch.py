"""Pictures made of patches and of gradients."""

import cv2
import numpy as np
import pytest

from stylepipe.nst.patchmatch import Exemplar, Target, synthesize
from stylepipe.nst.poisson import screened_poisson

SIZE = (88, 96)


def noise(seed: int, cell: int = 4) -> np.ndarray:
    """HxWx3 float32 in [0, 255]: soft blotches, each place unlike all others."""
    coarse = np.random.default_rng(seed).uniform(0, 255, (SIZE[0] // cell, SIZE[1] // cell, 3))
    return cv2.resize(coarse.astype(np.float32), SIZE[::-1], interpolation=cv2.INTER_CUBIC).clip(
        0, 255
    )


def grid() -> np.ndarray:
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32)
    return np.dstack([x, y])


def target(guide: np.ndarray, expected: np.ndarray, trust: float) -> Target:
    plane = np.full(SIZE, trust, np.float32)
    return Target(guide.astype(np.uint8), expected, plane, expected, plane)


def exemplar() -> Exemplar:
    return Exemplar(noise(1, 8), noise(2).astype(np.uint8))


def test_what_has_not_moved_is_copied_to_the_last_bit():
    source = exemplar()
    made = synthesize(source, target(source.guide, grid(), 1), [0])
    assert (made.picture == source.picture).all()
    assert (made.error == 0).all()


def test_guides_alone_find_what_has_moved():
    source = exemplar()
    moved = np.roll(source.guide, (6, -9), (0, 1))
    made = synthesize(source, target(moved, grid(), 0), [0])
    inside = (slice(10, -10), slice(10, -14))
    wanted = np.roll(source.picture, (6, -9), (0, 1))
    assert np.abs(made.picture - wanted)[inside].mean() < 0.25 * np.abs(
        source.picture - wanted
    )[inside].mean()  # fmt: skip


def test_parts_of_pixels_are_kept_where_the_place_is_trusted():
    source = exemplar()
    half = grid() + np.float32(0.5)
    guide = cv2.remap(source.guide, half, None, cv2.INTER_LINEAR)
    made = synthesize(source, target(guide, half, 1), [0])
    apart = np.abs(made.matches - half)[5:-5, 5:-5]
    assert np.mean(apart < 0.01) > 0.9


def test_the_seed_alone_decides_what_is_random():
    source = exemplar()
    wanted = target(np.roll(source.guide, 20, 1), grid(), 0)
    one, again, other = (synthesize(source, wanted, [seed]).matches for seed in (3, 3, 4))
    assert (one == again).all()
    assert (one != other).any()


def test_opacity_is_carried_along():
    source = exemplar()
    opacity = np.zeros((*SIZE, 1), np.float32)
    opacity[:, :40] = 255
    with_it = Exemplar(np.dstack([source.picture, opacity]), source.guide)
    made = synthesize(with_it, target(source.guide, grid(), 1), [0])
    assert (made.picture[..., 3:] == opacity).all()


@pytest.mark.parametrize("size", [(5, 7), (4, 7), (6, 6)])
def test_a_picture_is_made_of_its_own_gradients(size):
    picture = np.random.default_rng(1).uniform(0, 255, (*size, 3)).astype(np.float32)
    across, down = (np.diff(picture, axis=axis, append=0) for axis in (1, 0))
    assert np.abs(screened_poisson(picture, across, down, 0.02) - picture).max() < 0.01


@pytest.mark.parametrize("size", [(4, 6), (2, 2)])
def test_the_screened_poisson_equation_is_solved(size):
    height, width = size
    rng = np.random.default_rng(0)
    colors, across, down = rng.uniform(0, 9, (3, height, width, 2)).astype(np.float32)
    pull, count = 0.3, height * width
    made = screened_poisson(colors, across, down, pull)
    numbers = np.arange(count).reshape(size)
    pairs = [(numbers[:, :-1], numbers[:, 1:], across), (numbers[:-1], numbers[1:], down)]
    rows, right = [np.sqrt(pull) * np.eye(count)], [np.sqrt(pull) * colors.reshape(count, 2)]
    for here, there, gradient in pairs:
        rows.append(np.eye(count)[there.ravel()] - np.eye(count)[here.ravel()])
        right.append(gradient.reshape(count, 2)[here.ravel()])
    wanted = np.linalg.lstsq(np.vstack(rows), np.vstack(right), rcond=None)[0]
    assert np.abs(made.reshape(count, 2) - wanted).max() < 1e-3
