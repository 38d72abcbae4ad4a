"""What an optimization writes on request: losses, intermediate pictures, a preview."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

from stylepipe import Item, SetupError, UsageError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from stylepipe.nst.optimize import Step

    from .options import GatysBase

PREVIEW_EVERY = 10
_INK = ((40, 40, 40), (200, 90, 20), (30, 130, 30), (30, 30, 210), (170, 40, 150), (150, 130, 0))


class SideFiles:
    """Writes files beside the results. A failure is reported once and the job continues: hours of
    work must not be lost for a preview.
    """

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log, self._reported = log, False

    def picture(self, path: Path, picture: torch.Tensor) -> None:
        """Write 1 3 H W in [0,1]."""
        import cv2

        # In place after the first: beside a large picture there is little room.
        pixels = picture[0].mul(255).round_().clamp_(0, 255).byte().permute(1, 2, 0).cpu().numpy()
        self.pixels(path, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))

    def pixels(self, path: Path, pixels: object) -> None:
        """Write HxWx3, BGR, uint8."""
        import cv2

        try:
            done, data = cv2.imencode(path.suffix.lower(), pixels)  # type: ignore[call-overload]
        except cv2.error:  # as for sides that JPEG cannot hold
            done = False
        if done:
            self.data(path, data.tobytes())
        else:
            self.report(f"cannot write {path}: not as {path.suffix}")

    def data(self, path: Path, data: bytes) -> None:
        """Write bytes."""
        try:
            write_whole(path, data)
        except OSError as error:
            self.report(f"cannot write {path}: {error.strerror}")

    def report(self, line: str) -> None:
        """Log a failure, unless one was logged before."""
        if not self._reported:
            self._log(f"{line}; painting continues")
        self._reported = True


class _Row(NamedTuple):
    """What is kept of a step; the step itself keeps pictures alive."""

    number: int
    """0: of the result, after the last step."""
    size: tuple[int, int]
    terms: dict[str, float]

    @property
    def loss(self) -> float:
        return sum(self.terms.values())


class Trace:
    """Watches one picture's optimization; at its end the losses are written, also after an error.

    frame: number in the item; the losses of the first alone are written.
    """

    def __init__(self, options: GatysBase, item: Item, frame: int, side_files: SideFiles) -> None:
        self._options, self._side_files = options, side_files
        self._rows: list[_Row] = []
        self._folder = options.trace_of(item) if frame == 0 else None

    def __enter__(self) -> Self:
        return self

    def __call__(self, step: Step) -> None:
        """Note a step."""
        options = self._options
        if self._folder is not None:
            self._rows.append(_Row(step.number, step.size, step.terms))
            if options.save_every and step.number % options.save_every == 0:
                self._side_files.picture(self._folder / f"{step.number:05}.png", step.picture())
        last = step.number == step.steps
        if options.preview is not None and (last or step.number % PREVIEW_EVERY == 0):
            self._side_files.picture(options.preview, step.picture())

    def judge(self, judged: Callable[[], Mapping[str, torch.Tensor]]) -> None:
        """Write the losses of the result, which no step reports; ``judged`` computes them."""
        if self._folder is None or not self._rows:
            return
        try:
            terms = {name: float(value.mean()) for name, value in judged().items()}
        except (RuntimeError, MemoryError, ValueError) as error:
            self._side_files.report(f"cannot measure the result: {error}")
        else:
            self._write("result.csv", [_Row(0, self._rows[-1].size, terms)])

    def _write(self, name: str, rows: list[_Row]) -> None:
        assert self._folder is not None
        names = list(rows[0].terms)
        text = io.StringIO(newline="")
        table = csv.writer(text)
        table.writerow(["step", "width", "height", "loss", *names])
        for row in rows:
            height, width = row.size
            values = [f"{row.terms[name]:.6g}" for name in names]
            table.writerow([row.number or "end", width, height, f"{row.loss:.6g}", *values])
        self._side_files.data(self._folder / name, text.getvalue().encode())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._folder is None or not self._rows:
            return
        self._write("loss.csv", self._rows)
        plot = _plot(self._rows, list(self._rows[0].terms))
        self._side_files.pixels(self._folder / "loss.png", plot)


def check_outputs(options: GatysBase) -> None:
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


def write_whole(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all: someone may be looking at it. Raises OSError."""
    part = path.with_name(f".{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(data)
    part.replace(path)


def _plot(rows: list[_Row], names: list[str]) -> NDArray[np.uint8]:
    """The terms over the steps, on a logarithmic scale: HxWx3, BGR."""
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
    return board
