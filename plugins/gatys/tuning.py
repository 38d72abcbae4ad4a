"""What --tune found, kept beside its sheet: a run that goes on must go on with the same numbers."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stylepipe import Item, SetupError, UsageError, digest, stamp

from .trace import write_whole

if TYPE_CHECKING:
    from stylepipe.nst.tune import Candidate

    from .options import GatysOptions


def settings_key(options: GatysOptions, files: Iterable[Path]) -> str:
    """Changes with any option and any file that a search depends on, the photo apart."""
    apart = {"tune"} | {spec.name for spec in options.specs() if spec.aside}
    values = {name: value for name, value in options.values().items() if name not in apart}
    stamps = []
    for path in files:
        inside = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        stamps += [stamp(p) for p in inside]
    return digest(json.dumps(values, sort_keys=True), *stamps)


def read_found(
    path: Path, key: str, sources: Collection[str], names: Sequence[str]
) -> dict[str, float] | None:
    """The numbers `names` kept in a file; None unless they were found by settings of this key on a
    file that is one of `sources` (absolute paths) and as it was then.

    Raises UsageError for a file that --tune did not write.
    """
    try:
        kept = json.loads(path.read_text("utf-8"))
        source, settings = kept["source"], kept["settings"]
        numbers = {name: float(kept["found"][name]) for name in names}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UsageError(
            f"--tune keeps what it finds in {path}, but that is another file; give the sheet "
            "another name"
        ) from error
    fits = settings == key and source["path"] in sources and source == _source(source["path"])
    return numbers if fits else None


def keep_found(path: Path, key: str, item: Item, best: Candidate, names: Sequence[str]) -> None:
    """Keep a choice found on an item, for read_found. Raises SetupError."""
    kept = {
        "settings": key,
        "source": _source(os.path.abspath(item.source)),
        "found": {name: getattr(best, name) for name in names},
    }
    try:
        write_whole(path, json.dumps(kept, indent=2).encode())
    except OSError as error:
        raise SetupError(f"cannot write {path}: {error.strerror}") from error


def _source(path: str) -> dict[str, str]:
    return {"path": path, "stamp": stamp(Path(path))}
