"""Flags of ``measure``, ``sweep`` and ``compare``: what judges pictures besides the encoder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


def judge_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--perceptual-calibration`` and ``--perceptual-weights``, the parameters ``calibration``
    and ``judge_weights``."""
    command = click.option(
        "--perceptual-weights",
        "judge_weights",
        metavar="FILE",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="Weights of the network that --perceptual-calibration is for.  [default: those that "
        "stylepipe weights fetched]",
    )(command)
    return click.option(
        "--perceptual-calibration",
        "calibration",
        metavar="FILE",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="Calibrated weights of LPIPS, for VGG-16 or SqueezeNet 1.1, as its authors publish "
        "them: adds the figure lpips.",
    )(command)
