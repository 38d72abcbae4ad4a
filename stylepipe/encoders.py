"""Encoders for components: opened by name or file, with errors that name the options to set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from stylepipe.errors import SetupError, UsageError
from stylepipe.weights import KNOWN

if TYPE_CHECKING:
    import torch

    from stylepipe.nst.encoders import Encoder
    from stylepipe.nst.names import Pooling


def open_encoder(
    name: str = "auto",
    weights: Path | None = None,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    pooling: Pooling = "max",
    log: Callable[[str], None] | None = None,
) -> Encoder:
    """The encoder that the options ``encoder`` and ``encoder_weights`` ask for.

    Computes in ``dtype`` (by default float32) on ``device``; see stylepipe.nst.encoders. ``log``
    receives one line that names it. Raises UsageError for a file that is not there and for what the
    network cannot do, SetupError for weights that cannot be fetched, or are damaged or another
    network's.
    """
    import torch

    from stylepipe.nst import encoders

    def report(line: str) -> None:
        if log:
            log(f"{line}{_hint(name, weights)}")

    try:
        return encoders.open_encoder(
            name, weights, pooling=pooling, device=device, dtype=dtype or torch.float32, log=report
        )
    except encoders.WeightsError as error:
        advice = "" if weights else "; install stylepipe again, or name a file: --encoder-weights"
        raise SetupError(f"{error}{advice}") from error
    except (ValueError, FileNotFoundError) as error:
        raise UsageError(str(error)) from error
    except SetupError as error:
        raise SetupError(f"{error}; or name a file with --encoder-weights") from error


def absent_weights(name: str, weights: Path | None, flag: str = "--encoder-weights") -> str | None:
    """Why the weights would have to be fetched first, if they would; asked without torch. ``flag``
    names a file instead."""
    from stylepipe.nst.names import FETCHED_AS

    if weights is not None or name in ("auto", "compact"):
        return None
    entry = KNOWN[FETCHED_AS.get(name, name)]
    if entry.path.is_file():
        return None
    return (
        f"the weights {entry.name!r} are not on this machine yet: fetch them with "
        f"stylepipe weights fetch {entry.name} ({entry.megabytes} MB), "
        f"or name a file with {flag}"
    )


def _hint(name: str, weights: Path | None) -> str:
    """Where "auto" chose the network: how to get the other."""
    entry = KNOWN["vgg19"]
    if name != "auto" or weights is not None:
        return ""
    if entry.path.is_file():
        return "; for the faster one in the package: --encoder compact"
    return f"; for VGG-19: stylepipe weights fetch vgg19 ({entry.megabytes} MB)"
