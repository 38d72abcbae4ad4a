"""Instance norm with one gain and shift per picture and channel, quick to train."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _InstanceNorm(torch.autograd.Function):
    """The backward pass of PyTorch's group norm took half of a training step in channels-last;
    written as two sums and two fused multiply-adds it takes a tenth.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
        normal, rstd = _by_group_norm(x, eps) if x.is_cpu else _by_moments(x, eps)
        ctx.save_for_backward(normal, gamma, rstd)
        return torch.addcmul(_map(beta, x), normal, _map(gamma, x))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        normal, gamma, rstd = ctx.saved_tensors
        dy = grads[0].contiguous(memory_format=_layout(normal))
        size = normal.shape[2] * normal.shape[3]
        d_beta, d_gamma = _sum(dy), _sum(dy * normal)
        scale = gamma * rstd.to(d_beta.dtype)
        dx = torch.addcmul(
            _map(-scale * d_beta / size, dy), normal, _map(-scale * d_gamma / size, dy)
        )
        dx = dx.addcmul_(dy, _map(scale, dy))
        return dx, d_gamma.to(gamma.dtype), d_beta.to(gamma.dtype), None


def _by_group_norm(x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """The normalized maps (N C H W) and one over their deviations (N C)."""
    n, c, h, w = x.shape
    # Group norm with one channel a group is instance norm, without its copy in channels-last.
    normal, _, rstd = torch.native_group_norm(x, None, None, n, c, h * w, c, eps)
    return normal, rstd


def _by_moments(x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """As _by_group_norm, which CUDA and MPS do not have for channels-last."""
    exact = x.to(_summed(x.dtype))
    var, mean = torch.var_mean(exact, (2, 3), correction=0)
    rstd = (var + eps).rsqrt()
    normal = (exact - mean[:, :, None, None]) * rstd[:, :, None, None]
    return normal.to(x.dtype), rstd


def _summed(dtype: torch.dtype) -> torch.dtype:
    """The type in which sums of such numbers are made: float32 or more."""
    return torch.promote_types(dtype, torch.float32)


def _layout(x: Tensor) -> torch.memory_format:
    last = x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format


def _map(values: Tensor, x: Tensor) -> Tensor:
    return values.to(x.dtype)[:, :, None, None]


def _sum(x: Tensor) -> Tensor:
    """N C H W -> N C. On the CPU as a product with ones: quick, and it adds up in float32."""
    if not x.is_cpu:
        return x.sum((2, 3), dtype=_summed(x.dtype))
    flat = x.flatten(2)
    ones = flat.new_ones(1, flat.shape[2], 1).expand(flat.shape[0], -1, -1)
    total = (flat @ ones)[:, :, 0]
    return total.to(_summed(total.dtype))


def instance_norm(x: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
    """Normalize each map of x (N C H W), then scale by gamma and shift by beta (N C).

    Ulyanov, Vedaldi, Lempitsky, "Instance Normalization" (2016), eq. 1. Raises ValueError where
    a map has a single position: it has no deviation.
    """
    if x.shape[2] * x.shape[3] < 2:
        raise ValueError("instance norm needs maps of two positions or more")
    result: Tensor = _InstanceNorm.apply(x, gamma, beta, eps)
    return result


def channel_moments(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of each channel of 1 C H W, C each, in float32; without gradients."""
    if maps.is_cpu:
        zeros = torch.zeros(maps.shape[1])
        mean, var = torch.batch_norm_update_stats(maps, zeros, zeros.clone(), 0.0)
        return mean, var
    var, mean = torch.var_mean(maps[0].float(), (1, 2), correction=0)
    return mean, var
