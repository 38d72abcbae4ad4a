"""What an optimisation leaves behind on request: losses, pictures on the way, a preview."""

from __future__ import annotations

import csv
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import TYPE_CHECKING, Self

from stylepipe import Item, SetupError, UsageError

if TYPE_CHECKING:
    import torch

    from stylepipe.nst.optimise import Step

    from .options import GatysOptions

PREVIEW_EVERY = 10
_INK = ((40, 40, 40), (200, 90, 20), (30, 130, 30), (30, 30, 210), (170, 40, 150), (150, 130, 0))


class Trace:
    """Watches one picture's optimisation; at its end the losses are written, also after an error.

    Raises SetupError where a file cannot be written.
    """

    def __init__(self, options: GatysOptions, item: Item, frame: int) -> None:
        self._options = options
        self._rows: list[Step] = []
        self._folder: Path | None = None
        if options.trace is not None:
            # With its suffix: photo.jpg and photo.png may lie side by side.
            name = item.relative
            self._folder = options.trace / (name if frame == 0 else f"{name}-{frame:05}")

    def __enter__(self) -> Self:
        return self

    def __call__(self, step: Step) -> None:
        """Take note of a step."""
        options = self._options
        if self._folder is not None:
            self._rows.append(step)
            if options.save_every and step.number % options.save_every == 0:
                write_picture(self._folder / f"{step.number:05}.png", step.picture())
        last = step.number == step.steps
        if options.preview is not None and (last or step.number % PREVIEW_EVERY == 0):
            write_picture(options.preview, step.picture())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._folder is None or not self._rows:
            return
        names = list(self._rows[0].terms)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with (self._folder / "loss.csv").open("w", newline="") as file:
                table = csv.writer(file)
                table.writerow(["step", "width", "height", "loss", *names])
                for row in self._rows:
                    height, width = row.size
                    values = [f"{row.terms[name]:.6g}" for name in names]
                    table.writerow([row.number, width, height, f"{row.loss:.6g}", *values])
        except OSError as reason:
            raise SetupError(f"cannot write to {self._folder}: {reason}") from reason
        _plot(self._folder / "loss.png", self._rows, names)


def check_outputs(options: GatysOptions) -> None:
    """Before hours of work: raise UsageError or SetupError if what was asked for cannot be
    written.
    """
    import cv2

    for path in (options.tune, options.preview):
        if path is None:
            continue
        if path.is_dir():
            raise UsageError(f"{path} is a folder; name a picture file in it")
        if not path.suffix or not cv2.haveImageWriter(f"x{path.suffix.lower()}"):
            raise UsageError(f"cannot write a picture as {path.name!r}; name it .png or .jpg")
    files = [p.parent for p in (options.tune, options.preview) if p is not None]
    for folder in (*files, *([] if options.trace is None else [options.trace])):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=folder):
                pass
        except OSError as reason:
            raise SetupError(f"cannot write to {folder}: {reason.strerror}") from reason


def write_picture(path: Path, picture: torch.Tensor) -> None:
    """Write 1 3 H W as a picture, whole or not at all: someone may be looking at it.

    Raises SetupError.
    """
    import cv2

    pixels = (picture[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    _write_pixels(path, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))


def _write_pixels(path: Path, pixels: object) -> None:
    import cv2

    _, data = cv2.imencode(path.suffix.lower(), pixels)  # type: ignore[call-overload]
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data.tobytes())
        part.replace(path)
    except OSError as reason:
        raise SetupError(f"cannot write {path}: {reason}") from reason


def _plot(path: Path, rows: list[Step], names: list[str]) -> None:
    """The terms over the steps, on a logarithmic scale."""
    import cv2
    import numpy as np

    width, height, edge = 960, 540, 60
    curves = {"loss": [r.loss for r in rows], **{n: [r.terms[n] for r in rows] for n in names}}
    values = np.array([v for curve in curves.values() for v in curve if v > 0] or [1.0])
    # Four decades at most: a term that is next to nothing must not flatten all others.
    high = float(np.log10(values.max()))
    low = max(float(np.log10(values.min())), high - 4.0)
    span = max(high - low, 1e-6)
    board = np.full((height, width, 3), 255, np.uint8)
    right, bottom = width - edge, height - edge
    cv2.rectangle(board, (edge, edge), (right, bottom), (200, 200, 200))
    font = cv2.FONT_HERSHEY_SIMPLEX
    for share in (0.0, 0.5, 1.0):
        label = f"{10 ** (high - share * span):.2g}"
        cv2.putText(board, label, (4, edge + int(share * (bottom - edge))), font, 0.4, _INK[0])
    last = rows[-1].number
    cv2.putText(board, f"step {last}", (right - 60, bottom + 20), font, 0.4, _INK[0])
    for index, (name, curve) in enumerate(curves.items()):
        ink = _INK[index % len(_INK)]
        x = [edge + (right - edge) * r.number / last for r in rows]
        logs = np.log10(np.maximum(curve, 10**low))
        y = edge + (bottom - edge) * (high - logs) / span
        points = np.stack([x, y], axis=1).round().astype(np.int32)
        cv2.polylines(board, [points], False, ink, 2, cv2.LINE_AA)
        cv2.putText(board, name, (edge + 10 + 110 * index, edge - 15), font, 0.5, ink)
    _write_pixels(path, board)
