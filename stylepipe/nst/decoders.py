"""Decoders: networks that turn the features of an encoder back into pictures, and their files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylepipe.tiling import tiles

from .encoders import Encoder
from .files import check_digest, read_file, safetensors_bytes, tensors_digest, write_atomically
from .networks import pad

FORMAT = "stylepipe-decoders"
FORMAT_VERSION = "1"
WIDEST = 1024
"""Channels; a file from elsewhere must not make a network that fills the memory."""
MIN_CHANNELS = {"1": 32, "2": 64}
"""Channels of a fresh decoder, by block: with the compact encoder's 16 and 32 there are grids."""
CONTEXT = 2
"""Features around a tile, beyond what the convolutions see at the deepest size."""


class Decoder(nn.Module):
    """The mirror image of an encoder of VGG's shape, from one of its layers back to the picture.

    A 3x3 convolution for each of the encoder's, nearest upsampling in the place of each pooling,
    reflection padding, ReLU between the convolutions, a linear end. Chen, Schmidt, "Fast
    Patch-based Style Transfer of Arbitrary Style" (2016), section 3.3, without the instance norms
    that its authors' code has; Huang, Belongie (2017), section 5.
    """

    def __init__(self, widths: Mapping[str, int]) -> None:
        """widths: layer -> channels, from relu1_1 down to the layer that is decoded, which has
        the encoder's; all others may have more or fewer. Raises ValueError for anything else.
        """
        super().__init__()
        _check(widths)
        self.widths = dict(widths)
        self.layer = list(widths)[-1]
        mirrored = [*reversed(list(widths.items())), ("relu0_0", 3)]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inputs, outputs, 3) for (_, inputs), (_, outputs) in pairwise(mirrored)
        )
        # The picture between two blocks grows behind the convolution that undoes a block's first.
        self.grows = [
            name[4] != after[4] and after != "relu0_0"
            for (name, _), (after, _) in pairwise(mirrored)
        ]
        self._initialize()

    def chain(self) -> list[nn.Conv2d]:
        """Its convolutions, in order."""
        return [m for m in self.convolutions if isinstance(m, nn.Conv2d)]

    def _initialize(self) -> None:
        chain = self.chain()
        for convolution in chain:
            assert convolution.bias is not None
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            nn.init.zeros_(convolution.bias)
        last = chain[-1]
        assert last.bias is not None
        nn.init.constant_(last.bias, 0.5)  # mid gray
        with torch.no_grad():
            last.weight.mul_(0.1)

    @property
    def scale(self) -> int:
        """Pixels of the picture for one feature."""
        return int(2 ** sum(self.grows))

    @property
    def receptive_radius(self) -> int:
        """A pixel depends on no feature further away than so many, counted in features."""
        receptive_radius, step = 0.0, 1.0
        for grows in self.grows:
            receptive_radius += step
            step /= 2 if grows else 1
        return int(receptive_radius) + CONTEXT

    @property
    def widest(self) -> float:
        """Bytes of its largest map, by pixel of the picture."""
        positions, sizes = 1 / self.scale**2, []
        for convolution, grows in zip(self.chain(), self.grows, strict=True):
            positions *= 4 if grows else 1
            sizes.append(positions * convolution.out_channels * convolution.weight.element_size())
        return max(sizes)

    def forward(self, features: Tensor) -> Tensor:
        """features: N C h w, not negative, as the encoder makes them. Returns N 3 H W in float32,
        H and W `scale` times as large, in [0,1] but for small overshoots.
        """
        chain = self.chain()
        x = features.to(chain[0].weight.dtype)
        for convolution, grows in zip(chain, self.grows, strict=True):
            x = convolution(pad(x, 1, 1, 1, 1))
            if convolution is not chain[-1]:
                x = F.relu(x, inplace=True)
            if grows:
                x = F.interpolate(x, scale_factor=2, mode="nearest")
        return x.float()

    def placed(self, device: torch.device | str, dtype: torch.dtype) -> Decoder:
        """Itself, on a device, computing in a type."""
        return self.to(device=device, dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    @torch.no_grad()
    def picture(self, features: Tensor, height: int, width: int, tile: int | None = None) -> Tensor:
        """Decode to pictures N 3 height width in [0,1], cut off where the encoder had rounded up.

        tile: side in features of the tiles that are decoded one after the other, with the same
        result; None for one piece.
        """
        rows, columns = features.shape[-2:]
        side = max(rows, columns) if tile is None else tile
        result = features.new_empty(
            (len(features), 3, rows * self.scale, columns * self.scale), dtype=torch.float32
        )
        for part in tiles(rows, columns, side, self.receptive_radius):
            top, bottom, left, right = part.window
            found = self(features[..., top:bottom, left:right])
            inside = tuple(slice(s.start * self.scale, s.stop * self.scale) for s in part.inside)
            first, last, begin, end = (edge * self.scale for edge in part.core)
            result[..., first:last, begin:end] = found[..., inside[0], inside[1]]
        return result[..., :height, :width].clamp_(0.0, 1.0)


def mirror(encoder: Encoder, layer: str, widen: float = 1.0) -> Decoder:
    """A fresh decoder for a layer of an encoder of VGG's shape.

    It has the encoder's channels times widen, and in the shallow blocks no fewer than MIN_CHANNELS.
    Raises ValueError for an encoder of another shape and for a layer that it has not.
    """
    encoder.check([layer])
    widths = encoder_widths(encoder, layer)
    return Decoder(
        {
            name: width
            if name == layer
            else max(round(width * widen), MIN_CHANNELS.get(name[4], 1))
            for name, width in widths.items()
        }
    )


def encoder_widths(encoder: Encoder, layer: str) -> dict[str, int]:
    """Channels of the layers down to this one. Raises ValueError unless the encoder is like VGG,
    and for a pooling."""
    if layer in encoder.architecture.pools:
        raise ValueError(f"a decoder is of a layer such as relu3_1, not of the pooling {layer}")
    widths = {}
    for name, stage in zip(encoder.layers, encoder.stages, strict=True):
        found = [m for m in stage.modules() if isinstance(m, nn.Conv2d)]
        if not name.startswith("relu") or len(found) != 1:
            raise ValueError(
                f"{encoder.title} cannot be mirrored: a decoder needs an encoder of 3x3 "
                "convolutions in blocks, such as VGG-19 or the compact one"
            )
        widths[name] = found[0].out_channels
        if name == layer:
            break
    return widths


def _check(widths: Mapping[str, int]) -> None:
    names = list(widths)
    blocks = [name[4:5] for name in names]
    known = all(len(n) == 7 and n[:4] == "relu" and n[5] == "_" for n in names)
    if not names or not known or names != sorted(names) or names[0] != "relu1_1":
        raise ValueError(f"a decoder's layers are relu1_1, relu1_2 ... in this order, not {names}")
    if set(blocks) != set("12345"[: int(blocks[-1])]):
        raise ValueError(f"a decoder misses a block of layers: {names}")
    for name, width in widths.items():
        if type(width) is not int or not 1 <= width <= WIDEST:
            raise ValueError(f"{name} must have 1 to {WIDEST} channels, got {width!r}")


@dataclass(frozen=True)
class DecoderFile:
    """What a file of decoders holds: by layer, all for the same encoder."""

    decoders: dict[str, Decoder]
    encoder: str
    """Digest of the encoder's tensors as far as these layers, see `fingerprint`."""
    metadata: dict[str, str] = field(default_factory=dict)

    def check(self, encoder: Encoder, path: os.PathLike[str] | str) -> None:
        """Raises ValueError unless it belongs to this encoder."""
        layers = list(self.decoders)
        if any(n not in encoder.layers for n in layers) or (
            fingerprint(encoder, layers) != self.encoder
        ):
            own = self.metadata.get("encoder_title", "another encoder")
            raise ValueError(
                f"the decoder {path} was trained for {own}, with other weights than those of "
                f"{encoder.title} here: take the encoder that it belongs to, or train a decoder "
                "for this one"
            )


def fingerprint(encoder: Encoder, layers: Iterable[str]) -> str:
    """SHA-256 of an encoder's weights down to the deepest of some layers, whatever number type it
    computes in: what lies deeper does not matter to them. Raises ValueError for unknown layers.
    """
    count = max(len(encoder.down_to(layer)) for layer in layers)
    state = encoder.stages[:count].state_dict()
    return tensors_digest({name: value.to(torch.bfloat16) for name, value in state.items()})


def save_decoders(
    path: str | os.PathLike[str],
    decoders: Mapping[str, Decoder],
    encoder: Encoder,
    **metadata: str,
) -> None:
    """Write decoders, by layer, for one encoder, as safetensors in float16.

    metadata: further strings, for example data, options, license. Equal networks and metadata
    give equal bytes. The file appears whole or not at all. Raises ValueError for values that are
    not finite.
    """
    tensors = {
        f"{layer}.{key}": value.detach().cpu().half().contiguous()
        for layer, decoder in decoders.items()
        for key, value in decoder.state_dict().items()
    }
    if not all(bool(torch.isfinite(t).all()) for t in tensors.values()):
        raise ValueError("the decoder holds values that are not finite: it is not saved")
    header = {
        **metadata,
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "widths": json.dumps([list(d.widths.items()) for d in decoders.values()]),
        "encoder": fingerprint(encoder, decoders),
        "encoder_title": encoder.title,
        "sha256": tensors_digest(tensors),
    }
    write_atomically(Path(path), safetensors_bytes(tensors, header))


def load_decoders(path: str | os.PathLike[str]) -> DecoderFile:
    """Read what save_decoders wrote, in float32.

    Raises FileNotFoundError where there is no file, ValueError where it holds anything else or is
    damaged.
    """
    path = Path(path)
    tensors, metadata = read_file(path, "decoder", FORMAT, FORMAT_VERSION)
    check_digest(path, tensors, metadata)
    try:
        listed: Any = json.loads(metadata["widths"])
        decoders = {}
        for widths in listed:
            decoder = Decoder(dict(widths))
            prefix = f"{decoder.layer}."
            decoder.load_state_dict(
                {
                    key.removeprefix(prefix): value.float()
                    for key, value in tensors.items()
                    if key.startswith(prefix)
                }
            )
            decoders[decoder.layer] = decoder.eval().requires_grad_(False)
        if not decoders:
            raise ValueError("it lists no decoder")
        unlisted = sorted({key.partition(".")[0] for key in tensors} - set(decoders))
        if unlisted:
            raise ValueError(f"it has tensors of {', '.join(unlisted)}, which it does not list")
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path}: not a file of decoders ({error})") from error
    return DecoderFile(decoders, metadata.get("encoder", ""), metadata)
