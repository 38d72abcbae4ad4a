"""Feature encoders: VGG-16, VGG-19 and small VGG-shaped networks, by the field's layer names.

Simonyan, Zisserman, "Very Deep Convolutional Networks" (2014). `reluB_I` is the output of the
I-th convolution of block B after its ReLU; a 2x2 max pooling stands between two blocks.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Convolutions in each block.
VGG16_BLOCKS = (2, 2, 3, 3, 3)
VGG19_BLOCKS = (2, 2, 4, 4, 4)
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
FORMAT = "stylepipe-encoder"


class Encoder(nn.Module):
    """A fixed stack of 3x3 convolutions that maps pictures to named feature maps.

    layers: the names it knows, shallow first. Its weights never receive gradients; a picture
    does. The input normalisation is part of the first convolution.
    """

    def __init__(
        self,
        convolutions: Mapping[str, tuple[Tensor, Tensor]],
        *,
        reflect: bool,
    ) -> None:
        """convolutions: layer name -> (weight, bias), for input in [0,1]; a name's block decides
        where a pooling comes before it. reflect: reflection padding in every layer, else zeros
        in all but the first (there the normalised input would get a grey-less, dark frame).
        """
        super().__init__()
        self.layers = tuple(convolutions)
        self.reflect = reflect
        for index, (name, (weight, bias)) in enumerate(convolutions.items()):
            if index == 0:
                # The picture comes in around zero, where bfloat16 is fine: see forward.
                bias = bias + 0.5 * weight.sum(dim=(1, 2, 3))
            self.register_buffer(f"{name}_weight", weight.detach().clone())
            self.register_buffer(f"{name}_bias", bias.detach().clone())

    @property
    def dtype(self) -> torch.dtype:
        """The type it computes in."""
        return self.get_buffer(f"{self.layers[0]}_weight").dtype

    def check(self, layers: Iterable[str]) -> None:
        """Raise ValueError on a layer that this encoder does not have."""
        for layer in layers:
            if layer not in self.layers:
                raise ValueError(
                    f"the encoder has no layer {layer!r}: the deepest is {self.layers[-1]!r}"
                )

    def forward(self, x: Tensor, layers: Iterable[str]) -> dict[str, Tensor]:
        """x: N 3 H W in [0,1]. Returns one N C H W map per wanted layer; goes no deeper than
        the deepest of them. Raise ValueError on an unknown layer.
        """
        wanted = set(layers)
        self.check(wanted)
        found: dict[str, Tensor] = {}
        x = (x - 0.5).to(self.dtype).contiguous(memory_format=torch.channels_last)
        block = self.layers[0][4]
        for index, name in enumerate(self.layers):
            if len(found) == len(wanted):
                break
            if name[4] != block:
                block = name[4]
                # As the small encoders were trained. torchvision's VGG drops an odd last row or
                # column instead: here it counts, so that the frame is judged like the rest.
                x = F.max_pool2d(x, 2, ceil_mode=True)
            weight, bias = self.get_buffer(f"{name}_weight"), self.get_buffer(f"{name}_bias")
            if self.reflect or index == 0:
                mode = "reflect" if min(x.shape[-2:]) > 1 else "replicate"
                x = F.conv2d(F.pad(x, (1, 1, 1, 1), mode=mode), weight, bias)
            else:
                x = F.conv2d(x, weight, bias, padding=1)
            # In place is safe: a convolution's backward pass needs its input, not its output.
            x = F.relu_(x)
            if name in wanted:
                found[name] = x
        return found


def read_tensors(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The named tensors of a safetensors file or of a torch checkpoint of plain tensors.

    Raise FileNotFoundError where there is no file, ValueError where it is something else.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such weights file: {path}")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(f"{path}: not a safetensors file, or truncated ({error})") from error
    from pickle import UnpicklingError

    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, UnpicklingError) as error:
        raise ValueError(f"{path}: not a checkpoint of plain tensors ({error})") from error
    if not isinstance(tensors, dict) or not all(isinstance(v, Tensor) for v in tensors.values()):
        raise ValueError(f"{path}: not a dictionary of tensors")
    return tensors


def save_encoder(
    path: str | os.PathLike[str],
    convolutions: Mapping[str, tuple[Tensor, Tensor]],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a compact encoder that `load_encoder` reads.

    convolutions: layer name (relu1_1, relu1_2 ... shallow first) -> weight (out in 3 3) and bias
    of a 3x3 convolution with reflection padding and a ReLU, the first for RGB in [0,1]; a 2x2
    max pooling (ceil_mode) stands between two blocks. metadata: strings for whoever reads the
    file. The file appears whole or not at all. Raise ValueError if the stack does not fit.
    """
    from safetensors.torch import save

    _check_stack(convolutions)
    tensors = {}
    for name, (weight, bias) in convolutions.items():
        tensors[f"{name}.weight"] = weight.detach().cpu().contiguous()
        tensors[f"{name}.bias"] = bias.detach().cpu().contiguous()
    data = save(tensors, {**(metadata or {}), "format": FORMAT})
    path = Path(path)
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    part.replace(path)


def _check_stack(convolutions: Mapping[str, tuple[Tensor, Tensor]]) -> None:
    names = list(convolutions)
    if not names or names[0] != "relu1_1" or names != sorted(names):
        raise ValueError(f"an encoder's layers are relu1_1, relu1_2 ... in this order, not {names}")
    channels = 3
    for name, (weight, bias) in convolutions.items():
        if not re.fullmatch(r"relu[1-9]_[1-9]", name):
            raise ValueError(f"{name!r} is not the name of a layer, as relu1_1 is")
        if weight.shape[1:] != (channels, 3, 3) or bias.shape != weight.shape[:1]:
            raise ValueError(
                f"{name}: a weight of shape {tuple(weight.shape)} and a bias of shape "
                f"{tuple(bias.shape)} are no 3x3 convolution of {channels} channels"
            )
        channels = len(weight)


def load_encoder(
    path: str | os.PathLike[str],
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Encoder:
    """Read an encoder from torchvision VGG-16 or VGG-19 weights, complete or cut short, or from
    a small encoder with keys conv0, conv11, conv12 ...: the names of the tensors tell which.

    Raise FileNotFoundError or ValueError.
    """
    tensors = read_tensors(path)
    if "relu1_1.weight" in tensors:
        names = sorted(k[:-7] for k in tensors if k.endswith(".weight"))
        own = {n: (tensors[f"{n}.weight"].float(), tensors[f"{n}.bias"].float()) for n in names}
        _check_stack(own)
        encoder = Encoder(own, reflect=True)
    elif "conv0.weight" in tensors:
        encoder = Encoder(_small(tensors), reflect=True)
    elif "features.0.weight" in tensors:
        encoder = Encoder(_vgg(path, tensors), reflect=False)
    else:
        raise ValueError(f"{path}: neither VGG weights (features.0.weight) nor a small encoder")
    return encoder.to(device=device, dtype=dtype).to(memory_format=torch.channels_last).eval()


def _small(tensors: Mapping[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    names = sorted(k[:-7] for k in tensors if re.fullmatch(r"conv[1-5][1-4]\.weight", k))
    convolutions = {
        f"relu{n[4]}_{n[5]}": (tensors[f"{n}.weight"], tensors[f"{n}.bias"]) for n in names
    }
    # conv0 is 1x1, from RGB in [0,1] to the training's own input: exact under reflection.
    mix, shift = tensors["conv0.weight"][:, :, 0, 0], tensors["conv0.bias"]
    weight, bias = convolutions["relu1_1"]
    convolutions["relu1_1"] = (
        torch.einsum("ochw,ci->oihw", weight, mix),
        bias + (weight.sum(dim=(2, 3)) @ shift),
    )
    return convolutions


def _vgg(
    path: str | os.PathLike[str], tensors: Mapping[str, Tensor]
) -> dict[str, tuple[Tensor, Tensor]]:
    weights = [k for k in tensors if re.fullmatch(r"features\.\d+\.weight", k)]
    present = sorted(int(k.split(".")[1]) for k in weights)
    for blocks in (VGG19_BLOCKS, VGG16_BLOCKS):
        expected = _torchvision_indices(blocks)
        if present == list(expected)[: len(present)]:
            break
    else:
        raise ValueError(f"{path}: the layers {present} are neither VGG-16's nor VGG-19's")
    convolutions = {
        expected[i]: (tensors[f"features.{i}.weight"], tensors[f"features.{i}.bias"])
        for i in present
    }
    weight, bias = convolutions["relu1_1"]
    weight = weight / torch.tensor(IMAGENET_STD).view(1, 3, 1, 1)
    shift = weight.sum(dim=(2, 3)) @ torch.tensor(IMAGENET_MEAN)
    convolutions["relu1_1"] = (weight, bias - shift)
    return convolutions


def _torchvision_indices(blocks: tuple[int, ...]) -> dict[int, str]:
    """Index of each convolution in torchvision's `features` -> the name of its layer."""
    indices, position = {}, 0
    for block, count in enumerate(blocks, start=1):
        for i in range(1, count + 1):
            indices[position] = f"relu{block}_{i}"
            position += 2  # the convolution and its ReLU
        position += 1  # the pooling
    return indices
