"""The network that finds people, faces, the subject and the sky, in one pass over a small picture.

An encoder that begins with the layers of the compact encoder, blocks with a wide view at a
sixteenth of the size, and a decoder that adds the finer layers on the way up (Ronneberger et al.,
"U-Net", 2015; depthwise separable as in Sandler et al., "MobileNetV2", 2018).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

PLANES = ("person", "faces", "subject", "sky")
"""What the network finds, in the order of its planes."""
MULTIPLE = 32
"""Sides of its pictures are multiples of it."""
STEM = {
    "relu1_1": (3, 16), "relu1_2": (16, 16), "relu2_1": (16, 32), "relu2_2": (32, 32),
    "relu3_1": (32, 96), "relu3_2": (96, 96), "relu3_3": (96, 96), "relu3_4": (96, 96),
    "relu4_1": (96, 128),
}  # fmt: skip
"""Channels in and out of the layers that are the compact encoder's, by their names there."""


class Unit(nn.Sequential):
    """Convolution, batch norm and, unless it is ``linear``, ReLU."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        *,
        groups: int = 1,
        stride: int = 1,
        dilation: int = 1,
        linear: bool = False,
    ) -> None:
        convolution = nn.Conv2d(
            inputs,
            outputs,
            kernel,
            stride,
            dilation * (kernel // 2),
            groups=groups,
            dilation=dilation,
            bias=False,
        )
        end: list[nn.Module] = [] if linear else [nn.ReLU(inplace=True)]
        super().__init__(convolution, nn.BatchNorm2d(outputs), *end)


class Block(nn.Module):
    """Residual block with a wide depthwise kernel."""

    def __init__(self, dilation: int = 1) -> None:
        super().__init__()
        self.a = Unit(128, 224)
        self.b = Unit(224, 224, 5, groups=224, dilation=dilation)
        self.c = Unit(224, 128, linear=True)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.c(self.b(self.a(x))))


class MatteNetwork(nn.Module):
    """N 3 H W in [0, 1], sides multiples of MULTIPLE, to logits N 4 H/2 W/2, and N 4 whether there
    is any of it at all; in the order of PLANES."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.ModuleDict({name: nn.Conv2d(*io, 3) for name, io in STEM.items()})
        self.down = Unit(128, 128, 3, groups=128, stride=2)
        self.lift = Unit(128, 128)
        self.deep = nn.Sequential(Block(), Block(), Block(2), Block(4))
        self.whole, self.presence = nn.Linear(128, 128), nn.Linear(128, len(PLANES))
        self.p4, self.p8, self.p3, self.p2 = Unit(128, 64), Unit(128, 64), Unit(96, 48), Unit(32, 32)
        self.m8 = nn.Sequential(Unit(64, 64, 5, groups=64), Unit(64, 48))
        self.m4 = nn.Sequential(Unit(48, 48, 5, groups=48), Unit(48, 32))
        self.m2 = nn.Sequential(Unit(32, 32, 3, groups=32), Unit(32, 24), Unit(24, 24, 3))
        self.out = nn.Conv2d(24, len(PLANES), 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        two, four, eight = self._seen(x - 0.5)
        deep = self.deep(self.lift(self.down(eight)))
        whole = F.relu(self.whole(deep.mean((2, 3))))
        deep = F.relu(deep + whole[:, :, None, None])
        y = self.m8(_as_large(self.p4(deep), eight) + self.p8(eight))
        y = self.m4(_as_large(y, four) + self.p3(four))
        y = self.m2(_as_large(y, two) + self.p2(two))
        return self.out(y), self.presence(whole)

    def _seen(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The last features at a half, a quarter and an eighth of the size."""
        two = self._layers(F.max_pool2d(self._layers(x, "relu1_1", "relu1_2"), 2), *_block(2))
        four = self._layers(F.max_pool2d(two, 2), *_block(3))
        return two, four, self._layers(F.max_pool2d(four, 2), *_block(4))

    def _layers(self, x: Tensor, *names: str) -> Tensor:
        for name in names:
            x = F.relu(self.stem[name](F.pad(x, (1, 1, 1, 1), mode="replicate")))
        return x

    def folded(self) -> MatteNetwork:
        """The network for use: without gradients, its batch norms part of the convolutions."""
        self.eval().requires_grad_(False)
        for unit in [module for module in self.modules() if isinstance(module, Unit)]:
            convolution, norm = unit[0], unit[1]
            assert isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
            unit[0], unit[1] = fuse_conv_bn_eval(convolution, norm), nn.Identity()
        return self


def network_of(tensors: Mapping[str, Tensor]) -> MatteNetwork:
    """The network for use, from the tensors of its file. Raises RuntimeError for others."""
    network = MatteNetwork()
    network.load_state_dict({name: value.float() for name, value in tensors.items()}, strict=True)
    return network.folded()


def working_size(height: int, width: int, pixels: int) -> tuple[int, int]:
    """Height and width, multiples of MULTIPLE, of about so many pixels and the same proportions."""
    shrink = (pixels / (height * width)) ** 0.5
    high, wide = (max(1, round(side * shrink / MULTIPLE)) for side in (height, width))
    most = max(1, pixels // MULTIPLE**2)  # a strip of a picture is not to become a giant
    return min(high, most) * MULTIPLE, min(wide, most) * MULTIPLE


def _block(number: int) -> Sequence[str]:
    return [name for name in STEM if name.startswith(f"relu{number}_")]


def _as_large(x: Tensor, other: Tensor) -> Tensor:
    return F.interpolate(x, other.shape[2:], mode="bilinear", align_corners=False)


def state(network: MatteNetwork) -> dict[str, Tensor]:
    """What a file of the network holds: float16, without the counters of batch norms."""
    return {
        name: value.half()
        for name, value in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
