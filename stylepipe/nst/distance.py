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
    apart = [
        torch.linalg.vector_norm(f - w, dim=(1, 2))
        / torch.linalg.vector_norm(w, dim=(1, 2)).clamp_min(1e-12)
        for f, w in zip(found, wanted, strict=True)
    ]
    return torch.stack(apart).mean(dim=0)


def _gram(features: Tensor) -> Tensor:
    flat = exact(features).flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[2]
