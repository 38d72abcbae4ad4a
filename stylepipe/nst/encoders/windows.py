"""Convolutions and poolings, as far as positions are concerned."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Window:
    """A square that slides over a map."""

    kernel: int
    stride: int = 1
    padding: int = 0
    ceil: bool = False
    """Whether a window that lies only partly on the map counts."""
    least: int = 1
    """The smallest side of a map that it takes."""

    def size(self, side: int) -> int:
        """Features along a side of so many; 0 if the map is too small. As torch counts."""
        room = side + 2 * self.padding - self.kernel + (self.stride - 1 if self.ceil else 0)
        count = room // self.stride + 1
        if self.ceil and (count - 1) * self.stride >= side + self.padding:
            count -= 1
        return max(count, 0)

    def average(self, x: Tensor) -> Tensor:
        """The mean over each window, of what is on the map, N C H W -> N C h w."""
        return F.avg_pool2d(
            x, self.kernel, self.stride, self.padding, self.ceil, count_include_pad=False
        )

    def least_of(self, x: Tensor) -> Tensor:
        """The minimum over each window, of what is on the map, N C H W -> N C h w."""
        return -F.max_pool2d(-x, self.kernel, self.stride, self.padding, ceil_mode=self.ceil)


class Pooling(nn.Module):
    """Average or L2 pooling in place of a maximum.

    Scaled, so that the maps keep about the size that the weights behind them were trained on:
    averages by 2, root mean squares by 1.56, which is 0.78 of the 2x2 window's L2 norm (figures of
    crowsonkb's style-transfer-pytorch). The same serve SqueezeNet's 3x3 windows, whose
    maxima are 1.6 to 2.4 and 1.5 to 1.9 times as large on a photo.
    """

    def __init__(self, kind: str, window: Window) -> None:
        super().__init__()
        self.kind, self.window = kind, window

    def forward(self, x: Tensor) -> Tensor:
        """N C H W -> N C h w."""
        if self.kind == "average":
            return 2.0 * self.window.average(x)
        # In float32: squares leave float16's range. The small constant keeps the root's gradient
        # finite where they vanish.
        square = self.window.average(x.float().square()) + 1e-12
        return (1.56 * square.sqrt()).to(x.dtype)


def windows(module: nn.Module) -> list[Window]:
    """The windows of a module's convolutions and poolings, in the order in which they stand.

    Of branches that run side by side (a shortcut, 1x1 convolutions), only those count that look
    at neighbors.
    """
    return [w for part in module.modules() if (w := _window(part)) and w.kernel > 1]


def _window(module: nn.Module) -> Window | None:
    if isinstance(module, Pooling):
        return module.window
    if isinstance(module, nn.Conv2d):
        padding = int(module.padding[0])
        least = padding + 1 if module.padding_mode == "reflect" else 1
        return Window(module.kernel_size[0], module.stride[0], padding, least=least)
    if isinstance(module, (nn.MaxPool2d, nn.AvgPool2d)):
        kernel, stride, padding = (
            value if isinstance(value, int) else value[0]
            for value in (module.kernel_size, module.stride, module.padding)
        )
        return Window(kernel, stride, padding, module.ceil_mode)
    return None


def pooled(module: nn.Module, kind: str) -> nn.Module:
    """The module, or, if it is a max pooling and another kind is wanted, that one in its place."""
    if kind == "max" or not isinstance(module, nn.MaxPool2d):
        return module
    window = _window(module)
    assert window is not None
    return Pooling(kind, window)
