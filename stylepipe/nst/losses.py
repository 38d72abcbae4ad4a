"""The losses of style transfer, one number per picture of a batch.

Those of content and style are relative to their target's size, so that a weight means the same for
every encoder, layer, picture size and painting.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

EPS = 1e-8
FLAT = 0.01
"""Of the mean square: the variance of a style's crop counts as no less."""
ITERATIONS = 10
"""Of the square root. Directions of less than about 1e-4 of the norm are not quite reached by so
many, and weigh less: just those that are little more than noise."""


def content_loss(features: Tensor, target: Tensor) -> Tensor:
    """Squared error over the target's variance and half its mean square, N C H W -> N.

    Gatys, Ecker, Bethge, "Image Style Transfer Using Convolutional Neural Networks" (2016), eq. 1,
    made relative. Without the half of the mean square a photo of an empty sky would weigh more than
    all others together.
    """
    return squared_error(features, target) / content_size(target)


def squared_error(features: Tensor, target: Tensor) -> Tensor:
    """Sum over channels and positions, N C H W -> N, in float32 or finer."""
    return (exact(features) - exact(target)).square().sum(dim=(1, 2, 3))


def content_size(target: Tensor) -> Tensor:
    """What a squared error of N C H W is relative to in content_loss: N."""
    positions = target.shape[2] * target.shape[3]
    sums = target.sum(dim=(2, 3), dtype=torch.promote_types(target.dtype, torch.float32))
    square = torch.stack([exact(t).square().sum() for t in target])
    mean = sums.square().sum(dim=1) / positions
    return square - mean + 0.5 * square + EPS * positions


def directions(features: Tensor, floor: Tensor) -> Tensor:
    """Features N C H W scaled to length 1 over the channels, in float32 or finer. floor: N 1 1 1,
    see direction_floor.
    """
    features = exact(features)
    length = features.square().sum(dim=1, keepdim=True) + floor
    return features * length.rsqrt()


def direction_floor(target: Tensor) -> Tensor:
    """Added to squared lengths, of N C H W: N 1 1 1. Where all channels are dark a direction means
    little, and its gradient would be huge.
    """
    square = torch.stack([exact(t).square().sum(dim=0).mean() for t in target])
    return 1e-4 * square.view(-1, 1, 1, 1) + EPS


def exact(values: Tensor) -> Tensor:
    """In float32, or in float64 if they are: sums need more digits than bfloat16 has."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (N C) and covariance (N C C) of the channels of N C H W."""
    flat = exact(features).flatten(2)
    mean = flat.mean(dim=2)
    flat = flat - mean[:, :, None]
    return mean, flat @ flat.transpose(1, 2) / flat.shape[2]


def sqrtm(matrix: Tensor, iterations: int = ITERATIONS) -> Tensor:
    """Square root of symmetric positive definite matrices, N C C -> N C C.

    Newton-Schulz iteration (Higham, "Functions of Matrices", eq. 6.35), scaled by the norm. It is
    products only: its gradient needs no eigenvectors, which are unstable where eigenvalues meet.
    """
    norm = torch.linalg.vector_norm(matrix, dim=(1, 2))[:, None, None]
    eye = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    y, z = matrix / norm, eye.expand_as(matrix)
    for _ in range(iterations):
        t = 1.5 * eye - 0.5 * (z @ y)
        y, z = y @ t, t @ z
    root: Tensor = torch.sqrt(norm) * y
    return root


def root_trace(matrix: Tensor) -> Tensor:
    """trace(sqrtm(matrix)) of symmetric positive definite matrices, N C C -> N, and a gradient
    that needs neither a backward pass through the iterations nor a copy of each.
    """
    found: Tensor = _RootTrace.apply(matrix)
    return found


class _RootTrace(torch.autograd.Function):
    """All matrices of the iteration are polynomials of S, the matrix over its norm, so that the
    gradient of the root's trace f(S) = tr Y is the derivative of a function of one number:
    f'(S) = (Z + R) / 2, with Y = S Z, R = Z + 2 S Z', and, by the iteration,
    R <- 1.5 R (1 - Z Y) from R = 1. (Where it has converged, R is 0, and Z / 2 = S^-1/2 / 2.)
    """

    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> Tensor:
        norm = torch.linalg.vector_norm(matrix, dim=(1, 2))[:, None, None]
        eye = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
        scaled = matrix / norm
        y, w = scaled, scaled
        z = r = eye.expand_as(matrix)
        for _ in range(ITERATIONS):
            t = 1.5 * eye - 0.5 * w
            r = 1.5 * (r - r @ w)
            y, z = y @ t, t @ z
            w = z @ y
        slope, value = 0.5 * (z + r), trace(y)
        # The norm depends on the matrix too: d sqrt(norm) f(matrix / norm).
        lost = 0.5 * value - (slope * scaled).sum(dim=(1, 2))
        ctx.save_for_backward((slope + lost[:, None, None] * scaled) / norm.sqrt())
        root: Tensor = norm.sqrt()[:, 0, 0] * value
        return root

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> Tensor:
        gradient: Tensor = slopes[0][:, None, None] * ctx.saved_tensors[0]
        return gradient


def trace(matrix: Tensor) -> Tensor:
    """Sum of the diagonal, N C C -> N."""
    return torch.einsum("ncc->n", matrix)


def regularise(covariance: Tensor, size: Tensor) -> Tensor:
    """Add 1e-4 of a mean variance (size: N traces) to the diagonal: the root needs full rank."""
    eye = torch.eye(covariance.shape[-1], dtype=covariance.dtype, device=covariance.device)
    return covariance + (1e-4 / covariance.shape[-1]) * size[:, None, None] * eye


def wasserstein_loss(features: Tensor, mean: Tensor, covariance: Tensor, root: Tensor) -> Tensor:
    """Squared Wasserstein-2 distance of Gaussians of the features, N C H W -> N, over the
    target's total variance.

    mean (N C), covariance (N C C), root: the target's moments and sqrtm(regularised covariance).
    A style loss in place of Gatys' squared Gram error: it does not neglect the weak directions.
    """
    own_mean, own = moments(features)
    size = trace(covariance)
    distance = squared_wasserstein(
        own_mean, regularise(own, size), mean, regularise(covariance, size), root
    )
    return distance / (size + EPS)


def style_loss(features: Tensor, style: Tensor) -> Tensor:
    """wasserstein_loss of features to those of a style, N C H W each -> N, also where the style is
    of one color: nothing is divided by a variance that is next to nothing.
    """
    mean, covariance = moments(style)
    lack = (FLAT * mean.square().sum(dim=1) + EPS - trace(covariance)).clamp_min(0.0)
    channels = covariance.shape[1]
    covariance = covariance + torch.diag_embed((lack / channels)[:, None].expand(-1, channels))
    root = sqrtm(regularise(covariance, trace(covariance)))
    return wasserstein_loss(features, mean, covariance, root)


def squared_wasserstein(
    mean: Tensor, covariance: Tensor, other_mean: Tensor, other: Tensor, other_root: Tensor
) -> Tensor:
    """Of Gaussians with means N C and covariances N C C of full rank, the second with its root: N.

    Dowson, Landau, "The Fréchet distance between multivariate normal distributions" (1982).
    """
    cross = root_trace(other_root @ covariance @ other_root)
    spread = trace(covariance) + trace(other) - 2.0 * cross
    return (mean - other_mean).square().sum(dim=1) + spread


def exact_squared_wasserstein(
    mean: Tensor, covariance: Tensor, other_mean: Tensor, other: Tensor
) -> Tensor:
    """The same by symmetric eigendecompositions in float64, of any rank: ... C and ... C C -> ...
    For reports, not to optimize: it is 0 for equal moments, where the iteration's few steps leave a
    remainder, but gradients are unstable where eigenvalues meet.
    """
    mean, covariance, other_mean, other = (
        t.detach().double() for t in (mean, covariance, other_mean, other)
    )
    values, vectors = torch.linalg.eigh(other)
    root = (vectors * values.clamp_min(0.0).sqrt()[..., None, :]) @ vectors.mT
    cross = torch.linalg.eigvalsh(root @ covariance @ root).clamp_min(0.0).sqrt().sum(dim=-1)
    traces = (c.diagonal(dim1=-2, dim2=-1).sum(dim=-1) for c in (covariance, other))
    spread = sum(traces) - 2.0 * cross
    distance: Tensor = (mean - other_mean).square().sum(dim=-1) + spread
    return distance.clamp_min(0.0)


def gram_error(second: Tensor, wanted: Tensor) -> Tensor:
    """Squared Frobenius distance of matrices, ... C C -> ..."""
    return (second - wanted).square().sum(dim=(-2, -1))


def mean_std_error(mean: Tensor, own: Tensor, wanted_mean: Tensor, wanted: Tensor) -> Tensor:
    """Squared distance of means ... C and of the deviations in covariances ... C C -> ...

    Huang, Belongie, "Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization"
    (2017), eq. 13, squared.
    """
    deviations = [(c.diagonal(dim1=-2, dim2=-1).clamp_min(0.0) + EPS).sqrt() for c in (own, wanted)]
    drift = (mean - wanted_mean).square().sum(dim=-1)
    return drift + (deviations[0] - deviations[1]).square().sum(dim=-1)


def recolor(photo: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """A photo N 3 H W with these means and deviations (N 3 each) of its channels.

    Reinhard et al., "Color Transfer between Images" (2001), eq. 10, in RGB.
    """
    own_mean = photo.mean(dim=(2, 3), keepdim=True)
    own_std = photo.std(dim=(2, 3), keepdim=True) + 0.02
    return (photo - own_mean) / own_std * std[:, :, None, None] + mean[:, :, None, None]


def tone_loss(x: Tensor, photo: Tensor, cell: int = 8) -> Tensor:
    """1 - correlation of the luminances' means over cells of pixels, N 3 H W each -> N.

    Style moments alone fix which colors appear, not where: without this term large smooth areas
    come out in rings of unrelated colors. Strokes finer than a cell, and hue, stay free.
    """
    return 1.0 - _correlation(x, photo, [(0.299, 0.587, 0.114)], cell)


def hue_loss(x: Tensor, photo: Tensor, cell: int = 8) -> Tensor:
    """1 - correlation of the opponent colors (red against blue, green against both) as in
    tone_loss: what is warmer in the photo stays warmer within the painting's palette.
    """
    return 1.0 - _correlation(x, photo, [(1.0, 0.0, -1.0), (-0.5, 1.0, -0.5)], cell)


def _correlation(
    x: Tensor, photo: Tensor, mixtures: list[tuple[float, float, float]], cell: int
) -> Tensor:
    """Of two pictures' mixtures of channels over cells of pixels, -1 to 1: the mixtures' mean."""
    weights = torch.tensor(mixtures, device=x.device)
    own, wanted = (
        F.avg_pool2d(torch.einsum("pc,nchw->nphw", weights, p), cell).flatten(2) for p in (x, photo)
    )
    own = own - own.mean(dim=2, keepdim=True)
    wanted = wanted - wanted.mean(dim=2, keepdim=True)
    # An empty photo has no tones to keep: its noise must not count as such.
    sizes = (own.square().mean(dim=2) + 1e-4) * (wanted.square().mean(dim=2) + 1e-4)
    return ((own * wanted).mean(dim=2) / sizes.sqrt()).mean(dim=1)


def spike_penalty(x: Tensor, limit: float = 4.0) -> Tensor:
    """Mean squared excess of |x| over `limit`, N C H W -> N.

    For maps behind an instance norm, in deviations. Left alone, networks learn to place a few
    huge values that shrink everything else in the map, and show as glassy bubbles (Karras et al.,
    "Analyzing and Improving the Image Quality of StyleGAN" (2020), section 2).
    """
    return (x.abs() - limit).clamp(min=0.0).square().flatten(1).mean(dim=1, dtype=torch.float32)


def total_variation(x: Tensor) -> Tensor:
    """Mean squared difference of neighbors, N C H W -> N."""
    channels, height, width = x.shape[1:]
    right, below = neighbor_differences(x, x)
    return right / (channels * height * (width - 1)) + below / (channels * (height - 1) * width)


def neighbor_differences(rows: Tensor, next_too: Tensor, power: int = 2) -> tuple[Tensor, Tensor]:
    """Sums of squared (power 2) or absolute (power 1) differences of N C h W, N each: to the right
    of `rows`, and downward in `next_too`, the same rows with the next one, if there is one.
    """
    right = rows[..., :, 1:] - rows[..., :, :-1]
    below = next_too[..., 1:, :] - next_too[..., :-1, :]
    sizes = (d.square() if power == 2 else d.abs() for d in (right, below))
    first, second = (size.sum(dim=(1, 2, 3)) for size in sizes)
    return first, second


def range_penalty(x: Tensor) -> Tensor:
    """Mean squared distance of the values to [0,1], N C H W -> N."""
    return (x - torch.clamp(x, 0.0, 1.0)).square().flatten(1).mean(dim=1)


def laplacian(picture: Tensor, cell: int) -> Tensor:
    """Four neighbors less four times the center, of means over cells of pixels, summed over RGB:
    N 3 H W -> N 1 h w. Li et al., "Laplacian-Steered Neural Style Transfer" (2017), eq. 5 and 6.
    """
    x = F.avg_pool2d(picture, cell).sum(dim=1, keepdim=True)
    center = x[..., 1:-1, 1:-1]
    around = x[..., :-2, 1:-1] + x[..., 2:, 1:-1] + x[..., 1:-1, :-2] + x[..., 1:-1, 2:]
    return around - 4.0 * center
