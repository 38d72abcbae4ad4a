"""SqueezeNet, ResNet-50 and DenseNet-121, made of torchvision's modules.

Iandola et al., "SqueezeNet" (2016); He et al., "Deep Residual Learning for Image Recognition"
(2016); Huang et al., "Densely Connected Convolutional Networks" (2017).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .encoder import Architecture, Encoder
from .windows import pooled


@dataclass(frozen=True)
class CutModel:
    """How to cut one of torchvision's models into stages."""

    architecture: Architecture
    model: str
    """The name of torchvision's function that builds it."""
    stages: Mapping[str, tuple[str, ...]]
    """Layer -> names of the model's parts that lead to it from the layer before."""


def _cut(
    title: str,
    model: str,
    content: str,
    style: Mapping[str, float],
    stages: Mapping[str, str],
    perceptual: tuple[str, ...] = (),
) -> CutModel:
    split = {layer: tuple(parts.split()) for layer, parts in stages.items()}
    return CutModel(Architecture(title, tuple(stages), content, style, perceptual), model, split)


def _squeezenet(title: str, model: str, stages: Mapping[str, str]) -> CutModel:
    # All alike: with VGG's steep weights the first layer's fine grain is nearly all one sees.
    style = dict.fromkeys(("relu1", "fire3", "fire5", "fire7", "fire9"), 1.0)
    named = {
        layer: " ".join(f"features.{i}" for i in parts.split()) for layer, parts in stages.items()
    }
    # Those of LPIPS, as of version 1.1.
    seven = ("relu1", "fire3", "fire5", "fire6", "fire7", "fire8", "fire9")
    return _cut(title, model, "fire5", style, named, seven)


SQUEEZENET1_0 = _squeezenet(
    "SqueezeNet 1.0",
    "squeezenet1_0",
    {
        "relu1": "0 1", "fire2": "2 3", "fire3": "4", "fire4": "5", "fire5": "6 7", "fire6": "8",
        "fire7": "9", "fire8": "10", "fire9": "11 12",
    },
)  # fmt: skip
SQUEEZENET1_1 = _squeezenet(
    "SqueezeNet 1.1",
    "squeezenet1_1",
    {
        "relu1": "0 1", "fire2": "2 3", "fire3": "4", "fire4": "5 6", "fire5": "7",
        "fire6": "8 9", "fire7": "10", "fire8": "11", "fire9": "12",
    },
)  # fmt: skip
RESNET50 = _cut(
    "ResNet-50",
    "resnet50",
    "layer2",
    dict.fromkeys(("relu1", "layer1", "layer2", "layer3"), 1.0),
    {
        "relu1": "conv1 bn1 relu",
        "layer1": "maxpool layer1",
        "layer2": "layer2",
        "layer3": "layer3",
        "layer4": "layer4",
    },
)
# A block's output is a heap of maps of all sizes, some below zero; its layer here is what the next
# convolution sees of it: behind the normalization and the ReLU that follow.
DENSENET121 = _cut(
    "DenseNet-121",
    "densenet121",
    "block2",
    dict.fromkeys(("relu0", "block1", "block2", "block3"), 1.0),
    {
        layer: " ".join(f"features.{part}" for part in parts.split())
        for layer, parts in {
            "relu0": "conv0 norm0 relu0",
            "block1": "pool0 denseblock1 transition1.norm transition1.relu",
            "block2": "transition1.conv transition1.pool denseblock2 "
            "transition2.norm transition2.relu",
            "block3": "transition2.conv transition2.pool denseblock3 "
            "transition3.norm transition3.relu",
            # The last ReLU is torchvision's forward's own; any of its kind serves.
            "block4": "transition3.conv transition3.pool denseblock4 norm5 relu0",
        }.items()
    },
)


def encoder(cut: CutModel, tensors: Mapping[str, Tensor], pooling: str = "max") -> Encoder:
    """An encoder of a state dictionary of torchvision's model, as deep as its tensors go.

    Raises ValueError where they are of something else.
    """
    import torchvision

    with torch.device("meta"):
        model = getattr(torchvision.models, cut.model)(weights=None).eval()
    layers = fill(model, cut.architecture.title, cut.stages, tensors)
    _fuse(model)
    stages = {}
    for layer in layers:
        parts = [model.get_submodule(name) for name in cut.stages[layer]]
        stages[layer] = nn.Sequential(*(pooled(part, pooling) for part in parts))
    first = next(iter(stages.values()))
    first[0] = _replicated(first[0])
    return Encoder(cut.architecture, stages)


def fill(
    model: nn.Module,
    title: str,
    stages: Mapping[str, tuple[str, ...]],
    tensors: Mapping[str, Tensor],
) -> list[str]:
    """Put the tensors into a model that is on the meta device; return the stages that are full.

    Where the tensors end before the model does, the rest stays empty. Raises ValueError that names
    the first tensor which is missing before, or of another shape.
    """
    tensors = {_modern(key): value for key, value in tensors.items()}
    # Old files lack the count of batches seen, which nobody needs here.
    expected = {k: v for k, v in model.state_dict().items() if not k.endswith("_tracked")}
    keys = {
        layer: [k for k in expected if any(k == p or k.startswith(f"{p}.") for p in parts)]
        for layer, parts in stages.items()
    }
    order = [key for layer in keys for key in keys[layer]]
    present = [i for i, key in enumerate(order) if key in tensors]
    if present[-1:] != [len(present) - 1]:
        missing = next(key for key in order if key not in tensors)
        raise ValueError(f"{title}'s tensor {missing!r} is missing")
    for key in order[: len(present)]:
        if tensors[key].shape != expected[key].shape:
            raise ValueError(
                f"the tensor {key!r} has shape {tuple(tensors[key].shape)}; "
                f"{title} has {tuple(expected[key].shape)} there"
            )
    full = [layer for layer in keys if all(key in tensors for key in keys[layer])]
    if not full:
        raise ValueError(f"its tensors end before {title}'s first layer, {next(iter(keys))!r}")
    model.load_state_dict({k: tensors[k] for n in full for k in keys[n]}, strict=False, assign=True)
    return full


def _modern(key: str) -> str:
    """The present name of a tensor in torchvision's older files."""
    key = re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\.", r"\1\2.", key)
    return key.replace(".mlp.linear_1.", ".mlp.0.").replace(".mlp.linear_2.", ".mlp.3.")


# A convolution and the normalization right behind it, by their names in torchvision's modules.
_PAIRS = (
    ("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3"), ("0", "1"),
    ("conv0", "norm0"), ("conv1", "norm2"),
)  # fmt: skip


def _fuse(model: nn.Module) -> None:
    """Put batch normalizations into the convolutions before them: less work, less memory."""
    for module in list(model.modules()):
        parts = dict(module.named_children())
        for convolution, norm in _PAIRS:
            before, behind = parts.get(convolution), parts.get(norm)
            if isinstance(before, nn.Conv2d) and isinstance(behind, nn.BatchNorm2d):
                setattr(module, convolution, fuse_conv_bn_eval(before, behind))
                setattr(module, norm, nn.Identity())
        if isinstance(module, nn.BatchNorm2d):
            module.num_batches_tracked = None  # of use in training only, and not filled


def _replicated(convolution: nn.Module) -> nn.Conv2d:
    """The same convolution, centered on its pixel, of the picture extended by replication."""
    assert isinstance(convolution, nn.Conv2d)
    size, stride = convolution.kernel_size[0], convolution.stride[0]
    result = nn.Conv2d(
        convolution.in_channels, convolution.out_channels, size, stride, size // 2,
        padding_mode="replicate", device="meta",
    )  # fmt: skip
    result.load_state_dict(convolution.state_dict(), assign=True)
    return result
