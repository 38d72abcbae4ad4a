"""What judges results: the encoder at hand, and LPIPS where the user has its weights."""

from __future__ import annotations

from pathlib import Path

from stylepipe.encoders import absent_weights, open_encoder
from stylepipe.errors import SetupError, UsageError
from stylepipe.studies.measures import Judge, absent


def open_judge(calibration: Path | None = None, weights: Path | None = None) -> Judge:
    """The judge of all figures. ``calibration``: weights of LPIPS, for the figure ``lpips``;
    ``weights``: of the network that they are for, which else has to be on this machine.

    Raises UsageError, and SetupError for weights that are not there or damaged.
    """
    if calibration is None and weights is not None:
        raise UsageError("--perceptual-weights is for --perceptual-calibration FILE; leave it out")
    judge = Judge(open_encoder("auto"))
    if calibration is not None:
        judge.lpips = _lpips(calibration, weights)
        judge.title += f"; lpips by {judge.lpips.title}"
    return judge


def _lpips(calibration: Path, weights: Path | None) -> Judge:
    from stylepipe.nst.lpips import ENCODERS, read_calibration, read_published

    try:
        found = read_published(calibration)
        if found.network not in ENCODERS:
            raise UsageError(
                f"{calibration}: is for {found.network}, which is no encoder here; take the "
                f"weights for {' or '.join(ENCODERS)}"
            )
        name = ENCODERS[found.network]
        if reason := absent_weights(name, weights, "--perceptual-weights"):
            raise SetupError(reason)
        encoder = open_encoder(name, weights)
        judge = Judge(encoder, read_calibration(calibration, encoder))
    except (ValueError, FileNotFoundError) as error:
        raise UsageError(f"--perceptual-calibration: {error}") from error
    if weights is not None:
        judge.title += f" ({weights})"
    judge.title += f", calibrated by {calibration} (LPIPS, version {found.version})"
    return judge


def left_out(judge: Judge) -> list[str]:
    """What is not measured, and what it needs: a sentence each."""
    if judge.lpips is not None:
        return absent()
    return [*absent(), "lpips is left out: it needs weights (--perceptual-calibration FILE)"]
