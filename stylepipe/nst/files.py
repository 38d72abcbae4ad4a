"""Files of tensors: the same bytes for the same content, whole or not there at all."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_MAX_HEAD = 100 << 20
"""Bytes of a head, as safetensors itself allows."""


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of the tensors' bytes, one after the other in the order of their names."""
    result = hashlib.sha256()
    for _, value in sorted(tensors.items()):
        flat = value.detach().cpu().contiguous().flatten()
        result.update(flat.view(torch.uint8).numpy().tobytes())
    return result.hexdigest()


def safetensors_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """A safetensors file with sorted keys: equal tensors and metadata give equal bytes.

    safetensors itself leaves the keys' order to chance. Layout: 8 bytes of the head's length, the
    head in JSON, the tensors, aligned to 8 bytes.
    """
    from safetensors.torch import save

    return _with_head(*_parts(save(dict(tensors), dict(metadata))))


def _parts(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The head of a safetensors file, and its tensors. Raises ValueError for another file."""
    end = 8 + int.from_bytes(data[:8], "little")
    head = json.loads(data[8:end])
    if not isinstance(head, dict):
        raise ValueError("its head is no table")
    return head, data[end:]


def _with_head(head: Mapping[str, Any], tensors: bytes) -> bytes:
    text = json.dumps(head, sort_keys=True, ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + tensors


def read_metadata(path: Path) -> dict[str, str]:
    """The strings of a safetensors file, without its tensors. Raises OSError, or ValueError for
    another file."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > _MAX_HEAD:
            raise ValueError(f"{path}: no safetensors file")
        head, _ = _parts(length.to_bytes(8, "little") + file.read(length))
    found = head.get("__metadata__", {})
    return {key: value for key, value in found.items() if isinstance(value, str)}


def add_metadata(path: Path, **more: str) -> None:
    """Add strings to those of a safetensors file. Raises OSError, or ValueError for another."""
    head, tensors = _parts(path.read_bytes())
    head["__metadata__"] = {**head.get("__metadata__", {}), **more}
    write_atomically(path, _with_head(head, tensors))


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file through a temporary neighbor: neither a reader nor, after a power cut, the
    disk ever holds half of it.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def file_digest(path: Path) -> str:
    """SHA-256 of a file. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_file(
    path: Path, what: str, format: str, version: str
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and strings of one of our safetensors files.

    what: its content in words. Raises FileNotFoundError where there is no file, ValueError where
    it holds anything else, or what was changed after it was written.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise FileNotFoundError(f"no such {what} file: {path}")
    try:
        with safe_open(path, "pt") as file:
            metadata: dict[str, str] = dict(file.metadata() or {})
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path}: not a safetensors file, or truncated ({error})") from error
    if metadata.get("format") != format:
        raise ValueError(f"{path}: holds no {format} {what}s (format {metadata.get('format')!r})")
    if metadata.get("format_version") != version:
        raise ValueError(
            f"{path}: format version {metadata.get('format_version')!r}, "
            f"this program reads version {version}"
        )
    return tensors, metadata


def check_digest(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Raises ValueError if the file names another digest than its tensors have."""
    if metadata.get("sha256", found := tensors_digest(tensors)) != found:
        raise ValueError(f"{path} is damaged: its tensors do not have the SHA-256 it names")
