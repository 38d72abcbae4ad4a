"""VGG-19, VGG-16 and small networks of their shape: 3x3 convolutions in blocks, pooling between.

Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition" (2014).
`reluB_I` is the output of the I-th convolution of block B after its ReLU, `poolB` that of the
pooling after the block.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor, nn

from stylepipe.nst.files import safetensors_bytes, write_atomically

from .encoder import Architecture, Encoder
from .windows import pooled

FORMAT = "stylepipe-encoder"
Convolutions = Mapping[str, tuple[Tensor, Tensor]]
"""Layer name, shallow first -> weight (out in 3 3) and bias (out) of its convolution."""

# Gatys' layers. Strokes live in the third and fourth block; the shares are for losses relative to
# their targets. Those of crowsonkb's style-transfer-pytorch, 256 64 16 4 1, make up for absolute
# losses, which grow from block to block.
STYLE = MappingProxyType(
    {"relu1_1": 0.7, "relu2_1": 0.7, "relu3_1": 1.5, "relu4_1": 2.0, "relu5_1": 1.0}
)

LPIPS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")
POOLS = ("pool1", "pool2", "pool3", "pool4", "pool5")


def _architecture(title: str, blocks: tuple[int, ...]) -> Architecture:
    layers = (f"relu{b}_{i}" for b, n in enumerate(blocks, 1) for i in range(1, n + 1))
    return Architecture(title, tuple(layers), "relu4_2", STYLE, perceptual=LPIPS, pools=POOLS)


VGG16 = _architecture("VGG-16", (2, 2, 3, 3, 3))
VGG19 = _architecture("VGG-19", (2, 2, 4, 4, 4))
# Its first convolution has the normalization in it; bfloat16 is finest around zero.
COMPACT = Architecture(
    "the compact encoder", VGG19.layers, "relu4_2", STYLE, LPIPS, POOLS,
    mean=(0.5, 0.5, 0.5), std=(1, 1, 1),
)  # fmt: skip


def torchvision_indices(architecture: Architecture) -> dict[int, str]:
    """Index of each convolution in torchvision's `features` -> the name of its layer."""
    indices, position, block = {}, 0, "1"
    for name in architecture.layers:
        if name[4] != block:
            block, position = name[4], position + 1  # the pooling
        indices[position] = name
        position += 2  # the convolution and its ReLU
    return indices


def vgg(architecture: Architecture, tensors: Mapping[str, Tensor], pooling: str = "max") -> Encoder:
    """VGG-16 or VGG-19 of torchvision's tensors `features.0.weight` ..., as deep as they go.

    Raises ValueError if they are of something else.
    """
    names = torchvision_indices(architecture)
    present = sorted(
        int(k.split(".")[1]) for k in tensors if re.fullmatch(r"features\.\d+\.weight", k)
    )
    if present != list(names)[: len(present)]:
        raise ValueError(
            f"the convolutions {', '.join(map(str, present))} are not those of "
            f"{architecture.title}, which start {', '.join(map(str, list(names)[:6]))}"
        )
    convolutions = _convolutions(tensors, {f"features.{i}": names[i] for i in present})
    return _encoder(architecture, convolutions, "zeros", "replicate", pooling)


def compact(tensors: Mapping[str, Tensor], pooling: str = "max") -> Encoder:
    """An encoder that `save_encoder` wrote, as deep as its tensors go. Raises ValueError."""
    names = sorted(k[:-7] for k in tensors if re.fullmatch(r"relu\d_\d\.weight", k))
    return stack_encoder(_convolutions(tensors, {n: n for n in names}), pooling)


def pruned(tensors: Mapping[str, Tensor], pooling: str = "max") -> Encoder:
    """A pruned VGG-19 with keys conv0, conv11, conv12 ... of Wang et al., "Collaborative
    Distillation for Ultra-Resolution Universal Style Transfer" (2020). Raises ValueError.
    """
    keys = sorted(k[:-7] for k in tensors if re.fullmatch(r"conv[1-5][1-4]\.weight", k))
    if "conv0.bias" not in tensors:
        raise ValueError("no tensor 'conv0.bias'")
    convolutions = _convolutions(tensors, {k: f"relu{k[4]}_{k[5]}" for k in keys})
    # conv0 is 1x1, from RGB in [0,1] to the training's own input: exact under reflection.
    mix, shift = tensors["conv0.weight"][:, :, 0, 0].double(), tensors["conv0.bias"].double()
    weight, bias = convolutions["relu1_1"]
    convolutions["relu1_1"] = (
        torch.einsum("ochw,ci->oihw", weight.double(), mix).to(weight.dtype),
        (bias + weight.double().sum(dim=(2, 3)) @ shift).to(bias.dtype),
    )
    return stack_encoder(convolutions, pooling)


def stack_encoder(convolutions: Convolutions, pooling: str = "max") -> Encoder:
    """A compact encoder: reflection padding everywhere, input in [0,1]. Raises ValueError."""
    check_stack(convolutions)
    first = next(iter(convolutions))
    weight, bias = convolutions[first]
    shift = (weight.double() * COMPACT.mean[0]).sum(dim=(1, 2, 3))  # see COMPACT
    centered = {**convolutions, first: (weight, (bias + shift).to(bias.dtype))}
    return _encoder(COMPACT, centered, "reflect", "reflect", pooling)


def save_encoder(
    path: str | os.PathLike[str],
    convolutions: Convolutions,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a compact encoder that `load_encoder` reads.

    convolutions: layer name (relu1_1, relu1_2 ... shallow first) -> weight (out in 3 3) and bias
    of a 3x3 convolution with reflection padding and a ReLU, the first for RGB in [0,1]; a 2x2
    max pooling (ceil_mode) stands between two blocks. metadata: strings for readers of the
    file. The file appears whole or not at all. Raises ValueError if the stack does not fit.
    """
    check_stack(convolutions)
    tensors = {}
    for name, (weight, bias) in convolutions.items():
        tensors[f"{name}.weight"] = weight.detach().cpu().contiguous()
        tensors[f"{name}.bias"] = bias.detach().cpu().contiguous()
    data = safetensors_bytes(tensors, {**(metadata or {}), "format": FORMAT})
    write_atomically(Path(path), data)


def check_stack(convolutions: Convolutions) -> None:
    """Raises ValueError unless each convolution continues the one before."""
    names = list(convolutions)
    if not names or names[0] != "relu1_1" or names != sorted(names):
        raise ValueError(f"an encoder's layers are relu1_1, relu1_2 ... in this order, not {names}")
    channels = 3
    for name, (weight, bias) in convolutions.items():
        if name not in COMPACT.layers:
            raise ValueError(f"{name!r} is no layer of VGG-19, as relu1_1 is")
        if weight.shape[1:] != (channels, 3, 3) or bias.shape != weight.shape[:1]:
            raise ValueError(
                f"{name}: a weight of shape {tuple(weight.shape)} and a bias of shape "
                f"{tuple(bias.shape)} are no 3x3 convolution of {channels} channels"
            )
        channels = len(weight)


def _convolutions(
    tensors: Mapping[str, Tensor], names: Mapping[str, str]
) -> dict[str, tuple[Tensor, Tensor]]:
    """names: what the tensors of a convolution are called -> the name of its layer."""
    missing = [f"{key}.bias" for key in names if f"{key}.bias" not in tensors]
    if missing:
        raise ValueError(f"no tensor {missing[0]!r}")
    found = {n: (tensors[f"{key}.weight"], tensors[f"{key}.bias"]) for key, n in names.items()}
    check_stack(found)
    return found


def _encoder(
    architecture: Architecture,
    convolutions: Convolutions,
    padding: Literal["zeros", "reflect"],
    first: Literal["replicate", "reflect"],
    pooling: str,
) -> Encoder:
    stages: dict[str, nn.Module] = {}
    pools: dict[str, str] = {}
    block = "1"
    for name, (weight, bias) in convolutions.items():
        parts: list[nn.Module] = []
        if name[4] != block:
            pools[name], block = f"pool{block}", name[4]
            parts.append(_pool(pooling))
        convolution = nn.Conv2d(
            weight.shape[1], weight.shape[0], 3, padding=1, device="meta",
            padding_mode=padding if stages else first,
        )  # fmt: skip
        convolution.load_state_dict({"weight": weight, "bias": bias}, assign=True)
        # In place is safe: a convolution's backward pass needs its input, not its output.
        stages[name] = nn.Sequential(*parts, convolution, nn.ReLU(inplace=True))
    end = _pool(pooling) if name == architecture.layers[-1] else None
    return Encoder(architecture, stages, pools, end)


def _pool(pooling: str) -> nn.Module:
    # torchvision's VGG drops an odd last row or column. Here it counts, so that the picture's
    # frame is judged like the rest; small encoders were trained this way.
    return pooled(nn.MaxPool2d(2, ceil_mode=True), pooling)
