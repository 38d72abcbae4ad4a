"""Statistics of films that hold still: means over the last frames, and even exposure."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

SAMPLE = 1 << 14
"""Most pixels of a frame by which its colors are judged."""
CELLS = 24
"""Parts of a side of the picture by which exposures are compared."""
DARK = 0.02
"""Added to both sides of a comparison: the ratio of two blacks says nothing."""
MOST = 1.5
"""Most by which a frame is made brighter or darker."""


def thumbnail(picture: Tensor) -> Tensor:
    """The colors of a picture 1 3 H W in its parts, 3 n."""
    return F.adaptive_avg_pool2d(picture, CELLS)[0].flatten(1).float()


def evened(picture: Tensor, frames: Sequence[Tensor], share: float) -> Tensor:
    """The picture 1 3 H W in the mean exposure of the last frames, whose thumbnails are given, its
    own first. share: 0 to 1, how far.

    A frame is brighter than another if the median of its parts is: what merely enters or moves
    covers less than half of them.
    """
    if len(frames) == 1:
        return picture
    ratios = [((each + DARK) / (frames[0] + DARK)).median(dim=1).values for each in frames]
    gain = averaged(ratios).clamp(1 / MOST, MOST)
    return (picture * (1 + share * (gain - 1)).view(1, 3, 1, 1)).clamp(0.0, 1.0)


def averaged(frames: Sequence[Tensor], sizes: Sequence[Tensor] | None = None) -> Tensor:
    """The mean of values K ... of successive frames, the present one first: the older a frame, the
    less it counts, so that none leaves abruptly. sizes: K of each, which weight it as well.
    """
    ages = torch.arange(len(frames), 0, -1).to(frames[0])[:, None]
    weights = ages if sizes is None else ages * torch.stack(list(sizes))
    weights = weights / weights.sum(dim=0)
    weights = weights.view(*weights.shape, *[1] * (frames[0].ndim - 1))
    return (torch.stack(list(frames)) * weights).sum(dim=0)
