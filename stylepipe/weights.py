"""Weights of networks made by others: where they come from, and a verified copy on this machine.

Nothing is downloaded unless a user asks for what needs it. A file appears in the cache folder whole
or not at all, and its SHA-256 is compared with what is known of it, whenever it is asked for. Of
torchvision's files the first 8 hexadecimal digits are published: enough to find damage, while that
nobody forged them rests on HTTPS.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from stylepipe.errors import SetupError, UsageError, suggest
from stylepipe.paths import expanded

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Weights:
    """A file of weights that can be fetched."""

    name: str
    summary: str
    url: str
    sha256: str
    """The digest in hexadecimal, or as much of its beginning as the publisher gives."""
    license: str
    preprocessing: str
    """What the network was trained to see."""
    megabytes: int

    @property
    def path(self) -> Path:
        """Where the verified copy lies, once it was fetched."""
        return cache_folder() / Path(urlsplit(self.url).path).name

    def matches(self, path: Path) -> bool:
        """Whether a file has the digest. Reads all of it: about a second for 500 MB."""
        return _sha256(path).startswith(self.sha256)


_IMAGENET = "RGB in [0, 1], less (0.485, 0.456, 0.406), over (0.229, 0.224, 0.225)"


def _torchvision(
    name: str, title: str, file: str, megabytes: int, data: str = "ImageNet"
) -> Weights:
    """torchvision writes the first eight digits of the digest into the names of its files."""
    return Weights(
        name,
        f"{title}, {data}, torchvision",
        f"https://download.pytorch.org/models/{file}",
        file.removesuffix(".pth").rpartition("-")[2],
        "BSD-3-Clause",
        _IMAGENET,
        megabytes,
    )


KNOWN: Mapping[str, Weights] = {
    w.name: w
    for w in (
        _torchvision("vgg19", "VGG-19", "vgg19-dcbb9e9d.pth", 548),
        _torchvision("vgg16", "VGG-16", "vgg16-397923af.pth", 528),
        _torchvision("squeezenet1_0", "SqueezeNet 1.0", "squeezenet1_0-b66bff10.pth", 5),
        _torchvision("squeezenet1_1", "SqueezeNet 1.1", "squeezenet1_1-b8a52dc0.pth", 5),
        _torchvision("resnet50", "ResNet-50", "resnet50-11ad3fa6.pth", 98),
        _torchvision("densenet121", "DenseNet-121", "densenet121-a639ec97.pth", 31),
        _torchvision("vit-b-16", "ViT-B/16", "vit_b_16-c867db91.pth", 330),
        *(
            _torchvision(name, title, file, megabytes, "COCO")
            for name, title, file, megabytes in (
                ("lraspp", "LR-ASPP", "lraspp_mobilenet_v3_large-d234d4ea.pth", 12),
                (
                    "deeplabv3-mobilenet",
                    "DeepLabV3, MobileNetV3",
                    "deeplabv3_mobilenet_v3_large-fc3c493d.pth",
                    42,
                ),
                (
                    "deeplabv3-resnet50",
                    "DeepLabV3, ResNet-50",
                    "deeplabv3_resnet50_coco-cd0a2569.pth",
                    161,
                ),
                (
                    "deeplabv3-resnet101",
                    "DeepLabV3, ResNet-101",
                    "deeplabv3_resnet101_coco-586e9e4e.pth",
                    233,
                ),
            )
        ),
    )
}


def known(name: str) -> Weights:
    """The entry of that name. Raises UsageError that lists the names."""
    if name not in KNOWN:
        raise UsageError(
            f"unknown weights {name!r}{suggest(name, KNOWN)}; known: {', '.join(KNOWN)}"
        )
    return KNOWN[name]


def cache_folder() -> Path:
    """``$STYLEPIPE_CACHE``, or ``stylepipe`` in the folder that the platform has for caches."""
    own = os.environ.get("STYLEPIPE_CACHE")
    if own:
        return expanded(own)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA", "~/AppData/Local")
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return expanded(base) / "stylepipe"


def fetch(weights: Weights) -> Path:
    """Return the path of the verified file; download it if it is not there yet.

    An interrupted download resumes, and a copy that was damaged since then is replaced.
    Raises SetupError if the server cannot be reached, the disk is full, or the bytes are not the
    expected ones (they are deleted).
    """
    from http.client import HTTPException  # with urllib it takes as long as all else at the start

    part = weights.path.with_name(weights.path.name + ".part")
    try:
        if weights.path.is_file() and weights.matches(weights.path):
            return weights.path
        part.parent.mkdir(parents=True, exist_ok=True)
        _download(weights, part)
        digest = _sha256(part)
        if digest.startswith(weights.sha256):
            return part.replace(weights.path)
        part.unlink()
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise SetupError(
            f"cannot fetch the weights {weights.name!r} from {weights.url} ({reason}); try again, "
            f"or fetch the file by other means and put it at {weights.path}"
        ) from error
    raise SetupError(
        f"what came from {weights.url} is not the weights {weights.name!r}: its SHA-256 begins "
        f"{digest[:8]}, not {weights.sha256[:8]}; it was deleted, try again"
    )


def _download(weights: Weights, part: Path) -> None:
    import urllib.error
    import urllib.request

    from tqdm import tqdm

    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(weights.url, headers={"User-Agent": "stylepipe"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        response = urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing left to send: the part is complete
            return
        raise
    with response:
        resumed = getattr(response, "status", None) == 206
        length = response.headers.get("Content-Length")
        expected = (have if resumed else 0) + int(length) if length else None
        with (
            part.open("ab" if resumed else "wb") as file,
            tqdm(
                total=expected,
                initial=have if resumed else 0,
                unit="B",
                unit_scale=True,
                desc=weights.name,
                disable=None,
            ) as bar,
        ):
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
            size = file.tell()
    if expected is not None and size < expected:
        raise ConnectionError(f"the connection ended after {size} of {expected} bytes")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
