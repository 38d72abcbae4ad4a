"""How near a result comes to its style, and how much of the photo it keeps, in figures.

No one figure says whether a picture is good. Doing nothing keeps all of the content, and a copy of
the painting has all of its style: they are read together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from stylepipe.errors import ItemError
from stylepipe.temporal.metrics import sharpness
from stylepipe.types import Frame

if TYPE_CHECKING:
    import torch

    from stylepipe.nst.encoders import Encoder

    Moments = tuple[torch.Tensor, torch.Tensor]

Picture = NDArray[np.uint8]
"""HxWx3, RGB."""
JUDGED = 512
"""Longest side in pixels of what the encoder compares."""
_LEAST_SSIM = 6
"""Shortest side in pixels for structural similarity: its windows reflect five at the edges."""
_REMEMBERED = 4
"""Pictures whose features are kept: a result, its photo, the painting and a reference."""


@dataclass(frozen=True)
class Measure:
    """One figure."""

    name: str
    better: str
    """``lower`` or ``higher``."""
    meaning: str


MEASURES = (
    Measure(
        "style_distance",
        "lower",
        "distance of the encoder's Gram matrices to those of the painting, over their size, mean "
        "of its layers for style; lower is nearer to the painting",
    ),
    Measure(
        "content_distance",
        "lower",
        "squared error of the encoder's features over the photo's own, at its layer for content; "
        "lower keeps more of the photo, and doing nothing has 0",
    ),
    Measure(
        "color_distance",
        "lower",
        "2-Wasserstein distance, in Oklab, of normal distributions fitted to the colors of the "
        "result and of the painting",
    ),
    Measure(
        "sharpness",
        "higher",
        "variance of the 3x3 Laplacian of the 8-bit luminance over the photo's; blur lowers it, "
        "grain lifts it",
    ),
    Measure(
        "perceptual",
        "lower",
        "distance of LPIPS (Zhang et al. 2018, eq. 1) to the reference, or else the photo, without "
        "its calibrated weights: squared differences of features of length 1, sum of its layers, "
        "or of those for style where the encoder has none of them",
    ),
    Measure(
        "lpips",
        "lower",
        "the same with its calibrated weights, and of the network that they are for",
    ),
    Measure(
        "mse",
        "lower",
        "mean squared difference to the reference, or else the photo, RGB in [0, 1]",
    ),
    Measure("psnr", "higher", "-10 log10 of the mse, in dB"),
    Measure(
        "ssim",
        "higher",
        "structural similarity (Wang et al. 2004) to the reference, or else the photo, mean of RGB "
        "in Gaussian windows of 1.5 px, K 0.01 and 0.03",
    ),
)


def fitted(picture: Picture, like: Picture) -> Picture:
    """Scaled to the other's size."""
    if picture.shape == like.shape:
        return picture
    size = like.shape[1], like.shape[0]
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def limited(picture: Picture, side: int) -> Picture:
    """Scaled down to no side longer than ``side``."""
    height, width = picture.shape[:2]
    scale = min(1.0, side / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def same_area(painting: Picture, photo: Picture) -> Picture:
    """A painting of as many pixels as the photo, in its own proportions."""
    factor = (photo.shape[0] * photo.shape[1] / (painting.shape[0] * painting.shape[1])) ** 0.5
    size = max(1, round(painting.shape[1] * factor)), max(1, round(painting.shape[0] * factor))
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return cv2.resize(painting, size, interpolation=method)  # type: ignore[return-value]


def mse(result: Picture, reference: Picture) -> float:
    """Mean squared difference of two pictures of one size, RGB in [0, 1]."""
    return float(np.square((result.astype(np.float64) - reference) / 255).mean())


def psnr(result: Picture, reference: Picture) -> float:
    """In dB; infinite for equal pictures."""
    error = mse(result, reference)
    return float("inf") if error == 0 else float(-10 * np.log10(error))


def ssim(result: Picture, reference: Picture) -> float:
    """Structural similarity of two pictures of one size, RGB in [0, 1], by torchmetrics.

    Raises ImportError where that is not installed.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    from stylepipe.nst.photos import to_tensor

    own, other = (to_tensor(picture)[None] for picture in (result, reference))
    found = structural_similarity_index_measure(own, other, data_range=1.0)
    assert not isinstance(found, tuple)
    return float(found)


def color_distance(result: Picture, painting: Picture) -> float:
    """2-Wasserstein distance of normal distributions fitted to the Oklab colors of two pictures."""
    return _wasserstein(*map(_moments, map(_colors, (result, painting))))


def _colors(picture: Picture) -> torch.Tensor:
    """The Oklab colors of a picture made small, 3 n."""
    import torch

    from stylepipe.nst.oklab import oklab

    small = torch.from_numpy(limited(picture, JUDGED).reshape(-1, 3).astype(np.float32) / 255)
    return oklab(small).T


def _moments(vectors: torch.Tensor) -> Moments:
    """Mean and covariance of d n, in float64."""
    exact = vectors.double()
    return exact.mean(dim=1), exact.cov()


def _wasserstein(own: Moments, other: Moments) -> float:
    """2-Wasserstein distance of normal distributions with these moments."""
    from stylepipe.nst.losses import exact_squared_wasserstein

    return float(exact_squared_wasserstein(*own, *other).sqrt())


class Judge:
    """Distances by the features of an encoder, whose title stands beside each figure.

    It remembers those of the last few pictures: each goes through the encoder once.
    calibration: layer -> C, the calibrated weights of LPIPS, as stylepipe.nst.lpips reads them;
    without them all weights are 1.
    """

    def __init__(
        self, encoder: Encoder, calibration: Mapping[str, torch.Tensor] | None = None
    ) -> None:
        self._seen: dict[bytes, dict[str, torch.Tensor]] = {}
        """By the picture's digest, the latest last."""
        self._encoder, self.title = encoder, encoder.title
        self.lpips: Judge | None = None
        """Another judge, whose ``perceptual`` is LPIPS as published."""
        self.style, self.content = list(encoder.default_style), list(encoder.default_content)
        self.calibration: dict[str, torch.Tensor | float] = {
            **(calibration or encoder.default_perceptual)
        }

    def features(self, picture: Picture) -> dict[str, torch.Tensor]:
        """Of a picture no side of which is longer than JUDGED. Raises ItemError for one that is too
        small for the encoder."""
        import torch

        from stylepipe.nst.photos import to_tensor

        digest = hashlib.sha256(repr(picture.shape).encode() + picture.tobytes()).digest()
        found = self._seen.pop(digest, None)
        if found is None:
            layers = [*self.style, *self.content, *self.calibration]
            try:
                with torch.inference_mode():
                    found = self._encoder(to_tensor(picture)[None], layers)
            except ValueError as error:
                raise ItemError(str(error)) from error
        self._seen[digest] = found
        while len(self._seen) > _REMEMBERED:
            del self._seen[next(iter(self._seen))]
        return found

    def style_distances(self, result: Picture, painting: Picture) -> dict[str, float]:
        """By layer, see :mod:`stylepipe.nst.distance`. The painting is scaled to the result's
        area."""
        from stylepipe.nst.distance import gram_distances

        result = limited(result, JUDGED)
        own, wanted = self.features(result), self.features(same_area(painting, result))
        return {layer: float(gram_distances(own[layer], wanted[layer])) for layer in self.style}

    def wasserstein_distances(self, result: Picture, painting: Picture) -> dict[str, float]:
        """By layer: 2-Wasserstein distance of normal distributions fitted to the features, over the
        root of the total variance of the painting's. By eigenvalues: 0 for equal pictures."""
        result = limited(result, JUDGED)
        own, wanted = self.features(result), self.features(same_area(painting, result))
        distances = {}
        for layer in self.style:
            moments = [_moments(features[layer][0].flatten(1)) for features in (own, wanted)]
            size = float(moments[1][1].trace().sqrt())
            distances[layer] = _wasserstein(*moments) / max(size, 1e-12)
        return distances

    def content_distances(self, result: Picture, photo: Picture) -> dict[str, float]:
        """By layer, of pictures of one size."""
        from stylepipe.nst.losses import content_loss

        own, kept = (self.features(limited(picture, JUDGED)) for picture in (result, photo))
        return {layer: float(content_loss(own[layer], kept[layer])[0]) for layer in self.content}

    def perceptual(self, result: Picture, reference: Picture) -> float:
        """The distance of Zhang et al., "The Unreasonable Effectiveness of Deep Features as a
        Perceptual Metric" (2018), eq. 1, of pictures of one size."""
        own, other = (self.features(limited(picture, JUDGED)) for picture in (result, reference))
        total = 0.0
        for layer, weights in self.calibration.items():
            a, b = (f[layer].float() for f in (own, other))
            a, b = (x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10) for x in (a, b))
            # C last, as in the weights
            total += float(((a - b).square().movedim(1, -1) * weights).sum(-1).mean())
        return total


def distances(
    result: Picture, photo: Picture, judge: Judge, painting: Picture | None = None
) -> dict[str, float]:
    """``style_distance``, if there is a painting, and ``content_distance``, of a result as large
    as the photo. Raises ItemError for pictures that are too small for the encoder."""
    found = {}
    if painting is not None:
        by_layer = judge.style_distances(result, painting)
        found["style_distance"] = float(np.mean(list(by_layer.values())))
    kept = judge.content_distances(result, photo)
    found["content_distance"] = float(np.mean(list(kept.values())))
    return found


def measured(
    result: Picture,
    photo: Picture,
    judge: Judge,
    painting: Picture | None = None,
    reference: Picture | None = None,
) -> dict[str, float]:
    """The figures of MEASURES by name; style_distance and color_distance need the painting.

    The result is scaled to the size of the photo, and of the reference. Pictures that are too small
    for an encoder have no figures of that encoder.
    """
    own = fitted(result, photo)
    found: dict[str, float] = {}
    with suppress(ItemError):
        found |= distances(own, photo, judge, painting)
        if painting is not None:
            found["color_distance"] = color_distance(own, painting)
    if (crisp := sharpness(Frame(photo))) > 0:  # a photo of one color has nothing to compare with
        found["sharpness"] = sharpness(Frame(own)) / crisp
    beside = photo if reference is None else reference
    near = fitted(result, beside)
    with suppress(ItemError):
        found["perceptual"] = judge.perceptual(near, beside)
    if judge.lpips is not None:
        with suppress(ItemError):
            found["lpips"] = judge.lpips.perceptual(near, beside)
    found |= {"mse": mse(near, beside), "psnr": psnr(near, beside)}
    if min(near.shape[:2]) >= _LEAST_SSIM:
        with suppress(ImportError):  # absent() reports it, once
            found["ssim"] = ssim(near, beside)
    return found


def by_layer(
    result: Picture, photo: Picture, judge: Judge, painting: Picture | None = None
) -> dict[str, float]:
    """Distances by layer: ``content RELU``, ``gram RELU``, ``wasserstein RELU``; the result is as
    large as the photo."""
    found = {f"content {k}": v for k, v in judge.content_distances(result, photo).items()}
    if painting is not None:
        grams = judge.style_distances(result, painting)
        found |= {f"gram {k}": v for k, v in grams.items()}
        normal = judge.wasserstein_distances(result, painting)
        found |= {f"wasserstein {k}": v for k, v in normal.items()}
    return found


def absent() -> list[str]:
    """What is not measured here, and what to install for it: a sentence each."""
    if find_spec("torchmetrics") is None:
        return ["ssim is left out: it needs torchmetrics (pip install 'stylepipe[measure]')"]
    return []
