"""ViT-B/16, made of torchvision's modules.

Dosovitskiy et al., "An Image is Worth 16x16 Words" (2021).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .convnets import fill
from .encoder import Architecture, Encoder
from .windows import Window

if TYPE_CHECKING:
    from torchvision.models import VisionTransformer

BLOCKS = tuple(f"block{i}" for i in range(1, 13))
VIT_B_16 = Architecture(
    "ViT-B/16", BLOCKS, "block6", {"block1": 1.0, "block3": 1.0, "block6": 1.0, "block9": 1.0}
)
STAGES = {
    layer: (
        *(() if i else ("conv_proj", "class_token", "encoder.pos_embedding")),
        f"encoder.layers.encoder_layer_{i}",
    )
    for i, layer in enumerate(BLOCKS)
}


class ViTEncoder(Encoder):
    """Its layers are the tokens behind each block, laid out as a map of one feature per 16x16
    patch; the class token takes part, and is left out. A last patch that the picture fills only
    partly is filled by replication, and the position embeddings are stretched to the picture.
    """

    tileable = False

    def __init__(self, model: VisionTransformer, layers: list[str]) -> None:
        blocks = cast("list[nn.Module]", list(model.encoder.layers))
        super().__init__(VIT_B_16, dict(zip(layers, blocks, strict=False)))
        self.patches = cast("nn.Conv2d", model.conv_proj)
        self.class_token, self.positions = model.class_token, model.encoder.pos_embedding
        side = self.patches.kernel_size[0]
        self.windows = {name: [] for name in layers}
        self.windows[layers[0]] = [Window(side, side, ceil=True)]
        self.requires_grad_(False)

    def placed(self, device: torch.device | str, dtype: torch.dtype) -> Encoder:
        """Itself, on a device, computing in a type; the normalization stays exact."""
        super().placed(device, dtype)
        self.patches.to(dtype)
        for token in (self.class_token, self.positions):
            token.data = token.data.to(dtype)
        return self

    def receptive_radius(self, layer: str) -> int:
        """Always raises ValueError: attention sees the whole picture."""
        self.check([layer])
        raise ValueError(
            f"every feature of {self.title} depends on the whole picture: it cannot be seen in "
            "parts; use another encoder"
        )

    def _maps(self, x: Tensor) -> Iterator[tuple[str, Tensor]]:
        side = self.patches.kernel_size[0]
        height, width = x.shape[2:]
        x = F.pad(x, (0, -width % side, 0, -height % side), mode="replicate")
        x = self.patches(x)
        n, channels, *grid = x.shape
        tokens = x.flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(n, -1, -1), tokens], dim=1)
        tokens = tokens + self._stretched(grid)
        for name, block in zip(self.layers, self.stages, strict=True):
            tokens = block(tokens)
            yield name, tokens[:, 1:].transpose(1, 2).reshape(n, channels, *grid)

    def _stretched(self, grid: list[int]) -> Tensor:
        """The position embeddings of a grid of patches, 1 (1 + h * w) C."""
        first, others = self.positions[:, :1], self.positions[:, 1:]
        side = round(others.shape[1] ** 0.5)
        square = others.transpose(1, 2).unflatten(2, (side, side))
        wide = F.interpolate(square.float(), size=grid, mode="bicubic", antialias=True)
        return torch.cat([first, wide.flatten(2).transpose(1, 2).to(first.dtype)], dim=1)


def vit(tensors: Mapping[str, Tensor], pooling: str = "max") -> Encoder:
    """ViT-B/16 of torchvision's state dictionary, as deep as its tensors go.

    It has no pooling. Raises ValueError if they are of something else.
    """
    from torchvision.models import vit_b_16

    with torch.device("meta"):
        model = vit_b_16(weights=None)
    return ViTEncoder(model, fill(model, "ViT-B/16", STAGES, tensors))
