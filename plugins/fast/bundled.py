"""Heads of styles files, and the styles in the package; reads no tensor, imports nothing heavy."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from stylepipe import SetupError, StyleInfo

STYLES = Path(__file__).with_name("styles")
"""Holds a folder for each network, with a file for each style, or for several of one network."""
NetworkName = Literal["light", "quality"]
NETWORKS: tuple[NetworkName, ...] = get_args(NetworkName)
"""The preferred one first."""

Bundled = Mapping[str, Mapping[str, tuple[StyleInfo, Path]]]
"""Name of a style -> network -> what is known of it, and its file."""


@dataclass(frozen=True)
class Head:
    """What a styles file says of itself."""

    styles: tuple[StyleInfo, ...]
    family: str
    """Networks of one family come from one start, so that they can be blended; "" is of none."""


def read_head(path: Path) -> Head:
    """The head of a safetensors file: 8 bytes of length, then JSON. Raises OSError; ValueError
    where it is no file of styles.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        text = file.read(min(length, 10_000_000))
    try:
        metadata = json.loads(text)["__metadata__"]
        license = str(metadata.get("licence", ""))
        styles = [
            StyleInfo(record["name"], _title(record), license)
            for record in json.loads(metadata["styles"])
        ]
        return Head(tuple(styles), str(metadata.get("family", "")))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is no file of styles ({error})") from error


def _title(record: dict[str, str]) -> str:
    parts = (record.get("title"), record.get("artist"), record.get("year"))
    return ", ".join(part for part in parts if part)


def bundled_files() -> Bundled:
    """What is in the package, from the heads of its files.

    Raises SetupError if a file is damaged.
    """
    found: dict[str, dict[str, tuple[StyleInfo, Path]]] = {}
    for network in NETWORKS:
        for path in sorted((STYLES / network).glob("*.safetensors")):
            try:
                head = read_head(path)
            except (OSError, ValueError) as error:
                raise SetupError(f"{path} is damaged ({error}); install stylepipe again") from error
            for info in head.styles:
                found.setdefault(info.name, {})[network] = info, path
    return found


def bundled_styles() -> Sequence[StyleInfo]:
    """Every style in the package once."""
    return [next(iter(networks.values()))[0] for networks in bundled_files().values()]
