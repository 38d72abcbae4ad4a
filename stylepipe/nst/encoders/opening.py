"""Which encoder, from which file: by its name, by the tensors in a file, from the cache."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from stylepipe.errors import SetupError, UsageError, suggest
from stylepipe.weights import KNOWN, Weights, fetch

from . import convnets, vgg, vit
from .encoder import Architecture, Encoder

POOLINGS = ("max", "average", "l2")
BUNDLED = Path(__file__).with_name("compact.safetensors")

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Network:
    """A kind of network that files can hold."""

    name: str
    """As the user calls it."""
    title: str
    fits: Callable[[Tensors], bool]
    """Whether these look like its tensors."""
    build: Callable[[Tensors, str], Encoder]
    """Of the tensors and a pooling. Raises ValueError."""


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


def _network(name: str, cut: convnets.CutModel, fits: Callable[[Tensors], bool]) -> Network:
    return Network(name, cut.architecture.title, fits, partial(convnets.encoder, cut))


NETWORKS = (
    *(
        Network(name, kind.title, partial(_is_vgg, kind), partial(vgg.vgg, kind))
        for name, kind in (("vgg19", vgg.VGG19), ("vgg16", vgg.VGG16))
    ),
    _network("squeezenet", convnets.SQUEEZENET1_1, partial(_is_squeezenet, 3)),
    _network("squeezenet", convnets.SQUEEZENET1_0, partial(_is_squeezenet, 7)),
    _network("resnet50", convnets.RESNET50, lambda t: "bn1.running_mean" in t),
    _network("densenet121", convnets.DENSENET121, lambda t: "features.conv0.weight" in t),
    Network("vit-b-16", vit.VIT_B_16.title, lambda t: "conv_proj.weight" in t, vit.vit),
    Network("compact", "a compact encoder", lambda t: "relu1_1.weight" in t, vgg.compact),
    Network("compact", "a pruned VGG-19", lambda t: "conv0.weight" in t, vgg.pruned),
)
NAMES = ("auto", *dict.fromkeys(network.name for network in NETWORKS))
# What is fetched for a name. SqueezeNet 1.1 is as good as 1.0 in less than half the time.
_FETCHED = {"squeezenet": "squeezenet1_1"}


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
    POOLINGS. log: is told in one line which encoder it is and, for "auto", how to get another.

    Raise UsageError for an unknown name or pooling, or a file that is not there; SetupError for
    weights that cannot be fetched or are not the named network's.
    """
    for what, word, known in (("encoder", name, NAMES), ("pooling", pooling, POOLINGS)):
        if word not in known:
            raise UsageError(
                f"unknown {what} {word!r}{suggest(word, known)}; there are {', '.join(known)}"
            )
    hint = ""
    if weights is None:
        name, hint = _chosen(name)
    path = weights or _path(name, fetch)
    try:
        encoder = load_encoder(path, name=name, pooling=pooling, device=device, dtype=dtype)
    except FileNotFoundError as error:
        raise UsageError(str(error)) from error
    except ValueError as error:
        raise SetupError(str(error)) from error
    if log:
        where = "in the package" if path == BUNDLED else path
        log(f"encoder: {encoder.title} to {encoder.layers[-1]} ({where}){hint}")
    return encoder


def _chosen(name: str) -> tuple[str, str]:
    """The name of a network and, where "auto" chose it, how to get the other."""
    entry = KNOWN["vgg19"]
    if name == "auto" and entry.path.is_file():
        return "vgg19", "; for the faster one in the package: --encoder compact"
    if name == "auto":
        return (
            "compact",
            f"; for VGG-19: stylepipe weights fetch vgg19 ({entry.megabytes} MB)",
        )
    return name, ""


def _path(name: str, may_fetch: bool) -> Path:
    """Where the tensors of a network lie. Raise SetupError if they are not on this machine."""
    if name == "compact":
        if not BUNDLED.is_file():
            raise SetupError(
                f"the compact encoder is missing from this installation ({BUNDLED}); install "
                "stylepipe again, or use --encoder vgg19 or --encoder-weights FILE"
            )
        return BUNDLED
    entry = KNOWN[_FETCHED.get(name, name)]
    if may_fetch:
        try:
            return fetch(entry)
        except SetupError as error:
            raise SetupError(f"{error}; or name a file with --encoder-weights") from error
    return _verified(entry)


def _verified(entry: Weights) -> Path:
    if not entry.path.is_file():
        problem = f"are not on this machine ({entry.path})"
    elif not entry.matches(entry.path):
        problem = f"are damaged ({entry.path})"
    else:
        return entry.path
    raise SetupError(
        f"the weights {entry.name!r} {problem}; fetch them: stylepipe weights fetch {entry.name}"
    )


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

    Raise FileNotFoundError; ValueError if it holds something else than `name` or is damaged;
    UsageError for a pooling that the network cannot have.
    """
    tensors = {
        key: tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor.detach()
        for key, tensor in read_tensors(path).items()
    }
    for key, tensor in tensors.items():
        if not bool(tensor.isfinite().all()):
            raise ValueError(f"{path}: {key!r} holds values that are not finite; take another file")
    network = _recognize(path, tensors, name)
    try:
        encoder = network.build(tensors, pooling)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return encoder.placed(device, dtype)


def _recognize(path: str | os.PathLike[str], tensors: Tensors, name: str) -> Network:
    found = [network for network in NETWORKS if network.fits(tensors)]
    if not found:
        titles = ", ".join(dict.fromkeys(network.title for network in NETWORKS))
        raise ValueError(f"{path}: holds none of the networks known here ({titles})")
    for network in found:
        if name in ("auto", network.name):
            return network
    asked = next(network.title for network in NETWORKS if network.name == name)
    raise ValueError(f"{path}: holds {found[0].title}, not {asked}")


def read_tensors(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The named tensors of a safetensors file or of a torch checkpoint of plain tensors.

    Raise FileNotFoundError where there is no file, ValueError where it is something else or
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
        raise ValueError(f"{path}: cannot be read ({error.strerror or error})") from error


def _tensors(path: Path) -> dict[str, Tensor]:
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
