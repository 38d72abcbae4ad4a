"""A small network that paints after any painting in one pass.

Two encoders of one shape look at the photo and at the painting. What the second saw becomes a code:
a few hundred numbers, means and deviations of its features and gains and shifts made of them. The
decoder takes the photo's features, gives them those means and deviations twice (Huang, Belongie,
"Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization", 2017, eq. 8), and has
its convolutions scaled and shifted. The whole follows Wang et al., "MicroAST: Towards Super-Fast
Ultra-Resolution Arbitrary Style Transfer" (2023). Departures: each convolution has a gain and a
shift of its own, which is added to its result; there a block has one pair, and the shift multiplies
the convolution's input. Two small layers make them of the statistics, as a style prediction network
does (Ghiasi et al., "Exploring the structure of a real-time, arbitrary neural artistic stylization
network", 2017).
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from itertools import chain
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .files import check_digest, read_file, safetensors_bytes, tensors_digest, write_atomically
from .networks import NORM_EPS, check_tensors, pad
from .norms import instance_norm

FORMAT = "stylepipe-universal"
FORMAT_VERSION = "1"


@dataclass(frozen=True)
class UniversalSpec:
    """The shape of a network.

    wide: channels at half of the picture's size. deep: at a quarter. blocks: residual blocks of
    each encoder; the decoder has one more. hidden: between the painting's statistics and the gains
    and shifts made of them. Raises ValueError out of the limits: a file from elsewhere must not
    make a network that fills the memory.
    """

    wide: int = 32
    deep: int = 64
    blocks: int = 2
    hidden: int = 96

    def __post_init__(self) -> None:
        limits = {"wide": 512, "deep": 1024, "blocks": 16, "hidden": 4096}
        for name, most in limits.items():
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= most:
                raise ValueError(f"{name} must be a whole number from 1 to {most}, got {value!r}")

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> UniversalSpec:
        """Raises ValueError where the text is no specification of a network."""
        try:
            values = json.loads(text)
            if not isinstance(values, dict) or not set(values) <= {f.name for f in fields(cls)}:
                raise ValueError("unknown keys")
            return cls(**values)
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"not a network architecture: {text[:200]!r} ({error})") from error


def _convolved(convolution: nn.Conv2d, x: Tensor) -> Tensor:
    p = convolution.kernel_size[0] // 2
    found: Tensor = convolution(pad(x, p, p, p, p))
    return found


class Block(nn.Module):
    """Two convolutions added to their input; gains and shifts, N C each, where it has a style."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3)
        self.second = nn.Conv2d(width, width, 3)

    def forward(self, x: Tensor, style: tuple[Tensor, ...] | None = None) -> Tensor:
        """x: N C H W. style: gain and shift of the first convolution, then of the second."""
        change = _convolved(self.first, x)
        if style is not None:
            change = _modulated(change, style[0], style[1])
        change = _convolved(self.second, F.relu(change, inplace=True))
        if style is not None:
            change = _modulated(change, style[2], style[3])
        return x + change


def _modulated(x: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
    """x: N C H W; gain, shift: N C, or 1 C. A gain of 0 changes nothing."""
    gain, shift = (t.to(x.dtype)[:, :, None, None] for t in (1 + gain, shift))
    return torch.addcmul(shift, x, gain)


class PictureEncoder(nn.Module):
    """A picture to its features at a quarter of its size."""

    def __init__(self, spec: UniversalSpec) -> None:
        super().__init__()
        self.stem = nn.Conv2d(12, spec.wide, 5)
        self.down = nn.Conv2d(spec.wide, spec.deep, 3, stride=2)
        self.blocks = nn.ModuleList(Block(spec.deep) for _ in range(spec.blocks))

    def forward(self, x: Tensor) -> list[Tensor]:
        """x: N 3 H W in [0,1], sides of whole fours. Returns the features after the stem, after
        `down`, and after each block.
        """
        # Near zero mean and unit deviation before the cast: what bfloat16 resolves best.
        x = F.pixel_unshuffle(((x - 0.5) * 4.0).to(self.stem.weight.dtype), 2)
        maps = [F.relu(_convolved(self.stem, x))]
        maps.append(F.relu(_convolved(self.down, maps[0])))
        for block in self.blocks:
            maps.append(block(maps[-1]))
        return maps


@dataclass(frozen=True)
class Style:
    """What the decoder takes of a painting, N x numbers each."""

    aims: tuple[tuple[Tensor, Tensor], ...]
    """Mean and deviation that the features get: first the deepest, then shallow ones."""
    modulations: tuple[Tensor, ...]
    """Gain and shift of each convolution, in order."""


class UniversalNetwork(nn.Module):
    """A photo and a painting in, the photo painted after it out."""

    def __init__(self, spec: UniversalSpec) -> None:
        super().__init__()
        self.spec = spec
        deep, wide = spec.deep, spec.wide
        self.content, self.style = PictureEncoder(spec), PictureEncoder(spec)
        self.blocks = nn.ModuleList(Block(deep) for _ in range(spec.blocks + 1))
        self.up = nn.Conv2d(deep, wide, 3)
        self.head = nn.Conv2d(wide, 12, 5)
        statistics = 2 * (wide + deep * (spec.blocks + 1))
        self.norm = nn.LayerNorm(statistics)
        self.inner = nn.Linear(statistics, spec.hidden)
        self.modulation = nn.Linear(spec.hidden, sum(self._widths()))
        self._initialize()

    def _widths(self) -> list[int]:
        """The channels of the gains and shifts, in order."""
        return [self.spec.deep] * 4 * len(self.blocks) + [self.spec.wide] * 2

    def _initialize(self) -> None:
        """Start at mid gray, with the same filter for each pixel of a block (ICNR, Aitken 2017: no
        checkerboard), without gains and shifts.
        """
        with torch.no_grad():
            self.head.weight.copy_(self.head.weight[::4].repeat_interleave(4, dim=0))
            assert self.head.bias is not None
            self.head.bias.fill_(0.5)
            self.modulation.weight.mul_(0.1)
            self.modulation.bias.zero_()

    def code(self, painting: Tensor) -> Tensor:
        """What the decoder takes of a painting, N 3 H W in [0,1] -> N x numbers, in float32.

        Codes of several paintings may be averaged: the result lies between them.
        """
        return self.code_of([moments(maps) for maps in self.style(whole_fours(painting))])

    def code_of(self, found: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """The code by the moments of each of the style encoder's maps, N C each."""
        inner = F.relu(self.inner(self.norm(torch.cat(list(chain(*found)), dim=1))))
        # Deepest first, as the decoder takes them.
        return torch.cat([*found[-1], *found[1], self.modulation(inner)], dim=1)

    def forward(self, photo: Tensor, code: Tensor) -> Tensor:
        """photo: N 3 H W in [0,1], any H and W; code: N x numbers, or 1 x numbers for all.

        Returns N 3 H W in float32, in [0,1] but for small overshoots: clamp it to show it.
        """
        height, width = photo.shape[2:]
        style = self.read(code.expand(len(photo), -1))
        x: Tensor = self.content(whole_fours(photo))[-1]
        for (mean, deviation), stage in zip(style.aims, (self.begin, self.finish), strict=True):
            x = stage(instance_norm(x, deviation, mean, NORM_EPS), style)
        return x[..., :height, :width]

    def read(self, code: Tensor) -> Style:
        """What a code, N x numbers, says. Raises ValueError for one of another network."""
        deep, modulated = self.spec.deep, self._widths()
        try:
            parts = torch.split(code, [deep] * 4 + modulated, dim=1)
        except RuntimeError as error:
            raise ValueError(f"not a code of this network: {tuple(code.shape)}") from error
        return Style(((parts[0], parts[1]), (parts[2], parts[3])), parts[4:])

    def begin(self, x: Tensor, style: Style) -> Tensor:
        """From the features in the painting's deepest statistics, N C h w, to those that get its
        shallow ones."""
        found: Tensor = self.blocks[0](x, style.modulations[:4])
        return found

    def finish(self, x: Tensor, style: Style) -> Tensor:
        """From those, N C h w, to pictures N 3 4h 4w in float32."""
        for index, block in enumerate(self.blocks):
            if index > 0:
                x = block(x, style.modulations[4 * index : 4 * index + 4])
        x = _convolved(self.up, F.interpolate(x, scale_factor=2, mode="nearest"))
        x = F.relu(_modulated(x, *style.modulations[-2:]), inplace=True)
        return F.pixel_shuffle(_convolved(self.head, x), 2).float()


def moments(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of N C H W over the positions, N C each, in float32."""
    variance, mean = torch.var_mean(maps.float(), (2, 3), correction=0)
    return mean, (variance + NORM_EPS).sqrt()


def whole_fours(x: Tensor) -> Tensor:
    """N C H W with sides of whole fours, of 8 pixels at least: the statistics of a single position
    are not defined.
    """
    right, bottom = (max(-side % 4, 8 - side) for side in (x.shape[3], x.shape[2]))
    return pad(x, 0, right, 0, bottom)


def save_universal(path: str | os.PathLike[str], net: UniversalNetwork, **metadata: str) -> None:
    """Write a network as safetensors, in float16.

    metadata: further strings, for example teacher, data, options, license. Equal networks and
    metadata give equal bytes. The file appears whole or not at all. Raises ValueError for values
    that are not finite.
    """
    tensors = {k: v.detach().cpu().half().contiguous() for k, v in net.state_dict().items()}
    if not all(bool(torch.isfinite(t).all()) for t in tensors.values()):
        raise ValueError("the network holds values that are not finite: it is not saved")
    header = {
        **metadata,
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "architecture": net.spec.to_json(),
        "sha256": tensors_digest(tensors),
    }
    write_atomically(Path(path), safetensors_bytes(tensors, header))


def load_universal(path: str | os.PathLike[str]) -> tuple[UniversalNetwork, dict[str, str]]:
    """Read what save_universal wrote: the network (float32, evaluation mode) and its metadata.

    Raises FileNotFoundError where there is no file, ValueError where it holds anything else or is
    damaged.
    """
    path = Path(path)
    tensors, metadata = read_file(path, "network", FORMAT, FORMAT_VERSION)
    try:
        spec = UniversalSpec.from_json(metadata.get("architecture", ""))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    with torch.device("meta"):  # no memory before the tensors are known to fit
        net = UniversalNetwork(spec)
    check_tensors(path, net, tensors, "a universal network of this architecture")
    check_digest(path, tensors, metadata)
    net.load_state_dict({key: value.float() for key, value in tensors.items()}, assign=True)
    return net.eval(), metadata
