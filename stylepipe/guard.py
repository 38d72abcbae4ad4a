"""What components hand to the engine, checked where it comes in.

Whatever cannot be right costs its item, by an ItemError that names the component and its plugin.
The checks are cheap: of pixels on the device only one reduction a call is made.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from stylepipe.components import Component, Flow, Masker, Reader, Sink, Stylizer, Writer
from stylepipe.errors import ItemError
from stylepipe.texts import shown
from stylepipe.types import Frame, Info

if TYPE_CHECKING:
    import torch

MEANS = (-0.2, 1.5)
"""Between these lies the mean of any painted picture in [0, 1], strokes that overshoot included."""
_SLACK = 0.01
"""How far a mask may exceed [0, 1]."""
_DEPTHS = {8: "uint8", 16: "uint16"}


def painted(result: Any, images: torch.Tensor, stylizer: Stylizer) -> torch.Tensor:
    """What a stylizer returned for ``images``: N3HW, of floating point, finite, in [0, 1]."""
    who = _named("stylizer", stylizer)
    tensor = _tensor(result, images.shape, who, images.device)
    mean = float(tensor.mean())  # any NaN or infinity survives it
    if not math.isfinite(mean):
        raise ItemError(f"{who} returned values that are not numbers; try --precision full")
    if not MEANS[0] <= mean <= MEANS[1]:
        _refuse_range(tensor, who, mean > 0)
    return tensor


def mask(result: Any, shape: Sequence[int], masker: Masker) -> torch.Tensor:
    """What a masker returned: N1HW of ``shape``, of floating point, in [0, 1]."""
    who = _named("masker", masker)
    tensor = _tensor(result, shape, who)
    low, high = (float(bound) for bound in tensor.aminmax())
    if not math.isfinite(high - low):
        raise ItemError(f"{who} returned values that are not numbers")
    if low < -_SLACK or high > 1 + _SLACK:
        _refuse_range(tensor, who, high > 1)
    return tensor


def flow(result: Any, size: Sequence[int], component: Flow) -> torch.Tensor:
    """What a flow returned for frames of ``size`` (height, width): 12HW, finite, on the CPU."""
    who = _named("flow", component)
    tensor = _tensor(result, (1, 2, *size), who).cpu().float()
    if not math.isfinite(float(tensor.sum())):
        raise ItemError(f"{who} returned values that are not numbers")
    return tensor


def info(result: Any, reader: Reader) -> Info | None:
    """What a reader says of a file: None, or an Info of its kind with a size that can be."""
    if result is None:
        return None
    who = _named("reader", reader)
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

    who = f"{_named('reader', reader)} yielded"
    if not isinstance(result, Frame):
        raise ItemError(f"{who} {_described(result)}, not a stylepipe.Frame")
    pixels, alpha, dtype = result.pixels, result.alpha, _DEPTHS[info.depth]
    shape = (info.height, info.width, 3)
    if not isinstance(pixels, np.ndarray) or pixels.shape != shape or pixels.dtype != dtype:
        raise ItemError(f"{who} {_described(pixels)} where {shape} of {dtype} was promised")
    if not pixels.flags.c_contiguous:
        raise ItemError(f"{who} pixels that are not C-contiguous; use numpy.ascontiguousarray")
    if alpha is not None and (
        not isinstance(alpha, np.ndarray) or alpha.shape != shape[:2] or alpha.dtype != dtype
    ):
        raise ItemError(f"{who} transparency as {_described(alpha)}, not {shape[:2]} of {dtype}")
    if result.index != index:
        raise ItemError(f"{who} frame {shown(result.index)} where frame {index} was due")
    now = time_of(result)
    if now is not None and after is not None and now <= after:
        raise ItemError(
            f"{who} frame {index} at {float(now):.3f} s, after one at {float(after):.3f} s; "
            "times must grow"
        )
    return result


def time_of(frame: Frame) -> Fraction | None:
    """When a frame is shown, in seconds; None where it has no time."""
    return frame.pts * frame.time_base if frame.pts is not None and frame.time_base else None


def sink(result: Any, writer: Writer) -> Sink:
    """What a writer opened for an item."""
    who = _named("writer", writer)
    if not isinstance(result, Sink):
        raise ItemError(f"{who} opened {shown(result)}, not a stylepipe.Sink")
    if not isinstance(result.done, Integral) or int(result.done) < 0:
        raise ItemError(f"{who} says {shown(result.done)} frames are done")
    return result


def written(path: Path, writer: Writer) -> None:
    """A sink was closed: its file is there."""
    if not path.exists():
        raise ItemError(f"{_named('writer', writer)} closed its output and wrote no file")


def _named(stage: str, component: Component) -> str:
    owner = f" of plugin {component.plugin}" if component.plugin else ""
    return f"{stage} {component.name!r}{owner}"


def _tensor(
    result: Any, shape: Sequence[int], who: str, device: torch.device | None = None
) -> torch.Tensor:
    import torch

    if not isinstance(result, torch.Tensor):
        raise ItemError(f"{who} returned {_described(result)}, not a tensor")
    if tuple(result.shape) != tuple(shape):
        raise ItemError(f"{who} returned {tuple(result.shape)} where {tuple(shape)} was needed")
    if not result.is_floating_point():
        raise ItemError(f"{who} returned {result.dtype}; return floating point")
    if device is not None and result.device != device:
        raise ItemError(f"{who} returned a tensor on {result.device}, not on {device}")
    return result


def _refuse_range(tensor: torch.Tensor, who: str, above: bool) -> NoReturn:
    reach = f"reach {float(tensor.max()):.4g}" if above else f"fall to {float(tensor.min()):.4g}"
    raise ItemError(f"{who} returned values that {reach}: return [0, 1]")


def _described(value: Any) -> str:
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    return shown(value) if shape is None else f"{tuple(shape)} of {dtype}"
