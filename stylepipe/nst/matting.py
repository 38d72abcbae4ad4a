"""The matting Laplacian of a photo, and what follows from it.

Levin, Lischinski, Weiss, "A Closed-Form Solution to Natural Image Matting" (2008): a picture costs
nothing where it is, window by window, an affine function of the photo's colors. Luan et al., "Deep
Photo Style Transfer" (2017), keep a painted photo photorealistic by that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, unflatten

from .guided import box_mean, products, slopes

EPS = 1e-7
"""The papers': so little that a window of two colors may be mapped to any other two."""
SIDE = 3
"""Of a window."""
REACH = SIDE - 1
"""Rows, and columns, that two pixels of one window lie apart at most."""
SHIFTS = [(row, column) for row in range(SIDE) for column in range(SIDE)]
"""A window's pixels, seen from its first."""
LINKS = [(0, 1), (0, 2), *((row, column) for row in (1, 2) for column in range(-2, 3))]
"""From a pixel to those after it with which it shares a window: rows down, columns right."""
CHUNK, CPU_CHUNK = 1 << 19, 1 << 15
"""Pixels worked on at once: as many as take little memory, or, on a CPU, as stay in its cache."""
NO_FLOAT64 = ("mps",)
"""Devices that have only shorter numbers."""
FEW = 1 << 10
"""Unknown pixels of which alpha is found at once, without a guess from half the size."""
PAPER_SIDE = 700
"""Long side of the photos that the radius of affine_smoothed refers to."""
SMOOTHING_EPS = 1e-4
"""Variance: contrasts of 0.01 are followed where an affine map is fitted, noise is not."""
MISFIT = 1e-3
"""Variance that an affine map may leave before it counts for half: a standard deviation of 0.03."""


class MattingLaplacian:
    """The matting Laplacian L of photos N 3 H W in [0,1], exact, by windows of 3x3 pixels.

    ``laplacian @ x`` maps N C H W to L x, plane by plane. L is held as twelve numbers a pixel, the
    weights w of its links with the pixels after it: (L x)_i is the sum over j of w_ij (x_i - x_j).
    They are computed in float64. With so small an eps float32 suffices for them, but not for box
    sums of affine fits, which cancel out to three or four digits where the photo is flat.
    eps: see EPS; added to the colors' scatter in each window, 9 times their covariance.
    Raises ValueError for photos of fewer than 3 rows or columns.
    """

    def __init__(self, photo: Tensor, eps: float = EPS) -> None:
        photo = photo.detach()
        rows, columns = _windows(photo)
        self.links = photo.new_zeros(len(photo), len(LINKS), *photo.shape[-2:])
        """The weights, N 12 H W, at the first pixel of each link; 0 where it leaves the photo."""
        self.variance = photo.new_zeros(len(photo))
        """Of the photo's colors within its windows, N: a mean over windows and channels."""
        for first, last in _chunks(rows, photo):
            strip = _exact(photo[..., first : last + REACH, :])
            views = [strip[..., r : r + last - first, c : c + columns] for r, c in SHIFTS]
            centered, whitened = _whitened(torch.stack(views).transpose(1, 2), eps)
            self.variance += centered.square().mean(dim=(0, 1, 4)).sum(dim=1).to(photo) / rows
            # None is above 3: for their products float32 suffices.
            for s, _, link, weight in _weights(whitened.to(photo)):
                row, column = SHIFTS[s]
                own = self.links[:, link, first + row : last + row, column : column + columns]
                own += weight

    def __matmul__(self, picture: Tensor) -> Tensor:
        return self.applied(picture, 0, self.links.shape[2])

    def energy(self, picture: Tensor, first: int = 0, last: int | None = None) -> Tensor:
        """x L x, N, with its gradient, of a picture N C H W: the sum over its planes.

        first, last: of a strip, the photo's rows from `first`, with two more behind `last` as far
        as there are; counted are the links that begin in these rows. The energies of strips add up
        to the picture's.
        """
        last = self.links.shape[2] if last is None else last
        return _Energy.apply(picture, self, first, last)  # type: ignore[no-any-return]

    @torch.no_grad()
    def applied(self, picture: Tensor, first: int, last: int) -> Tensor:
        """Half the gradient of energy(): for the whole picture it is L x, of the shape of x."""
        found = torch.zeros_like(picture)
        for top, bottom in _chunks(last - first, picture):
            x, out = (p[..., top : bottom + REACH, :] for p in (picture, found))
            links = self.links[:, :, first + top : first + bottom]
            for index, link in enumerate(LINKS):
                rows = min(bottom - top, x.shape[2] - link[0])
                weight, _ = _ends(links[:, index : index + 1], link, rows)
                here, there = _ends(x, link, rows)
                change = there - here
                here, there = _ends(out, link, rows)
                here.addcmul_(change, weight, value=-1.0)
                there.addcmul_(change, weight)
        return found


class _Energy(torch.autograd.Function):
    """Without it autograd would keep a picture for each link."""

    @staticmethod
    def forward(
        ctx: Any, picture: Tensor, laplacian: MattingLaplacian, first: int, last: int
    ) -> Tensor:
        half = laplacian.applied(picture, first, last)
        ctx.save_for_backward(half)
        # Constants cost nothing; without them less is rounded.
        centered = picture - picture.mean(dim=(2, 3), keepdim=True)
        return centered.mul_(half).sum(dim=(1, 2, 3))

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None, None]:
        (half,) = ctx.saved_tensors
        return half * (2.0 * slopes[0].view(-1, 1, 1, 1)), None, None, None


def closed_form_alpha(
    photo: Tensor,
    trimap: Tensor,
    *,
    eps: float = EPS,
    tolerance: float = 1e-3,
    max_steps: int = 2000,
) -> Tensor:
    """How much of each pixel is foreground, 1 1 H W in [0,1], by closed-form matting.

    photo: 1 3 H W in [0,1]. trimap: 1 1 H W, 0 in the background, 1 in the foreground; what lies
    between is unknown, and the guess to begin with. Known pixels stay as they are. Takes time and
    memory by the number of unknown pixels. tolerance: of the residual, relative to that of a guess
    of 0, at which the conjugate gradients end; max_steps: or after so many.
    Raises ValueError where no pixel is known, for sizes that differ, and for photos of fewer than 3
    rows or columns.
    """
    if photo.shape[-2:] != trimap.shape[-2:]:
        raise ValueError(f"a trimap {tuple(trimap.shape)} for a photo {tuple(photo.shape)}")
    _windows(photo)
    values = _exact(trimap.detach()).flatten()
    photo = photo.to(values.device)
    unknown = ((values > 0) & (values < 1)).nonzero()[:, 0]
    if not len(unknown):
        return trimap.clone()
    if len(unknown) == len(values):
        raise ValueError("the trimap knows no pixel: it has neither background nor foreground")
    # Where a pixel stands among the unknown ones; the known ones behind them all.
    place = torch.full_like(values, len(unknown), dtype=torch.long)
    place[unknown] = torch.arange(len(unknown), device=place.device)
    if len(unknown) > FEW and min(photo.shape[-2:]) >= 2 * SIDE:
        guess = _coarse_alpha(photo, trimap, eps, tolerance, max_steps)
        if guess is not None:
            values[unknown] = guess.to(values).flatten()[unknown]
    weights, neighbors = _links_of(photo, unknown, place, eps)
    degree = weights.sum(dim=0)
    given = values.clone()
    given[unknown] = 0.0
    told = (weights * given[neighbors]).sum(dim=0)
    places = place[neighbors]

    def apply(alpha: Tensor) -> Tensor:
        return degree * alpha - (weights * F.pad(alpha, (0, 1))[places]).sum(dim=0)

    alpha = _conjugate_gradients(apply, told, degree, values[unknown], tolerance, max_steps)
    values[unknown] = alpha.clamp(0.0, 1.0)
    return values.view(trimap.shape).to(trimap)


def _coarse_alpha(
    photo: Tensor, trimap: Tensor, eps: float, tolerance: float, max_steps: int
) -> Tensor | None:
    """The alpha of the photo at half its size, enlarged: what spreads far is found there. None
    where no pixel is known in it."""
    half = [-(-side // 2) for side in photo.shape[-2:]]
    small, coarse = (F.interpolate(p, half, mode="area") for p in (photo, trimap))
    if not ((coarse <= 0) | (coarse >= 1)).any():
        return None
    found = closed_form_alpha(small, coarse, eps=eps, tolerance=tolerance, max_steps=max_steps)
    return F.interpolate(found, photo.shape[-2:], mode="bilinear")


def affine_smoothed(picture: Tensor, photo: Tensor, radius: float) -> Tensor:
    """The photo's colors, mapped by what maps them to the picture's, smoothed: N 3 H W in [0,1].

    In each window an affine map of the photo's colors is fitted to the picture; each pixel is
    mapped by a mean over all windows that it lies in. So the photo's detail returns, and what the
    picture has in its colors stays. "Deep Photo Style Transfer" ends likewise, but smooths its
    maps by a bilateral filter. picture, photo: N 3 H W in [0,1]. radius: of the windows, in pixels
    of a photo whose long side is 700; larger ones are fitted at that size.
    """
    size = photo.shape[-2], photo.shape[-1]
    share = min(1.0, PAPER_SIDE / max(size))
    side = max(1, round(radius * max(size) * share / PAPER_SIDE))
    guide, target = (_shrunk(p, share) for p in (photo, picture))
    factors, offset = _affine_fit(guide, target, side)
    result = torch.empty_like(picture)
    for plane in range(3):  # one at a time: of large pictures the maps are four times as large
        maps = torch.cat([factors[:, plane], offset[:, plane : plane + 1]], dim=1)
        if share < 1:
            maps = F.interpolate(maps, size, mode="bilinear")
        result[:, plane] = (maps[:, :3] * photo).sum(dim=1).add_(maps[:, 3]).clamp_(0.0, 1.0)
    return result


def _shrunk(picture: Tensor, share: float) -> Tensor:
    if share == 1:
        return picture
    size = tuple(max(1, round(side * share)) for side in picture.shape[-2:])
    return F.interpolate(picture, size, mode="area")


def _affine_fit(guide: Tensor, target: Tensor, radius: int) -> tuple[Tensor, Tensor]:
    """Factors N 3 3 h w (of the target's channel, of the guide's) and offsets N 3 h w: the
    coefficients of a guided filter, but for each pixel a mean over its windows by how well they
    fit, so that no glow surrounds what is bright."""
    means = box_mean(products(guide, target), radius)
    factors = slopes(means, SMOOTHING_EPS)
    center, wanted, _, crosses = torch.split(means, [3, 3, 6, 9], dim=1)
    offset = wanted - (factors * center[:, None]).sum(dim=2)
    covariance = unflatten(crosses, 1, (3, 3)) - wanted[:, :, None] * center[:, None]
    spread = box_mean(target.square(), radius) - wanted.square()
    misfit = (spread - (factors * covariance).sum(dim=2)).mean(dim=1, keepdim=True)
    trust = 1.0 / (misfit.clamp_min(0.0) + MISFIT)
    maps = torch.cat([factors.flatten(1, 2), offset], dim=1) * trust
    maps = box_mean(maps, radius) / box_mean(trust, radius)
    return unflatten(maps[:, :9], 1, (3, 3)), maps[:, 9:]


def _windows(photo: Tensor) -> tuple[int, int]:
    """Rows and columns of windows. Raises ValueError for none."""
    height, width = photo.shape[-2:]
    if min(height, width) < SIDE:
        raise ValueError(f"a photo of {width}x{height} pixels has no window of {SIDE}x{SIDE}")
    return height - REACH, width - REACH


def _exact(picture: Tensor) -> Tensor:
    """In float64: on the CPU where the device has none."""
    return (picture.cpu() if picture.device.type in NO_FLOAT64 else picture).double()


def _chunk(picture: Tensor) -> int:
    return CPU_CHUNK if picture.device.type == "cpu" else CHUNK


def _chunks(rows: int, picture: Tensor) -> Iterator[tuple[int, int]]:
    """Rows to be worked on at once: first, and first after them."""
    step = max(1, _chunk(picture) // (len(picture) * picture.shape[-1]))
    for first in range(0, rows, step):
        yield first, min(first + step, rows)


def _ends(planes: Tensor, link: tuple[int, int], rows: int) -> tuple[Tensor, Tensor]:
    """The pixels at which links begin, in the first `rows` rows, and those at which they end."""
    (down, right), width = link, planes.shape[-1]
    here, there = max(0, -right), max(0, right)
    return (
        planes[..., :rows, here : width - there],
        planes[..., down : down + rows, there : width - here],
    )


def _whitened(colors: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Colors 9 3 ... of windows, less the window's mean; and coordinates y, 9 4 ..., in which the
    weight that links two pixels of a window is y y'.

    In float64: of gray windows, and of flat ones, the covariance has but eps to be inverted by.
    """
    left = centered = colors - colors.mean(dim=0)
    scatter = {
        (i, j): (centered[:, i] * centered[:, j]).mean(dim=0)
        for i in range(3)
        for j in range(i + 1)
    }
    found = [torch.ones_like(centered[:, 0])]
    for k in range(3):  # Cholesky's factor of the covariance, channel by channel
        pivot = scatter[k, k] + eps / len(SHIFTS)
        found.append(left[:, k] / pivot.sqrt())
        left = left.clone()
        for i in range(k + 1, 3):
            factor = scatter[i, k] / pivot
            left[:, i] -= factor * left[:, k]
            for j in range(k + 1, i + 1):
                scatter[i, j] -= factor * scatter[j, k]
    return centered, torch.stack(found, dim=1) / SIDE


def _weights(whitened: Tensor) -> Iterator[tuple[int, int, int, Tensor]]:
    """Each pair of pixels in a window, the number of their link, and its weights in all windows."""
    for s, (row, column) in enumerate(SHIFTS):
        for t in range(s + 1, len(SHIFTS)):
            link = LINKS.index((SHIFTS[t][0] - row, SHIFTS[t][1] - column))
            yield s, t, link, (whitened[s] * whitened[t]).sum(dim=0)


def _links_of(photo: Tensor, chosen: Tensor, place: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """All links of some of a photo's pixels: weights 24 n, and the pixels at their other ends.

    chosen: n pixels by their numbers, row by row. place: of each pixel among the chosen; n if it is
    none of them.
    """
    height, width = photo.shape[-2:]
    after = torch.tensor([row * width + column for row, column in LINKS], device=photo.device)
    offsets = torch.cat([after, -after])
    weights = photo.new_zeros(len(offsets), len(chosen) + 1, dtype=torch.float64)
    wanted = (place < len(chosen)).to(photo).view(1, 1, height, width)
    rows, columns = F.max_pool2d(wanted, SIDE, 1)[0, 0].nonzero().unbind(dim=1)
    shifts = torch.tensor([row * width + column for row, column in SHIFTS], device=photo.device)
    step = _chunk(photo)
    for first in range(0, len(rows), step):
        corners = rows[first : first + step] * width + columns[first : first + step]
        pixels = corners + shifts[:, None]
        colors = photo[0].flatten(1)[:, pixels].transpose(0, 1).double()
        for s, t, link, weight in _weights(_whitened(colors, eps)[1]):
            weights[link].index_add_(0, place[pixels[s]], weight)
            weights[link + len(LINKS)].index_add_(0, place[pixels[t]], weight)
    # Beyond the photo all weights are 0.
    return weights[:, :-1], (chosen + offsets[:, None]).clamp(0, height * width - 1)


def _conjugate_gradients(
    apply: Callable[[Tensor], Tensor],
    wanted: Tensor,
    diagonal: Tensor,
    start: Tensor,
    tolerance: float,
    max_steps: int,
) -> Tensor:
    """Solve apply(x) = wanted, symmetric and positive definite, preconditioned by its diagonal."""
    x = start.clone()
    rest = wanted - apply(x)
    size = (wanted * wanted / diagonal).sum()
    direction = step = rest / diagonal
    error = (rest * step).sum()
    for _ in range(max_steps):
        if error <= tolerance**2 * size:
            break
        image = apply(direction)
        length = error / (direction * image).sum()
        x += length * direction
        rest -= length * image
        step = rest / diagonal
        before, error = error, (rest * step).sum()
        direction = step + (error / before) * direction
    return x
