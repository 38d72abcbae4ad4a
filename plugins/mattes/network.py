"""The network that finds people, faces, the subject and the sky, in one pass over a small picture.

Its encoder began as the compact encoder of the package and was trained on with the rest. Beyond it
there are blocks with a wide view at a sixteenth of the size, and a decoder that adds the finer
layers on the way up (Ronneberger et al., "U-Net", 2015; bottlenecks after He et al., "Deep Residual
Learning", 2016, with the dilations of Yu and Koltun, 2016).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

FORMAT_VERSION = "2"
"""Of its file."""
PLANES = ("person", "faces", "subject", "sky")
"""What the network finds, in the order of its planes."""
MULTIPLE = 32
"""Sides of its pictures are multiples of it."""
ENCODER = {
    "relu1_1": 16, "relu1_2": 16, "relu2_1": 32, "relu2_2": 32,
    "relu3_1": 64, "relu3_2": 64, "relu3_3": 64, "relu3_4": 64,
    "relu4_1": 128, "relu4_2": 128, "relu4_3": 128, "relu4_4": 128, "relu5_1": 128,
}  # fmt: skip
"""Layers of the encoder, with their channels."""
SCALE = ".scale"
"""Ends the name of what a convolution in 8 bits is multiplied by."""
DEEP, NARROW = 160, 72
"""Channels of the blocks, and within them."""
DILATIONS = (1, 2, 4, 2, 1)
"""Of the blocks."""


class MatteEncoder(nn.Module):
    """In the shape of the compact encoder: pictures N 3 H W in [0, 1] to its layers."""

    def __init__(self) -> None:
        super().__init__()
        inputs = 3
        for name, outputs in ENCODER.items():
            self.add_module(name, nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode="reflect"))
            inputs = outputs

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        seen, block = {}, "1"
        for name, convolution in self.named_children():
            if name[4] != block:
                x, block = F.max_pool2d(x, 2), name[4]
            x = seen[name] = F.relu(convolution(x))
        return seen


class Unit(nn.Sequential):
    """Convolution, batch norm and, unless it is ``linear``, ReLU."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, dilation: int = 1, linear: bool = False
    ) -> None:
        padding = dilation * (kernel // 2)
        convolution = nn.Conv2d(
            inputs, outputs, kernel, padding=padding, dilation=dilation, bias=False
        )
        end: list[nn.Module] = [] if linear else [nn.ReLU(inplace=True)]
        super().__init__(convolution, nn.BatchNorm2d(outputs), *end)


class Block(nn.Module):
    """Residual bottleneck that looks as far around as its dilation says."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.a = Unit(DEEP, NARROW)
        self.b = Unit(NARROW, NARROW, 3, dilation=dilation)
        self.c = Unit(NARROW, DEEP, linear=True)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.c(self.b(self.a(x))))


class MatteNetwork(nn.Module):
    """Pictures N 3 H W in [0, 1] to logits N 4 H/2 W/2, and N 4 whether there is any of it at all;
    in the order of PLANES."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = MatteEncoder()
        self.entry = Unit(ENCODER["relu5_1"] + ENCODER["relu4_4"], DEEP)
        self.deep = nn.Sequential(*map(Block, DILATIONS))
        self.whole, self.presence = nn.Linear(DEEP, DEEP), nn.Linear(DEEP, len(PLANES))
        self.p16, self.p8 = Unit(DEEP, 64), Unit(ENCODER["relu4_4"] + ENCODER["relu4_1"], 64)
        self.p4, self.p2 = Unit(ENCODER["relu3_4"], 48), Unit(ENCODER["relu2_2"], 16)
        self.m8, self.m4, self.m2 = Unit(64, 48, 3), Unit(48, 16, 3), Unit(16, 16, 3)
        self.out = nn.Conv2d(16, len(PLANES), 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        seen = self.encoder(x)
        two, four, eight = seen["relu2_2"], seen["relu3_4"], seen["relu4_4"]
        deep = self.entry(torch.cat([seen["relu5_1"], F.avg_pool2d(eight, 2)], 1))
        deep = self.deep(deep)
        whole = F.relu(self.whole(deep.mean((2, 3))))
        y = self.p16(F.relu(deep + whole[:, :, None, None]))
        y = self.m8(_as_large(y, eight) + self.p8(torch.cat([eight, seen["relu4_1"]], 1)))
        y = self.m4(_as_large(y, four) + self.p4(four))
        y = self.m2(_as_large(y, two) + self.p2(two))
        return self.out(y), self.presence(whole)

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
    values = {}
    for name, value in tensors.items():
        if not name.endswith(SCALE):
            scale = tensors.get(name + SCALE)
            values[name] = value.float() if scale is None else value * scale[:, None, None, None]
    network = MatteNetwork()
    network.load_state_dict(values, strict=True)
    return network.folded()


def working_size(height: int, width: int, pixels: int) -> tuple[int, int]:
    """Height and width, multiples of MULTIPLE, of about so many pixels and the same proportions."""
    shrink = (pixels / (height * width)) ** 0.5
    high, wide = (max(1, round(side * shrink / MULTIPLE)) for side in (height, width))
    most = max(1, pixels // MULTIPLE**2)  # a strip of a picture is not to become a giant
    return min(high, most) * MULTIPLE, min(wide, most) * MULTIPLE


def _as_large(x: Tensor, other: Tensor) -> Tensor:
    return F.interpolate(x, other.shape[2:], mode="bilinear", align_corners=False)


def state(network: MatteNetwork) -> dict[str, Tensor]:
    """What a file of the network holds: convolutions in 8 bits, with a scale for each channel, the
    rest in float16, without the counters of batch norms."""
    held: dict[str, Tensor] = {}
    for name, value in network.state_dict().items():
        if value.ndim == 4:
            scale = value.abs().amax(dim=(1, 2, 3)).clamp_min(1e-12) / 127
            held[name] = (value / scale[:, None, None, None]).round().to(torch.int8)
            held[name + SCALE] = scale
        elif not name.endswith("num_batches_tracked"):
            held[name] = value.half()
    return held
