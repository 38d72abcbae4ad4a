"""Which encoder, from which file: by its name, by the tensors in a file, from the cache."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor

from stylepipe.nst.names import FETCHED_AS, EncoderName, Pooling
from stylepipe.spelling import suggest
from stylepipe.weights import KNOWN, Weights, fetch

from . import convnets, vgg, vit
from .encoder import Architecture, Encoder

POOLINGS = get_args(Pooling)
BUNDLED = Path(__file__).with_name("compact.safetensors")

Tensors = Mapping[str, Tensor]


class WeightsError(ValueError):
    """Weights that are missing on this machine, damaged, or of another network."""


@dataclass(frozen=True)
class Network:
    """A kind of network that files can hold."""

    name: EncoderName
    """As the user calls it."""
    title: str
    fits: Callable[[Tensors], bool]
    """Whether these look like its tensors."""
    build: Callable[[Tensors, str], Encoder]
    """Of the tensors and a pooling. Raises ValueError."""
    pools: bool = True
    """Whether it has max pooling, for which another can stand."""


def _is_vgg(architecture: Architecture, tensors: Tensors) -> bool:
    known = {f"features.{i}.weight" for i in vgg.torchvision_indices(architecture)}
    own = {key for key in tensors if re.fullmatch(r"features\..+\.weight", key)}
    return "features.0.weight" in own and own <= known


def _is_squeezenet(kernel: int, tensors: Tensors) -> bool:
    first = tensors.get("features.0.weight")
    fires = any(re.fullmatch(r"features\.\d+\.squeeze\.weight", key) for key in tensors)
    if first is None or first.ndim != 4:
        return False
    return fires and first.shape[-1] == kernel


def _network(name: EncoderName, cut: convnets.CutModel, fits: Callable[[Tensors], bool]) -> Network:
    return Network(name, cut.architecture.title, fits, partial(convnets.encoder, cut))


_VGGS: dict[EncoderName, Architecture] = {"vgg19": vgg.VGG19, "vgg16": vgg.VGG16}
NETWORKS = (
    *(
        Network(name, kind.title, partial(_is_vgg, kind), partial(vgg.vgg, kind))
        for name, kind in _VGGS.items()
    ),
    _network("squeezenet", convnets.SQUEEZENET1_1, partial(_is_squeezenet, 3)),
    _network("squeezenet", convnets.SQUEEZENET1_0, partial(_is_squeezenet, 7)),
    _network("resnet50", convnets.RESNET50, lambda t: "bn1.running_mean" in t),
    _network("densenet121", convnets.DENSENET121, lambda t: "features.conv0.weight" in t),
    Network("vit-b-16", vit.VIT_B_16.title, lambda t: "conv_proj.weight" in t, vit.vit, False),
    Network("compact", "a compact encoder", lambda t: "relu1_1.weight" in t, vgg.compact),
    Network("compact", "a pruned VGG-19", lambda t: "conv0.weight" in t, vgg.pruned),
)
NAMES = get_args(EncoderName)


def open_encoder(
    name: str = "auto",
    weights: Path | None = None,
    *,
    pooling: str = "max",
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    fetch: bool = True,
    log: Callable[[str], None] | None = None,
) -> Encoder:
    """The encoder of that name (one of NAMES), computing in `dtype` on `device`.

    weights: a file of its tensors, as for `load_encoder`; without one, torchvision's, fetched if
    need be and if `fetch` allows it, or the one in the package. "auto": what `weights` holds;
    without that VGG-19 where it was fetched before, else the one in the package. pooling: one of
    POOLINGS. log: receives one line that names the encoder.

    Raises ValueError for an unknown name, and for a pooling that is unknown or that the network
    cannot have; FileNotFoundError; WeightsError. What fetching raises is not caught.
    """
    for what, word, known in (("encoder", name, NAMES), ("pooling", pooling, POOLINGS)):
        if word not in known:
            raise ValueError(
                f"unknown {what} {word!r}{suggest(word, known)}; there are {', '.join(known)}"
            )
    if weights is None and name == "auto":
        name = "vgg19" if KNOWN["vgg19"].path.is_file() else "compact"
    path = weights or _path(name, fetch)
    encoder = load_encoder(path, name=name, pooling=pooling, device=device, dtype=dtype)
    if log:
        where = "in the package" if path == BUNDLED else path
        log(f"encoder: {encoder.title} to {encoder.layers[-1]} ({where})")
    return encoder


def _path(name: str, may_fetch: bool) -> Path:
    """Where the tensors of a network lie. Raises WeightsError if they are not on this machine."""
    if name == "compact":
        if not BUNDLED.is_file():
            raise WeightsError(f"the compact encoder is missing from this installation ({BUNDLED})")
        return BUNDLED
    entry = KNOWN[FETCHED_AS.get(name, name)]
    return fetch(entry) if may_fetch else _verified(entry)


def _verified(entry: Weights) -> Path:
    if not entry.path.is_file():
        problem = f"are not on this machine ({entry.path})"
    elif not entry.matches(entry.path):
        problem = f"are damaged ({entry.path})"
    else:
        return entry.path
    raise WeightsError(f"the weights {entry.name!r} {problem}")


def load_encoder(
    path: str | os.PathLike[str],
    *,
    name: str = "auto",
    pooling: str = "max",
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Encoder:
    """Read an encoder from a file: a torchvision state dictionary of one of the networks in NAMES,
    or a small encoder (see `save_encoder`); complete or cut short. The tensors' names tell which.

    Raises FileNotFoundError; WeightsError if it holds something else than `name` or is damaged;
    ValueError for a pooling that the network cannot have.
    """
    tensors = {
        key: tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor.detach()
        for key, tensor in read_tensors(path).items()
    }
    for key, tensor in tensors.items():
        if not bool(tensor.isfinite().all()):
            raise WeightsError(
                f"{path}: {key!r} holds values that are not finite; take another file"
            )
    network = _recognize(path, tensors, name)
    if pooling != "max" and not network.pools:
        raise ValueError(
            f"{network.title} has no max pooling that {pooling} pooling could stand for; leave the "
            "pooling at max, or use another encoder"
        )
    try:
        encoder = network.build(tensors, pooling)
    except ValueError as error:
        raise WeightsError(f"{path}: {error}") from error
    return encoder.placed(device, dtype)


def _recognize(path: str | os.PathLike[str], tensors: Tensors, name: str) -> Network:
    found = [network for network in NETWORKS if network.fits(tensors)]
    if not found:
        titles = ", ".join(dict.fromkeys(network.title for network in NETWORKS))
        raise WeightsError(f"{path}: holds none of the networks known here ({titles})")
    for network in found:
        if name in ("auto", network.name):
            return network
    asked = next(network.title for network in NETWORKS if network.name == name)
    raise WeightsError(f"{path}: holds {found[0].title}, not {asked}")


def read_tensors(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The named tensors of a safetensors file or of a torch checkpoint of plain tensors.

    Raises FileNotFoundError where there is no file, WeightsError where it is something else or
    cannot be read.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise FileNotFoundError(f"no such weights file: {path}")
        return _tensors(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error})") from error


def _tensors(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise WeightsError(f"{path}: not a safetensors file, or truncated ({error})") from error
    from pickle import UnpicklingError

    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, UnpicklingError) as error:
        raise WeightsError(f"{path}: not a checkpoint of plain tensors ({error})") from error
    if not isinstance(tensors, dict) or not all(isinstance(v, Tensor) for v in tensors.values()):
        raise WeightsError(f"{path}: not a dictionary of tensors")
    return tensors
