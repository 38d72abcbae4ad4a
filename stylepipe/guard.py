"""Checks what components return to the engine.

Raises ItemError, which names the component and its plugin, for what cannot be right. The checks are
cheap: one reduction per call of the pixels on the device.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Iterable, Sequence
from fractions import Fraction
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from stylepipe.checks import checked_tensor, described, named
from stylepipe.components import (
    Component,
    Flow,
    Masker,
    Reader,
    Sink,
    Stylizer,
    Temporal,
    Training,
    Writer,
    is_bundled,
    noun,
)
from stylepipe.errors import ItemError
from stylepipe.texts import shown
from stylepipe.types import Frame, Guide, Info

if TYPE_CHECKING:
    import torch

_STAGES = (Reader, Masker, Stylizer, Temporal, Flow, Writer, Training)
MEANS = (-0.2, 1.5)
"""Bounds of the mean of a painted picture in [0, 1], strokes that overshoot included."""
_SLACK = 0.01
"""How far a mask may exceed [0, 1]."""
_DEPTHS = {8: "uint8", 16: "uint16"}


def blamed(error: BaseException, components: Iterable[Component]) -> str | None:
    """The plugin's component in whose code an unexpected error was raised; None for our own."""
    modules = {
        type(component).__module__: component
        for component in components
        if not is_bundled(type(component))
    }
    found: Component | None = None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        found = modules.get(frame.f_globals.get("__name__", ""), found)
    if found is None:
        return None
    stage = next(noun(base) for base in type(found).__mro__ if base in _STAGES)
    return named(stage, found)


def painted(result: Any, images: torch.Tensor, stylizer: Stylizer) -> torch.Tensor:
    """What a stylizer returned for ``images``, N3HW: of floating point, finite, in [0, 1], and
    ``caps.scale`` times as large.
    """
    who, scale = named("stylizer", stylizer), stylizer.caps.scale
    count, channels, height, width = images.shape
    shape = count, channels, scale * height, scale * width
    tensor = checked_tensor(result, shape, who, images.device, f"; its caps say scale {scale}")
    mean = float(tensor.mean())  # any NaN or infinity survives it
    if not math.isfinite(mean):
        raise ItemError(f"{who} returned values that are not numbers; try --precision full")
    if not MEANS[0] <= mean <= MEANS[1]:
        _refuse_range(tensor, who, mean > 0)
    return tensor


def guide(result: Any, size: Sequence[int], temporal: Temporal) -> Guide | None:
    """What a temporal method made for a frame whose result has ``size``: a Guide, or None."""
    if result is None:
        return None
    who, (height, width) = named("temporal method", temporal), size
    if not isinstance(result, Guide):
        raise ItemError(f"{who} returned {described(result)}, not a stylepipe.Guide")
    checked_tensor(result.warped, (1, 3, height, width), f"the warped of a guide of {who}")
    checked_tensor(result.trust, (1, 1, height, width), f"the trust of a guide of {who}")
    if result.flow is not None:
        checked_tensor(result.flow, (1, 2, height, width), f"the flow of a guide of {who}")
    return result


def blended(result: Any, painted: torch.Tensor, temporal: Temporal) -> torch.Tensor:
    """What a temporal method made of ``painted``: a tensor like it, and finite."""
    who = named("temporal method", temporal)
    tensor = checked_tensor(result, painted.shape, who, painted.device)
    if not math.isfinite(float(tensor.mean())):
        raise ItemError(f"{who} returned values that are not numbers")
    return tensor


def filtered(result: Any, frame: Frame, temporal: Temporal) -> None:
    """The final pixels that a temporal method returned for ``frame``: like the frame's."""
    import numpy as np

    pixels = frame.pixels
    like = isinstance(result, np.ndarray) and result.shape == pixels.shape
    if not like or result.dtype != pixels.dtype:
        raise ItemError(
            f"{named('temporal method', temporal)} returned {described(result)} for frame "
            f"{frame.number}, which has {described(pixels)}"
        )


def mask(result: Any, shape: Sequence[int], masker: Masker) -> torch.Tensor:
    """What a masker returned: NKHW of ``shape``, of floating point, in [0, 1]."""
    who = named("masker", masker)
    tensor = checked_tensor(result, shape, who)
    low, high = (float(bound) for bound in tensor.aminmax())
    if not math.isfinite(high - low):
        raise ItemError(f"{who} returned values that are not numbers")
    if low < -_SLACK or high > 1 + _SLACK:
        _refuse_range(tensor, who, high > 1)
    return tensor


def info(result: Any, reader: Reader) -> Info | None:
    """What a reader says of a file: None, or an Info of its kind with a possible size."""
    if result is None:
        return None
    who = named("reader", reader)
    if not isinstance(result, Info):
        raise ItemError(f"{who} described the file by {shown(result)}, not by a stylepipe.Info")
    if result.kind != reader.kind:
        raise ItemError(f"{who} is for kind {reader.kind!r}, and described a {shown(result.kind)}")
    for word in ("width", "height", "frames"):
        value = getattr(result, word)
        unknown = word == "frames" and value is None
        if not unknown and (not isinstance(value, Integral) or int(value) < 1):
            raise ItemError(f"{who} gave the file a {word} of {shown(value)}")
    if result.depth not in _DEPTHS:
        raise ItemError(f"{who} gave the file a depth of {shown(result.depth)}, not 8 or 16")
    return result


def frame(result: Any, index: int, after: Fraction | None, info: Info, reader: Reader) -> Frame:
    """What a reader yielded as frame number ``index``, which comes ``after`` seconds."""
    import numpy as np

    who = f"{named('reader', reader)} yielded"
    if not isinstance(result, Frame):
        raise ItemError(f"{who} {described(result)}, not a stylepipe.Frame")
    pixels, alpha, dtype = result.pixels, result.alpha, _DEPTHS[info.depth]
    shape = (info.height, info.width, 3)
    if not isinstance(pixels, np.ndarray) or pixels.shape != shape or pixels.dtype != dtype:
        raise ItemError(f"{who} {described(pixels)} where {shape} of {dtype} was promised")
    if not pixels.flags.c_contiguous:
        raise ItemError(f"{who} pixels that are not C-contiguous; use numpy.ascontiguousarray")
    if alpha is not None and (
        not isinstance(alpha, np.ndarray) or alpha.shape != shape[:2] or alpha.dtype != dtype
    ):
        raise ItemError(f"{who} transparency as {described(alpha)}, not {shape[:2]} of {dtype}")
    if result.index != index:
        raise ItemError(f"{who} a frame of index {shown(result.index)} where index {index} was due")
    now = result.time
    if now is not None and after is not None and now <= after:
        raise ItemError(
            f"{who} frame {result.number} at {float(now):.3f} s, after one at {float(after):.3f} "
            "s; times must grow"
        )
    return result


def sink(result: Any, writer: Writer) -> Sink:
    """What a writer opened for an item."""
    who = named("writer", writer)
    if not isinstance(result, Sink):
        raise ItemError(f"{who} opened {shown(result)}, not a stylepipe.Sink")
    if not isinstance(result.done, Integral) or int(result.done) < 0:
        raise ItemError(f"{who} says {shown(result.done)} frames are done")
    return result


def written(path: Path, writer: Writer) -> None:
    """Check that a closed sink has left its file."""
    if not path.exists():
        raise ItemError(f"{named('writer', writer)} closed its output and wrote no file")


def _refuse_range(tensor: torch.Tensor, who: str, above: bool) -> NoReturn:
    reach = f"reach {float(tensor.max()):.4g}" if above else f"fall to {float(tensor.min()):.4g}"
    raise ItemError(f"{who} returned values that {reach}: return [0, 1]")
