"""Feed-forward style networks: many styles in one trunk, and their file format.

The trunk is the image transformation network of Johnson, Alahi, Fei-Fei, "Perceptual Losses for
Real-Time Style Transfer and Super-Resolution" (2016); the styles live in conditional instance
norms (Dumoulin, Shlens, Kudlur, "A Learned Representation for Artistic Style", 2017, eq. 5).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .files import check_digest, read_file, safetensors_bytes, tensors_digest, write_atomically
from .norms import instance_norm

FORMAT = "stylepipe-fast"
FORMAT_VERSION = "1"
NORM_EPS = 1e-5


@dataclass(frozen=True)
class NetworkSpec:
    """The shape of a style network.

    widths: channels after the stem, then after each stride-2 convolution; the last is the width
    of the residual blocks. unshuffle: side of the pixel blocks that the stem folds into channels.
    kernel: side of the first and the last convolution. Raises ValueError out of the limits: a
    file from elsewhere must not make a network that fills the memory.
    """

    name: str
    widths: tuple[int, ...]
    blocks: int = 5
    unshuffle: int = 1
    kernel: int = 9

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))  # JSON gives a list
        if not 1 <= len(self.widths) <= 6:
            raise ValueError(f"widths must be 1 to 6 numbers, got {len(self.widths)}")
        for what, value, most in (
            *(("widths", width, 1024) for width in self.widths),
            ("blocks", self.blocks, 32),
            ("unshuffle", self.unshuffle, 8),
            ("kernel", self.kernel, 31),
        ):
            if type(value) is not int or not 1 <= value <= most:
                raise ValueError(f"{what} must be whole numbers from 1 to {most}, got {value!r}")
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel must be odd, got {self.kernel}")
        if not isinstance(self.name, str):
            raise ValueError(f"the name must be a text, got {self.name!r}")

    @property
    def multiple(self) -> int:
        """Both sides of the padded picture are multiples of this."""
        return int(self.unshuffle * 2 ** (len(self.widths) - 1))

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> NetworkSpec:
        """Raises ValueError where the text is no specification of a network."""
        try:
            values = json.loads(text)
            known = {f.name for f in fields(cls)}
            if not isinstance(values, dict) or not set(values) <= known:
                raise ValueError("unknown keys")
            return cls(**values)
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"not a network architecture: {text[:200]!r} ({error})") from error


QUALITY = NetworkSpec("quality", (32, 64, 128))
LIGHT = NetworkSpec("light", (32, 48), unshuffle=2, kernel=5)
SPECS = {spec.name: spec for spec in (QUALITY, LIGHT)}


@dataclass(frozen=True)
class StyleRecord:
    """What a user reads about one style of a network."""

    name: str
    title: str = ""
    artist: str = ""
    year: str = ""
    source: str = ""


def pad(x: Tensor, left: int, right: int, top: int, bottom: int) -> Tensor:
    """Pad N C H W by reflection, or by replication along a side too short to reflect."""
    if not (left or right or top or bottom):
        return x
    h, w = x.shape[-2:]
    mode = "reflect" if max(left, right) < w and max(top, bottom) < h else "replicate"
    return F.pad(x, (left, right, top, bottom), mode=mode)


class ConditionalInstanceNorm(nn.Module):
    """Instance norm whose gain and shift are mixed from one row per style.

    Dumoulin 2017, eq. 5. gamma and beta have shape (styles, channels).
    """

    def __init__(self, styles: int, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(styles, channels))
        self.beta = nn.Parameter(torch.zeros(styles, channels))

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        """x: N C H W; weights: N x styles. Returns N C H W."""
        return instance_norm(x, weights @ self.gamma, weights @ self.beta, NORM_EPS)


class ConvNorm(nn.Module):
    """Padding, convolution without bias (the norm would remove it), conditional instance norm."""

    def __init__(
        self, styles: int, inputs: int, outputs: int, kernel: int = 3, stride: int = 1
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, bias=False)
        self.norm = ConditionalInstanceNorm(styles, outputs)

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        p = self.conv.kernel_size[0] // 2
        normal: Tensor = self.norm(self.conv(pad(x, p, p, p, p)), weights)
        return normal


class Residual(nn.Module):
    """Two convolutions added to their input; no ReLU after the sum (Johnson 2016, supplement)."""

    def __init__(self, styles: int, width: int) -> None:
        super().__init__()
        self.first = ConvNorm(styles, width, width)
        self.second = ConvNorm(styles, width, width)

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        change: Tensor = self.second(F.relu(self.first(x, weights)), weights)
        return x + change


class StyleNetwork(nn.Module):
    """A picture in, the same picture in one of the learned styles, or in a blend of them, out.

    Departures from Johnson 2016: reflection padding in every convolution instead of once before
    the first; nearest upsampling and a convolution instead of a transposed convolution (no
    checkerboard); a linear output instead of a scaled tanh, which saturates into black holes.
    """

    def __init__(self, spec: NetworkSpec, styles: int = 1) -> None:
        super().__init__()
        if styles < 1:
            raise ValueError(f"a style network needs one style or more, got {styles}")
        self.spec = spec
        self.styles = styles
        widths, fold = spec.widths, spec.unshuffle
        self.stem = ConvNorm(styles, 3 * fold**2, widths[0], spec.kernel)
        self.down = nn.ModuleList(ConvNorm(styles, a, b, stride=2) for a, b in pairwise(widths))
        self.blocks = nn.ModuleList(Residual(styles, widths[-1]) for _ in range(spec.blocks))
        back = widths[::-1]
        self.up = nn.ModuleList(ConvNorm(styles, a, b) for a, b in pairwise(back))
        self.head = nn.Conv2d(widths[0], 3 * fold**2, spec.kernel)
        self._initialize_head()

    def _initialize_head(self) -> None:
        """Start at mid gray, and with the same filter for every pixel of an unshuffled block.

        The second is ICNR (Aitken 2017): no checkerboard at the start of training.
        """
        with torch.no_grad():
            block = self.spec.unshuffle**2
            self.head.weight.copy_(self.head.weight[::block].repeat_interleave(block, dim=0))
            assert self.head.bias is not None
            self.head.bias.fill_(0.5)

    def norms(self) -> list[ConditionalInstanceNorm]:
        """The conditional instance norms in the order in which a picture passes them."""
        return [m for m in self.modules() if isinstance(m, ConditionalInstanceNorm)]

    def fold(self, weights: Tensor) -> list[tuple[Tensor, Tensor]]:
        """The (gamma, beta) of every norm, in the order of norms(), under one fixed blend.

        weights: one number per style, which sum to 1. Raises ValueError on another count.
        """
        weights = weights.to(self.head.weight)
        if weights.shape != (self.styles,):
            raise ValueError(f"expected {self.styles} style weights, got {tuple(weights.shape)}")
        return [(weights @ n.gamma.detach(), weights @ n.beta.detach()) for n in self.norms()]

    def select(self, indices: Sequence[int]) -> StyleNetwork:
        """A copy of the network that holds only these styles, in this order."""
        picked = StyleNetwork(self.spec, len(indices)).to(self.head.weight)
        rows = list(indices)
        picked.load_state_dict(
            {
                key: value[rows] if key.endswith((".gamma", ".beta")) else value
                for key, value in self.state_dict().items()
            }
        )
        return picked

    def blended(self, weights: Tensor) -> StyleNetwork:
        """A copy whose only style is a fixed blend of this network's, see fold()."""
        single = self.select([0])
        for norm, (gamma, beta) in zip(single.norms(), self.fold(weights), strict=True):
            norm.gamma.data, norm.beta.data = gamma[None].clone(), beta[None].clone()
        return single

    def one_hot(self, index: int) -> Tensor:
        """The 1 x styles weights of a single style."""
        weights = torch.zeros(1, self.styles, device=self.head.weight.device)
        weights[0, index] = 1.0
        return weights

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        """x: N 3 H W in [0,1], any H and W; weights: N x styles, rows that sum to 1.

        Returns N 3 H W, in [0,1] but for small overshoots: clamp it to show it.
        Raises ValueError on other shapes.
        """
        if x.ndim != 4 or x.shape[1] != 3:
            raise ValueError(f"expected a picture N 3 H W, got {tuple(x.shape)}")
        if weights.shape != (x.shape[0], self.styles):
            raise ValueError(
                f"expected style weights {(x.shape[0], self.styles)}, got {tuple(weights.shape)}"
            )
        h, w = x.shape[-2:]
        multiple = self.spec.multiple
        # Two multiples at least: the statistics of a single position are not defined.
        right, bottom = (max(-s % multiple, 2 * multiple - s) for s in (w, h))
        x = pad(x, 0, right, 0, bottom)
        # Near zero mean and unit deviation before the cast: what bfloat16 resolves best.
        x = ((x - 0.5) * 4.0).to(self.stem.conv.weight.dtype)
        if self.spec.unshuffle > 1:
            x = F.pixel_unshuffle(x, self.spec.unshuffle)
        x = F.relu(self.stem(x, weights))
        for down in self.down:
            x = F.relu(down(x, weights))
        for block in self.blocks:
            x = block(x, weights)
        for up in self.up:
            x = F.relu(up(F.interpolate(x, scale_factor=2, mode="nearest"), weights))
        p = self.spec.kernel // 2
        x = self.head(pad(x, p, p, p, p))
        if self.spec.unshuffle > 1:
            x = F.pixel_shuffle(x, self.spec.unshuffle)
        return x[..., :h, :w]


def interpolated(nets: Sequence[StyleNetwork], weights: Sequence[float]) -> StyleNetwork:
    """A network between several that were trained from one start: the mean of their weights.

    Wang et al., "Deep Network Interpolation for Continuous Imagery Effect Transition" (2019),
    eq. 2. weights: one number per network, which sum to 1. Raises ValueError for networks of
    several shapes, or of several numbers of styles.
    """
    first = nets[0]
    if len(nets) == 1:
        return first
    for net in nets[1:]:
        if (net.spec, net.styles) != (first.spec, first.styles):
            raise ValueError(f"a {net.spec.name!r} network is not of a {first.spec.name!r}'s shape")
    states = [net.state_dict() for net in nets]
    mixed = first.select(range(first.styles))
    mixed.load_state_dict(
        {
            key: torch.stack([w * s[key] for w, s in zip(weights, states, strict=True)]).sum(dim=0)
            for key in states[0]
        }
    )
    return mixed


def save_styles(
    path: str | os.PathLike[str],
    net: StyleNetwork,
    styles: Sequence[StyleRecord],
    **metadata: str,
) -> None:
    """Write a network and what is known of its styles as safetensors, in float16.

    metadata: further strings, for example teacher, data, options, license, stylepipe_version.
    Half precision costs an error of about 1e-3 of a weight, under one level of 255 in a picture.
    Equal networks and metadata give equal bytes. The file appears whole or not at all. Raises
    ValueError when the records do not match the network.
    """
    if len(styles) != net.styles or len({s.name for s in styles}) != len(styles):
        raise ValueError(f"expected {net.styles} differently named styles, got {len(styles)}")
    tensors = {k: v.detach().cpu().half().contiguous() for k, v in net.state_dict().items()}
    if not all(bool(torch.isfinite(t).all()) for t in tensors.values()):
        raise ValueError("the network holds values that are not finite: it is not saved")
    header = {
        **metadata,
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "architecture": net.spec.to_json(),
        "styles": json.dumps([asdict(s) for s in styles], ensure_ascii=False),
        "sha256": tensors_digest(tensors),
    }
    write_atomically(Path(path), safetensors_bytes(tensors, header))


def load_styles(
    path: str | os.PathLike[str],
) -> tuple[StyleNetwork, list[StyleRecord], dict[str, str]]:
    """Read what save_styles wrote: the network (float32, evaluation mode), records, metadata.

    Raises FileNotFoundError where there is no file, ValueError where it holds anything else.
    """
    path = Path(path)
    tensors, metadata = read_file(path, "style", FORMAT, FORMAT_VERSION)
    try:
        spec = NetworkSpec.from_json(metadata.get("architecture", ""))
        records = _records(metadata.get("styles", ""))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    with torch.device("meta"):  # no memory before the tensors are known to fit
        net = StyleNetwork(spec, len(records))
    check_tensors(path, net, tensors, f"a {spec.name!r} network")
    check_digest(path, tensors, metadata)
    net.load_state_dict({key: value.float() for key, value in tensors.items()}, assign=True)
    return net.eval(), records, metadata


def _records(text: str) -> list[StyleRecord]:
    try:
        values: Any = json.loads(text)
        known = {f.name for f in fields(StyleRecord)}
        # Keys of later writers are left out: they only describe.
        records = [StyleRecord(**{k: str(v) for k, v in r.items() if k in known}) for r in values]
    except (AttributeError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"not a list of styles: {text[:200]!r}") from error
    if not records:
        raise ValueError("the list of styles is empty")
    return records


def check_tensors(path: Path, net: nn.Module, tensors: Mapping[str, Tensor], what: str) -> None:
    """Raises ValueError unless a file's tensors are those of a network; what: that in words."""
    expected = net.state_dict()
    missing, extra = sorted(set(expected) - set(tensors)), sorted(set(tensors) - set(expected))
    if missing or extra:
        why = f"lacks {missing[0]}" if missing else f"holds the unknown tensor {extra[0]}"
        raise ValueError(f"{path}: {why}: not {what}")
    for key, value in tensors.items():
        if value.shape != expected[key].shape:
            raise ValueError(
                f"{path}: {key} has shape {tuple(value.shape)}, "
                f"{what} has {tuple(expected[key].shape)}"
            )
        if not bool(torch.isfinite(value).all()):
            raise ValueError(f"{path} is damaged: {key} holds values that are not finite")
