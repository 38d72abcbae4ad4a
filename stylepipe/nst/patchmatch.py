"""Painting a picture out of the patches of another one, led by guides.

Patch-based synthesis as of StyLit (Fiser et al. 2016) and "Stylizing Video by Example" (Jamriska et
al. 2019): each 5x5 patch of the result is a patch of a painted exemplar, chosen for what the guides
show at the two places, and for how well it goes with its neighbors. The search is PatchMatch
(Barnes et al. 2009) for all pixels at once: each round tries the matches of four neighbors,
then random ones. Two patches are compared by the sum of absolute differences of their guides and
of the lowest coefficients of their discrete cosine transform, in place of all 75 values.

Everything is NumPy and OpenCV on the CPU, and deterministic.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import cv2
import numpy as np

PATCH = 5
"""Side of a patch in pixels."""
_OVER = tuple((dx, dy) for dy in range(-2, 3) for dx in range(-2, 3))
"""Offsets (x, y) of a pixel from the middles of the patches over it."""
_LEAST_SIDE = 40
"""Shortest side in pixels of the coarsest picture."""


@dataclass(frozen=True)
class _Effort:
    """How much is searched at a level."""

    rounds: int
    steps: Sequence[int]
    """Pixels to the neighbors whose matches a round tries."""
    radii: Sequence[int]
    """Pixels around a match at which a round tries random ones."""


_EFFORTS = (
    _Effort(1, (1,), (1, 4)),
    _Effort(2, (2, 1), (1, 8)),
    _Effort(4, (8, 4, 2, 1), (1, 4, 16, 64)),
)
"""For each level, the finest first; where there are fewer, the last ones."""
_GAIN = 6.0
"""By how much a random match must be better: what goes with its neighbors is left alone."""
_CONTINUED = 0.6
"""Share of the picture that is continued, where it is trusted, in what texture is compared with."""
_PLACE = 1.5
_FAR = 12.0
"""Cost of each pixel of distance from the expected place, up to the second."""
_TRUSTED = 0.5
"""Trust from which the search starts with what is expected, or continued."""
_OVERUSE = 10.0
_MOST = 4.0
"""Cost for each time that a patch is used beyond once, up to the second: what is plain would fit
everywhere, and wash out the rest."""
_APART = 0.75
"""Pixels from which two neighbors that were to be one patch come from different places."""
_TOLERANCE = 4.0
"""Cost by which a patch's vote falls to 1/e."""


@dataclass(frozen=True)
class Exemplar:
    """A painted picture and what it was painted from."""

    picture: np.ndarray
    """HxWxC float32 in [0, 255]: RGB, or RGB times opacity and the opacity."""
    guide: np.ndarray
    """HxWxG uint8: what leads to a patch."""


@dataclass(frozen=True)
class Target:
    """What is to be painted."""

    guide: np.ndarray
    """HxWxG uint8, to be compared with that of the exemplar."""
    expected: np.ndarray
    """HxWx2 float32: the place (x, y) in the exemplar where each pixel should come from."""
    trust: np.ndarray
    """HxW float32 in [0, 1]: how far ``expected`` can be trusted."""
    continued: np.ndarray
    """HxWx2 float32: matches that the result continues, as those of the frame before, moved."""
    steady: np.ndarray
    """HxW float32 in [0, 1]: how far ``continued`` can be trusted."""


@dataclass(frozen=True)
class Synthesis:
    """What was painted."""

    picture: np.ndarray
    """HxWxC float32, as the exemplar's."""
    matches: np.ndarray
    """HxWx2 float32: the place (x, y) in the exemplar where each pixel comes from."""
    error: np.ndarray
    """HxW float32: how much the guides differ at the two places; 0 is not at all."""


def synthesize(exemplar: Exemplar, target: Target, seed: Sequence[int]) -> Synthesis:
    """Paint the target, coarse to fine. The same seed gives the same result."""
    rng = np.random.default_rng(seed)
    levels = list(_pyramid(exemplar, target))
    height, width = levels[-1][1].trust.shape
    matches = rng.uniform(0, (width - 1, height - 1), (height, width, 2)).astype(np.float32)
    for level, (source, wanted) in reversed(list(enumerate(levels))):
        effort = _EFFORTS[level - len(levels)]
        search = _Search(source, wanted, _resized_places(matches, wanted.trust.shape), rng)
        for _ in range(effort.rounds):
            search.improve(effort)
            search.vote(exact=level == 0)
        matches = search.matches
    return Synthesis(search.picture, search.matches, search.guide_error())


class _Search:
    """The matches of one level, and the picture they make."""

    def __init__(
        self,
        exemplar: Exemplar,
        target: Target,
        matches: np.ndarray,
        rng: np.random.Generator,
    ) -> None:
        """``matches`` are those to start with where none are trusted."""
        self._exemplar, self._target, self._rng = exemplar, target, rng
        self._source = np.dstack([exemplar.guide, _texture(exemplar.picture)])
        self._limit = np.array(exemplar.guide.shape[1::-1], np.float32) - 1
        self._continued = _fetched(exemplar.picture, target.continued)
        trusted, steady = (t[..., None] >= _TRUSTED for t in (target.trust, target.steady))
        start = np.where(steady, target.continued, matches)
        self.matches = np.clip(np.where(trusted, target.expected, start), 0, self._limit)
        self.picture = _fetched(exemplar.picture, self.matches)
        self._compare_anew()
        for known in (target.expected, target.continued, matches):
            self._try(known)

    def _compare_anew(self) -> None:
        """Picture and matches have changed: what matches cost has, too."""
        target = self._target
        weight = (_CONTINUED * target.steady)[..., None]
        wanted = self.picture + weight * (self._continued - self.picture)
        self._wanted = np.dstack([target.guide, _texture(wanted)])
        self._overuse = _OVERUSE * np.clip(_uses(self.matches) - 1, 0, _MOST)
        self._cost = self._cost_of(self.matches)

    def _cost_of(self, matches: np.ndarray) -> np.ndarray:
        away = np.abs(matches - self._target.expected)
        away = np.minimum(away[..., 0] + away[..., 1], _FAR)
        cost: np.ndarray = _differences(self._source, self._wanted, matches)
        cost += _fetched(self._overuse, matches)
        cost += _PLACE * self._target.trust * away
        return cost

    def _try(self, candidate: np.ndarray, gain: float = 0.0) -> None:
        """Take the candidate's matches where they cost less, by more than ``gain``."""
        candidate = np.clip(candidate, 0, self._limit)
        cost = self._cost_of(candidate)
        better = cost + gain < self._cost
        np.copyto(self.matches, candidate, where=better[..., None])
        np.copyto(self._cost, cost, where=better)

    def improve(self, effort: _Effort) -> None:
        """One round of PatchMatch for all pixels at once."""
        for step in effort.steps:
            for dx, dy in ((step, 0), (0, step), (-step, 0), (0, -step)):
                self._try(_moved(self.matches, dx, dy))
        for radius in effort.radii:
            # Whole pixels: matches that move by less than one keep doing so.
            away = self._rng.integers(-radius, radius, self.matches.shape, endpoint=True)
            self._try(self.matches + away.astype(np.float32), _GAIN)

    def vote(self, exact: bool) -> None:
        """Make the picture anew, each pixel from its match; ``exact``: between pixels as well.

        Where neighbors come from different places, a pixel is the mean of what all patches over it
        say. Elsewhere that would be the mean of almost the same, and blurred.
        """
        exemplar = self._exemplar.picture
        how = cv2.INTER_LANCZOS4 if exact else cv2.INTER_NEAREST
        self.picture = _fetched(exemplar, self.matches, how)
        share = cv2.blur(self._seams(), (PATCH, PATCH))
        rows, columns = np.nonzero(share)
        weight = np.exp(-self._cost / _TOLERANCE) + 1e-6
        total = np.zeros((len(rows), exemplar.shape[2]), np.float32)
        weights = np.zeros((len(rows), 1), np.float32)
        bottom, right = np.array(weight.shape) - 1
        for dx, dy in _OVER:
            middle = np.clip(rows - dy, 0, bottom), np.clip(columns - dx, 0, right)
            place = np.clip(self.matches[middle] + np.array((dx, dy), np.float32), 0, self._limit)
            x, y = np.rint(place).astype(np.intp).T
            vote = weight[middle][:, None]
            total += vote * exemplar[y, x]
            weights += vote
        own, seam = self.picture[rows, columns], share[rows, columns][:, None]
        self.picture[rows, columns] = own + seam * (total / weights - own)
        self._compare_anew()

    def _seams(self) -> np.ndarray:
        """HxW float32: 1 where the next pixel comes from another place, else 0."""
        found = np.zeros(self.matches.shape[:2], np.float32)
        across, down = (np.abs(np.diff(self.matches, axis=axis)) for axis in (1, 0))
        across[..., 0] = np.abs(np.diff(self.matches[..., 0], axis=1) - 1)
        down[..., 1] = np.abs(np.diff(self.matches[..., 1], axis=0) - 1)
        found[:, :-1] = across.max(2) > _APART
        found[:-1] = np.maximum(found[:-1], down.max(2) > _APART)
        return found

    def guide_error(self) -> np.ndarray:
        """HxW: how much the guides differ."""
        return _differences(self._exemplar.guide, self._target.guide, self.matches)


def _pyramid(exemplar: Exemplar, target: Target) -> Iterator[tuple[Exemplar, Target]]:
    """The finest level first, each half as large as the one before."""
    yield exemplar, target
    for _ in range(len(_EFFORTS) - 1):
        size = target.trust.shape[0] // 2, target.trust.shape[1] // 2
        if min(size) < _LEAST_SIDE:
            return
        exemplar = Exemplar(_resized(exemplar.picture, size), _resized(exemplar.guide, size))
        target = Target(
            _resized(target.guide, size),
            _resized_places(target.expected, size),
            _resized(target.trust, size),
            _resized_places(target.continued, size),
            _resized(target.steady, size),
        )
        yield exemplar, target


def _resized(values: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Of another height and width."""
    return cast(np.ndarray, cv2.resize(values, size[::-1], interpolation=cv2.INTER_AREA))


def _resized_places(places: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """HxWx2 for a picture and an exemplar of another height and width.

    Taken from the nearest pixel: a mean of two matches is a match of neither.
    """
    scale = np.array([size[1] / places.shape[1], size[0] / places.shape[0]], np.float32)
    nearest = cv2.resize(places, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    scaled: np.ndarray = (nearest + 0.5) * scale - 0.5
    return scaled


def _uses(matches: np.ndarray) -> np.ndarray:
    """HxW: how often each pixel of the exemplar is used, over the patch around it."""
    height, width = matches.shape[:2]
    places = np.rint(matches).astype(np.int64)
    numbers = (places[..., 1] * width + places[..., 0]).ravel()
    used = np.bincount(numbers, minlength=height * width).astype(np.float32)
    return cast(np.ndarray, cv2.blur(used.reshape(height, width), (PATCH, PATCH)))


def _texture(picture: np.ndarray) -> np.ndarray:
    """The patch around each pixel of HxWxC, in [0, 255], by its lowest frequencies: HxWx17 uint8.

    Those of the luminance reach further than those of the colors, as the eye does.
    """
    basis = [_cosine(order) for order in range(4)]
    luma = cv2.transform(picture[..., :3], np.array([[0.299, 0.587, 0.114]], np.float32))
    red, blue = picture[..., 0] - luma, picture[..., 2] - luma
    orders = [(i, j) for i in range(4) for j in range(4) if i + j <= 3]
    planes = [(luma, i, j) for i, j in orders]
    planes += [(color, i, j) for color in (red, blue) for i, j in orders if i + j <= 1]
    if picture.shape[2] > 3:
        planes.append((picture[..., 3], 0, 0))
    found = []
    for plane, i, j in planes:
        coefficient = cv2.sepFilter2D(plane, cv2.CV_32F, basis[i], basis[j])
        middle = 0.0 if plane is luma and i == j == 0 else 128.0
        found.append(coefficient / PATCH + middle)
    return np.dstack([cv2.convertScaleAbs(np.clip(plane, 0, 255)) for plane in found])


def _cosine(order: int) -> np.ndarray:
    """A row of the orthonormal discrete cosine transform of PATCH values."""
    phase = np.pi * (np.arange(PATCH) + 0.5) * order / PATCH
    row: np.ndarray = np.cos(phase) * np.sqrt((1 if order == 0 else 2) / PATCH)
    return row.astype(np.float32)


def _differences(source: np.ndarray, target: np.ndarray, matches: np.ndarray) -> np.ndarray:
    """HxW float32: sums of absolute differences between HxWxD uint8 and its matches."""
    found = cv2.remap(source, matches, None, cv2.INTER_NEAREST)  # type: ignore[call-overload]
    height, width, depth = found.shape
    apart = cv2.absdiff(found, target).reshape(height * width, depth)
    total = cv2.reduce(apart, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32F)
    return cast(np.ndarray, total.reshape(height, width))


def _fetched(picture: np.ndarray, matches: np.ndarray, how: int = cv2.INTER_NEAREST) -> np.ndarray:
    """What lies at the matches; ``how``: one of OpenCV's interpolations."""
    found: Any = cv2.remap(picture, matches, None, how, borderMode=cv2.BORDER_REFLECT_101)  # type: ignore[call-overload]
    return cast(np.ndarray, found)


def _moved(matches: np.ndarray, dx: int, dy: int) -> np.ndarray:
    """For each pixel the match that its neighbor at (-dx, -dy) has, moved along."""
    height, width = matches.shape[:2]
    x, y = abs(dx), abs(dy)
    padded = cv2.copyMakeBorder(matches, y, y, x, x, cv2.BORDER_REPLICATE)
    there = padded[y - dy :, x - dx :][:height, :width]
    moved: np.ndarray = there + np.array((dx, dy), np.float32)
    return moved
