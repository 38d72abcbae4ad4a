"""How far pictures are apart in style."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from stylepipe.nst.encoders import Encoder
from stylepipe.nst.losses import exact


@torch.inference_mode()
def gram_matrices(encoder: Encoder, pictures: Tensor) -> list[Tensor]:
    """G = F F^T / (h w) of N3HW in [0, 1], N C C for each layer of the encoder's style.

    F (C x hw) are the features of a layer. Raises ValueError for pictures too small for them.
    """
    layers = encoder.default_style
    found = encoder(pictures, layers)
    return [_gram(found[layer]) for layer in layers]


def style_distance(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """Relative distance of Gram matrices, each N C C -> N; 0 for those of equal pictures.

    The mean over the layers of ``|found - wanted| / |wanted|`` in Frobenius norms. Changing nothing
    is best for it, and it hardly sees where in a picture something is.
    """
    return torch.stack([_apart(f, w) for f, w in zip(found, wanted, strict=True)]).mean(dim=0)


@torch.inference_mode()
def gram_distances(features: Tensor, wanted: Tensor) -> Tensor:
    """The same of the features of one layer, N C H W each, of any two sizes -> N."""
    return _apart(_gram(features), _gram(wanted))


def _apart(found: Tensor, wanted: Tensor) -> Tensor:
    change: Tensor = torch.linalg.vector_norm(found - wanted, dim=(1, 2))
    size: Tensor = torch.linalg.vector_norm(wanted, dim=(1, 2))
    return change / size.clamp_min(1e-12)


def _gram(features: Tensor) -> Tensor:
    flat = exact(features).flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[2]
