"""What --tune found, kept beside its sheet: a resumed run must use the same numbers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stylepipe import Item, SetupError, UsageError, options_digest, stamp

from .trace import write_whole

if TYPE_CHECKING:
    from stylepipe.nst.tune import Candidate

    from .options import GatysBase

_MAX_BYTES = 1 << 16
"""Characters of such a file at most."""


def settings_key(options: GatysBase, files: Iterable[Path]) -> str:
    """Changes with any option and any file that a search depends on, the photo apart."""
    return options_digest(options, files, apart={"tune"})


def read_found(
    path: Path, key: str, sources: Mapping[str, Path], names: Sequence[str]
) -> dict[str, float] | None:
    """The numbers `names` kept in a file; None unless they were found by settings of this key on a
    file that is one of `sources` (by their paths below the input root) and as it was then.

    Raises UsageError for a file that --tune did not write.
    """
    try:
        with path.open(encoding="utf-8") as file:
            kept = json.loads(file.read(_MAX_BYTES))
        name, stamped = str(kept["source"]["path"]), kept["source"]["stamp"]
        settings = kept["settings"]
        numbers = {name: float(kept["found"][name]) for name in names}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise UsageError(
            f"--tune keeps what it finds in {path}, but that is another file; give the sheet "
            "another name"
        ) from error
    photo = sources.get(name)
    fits = settings == key and photo is not None and stamped == stamp(photo)
    return numbers if fits else None


def keep_found(path: Path, key: str, item: Item, best: Candidate, names: Sequence[str]) -> None:
    """Keep a choice found on an item, for read_found. Raises SetupError."""
    kept = {
        "settings": key,
        "source": {"path": item.relative.as_posix(), "stamp": stamp(item.source)},
        "found": {name: getattr(best, name) for name in names},
    }
    try:
        write_whole(path, json.dumps(kept, indent=2).encode())
    except OSError as error:
        raise SetupError(f"cannot write {path}: {error.strerror}") from error
